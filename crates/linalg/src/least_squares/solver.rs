//! The solver: a preconditioner, then LSMR until the backward error is as asked.

use std::ops::ControlFlow;

use certus_contract::{Certificate, Event, InputError, Status, ignore_events};
use certus_numeric::Seed;
use certus_numeric::sum::norm2;

use super::certificate::certificate;
use super::facts::{Facts, relative_backward_error, residual_and_gradient};
use super::preconditioner::{Preconditioned, Preconditioner};
use super::problem::Problem;
use super::{measure, preconditioner};
use crate::Error;
use crate::matrix::{Matrix, require_dense};
use crate::sketch::{EmbeddingBound, SketchKind};
use crate::solve::{LsmrOptions, lsmr_from};

/// How the preconditioner is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// `Qr` for dense matrices that are small or nearly square. Else `Lsmr`, until it has made as many passes as a sketch would
    /// cost or its progress shows that it will, then `Sketch`.
    #[default]
    Auto,
    /// The triangular factor of A itself. 2 n d² flops.
    Qr,
    /// The triangular factor of a sketch of A. One pass over A and 2 s d² flops for s rows.
    Sketch,
    /// The norms of A's columns: LSMR as it is. Where A is rank-deficient, x is the solution whose scaled entries have minimum norm.
    Lsmr,
}

/// How much is spent on the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certify {
    /// What the solve shows by the way. Singular values of the preconditioned matrix are estimated from inside.
    #[default]
    Cheap,
    /// Also the exact singular values of the preconditioned matrix (2 n d² flops) and the distance to a refined solution.
    Full,
}

/// Least squares by preconditioned LSMR.
#[derive(Clone, Copy, Debug)]
pub struct Solver {
    /// How the preconditioner is made.
    pub method: Method,
    /// The distribution of the sketch.
    pub sketch: SketchKind,
    /// Rows of the sketch; by default from the sizes, 4 d to 32 d, so that factoring it and the passes that it saves balance.
    pub sketch_rows: Option<usize>,
    /// The [backward error](super::backward_error) at which to stop. Default 1e-12.
    pub tolerance: f64,
    /// The most passes over A by LSMR. Default 1000.
    pub max_iterations: usize,
    /// The source of the sketch.
    pub seed: Seed,
    /// How much is spent on the certificate.
    pub certify: Certify,
}

impl Default for Solver {
    fn default() -> Self {
        Solver {
            method: Method::Auto,
            sketch: SketchKind::default(),
            sketch_rows: None,
            tolerance: 1e-12,
            max_iterations: 1000,
            seed: Seed(0),
            certify: Certify::Cheap,
        }
    }
}

/// A least-squares solution with what is known of it.
#[derive(Clone, Debug)]
pub struct Solution {
    /// The minimiser, d entries; of minimum norm where A is rank-deficient.
    pub x: Vec<f64>,
    /// What was measured.
    pub facts: Facts,
    /// The preconditioned gradient `|Pᵀ Aᵀ r|` at the start and after each iteration of LSMR.
    pub trace: Vec<f64>,
    /// How the run ended.
    pub status: Status,
    /// What is odd but no failure; each starts with its name.
    pub warnings: Vec<String>,
    /// What may be believed of x.
    pub certificate: Certificate,
}

impl Solver {
    /// The same solver by another method.
    pub fn with_method(self, method: Method) -> Self {
        Solver { method, ..self }
    }

    /// The same solver with another distribution of the sketch.
    pub fn with_sketch(self, sketch: SketchKind) -> Self {
        Solver { sketch, ..self }
    }

    /// The same solver with another tolerance.
    pub fn with_tolerance(self, tolerance: f64) -> Self {
        Solver { tolerance, ..self }
    }

    /// The same solver with another seed.
    pub fn with_seed(self, seed: Seed) -> Self {
        Solver { seed, ..self }
    }

    /// The same solver with another certificate.
    pub fn with_certify(self, certify: Certify) -> Self {
        Solver { certify, ..self }
    }

    /// Solves the problem.
    ///
    /// # Errors
    /// `InvalidParameter` for a tolerance that is not in (0, 1) or a sketch of fewer rows than A has columns; `TooLarge` for a
    /// sketch or factor of more than 2^28 entries; `NonFiniteMatrix` where products of the data overflow.
    pub fn solve(&self, problem: &Problem<'_>) -> Result<Solution, Error> {
        self.solve_with(problem, ignore_events)
    }

    /// Solves the problem under the eyes of an observer, which may stop it: then x is the best so far.
    ///
    /// # Errors
    /// As [`Solver::solve`].
    pub fn solve_with(&self, problem: &Problem<'_>, mut observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution, Error> {
        self.validate(problem)?;
        let mut run = Run::new(self, problem)?;
        let status = loop {
            if run.backward_error <= self.tolerance {
                break Status::Converged;
            }
            let passes_left = self.max_iterations.saturating_add(1).saturating_sub(run.trace.len().max(1));
            if passes_left == 0 {
                break Status::MaxIterations;
            }
            let before = run.backward_error;
            match run.refine(passes_left, &mut observer) {
                Refined::Stopped => break Status::Stopped,
                Refined::TooSlow => run.precondition_by_sketch()?,
                Refined::OutOfPasses if run.backward_error > self.tolerance => break Status::MaxIterations,
                // A NaN must end the run too.
                Refined::Done if run.backward_error.is_nan() || run.backward_error > (0.5 * before).max(self.tolerance) => {
                    break Status::Stalled;
                }
                Refined::Done | Refined::OutOfPasses => {}
            }
        };
        run.finish(status)
    }

    fn validate(&self, problem: &Problem<'_>) -> Result<(), InputError> {
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(InputError::parameter("tol", self.tolerance, "above 0 and below 1"));
        }
        match self.sketch_rows {
            Some(rows) if rows < problem.a().cols() && matches!(self.method, Method::Auto | Method::Sketch) => {
                Err(InputError::parameter("sketch-rows", rows, format!("at least {} (the columns of a)", problem.a().cols())))
            }
            _ => Ok(()),
        }
    }
}

/// How one run of LSMR ended.
enum Refined {
    /// By its own rule.
    Done,
    /// The passes are used up.
    OutOfPasses,
    /// A sketch will be cheaper.
    TooSlow,
    /// The observer stopped it.
    Stopped,
}

/// The state of one solve.
struct Run<'a> {
    solver: &'a Solver,
    problem: &'a Problem<'a>,
    norm_a: f64,
    preconditioner: Preconditioner,
    sketch_rows: usize,
    embedding: Option<EmbeddingBound>,
    x: Vec<f64>,
    /// `A x - b`.
    residual: Vec<f64>,
    /// `Aᵀ (A x - b)`.
    gradient: Vec<f64>,
    backward_error: f64,
    trace: Vec<f64>,
    /// Extreme singular values of `A P` seen by LSMR under the present P.
    seen: Option<(f64, f64)>,
    contraction: Option<(f64, usize)>,
    may_sketch: bool,
    /// Whether P comes from the factor of A itself.
    own_factor: bool,
    warnings: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(solver: &'a Solver, problem: &'a Problem<'a>) -> Result<Self, Error> {
        let a = problem.a();
        let mut run = Run {
            solver,
            problem,
            norm_a: problem.norm_a(),
            preconditioner: Preconditioner::Columns(Vec::new()),
            sketch_rows: 0,
            embedding: None,
            x: vec![0.0; a.cols()],
            residual: Vec::new(),
            gradient: Vec::new(),
            backward_error: f64::INFINITY,
            trace: Vec::new(),
            seen: None,
            contraction: None,
            may_sketch: false,
            own_factor: false,
            warnings: Vec::new(),
        };
        let sketch_pays = default_sketch_rows(a) < a.rows() / 4;
        match (solver.method, a) {
            (Method::Qr, _) => run.precondition_by_factor()?,
            (Method::Auto, Matrix::Dense(_)) if !sketch_pays || a.stored() < SMALL => run.precondition_by_factor()?,
            (Method::Sketch, _) => run.precondition_by_sketch()?,
            (Method::Auto, _) => {
                run.precondition_by_columns();
                let fits = require_dense("the sketch", default_sketch_rows(a), a.cols(), preconditioner::INSTEAD).is_ok();
                run.may_sketch = sketch_pays && fits;
            }
            (Method::Lsmr, _) => run.precondition_by_columns(),
        }
        Ok(run)
    }

    fn precondition_by_columns(&mut self) {
        let norms = self.problem.a().column_norms();
        // A column of zeros is seen by nothing: any scale will do, and LSMR leaves its x at 0.
        self.preconditioner = Preconditioner::Columns(norms.into_iter().map(|norm| if norm > 0.0 { 1.0 / norm } else { 1.0 }).collect());
        self.evaluate();
    }

    fn precondition_by_factor(&mut self) -> Result<(), Error> {
        let (r, c) = preconditioner::augmented_factor(self.problem.a(), self.problem.b())?;
        self.own_factor = true;
        self.start_from(r, &c, self.problem.a().rows())
    }

    fn precondition_by_sketch(&mut self) -> Result<(), Error> {
        let (a, d) = (self.problem.a(), self.problem.a().cols());
        let rows = self.solver.sketch_rows.unwrap_or_else(|| default_sketch_rows(a));
        self.may_sketch = false;
        if rows >= a.rows() {
            if self.solver.method == Method::Sketch {
                self.warnings.push(format!(
                    "SketchNotUsed: a sketch of {rows} rows is no smaller than a with its {}; a itself was factored",
                    a.rows()
                ));
            }
            return self.precondition_by_factor();
        }
        require_dense("the sketch", rows, d, preconditioner::INSTEAD)?;
        let sketch = self.solver.sketch.build(rows, a.rows(), self.solver.seed)?;
        self.sketch_rows = rows;
        self.embedding = sketch.embedding_bound(d, measure::FAILURE);
        let (sketched, right) = (sketch.apply(a)?, sketch.apply_vector(self.problem.b())?);
        let (r, c) = preconditioner::augmented_factor(Matrix::Dense(&sketched), &right)?;
        self.start_from(r, &c, rows)?;
        if self.preconditioner.rank() < d {
            // A direction is lost, by A or by the sketch alone (two heavy rows in one place): only A itself can tell which, and
            // what was measured under a P that may be blind to it counts for nothing.
            (self.sketch_rows, self.embedding) = (0, None);
            self.backward_error = f64::INFINITY;
            self.warnings.push("SketchNotUsed: it lost a direction that a may have; a itself was factored".to_owned());
            return self.precondition_by_factor();
        }
        Ok(())
    }

    /// Sets P from a triangular factor, and x to the solution of the factored problem if that is better than the present one.
    fn start_from(&mut self, r: crate::Mat<f64>, c: &[f64], rows: usize) -> Result<(), Error> {
        self.preconditioner = Preconditioner::from_factor(r.clone(), rows.max(r.ncols()) as f64 * f64::EPSILON)?;
        self.seen = None;
        self.contraction = None;
        let x = preconditioner::solve_factored(&self.preconditioner, &r, c);
        self.accept_if_better(x);
        Ok(())
    }

    /// LSMR on the present residual, then x, residual and gradient anew.
    fn refine(&mut self, passes: usize, observer: &mut impl FnMut(&Event) -> ControlFlow<()>) -> Refined {
        let a = self.problem.a();
        let operator = Preconditioned { matrix: &a, by: &self.preconditioner };
        let negative = |v: &[f64]| v.iter().map(|v| -v).collect::<Vec<_>>();
        let (rhs, gradient) = (negative(&self.residual), self.preconditioner.apply_transpose(&negative(&self.gradient)));
        let size = norm2(self.problem.b()).max(self.norm_a * norm2(&self.x));
        let options = LsmrOptions {
            tolerance: self.solver.tolerance,
            // A gradient in y grows at most by |P⁻¹| back to x. Should the estimate be too low, the loop refines once more.
            matrix_norm: Some(self.norm_a / self.preconditioner.inverse_norm_estimate()),
            gradient: 0.5 * self.solver.tolerance * self.norm_a * norm2(&self.x) / self.karlson_walden_factor().unwrap_or(f64::INFINITY),
            residual: Some(self.solver.tolerance * size),
            max_iterations: passes,
        };
        let limit = if self.may_sketch { sketch_cost_in_passes(a) } else { f64::INFINITY };
        let (mut first, mut too_slow) = (None, false);
        let watch = |event: &Event| {
            observer(event)?;
            let (done, value) = (event.done as f64, event.value.unwrap_or(0.0));
            let progress = (*first.get_or_insert(value) / value).ln() / (done - 1.0);
            too_slow = done >= 8.0 && (1.0 / self.solver.tolerance).ln() > limit * progress.max(0.0);
            if too_slow { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let run = lsmr_from(&operator, rhs, gradient, &options, watch);
        if self.seen.is_none() && run.iterations() > 0 {
            self.seen = run.singular_extremes().map(|(largest, smallest)| (smallest, largest));
            self.contraction = Some((run.gradients[run.iterations()] / run.gradients[0], run.iterations()));
        }
        self.trace.extend(&run.gradients[usize::from(!self.trace.is_empty())..]);
        let step = self.preconditioner.apply(&run.x);
        self.accept_if_better(self.x.iter().zip(&step).map(|(x, step)| x + step).collect());
        match run.status {
            Status::Stopped if too_slow => Refined::TooSlow,
            Status::Stopped => Refined::Stopped,
            Status::MaxIterations => Refined::OutOfPasses,
            _ => Refined::Done,
        }
    }

    fn evaluate(&mut self) {
        (self.residual, self.gradient) = residual_and_gradient(self.problem, &self.x);
        let norm_x = norm2(&self.x);
        self.backward_error = relative_backward_error(norm2(&self.residual), norm2(&self.gradient), norm_x, self.norm_a);
        if let Some(factor) = self.karlson_walden_factor().filter(|_| norm_x > 0.0) {
            let transformed = norm2(&self.preconditioner.apply_transpose(&self.gradient));
            self.backward_error = self.backward_error.min(factor * transformed / (self.norm_a * norm_x));
        }
    }

    /// `sqrt 2` over the smallest singular value of `A P`: from `|Pᵀ g|` to a bound on Karlson and Waldén's estimate.
    fn karlson_walden_factor(&self) -> Option<f64> {
        let smallest = self.seen.map_or(0.5, |(smallest, _)| smallest);
        let sees_all = self.own_factor || matches!(self.preconditioner, Preconditioner::Triangular(_));
        (sees_all && smallest > 0.0).then(|| std::f64::consts::SQRT_2 / smallest)
    }

    fn accept_if_better(&mut self, x: Vec<f64>) {
        let kept = (
            std::mem::replace(&mut self.x, x),
            std::mem::take(&mut self.residual),
            std::mem::take(&mut self.gradient),
            self.backward_error,
        );
        self.evaluate();
        let better = self.x.iter().all(|x| x.is_finite()) && self.backward_error <= kept.3;
        if better {
            return;
        }
        if kept.1.is_empty() {
            self.x = vec![0.0; kept.0.len()];
            self.evaluate();
        } else {
            (self.x, self.residual, self.gradient, self.backward_error) = kept;
        }
    }

    fn finish(self, status: Status) -> Result<Solution, Error> {
        let d = self.problem.a().cols();
        let mut warnings = self.warnings;
        let rank = self.preconditioner.rank();
        if rank < d {
            warnings.push(format!("RankDeficient: the columns of a span {rank} of {d} dimensions; x is the solution of minimum norm"));
        }
        let mut facts = Facts {
            rows: self.problem.a().rows(),
            cols: d,
            rank,
            sketch_rows: self.sketch_rows,
            iterations: self.trace.len().saturating_sub(1),
            converged: status == Status::Converged,
            tolerance: self.solver.tolerance,
            residual: norm2(&self.residual),
            gradient: norm2(&self.gradient),
            backward_error: self.backward_error,
            norm_a: self.norm_a,
            norm_x: norm2(&self.x),
            preconditioned: self.seen,
            preconditioned_exact: false,
            distortion: None,
            embedding: self.embedding,
            forward_bound: None,
            forward_error: None,
            contraction: self.contraction,
            reciprocal_condition: 0.0,
        };
        if self.own_factor {
            measure::spectrum_under_own_factor(&mut facts, &self.preconditioner);
        }
        measure::complete(&mut facts, self.problem, &self.preconditioner, &self.x, &self.residual, &self.gradient, self.solver.certify)?;
        let certificate = certificate(&facts);
        Ok(Solution { x: self.x, facts, trace: self.trace, status, warnings, certificate })
    }
}

/// Flops of a factorisation that take as long as one flop of a pass over A: products run at the speed of the multipliers, passes
/// at that of the memory (about 4) or, sparse, of its latency (about 24).
fn factor_flops_per_pass_flop(a: Matrix<'_>) -> f64 {
    match a {
        Matrix::Dense(_) => 4.0,
        Matrix::Sparse(_) => 24.0,
    }
}

/// Below so many entries a factorisation takes no time worth saving.
const SMALL: usize = 1 << 16;

/// The most entries of a sketch of a dense matrix: beyond what caches hold, its rows are added to at the speed of memory.
const CACHED: f64 = (1 << 21) as f64;

/// Rows for the least sum of the cost of factoring the sketch and that of the passes that it needs.
fn default_sketch_rows(a: Matrix<'_>) -> usize {
    let d = a.cols() as f64;
    let multiples = [4.0, 8.0, 16.0, 32.0].into_iter().filter(|m| *m == 4.0 || matches!(a, Matrix::Sparse(_)) || m * d * d <= CACHED);
    let best = multiples.min_by(|a_, b_| passes_with_sketch(a, *a_).total_cmp(&passes_with_sketch(a, *b_))).unwrap_or(4.0);
    (best * d) as usize
}

/// What the solution by a sketch of `multiple` times d rows costs, in passes over A: the factorisation, and LSMR, which gains
/// a factor of sqrt(s / d) a pass.
fn passes_with_sketch(a: Matrix<'_>, multiple: f64) -> f64 {
    let d = a.cols() as f64;
    let factorisation = 2.0 * multiple * d * d * d / (4.0 * a.stored() as f64 * factor_flops_per_pass_flop(a));
    factorisation + 1e12f64.ln() / multiple.sqrt().ln()
}

/// The same for the default rows, with the pass that makes the sketch and the one that starts anew.
fn sketch_cost_in_passes(a: Matrix<'_>) -> f64 {
    2.0 + passes_with_sketch(a, (default_sketch_rows(a) / a.cols()) as f64)
}

//! What the tests share: problems that own their data, reference cases, and the formulas written plainly.

use std::path::Path;

use certus_contract::Verdict;
use certus_linalg::Matrix;
use certus_linalg::factor::{Cholesky, symmetric_eigenvalues};
use certus_linalg::view::view;
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Array, Csr};
use certus_regression::{Error, Evaluation, Form, Link, Outcome, Problem, Sampling, Solution, Solver};
use certus_testkit::cases::{json, numbers, shipped};

/// Every link with every form.
pub(crate) const PAIRS: [(Link, Form); 9] = [
    (Link::Exp, Form::Plain),
    (Link::Exp, Form::Rescaled),
    (Link::Exp, Form::Normalised),
    (Link::Cosh, Form::Plain),
    (Link::Cosh, Form::Rescaled),
    (Link::Cosh, Form::Normalised),
    (Link::Sinh, Form::Plain),
    (Link::Sinh, Form::Rescaled),
    (Link::Sinh, Form::Normalised),
];

/// `link form`, for messages.
pub(crate) fn pair_name((link, form): (Link, Form)) -> String {
    format!("{link} {form}")
}

/// A design matrix of either kind.
#[derive(Clone)]
pub(crate) enum Design {
    Dense(Array),
    Sparse(Csr),
}

impl Design {
    pub(crate) fn matrix(&self) -> Matrix<'_> {
        match self {
            Design::Dense(a) => Matrix::Dense(a),
            Design::Sparse(a) => Matrix::Sparse(a),
        }
    }

    pub(crate) fn to_dense(&self) -> Array {
        match self {
            Design::Dense(a) => a.clone(),
            Design::Sparse(a) => a.to_dense(),
        }
    }
}

/// A problem with its data; what is `None` is left to the default.
#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) a: Design,
    pub(crate) b: Vec<f64>,
    pub(crate) link: Link,
    pub(crate) form: Form,
    pub(crate) omega: Option<Vec<f64>>,
    pub(crate) row_reg: Option<Vec<f64>>,
    pub(crate) ridge: f64,
    pub(crate) reference: Option<Vec<f64>>,
    pub(crate) offset: Option<Vec<f64>>,
}

impl Data {
    pub(crate) fn new(a: Design, b: Vec<f64>, (link, form): (Link, Form)) -> Data {
        Data { a, b, link, form, omega: None, row_reg: None, ridge: 0.0, reference: None, offset: None }
    }

    pub(crate) fn try_problem(&self) -> Result<Problem<'_>, Error> {
        let mut problem = Problem::new(self.a.matrix(), &self.b, self.link, self.form)?;
        if let Some(omega) = &self.omega {
            problem = problem.with_data_weights(omega)?;
        }
        if let Some(row_reg) = &self.row_reg {
            problem = problem.with_row_reg(row_reg)?;
        }
        if self.ridge != 0.0 {
            problem = problem.with_ridge(self.ridge)?;
        }
        if let Some(reference) = &self.reference {
            problem = problem.with_reference(reference)?;
        }
        if let Some(offset) = &self.offset {
            problem = problem.with_offset(offset)?;
        }
        Ok(problem)
    }

    #[track_caller]
    pub(crate) fn problem(&self) -> Problem<'_> {
        match self.try_problem() {
            Ok(problem) => problem,
            Err(error) => panic!("a sound problem was refused: {error}"),
        }
    }

    pub(crate) fn pair(&self) -> (Link, Form) {
        (self.link, self.form)
    }

    pub(crate) fn rows(&self) -> usize {
        self.a.matrix().rows()
    }

    pub(crate) fn cols(&self) -> usize {
        self.a.matrix().cols()
    }

    /// The linear predictor.
    pub(crate) fn predictor(&self, x: &[f64]) -> Vec<f64> {
        let a = self.a.to_dense();
        let offset = |i: usize| self.offset.as_ref().map_or(0.0, |offset| offset[i]);
        (0..a.rows()).map(|i| dot(a.row(i), x) + offset(i)).collect()
    }

    /// What is compared with b, without care for overflow: u (plain, rescaled), u / S (normalised).
    pub(crate) fn fitted(&self, x: &[f64]) -> Vec<f64> {
        let u: Vec<f64> = self.predictor(x).iter().map(|z| link_value(self.link, *z)).collect();
        let sum: f64 = u.iter().sum();
        if matches!(self.form, Form::Normalised) { u.iter().map(|u| u / sum).collect() } else { u }
    }

    /// The loss by its definition, without care for overflow.
    pub(crate) fn defined_loss(&self, x: &[f64]) -> f64 {
        let fitted = self.fitted(x);
        let sum: f64 = fitted.iter().sum();
        let factor = if matches!(self.form, Form::Rescaled) { sum } else { 1.0 };
        let from_reference: Vec<f64> = (0..x.len()).map(|j| x[j] - self.reference.as_ref().map_or(0.0, |reference| reference[j])).collect();
        let a = self.a.to_dense();
        let row = |i: usize| {
            let residual = fitted[i] - factor * self.b[i];
            let regulariser = self.row_reg.as_ref().map_or(0.0, |w| w[i]) * dot(a.row(i), &from_reference);
            self.omega.as_ref().map_or(1.0, |omega| omega[i]) * residual * residual + regulariser * regulariser
        };
        0.5 * (0..a.rows()).map(row).sum::<f64>() + 0.5 * self.ridge * dot(&from_reference, &from_reference)
    }

    /// The natural logarithm of |S|, for any size of z.
    pub(crate) fn log_normaliser(&self, x: &[f64]) -> f64 {
        let z = self.predictor(x);
        let size = |z: f64| if matches!(self.link, Link::Exp) { z } else { z.abs() };
        let top = z.iter().fold(f64::NEG_INFINITY, |top: f64, z| top.max(size(*z)));
        let scaled = |z: f64| match self.link {
            Link::Exp => (z - top).exp(),
            Link::Cosh => 0.5 * ((z - top).exp() + (-z - top).exp()),
            _ => 0.5 * ((z - top).exp() - (-z - top).exp()),
        };
        top + z.iter().map(|z| scaled(*z)).sum::<f64>().abs().ln()
    }

    /// The same problem with these rows, which may repeat.
    pub(crate) fn with_rows(&self, order: &[usize]) -> Data {
        let a = self.a.to_dense();
        let pick = |v: &Vec<f64>| order.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        Data {
            a: Design::Dense(Array::from_fn(order.len(), a.cols(), |i, j| a.row(order[i])[j])),
            b: pick(&self.b),
            omega: self.omega.as_ref().map(pick),
            row_reg: self.row_reg.as_ref().map(pick),
            offset: self.offset.as_ref().map(pick),
            ..self.clone()
        }
    }

    /// The same problem with its matrix by compressed rows.
    pub(crate) fn sparse(&self) -> Data {
        Data { a: Design::Sparse(Csr::from_dense(&self.a.to_dense())), ..self.clone() }
    }

    /// Whether x and -x have the same loss.
    pub(crate) fn is_even(&self) -> bool {
        let zero = |v: &Option<Vec<f64>>| v.as_ref().is_none_or(|v| v.iter().all(|v| *v == 0.0));
        let link = match self.link {
            Link::Exp => false,
            Link::Cosh => true,
            _ => !matches!(self.form, Form::Plain),
        };
        link && zero(&self.reference) && zero(&self.offset)
    }
}

/// u of z.
pub(crate) fn link_value(link: Link, z: f64) -> f64 {
    match link {
        Link::Exp => z.exp(),
        Link::Cosh => z.cosh(),
        _ => z.sinh(),
    }
}

/// Numbers in [-1, 1), the same for the same seed.
pub(crate) fn vector(seed: u64, n: usize) -> Vec<f64> {
    (0..n as u64).map(|i| 2.0 * unit_interval(hash64(seed, i)) - 1.0).collect()
}

/// A matrix of entries in [-1, 1).
pub(crate) fn matrix(seed: u64, n: usize, d: usize) -> Array {
    Array::from_fn(n, d, |i, j| 2.0 * unit_interval(hash64(seed, (i * d + j) as u64)) - 1.0)
}

/// `base + factor * change`, entry by entry.
pub(crate) fn moved(base: &[f64], factor: f64, change: &[f64]) -> Vec<f64> {
    base.iter().zip(change).map(|(base, change)| base + factor * change).collect()
}

/// A well-conditioned problem of n rows and d columns with weights, both regularisers, a reference and an offset, and a point
/// near its minimiser. The targets are what that point gives, but for ten per cent. Rescaled and normalised sinh get entries
/// above zero, so that S stays away from zero.
pub(crate) fn random(seed: u64, pair: (Link, Form), n: usize, d: usize) -> (Data, Vec<f64>) {
    let positive = matches!(pair.0, Link::Sinh) && !matches!(pair.1, Form::Plain);
    let entries = matrix(seed, n, d);
    let a = if positive { entries.map(|v| 0.5 + 0.5 * v) } else { entries };
    let truth: Vec<f64> = vector(seed ^ 1, d).iter().map(|v| if positive { 0.6 + 0.4 * v } else { *v }).collect();
    let mut data = Data::new(Design::Dense(a), vec![0.0; n], pair);
    let from = |mid: f64, spread: f64, part: u64| Some(vector(seed ^ part, n).iter().map(|v| mid + spread * v).collect::<Vec<f64>>());
    data.offset = from(0.05, 0.05, 2);
    let (mut fitted, noise) = (data.fitted(&truth), vector(seed ^ 3, n));
    if matches!(data.form, Form::Rescaled) {
        let sum: f64 = fitted.iter().sum();
        fitted.iter_mut().for_each(|u| *u /= sum);
    }
    data.b = fitted.iter().zip(&noise).map(|(u, noise)| u * (1.0 + 0.1 * noise)).collect();
    data.omega = from(1.0, 0.5, 4);
    data.row_reg = from(0.05, 0.05, 5);
    data.ridge = 0.01;
    data.reference = Some(moved(&truth, 0.2, &vector(seed ^ 6, d)));
    (data, truth)
}

/// A solver that goes to the end of the precision.
pub(crate) fn tight() -> Solver {
    Solver::default().with_gradient_tolerance(1e-14).with_max_iterations(300)
}

/// Samples few rows, so that a few thousand are enough to sample of.
pub(crate) fn few_rows() -> Sampling {
    Sampling { eps0: 0.7, ..Sampling::default() }
}

/// The gradient, where it does not overflow.
pub(crate) fn gradient(evaluation: &Evaluation) -> Vec<f64> {
    let scale = evaluation.log_scale.exp();
    evaluation.gradient.iter().map(|g| g * scale).collect()
}

/// The Hessian, where it does not overflow.
pub(crate) fn hessian(evaluation: &Evaluation) -> Array {
    let scale = evaluation.log_scale.exp();
    evaluation.hessian().map(|h| h * scale)
}

/// The matrix times the vector.
pub(crate) fn times(a: &Array, x: &[f64]) -> Vec<f64> {
    (0..a.rows()).map(|i| dot(a.row(i), x)).collect()
}

/// sqrt(y^T H y).
pub(crate) fn energy_norm(h: &Array, y: &[f64]) -> f64 {
    dot(&times(h, y), y).max(0.0).sqrt()
}

/// How fast the Hessian changes along a direction, in the energy norm of the Hessian at x, over a step of this length in it: at
/// most its Lipschitz constant there.
pub(crate) fn hessian_slope(data: &Data, x: &[f64], direction: &[f64], step: f64) -> f64 {
    let problem = data.problem();
    let here = hessian(&problem.evaluate(x).unwrap());
    let norm = energy_norm(&here, direction);
    let point = moved(x, step / norm, direction);
    let there = hessian(&problem.evaluate(&point).unwrap());
    (dot(&times(&there, direction), direction) - norm * norm).abs() / (norm * norm * step)
}

/// sqrt(y^T H^-1 y) for a positive definite H.
pub(crate) fn dual_norm(h: &Array, y: &[f64]) -> f64 {
    let cholesky = Cholesky::new("the Hessian", view(h)).expect("a positive definite Hessian");
    dot(&cholesky.solve(y), y).max(0.0).sqrt()
}

/// The least eigenvalue.
pub(crate) fn least_eigenvalue(h: &Array) -> f64 {
    symmetric_eigenvalues(view(h)).expect("eigenvalues")[0]
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The largest absolute value.
pub(crate) fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |top: f64, v| top.max(v.abs()))
}

/// The largest absolute difference.
pub(crate) fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |top: f64, (a, b)| if (a - b).is_nan() { f64::INFINITY } else { top.max((a - b).abs()) })
}

/// The distance in the 2-norm.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// The proven radius.
pub(crate) fn radius(solution: &Solution) -> Option<f64> {
    match solution.outcome {
        Outcome::ProvenLocalMinimum { radius } | Outcome::ProvenGlobalMinimum { radius } => Some(radius),
        _ => None,
    }
}

/// Whether the minimum is proven to be the global one.
pub(crate) fn is_global(solution: &Solution) -> bool {
    matches!(solution.outcome, Outcome::ProvenGlobalMinimum { .. })
}

/// Whether a warning of this name was given.
pub(crate) fn warns(solution: &Solution, name: &str) -> bool {
    solution.warnings.iter().any(|warning| warning.starts_with(name))
}

/// What must hold of every solution whatsoever: finite numbers, and an outcome that agrees with its certificate.
#[track_caller]
pub(crate) fn assert_sound(solution: &Solution, label: &str) {
    assert!(solution.x.iter().all(|x| x.is_finite()), "{label}: x is {:?}", solution.x);
    assert!(is_finite_log(solution.loss.mantissa(), solution.loss.ln()), "{label}: the loss is {:?}", solution.loss);
    assert!(solution.trace.iter().all(|value| value.is_finite()), "{label}: the trace is {:?}", solution.trace);
    let facts = &solution.facts;
    assert!(facts.gradient_inf.is_finite() && facts.gradient_inf >= 0.0, "{label}: the gradient is {}", facts.gradient_inf);
    for (name, fact) in [("newton_decrement", facts.newton_decrement), ("lambda_min", facts.lambda_min), ("lipschitz", facts.lipschitz)] {
        assert!(fact.is_none_or(|fact| fact.is_finite()), "{label}: {name} is {fact:?}");
    }
    assert!(solution.warnings.iter().all(|warning| warning.contains(": ")), "{label}: {:?}", solution.warnings);
    if let Outcome::NotProven { reason } = &solution.outcome {
        assert!(!reason.is_empty(), "{label}: no reason why nothing is proven");
    }
    let proven = radius(solution);
    assert!(proven.is_none_or(|radius| radius.is_finite() && radius >= 0.0), "{label}: the radius is {proven:?}");
    assert_ne!(solution.certificate.verdict(), Verdict::Violated, "{label}:\n{}", solution.certificate);
    let principal = solution.certificate.principal().map(|claim| claim.verdict());
    assert_eq!(principal == Some(Verdict::Holds), proven.is_some(), "{label}: radius {proven:?}, but\n{}", solution.certificate);
}

/// Whether a value that is carried as a logarithm is finite; zero is.
pub(crate) fn is_finite_log(mantissa: f64, log: f64) -> bool {
    mantissa == 0.0 || log.is_finite()
}

/// The kind of the error, which must have a message and a hint; `"accepted"` where there is none.
#[track_caller]
pub(crate) fn kind<T>(result: Result<T, Error>) -> &'static str {
    let Err(error) = result else { return "accepted" };
    assert!(!error.to_string().is_empty() && !error.hint().is_empty(), "an error of kind {} says nothing", error.kind());
    error.kind()
}

/// A reference case with a problem.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) data: Data,
    pub(crate) start: Option<Vec<f64>>,
    pub(crate) solution: Option<Listed>,
    pub(crate) tolerance: Tolerance,
}

/// The solution that a case lists.
pub(crate) struct Listed {
    pub(crate) kind: String,
    pub(crate) x: Vec<f64>,
    pub(crate) loss: f64,
    pub(crate) gradient_inf: f64,
    pub(crate) lambda_min: f64,
    pub(crate) lambda_max: f64,
    pub(crate) fitted: Option<Vec<f64>>,
}

/// How closely a solver must agree; what is not listed is not compared.
pub(crate) struct Tolerance {
    pub(crate) loss_relative: f64,
    pub(crate) loss_absolute: f64,
    pub(crate) x_relative: Option<f64>,
    pub(crate) fitted_relative: Option<f64>,
    pub(crate) fitted_absolute: Option<f64>,
}

impl Case {
    #[track_caller]
    pub(crate) fn read(path: &Path) -> Case {
        let file = json(path);
        let name = file["name"].as_str().unwrap_or_default().to_owned();
        let size = |key: &str| file[key].as_u64().unwrap_or_default() as usize;
        let (n, d) = (size("n"), size("d"));
        let design = &file["A"];
        let a = if design["format"].as_str() == Some("csr") {
            let indptr = numbers(&design["indptr"]).iter().map(|v| *v as usize).collect();
            let indices: Vec<u32> = numbers(&design["indices"]).iter().map(|v| *v as u32).collect();
            let values = if design["data"].is_string() { vec![1.0; indices.len()] } else { numbers(&design["data"]) };
            Design::Sparse(Csr::new(n, d, indptr, indices, values).expect("a sparse matrix"))
        } else {
            Design::Dense(Array::matrix(n, d, numbers(&design["data"])).expect("a matrix"))
        };
        // A bare number is the default, everywhere.
        let vector = |key: &str, bare: f64| {
            if file[key].is_array() {
                return Some(numbers(&file[key]));
            }
            assert_eq!(file[key].as_f64(), Some(bare), "{name}: {key}");
            None
        };
        let pair = parse_pair(file["link"].as_str().unwrap_or_default(), file["form"].as_str().unwrap_or_default());
        let mut data = Data::new(a, numbers(&file["b"]), pair);
        data.omega = vector("omega", 1.0);
        data.row_reg = vector("w", 0.0);
        data.reference = vector("x_ref", 0.0);
        data.ridge = file["ridge"].as_f64().expect("a ridge");
        let listed = &file["solution"];
        let solution = listed.is_object().then(|| Listed {
            kind: listed["kind"].as_str().unwrap_or_default().to_owned(),
            x: numbers(&listed["x"]),
            loss: listed["loss"].as_f64().expect("a loss"),
            gradient_inf: listed["grad_inf"].as_f64().expect("a gradient"),
            lambda_min: listed["hess_min_eig"].as_f64().expect("the least eigenvalue"),
            lambda_max: listed["hess_max_eig"].as_f64().expect("the largest eigenvalue"),
            fitted: file.get("fitted").map(numbers),
        });
        let tolerance = |key: &str| file["tolerance"][key].as_f64();
        let tolerance = Tolerance {
            loss_relative: tolerance("loss_rel").unwrap_or(0.0),
            loss_absolute: tolerance("loss_abs").unwrap_or(0.0),
            x_relative: tolerance("x_rel"),
            fitted_relative: tolerance("fitted_rel"),
            fitted_absolute: tolerance("fitted_abs"),
        };
        let start = file.get("x0").map(numbers);
        Case { name, data, start, solution, tolerance }
    }

    /// The shipped case of this name.
    #[track_caller]
    pub(crate) fn shipped(name: &str) -> Case {
        Case::read(&shipped(env!("CARGO_MANIFEST_DIR"), &format!("{name}.json")))
    }

    #[track_caller]
    pub(crate) fn listed(&self) -> &Listed {
        match &self.solution {
            Some(listed) => listed,
            None => panic!("{} lists no solution", self.name),
        }
    }

    /// How far above the listed loss a loss may be.
    pub(crate) fn loss_allowance(&self) -> f64 {
        self.tolerance.loss_relative * self.listed().loss + self.tolerance.loss_absolute
    }

    /// Asserts that the loss is not above the listed one; gives whether it is the listed one, and not a lower one.
    #[track_caller]
    pub(crate) fn assert_loss(&self, solution: &Solution) -> bool {
        let (listed, allowance) = (self.listed().loss, self.loss_allowance());
        let loss = solution.loss.to_f64().unwrap_or(f64::INFINITY);
        assert!(loss <= listed + allowance, "{}: the loss is {loss:e}, but {listed:e} is listed ({})", self.name, self.listed().kind);
        loss >= listed - allowance
    }

    /// The listed solution, or its negative where that is as good and nearer to x.
    pub(crate) fn nearest_listed(&self, x: &[f64]) -> Vec<f64> {
        let listed = self.listed().x.clone();
        let negative: Vec<f64> = listed.iter().map(|v| -v).collect();
        if self.data.is_even() && distance(x, &negative) < distance(x, &listed) { negative } else { listed }
    }
}

/// The link and form of these names.
#[track_caller]
pub(crate) fn parse_pair(link: &str, form: &str) -> (Link, Form) {
    match (link.parse::<Link>(), form.parse::<Form>()) {
        (Ok(link), Ok(form)) => (link, form),
        _ => panic!("no link {link:?} or no form {form:?}"),
    }
}

/// The names of all shipped cases that start so, in order.
pub(crate) fn family(prefix: &str) -> Vec<String> {
    let folder = shipped(env!("CARGO_MANIFEST_DIR"), ".");
    let entries = std::fs::read_dir(folder).expect("the folder of the cases");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

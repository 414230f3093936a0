//! What several tests use.

use certus_attention::layer::{self, Params};
use certus_attention::map::{self, Form};
use certus_attention::{Error, Facts, Mask};
use certus_contract::{Certificate, Verdict};
use certus_io::Npz;
use certus_linalg::factor::symmetric_eigenvalues;
use certus_linalg::view::view;
use certus_numeric::Array;
use certus_numeric::seed::{hash64, unit_interval};
use certus_testkit::cases::shipped;

/// One reference case: an archive of arrays.
pub(crate) struct Case(std::cell::RefCell<Npz>);

impl Case {
    pub(crate) fn open(name: &str) -> Case {
        let path = shipped(env!("CARGO_MANIFEST_DIR"), &format!("{name}.npz"));
        Case(std::cell::RefCell::new(Npz::open(certus_io::Source::file(path)).expect("a case")))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.borrow().contains(name)
    }

    pub(crate) fn array(&self, name: &str) -> Array {
        self.0.borrow_mut().array::<f64>(name).expect(name)
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.0.borrow_mut().scalar::<f64>(name).expect(name)
    }

    pub(crate) fn mask(&self) -> Option<Array<bool>> {
        self.has("mask").then(|| self.0.borrow_mut().array::<bool>("mask").expect("mask"))
    }

    /// The heads of a three-way array.
    pub(crate) fn heads(&self, name: &str) -> Vec<Array> {
        let array = self.array(name);
        let [heads, rows, cols] = array.shape() else { panic!("{name} has no heads") };
        let (heads, rows, cols) = (*heads, *rows, *cols);
        array.as_slice().chunks(rows * cols).take(heads).map(|head| Array::matrix(rows, cols, head.to_vec()).expect("a head")).collect()
    }
}

/// The largest difference relative to the largest entry.
pub(crate) fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-300f64, |l, v| l.max(v.abs()));
    found.iter().zip(expected).fold(0.0f64, |d, (a, b)| d.max((a - b).abs())) / largest
}

/// Numbers in (-1, 1).
pub(crate) fn vector(seed: u64, n: usize) -> Vec<f64> {
    (0..n as u64).map(|i| 2.0 * unit_interval(hash64(seed, i)) - 1.0).collect()
}

/// A matrix of numbers in (-1, 1).
pub(crate) fn matrix(seed: u64, rows: usize, cols: usize) -> Array {
    Array::matrix(rows, cols, vector(seed, rows * cols)).expect("a matrix")
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `a + t b`.
pub(crate) fn moved(a: &[f64], t: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + t * b).collect()
}

/// An array of the same shape with other entries.
pub(crate) fn like(a: &Array, entries: Vec<f64>) -> Array {
    Array::new(a.shape().to_vec(), entries).expect("as many entries")
}

/// `a b`, by the definition.
pub(crate) fn times(a: &Array, b: &Array) -> Array {
    Array::from_fn(a.rows(), b.cols(), |i, j| (0..a.cols()).map(|k| a.row(i)[k] * b.row(k)[j]).sum())
}

/// `a x`.
pub(crate) fn apply(a: &Array, x: &[f64]) -> Vec<f64> {
    (0..a.rows()).map(|i| dot(a.row(i), x)).collect()
}

pub(crate) fn eigenvalues(a: &Array) -> Vec<f64> {
    symmetric_eigenvalues(view(a)).expect("eigenvalues")
}

/// The spectral norm of a symmetric matrix.
pub(crate) fn spectral(a: &Array) -> f64 {
    eigenvalues(a).into_iter().fold(0.0, |norm, value| norm.max(value.abs()))
}

/// A mask that owns its data.
#[derive(Clone, Debug)]
pub(crate) enum Masked {
    All,
    Causal,
    Window(usize, usize),
    Lengths(Vec<usize>),
    Dense(Array<bool>),
}

impl Masked {
    pub(crate) fn mask(&self) -> Mask<'_> {
        match self {
            Masked::All => Mask::None,
            Masked::Causal => Mask::Causal,
            Masked::Window(back, ahead) => Mask::Window { back: *back, ahead: *ahead },
            Masked::Lengths(lengths) => Mask::Lengths(lengths),
            Masked::Dense(mask) => Mask::Dense(mask),
        }
    }

    pub(crate) fn sees(&self, i: usize, j: usize) -> bool {
        match self {
            Masked::All => true,
            Masked::Causal => j <= i,
            Masked::Window(back, ahead) => i as i64 - (*back as i64) <= j as i64 && j as i64 <= i as i64 + *ahead as i64,
            Masked::Lengths(lengths) => j < lengths[i],
            Masked::Dense(mask) => mask.row(i)[j],
        }
    }

    pub(crate) fn dense(&self, n: usize, m: usize) -> Array<bool> {
        Array::from_fn(n, m, |i, j| self.sees(i, j))
    }

    /// One of each kind; some rows of some of them see no key.
    pub(crate) fn of_kind(kind: u64, seed: u64, n: usize, m: usize) -> Masked {
        match kind % 5 {
            0 => Masked::All,
            1 => Masked::Causal,
            2 => Masked::Window((seed % 2) as usize, (seed / 2 % 3) as usize),
            3 => Masked::Lengths((0..n as u64).map(|i| (hash64(seed, i) % (m as u64 + 1)) as usize).collect()),
            _ => Masked::Dense(Array::from_fn(n, m, |i, j| !hash64(seed, (i * m + j) as u64).is_multiple_of(3))),
        }
    }
}

/// The row softmax of the logits over the visible keys, by the definition.
pub(crate) fn softmax(logits: &Array, mask: &Masked) -> Array {
    let (n, m) = (logits.rows(), logits.cols());
    let mut f = Array::zeros([n, m]);
    for i in 0..n {
        let largest = (0..m).filter(|&j| mask.sees(i, j)).map(|j| logits.row(i)[j]).fold(f64::NEG_INFINITY, f64::max);
        let weights = (0..m).map(|j| if mask.sees(i, j) { (logits.row(i)[j] - largest).exp() } else { 0.0 }).collect::<Vec<_>>();
        let sum = weights.iter().sum::<f64>();
        if sum > 0.0 {
            f.row_mut(i).iter_mut().zip(&weights).for_each(|(f, w)| *f = w / sum);
        }
    }
    f
}

/// `scale A1 X A2ᵀ`.
pub(crate) fn logits(a1: &Array, x: &Array, a2: &Array, scale: f64) -> Array {
    times(&times(a1, x), &a2.transposed()).map(|s| scale * s)
}

#[derive(Clone, Debug)]
pub(crate) struct LayerSequence {
    /// a1, a2, a3 of each head.
    pub(crate) heads: Vec<[Array; 3]>,
    pub(crate) target: Array,
    pub(crate) mask: Masked,
}

/// A layer problem with its data.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) sequences: Vec<LayerSequence>,
    pub(crate) scale: f64,
    pub(crate) logit_reg: (f64, f64),
    pub(crate) ridge: (f64, f64),
    pub(crate) reference: Option<Params>,
    pub(crate) block_rows: Option<usize>,
}

impl Layer {
    pub(crate) fn new(sequences: Vec<LayerSequence>) -> Layer {
        Layer { sequences, scale: 1.0, logit_reg: (0.0, 0.0), ridge: (0.0, 0.0), reference: None, block_rows: None }
    }

    /// One sequence of one head: n queries and m keys of dimensions d1, d2, d3, dv, and a random target.
    pub(crate) fn random(seed: u64, [n, m, d1, d2, d3, dv]: [usize; 6]) -> Layer {
        let heads = vec![[matrix(seed ^ 0x11, n, d1), matrix(seed ^ 0x22, m, d2), matrix(seed ^ 0x33, m, d3)]];
        Layer::new(vec![LayerSequence { heads, target: matrix(seed ^ 0x44, n, dv), mask: Masked::All }])
    }

    pub(crate) fn with_mask(mut self, mask: Masked) -> Layer {
        self.sequences[0].mask = mask;
        self
    }

    pub(crate) fn try_problem(&self) -> Result<layer::Problem<'_>, Error> {
        let sequences = self.sequences.iter().map(|s| {
            let heads = s.heads.iter().map(|[a1, a2, a3]| layer::Head { a1, a2, a3 }).collect();
            layer::Sequence::of_heads(heads, &s.target).with_mask(s.mask.mask())
        });
        let mut problem = layer::Problem::new(sequences.collect())?.with_scale(self.scale)?;
        problem = problem.with_logit_reg(self.logit_reg.0, self.logit_reg.1)?.with_ridge(self.ridge.0, self.ridge.1)?;
        if let Some(reference) = &self.reference {
            problem = problem.with_reference(reference)?;
        }
        if let Some(rows) = self.block_rows {
            problem = problem.with_block_rows(rows)?;
        }
        Ok(problem)
    }

    #[track_caller]
    pub(crate) fn problem(&self) -> layer::Problem<'_> {
        match self.try_problem() {
            Ok(problem) => problem,
            Err(error) => panic!("a sound problem was refused: {error}"),
        }
    }

    /// Parameters in (-size, size).
    pub(crate) fn params(&self, seed: u64, size: f64) -> Params {
        let zero = self.problem().reference();
        let fill = |a: &Array, seed: u64| like(a, vector(seed, a.len()).iter().map(|v| size * v).collect());
        Params { x: fill(&zero.x, seed ^ 0x55), y: fill(&zero.y, seed ^ 0x66) }
    }

    /// Each head of parameters.
    fn heads_of(params: &Params, count: usize) -> Vec<(Array, Array)> {
        let part = |a: &Array, h: usize| {
            let (rows, cols) = (a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1]);
            Array::matrix(rows, cols, a.as_slice()[h * rows * cols..(h + 1) * rows * cols].to_vec()).expect("a head")
        };
        (0..count).map(|h| (part(&params.x, h), part(&params.y, h))).collect()
    }

    /// The outputs of a sequence, by the definition.
    pub(crate) fn outputs(&self, s: usize, at: &Params) -> Array {
        let LayerSequence { heads, target, mask } = &self.sequences[s];
        let mut sum = Array::zeros([target.rows(), target.cols()]);
        for ([a1, a2, a3], (x, y)) in heads.iter().zip(Layer::heads_of(at, heads.len())) {
            let f = softmax(&logits(a1, &x, a2, self.scale), mask);
            let out = times(&times(&f, a3), &y);
            sum.as_mut_slice().iter_mut().zip(out.as_slice()).for_each(|(s, v)| *s += v);
        }
        sum
    }

    /// The loss, by the definition.
    pub(crate) fn defined_loss(&self, at: &Params) -> f64 {
        let zero = self.reference.clone().unwrap_or_else(|| Params { x: at.x.map(|_| 0.0), y: at.y.map(|_| 0.0) });
        let (dx, dy) = (moved(at.x.as_slice(), -1.0, zero.x.as_slice()), moved(at.y.as_slice(), -1.0, zero.y.as_slice()));
        let mut loss = 0.5 * self.ridge.0 * dot(&dx, &dx) + 0.5 * self.ridge.1 * dot(&dy, &dy);
        let shift = Params { x: like(&at.x, dx), y: like(&at.y, dy) };
        for (s, sequence) in self.sequences.iter().enumerate() {
            let residual = moved(self.outputs(s, at).as_slice(), -1.0, sequence.target.as_slice());
            loss += dot(&residual, &residual);
            for ([a1, a2, a3], (x, y)) in sequence.heads.iter().zip(Layer::heads_of(&shift, sequence.heads.len())) {
                let (of_x, of_y) = (logits(a1, &x, a2, self.scale), times(a3, &y));
                loss += 0.5 * self.logit_reg.0 * dot(of_x.as_slice(), of_x.as_slice());
                loss += 0.5 * self.logit_reg.1 * dot(of_y.as_slice(), of_y.as_slice());
            }
        }
        loss
    }

    /// The length of a change of X in the logits. For one head.
    pub(crate) fn logit_length(&self, dx: &Array) -> f64 {
        let of = |s: &LayerSequence| norm(logits(&s.heads[0][0], dx, &s.heads[0][1], self.scale).as_slice());
        norm(&self.sequences.iter().map(of).collect::<Vec<_>>())
    }
}

/// X and Y in one vector.
pub(crate) fn flat(params: &Params) -> Vec<f64> {
    [params.x.as_slice(), params.y.as_slice()].concat()
}

/// Parameters of the same shapes from one vector.
pub(crate) fn unflat(shape: &Params, v: &[f64]) -> Params {
    let (x, y) = v.split_at(shape.x.len());
    Params { x: like(&shape.x, x.to_vec()), y: like(&shape.y, y.to_vec()) }
}

#[derive(Clone, Debug)]
pub(crate) struct MapSequence {
    pub(crate) a1: Array,
    pub(crate) a2: Array,
    pub(crate) target: Array,
    pub(crate) mask: Masked,
}

/// A map problem with its data.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) sequences: Vec<MapSequence>,
    pub(crate) form: Form,
    pub(crate) scale: f64,
    pub(crate) logit_reg: f64,
    pub(crate) ridge: f64,
    pub(crate) reference: Option<Array>,
    pub(crate) block_rows: Option<usize>,
}

pub(crate) const FORMS: [Form; 3] = [Form::Normalised, Form::Rescaled, Form::CrossEntropy];

/// Rows that are distributions over the visible keys; zero where there are none.
pub(crate) fn distributions(seed: u64, n: usize, m: usize, mask: &Masked) -> Array {
    softmax(&matrix(seed, n, m).map(|v| 2.0 * v), mask)
}

impl Map {
    pub(crate) fn new(sequences: Vec<MapSequence>, form: Form) -> Map {
        Map { sequences, form, scale: 1.0, logit_reg: 0.0, ridge: 0.0, reference: None, block_rows: None }
    }

    /// One sequence of n queries and m keys of dimensions d1 and d2, and a random target of distributions.
    pub(crate) fn random(seed: u64, form: Form, [n, m, d1, d2]: [usize; 4], mask: Masked) -> Map {
        let target = distributions(seed ^ 0x44, n, m, &mask);
        Map::new(vec![MapSequence { a1: matrix(seed ^ 0x11, n, d1), a2: matrix(seed ^ 0x22, m, d2), target, mask }], form)
    }

    pub(crate) fn try_problem(&self) -> Result<map::Problem<'_>, Error> {
        let sequences =
            self.sequences.iter().map(|s| map::Sequence::new(&s.a1, &s.a2, &s.target).with_mask(s.mask.mask())).collect::<Vec<_>>();
        let mut problem = map::Problem::new(sequences, self.form)?.with_scale(self.scale)?;
        problem = problem.with_logit_reg(self.logit_reg)?.with_ridge(self.ridge)?;
        if let Some(reference) = &self.reference {
            problem = problem.with_reference(reference)?;
        }
        if let Some(rows) = self.block_rows {
            problem = problem.with_block_rows(rows)?;
        }
        Ok(problem)
    }

    #[track_caller]
    pub(crate) fn problem(&self) -> map::Problem<'_> {
        match self.try_problem() {
            Ok(problem) => problem,
            Err(error) => panic!("a sound problem was refused: {error}"),
        }
    }

    /// X in (-size, size).
    pub(crate) fn point(&self, seed: u64, size: f64) -> Array {
        let s = &self.sequences[0];
        matrix(seed ^ 0x55, s.a1.cols(), s.a2.cols()).map(|v| size * v)
    }

    /// The loss, by the definition.
    pub(crate) fn defined_loss(&self, x: &Array) -> f64 {
        let shift = self.reference.as_ref().map_or_else(|| x.clone(), |x0| like(x, moved(x.as_slice(), -1.0, x0.as_slice())));
        let mut loss = 0.5 * self.ridge * dot(shift.as_slice(), shift.as_slice());
        for s in &self.sequences {
            let all = logits(&s.a1, x, &s.a2, self.scale);
            let f = softmax(&all, &s.mask);
            for i in 0..all.rows() {
                let seen = (0..all.cols()).filter(|&j| s.mask.sees(i, j)).collect::<Vec<_>>();
                let sum = seen.iter().map(|&j| all.row(i)[j].exp()).sum::<f64>();
                let residual = moved(f.row(i), -1.0, s.target.row(i));
                loss += match self.form {
                    Form::Normalised => dot(&residual, &residual),
                    Form::Rescaled => sum * sum * dot(&residual, &residual),
                    Form::CrossEntropy if seen.is_empty() => 0.0,
                    Form::CrossEntropy => sum.ln() - seen.iter().map(|&j| s.target.row(i)[j] * all.row(i)[j]).sum::<f64>(),
                };
            }
            let of_x = logits(&s.a1, &shift, &s.a2, self.scale);
            loss += 0.5 * self.logit_reg * dot(of_x.as_slice(), of_x.as_slice());
        }
        loss
    }

    /// The length of a change of X in the logits.
    pub(crate) fn logit_length(&self, dx: &Array) -> f64 {
        norm(&self.sequences.iter().map(|s| norm(logits(&s.a1, dx, &s.a2, self.scale).as_slice())).collect::<Vec<_>>())
    }
}

/// Whether warnings hold one of this name.
pub(crate) fn warns(warnings: &[String], name: &str) -> bool {
    warnings.iter().any(|warning| warning.split(':').next() == Some(name))
}

fn assert_facts(facts: &Facts, certificate: &Certificate, label: &str) {
    let finite = |v: Option<f64>, name: &str| assert!(v.is_none_or(f64::is_finite), "{label}: {name} is {v:?}");
    assert!(facts.loss_start.is_finite(), "{label}: the first loss is {}", facts.loss_start);
    assert!(facts.gradient.0.is_finite() && facts.gradient.1.is_finite(), "{label}: the gradient is {:?}", facts.gradient);
    assert!(!facts.norms.largest().is_nan() && !facts.norms.largest_logit.is_nan(), "{label}: the norms are {:?}", facts.norms);
    finite(facts.convex_here, "convex_here");
    finite(facts.convex_everywhere, "convex_everywhere");
    if let Some(k) = &facts.kantorovich {
        for (value, name) in [
            (k.mu, "mu"),
            (k.lipschitz, "K"),
            (k.eta, "eta"),
            (k.h, "h"),
            (k.logit_radius, "the radius"),
            (k.gap, "the gap"),
            (k.logit_distance, "the distance"),
            (k.loss_gap, "the gap's estimate"),
        ] {
            finite(value, name);
        }
        assert!(k.logit_radius.is_none() || k.h.is_some_and(|h| h <= 0.5), "{label}: {k:?}");
        assert!(k.gap.is_none() || k.h.is_some_and(|h| h < 0.5), "{label}: {k:?}");
    }
    let others = certificate.claims.iter().any(|claim| claim.verdict() == Verdict::Violated);
    assert!(!others, "{label}: a theorem is violated:\n{certificate}");
}

/// All numbers are finite, the trace falls, the answer is no worse than the start, nothing proven is violated.
#[track_caller]
pub(crate) fn assert_layer(solution: &layer::Solution, label: &str) {
    assert!(solution.loss.is_finite() && solution.loss >= 0.0, "{label}: the loss is {}", solution.loss);
    assert!(flat(&solution.params).iter().all(|v| v.is_finite()), "{label}: {:?}", solution.params);
    assert!(solution.trace.iter().all(|v| v.is_finite()), "{label}: {:?}", solution.trace);
    for pair in solution.trace.windows(2) {
        assert!(pair[1] <= pair[0] * (1.0 + 1e-12) + 1e-300, "{label}: the loss grows from {:e} to {:e}", pair[0], pair[1]);
    }
    let start = solution.facts.loss_start;
    assert!(solution.loss <= start * (1.0 + 1e-12) + 1e-300, "{label}: {:e} at the end, {start:e} at the start", solution.loss);
    assert_facts(&solution.facts, &solution.certificate, label);
}

/// As [`assert_layer`].
#[track_caller]
pub(crate) fn assert_map(solution: &map::Solution, label: &str) {
    assert!(solution.loss.mantissa().is_finite() && solution.loss.log_scale().is_finite(), "{label}: the loss is {:?}", solution.loss);
    assert!(solution.x.as_slice().iter().all(|v| v.is_finite()), "{label}: {:?}", solution.x);
    assert!(solution.trace.iter().all(|v| v.is_finite()), "{label}: {:?}", solution.trace);
    for pair in solution.trace.windows(2) {
        assert!(pair[1] <= pair[0] + 1e-12 * (1.0 + pair[0].abs()), "{label}: the loss's logarithm grows from {} to {}", pair[0], pair[1]);
    }
    let (end, start) = (solution.loss.ln(), solution.loss_start.ln());
    assert!(
        solution.loss <= solution.loss_start || end <= start + 1e-12 * (1.0 + start.abs()),
        "{label}: {:?} at the end, {:?} at the start",
        solution.loss,
        solution.loss_start
    );
    assert_facts(&solution.facts, &solution.certificate, label);
}

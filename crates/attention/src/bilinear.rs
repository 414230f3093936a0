//! The part of a problem that concerns X: queries, keys, masks, the scale, and the regulariser of X.

use std::sync::OnceLock;

use certus_contract::InputError;
use certus_linalg::factor::{SymmetricEigen, symmetric_eigen};
use certus_linalg::product::{Destination, gram, matmul, matmul_into, matvec};
use certus_linalg::view::{is_finite, rows_of, view};
use certus_linalg::{Error as LinearAlgebraError, Mat, MatMut, MatRef};
use certus_numeric::Array;
use certus_numeric::sum::{dot, max_abs, norm2};

use crate::blocks::{Block, height};
use crate::mask::Visible;
use crate::norms::{Norms, of_gram, spectral};
use crate::scores::{Scores, shaped};
use crate::symmetric::{distinct, expand, pack, squares};

/// The queries and keys of the heads in one sequence.
#[derive(Clone, Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) heads: Vec<Scores<'a>>,
    pub(crate) visible: Visible<'a>,
    /// `A1ᵀ A1` and `A2ᵀ A2` of each head.
    pub(crate) grams: Vec<(Mat<f64>, Mat<f64>)>,
    /// Weights of the queries in a Hessian; none where all count once.
    pub(crate) weights: Option<Vec<f64>>,
}

impl<'a> Inputs<'a> {
    /// `InvalidParameter` where squares of the entries overflow; `names` are those of queries and keys.
    pub(crate) fn checked(heads: Vec<Scores<'a>>, visible: Visible<'a>, names: [&str; 2]) -> Result<Self, InputError> {
        let inputs = Inputs::new(heads, visible);
        for (head, (g1, g2)) in inputs.heads.iter().zip(&inputs.grams) {
            for ((gram, a), name) in [(g1, head.a1), (g2, head.a2)].into_iter().zip(names) {
                if !is_finite(gram.as_ref()) {
                    return Err(InputError::parameter(
                        format!("largest entry of {name}"),
                        max_abs(a.as_slice()),
                        "so small that squares do not overflow",
                    ));
                }
            }
        }
        Ok(inputs)
    }

    pub(crate) fn new(heads: Vec<Scores<'a>>, visible: Visible<'a>) -> Self {
        let grams = heads.iter().map(|head| (gram(view(head.a1)), gram(view(head.a2)))).collect();
        Inputs { heads, visible, grams, weights: None }
    }

    /// The products of the columns of some queries of head h, times their weights, row-major.
    pub(crate) fn squares<'b>(&self, h: usize, rows: std::ops::Range<usize>, into: &'b mut Vec<f64>) -> &'b [f64] {
        let a1 = self.heads[h].a1;
        let (d1, width) = (a1.cols(), distinct(a1.cols()));
        let into = shaped(into, rows.len(), width);
        squares(&a1.as_slice()[rows.start * d1..rows.end * d1], d1, into);
        if let Some(weights) = &self.weights {
            for (row, weight) in into.chunks_exact_mut(width).zip(&weights[rows]) {
                row.iter_mut().for_each(|v| *v *= weight);
            }
        }
        into
    }

    /// The number of queries.
    pub(crate) fn queries(&self) -> usize {
        self.heads[0].a1.rows()
    }

    /// The number of keys.
    pub(crate) fn keys(&self) -> usize {
        self.heads[0].a2.rows()
    }

    /// The number of keys that query i sees.
    pub(crate) fn count(&self, i: usize) -> usize {
        self.visible.count(i, self.keys())
    }
}

/// The score matrices `scale A1 X A2ᵀ` of all sequences as functions of X.
#[derive(Clone, Debug)]
pub(crate) struct Bilinear<'a> {
    pub(crate) sequences: Vec<Inputs<'a>>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) heads: usize,
    pub(crate) d1: usize,
    pub(crate) d2: usize,
    pub(crate) scale: f64,
    /// The weight of `½ |scale A1 (X - X0) A2ᵀ|²`.
    pub(crate) logit_reg: f64,
    /// The weight of `½ |X - X0|²`.
    pub(crate) ridge: f64,
    pub(crate) x0: Vec<f64>,
    /// The eigenvalues and eigenvectors of the summed Gram matrices, once they were wanted.
    pub(crate) spectra: OnceLock<Vec<(SymmetricEigen, SymmetricEigen)>>,
}

/// A residual of least squares for a constant that counts as none, relative to it.
const CONSTANT: f64 = 1e-8;

impl<'a> Bilinear<'a> {
    /// Scale 1, no regulariser, a reference of zeros; in blocks of which so many maps are worked on at once. At least one sequence, all with
    /// the same heads and columns.
    pub(crate) fn new(sequences: Vec<Inputs<'a>>, maps: usize) -> Self {
        let first = &sequences[0];
        let (heads, d1, d2) = (first.heads.len(), first.heads[0].a1.cols(), first.heads[0].a2.cols());
        let x0 = vec![0.0; heads * d1 * d2];
        let (blocks, spectra) = (Vec::new(), OnceLock::new());
        let mut new = Bilinear { sequences, blocks, heads, d1, d2, scale: 1.0, logit_reg: 0.0, ridge: 0.0, x0, spectra };
        new.cut(|n, m| height(n, m, maps));
        new
    }

    /// Cuts the queries into blocks of so many rows, for n queries and m keys.
    pub(crate) fn cut(&mut self, height: impl Fn(usize, usize) -> usize) {
        let of = |(s, sequence): (usize, &Inputs<'_>)| {
            let (n, m) = (sequence.queries(), sequence.keys());
            let height = height(n, m);
            let block = |first: usize| {
                let rows = first..n.min(first + height);
                Block { sequence: s, seen: sequence.visible.seen(rows.clone(), m), rows }
            };
            (0..n).step_by(height).map(block).collect::<Vec<_>>()
        };
        self.blocks = self.sequences.iter().enumerate().flat_map(of).collect();
    }

    pub(crate) fn set_scale(&mut self, scale: f64) -> Result<(), InputError> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(InputError::parameter("scale", scale, "finite and above 0"));
        }
        self.scale = scale;
        Ok(())
    }

    /// Entries of one head's X.
    pub(crate) fn of_head(&self) -> usize {
        self.d1 * self.d2
    }

    /// Entries of X.
    pub(crate) fn of_x(&self) -> usize {
        self.heads * self.of_head()
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        if self.heads == 1 { vec![self.d1, self.d2] } else { vec![self.heads, self.d1, self.d2] }
    }

    /// X of head h.
    pub(crate) fn head<'x>(&self, x: &'x [f64], h: usize) -> &'x [f64] {
        &x[h * self.of_head()..(h + 1) * self.of_head()]
    }

    /// Queries of all sequences.
    pub(crate) fn queries(&self) -> usize {
        self.sequences.iter().map(Inputs::queries).sum()
    }

    /// Entries of one head's attention maps that some query may see.
    pub(crate) fn entries(&self) -> usize {
        self.blocks.iter().map(|b| b.rows.len() * b.seen).sum()
    }

    /// Queries that see no key.
    pub(crate) fn dead_rows(&self) -> usize {
        self.sequences.iter().map(|s| (0..s.queries()).filter(|&i| s.count(i) == 0).count()).sum()
    }

    /// Whether some query sees more than one key: else the attention does not depend on X.
    pub(crate) fn moves(&self) -> bool {
        self.sequences.iter().any(|s| (0..s.queries()).any(|i| s.count(i) > 1))
    }

    /// `X - X0`.
    pub(crate) fn shift(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(&self.x0).map(|(x, x0)| x - x0).collect()
    }

    /// `scale² Σ A1ᵀA1 D A2ᵀA2`: the logit metric applied to a direction of X.
    pub(crate) fn metric_times(&self, d: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; d.len()];
        for (h, (sum, d)) in sum.chunks_exact_mut(self.of_head()).zip(d.chunks_exact(self.of_head())).enumerate() {
            for sequence in &self.sequences {
                let (g1, g2) = &sequence.grams[h];
                let product = matmul(matmul(g1.as_ref(), rows_of(d, self.d1, self.d2)).as_ref(), g2.as_ref());
                add_scaled(sum, self.scale * self.scale, product.as_ref());
            }
        }
        sum
    }

    /// The gradient of the regulariser for `X - X0`, linear in it.
    pub(crate) fn pull(&self, shift: &[f64]) -> Vec<f64> {
        let mut pull = if self.logit_reg > 0.0 { self.metric_times(shift) } else { vec![0.0; shift.len()] };
        pull.iter_mut().zip(shift).for_each(|(p, s)| *p = self.logit_reg * *p + self.ridge * s);
        pull
    }

    /// For each entry of the regulariser's gradient at x by how much it is off at most.
    pub(crate) fn pull_rounding(&self, x: &[f64]) -> Vec<f64> {
        let steps = (2 * (self.d1 + self.d2) + self.sequences.len() + 8) as f64 * f64::EPSILON;
        let both = x.iter().zip(&self.x0);
        // Of the difference itself, and of the products with it.
        let off = both.map(|(x, x0)| steps * (x - x0).abs() + 2.0 * f64::EPSILON * (x.abs() + x0.abs())).collect::<Vec<_>>();
        let mut sum = off.iter().map(|o| self.ridge * o).collect::<Vec<_>>();
        if self.logit_reg > 0.0 {
            let absolute = |g: &Mat<f64>| Mat::from_fn(g.nrows(), g.ncols(), |i, j| g[(i, j)].abs());
            for (h, (sum, off)) in sum.chunks_exact_mut(self.of_head()).zip(off.chunks_exact(self.of_head())).enumerate() {
                for sequence in &self.sequences {
                    let (g1, g2) = (absolute(&sequence.grams[h].0), absolute(&sequence.grams[h].1));
                    // The Gram matrices are rounded as well.
                    let factor = self.logit_reg * self.scale * self.scale * (1.0 + (sequence.queries() + sequence.keys()) as f64);
                    let product = matmul(matmul(g1.as_ref(), rows_of(off, self.d1, self.d2)).as_ref(), g2.as_ref());
                    add_scaled(sum, factor, product.as_ref());
                }
            }
        }
        sum
    }

    /// The logit metric as a matrix: a block d1 d2 x d1 d2 on the diagonal for each head.
    pub(crate) fn metric(&self) -> Mat<f64> {
        let of = |h: usize| {
            let mut sum = vec![0.0; distinct(self.d1) * distinct(self.d2)];
            self.add_metric(h, 1.0, &mut sum);
            expand(&sum, self.d1, self.d2)
        };
        if self.heads == 1 {
            return of(0);
        }
        let (mut metric, d) = (Mat::zeros(self.of_x(), self.of_x()), self.of_head());
        (0..self.heads).for_each(|h| metric.submatrix_mut(h * d, h * d, d, d).copy_from(of(h)));
        metric
    }

    /// `sum += factor scale² Σ A1ᵀA1 ⊗ A2ᵀA2` over the sequences for head h, in distinct entries.
    pub(crate) fn add_metric(&self, h: usize, factor: f64, sum: &mut [f64]) {
        let count = self.sequences.len();
        let (of_queries, of_keys) = (distinct(self.d1), distinct(self.d2));
        let (mut first, mut second) = (vec![0.0; count * of_queries], vec![0.0; count * of_keys]);
        let packed = first.chunks_exact_mut(of_queries).zip(second.chunks_exact_mut(of_keys));
        for (sequence, (first, second)) in self.sequences.iter().zip(packed) {
            let (g1, g2) = &sequence.grams[h];
            pack(|p, q| g1[(p, q)], self.d1, first);
            pack(|p, q| g2[(p, q)], self.d2, second);
        }
        let (first, second) = (rows_of(&first, count, of_queries), rows_of(&second, count, of_keys));
        let sum = MatMut::from_row_major_slice_mut(sum, of_queries, of_keys);
        matmul_into(sum, Destination::Add, factor * self.scale * self.scale, first.transpose(), second);
    }

    /// The Gram matrices of each head's queries and keys, summed over the sequences.
    pub(crate) fn summed_grams(&self) -> Vec<(Mat<f64>, Mat<f64>)> {
        let mut sums = self.sequences[0].grams.clone();
        for sequence in &self.sequences[1..] {
            for ((sum1, sum2), (g1, g2)) in sums.iter_mut().zip(&sequence.grams) {
                *sum1 += g1;
                *sum2 += g2;
            }
        }
        sums
    }

    /// The eigenvalues and eigenvectors of those.
    pub(crate) fn spectra(&self) -> Result<&[(SymmetricEigen, SymmetricEigen)], LinearAlgebraError> {
        if self.spectra.get().is_none() {
            let both = |(g1, g2): &(Mat<f64>, Mat<f64>)| Ok((symmetric_eigen(g1.as_ref())?, symmetric_eigen(g2.as_ref())?));
            let found = self.summed_grams().iter().map(both).collect::<Result<Vec<_>, LinearAlgebraError>>()?;
            return Ok(self.spectra.get_or_init(|| found));
        }
        Ok(self.spectra.get().map_or(&[], Vec::as_slice))
    }

    /// Whether, in some head, one combination of the keys' columns is the same for all keys of all sequences.
    pub(crate) fn constant_in_keys(&self) -> Result<bool, LinearAlgebraError> {
        for (h, (_, of_keys)) in self.spectra()?.iter().enumerate() {
            if makes_constant(of_keys, || self.sequences.iter().map(|s| s.heads[h].a2)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The keys of each sequence and head less their mean, where that takes directions of X out of sight that no row of attention sees: a
    /// constant added to a row of logits changes nothing. `None` where the keys make no constant, or a regulariser sees it.
    pub(crate) fn centred_keys(&self) -> Result<Option<Vec<Vec<Array>>>, LinearAlgebraError> {
        if self.logit_reg > 0.0 || self.ridge > 0.0 || !self.constant_in_keys()? {
            return Ok(None);
        }
        let centred = |a2: &Array| {
            let mut mean = vec![0.0; a2.cols()];
            (0..a2.rows()).for_each(|j| mean.iter_mut().zip(a2.row(j)).for_each(|(m, v)| *m += v / a2.rows() as f64));
            Array::from_fn(a2.rows(), a2.cols(), |j, k| a2.row(j)[k] - mean[k])
        };
        Ok(Some(self.sequences.iter().map(|s| s.heads.iter().map(|head| centred(head.a2)).collect()).collect()))
    }

    /// The same score matrices with other keys.
    pub(crate) fn with_keys<'w>(&'w self, keys: &'w [Vec<Array>]) -> Bilinear<'w> {
        let of = |(s, keys): (&'w Inputs<'a>, &'w Vec<Array>)| {
            let heads = s.heads.iter().zip(keys).map(|(head, a2)| Scores { a1: head.a1, a2 });
            Inputs::new(heads.collect(), s.visible.borrowed())
        };
        let mut with = Bilinear::new(self.sequences.iter().zip(keys).map(of).collect(), 1);
        (with.scale, with.logit_reg, with.ridge) = (self.scale, self.logit_reg, self.ridge);
        (with.x0, with.blocks) = (self.x0.clone(), self.blocks.clone());
        with
    }

    /// Whether the logits of the first head can all be shifted together.
    pub(crate) fn shifts(&self) -> Result<bool, LinearAlgebraError> {
        let (of_queries, of_keys) = &self.spectra()?[0];
        Ok(makes_constant(of_queries, || self.sequences.iter().map(|s| s.heads[0].a1))
            && makes_constant(of_keys, || self.sequences.iter().map(|s| s.heads[0].a2)))
    }

    /// For each query of the first head, by how much its computed logits are off at most, in norm.
    pub(crate) fn logit_rounding(&self, x: &[f64]) -> Vec<f64> {
        let unit = (self.d1 + self.d2 + 3) as f64 * 0.5 * f64::EPSILON * self.scale * (1.0 + 1e-10);
        let sizes = self.head(x, 0).iter().map(|x| x.abs()).collect::<Vec<_>>();
        let of = |s: &Inputs<'_>| {
            let (a1, a2) = (s.heads[0].a1, s.heads[0].a2.map(|v| v.abs()));
            let keys = gram(view(&a2));
            let of_row = |i: usize| {
                let mut left = vec![0.0; self.d2];
                for (a, row) in a1.row(i).iter().zip(sizes.chunks_exact(self.d2)) {
                    left.iter_mut().zip(row).for_each(|(l, x)| *l += a.abs() * x);
                }
                // |S| <= |A1| |X| |A2|ᵀ, entry by entry.
                unit * dot(&left, &matvec(keys.as_ref(), &left)).sqrt()
            };
            (0..s.queries()).map(of_row).collect::<Vec<_>>()
        };
        self.sequences.iter().flat_map(of).collect()
    }

    /// The length of a change of X in the logit metric: that of the change of the logits.
    pub(crate) fn logit_distance(&self, change: &[f64]) -> f64 {
        dot(change, &self.metric_times(change)).max(0.0).sqrt()
    }

    /// The norms of the inputs and of X.
    pub(crate) fn norms(&self, x: &[f64]) -> Result<Norms, LinearAlgebraError> {
        let mut norms = Norms { least: (f64::INFINITY, f64::INFINITY), ..Norms::default() };
        let (queries, keys) = (self.queries(), self.sequences.iter().map(Inputs::keys).sum::<usize>());
        for (h, (of_queries, of_keys)) in self.spectra()?.iter().enumerate() {
            let (least1, largest1) = of_gram(&of_queries.values, queries);
            let (least2, largest2) = of_gram(&of_keys.values, keys);
            let of_x = spectral(rows_of(self.head(x, h), self.d1, self.d2))?;
            (norms.a1, norms.a2, norms.x) = (norms.a1.max(largest1), norms.a2.max(largest2), norms.x.max(of_x));
            norms.least = (norms.least.0.min(least1), norms.least.1.min(least2));
            let longest = |a: &Array| (0..a.rows()).map(|i| norm2(a.row(i))).fold(0.0, f64::max);
            let products = self.sequences.iter().map(|s| longest(s.heads[h].a1) * longest(s.heads[h].a2));
            let up = 1.0 + (self.d1 + self.d2 + 8) as f64 * f64::EPSILON;
            norms.largest_logit = norms.largest_logit.max(self.scale * of_x * products.fold(0.0, f64::max) * up);
        }
        Ok(norms)
    }
}

/// Whether the columns of the matrices, one below the other, can make the vector of ones: from the spectrum of their Gram matrix.
fn makes_constant<'m, I: Iterator<Item = &'m Array>>(eigen: &SymmetricEigen, matrices: impl Fn() -> I) -> bool {
    let d = eigen.values.len();
    let (mut sums, mut count) = (vec![0.0; d], 0);
    for a in matrices() {
        (0..a.rows()).for_each(|j| sums.iter_mut().zip(a.row(j)).for_each(|(s, v)| *s += v));
        count += a.rows();
    }
    let largest = eigen.values.last().copied().unwrap_or(0.0);
    let mut w = vec![0.0; d];
    for (k, value) in eigen.values.iter().enumerate().filter(|(_, v)| **v > 1e-13 * d as f64 * largest) {
        let along = eigen.vectors.col(k).iter().zip(&sums).fold(0.0, |sum, (v, s)| sum + v * s) / value;
        w.iter_mut().zip(eigen.vectors.col(k).iter()).for_each(|(w, v)| *w += along * v);
    }
    let residual = matrices().flat_map(|a| (0..a.rows()).map(|j| a.row(j).iter().zip(&w).fold(-1.0, |r, (a, w)| r + a * w)));
    residual.map(|r| r * r).sum::<f64>().sqrt() <= CONSTANT * (count as f64).sqrt()
}

/// `sum += factor a`, for a row-major sum.
pub(crate) fn add_scaled(sum: &mut [f64], factor: f64, a: MatRef<'_, f64>) {
    for (sum, row) in sum.chunks_exact_mut(a.ncols()).zip(a.row_iter()) {
        sum.iter_mut().zip(row.iter()).for_each(|(s, v)| *s += factor * v);
    }
}

/// `hessian += unit (logit_reg M + ridge I)`.
pub(crate) fn add_regulariser(hessian: &mut Mat<f64>, scores: &Bilinear<'_>, unit: f64) {
    if scores.logit_reg > 0.0 {
        let (metric, factor) = (scores.metric(), unit * scores.logit_reg);
        for j in 0..hessian.ncols() {
            for i in 0..hessian.nrows() {
                hessian[(i, j)] += factor * metric[(i, j)];
            }
        }
    }
    (0..hessian.ncols()).for_each(|j| hessian[(j, j)] += unit * scores.ridge);
}

/// A weight of a regulariser.
pub(crate) fn weight(name: &str, value: f64) -> Result<f64, InputError> {
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(InputError::parameter(name, value, "finite and at least 0")) }
}

/// A finite matrix of this shape, not empty.
pub(crate) fn require(array: &Array, name: &str, rows: usize, rows_are: &str, cols: usize) -> Result<(), InputError> {
    array.require_matrix(name)?;
    if array.is_empty() {
        return Err(InputError::empty(name, array.shape()));
    }
    if array.rows() != rows || array.cols() != cols {
        return Err(InputError::shape(name, array.shape(), format!("{rows} x {cols} ({rows} are {rows_are})")));
    }
    array.require_finite(name)
}

/// An array of this shape.
pub(crate) fn shaped_array(shape: Vec<usize>, data: &[f64]) -> Array {
    let mut array = Array::zeros(shape);
    array.as_mut_slice().copy_from_slice(data);
    array
}

/// A finite array of this shape.
pub(crate) fn require_shape(array: &Array, name: &str, shape: &[usize]) -> Result<(), InputError> {
    if array.shape() != shape {
        let expected = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        return Err(InputError::shape(name, array.shape(), expected));
    }
    array.require_finite(name)
}

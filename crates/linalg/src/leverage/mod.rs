//! Leverage scores: how much each row of a matrix matters to its column space.
//!
//! With B = diag(sqrt w) A and an orthonormal basis Q of the columns of B, the score of row i is |q_i|^2: between 0 and 1, with
//! the rank as their sum. It is b_i (B^T B)^+ b_i^T, and does not change when A is multiplied from the right by an invertible
//! matrix.

mod certificate;

use std::ops::Range;

use certus_contract::{InputError, require_finite, require_length};
use certus_numeric::sum::{norm2, par_blocks};
use certus_numeric::{Array, Csr, Seed};
use rand_distr::{Distribution, StandardNormal};

use crate::Error;
use crate::factor::{Cholesky, PivotedQr, Triangle, solve_triangular, solve_triangular_vec, tall_qr_r, triangular_condition};
use crate::matrix::{Matrix, require_dense};
use crate::operator::LinearOperator;
use crate::product::{gram, matmul};
use crate::sketch::{Osnap, Sketch};
use crate::solve::lanczos_extremes;
use crate::view::{Mat, MatRef, view};

pub use certificate::certificate;

/// Rows of A that are worked on together.
const BLOCK: usize = 512;

/// Partial Gram matrices, which are added up in their order: bounds their memory at 16 d^2 numbers.
const GRAM_PARTS: usize = 16;

/// Leverage scores of the rows of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Leverage {
    /// One score a row, in [0, 1] for exact ones.
    pub scores: Vec<f64>,
    /// The numerical rank: the directions of unit-norm columns above 4 s 2^-52, for the s rows of an internal sketch.
    pub rank: usize,
    /// Each score is within this factor 1 +- of the true one; 0 for exact ones.
    pub relative_error: f64,
    /// The rounding error of a score, to first order: (8 d condition + n) 2^-52, the condition that of the unit-norm columns kept.
    pub rounding: f64,
}

/// The scores of diag(sqrt w) A to rounding, for A of n x d and nonnegative weights w (1 without them).
///
/// A sketch gives a triangular factor R with which A R^-1 is well conditioned whatever A is; its Gram matrix, summed by blocks, then
/// makes the basis orthonormal to rounding. Errors are those of the conditioning of the columns of unit norm, times 1e-16.
/// Rank-deficient matrices and rows of zeros are fine. Cost: 4 n d^2 flops (dense), 2 n d^2 + 4 d nnz(A) (sparse); memory
/// 16 d^2 and a block of rows a thread.
///
/// # Errors
/// `DimensionMismatch`, `EmptyProblem`, `NonFinite` (also where a weight is), `InvalidParameter` for a negative weight;
/// `TooLarge` beyond about 8000 columns, for which the sketch has more than 2^28 entries; `NonFiniteMatrix` if products overflow.
///
/// ```
/// use certus_linalg::leverage::leverage_scores;
/// use certus_numeric::Array;
/// // A constant and a line: the ends of the line matter most.
/// let a = Array::from_fn(5, 2, |i, j| if j == 0 { 1.0 } else { i as f64 });
/// let leverage = leverage_scores((&a).into(), None)?;
/// assert_eq!(leverage.rank, 2);
/// for (score, expected) in leverage.scores.iter().zip([0.6, 0.3, 0.2, 0.3, 0.6]) {
///     assert!((score - expected).abs() < 1e-14);
/// }
/// # Ok::<(), certus_linalg::Error>(())
/// ```
pub fn leverage_scores(a: Matrix<'_>, weights: Option<&[f64]>) -> Result<Leverage, Error> {
    let rows = Rows::new(a, weights)?;
    let Some(basis) = rows.basis(4 * a.cols() + 64, Seed(0))? else { return Ok(rows.no_scores()) };
    let rank = basis.columns.len();
    let coordinates = Coordinates::of(&rows, &basis);
    let height = a.rows().div_ceil(GRAM_PARTS).next_multiple_of(BLOCK);
    let parts = par_blocks(a.rows(), height, |part| {
        let mut sum = Mat::<f64>::zeros(rank, rank);
        for start in part.clone().step_by(BLOCK) {
            sum += gram(coordinates.block(start..part.end.min(start + BLOCK)).transpose());
        }
        sum
    });
    let total = parts.into_iter().reduce(|total, part| total + part).unwrap_or_else(|| Mat::zeros(rank, rank));
    let correction = Cholesky::new("the Gram matrix of the preconditioned rows", total.as_ref())?;
    // The same coordinates once more, to the bit, so that the correction is the right one for them.
    let blocks = par_blocks(a.rows(), BLOCK, |range| {
        let mut block = coordinates.block(range);
        solve_triangular(Triangle::Lower, correction.lower(), block.as_mut());
        squared_norms(block.as_ref(), 1.0)
    });
    let scores = blocks.concat().into_iter().map(|score| if score > 1.0 { 1.0 } else { score }).collect();
    Ok(Leverage { scores, rank, relative_error: 0.0, rounding: rows.rounding(&basis) })
}

/// The scores of diag(sqrt w) A to a factor of about 1 +- `epsilon`, all at once except with probability `failure`.
///
/// The triangular factor of a sketch stands for that of A, and a Gaussian projection to k = O(log(n / failure) / epsilon^2) columns for
/// its inverse, unless the rank is below k. [`Leverage::relative_error`] is the factor that was reached: the error of the projection
/// is proven (tails of chi-square), that of the sketch is measured by Lanczos, an estimate from inside. Cost: 36 d / epsilon^2 rows of
/// sketch and their QR, 2 k nnz(A) flops. Source: Drineas, Magdon-Ismail, Mahoney, Woodruff, J. Mach. Learn. Res. 13 (2012).
///
/// # Errors
/// As [`leverage_scores`]; `InvalidParameter` unless `epsilon` and `failure` are in (0, 1).
pub fn approximate_leverage_scores(
    a: Matrix<'_>,
    weights: Option<&[f64]>,
    epsilon: f64,
    failure: f64,
    seed: Seed,
) -> Result<Leverage, Error> {
    for (name, value) in [("epsilon", epsilon), ("failure", failure)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(InputError::parameter(name, value, "above 0 and below 1").into());
        }
    }
    let rows = Rows::new(a, weights)?;
    let sketch_rows = (36.0 * a.cols() as f64 / (epsilon * epsilon)).min(a.rows() as f64) as usize;
    let Some(basis) = rows.basis(sketch_rows.max(4 * a.cols() + 64), seed)? else { return Ok(rows.no_scores()) };
    let rank = basis.columns.len();
    // A row's squared norm in this basis is its score times a number between the extreme eigenvalues of the basis' Gram matrix.
    let gram_operator = (rank, |x: &[f64], y: &mut [f64]| rows.gram_times(&basis, x, y));
    let extremes = lanczos_extremes(&gram_operator, 0.01, 40, seed.split("leverage extremes"))?;
    let (low, high) = (extremes.smallest - extremes.smallest_error, extremes.largest + extremes.largest_error);
    let sketch_error = (high - low) / (high + low);
    let room = (epsilon - sketch_error) / (1.0 + sketch_error);
    let projection_error = if room > 0.0 { room } else { 0.5 * epsilon };
    let columns = projection_columns(a.rows(), projection_error, failure);
    let (coordinates, projection_error) = if columns < rank as f64 {
        (Coordinates::projected(&rows, &basis, columns as usize, seed), projection_error)
    } else {
        (Coordinates::of(&rows, &basis), 0.0)
    };
    let centre = 2.0 / (low + high);
    let scores = par_blocks(a.rows(), BLOCK, |range| squared_norms(coordinates.block(range).as_ref(), centre)).concat();
    let relative_error = (1.0 + sketch_error) * (1.0 + projection_error) - 1.0;
    Ok(Leverage { scores, rank, relative_error, rounding: rows.rounding(&basis) })
}

/// The k for which the mean of k squared normal numbers is within 1 +- `error` for all of n rows, except with probability `failure`:
/// each tail is at most exp(-k (e - ln(1 + e)) / 2) (Chernoff; the lower tail is lighter).
fn projection_columns(n: usize, error: f64, failure: f64) -> f64 {
    (2.0 * (2.0 * n as f64 / failure).ln() / (error - error.ln_1p())).ceil()
}

/// The rows of diag(sqrt w) A.
struct Rows<'a> {
    a: Matrix<'a>,
    roots: Option<Vec<f64>>,
}

/// Columns of B that span the rest, and the lower triangular L for which L^-1 diag(scales) b, b a row's entries in these columns, are
/// the row's coordinates in a nearly orthonormal basis.
struct Basis {
    columns: Vec<usize>,
    scales: Vec<f64>,
    factor: Mat<f64>,
}

impl Basis {
    /// Multiplication by diag(scales) L^-T `target`, for sparse rows.
    fn sparse_map<'a>(&self, a: &'a Csr, mut target: Mat<f64>) -> Map<'a> {
        solve_triangular(Triangle::Upper, self.factor.transpose(), target.as_mut());
        let mut places = vec![None; a.cols()];
        for (place, &j) in self.columns.iter().enumerate() {
            places[j] = Some(place);
        }
        let by = Array::from_fn(target.nrows(), target.ncols(), |place, k| self.scales[place] * target[(place, k)]);
        Map::MultiplySparse(a, by, places)
    }
}

impl<'a> Rows<'a> {
    fn new(a: Matrix<'a>, weights: Option<&[f64]>) -> Result<Self, Error> {
        a.validate("the matrix")?;
        let Some(weights) = weights else { return Ok(Rows { a, roots: None }) };
        require_length("weights", weights.len(), a.rows(), "the rows of the matrix")?;
        require_finite("weights", &[weights.len()], weights)?;
        if let Some(i) = weights.iter().position(|&w| w < 0.0) {
            return Err(InputError::parameter(format!("weights[{i}]"), weights[i], "at least 0").into());
        }
        Ok(Rows { a, roots: Some(weights.iter().map(|w| w.sqrt()).collect()) })
    }

    fn root(&self, i: usize) -> f64 {
        self.roots.as_ref().map_or(1.0, |roots| roots[i])
    }

    fn no_scores(&self) -> Leverage {
        Leverage { scores: vec![0.0; self.a.rows()], rank: 0, relative_error: 0.0, rounding: 0.0 }
    }

    /// From a sketch with about `sketch_rows` rows; `None` for a matrix of zeros.
    fn basis(&self, sketch_rows: usize, seed: Seed) -> Result<Option<Basis>, Error> {
        let n = self.a.rows();
        require_dense("the sketch of the matrix", n.min(sketch_rows), self.a.cols(), "leave out columns, or raise epsilon")?;
        let sketched = if n <= sketch_rows {
            self.dense_rows()
        } else {
            let sketch = Osnap::new(sketch_rows, n, Osnap::NONZEROS, seed.split("leverage sketch"))?;
            match &self.roots {
                Some(roots) => sketch.apply_scaled(roots, self.a)?,
                None => sketch.apply(self.a)?,
            }
        };
        let (s, d) = (sketched.rows(), sketched.cols());
        let inverse_norms: Vec<f64> = (0..d)
            .map(|j| norm2(&(0..s).map(|i| sketched.row(i)[j]).collect::<Vec<_>>()))
            .map(|norm| if norm > 0.0 { 1.0 / norm } else { 0.0 })
            .collect();
        let unit = Mat::from_fn(s, d, |i, j| inverse_norms[j] * sketched.row(i)[j]);
        let reduced = if s >= d { tall_qr_r(unit.as_ref())? } else { unit };
        let qr = PivotedQr::new(reduced)?;
        let rank = qr.rank(4.0 * s.max(d) as f64 * f64::EPSILON);
        let columns = qr.permutation()[..rank].to_vec();
        let scales = columns.iter().map(|&j| inverse_norms[j]).collect();
        let r = qr.r();
        let factor = Mat::from_fn(rank, rank, |i, j| if i >= j { r[(j, i)] } else { 0.0 });
        Ok((rank > 0).then_some(Basis { columns, scales, factor }))
    }

    /// The rounding error of a score, relative to it: that of a triangular solve, and of the sums of the correction.
    fn rounding(&self, basis: &Basis) -> f64 {
        let condition = triangular_condition(basis.factor.transpose());
        (8.0 * self.a.cols() as f64 * condition + self.a.rows() as f64) * f64::EPSILON
    }

    /// All rows of B: for a matrix with no more rows than its sketch would have.
    fn dense_rows(&self) -> Array {
        let mut b = Array::zeros([self.a.rows(), self.a.cols()]);
        for i in 0..self.a.rows() {
            let root = self.root(i);
            let row = b.row_mut(i);
            match self.a {
                Matrix::Dense(a) => row.iter_mut().zip(a.row(i)).for_each(|(b, v)| *b = root * v),
                Matrix::Sparse(a) => {
                    let (columns, values) = a.row(i);
                    columns.iter().zip(values).for_each(|(&j, v)| row[j as usize] = root * v);
                }
            }
        }
        b
    }

    /// y = L^-1 D B^T B D L^-T x, for the columns of a basis.
    fn gram_times(&self, basis: &Basis, x: &[f64], y: &mut [f64]) {
        y.copy_from_slice(x);
        solve_triangular_vec(Triangle::Upper, basis.factor.transpose(), y);
        let mut full = vec![0.0; self.a.cols()];
        for ((&j, scale), y) in basis.columns.iter().zip(&basis.scales).zip(y.iter()) {
            full[j] = scale * y;
        }
        let mut image = self.a.times(&full);
        if let Some(roots) = &self.roots {
            image.iter_mut().zip(roots).for_each(|(v, root)| *v *= root * root);
        }
        let back = self.a.transpose_times(&image);
        for ((&j, scale), y) in basis.columns.iter().zip(&basis.scales).zip(y.iter_mut()) {
            *y = scale * back[j];
        }
        solve_triangular_vec(Triangle::Lower, basis.factor.as_ref(), y);
    }
}

/// How rows become coordinates, k numbers each.
struct Coordinates<'a> {
    rows: &'a Rows<'a>,
    basis: &'a Basis,
    map: Map<'a>,
}

enum Map<'a> {
    /// Solve with the basis' factor.
    Solve(&'a Array),
    /// Multiply by a rank x k matrix.
    Multiply(&'a Array, Mat<f64>),
    /// The same for sparse rows, which touch few of its rows. With the place of each column of A among the basis' columns.
    MultiplySparse(&'a Csr, Array, Vec<Option<usize>>),
}

impl<'a> Coordinates<'a> {
    fn of(rows: &'a Rows<'a>, basis: &'a Basis) -> Self {
        let map = match rows.a {
            Matrix::Dense(a) => Map::Solve(a),
            Matrix::Sparse(a) => basis.sparse_map(a, Mat::identity(basis.columns.len(), basis.columns.len())),
        };
        Coordinates { rows, basis, map }
    }

    /// Coordinates compressed to k numbers that keep squared norms on average.
    fn projected(rows: &'a Rows<'a>, basis: &'a Basis, k: usize, seed: Seed) -> Self {
        let mut stream = seed.stream("leverage projection");
        let scale = 1.0 / (k as f64).sqrt();
        let mut projection = Mat::from_fn(basis.columns.len(), k, |_, _| {
            let g: f64 = StandardNormal.sample(&mut stream);
            scale * g
        });
        let map = match rows.a {
            Matrix::Dense(a) => {
                solve_triangular(Triangle::Upper, basis.factor.transpose(), projection.as_mut());
                Map::Multiply(a, projection)
            }
            Matrix::Sparse(a) => basis.sparse_map(a, projection),
        };
        Coordinates { rows, basis, map }
    }

    /// The coordinates of a range of rows, one row a column.
    fn block(&self, range: Range<usize>) -> Mat<f64> {
        match &self.map {
            Map::Solve(a) => {
                let mut block = view(&self.picked(a, range)).transpose().to_owned();
                solve_triangular(Triangle::Lower, self.basis.factor.as_ref(), block.as_mut());
                block
            }
            Map::Multiply(a, by) => matmul(by.transpose(), view(&self.picked(a, range)).transpose()),
            Map::MultiplySparse(a, by, places) => {
                let mut block = Array::zeros([range.len(), by.cols()]);
                for (i, target) in range.zip(block.as_mut_slice().chunks_exact_mut(by.cols())) {
                    let (columns, values) = a.row(i);
                    for (&j, v) in columns.iter().zip(values) {
                        if let Some(place) = places[j as usize] {
                            let factor = self.rows.root(i) * v;
                            target.iter_mut().zip(by.row(place)).for_each(|(target, b)| *target += factor * b);
                        }
                    }
                }
                view(&block).transpose().to_owned()
            }
        }
    }

    /// The entries of dense rows of B in the basis' columns, scaled.
    fn picked(&self, a: &Array, range: Range<usize>) -> Array {
        let rank = self.basis.columns.len();
        let mut picked = Array::zeros([range.len(), rank]);
        for (i, picked) in range.zip(picked.as_mut_slice().chunks_exact_mut(rank)) {
            let (row, root) = (a.row(i), self.rows.root(i));
            for ((v, &j), scale) in picked.iter_mut().zip(&self.basis.columns).zip(&self.basis.scales) {
                *v = root * scale * row[j];
            }
        }
        picked
    }
}

/// `factor` times the squared norm of each column.
fn squared_norms(block: MatRef<'_, f64>, factor: f64) -> Vec<f64> {
    block.col_iter().map(|column| factor * column.iter().map(|v| v * v).sum::<f64>()).collect()
}

//! The randomised range finder: an orthonormal basis Q of nearly all that a matrix reaches, and a bound on the rest.
//!
//! Halko, Martinsson and Tropp, Finding structure with randomness, SIAM Review 53 (2011): algorithms 4.2 and 4.4, lemma 4.1.

use std::f64::consts::FRAC_2_PI;
use std::ops::ControlFlow;

use certus_contract::{Basis, Check, Claim, Event, InputError, Status};
use certus_numeric::sum::norm2;
use certus_numeric::{Array, Csr, Seed};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::Error;
use crate::factor::PivotedQr;
use crate::matrix::{Matrix, require_dense};
use crate::product::{Destination, matmul, matmul_into};
use crate::view::{Mat, MatRef, to_array, view};

/// The probability that one error bound is wrong.
const FAILURE: f64 = 1e-10;

/// Finds an orthonormal basis Q, a block of columns at a time, until |A - Q Q^T A| is at most the tolerance or the rank is reached.
///
/// ```
/// use certus_linalg::range_finder::RangeFinder;
/// use certus_numeric::Array;
/// // A matrix of rank two.
/// let a = Array::from_fn(60, 40, |i, j| (i as f64).sin() * j as f64 + (j as f64).cos());
/// let range = RangeFinder::default().with_tolerance(1e-9).find((&a).into())?;
/// assert!(range.error_bound <= 1e-9);
/// # Ok::<(), certus_linalg::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeFinder {
    tolerance: f64,
    rank: usize,
    block: usize,
    power_iterations: usize,
    seed: Seed,
}

impl Default for RangeFinder {
    /// Tolerance 0, any rank, blocks of 16, one power iteration, seed 0.
    fn default() -> Self {
        RangeFinder { tolerance: 0.0, rank: usize::MAX, block: 16, power_iterations: 1, seed: Seed(0) }
    }
}

/// An orthonormal basis of a subspace that holds nearly all of a matrix' range.
#[derive(Clone, Debug)]
pub struct Range {
    /// The basis Q: m x l.
    pub basis: Mat<f64>,
    /// A bound on the spectral norm |A - Q Q^T A|, true with probability [`Range::confidence`].
    pub error_bound: f64,
    /// The probability, over the seed, that the bound (and with it the decision to stop) is right.
    pub confidence: f64,
    /// `Converged` if the bound is within the tolerance; `MaxIterations` if the rank was reached first;
    /// `Stalled` if only rounding is missed; `Stopped` by the observer.
    pub status: Status,
}

impl Range {
    /// The bound as a claim against the tolerance that was asked for.
    pub fn claim(&self, tolerance: f64) -> Claim {
        let statement = "a bound on the spectral norm of A - Q Q^T A is within the tolerance";
        Claim::new("a posteriori error of a randomised range finder", "Halko, Martinsson and Tropp 2011, lemma 4.1")
            .guarantees(Check::le("range_error", statement, self.error_bound, tolerance).basis(Basis::WithConfidence(self.confidence)))
    }
}

impl RangeFinder {
    /// Stops when the spectral norm of what is missed is at most this (absolute; default 0: only the rank stops).
    pub fn with_tolerance(self, tolerance: f64) -> Self {
        RangeFinder { tolerance, ..self }
    }

    /// The most columns of Q (default: the smaller dimension of A).
    pub fn with_rank(self, rank: usize) -> Self {
        RangeFinder { rank, ..self }
    }

    /// Columns that are added and tested together (default 16). With more the bound is sharper: its factor is 0.8 * 10^(10 / block).
    pub fn with_block(self, block: usize) -> Self {
        RangeFinder { block, ..self }
    }

    /// Products with A A^T that sharpen each block (default 1): for singular values that fall slowly.
    pub fn with_power_iterations(self, power_iterations: usize) -> Self {
        RangeFinder { power_iterations, ..self }
    }

    /// The seed of the Gaussian vectors (default 0).
    pub fn with_seed(self, seed: Seed) -> Self {
        RangeFinder { seed, ..self }
    }

    /// The basis for A, m x n. Cost: (2 + 2 q) products of A with l vectors, q the power iterations, and O(m l^2); for a sparse A with
    /// q > 0 a transposed copy.
    ///
    /// # Errors
    /// `DimensionMismatch`, `EmptyProblem`, `NonFinite` for A; `InvalidParameter` for a negative tolerance, or a rank or block of 0;
    /// `TooLarge` for a block of more than 2^28 entries;
    /// `NonFiniteMatrix` if products overflow.
    pub fn find(&self, a: Matrix<'_>) -> Result<Range, Error> {
        self.find_with(a, certus_contract::ignore_events)
    }

    /// As [`RangeFinder::find`]; the observer sees each block, with the error bound, and may stop.
    ///
    /// # Errors
    /// As [`RangeFinder::find`].
    pub fn find_with(&self, a: Matrix<'_>, mut observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Range, Error> {
        a.validate("the matrix")?;
        self.validate()?;
        require_dense("a block of random vectors", a.rows().max(a.cols()), self.block, "choose a smaller block")?;
        let work = Products::new(a, self.power_iterations > 0);
        let most = self.rank.min(a.rows()).min(a.cols());
        let mut basis = Mat::zeros(a.rows(), 0);
        let (mut tests, mut stalled) = (0, false);
        loop {
            // What the basis misses of A times fresh Gaussian vectors: first a test of the basis, then its next columns.
            tests += 1;
            let mut missed = work.times(gaussian(a.cols(), self.block, self.seed, tests).as_ref());
            remove(basis.as_ref(), &mut missed);
            let largest = missed.col_iter().map(|column| norm2(&column.iter().copied().collect::<Vec<_>>())).fold(0.0, f64::max);
            let error_bound = self.bound_factor() * largest;
            let event = Event::new("range", basis.ncols() as u64).of(most as u64).value(error_bound);
            let status = if observer(&event).is_break() {
                Status::Stopped
            } else if error_bound <= self.tolerance {
                Status::Converged
            } else if basis.ncols() >= most {
                Status::MaxIterations
            } else if stalled {
                Status::Stalled
            } else {
                let before = basis.ncols();
                basis = self.extend(&work, basis, missed, most)?;
                stalled = basis.ncols() == before;
                continue;
            };
            return Ok(Range { basis, error_bound, confidence: 1.0 - FAILURE * tests as f64, status });
        }
    }

    fn validate(&self) -> Result<(), InputError> {
        if self.tolerance.is_nan() || self.tolerance < 0.0 {
            return Err(InputError::parameter("tolerance", self.tolerance, "at least 0"));
        }
        for (name, value) in [("rank", self.rank), ("block", self.block)] {
            if value == 0 {
                return Err(InputError::parameter(name, value, "at least 1"));
            }
        }
        Ok(())
    }

    /// |B| <= alpha sqrt(2 / pi) max |B w_i| over r Gaussian vectors, except with probability alpha^-r (lemma 4.1).
    fn bound_factor(&self) -> f64 {
        FAILURE.powf(-1.0 / self.block as f64) * FRAC_2_PI.sqrt()
    }

    /// The basis with a block of new columns: `missed`, sharpened by power iterations.
    fn extend(&self, work: &Products<'_>, basis: Mat<f64>, missed: Mat<f64>, most: usize) -> Result<Mat<f64>, Error> {
        let rounding = missed.nrows().max(missed.ncols()) as f64 * f64::EPSILON;
        let mut block = orthonormal(missed, rounding)?;
        for _ in 0..self.power_iterations {
            let back = orthonormal(work.transpose_times(block.as_ref()), rounding)?;
            block = work.times(back.as_ref());
            remove(basis.as_ref(), &mut block);
            block = orthonormal(block, rounding)?;
        }
        // Pivoting has put the largest directions first: those are kept where the rank leaves no room for all.
        let old = basis.ncols();
        let mut block = block.subcols(0, block.ncols().min(most - old)).to_owned();
        // Twice is enough: what the first removal left by rounding, the second takes. A column that it takes whole was rounding.
        for _ in 0..2 {
            remove(basis.as_ref(), &mut block);
            block = orthonormal(block, 1e-3)?;
        }
        Ok(Mat::from_fn(basis.nrows(), old + block.ncols(), |i, j| if j < old { basis[(i, j)] } else { block[(i, j - old)] }))
    }
}

/// Products with A and its transpose, for blocks of vectors.
struct Products<'a> {
    a: Matrix<'a>,
    transposed: Option<Csr>,
}

impl<'a> Products<'a> {
    fn new(a: Matrix<'a>, both: bool) -> Self {
        let transposed = match a {
            Matrix::Sparse(a) if both => Some(a.transposed()),
            _ => None,
        };
        Products { a, transposed }
    }

    fn times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        match self.a {
            Matrix::Dense(a) => matmul(view(a), x),
            Matrix::Sparse(a) => sparse_times(a, x),
        }
    }

    fn transpose_times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        match (self.a, &self.transposed) {
            (_, Some(transposed)) => sparse_times(transposed, x),
            (Matrix::Dense(a), None) => matmul(view(a).transpose(), x),
            (Matrix::Sparse(a), None) => sparse_times(&a.transposed(), x),
        }
    }
}

/// A X, in parallel rows.
fn sparse_times(a: &Csr, x: MatRef<'_, f64>) -> Mat<f64> {
    let x = to_array(x);
    let mut result = Array::zeros([a.rows(), x.cols()]);
    result.as_mut_slice().par_chunks_mut(x.cols().max(1)).with_min_len(256).enumerate().for_each(|(i, out)| {
        let (columns, values) = a.row(i);
        for (&j, v) in columns.iter().zip(values) {
            out.iter_mut().zip(x.row(j as usize)).for_each(|(out, x)| *out += v * x);
        }
    });
    view(&result).to_owned()
}

/// Fresh standard Gaussian vectors, n x k.
fn gaussian(n: usize, k: usize, seed: Seed, index: u64) -> Mat<f64> {
    let mut stream = seed.stream_at("range finder", index);
    Mat::from_fn(n, k, |_, _| StandardNormal.sample(&mut stream))
}

/// x -= Q Q^T x.
fn remove(q: MatRef<'_, f64>, x: &mut Mat<f64>) {
    if q.ncols() > 0 {
        let along = matmul(q.transpose(), x.as_ref());
        matmul_into(x.as_mut(), Destination::Add, -1.0, q, along.as_ref());
    }
}

/// An orthonormal basis of the span of these columns, but for directions below `tolerance` times the largest.
fn orthonormal(x: Mat<f64>, tolerance: f64) -> Result<Mat<f64>, Error> {
    let qr = PivotedQr::new(x)?;
    Ok(qr.q(qr.rank(tolerance)))
}

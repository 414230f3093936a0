//! TensorSketch: a CountSketch of Kronecker products whose hash is a sum, so that it is a convolution of small sketches.

use std::sync::Arc;

use certus_contract::InputError;
use certus_numeric::seed::hash64;
use certus_numeric::{Array, Seed};
use rayon::prelude::*;
use realfft::num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::count_sketch::row_and_sign;
use super::hashed::{Placement, scatter};
use super::tensor::{Factors, require_dimensions};
use super::theory::{self, EmbeddingBound};
use super::{Sketch, require_sizes};
use crate::matrix::Matrix;

/// Pham and Pagh's sketch of x_1 (x) ... (x) x_q (row-major: the last factor's index runs fastest): row
/// (h_1(i_1) + ... + h_q(i_q)) mod s, sign the product of the factors' signs.
///
/// The sketch of a Kronecker product is the circular convolution of the factors' CountSketches, found by FFT; nothing of
/// n_1 ... n_q entries is ever made. Embeds a d-dimensional subspace with distortion epsilon except with probability delta if
/// s >= (2 + 3^q) d^2 / (epsilon^2 delta) (Avron, Nguyen and Woodruff 2014). For vectors |vec X| of dimension n_1 n_2,
/// (A_1 (x) A_2) vec(X) = vec(A_1 X A_2^T).
///
/// ```
/// use certus_linalg::sketch::{Sketch, TensorSketch};
/// use certus_numeric::{Array, Seed};
/// let (a, b) = (Array::from_fn(100, 2, |i, j| (i * j) as f64), Array::from_fn(200, 3, |i, j| (i + j) as f64));
/// let sketch = TensorSketch::new(64, &[100, 200], Seed(1))?;
/// assert_eq!(sketch.cols(), 20_000);
/// assert_eq!(sketch.apply_kronecker(&[(&a).into(), (&b).into()])?.shape(), [64, 6]);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
#[derive(Clone)]
pub struct TensorSketch {
    rows: usize,
    dimensions: Vec<usize>,
    cols: usize,
    keys: Vec<u64>,
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
}

impl TensorSketch {
    /// A sketch with `rows` rows of the Kronecker product of spaces of these dimensions. Powers of two and other products of
    /// small primes make the fastest `rows`.
    ///
    /// # Errors
    /// `InvalidParameter` if `rows`, the number of factors or a dimension is 0; `TooLarge` if the product of the dimensions
    /// overflows, or beyond 2^31 rows.
    pub fn new(rows: usize, dimensions: &[usize], seed: Seed) -> Result<Self, InputError> {
        let cols = require_dimensions(dimensions)?;
        require_sizes(rows, cols)?;
        let key = seed.key("tensor sketch");
        let mut planner = RealFftPlanner::new();
        Ok(TensorSketch {
            rows,
            dimensions: dimensions.to_vec(),
            cols,
            keys: (0..dimensions.len()).map(|factor| hash64(key, factor as u64)).collect(),
            forward: planner.plan_fft_forward(rows),
            inverse: planner.plan_fft_inverse(rows),
        })
    }

    /// The dimensions of the factors.
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// S (A_1 (x) ... (x) A_q), s x (d_1 ... d_q), from the factors n_k x d_k.
    ///
    /// Cost: the factors' entries, an FFT of s for each of their columns, and an inverse FFT for each column of the result;
    /// memory twice the result.
    ///
    /// # Errors
    /// `DimensionMismatch` if the number of factors or their rows are not those of [`TensorSketch::dimensions`];
    /// `TooLarge` if the columns overflow.
    pub fn apply_kronecker(&self, factors: &[Matrix<'_>]) -> Result<Array, InputError> {
        let factors = Factors::with_rows(factors, &self.dimensions)?;
        let columns = factors.kronecker_columns(self.rows)?;
        let spectra = factors.with_transposed(|factors| self.spectra(factors));
        Ok(self.combine(columns, &spectra, |column, choice| factors.split_column(column, choice)).transposed())
    }

    /// S applied to the Khatri-Rao product (column-wise Kronecker product) of factors n_k x d: s x d.
    ///
    /// # Errors
    /// `DimensionMismatch` if the factors do not have the dimensions of the sketch as rows and equally many columns.
    pub fn apply_khatri_rao(&self, factors: &[Matrix<'_>]) -> Result<Array, InputError> {
        let factors = Factors::with_rows(factors, &self.dimensions)?;
        let columns = factors.common_columns()?;
        let spectra = factors.with_transposed(|factors| self.spectra(factors));
        Ok(self.combine(columns, &spectra, |column, choice| choice.fill(column)).transposed())
    }

    /// S applied to each row of the face-splitting product (row-wise Kronecker product) of factors m x n_k: m x s, the feature
    /// map of polynomial kernels. Row i is S (a_1i (x) ... (x) a_qi).
    ///
    /// # Errors
    /// `DimensionMismatch` if the factors do not have the dimensions of the sketch as columns and equally many rows.
    pub fn apply_face_splitting(&self, factors: &[Matrix<'_>]) -> Result<Array, InputError> {
        let factors = Factors::with_columns(factors, &self.dimensions)?;
        let rows = factors.common_rows()?;
        let mut result = Array::zeros([rows, self.rows]);
        result.as_mut_slice().par_chunks_mut(ROWS * self.rows).enumerate().for_each(|(block, out)| {
            let mut work = Workspace::new(self);
            let mut product = vec![Complex64::default(); self.bins()];
            let mut spectrum = product.clone();
            for (i, out) in out.chunks_exact_mut(self.rows).enumerate() {
                for (k, &factor) in factors.list().iter().enumerate() {
                    let target = if k == 0 { &mut product } else { &mut spectrum };
                    self.spectrum(k, factor, block * ROWS + i, target, &mut work);
                    if k > 0 {
                        product.iter_mut().zip(&spectrum).for_each(|(product, s)| *product *= s);
                    }
                }
                self.invert(&mut product, out, &mut work);
            }
        });
        Ok(result)
    }

    /// Frequencies of a real transform of s points.
    fn bins(&self) -> usize {
        self.rows / 2 + 1
    }

    /// The spectra of the CountSketches of all rows of the (transposed) factors.
    fn spectra(&self, factors: &Factors<'_>) -> Vec<Vec<Complex64>> {
        let spectra_of = |(k, &factor): (usize, &Matrix<'_>)| {
            let mut spectra = vec![Complex64::default(); factor.rows() * self.bins()];
            spectra
                .par_chunks_mut(self.bins())
                .enumerate()
                .for_each_init(|| Workspace::new(self), |work, (i, spectrum)| self.spectrum(k, factor, i, spectrum, work));
            spectra
        };
        factors.list().iter().enumerate().map(spectra_of).collect()
    }

    /// The spectrum of the CountSketch of row `i` of factor `k`.
    fn spectrum(&self, k: usize, factor: Matrix<'_>, i: usize, spectrum: &mut [Complex64], work: &mut Workspace) {
        work.signal.fill(0.0);
        let mut add = |index: usize, v: f64| {
            let (row, negative) = row_and_sign(hash64(self.keys[k], index as u64), self.rows);
            work.signal[row] += if negative { -v } else { v };
        };
        match factor {
            Matrix::Dense(a) => a.row(i).iter().enumerate().for_each(|(index, &v)| add(index, v)),
            Matrix::Sparse(a) => {
                let (indices, values) = a.row(i);
                indices.iter().zip(values).for_each(|(&index, &v)| add(index as usize, v));
            }
        }
        let result = self.forward.process_with_scratch(&mut work.signal, spectrum, &mut work.scratch);
        debug_assert!(result.is_ok(), "the buffers have the lengths of the plan");
    }

    /// The real signal of s points with this spectrum, divided by s. The spectrum is overwritten.
    fn invert(&self, spectrum: &mut [Complex64], out: &mut [f64], work: &mut Workspace) {
        // The first and, for even s, the last frequency are real; infinite input would leave a NaN there.
        spectrum[0].im = 0.0;
        if self.rows.is_multiple_of(2) {
            spectrum[self.rows / 2].im = 0.0;
        }
        let result = self.inverse.process_with_scratch(spectrum, out, &mut work.scratch);
        debug_assert!(result.is_ok(), "the buffers have the lengths of the plan");
        let scale = 1.0 / self.rows as f64;
        out.iter_mut().for_each(|v| *v *= scale);
    }

    /// Row `c` of the result (columns x s): the signal whose spectrum is the product of those that `choose(c, ..)` names.
    fn combine(&self, columns: usize, spectra: &[Vec<Complex64>], choose: impl Fn(usize, &mut [usize]) + Sync) -> Array {
        let bins = self.bins();
        let mut result = Array::zeros([columns, self.rows]);
        result.as_mut_slice().par_chunks_mut(ROWS * self.rows).enumerate().for_each(|(block, out)| {
            let mut work = Workspace::new(self);
            let mut product = vec![Complex64::default(); bins];
            let mut choice = vec![0; spectra.len()];
            for (c, out) in out.chunks_exact_mut(self.rows).enumerate() {
                choose(block * ROWS + c, &mut choice);
                product.copy_from_slice(&spectra[0][choice[0] * bins..][..bins]);
                for (spectra, &column) in spectra.iter().zip(&choice).skip(1) {
                    product.iter_mut().zip(&spectra[column * bins..][..bins]).for_each(|(product, s)| *product *= s);
                }
                self.invert(&mut product, out, &mut work);
            }
        });
        result
    }
}

/// Transforms that one task does with one workspace.
const ROWS: usize = 16;

struct Workspace {
    signal: Vec<f64>,
    scratch: Vec<Complex64>,
}

impl Workspace {
    fn new(sketch: &TensorSketch) -> Self {
        let scratch = sketch.forward.get_scratch_len().max(sketch.inverse.get_scratch_len());
        Workspace { signal: vec![0.0; sketch.rows], scratch: vec![Complex64::default(); scratch] }
    }
}

impl Placement for TensorSketch {
    fn copies(&self) -> usize {
        1
    }

    fn place(&self, i: usize, _: usize) -> (usize, bool) {
        let (mut rest, mut sum, mut odd) = (i, 0, false);
        for (&dimension, &key) in self.dimensions.iter().zip(&self.keys).rev() {
            let (row, negative) = row_and_sign(hash64(key, (rest % dimension) as u64), self.rows);
            rest /= dimension;
            sum = (sum + row) % self.rows;
            odd ^= negative;
        }
        (sum, odd)
    }
}

impl Sketch for TensorSketch {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    /// For input without structure, with n_1 ... n_q rows.
    fn sketch(&self, a: Matrix<'_>) -> Array {
        scatter(self.rows, 1.0, self, a)
    }

    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound> {
        let variance = theory::tensor_sketch_variance(d, self.dimensions.len());
        let epsilon = theory::second_moment_epsilon(self.rows, variance, delta);
        EmbeddingBound::new(delta, epsilon, "second moment of TensorSketch", "Avron, Nguyen and Woodruff 2014")
    }
}

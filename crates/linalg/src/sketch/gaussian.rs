//! The Gaussian sketch.

use certus_contract::InputError;
use certus_numeric::{Array, Seed};
use pulp::Simd;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::theory::{self, EmbeddingBound};
use super::{Sketch, require_sizes};
use crate::matrix::Matrix;
use crate::product::{Destination, matmul_into};
use crate::simd::{Kernel, widest};
use crate::view::{MatMut, MatRef, rows_of};

/// Rows of one tile of S: the accumulators of a column of the result fill eight vector registers of eight.
const TILE_ROWS: usize = 64;

/// Columns of one tile of S: a tile is 128 kB.
const TILE_COLS: usize = 256;

/// Independent N(0, 1/s) entries: the strongest sketch for its rows, and the most expensive.
///
/// Embeds a d-dimensional subspace with distortion epsilon except with probability delta if
/// s >= (sqrt d + sqrt(2 ln(2 / delta)))^2 / (sqrt(1 + epsilon) - 1)^2 (Davidson and Szarek 2001). Cost of S A: s n draws
/// and 2 s nnz(A) flops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    rows: usize,
    cols: usize,
    seed: Seed,
}

impl Gaussian {
    /// A `rows` x `cols` sketch.
    ///
    /// # Errors
    /// `InvalidParameter` if `rows` or `cols` is 0; `TooLarge` beyond 2^31 rows.
    pub fn new(rows: usize, cols: usize, seed: Seed) -> Result<Self, InputError> {
        require_sizes(rows, cols)?;
        Ok(Gaussian { rows, cols, seed })
    }

    /// The tile of S in a block of rows and a block of columns, times sqrt(s), column by column.
    fn fill(&self, block: usize, column_block: usize, tile: &mut [f64]) {
        let mut stream = self.seed.stream_at("gaussian sketch", ((block as u64) << 32) | column_block as u64);
        tile.fill_with(|| StandardNormal.sample(&mut stream));
    }
}

impl Sketch for Gaussian {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn sketch(&self, a: Matrix<'_>) -> Array {
        let d = a.cols();
        let scale = 1.0 / (self.rows as f64).sqrt();
        let mut result = Array::zeros([self.rows, d]);
        if d == 0 {
            return result;
        }
        result.as_mut_slice().par_chunks_mut(TILE_ROWS * d).enumerate().for_each(|(block, out)| {
            let mut tile = vec![0.0; TILE_ROWS * TILE_COLS];
            match a {
                Matrix::Dense(a) if d >= 8 => {
                    let rows = out.len() / d;
                    for (column_block, i0) in (0..self.cols).step_by(TILE_COLS).enumerate() {
                        let width = TILE_COLS.min(self.cols - i0);
                        self.fill(block, column_block, &mut tile[..TILE_ROWS * width]);
                        add_product(out, &tile, rows, width, &a.as_slice()[i0 * d..(i0 + width) * d], d);
                    }
                    out.iter_mut().for_each(|v| *v *= scale);
                }
                _ => {
                    // Transposed, so that one entry of A updates one contiguous run of accumulators.
                    let mut sums = vec![0.0; TILE_ROWS * d];
                    for (column_block, i0) in (0..self.cols).step_by(TILE_COLS).enumerate() {
                        let width = TILE_COLS.min(self.cols - i0);
                        self.fill(block, column_block, &mut tile[..TILE_ROWS * width]);
                        widest(AddTile { sums: &mut sums, tile: &tile[..TILE_ROWS * width], a, first: i0 });
                    }
                    for (r, out) in out.chunks_exact_mut(d).enumerate() {
                        out.iter_mut().enumerate().for_each(|(j, v)| *v = scale * sums[j * TILE_ROWS + r]);
                    }
                }
            }
        });
        result
    }

    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound> {
        let epsilon = theory::gaussian_epsilon(self.rows, d, delta);
        EmbeddingBound::new(delta, epsilon, "singular values of Gaussian matrices", "Davidson and Szarek 2001, theorem II.13")
    }
}

/// The transposed accumulators += the tile, whose first column is `first`, times its rows of A.
struct AddTile<'a> {
    sums: &'a mut [f64],
    tile: &'a [f64],
    a: Matrix<'a>,
    first: usize,
}

impl Kernel for AddTile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let AddTile { sums, tile, a, first } = self;
        for (i, column) in tile.chunks_exact(TILE_ROWS).enumerate() {
            match a {
                Matrix::Dense(a) => a.row(first + i).iter().enumerate().for_each(|(j, &v)| add_multiple(sums, j, v, column)),
                Matrix::Sparse(a) => {
                    let (columns, values) = a.row(first + i);
                    columns.iter().zip(values).for_each(|(&j, &v)| add_multiple(sums, j as usize, v, column));
                }
            }
        }
    }
}

/// Column `j` of the transposed accumulators += v times a column of S.
#[inline(always)]
fn add_multiple(sums: &mut [f64], j: usize, v: f64, column: &[f64]) {
    for (sum, s) in sums[j * TILE_ROWS..(j + 1) * TILE_ROWS].iter_mut().zip(column) {
        *sum += v * s;
    }
}

/// out (rows x d, row-major) += the first `rows` rows of the tile (column-major) times `width` rows of A (row-major).
fn add_product(out: &mut [f64], tile: &[f64], rows: usize, width: usize, a: &[f64], d: usize) {
    let tile = MatRef::from_column_major_slice(&tile[..TILE_ROWS * width], TILE_ROWS, width).subrows(0, rows);
    matmul_into(MatMut::from_row_major_slice_mut(out, rows, d), Destination::Add, 1.0, tile, rows_of(a, width, d));
}

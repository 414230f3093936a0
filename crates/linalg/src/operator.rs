//! Matrices that are only applied: dense, sparse, or implicit.

use certus_numeric::sum::{dot, par_blocks};
use certus_numeric::{Array, Csr};
use pulp::Simd;
use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::simd::{Kernel, widest};

/// A matrix that can be applied to a vector from both sides. All that the iterative solvers need.
///
/// ```
/// use certus_linalg::operator::LinearOperator;
/// use certus_linalg::Matrix;
/// use certus_numeric::Csr;
/// let a = Csr::new(2, 3, vec![0, 1, 3], vec![2, 0, 1], vec![5.0, 1.0, -1.0])?;
/// let a = Matrix::from(&a);
/// assert_eq!(a.times(&[1.0, 2.0, 3.0]), [15.0, -1.0]);
/// assert_eq!(a.transpose_times(&[1.0, 2.0]), [2.0, -2.0, 5.0]);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
pub trait LinearOperator: Sync {
    /// The number of rows, m.
    fn rows(&self) -> usize;

    /// The number of columns, d.
    fn cols(&self) -> usize;

    /// `y = A x`; `x` has d entries, `y` has m.
    fn apply(&self, x: &[f64], y: &mut [f64]);

    /// `x = Aᵀ y`; `y` has m entries, `x` has d.
    fn apply_transpose(&self, y: &[f64], x: &mut [f64]);

    /// One step of Golub-Kahan bidiagonalisation: `u = A v - alpha u`, then `w = Aᵀ u`. Gives `|u|²`.
    ///
    /// A matrix in memory does both in one pass, which halves the cost of LSMR.
    fn bidiagonal_step(&self, v: &[f64], alpha: f64, u: &mut [f64], w: &mut [f64]) -> f64 {
        let mut av = vec![0.0; u.len()];
        self.apply(v, &mut av);
        u.par_chunks_mut(4096).zip(av.par_chunks(4096)).for_each(|(u, av)| u.iter_mut().zip(av).for_each(|(u, av)| *u = av - alpha * *u));
        self.apply_transpose(u, w);
        certus_numeric::sum::par_dot(u, u)
    }

    /// `A x` as a new vector.
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.rows()];
        self.apply(x, &mut y);
        y
    }

    /// `Aᵀ y` as a new vector.
    fn transpose_times(&self, y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.cols()];
        self.apply_transpose(y, &mut x);
        x
    }
}

impl LinearOperator for Matrix<'_> {
    fn rows(&self) -> usize {
        Matrix::rows(self)
    }

    fn cols(&self) -> usize {
        Matrix::cols(self)
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        require_lengths(self, x, y);
        let rows = RowBlocks::new(*self);
        let block = |(k, y): (usize, &mut [f64])| {
            let first = k * rows.height;
            match self {
                Matrix::Dense(a) => widest(Times { rows: rows_of(a, first, y.len()), x, y }),
                Matrix::Sparse(a) => (0..y.len()).for_each(|i| y[i] = sparse_dot(a, first + i, x)),
            }
        };
        // The pool has its price, which a small product would not earn.
        if y.len() <= rows.height { block((0, y)) } else { y.par_chunks_mut(rows.height).enumerate().for_each(block) }
    }

    fn apply_transpose(&self, y: &[f64], x: &mut [f64]) {
        require_lengths(self, x, y);
        let rows = RowBlocks::new(*self);
        let parts = par_blocks(y.len(), rows.height, |range| {
            let mut part = vec![0.0; x.len()];
            match self {
                Matrix::Dense(a) => widest(AddRows { rows: rows_of(a, range.start, range.len()), factors: &y[range], sum: &mut part }),
                Matrix::Sparse(a) => range.for_each(|i| sparse_add(&mut part, y[i], a, i)),
            }
            part
        });
        add_up(parts, x);
    }

    fn bidiagonal_step(&self, v: &[f64], alpha: f64, u: &mut [f64], w: &mut [f64]) -> f64 {
        require_lengths(self, v, u);
        let rows = RowBlocks::new(*self);
        let parts = u
            .par_chunks_mut(rows.height)
            .enumerate()
            .map(|(k, u)| {
                let mut part = vec![0.0; v.len()];
                let first = k * rows.height;
                match self {
                    Matrix::Dense(a) => widest(Step { rows: rows_of(a, first, u.len()), v, alpha, u, part: &mut part }),
                    Matrix::Sparse(a) => {
                        for (i, u) in u.iter_mut().enumerate() {
                            *u = sparse_dot(a, first + i, v) - alpha * *u;
                            sparse_add(&mut part, *u, a, first + i);
                        }
                    }
                }
                (part, dot(u, u))
            })
            .collect::<Vec<_>>();
        let (parts, squares): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        add_up(parts, w);
        squares.into_iter().sum()
    }
}

impl Matrix<'_> {
    /// `Aᵀ diag(w) A x`, in one pass over A.
    ///
    /// # Panics
    /// If there are not n weights, or `x` has not d entries.
    pub fn weighted_normal_times(&self, weights: &[f64], x: &[f64]) -> Vec<f64> {
        require_lengths(self, x, weights);
        self.through(x, [], |first, z, []| z.iter_mut().zip(&weights[first..]).for_each(|(z, w)| *z *= w)).0
    }

    /// `Aᵀ f(A x)`, in one pass over A, for a function of each row alone.
    ///
    /// `f(first, z, kept)` is given the entries of A x of some rows from `first` on, and replaces them by what Aᵀ is applied to. It may
    /// write to the same rows of `kept`, vectors of n numbers (or empty, where not wanted). What it returns comes in the order of the
    /// rows. The product has the same bits on any number of threads.
    ///
    /// # Panics
    /// If `x` has not d entries, or a vector of `kept` neither n nor none.
    pub fn through<T: Send, const K: usize>(
        &self,
        x: &[f64],
        kept: [&mut [f64]; K],
        f: impl Fn(usize, &mut [f64], [&mut [f64]; K]) -> T + Sync,
    ) -> (Vec<f64>, Vec<T>) {
        let n = Matrix::rows(self);
        assert!(x.len() == Matrix::cols(self) && kept.iter().all(|k| k.is_empty() || k.len() == n), "vectors that do not fit the matrix");
        let height = RowBlocks::new(*self).height;
        // So many rows that they are still in the first cache when they are added up.
        let at_once = ((1 << 15) / (12 * self.stored().div_ceil(n.max(1))).max(1)).clamp(16, 512).min(n.max(1));
        let block = |(first, mut kept): (usize, [&mut [f64]; K])| {
            let (mut part, mut z, mut results) = (vec![0.0; x.len()], vec![0.0; at_once], Vec::new());
            let end = n.min(first + height);
            for first in (first..end).step_by(at_once) {
                let count = at_once.min(end - first);
                let (now, later) = split(kept, count);
                kept = later;
                let z = &mut z[..count];
                match self {
                    Matrix::Dense(a) => widest(Times { rows: rows_of(a, first, count), x, y: &mut *z }),
                    Matrix::Sparse(a) => (0..count).for_each(|i| z[i] = sparse_dot(a, first + i, x)),
                }
                results.push(f(first, z, now));
                match self {
                    Matrix::Dense(a) => widest(AddRows { rows: rows_of(a, first, count), factors: z, sum: &mut part }),
                    Matrix::Sparse(a) => (0..count).for_each(|i| sparse_add(&mut part, z[i], a, first + i)),
                }
            }
            (part, results)
        };
        // The pool has its price, which a small product would not earn.
        if n <= height {
            return block((0, kept));
        }
        let parts = cut(kept, n, height).into_par_iter().map(block).collect::<Vec<_>>();
        let (parts, results): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let mut product = vec![0.0; x.len()];
        add_up(parts, &mut product);
        (product, results.into_iter().flatten().collect())
    }
}

/// The vectors in blocks of so many entries, each with the index of its first.
pub(crate) fn cut<const K: usize>(mut vectors: [&mut [f64]; K], n: usize, height: usize) -> Vec<(usize, [&mut [f64]; K])> {
    let mut blocks = Vec::with_capacity(n.div_ceil(height));
    for first in (0..n).step_by(height) {
        let (now, later) = split(vectors, height.min(n - first));
        vectors = later;
        blocks.push((first, now));
    }
    blocks
}

/// The first `count` entries of each vector, and the rest.
fn split<const K: usize>(vectors: [&mut [f64]; K], count: usize) -> ([&mut [f64]; K], [&mut [f64]; K]) {
    let mut pairs = vectors.map(|v| v.split_at_mut(count.min(v.len())));
    let rest = pairs.each_mut().map(|pair| std::mem::take(&mut pair.1));
    (pairs.map(|pair| pair.0), rest)
}

/// How the rows of a matrix are cut into blocks that add to private copies of a column vector: by size alone, few enough that
/// adding up the copies costs at most a quarter of the pass.
pub(crate) struct RowBlocks {
    pub(crate) height: usize,
}

impl RowBlocks {
    pub(crate) fn new(a: Matrix<'_>) -> Self {
        let blocks = (a.stored() / (4 * a.cols().max(1))).clamp(1, 64);
        RowBlocks { height: a.rows().div_ceil(blocks).max(64) }
    }
}

fn require_lengths(a: &Matrix<'_>, column_space: &[f64], row_space: &[f64]) {
    assert!(
        column_space.len() == a.cols() && row_space.len() == a.rows(),
        "a {} x {} matrix applied between vectors of {} and {}",
        a.rows(),
        a.cols(),
        column_space.len(),
        row_space.len()
    );
}

/// Rows of a dense matrix, one after the other.
pub(crate) fn rows_of(a: &Array, first: usize, count: usize) -> &[f64] {
    &a.as_slice()[first * a.cols()..(first + count) * a.cols()]
}

pub(crate) fn add_up(parts: Vec<Vec<f64>>, x: &mut [f64]) {
    x.fill(0.0);
    for part in parts {
        x.iter_mut().zip(part).for_each(|(x, p)| *x += p);
    }
}

/// The dot products of R rows with one vector, together: so that none waits for another's additions.
///
/// In the machine's own lanes, not by the compiler's: it would shuffle the rows into each other.
#[inline(always)]
fn dots<S: Simd, const R: usize>(simd: S, rows: [&[f64]; R], x: &[f64]) -> [f64; R] {
    let rows = rows.map(|row| S::as_simd_f64s(row));
    let (x, x_rest) = S::as_simd_f64s(x);
    let mut sums = [simd.splat_f64s(0.0); R];
    for (k, x) in x.iter().enumerate() {
        for (sum, (row, _)) in sums.iter_mut().zip(&rows) {
            *sum = simd.mul_add_f64s(row[k], *x, *sum);
        }
    }
    let mut result = [0.0; R];
    for ((result, sum), (_, rest)) in result.iter_mut().zip(sums).zip(&rows) {
        *result = rest.iter().zip(x_rest).fold(simd.reduce_sum_f64s(sum), |sum, (a, x)| sum + a * x);
    }
    result
}

/// `squares += w_i a_ij²` for some rows of a dense matrix.
pub(crate) struct AddSquares<'a> {
    pub(crate) rows: &'a [f64],
    pub(crate) weights: Option<&'a [f64]>,
    pub(crate) squares: &'a mut [f64],
}

impl Kernel for AddSquares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (k, row) in self.rows.chunks_exact(self.squares.len()).enumerate() {
            let weight = self.weights.map_or(1.0, |w| w[k]);
            self.squares.iter_mut().zip(row).for_each(|(s, v)| *s += weight * v * v);
        }
    }
}

#[inline(always)]
fn add_multiple(y: &mut [f64], factor: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

/// `y = A x` for some rows of a dense matrix, four at a time.
struct Times<'a> {
    rows: &'a [f64],
    x: &'a [f64],
    y: &'a mut [f64],
}

impl Kernel for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let d = self.x.len();
        match d {
            1 => return times_narrow::<1>(self.rows, self.x, self.y),
            2 => return times_narrow::<2>(self.rows, self.x, self.y),
            3 => return times_narrow::<3>(self.rows, self.x, self.y),
            _ => {}
        }
        let (fours, ones) = (self.rows.chunks_exact(4 * d), self.y.len() / 4 * 4);
        let rest = fours.remainder();
        for (four, y) in fours.zip(self.y.chunks_exact_mut(4)) {
            y.copy_from_slice(&dots(simd, quarters(four, d), self.x));
        }
        for (row, y) in rest.chunks_exact(d).zip(&mut self.y[ones..]) {
            [*y] = dots(simd, [row], self.x);
        }
    }
}

/// As [`Times`] for three columns at most, with the same bits as in registers of four lanes and more.
#[inline(always)]
fn times_narrow<const D: usize>(rows: &[f64], x: &[f64], y: &mut [f64]) {
    let x: [f64; D] = std::array::from_fn(|j| x[j]);
    for (row, y) in rows.as_chunks::<D>().0.iter().zip(y) {
        *y = row.iter().zip(&x).fold(0.0, |sum, (a, x)| sum + a * x);
    }
}

/// As [`AddRows`] for a few columns, the sums in registers, with the same bits.
#[inline(always)]
fn add_rows_narrow<const D: usize>(rows: &[f64], factors: &[f64], sum: &mut [f64]) {
    let mut sums: [f64; D] = std::array::from_fn(|j| sum[j]);
    let (rows, ones) = (rows.as_chunks::<D>().0, factors.len() / 4 * 4);
    for (rows, f) in rows.as_chunks::<4>().0.iter().zip(factors.as_chunks::<4>().0) {
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum += (f[0] * rows[0][j] + f[1] * rows[1][j]) + (f[2] * rows[2][j] + f[3] * rows[3][j]);
        }
    }
    for (row, factor) in rows[ones..].iter().zip(&factors[ones..]) {
        sums.iter_mut().zip(row).for_each(|(sum, a)| *sum += factor * a);
    }
    sum.copy_from_slice(&sums);
}

/// `sum += Aᵀ factors` for some rows of a dense matrix, four at a time.
struct AddRows<'a> {
    rows: &'a [f64],
    factors: &'a [f64],
    sum: &'a mut [f64],
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let d = self.sum.len();
        match d {
            1 => return add_rows_narrow::<1>(self.rows, self.factors, self.sum),
            2 => return add_rows_narrow::<2>(self.rows, self.factors, self.sum),
            3 => return add_rows_narrow::<3>(self.rows, self.factors, self.sum),
            _ => {}
        }
        let (fours, ones) = (self.rows.chunks_exact(4 * d), self.factors.len() / 4 * 4);
        let rest = fours.remainder();
        for (four, factors) in fours.zip(self.factors.chunks_exact(4)) {
            add_four(self.sum, quarters(four, d), factors);
        }
        for (row, factor) in rest.chunks_exact(d).zip(&self.factors[ones..]) {
            add_multiple(self.sum, *factor, row);
        }
    }
}

/// `u = A v - alpha u`, then `part += Aᵀ u`, four rows at a time: while they are in the first cache, they are used for both.
struct Step<'a> {
    rows: &'a [f64],
    v: &'a [f64],
    alpha: f64,
    u: &'a mut [f64],
    part: &'a mut [f64],
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Step { rows, v, alpha, u, part } = self;
        let d = v.len();
        let (fours, ones) = (rows.chunks_exact(4 * d), u.len() / 4 * 4);
        let rest = fours.remainder();
        for (four, u) in fours.zip(u.chunks_exact_mut(4)) {
            let four = quarters(four, d);
            let products = dots(simd, four, v);
            for (u, product) in u.iter_mut().zip(products) {
                *u = product - alpha * *u;
            }
            add_four(part, four, u);
        }
        for (row, u) in rest.chunks_exact(d).zip(&mut u[ones..]) {
            let [product] = dots(simd, [row], v);
            *u = product - alpha * *u;
            add_multiple(part, *u, row);
        }
    }
}

/// `sum += factors · rows`, for four rows.
#[inline(always)]
fn add_four(sum: &mut [f64], rows: [&[f64]; 4], factors: &[f64]) {
    let (f0, f1, f2, f3) = (factors[0], factors[1], factors[2], factors[3]);
    for ((((sum, a0), a1), a2), a3) in sum.iter_mut().zip(rows[0]).zip(rows[1]).zip(rows[2]).zip(rows[3]) {
        *sum += (f0 * a0 + f1 * a1) + (f2 * a2 + f3 * a3);
    }
}

#[inline(always)]
fn quarters(four: &[f64], d: usize) -> [&[f64]; 4] {
    [&four[..d], &four[d..2 * d], &four[2 * d..3 * d], &four[3 * d..]]
}

#[inline(always)]
fn sparse_dot(a: &Csr, i: usize, x: &[f64]) -> f64 {
    let (columns, values) = a.row(i);
    columns.iter().zip(values).fold(0.0, |sum, (&j, v)| sum + v * x[j as usize])
}

#[inline(always)]
fn sparse_add(x: &mut [f64], factor: f64, a: &Csr, i: usize) {
    let (columns, values) = a.row(i);
    for (&j, v) in columns.iter().zip(values) {
        x[j as usize] += factor * v;
    }
}

//! What may be believed of leverage scores, by routes that share nothing with the one that found them.

use certus_contract::{Certificate, Check, Claim};
use certus_numeric::seed::bounded;
use certus_numeric::sum::par_blocks;
use certus_numeric::{Array, Csr, Seed};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{BLOCK, Leverage, Rows};
use crate::Error;
use crate::least_squares::{Certify, Problem, Solver};
use crate::matrix::Matrix;
use crate::operator::LinearOperator;

/// Rows whose scores are found again with full certification, beside the one with the largest score.
const SAMPLED: usize = 3;

/// The certificate of scores that [`leverage_scores`](super::leverage_scores) or
/// [`approximate_leverage_scores`](super::approximate_leverage_scores) found for this matrix and these weights.
///
/// The scores must add up to the rank, and none may be below the share that its row holds of a vector in the column space. With
/// full certification a few scores are also found again, each as `1 - min |B z - e_i|²` by least squares. Cost: two passes over A;
/// with full certification a copy of it and four solutions of least squares.
///
/// # Errors
/// As [`leverage_scores`](super::leverage_scores).
///
/// ```
/// use certus_contract::Verdict;
/// use certus_linalg::least_squares::Certify;
/// use certus_linalg::leverage;
/// use certus_numeric::{Array, Seed};
/// let a = Array::from_fn(50, 3, |i, j| ((i + 1) as f64).powi(j as i32 - 1));
/// let mut found = leverage::leverage_scores((&a).into(), None)?;
/// assert_eq!(leverage::certificate((&a).into(), None, &found, Certify::Full, Seed(0))?.verdict(), Verdict::Holds);
/// found.scores.swap(0, 49);
/// assert_eq!(leverage::certificate((&a).into(), None, &found, Certify::Cheap, Seed(0))?.verdict(), Verdict::Violated);
/// # Ok::<(), certus_linalg::Error>(())
/// ```
pub fn certificate(
    a: Matrix<'_>,
    weights: Option<&[f64]>,
    leverage: &Leverage,
    certify: Certify,
    seed: Seed,
) -> Result<Certificate, Error> {
    let rows = Rows::new(a, weights)?;
    let scores = &leverage.scores;
    let approximate = leverage.relative_error > 0.0;
    let on_basis = |check: Check| if approximate { check.estimated() } else { check.bounded() };
    let (sum, rank) = (scores.iter().sum::<f64>(), leverage.rank as f64);
    let limit = leverage.relative_error + leverage.rounding + scores.len() as f64 * f64::EPSILON;
    let total = Check::le("sum", "|sum of the scores - rank| / rank <= limit", (sum - rank).abs() / rank.max(1.0), limit);
    let mut claims = vec![
        Claim::new(
            "Leverage scores add up to the rank",
            "they are the diagonal of the projection onto the column space, whose trace is its rank",
        )
        .guarantees(on_basis(total.trivial(1.0))),
        largest_shares(&rows, weights, leverage, seed, on_basis),
    ];
    if certify == Certify::Full {
        claims.push(scores_found_again(&rows, leverage, seed)?);
    }
    Ok(Certificate::new(claims))
}

/// A score is the most that its row can hold of a vector in the column space: `max_z (B z)_i² / |B z|²`, here for the z that are
/// unit vectors and for random ones.
fn largest_shares(rows: &Rows<'_>, weights: Option<&[f64]>, leverage: &Leverage, seed: Seed, on_basis: impl Fn(Check) -> Check) -> Claim {
    let d = rows.a.cols();
    let squares = rows.a.column_squares(weights);
    let mut stream = seed.stream("leverage certificate");
    let z = squares
        .iter()
        .map(|s| {
            let g: f64 = StandardNormal.sample(&mut stream);
            if *s > 0.0 { g / s.sqrt() } else { 0.0 }
        })
        .collect::<Vec<_>>();
    let image = rows.a.times(&z).iter().enumerate().map(|(i, v)| (rows.root(i) * v).powi(2)).collect::<Vec<_>>();
    let norm = image.iter().sum::<f64>();
    let shares = par_blocks(rows.a.rows(), BLOCK, |range| {
        let share = |j: usize, v: f64| if squares[j] > 0.0 { v * v / squares[j] } else { 0.0 };
        let excess = |i: usize| {
            let random = if norm > 0.0 { image[i] / norm } else { 0.0 };
            let root = rows.root(i);
            let most = match rows.a {
                Matrix::Dense(a) => a.row(i).iter().enumerate().fold(random, |most, (j, v)| share(j, root * v).max(most)),
                Matrix::Sparse(a) => {
                    let (columns, values) = a.row(i);
                    columns.iter().zip(values).fold(random, |most, (&j, v)| share(j as usize, root * v).max(most))
                }
            };
            most * (1.0 - leverage.relative_error) - leverage.scores[i]
        };
        range.map(excess).fold(f64::NEG_INFINITY, f64::max)
    });
    let excess = shares.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let limit = leverage.rounding + (rows.a.rows() + d) as f64 * f64::EPSILON;
    Claim::new("No score is below the share that its row holds of a vector in the column space", "variational form of leverage scores")
        .guarantees(on_basis(Check::le(
            "share",
            "largest (share of a column, or of a random B z, in row i) (1 - relative error) - score i <= rounding",
            excess,
            limit,
        )))
}

/// `1 - min |B z - e_i|²` is the score of row i.
fn scores_found_again(rows: &Rows<'_>, leverage: &Leverage, seed: Seed) -> Result<Claim, Error> {
    let (n, d) = (rows.a.rows(), rows.a.cols());
    let mut excesses = Vec::new();
    if n >= d && leverage.rank > 0 {
        let scaled = rows.scaled();
        let matrix = scaled.as_ref().map_or(rows.a, Scaled::view);
        let mut stream = seed.stream("leverage sample");
        let largest = leverage.scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
        for i in std::iter::once(largest).chain((0..SAMPLED).map(|_| bounded(stream.next_u64(), n as u64) as usize)) {
            let unit = (0..n).map(|k| if k == i { 1.0 } else { 0.0 }).collect::<Vec<_>>();
            let solution = Solver::default().with_seed(seed).solve(&Problem::new(matrix, &unit)?)?;
            let score = 1.0 - solution.facts.residual.powi(2);
            excesses.push((leverage.scores[i] - score).abs() - leverage.relative_error * score);
        }
    }
    let check = Check::le(
        "each_score",
        "|score - true score| - relative error times true score <= rounding, for some rows",
        excesses.into_iter().reduce(f64::max),
        leverage.rounding + 1e-10,
    )
    .trivial(1.0);
    Ok(Claim::new("Each score is that of its row", "by the residual of least squares for unit vectors: 1 - min |B z - e_i|^2")
        .guarantees(check.estimated()))
}

/// A copy of a matrix with scaled rows.
enum Scaled {
    Dense(Array),
    Sparse(Csr),
}

impl Scaled {
    fn view(&self) -> Matrix<'_> {
        match self {
            Scaled::Dense(a) => a.into(),
            Scaled::Sparse(a) => a.into(),
        }
    }
}

impl Rows<'_> {
    /// B as a matrix, where it is not A.
    fn scaled(&self) -> Option<Scaled> {
        let roots = self.roots.as_ref()?;
        Some(match self.a {
            Matrix::Dense(a) => Scaled::Dense(Array::from_fn(a.rows(), a.cols(), |i, j| roots[i] * a.row(i)[j])),
            Matrix::Sparse(a) => {
                let mut scaled = a.clone();
                for (range, root) in a.indptr().windows(2).zip(roots) {
                    scaled.values_mut()[range[0]..range[1]].iter_mut().for_each(|v| *v *= root);
                }
                Scaled::Sparse(scaled)
            }
        })
    }
}

//! Where to begin.

use certus_linalg::Mat;
use certus_linalg::factor::{Cholesky, generalized_symmetric_eigen};
use certus_linalg::least_squares::{Problem as LeastSquares, Solver as LeastSquaresSolver};
use certus_linalg::operator::LinearOperator;
use certus_linalg::product::weighted_gram;
use certus_linalg::solve::{LsmrOptions, PcgOptions, lsmr, pcg};
use certus_numeric::Seed;
use rand_distr::{Distribution, StandardNormal};

use crate::objective::Loss;
use crate::problem::{Form, Link, Problem};

/// Where a solver begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Start {
    /// From the targets: the link is undone, and a linear problem solved. For even losses also an eigenvector and random points.
    #[default]
    Auto,
    /// At zero.
    Zero,
    /// At this point, d numbers.
    Given(Vec<f64>),
    /// At those of `Auto` and at `count` random points (at most a million), by the solver's seed: all are followed to their ends, and the
    /// best end kept; of equal ones that whose start was the better. Cost: that of so many fits.
    MultiStart {
        /// How many random points.
        count: usize,
    },
}

impl Start {
    /// Random points beyond those that the loss asks for.
    pub(crate) fn more(&self) -> usize {
        if let Start::MultiStart { count } = self { *count } else { 0 }
    }
}

/// Random starts of an even loss.
const RANDOM: u64 = 8;
/// Columns up to which normal equations are formed.
const DENSE: usize = 512;

/// Candidates, `more` random ones among them; their losses need not be finite.
pub(crate) fn candidates(loss: &Loss<'_, '_>, seed: Seed, more: usize) -> Vec<Vec<f64>> {
    let p = loss.problem;
    let mut found = Vec::new();
    match (p.link(), p.form()) {
        (Link::Exp, Form::Plain) => found.extend(inverse_link(loss, |b| (b > 0.0).then(|| (b.ln(), b * b)), false)),
        (Link::Sinh, Form::Plain) => found.extend(inverse_link(loss, |b| Some((b.asinh(), 1.0 + b * b)), false)),
        (Link::Exp, _) => found.extend(inverse_link(loss, |b| (b > 0.0).then(|| (b.ln(), b * b)), true)),
        (Link::Sinh, _) => {
            let n = p.rows() as f64;
            found.extend(inverse_link(loss, |b| Some(((n * b).asinh(), 1.0 + (n * b).powi(2))), false));
        }
        (Link::Cosh, _) => found.extend(top_eigenvector(loss)),
    }
    if p.is_even() || (p.link() != Link::Exp && p.form() != Form::Plain) || p.link() == Link::Cosh {
        found.extend((0..RANDOM).map(|k| random(loss, seed, k)));
    }
    found.push(p.reference_vector());
    if p.link() != Link::Cosh {
        found.push(vec![0.0; p.cols()]);
    }
    found.extend((0..more as u64).map(|k| random(loss, seed, RANDOM + k)));
    found.retain(|x| x.iter().all(|v| v.is_finite()) && !(p.link() == Link::Cosh && x.iter().all(|v| *v == 0.0)));
    found.dedup();
    found
}

/// A point at which Ax has entries of about 1.
pub(crate) fn random(loss: &Loss<'_, '_>, seed: Seed, k: u64) -> Vec<f64> {
    let p = loss.problem;
    let mut stream = seed.stream_at("regression start", k);
    let scale = (p.rows() as f64 / p.cols() as f64).sqrt();
    let entry = |(j, norm): (usize, &f64)| {
        let g: f64 = StandardNormal.sample(&mut stream);
        p.reference(j) + scale * g / norm
    };
    loss.column_norms.iter().enumerate().map(entry).collect()
}

/// The weighted least-squares fit of Ax + offset to what the link makes the targets of; `undo` gives that and a weight.
pub(crate) fn inverse_link(loss: &Loss<'_, '_>, undo: impl Fn(f64) -> Option<(f64, f64)>, intercept: bool) -> Option<Vec<f64>> {
    let p = loss.problem;
    let (mut t, mut w) = (vec![0.0; p.rows()], vec![0.0; p.rows()]);
    for (i, &b) in p.b().iter().enumerate() {
        if let Some((target, weight)) = undo(b) {
            (t[i], w[i]) = (target - p.offset(i), p.weight(i) * weight);
        }
    }
    let largest = w.iter().fold(0.0, |largest: f64, w| largest.max(*w));
    if !(largest > 0.0 && largest.is_finite()) {
        return None;
    }
    w.iter_mut().for_each(|w| *w /= largest);
    weighted_least_squares(loss, &t, &w, intercept)
}

/// The minimiser of `Σ w_i (a_iᵀ x + c - t_i)²`, c free or zero, up to a ridge that is small beside rounding of the normal equations.
fn weighted_least_squares(loss: &Loss<'_, '_>, t: &[f64], w: &[f64], intercept: bool) -> Option<Vec<f64>> {
    let (a, norms) = (loss.problem.a(), loss.column_norms);
    let d = norms.len();
    let total = w.iter().sum::<f64>();
    let mean = if intercept { w.iter().zip(t).map(|(w, t)| w * t).sum::<f64>() / total } else { 0.0 };
    let right = a.transpose_times(&w.iter().zip(t).map(|(w, t)| w * (t - mean)).collect::<Vec<_>>());
    let right = right.iter().zip(norms).map(|(r, norm)| r / norm).collect::<Vec<_>>();
    let centre = if intercept { a.transpose_times(w) } else { Vec::new() };
    let y = if d <= DENSE {
        let gram = weighted_gram(a, w);
        let mut scaled = Mat::from_fn(d, d, |i, j| {
            let centred = if intercept { gram[(i, j)] - centre[i] * centre[j] / total } else { gram[(i, j)] };
            centred / (norms[i] * norms[j])
        });
        let largest = (0..d).map(|j| scaled[(j, j)]).fold(0.0, f64::max);
        (0..d).for_each(|j| scaled[(j, j)] += 1e-12 * largest + f64::MIN_POSITIVE);
        Cholesky::new("the normal equations of the start", scaled.as_ref()).ok()?.solve(&right)
    } else {
        let normal = |y: &[f64], out: &mut [f64]| {
            let x = y.iter().zip(norms).map(|(y, norm)| y / norm).collect::<Vec<_>>();
            let mut z = a.times(&x);
            z.iter_mut().zip(w).for_each(|(z, w)| *z *= w);
            let along = if intercept { z.iter().sum::<f64>() / total } else { 0.0 };
            let back = a.transpose_times(&z);
            out.iter_mut().enumerate().for_each(|(j, out)| *out = (back[j] - if intercept { along * centre[j] } else { 0.0 }) / norms[j]);
        };
        let options = PcgOptions { tolerance: 1e-3, max_iterations: 30 };
        pcg(&(d, normal), &right, |r: &[f64], z: &mut [f64]| z.copy_from_slice(r), &options, certus_contract::ignore_events).x
    };
    Some(y.iter().zip(norms).map(|(y, norm)| y / norm).collect())
}

/// Phase retrieval: the magnitudes |a_iᵀ x| are known, so that the leading eigenvector of `Σ m_i² a_i a_iᵀ` in the metric of AᵀA
/// points along x.
fn top_eigenvector(loss: &Loss<'_, '_>) -> Option<Vec<f64>> {
    let (p, d) = (loss.problem, loss.problem.cols());
    if d > DENSE {
        return None;
    }
    let least = p.b().iter().copied().filter(|b| *b > 0.0).fold(f64::INFINITY, f64::min);
    let unit = if p.form() == Form::Plain { 1.0 } else { least };
    let squares =
        p.b().iter().map(|b| (b / unit).max(1.0).acosh().powi(2)).map(|m| if m.is_finite() { m } else { 0.0 }).collect::<Vec<_>>();
    let scaled = |gram: Mat<f64>| Mat::from_fn(d, d, |i, j| gram[(i, j)] / (loss.column_norms[i] * loss.column_norms[j]));
    let (weighted, mut metric) = (scaled(weighted_gram(p.a(), &squares)), scaled(weighted_gram(p.a(), &vec![1.0; p.rows()])));
    (0..d).for_each(|j| metric[(j, j)] += 1e-10);
    let eigen = generalized_symmetric_eigen(weighted.as_ref(), metric.as_ref()).ok()?;
    let direction = (0..d).map(|j| eigen.vectors[(j, d - 1)] / loss.column_norms[j]).collect::<Vec<_>>();
    let z = p.a().times(&direction);
    let (cross, fourth) = z.iter().zip(&squares).fold((0.0, 0.0), |(cross, fourth), (z, m)| (cross + z * z * m, fourth + z.powi(4)));
    let length = (cross / fourth).sqrt();
    Some(direction.iter().enumerate().map(|(j, v)| p.reference(j) + length * v).collect())
}

/// The direction that A maps to the vector of ones, if there is one.
pub(crate) fn shift_direction(problem: &Problem<'_>) -> Option<Vec<f64>> {
    let (a, ones) = (problem.a(), vec![1.0; problem.rows()]);
    let x = if problem.rows() >= problem.cols() {
        LeastSquaresSolver::default().solve(&LeastSquares::new(a, &ones).ok()?).ok()?.x
    } else {
        let options = LsmrOptions { tolerance: 1e-14, ..LsmrOptions::default() };
        lsmr(&a, &ones, &options, certus_contract::ignore_events).x
    };
    let missed = a.times(&x).iter().map(|v| (v - 1.0).powi(2)).sum::<f64>();
    (missed <= 1e-20 * problem.rows() as f64).then_some(x)
}

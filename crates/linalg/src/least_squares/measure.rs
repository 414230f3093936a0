//! What the certificate needs beyond the solve.

use super::facts::{Facts, residual_and_gradient};
use super::preconditioner::{BLOCK_ROWS, INSTEAD, Preconditioned, Preconditioner, factor_block, row_blocks};
use super::problem::Problem;
use super::solver::Certify;
use crate::Error;
use crate::factor::symmetric_eigenvalues;
use crate::matrix::{Matrix, require_dense};
use crate::operator::RowBlocks;
use crate::product::gram;
use crate::solve::{LsmrOptions, lsmr_from};
use crate::view::Mat;
use certus_numeric::sum::norm2;

/// The failure probability at which the theory's bound on the distortion is evaluated.
pub(super) const FAILURE: f64 = 0.01;

/// Fills in the distortion, the forward bound and, with full certification, the exact spectrum and the forward error.
pub(super) fn complete(
    facts: &mut Facts,
    problem: &Problem<'_>,
    by: &Preconditioner,
    x: &[f64],
    residual: &[f64],
    gradient: &[f64],
    certify: Certify,
) -> Result<(), Error> {
    let (norm_p, norm_inverse) = (by.norm(), by.inverse_norm());
    if certify == Certify::Full {
        facts.preconditioned = Some(spectrum(problem.a(), by, norm_p * norm_inverse)?);
        facts.preconditioned_exact = true;
        facts.forward_error = Some(distance_to_refined(problem, by, x, residual, gradient));
    }
    // The condition of A is at most that of P times that of A P.
    let within = facts.preconditioned.map_or(1.0, |(smallest, largest)| if largest > 0.0 { smallest / largest } else { 0.0 });
    facts.reciprocal_condition = if norm_p * norm_inverse > 0.0 { within / (norm_p * norm_inverse) } else { 0.0 };
    let Some((smallest, largest)) = facts.preconditioned else { return Ok(()) };
    if facts.sketch_rows > 0 {
        // S Q has the singular values of (A P)⁻¹.
        facts.distortion = Some((smallest.powi(-2) - 1.0).abs().max((largest.powi(-2) - 1.0).abs()));
    }
    facts.forward_bound = forward_bound(facts, problem, by, norm_p, (smallest, largest), gradient);
    Ok(())
}

/// Under the triangular factor of A itself all singular values of `A P` are 1, but for the rounding of the factorisation: it is
/// the exact factor of a matrix within `rows cols 2^-52 |A|_F` (Higham 2002, theorem 19.4), rows those of one block of each level.
pub(super) fn spectrum_under_own_factor(facts: &mut Facts, by: &Preconditioner) {
    let block = factor_block(facts.cols);
    let (mut level, mut height) = (facts.rows, 0);
    while level > 2 * block {
        height += 2 * block;
        level = level.div_ceil(block) * (facts.cols + 1);
    }
    height += level;
    let error = (height * facts.cols) as f64 * f64::EPSILON * facts.norm_a * by.norm();
    if error < 1.0 {
        facts.preconditioned = Some((1.0 - error, 1.0 + error));
        facts.preconditioned_exact = true;
    }
}

/// A bound on `|x - x*| / |x*|`, where `x - x* = P (Pᵀ Aᵀ A P)⁻¹ Pᵀ g` for the gradient g = `Aᵀ (A x - b)`.
///
/// The eigenvalues of the inverse in the middle lie within `spread` of `middle`, so that the distance is at most
/// `middle |P Pᵀ g| + spread |P| |Pᵀ g|`. To it come the rounding errors of the residual and of the gradient themselves.
fn forward_bound(
    facts: &Facts,
    problem: &Problem<'_>,
    by: &Preconditioner,
    norm_p: f64,
    spectrum: (f64, f64),
    gradient: &[f64],
) -> Option<f64> {
    let (smallest, largest) = spectrum;
    if smallest.is_nan() || smallest <= 0.0 || facts.norm_x == 0.0 {
        return None;
    }
    let (middle, spread) = (0.5 * (smallest.powi(-2) + largest.powi(-2)), 0.5 * (smallest.powi(-2) - largest.powi(-2)));
    // The two applications of P round, by its condition.
    let spread = spread + 4.0 * facts.cols as f64 * f64::EPSILON * norm_p * by.inverse_norm() * middle;
    let transformed = by.apply_transpose(gradient);
    let distance = middle * norm2(&by.apply(&transformed)) + spread * norm_p * norm2(&transformed);

    // Each entry of the residual is a sum of d products, each entry of the gradient one of a block's rows and of the blocks.
    let (a, unit) = (problem.a(), 0.5 * f64::EPSILON);
    let height = RowBlocks::new(a).height;
    let residual_error = unit * (facts.cols as f64 + 2.0) * (norm2(problem.b()) + facts.norm_a * facts.norm_x);
    let gradient_error = unit * (height + facts.rows / height + 2) as f64 * facts.norm_a * facts.residual;
    let rounding = norm_p * (residual_error / smallest + norm_p * gradient_error / smallest.powi(2));
    // From relative to |x| to relative to |x*|.
    let bound = (distance + rounding) / facts.norm_x;
    (bound < 1.0).then(|| bound / (1.0 - bound))
}

/// The extreme singular values of `A P`, rounded outwards, from the Gram matrix of its rows in blocks. Under a good P they are
/// near 1, so that squaring loses nothing; where it does, the smallest becomes 0.
fn spectrum(a: Matrix<'_>, by: &Preconditioner, condition: f64) -> Result<(f64, f64), Error> {
    require_dense("a block of rows", a.rows().min(BLOCK_ROWS), a.cols(), INSTEAD)?;
    require_dense("the Gram matrix", by.rank(), by.rank(), INSTEAD)?;
    let mut total = Mat::zeros(by.rank(), by.rank());
    let mut blocks = 0;
    for block in row_blocks(a) {
        total += gram(by.transform_rows(block.as_ref()).transpose());
        blocks += 1;
    }
    let values = symmetric_eigenvalues(total.as_ref())?;
    let (smallest, largest) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    // Each entry is a sum over a block's rows and the blocks; each row comes from a triangular solve, or a product, with P.
    let trace = values.iter().sum::<f64>();
    let sums = (a.rows().min(BLOCK_ROWS) + blocks) as f64 * f64::EPSILON * trace;
    let rows = 2.0 * a.cols() as f64 * f64::EPSILON * condition * largest;
    let error = sums + rows;
    Ok(((smallest - error).max(0.0).sqrt(), (largest + error).sqrt()))
}

/// `|x - x'| / |x'|` for x' by three more refinements, each to the limit of the arithmetic.
fn distance_to_refined(problem: &Problem<'_>, by: &Preconditioner, x: &[f64], residual: &[f64], gradient: &[f64]) -> f64 {
    let a = problem.a();
    let operator = Preconditioned { matrix: &a, by };
    let (mut refined, mut residual, mut gradient) = (x.to_vec(), residual.to_vec(), gradient.to_vec());
    for _ in 0..3 {
        residual.iter_mut().chain(&mut gradient).for_each(|v| *v = -*v);
        let options = LsmrOptions { tolerance: f64::EPSILON, residual: Some(0.0), max_iterations: 60, ..LsmrOptions::default() };
        let step = lsmr_from(&operator, residual, by.apply_transpose(&gradient), &options, certus_contract::ignore_events);
        refined.iter_mut().zip(by.apply(&step.x)).for_each(|(x, step)| *x += step);
        (residual, gradient) = residual_and_gradient(problem, &refined);
    }
    let difference = refined.iter().zip(x).map(|(r, x)| r - x).collect::<Vec<_>>();
    let size = norm2(&refined);
    if size > 0.0 { norm2(&difference) / size } else { norm2(x) }
}

//! Preconditioned conjugate gradients.

use std::ops::ControlFlow;

use certus_contract::{Event, Status};
use certus_numeric::sum::dot;

use super::SymmetricOperator;

/// When [`pcg`] stops.
#[derive(Clone, Copy, Debug)]
pub struct PcgOptions {
    /// Stop when the residual's norm is at most this times that of the right-hand side. Default 1e-10.
    pub tolerance: f64,
    /// Default 1000.
    pub max_iterations: usize,
}

impl Default for PcgOptions {
    fn default() -> Self {
        PcgOptions { tolerance: 1e-10, max_iterations: 1000 }
    }
}

/// What [`pcg`] found.
#[derive(Clone, Debug)]
pub struct Pcg {
    /// The approximate solution.
    pub x: Vec<f64>,
    /// Norm of the residual at the start and after each iteration.
    pub residuals: Vec<f64>,
    /// Why it stopped. `Diverged`: a direction of curvature that is not positive was met; x is the best before it.
    pub status: Status,
    /// That direction p, with `pᵀ A p <= 0`, where one was met.
    pub negative_direction: Option<Vec<f64>>,
}

/// Solves `A x = b` for a symmetric positive definite A from x = 0; `precondition(r, z)` sets z to an approximation of `A⁻¹ r`.
///
/// Each iteration costs one product with A, one preconditioning and O(d). Memory: five vectors.
/// The observer sees the residual's norm after each iteration.
///
/// Source: Hestenes, Stiefel, J. Res. NBS 49 (1952).
///
/// # Panics
/// If `b` has not as many entries as A has rows.
pub fn pcg<A: SymmetricOperator>(
    a: &A,
    b: &[f64],
    mut precondition: impl FnMut(&[f64], &mut [f64]),
    options: &PcgOptions,
    mut observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Pcg {
    let d = a.order();
    assert_eq!(b.len(), d, "the right-hand side has {} entries, the matrix has order {d}", b.len());
    let mut r = b.to_vec();
    let (mut z, mut ap) = (vec![0.0; d], vec![0.0; d]);
    precondition(&r, &mut z);
    let mut p = z.clone();
    let mut rz = dot(&r, &z);
    let start = dot(&r, &r).sqrt();
    let mut run = Pcg { x: vec![0.0; d], residuals: vec![start], status: Status::Converged, negative_direction: None };
    if start == 0.0 {
        return run;
    }
    for iteration in 1..=options.max_iterations {
        a.apply(&p, &mut ap);
        let curvature = dot(&p, &ap);
        if curvature <= 0.0 || curvature.is_nan() || rz.is_nan() {
            run.status = Status::Diverged;
            run.negative_direction = Some(p);
            return run;
        }
        let step = rz / curvature;
        for j in 0..d {
            run.x[j] += step * p[j];
            r[j] -= step * ap[j];
        }
        let residual = dot(&r, &r).sqrt();
        run.residuals.push(residual);
        let flow = observer(&Event::new("iterate", iteration as u64).of(options.max_iterations as u64).value(residual));
        if residual <= options.tolerance * start {
            return run;
        }
        if flow.is_break() {
            run.status = Status::Stopped;
            return run;
        }
        precondition(&r, &mut z);
        let rz_before = std::mem::replace(&mut rz, dot(&r, &z));
        let keep = rz / rz_before;
        p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + keep * *p);
    }
    run.status = Status::MaxIterations;
    run
}

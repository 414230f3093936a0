//! The randomised range finder against exact singular values.

use std::ops::ControlFlow;

use certus_contract::{Event, Status, Verdict};
use certus_linalg::factor::{singular_values, tall_qr_r};
use certus_linalg::product::{gram, matmul};
use certus_linalg::range_finder::{Range, RangeFinder};
use certus_linalg::view::{to_array, view};
use certus_linalg::{Mat, Matrix};
use certus_numeric::{Array, Csr, Seed};

use crate::sketch::{dense, sparse};
use certus_testkit::same_bits;

/// m x n with singular values near `ratio`^k.
fn decaying(m: usize, n: usize, ratio: f64) -> Array {
    let (u, v) = (dense(1, m, n), dense(2, n, n));
    let orthonormal = |a: &Array| {
        let r = tall_qr_r(view(a)).unwrap();
        let mut q = view(a).transpose().to_owned();
        certus_linalg::factor::solve_triangular(certus_linalg::factor::Triangle::Lower, r.transpose(), q.as_mut());
        q.transpose().to_owned()
    };
    let (u, v) = (orthonormal(&u), orthonormal(&v));
    let scaled = Mat::from_fn(m, n, |i, j| u[(i, j)] * ratio.powi(j as i32));
    to_array(matmul(scaled.as_ref(), v.transpose()).as_ref())
}

/// The spectral norm of A - Q Q^T A.
fn missed(a: &Array, range: &Range) -> f64 {
    let q = range.basis.as_ref();
    let inside = matmul(q, matmul(q.transpose(), view(a)).as_ref());
    singular_values((view(a) - inside.as_ref()).as_ref()).unwrap()[0]
}

fn loss_of_orthogonality(range: &Range) -> f64 {
    let g = gram(range.basis.as_ref());
    (0..g.ncols())
        .flat_map(|j| (0..g.nrows()).map(move |i| (i, j)))
        .map(|(i, j)| (g[(i, j)] - f64::from(u8::from(i == j))).abs())
        .fold(0.0, f64::max)
}

#[test]
fn the_basis_reaches_the_tolerance_and_the_bound_is_true() {
    let a = decaying(300, 120, 0.8);
    for tolerance in [1e-1, 1e-4, 1e-9] {
        let range = RangeFinder::default().with_tolerance(tolerance).with_block(8).find(Matrix::Dense(&a)).unwrap();
        assert_eq!(range.status, Status::Converged);
        let error = missed(&a, &range);
        assert!(error <= range.error_bound && range.error_bound <= tolerance, "{error} {}", range.error_bound);
        assert!(loss_of_orthogonality(&range) < 1e-13);
        // No more than a few blocks beyond the singular values above the tolerance.
        let needed = (tolerance.ln() / 0.8f64.ln()).ceil() as usize;
        assert!(range.basis.ncols() <= needed + 40, "{} columns for {needed}", range.basis.ncols());
        assert!(range.confidence > 1.0 - 1e-8);
        assert_eq!(range.claim(tolerance).verdict(), Verdict::Holds);
    }
}

#[test]
fn a_fixed_rank_is_near_the_best_of_that_rank() {
    let a = decaying(300, 120, 0.9);
    for (power, factor) in [(0, 10.0), (1, 3.0), (3, 1.6)] {
        let range = RangeFinder::default()
            .with_rank(30)
            .with_block(30)
            .with_power_iterations(power)
            .with_seed(Seed(5))
            .find(Matrix::Dense(&a))
            .unwrap();
        assert_eq!((range.status, range.basis.ncols()), (Status::MaxIterations, 30));
        let (error, best) = (missed(&a, &range), 0.9f64.powi(30));
        assert!(error >= best * (1.0 - 1e-9) && error <= factor * best, "power {power}: {error} against {best}");
        assert!(error <= range.error_bound);
        assert_ne!(range.claim(1e-9).verdict(), Verdict::Holds);
    }
}

#[test]
fn sparse_and_dense_input_agree_and_low_rank_is_found() {
    let a = sparse(3, 200, 90);
    let formed = a.to_dense();
    let (of_sparse, of_dense) = (
        RangeFinder::default().with_rank(20).find(Matrix::Sparse(&a)).unwrap(),
        RangeFinder::default().with_rank(20).find(Matrix::Dense(&formed)).unwrap(),
    );
    assert!((of_sparse.error_bound - of_dense.error_bound).abs() < 1e-9);
    let low = to_array(matmul(view(&dense(4, 150, 5)), view(&dense(5, 5, 80))).as_ref());
    let range = RangeFinder::default().with_tolerance(1e-9).find(Matrix::Sparse(&Csr::from_dense(&low))).unwrap();
    assert_eq!(range.basis.ncols(), 5);
    assert!(missed(&low, &range) <= range.error_bound);
    let zero = RangeFinder::default().find(Matrix::Dense(&Array::zeros([7, 4]))).unwrap();
    assert_eq!((zero.basis.ncols(), zero.error_bound, zero.status), (0, 0.0, Status::Converged));
    // Without a tolerance, only rounding is left after the rank: every column is found, or nothing more can be.
    let all = RangeFinder::default().find(Matrix::Dense(&low)).unwrap();
    assert!(matches!(all.status, Status::MaxIterations | Status::Stalled));
    assert!(loss_of_orthogonality(&all) < 1e-12, "{}", loss_of_orthogonality(&all));
    assert!(all.error_bound < 1e-9, "{}", all.error_bound);
}

#[test]
fn an_observer_sees_the_bound_fall_and_may_stop() {
    let a = decaying(200, 100, 0.8);
    let mut bounds = Vec::new();
    let range = RangeFinder::default().find_with(Matrix::Dense(&a), |event: &Event| {
        bounds.extend(event.value);
        if event.done >= 32 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let range = range.unwrap();
    assert_eq!((range.status, range.basis.ncols()), (Status::Stopped, 32));
    assert_eq!(bounds.len(), 3);
    assert!(bounds.windows(2).all(|pair| pair[1] < pair[0]));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (a, b) = (decaying(700, 300, 0.9), sparse(6, 900, 400));
    let entries = |range: Range| range.basis.col_iter().flat_map(|column| column.iter().copied().collect::<Vec<_>>()).collect::<Vec<f64>>();
    same_bits(|| entries(RangeFinder::default().with_rank(40).find(Matrix::Dense(&a)).unwrap()));
    same_bits(|| entries(RangeFinder::default().with_rank(40).find(Matrix::Sparse(&b)).unwrap()));
}

#[test]
fn bad_input_is_refused() {
    let a = dense(0, 5, 4);
    let kind = |finder: RangeFinder, a: &Array| finder.find(Matrix::Dense(a)).unwrap_err().kind();
    assert_eq!(kind(RangeFinder::default().with_tolerance(-1.0), &a), "InvalidParameter");
    assert_eq!(kind(RangeFinder::default().with_tolerance(f64::NAN), &a), "InvalidParameter");
    assert_eq!(kind(RangeFinder::default().with_rank(0), &a), "InvalidParameter");
    assert_eq!(kind(RangeFinder::default().with_block(0), &a), "InvalidParameter");
    assert_eq!(kind(RangeFinder::default().with_block(1 << 40), &a), "TooLarge");
    assert_eq!(kind(RangeFinder::default(), &Array::zeros([0, 4])), "EmptyProblem");
    assert_eq!(kind(RangeFinder::default(), &Array::matrix(1, 1, vec![f64::NAN]).unwrap()), "NonFinite");
}

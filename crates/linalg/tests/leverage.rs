//! Leverage scores against an orthonormal basis, and what must hold of them whatever the data.

use certus_contract::Verdict;
use certus_linalg::Matrix;
use certus_linalg::factor::PivotedQr;
use certus_linalg::least_squares::Certify;
use certus_linalg::leverage::{Leverage, approximate_leverage_scores, certificate, leverage_scores};
use certus_linalg::product::matmul;
use certus_linalg::view::{to_array, view};
use certus_numeric::{Array, Csr, Seed};
use proptest::prelude::*;

use crate::sketch::{dense, sparse};
use certus_testkit::same_bits;

/// Squared row norms of the first `rank` columns of Q of a pivoted QR of diag(sqrt w) A.
fn reference(a: &Array, weights: Option<&[f64]>, rank: usize) -> Vec<f64> {
    let b = Array::from_fn(a.rows(), a.cols(), |i, j| weights.map_or(1.0, |w| w[i].sqrt()) * a.row(i)[j]);
    let q = PivotedQr::new(view(&b).to_owned()).unwrap().q(rank);
    (0..a.rows()).map(|i| q.row(i).iter().map(|v| v * v).sum()).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn scores_are_those_of_an_orthonormal_basis(n in 1usize..700, d in 1usize..20, rank in 1usize..20, weighted in any::<bool>(), seed in any::<u64>()) {
        // A product of thin factors: of rank min(n, d, rank) up to rounding.
        let inner = rank.min(d);
        let a = to_array(matmul(view(&dense(seed, n, inner)), view(&dense(seed ^ 1, inner, d))).as_ref());
        let weights: Vec<f64> = (0..n).map(|i| (i % 4) as f64 + 0.5).collect();
        let weights = weighted.then_some(&weights[..]);
        let found = leverage_scores(Matrix::Dense(&a), weights).unwrap();
        prop_assert_eq!(found.relative_error, 0.0);
        prop_assert!(found.scores.iter().all(|score| (0.0..=1.0).contains(score)));
        prop_assert!((found.scores.iter().sum::<f64>() - found.rank as f64).abs() < 1e-9);
        // A random square factor can be nearly singular; where it is, a rank is a matter of taste.
        prop_assume!(found.rank == inner.min(n));
        let sparse = leverage_scores(Matrix::Sparse(&Csr::from_dense(&a)), weights).unwrap();
        prop_assert_eq!(sparse.rank, found.rank);
        prop_assert!(largest_difference(&sparse.scores, &found.scores) < 1e-7);
        prop_assert!(largest_difference(&found.scores, &reference(&a, weights, found.rank)) < 1e-7);
    }
}

#[test]
fn scores_are_exact_to_rounding_for_large_well_conditioned_input() {
    let (a, b) = (dense(1, 3000, 12), sparse(2, 3000, 12));
    let found = leverage_scores(Matrix::Dense(&a), None).unwrap();
    assert!(largest_difference(&found.scores, &reference(&a, None, 12)) < 1e-13);
    assert!((found.scores.iter().sum::<f64>() - 12.0).abs() < 1e-11);
    let found = leverage_scores(Matrix::Sparse(&b), None).unwrap();
    assert!(largest_difference(&found.scores, &reference(&b.to_dense(), None, 12)) < 1e-13);
}

#[test]
fn scores_do_not_change_under_an_invertible_map_of_the_columns() {
    let a = dense(3, 2000, 8);
    // Columns from 1e-6 to 1e8, mixed: badly scaled, and of condition 1e3 beyond the scaling.
    let map = Array::from_fn(8, 8, |i, j| if i == j { 1.0 } else { 0.1 * ((i * 5 + j * 3) % 7) as f64 });
    let scaled = Array::from_fn(8, 8, |i, j| map.row(i)[j] * 10f64.powi(2 * j as i32 - 6));
    let b = to_array(matmul(view(&a), view(&scaled)).as_ref());
    let (of_a, of_b) = (leverage_scores(Matrix::Dense(&a), None).unwrap(), leverage_scores(Matrix::Dense(&b), None).unwrap());
    assert!(largest_difference(&of_a.scores, &of_b.scores) < 1e-11);
}

#[test]
fn ill_conditioned_columns_lose_only_what_their_condition_takes() {
    // Monomials on [0, 1]: condition about 1e9 after scaling, whose normal equations would have no digit left.
    let a = Array::from_fn(4000, 12, |i, j| (i as f64 / 3999.0).powi(j as i32));
    let found = leverage_scores(Matrix::Dense(&a), None).unwrap();
    assert_eq!(found.rank, 12);
    assert!(largest_difference(&found.scores, &reference(&a, None, 12)) < 1e-6);
    assert!((found.scores.iter().sum::<f64>() - 12.0).abs() < 1e-10);
}

#[test]
fn zero_rows_zero_columns_and_zero_matrices_are_fine() {
    let mut a = dense(5, 50, 4);
    (0..50).for_each(|i| a.row_mut(i)[2] = 0.0);
    a.row_mut(7).fill(0.0);
    let found = leverage_scores(Matrix::Dense(&a), None).unwrap();
    assert_eq!((found.rank, found.scores[7]), (3, 0.0));
    let none = leverage_scores(Matrix::Dense(&Array::zeros([9, 3])), None).unwrap();
    assert_eq!((none.rank, none.scores), (0, vec![0.0; 9]));
    let empty = Csr::new(900, 3, vec![0; 901], vec![], vec![]).unwrap();
    assert_eq!(leverage_scores(Matrix::Sparse(&empty), None).unwrap().rank, 0);
    assert_eq!(approximate_leverage_scores(Matrix::Sparse(&empty), None, 0.5, 0.1, Seed(0)).unwrap().rank, 0);
    // A weight of zero is a row of zeros; more columns than rows leave one for each row.
    let weights: Vec<f64> = (0..50).map(|i| if i == 3 { 0.0 } else { 2.0 }).collect();
    assert_eq!(leverage_scores(Matrix::Dense(&a), Some(&weights)).unwrap().scores[3], 0.0);
    let wide = leverage_scores(Matrix::Dense(&dense(6, 3, 10)), None).unwrap();
    assert_eq!(wide.rank, 3);
    assert!(wide.scores.iter().all(|score| (score - 1.0).abs() < 1e-12));
}

#[test]
fn approximate_scores_are_within_the_factor_that_they_state() {
    let heavy = |mut a: Array| {
        (0..4).for_each(|i| a.row_mut(i * 11)[i] = 500.0);
        a
    };
    let (few, many) = (heavy(dense(7, 6000, 10)), heavy(dense(8, 1500, 300)));
    let thin = Csr::from_dense(&few);
    let weights: Vec<f64> = (0..6000).map(|i| 0.1 + (i % 7) as f64).collect();
    // With 300 columns the projection is used: 0.9 asks for fewer than 300 columns of it.
    let cases: [(Matrix<'_>, Option<&[f64]>, f64); 4] = [
        (Matrix::Dense(&few), None, 0.5),
        (Matrix::Sparse(&thin), Some(&weights), 0.5),
        (Matrix::Dense(&many), None, 0.95),
        (Matrix::Sparse(&thin), None, 0.9),
    ];
    for (a, weights, epsilon) in cases {
        let exact = leverage_scores(a, weights).unwrap();
        let found = approximate_leverage_scores(a, weights, epsilon, 1e-10, Seed(4)).unwrap();
        assert_eq!(found.rank, exact.rank);
        assert!(found.relative_error > 0.0 && found.relative_error <= epsilon, "{}", found.relative_error);
        for (found_score, score) in found.scores.iter().zip(&exact.scores) {
            assert!((found_score / score - 1.0).abs() <= found.relative_error, "{found_score} for {score}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (a, b) = (dense(9, 9000, 33), sparse(10, 9000, 33));
    let weights: Vec<f64> = (0..9000).map(|i| (i % 5) as f64).collect();
    for matrix in [Matrix::Dense(&a), Matrix::Sparse(&b)] {
        same_bits(|| leverage_scores(matrix, Some(&weights)).unwrap().scores);
        same_bits(|| approximate_leverage_scores(matrix, None, 0.6, 0.01, Seed(1)).unwrap().scores);
    }
}

#[test]
fn bad_input_is_refused() {
    let a = dense(0, 5, 2);
    let kind = |a: &Array, weights: Option<&[f64]>| leverage_scores(Matrix::Dense(a), weights).unwrap_err().kind();
    assert_eq!(kind(&a, Some(&[1.0; 4])), "DimensionMismatch");
    assert_eq!(kind(&a, Some(&[1.0, 1.0, -1.0, 1.0, 1.0])), "InvalidParameter");
    assert_eq!(kind(&a, Some(&[1.0, f64::NAN, 1.0, 1.0, 1.0])), "NonFinite");
    assert_eq!(kind(&Array::zeros([0, 2]), None), "EmptyProblem");
    assert_eq!(kind(&Array::matrix(1, 1, vec![f64::INFINITY]).unwrap(), None), "NonFinite");
    let wide = Csr::new(40_000, 30_000, (0..=40_000).collect(), (0..40_000).map(|i| i % 30_000).collect(), vec![1.0; 40_000]).unwrap();
    assert_eq!(leverage_scores(Matrix::Sparse(&wide), None).unwrap_err().kind(), "TooLarge");
    for (epsilon, failure) in [(0.0, 0.1), (1.0, 0.1), (0.5, 0.0), (f64::NAN, 0.1)] {
        assert_eq!(approximate_leverage_scores(Matrix::Dense(&a), None, epsilon, failure, Seed(0)).unwrap_err().kind(), "InvalidParameter");
    }
}

#[test]
fn the_certificate_holds_for_true_scores_and_each_check_can_fail() {
    let (a, sparse) = (dense(3, 400, 6), sparse(4, 700, 9));
    let weights: Vec<f64> = (0..700).map(|i| (i % 5) as f64).collect();
    let certify =
        |a: Matrix<'_>, weights: Option<&[f64]>, found: &Leverage| certificate(a, weights, found, Certify::Full, Seed(1)).unwrap();
    let cases: [(Matrix<'_>, Option<&[f64]>); 3] =
        [(Matrix::Dense(&a), None), (Matrix::Sparse(&sparse), None), (Matrix::Sparse(&sparse), Some(&weights))];
    for (a, weights) in cases {
        let exact = leverage_scores(a, weights).unwrap();
        assert_eq!(certify(a, weights, &exact).verdict(), Verdict::Holds);
        let near = approximate_leverage_scores(a, weights, 0.5, 0.01, Seed(1)).unwrap();
        assert_eq!(certify(a, weights, &near).verdict(), Verdict::Holds);

        let largest = (0..exact.scores.len()).max_by(|i, j| exact.scores[*i].total_cmp(&exact.scores[*j])).unwrap();
        let broken = |change: &dyn Fn(&mut Vec<f64>)| {
            let mut broken = exact.clone();
            change(&mut broken.scores);
            certify(a, weights, &broken).claims.iter().map(|claim| claim.verdict() == Verdict::Holds).collect::<Vec<_>>()
        };
        // One score too large: the sum sees it, and where it is the largest the sample does.
        assert_eq!(broken(&|scores| scores[largest] += 0.01), [false, true, false]);
        // The mean for all: only the sum is right.
        let mean = exact.rank as f64 / exact.scores.len() as f64;
        assert_eq!(broken(&|scores| scores.fill(mean)), [true, false, false]);
    }
}

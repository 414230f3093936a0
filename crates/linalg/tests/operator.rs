use certus_linalg::Matrix;
use certus_linalg::operator::LinearOperator;
use certus_linalg::view::{to_array, view};
use certus_numeric::{Array, Csr};
use proptest::prelude::*;

use crate::product::random;

/// A matrix with about a third of its entries zero, dense and sparse.
pub(crate) fn both(seed: u64, n: usize, d: usize) -> (Array, Csr) {
    let dense = to_array(random(seed, n, d).as_ref()).map(|v| if v.abs() < 0.3 { 0.0 } else { *v });
    let sparse = Csr::from_dense(&dense);
    (dense, sparse)
}

pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f64> {
    to_array(random(seed, 1, n).as_ref()).into_vec()
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * (1.0 + b.abs()))
}

/// An operator that keeps the two products of another one and takes the step of bidiagonalisation as the trait defines it.
struct TwoPasses<'a, A>(&'a A);

impl<A: LinearOperator> LinearOperator for TwoPasses<'_, A> {
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn cols(&self) -> usize {
        self.0.cols()
    }
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.0.apply(x, y);
    }
    fn apply_transpose(&self, y: &[f64], x: &mut [f64]) {
        self.0.apply_transpose(y, x);
    }
}

/// The fused step gives what two passes give.
fn step_is_two_passes(a: &impl LinearOperator, seed: u64) -> bool {
    let (v, u, alpha) = (numbers(seed, a.cols()), numbers(seed ^ 1, a.rows()), 0.7);
    let (mut fused_u, mut fused_w) = (u.clone(), vec![9.0; a.cols()]);
    let fused = a.bidiagonal_step(&v, alpha, &mut fused_u, &mut fused_w);
    let (mut plain_u, mut plain_w) = (u, vec![9.0; a.cols()]);
    let plain = TwoPasses(a).bidiagonal_step(&v, alpha, &mut plain_u, &mut plain_w);
    close(&fused_u, &plain_u) && close(&fused_w, &plain_w) && close(&[fused], &[plain])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn dense_and_sparse_operators_match_their_matrix(n in 1usize..300, d in 1usize..40, seed in any::<u64>()) {
        let (dense, sparse) = both(seed, n, d);
        let (x, y) = (numbers(seed ^ 1, d), numbers(seed ^ 2, n));
        let expected = certus_linalg::product::matvec(view(&dense), &x);
        let expected_transpose = certus_linalg::product::matvec(view(&dense).transpose(), &y);
        for a in [Matrix::from(&dense), Matrix::from(&sparse)] {
            prop_assert!(close(&a.times(&x), &expected));
            prop_assert!(close(&a.transpose_times(&y), &expected_transpose));
            prop_assert!(step_is_two_passes(&a, seed));
            let weighted = a.times(&x).iter().zip(&y).map(|(v, w)| v * w).collect::<Vec<_>>();
            prop_assert!(close(&a.weighted_normal_times(&y, &x), &a.transpose_times(&weighted)));
            let gram = certus_linalg::product::weighted_gram(a, &y);
            prop_assert!(close(&certus_linalg::product::matvec(gram.as_ref(), &x), &a.weighted_normal_times(&y, &x)));
        }
    }
}

#[test]
fn operators_have_the_same_bits_on_any_number_of_threads() {
    let (dense, sparse) = both(3, 5000, 60);
    let (x, y) = (numbers(4, 60), numbers(5, 5000));
    certus_testkit::same_bits(|| {
        [Matrix::from(&dense), Matrix::from(&sparse)]
            .into_iter()
            .flat_map(|a| {
                let (mut u, mut w) = (y.clone(), vec![0.0; 60]);
                let square = a.bidiagonal_step(&x, 0.3, &mut u, &mut w);
                let gram = certus_linalg::product::weighted_gram(a, &y);
                let gram = gram.col_iter().flat_map(|c| c.iter().copied()).collect();
                [a.times(&x), a.transpose_times(&y), u, w, vec![square], a.weighted_normal_times(&y, &x), gram].concat()
            })
            .collect::<Vec<f64>>()
    });
}

#[test]
fn few_columns_and_several_vectors_have_the_bits_of_the_plain_loops() {
    for d in 1..=3 {
        for n in [1, 3, 4, 5, 30, 1000] {
            let (dense, sparse) = both((10 * n + d) as u64, n, d);
            let (x, y) = (numbers(1, d), numbers(2, n));
            let a = Matrix::from(&dense);
            let product = (0..n).map(|i| dense.row(i).iter().zip(&x).fold(0.0, |sum, (a, x)| sum + a * x)).collect::<Vec<_>>();
            assert_eq!(a.times(&x), product);
            if n <= 30 {
                let mut back = vec![0.0; d];
                for first in (0..n / 4 * 4).step_by(4) {
                    for (j, sum) in back.iter_mut().enumerate() {
                        let term = |k: usize| y[first + k] * dense.row(first + k)[j];
                        *sum += (term(0) + term(1)) + (term(2) + term(3));
                    }
                }
                for i in n / 4 * 4..n {
                    back.iter_mut().zip(dense.row(i)).for_each(|(sum, a)| *sum += y[i] * a);
                }
                assert_eq!(a.transpose_times(&y), back);
            }
            let other = x.iter().map(|x| 1.0 - x).collect::<Vec<_>>();
            for a in [a, Matrix::from(&sparse)] {
                assert_eq!(a.absolute_times_all([&x, &other]), [a.absolute_times(&x), a.absolute_times(&other)]);
            }
        }
    }
}

use certus_linalg::product::{Destination, gram, matmul, matmul_into, matvec};
use certus_linalg::{Mat, MatRef};
use certus_numeric::Seed;
use proptest::prelude::*;
use rand::Rng;

/// A matrix of entries in (-1, 1), row- or column-major.
pub(crate) fn random(seed: u64, rows: usize, cols: usize) -> Mat<f64> {
    let mut rng = Seed(seed).stream("test matrix");
    Mat::from_fn(rows, cols, |_, _| 2.0 * certus_numeric::seed::unit_interval(rng.next_u64()) - 1.0)
}

fn by_definition(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    Mat::from_fn(a.nrows(), b.ncols(), |i, j| (0..a.ncols()).map(|k| a[(i, k)] * b[(k, j)]).sum())
}

pub(crate) fn largest_difference(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    assert_eq!((a.nrows(), a.ncols()), (b.nrows(), b.ncols()));
    (0..a.ncols()).flat_map(|j| (0..a.nrows()).map(move |i| (i, j))).map(|at| (a[at] - b[at]).abs()).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn products_match_the_definition(m in 1usize..90, n in 1usize..90, k in 0usize..120, transposed in any::<[bool; 3]>(), seed in any::<u64>()) {
        let flip = |a: Mat<f64>, t: bool| if t { a.transpose().to_owned() } else { a };
        let (a, b, start) = (random(seed, m, k), random(seed + 1, k, n), random(seed + 2, m, n));
        let expected = by_definition(a.as_ref(), b.as_ref());
        // The same entries stored by columns or by rows.
        let (a, b) = (flip(a, transposed[0]), flip(b, transposed[1]));
        let a = if transposed[0] { a.transpose() } else { a.as_ref() };
        let b = if transposed[1] { b.transpose() } else { b.as_ref() };
        prop_assert!(largest_difference(matmul(a, b).as_ref(), expected.as_ref()) <= 1e-13 * (k as f64 + 1.0));
        let mut c = flip(start.clone(), transposed[2]);
        let view = if transposed[2] { c.as_mut().transpose_mut() } else { c.as_mut() };
        matmul_into(view, Destination::Add, -2.0, a, b);
        let c = if transposed[2] { c.transpose() } else { c.as_ref() };
        let sum = Mat::from_fn(m, n, |i, j| start[(i, j)] - 2.0 * expected[(i, j)]);
        prop_assert!(largest_difference(c, sum.as_ref()) <= 1e-13 * (k as f64 + 1.0));
    }
}

#[test]
fn gram_is_symmetric_and_matches_the_product() {
    for (n, d) in [(1, 1), (7, 3), (3000, 17), (20_000, 40), (0, 3)] {
        let a = random(n as u64, n, d);
        let g = gram(a.as_ref());
        let expected = by_definition(a.transpose(), a.as_ref());
        assert!(largest_difference(g.as_ref(), expected.as_ref()) <= 1e-12 * (n as f64).sqrt().max(1.0), "{n} x {d}");
        assert_eq!(largest_difference(g.as_ref(), g.transpose()), 0.0);
    }
}

const SHAPES: [(usize, usize, usize); 6] = [(700, 650, 300), (30, 40, 9000), (2000, 1, 300), (1, 900, 2000), (1200, 5, 40), (5, 1200, 40)];

#[test]
fn products_have_the_same_bits_on_any_number_of_threads() {
    for (m, n, k) in SHAPES {
        let (a, b) = (random(1, m, k), random(2, k, n));
        certus_testkit::same_bits(|| {
            matmul(a.as_ref(), b.as_ref()).col_iter().flat_map(|c| c.iter().copied().collect::<Vec<_>>()).collect::<Vec<f64>>()
        });
    }
}

#[test]
fn products_have_the_same_bits_wherever_their_entries_lie_in_memory() {
    for (m, n, k) in SHAPES {
        let (a, b) = (random(1, m, k), random(2, k, n));
        let rows = a.row_iter().flat_map(|r| r.iter().copied().collect::<Vec<_>>()).collect::<Vec<f64>>();
        let expected = matmul(MatRef::from_row_major_slice(&rows, m, k), b.as_ref());
        for offset in 1..8 {
            let shifted = [vec![0.0; offset], rows.clone()].concat();
            let found = matmul(MatRef::from_row_major_slice(&shifted[offset..], m, k), b.as_ref());
            assert_eq!(largest_difference(found.as_ref(), expected.as_ref()), 0.0, "{m} x {n} x {k} at offset {offset}");
        }
    }
}

#[test]
fn matrix_times_vector_matches_for_both_orders() {
    let a = random(5, 700, 33);
    let x = (0..33).map(|i| (i as f64).sin()).collect::<Vec<_>>();
    let expected = by_definition(a.as_ref(), Mat::from_fn(33, 1, |i, _| x[i]).as_ref());
    let rows = a.transpose().to_owned();
    for y in [matvec(a.as_ref(), &x), matvec(rows.transpose(), &x)] {
        assert!((0..700).all(|i| (y[i] - expected[(i, 0)]).abs() < 1e-13));
    }
}

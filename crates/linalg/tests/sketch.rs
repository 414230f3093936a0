//! Sketches: what holds for every seed (shapes, linearity, bits, agreement of all paths), and what holds on average.
//!
//! Statistical tests have fixed seeds; each says which event it would fail on, whose probability is below 1e-9 over the seeds.

use certus_contract::InputError;
use certus_linalg::Matrix;
use certus_linalg::factor::tall_qr_r;
use certus_linalg::product::{gram, matmul};
use certus_linalg::sketch::{
    CountSketch, Distortion, Gaussian, Osnap, RowSampling, Sketch, SketchKind, Srht, TensorSketch, TensorSrht, distortion, theory,
    walsh_hadamard,
};
use certus_linalg::view::view;
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Array, Csr, Seed};
use proptest::prelude::*;

use certus_testkit::same_bits;

pub(crate) fn dense(seed: u64, rows: usize, cols: usize) -> Array {
    Array::from_fn(rows, cols, |i, j| 2.0 * unit_interval(hash64(seed, (i * cols + j) as u64)) - 1.0)
}

/// About a third of the entries of [`dense`].
pub(crate) fn sparse(seed: u64, rows: usize, cols: usize) -> Csr {
    let mut a = dense(seed, rows, cols);
    a.as_mut_slice().iter_mut().enumerate().filter(|(k, _)| !hash64(!seed, *k as u64).is_multiple_of(3)).for_each(|(_, v)| *v = 0.0);
    Csr::from_dense(&a)
}

/// Every kind of sketch of n columns with s rows.
fn all(s: usize, n: usize, seed: Seed) -> Vec<Box<dyn Sketch>> {
    let mut list: Vec<Box<dyn Sketch>> = Vec::new();
    for kind in SketchKind::ALL {
        if kind != SketchKind::Srht || s <= n.next_power_of_two() {
            list.push(kind.build(s, n, seed).unwrap());
        }
    }
    let half = if n.is_multiple_of(2) { n / 2 } else { n };
    list.push(Box::new(TensorSketch::new(s, &[n / half, half], seed).unwrap()));
    list.push(Box::new(TensorSrht::new(s, &[half, n / half], seed).unwrap()));
    list.push(Box::new(RowSampling::uniform(s, n, seed).unwrap()));
    let scores: Vec<f64> = (0..n).map(|i| (i % 3) as f64 + if n == 1 { 1.0 } else { 0.0 }).collect();
    list.push(Box::new(RowSampling::by_scores(s, &scores, Some(0.0), seed).unwrap_or(RowSampling::uniform(s, n, seed).unwrap())));
    list
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_path_is_the_product_with_the_matrix(s in 1usize..40, n in 2usize..300, d in 1usize..40, seed in any::<u64>()) {
        let a = sparse(seed, n, d);
        let formed = a.to_dense();
        for sketch in all(s, n, Seed(seed)) {
            let matrix = sketch.to_dense();
            prop_assert_eq!(matrix.shape(), [s, n]);
            let expected = certus_linalg::view::to_array(matmul(view(&matrix), view(&formed)).as_ref());
            let tolerance = 1e-12 * n as f64;
            for input in [Matrix::Dense(&formed), Matrix::Sparse(&a)] {
                let found = sketch.apply(input).unwrap();
                prop_assert_eq!(found.shape(), [s, d]);
                prop_assert!(close(found.as_slice(), expected.as_slice(), tolerance));
            }
            let column: Vec<f64> = (0..n).map(|i| formed.row(i)[d - 1]).collect();
            let found = sketch.apply_vector(&column).unwrap();
            prop_assert!(close(&found, &(0..s).map(|r| expected.row(r)[d - 1]).collect::<Vec<_>>(), tolerance));
            let transposed = a.transposed();
            let right = sketch.apply_right(Matrix::Sparse(&transposed)).unwrap();
            prop_assert!(close(right.as_slice(), expected.transposed().as_slice(), tolerance));
            let right = sketch.apply_right(Matrix::Dense(&formed.transposed())).unwrap();
            prop_assert!(close(right.as_slice(), expected.transposed().as_slice(), tolerance));
        }
    }

    #[test]
    fn sketches_are_linear(s in 1usize..30, n in 2usize..200, seed in any::<u64>(), scale in -3.0f64..3.0) {
        let (x, y) = (dense(seed, n, 1).into_vec(), dense(seed ^ 7, n, 1).into_vec());
        let sum: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x + scale * y).collect();
        for sketch in all(s, n, Seed(seed)) {
            let (sx, sy) = (sketch.apply_vector(&x).unwrap(), sketch.apply_vector(&y).unwrap());
            let expected: Vec<f64> = sx.iter().zip(&sy).map(|(x, y)| x + scale * y).collect();
            prop_assert!(close(&sketch.apply_vector(&sum).unwrap(), &expected, 1e-12 * n as f64));
        }
    }

    #[test]
    fn structured_sketches_take_products_from_their_factors(s in 1usize..40, n in prop::array::uniform3(1usize..7), d in prop::array::uniform3(1usize..5), seed in any::<u64>()) {
        let factors: Vec<Array> = (0..3).map(|k| dense(seed ^ k as u64, n[k], d[k])).collect();
        let equal: Vec<Array> = (0..3).map(|k| dense(seed ^ k as u64, n[k], d[0])).collect();
        let sparse: Vec<Csr> = factors.iter().map(Csr::from_dense).collect();
        let mixed = [Matrix::Sparse(&sparse[0]), Matrix::Dense(&factors[1]), Matrix::Sparse(&sparse[2])];
        let equal_mixed: Vec<Matrix<'_>> = equal.iter().map(Matrix::Dense).collect();
        let turned: Vec<Array> = equal.iter().map(Array::transposed).collect();
        let turned: Vec<Matrix<'_>> = turned.iter().map(Matrix::Dense).collect();
        let index = |i: usize, sizes: [usize; 3]| [i / (sizes[1] * sizes[2]), i / sizes[2] % sizes[1], i % sizes[2]];
        let product = |rows: [usize; 3], cols: [usize; 3]| (0..3).map(|k| factors[k].row(rows[k])[cols[k]]).product::<f64>();
        let rows = n.iter().product();
        let kronecker = Array::from_fn(rows, d.iter().product(), |i, j| product(index(i, n), index(j, d)));
        let khatri_rao = Array::from_fn(rows, d[0], |i, j| (0..3).map(|k| equal[k].row(index(i, n)[k])[j]).product());
        for q in 1..=3 {
            // The last q factors: with one, the plain sketches.
            let (tensor, srht) = (TensorSketch::new(s, &n[3 - q..], Seed(seed)).unwrap(), TensorSrht::new(s, &n[3 - q..], Seed(seed)).unwrap());
            let (tail, equal_tail, turned_tail) = (&mixed[3 - q..], &equal_mixed[3 - q..], &turned[3 - q..]);
            let (height, width) = (n[3 - q..].iter().product::<usize>(), d[3 - q..].iter().product::<usize>());
            let kronecker = if q == 3 { kronecker.clone() } else {
                Array::from_fn(height, width, |i, j| (3 - q..3).map(|k| factors[k].row(index(i, n)[k])[index(j, d)[k]]).product())
            };
            let khatri_rao = if q == 3 { khatri_rao.clone() } else {
                Array::from_fn(height, d[0], |i, j| (3 - q..3).map(|k| equal[k].row(index(i, n)[k])[j]).product())
            };
            let tests: [(&dyn Sketch, [Array; 3]); 2] = [
                (&tensor, [tensor.apply_kronecker(tail).unwrap(), tensor.apply_khatri_rao(equal_tail).unwrap(), tensor.apply_face_splitting(turned_tail).unwrap()]),
                (&srht, [srht.apply_kronecker(tail).unwrap(), srht.apply_khatri_rao(equal_tail).unwrap(), srht.apply_face_splitting(turned_tail).unwrap()]),
            ];
            for (sketch, [of_kronecker, of_khatri_rao, of_face_splitting]) in tests {
                let expected = sketch.apply(Matrix::Dense(&kronecker)).unwrap();
                prop_assert_eq!(of_kronecker.shape(), expected.shape());
                prop_assert!(close(of_kronecker.as_slice(), expected.as_slice(), 1e-12 * height as f64));
                let expected = sketch.apply(Matrix::Dense(&khatri_rao)).unwrap();
                prop_assert!(close(of_khatri_rao.as_slice(), expected.as_slice(), 1e-12 * height as f64));
                prop_assert!(close(of_face_splitting.as_slice(), expected.transposed().as_slice(), 1e-12 * height as f64));
            }
        }
    }

    #[test]
    fn the_hadamard_transform_is_its_definition(log in 0u32..13, width in 1usize..4, seed in any::<u64>()) {
        let n = 1usize << log;
        let x = dense(seed, n, width);
        let mut transformed = x.as_slice().to_vec();
        walsh_hadamard(&mut transformed, width);
        for &r in &[0, n / 3, n / 2, n - 1] {
            let expected: f64 = (0..n).map(|i| if (i & r).count_ones() % 2 == 1 { -x.row(i)[0] } else { x.row(i)[0] }).sum();
            prop_assert!((transformed[r * width] - expected).abs() < 1e-11);
        }
        walsh_hadamard(&mut transformed, width);
        let back: Vec<f64> = transformed.iter().map(|v| v / n as f64).collect();
        prop_assert!(close(&back, x.as_slice(), 1e-12));
    }
}

/// Inputs that are large enough for every blocked path.
#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (n, d) = (20_000, 37);
    let (a, b) = (dense(1, n, d), sparse(2, n, d));
    let (f, g) = (dense(3, 100, 9), dense(4, 200, 7));
    for which in 0..all(96, n, Seed(3)).len() {
        for input in [Matrix::Dense(&a), Matrix::Sparse(&b)] {
            same_bits(|| all(96, n, Seed(3))[which].apply(input).unwrap().into_vec());
        }
        same_bits(|| all(96, n, Seed(3))[which].apply_vector(&dense(9, n, 1).into_vec()).unwrap());
    }
    let factors = [Matrix::Dense(&f), Matrix::Dense(&g)];
    same_bits(|| TensorSketch::new(501, &[100, 200], Seed(1)).unwrap().apply_kronecker(&factors).unwrap().into_vec());
    same_bits(|| TensorSrht::new(501, &[100, 200], Seed(1)).unwrap().apply_kronecker(&factors).unwrap().into_vec());
}

#[test]
fn the_same_seed_is_the_same_sketch_and_another_is_another() {
    for (((a, b), c), i) in all(20, 300, Seed(5)).iter().zip(all(20, 300, Seed(5))).zip(all(20, 300, Seed(6))).zip(0..) {
        assert_eq!(a.to_dense(), b.to_dense(), "sketch {i}");
        assert_ne!(a.to_dense(), c.to_dense(), "sketch {i}");
    }
}

#[test]
fn sparse_rows_of_very_different_lengths_are_all_added() {
    // Every tenth row of the first thousand has 2000 entries, no other row has any.
    let (n, d) = (50_000, 2000);
    let full = |i: usize| i < 1000 && i.is_multiple_of(10);
    let indptr: Vec<usize> = (0..=n).map(|i| (0..i.min(1000)).filter(|&i| full(i)).count() * d).collect();
    let entries = indptr[n];
    let values = (0..entries).map(|k| unit_interval(hash64(5, k as u64))).collect();
    let a = Csr::new(n, d, indptr, (0..entries).map(|k| (k % d) as u32).collect(), values).unwrap();
    let sketch = CountSketch::new(64, n, Seed(4)).unwrap();
    let mut expected = vec![0.0; 64 * d];
    for i in (0..n).filter(|&i| full(i)) {
        let mut unit = vec![0.0; n];
        unit[i] = 1.0;
        let column = sketch.apply_vector(&unit).unwrap();
        let row = column.iter().position(|v| *v != 0.0).unwrap();
        a.row(i).1.iter().enumerate().for_each(|(j, v)| expected[row * d + j] += column[row] * v);
    }
    assert_eq!(sketch.apply(Matrix::Sparse(&a)).unwrap().as_slice(), expected);
}

#[test]
fn large_inputs_agree_between_the_dense_the_sparse_and_the_vector_path() {
    // 200000 rows: many sorted chunks, and all parts of a dense input.
    let (n, d, s) = (200_000, 5, 1000);
    let a = dense(8, n, d);
    let sketches: [Box<dyn Sketch>; 2] =
        [Box::new(CountSketch::new(s, n, Seed(2)).unwrap()), Box::new(Osnap::new(s, n, 8, Seed(2)).unwrap())];
    for sketch in sketches {
        let whole = sketch.apply(Matrix::Dense(&a)).unwrap();
        assert!(close(sketch.apply(Matrix::Sparse(&Csr::from_dense(&a))).unwrap().as_slice(), whole.as_slice(), 1e-11));
        for j in 0..d {
            let column: Vec<f64> = (0..n).map(|i| a.row(i)[j]).collect();
            let expected: Vec<f64> = (0..s).map(|r| whole.row(r)[j]).collect();
            assert_eq!(sketch.apply_vector(&column).unwrap(), expected);
        }
    }
}

/// E |S x|^2 = |x|^2 for every sketch. The mean of |S x|^2 / |x|^2 over 400 seeds is compared with 1.
///
/// The variance of one is at most v / s with v <= 8 (9 - 1 for TensorSRHT of two factors); row sampling has the variance of its
/// importance weights, below 8 here too. A mean of 400 with s = 16 thus has standard deviation at most 0.036; as a mean of sums of
/// many terms it is near normal, and 0.25 is seven deviations: below 1e-11 for each.
#[test]
fn squared_norms_are_unbiased() {
    let (s, n, seeds) = (16, 100, 400);
    // No entry whose row has probability 0 in the weighted sampling of `all`.
    let mut x = dense(11, n, 1).into_vec();
    x.iter_mut().enumerate().filter(|(i, _)| i % 3 == 0).for_each(|(_, v)| *v = 0.0);
    let square = x.iter().map(|v| v * v).sum::<f64>();
    let count = all(s, n, Seed(0)).len();
    let mut sums = vec![0.0; count];
    for seed in 0..seeds {
        for (sum, sketch) in sums.iter_mut().zip(all(s, n, Seed(seed))) {
            *sum += sketch.apply_vector(&x).unwrap().iter().map(|v| v * v).sum::<f64>() / square;
        }
    }
    for (i, sum) in sums.iter().enumerate() {
        assert!((sum / seeds as f64 - 1.0).abs() < 0.25, "sketch {i}: mean {}", sum / seeds as f64);
    }
}

/// At the rows that theory asks for with failure probability 1e-10 (for those whose rows depend on it as a logarithm) the measured
/// distortion is below epsilon; the seeds are fixed.
#[test]
fn distortion_is_within_the_bound_at_the_rows_of_theory() {
    let (n, d, epsilon, delta) = (60_000, 6, 0.9, 1e-10);
    let mut a = dense(21, n, d);
    // A few rows that carry nearly all of a column.
    (0..3).for_each(|i| a.row_mut(i * 7)[i] = 1e3);
    let r = tall_qr_r(view(&a)).unwrap();
    let check = |sketch: &dyn Sketch, name: &str| {
        let bound = sketch.embedding_bound(d, delta).unwrap();
        assert!(bound.epsilon <= epsilon * (1.0 + 1e-12), "{name}: {}", bound.epsilon);
        let measured = distortion(r.as_ref(), &sketch.apply(Matrix::Dense(&a)).unwrap()).unwrap();
        assert!(measured.epsilon() <= bound.epsilon, "{name}: {measured:?} against {}", bound.epsilon);
        assert!(measured.epsilon() > 1e-3, "{name} should distort a little");
    };
    for seed in 0..3 {
        let s = theory::gaussian_rows(d, epsilon, delta) as usize;
        check(&Gaussian::new(s, n, Seed(seed)).unwrap(), "gaussian");
        let s = theory::srht_rows(n.next_power_of_two(), d, epsilon, delta) as usize;
        assert!(s < n);
        check(&Srht::new(s, n, Seed(seed)).unwrap(), "srht");
        let scores = certus_linalg::leverage::leverage_scores(Matrix::Dense(&a), None).unwrap().scores;
        let s = theory::sampling_rows(d as f64 * (1.0 + 1e-6), d, epsilon, delta) as usize;
        check(&RowSampling::by_scores(s, &scores, Some(0.0), Seed(seed)).unwrap(), "leverage sampling");
    }
}

/// The second moments of the sparse and structured sketches: the mean of |Q^T S^T S Q - I|_F^2 over seeds is at most the variance that
/// the bound uses, over s. 200 seeds; the theory's value times 1.5 would need a deviation beyond 1e-9 (each term's relative standard
/// deviation is near 1 / d here).
#[test]
fn second_moments_are_within_the_bounds() {
    let (d, s, seeds) = (5, 64, 200);
    for (name, coherent) in [("spread", false), ("coherent", true)] {
        let n = 144;
        let a = if coherent { Array::from_fn(n, d, |i, j| if i == j * 13 { 1.0 } else { 0.0 }) } else { dense(31, n, d) };
        let r = tall_qr_r(view(&a)).unwrap();
        let mut q = view(&a).transpose().to_owned();
        certus_linalg::factor::solve_triangular(certus_linalg::factor::Triangle::Lower, r.transpose(), q.as_mut());
        let q = certus_linalg::view::to_array(q.transpose());
        let mean = |build: &dyn Fn(Seed) -> Box<dyn Sketch>| {
            let one = |seed| {
                let g = gram(view(&build(Seed(seed)).apply(Matrix::Dense(&q)).unwrap()));
                (0..d * d).map(|k| (g[(k / d, k % d)] - if k / d == k % d { 1.0 } else { 0.0 }).powi(2)).sum::<f64>()
            };
            (0..seeds).map(one).sum::<f64>() / seeds as f64
        };
        let within = |kind: &str, found: f64, variance: f64| {
            assert!(found <= 1.5 * variance / s as f64, "{name} {kind}: {found} against {}", variance / s as f64)
        };
        within("count", mean(&|seed| Box::new(CountSketch::new(s, n, seed).unwrap())), theory::count_sketch_variance(d));
        within("osnap", mean(&|seed| Box::new(Osnap::new(s, n, 4, seed).unwrap())), theory::count_sketch_variance(d));
        within("tensor", mean(&|seed| Box::new(TensorSketch::new(s, &[12, 12], seed).unwrap())), theory::tensor_sketch_variance(d, 2));
        within("tensor srht", mean(&|seed| Box::new(TensorSrht::new(s, &[12, 12], seed).unwrap())), theory::tensor_srht_variance(d, 2));
    }
}

/// E A^T S^T S A = A^T A for sampling by scores: the mean of 2000 seeds, entry by entry, within eight estimated standard errors.
#[test]
fn sampled_gram_matrices_are_unbiased() {
    let (n, d, s, seeds) = (30, 2, 10, 2000u64);
    let a = dense(41, n, d);
    let scores: Vec<f64> = (0..n).map(|i| 0.1 + (i % 5) as f64).collect();
    let exact = gram(view(&a));
    for (i, j) in [(0, 0), (0, 1), (1, 1)] {
        let values: Vec<f64> = (0..seeds)
            .map(|seed| {
                gram(view(&RowSampling::by_scores(s, &scores, None, Seed(seed)).unwrap().apply(Matrix::Dense(&a)).unwrap()))[(i, j)]
            })
            .collect();
        let mean = values.iter().sum::<f64>() / seeds as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / seeds as f64;
        assert!((mean - exact[(i, j)]).abs() < 8.0 * (variance / seeds as f64).sqrt(), "{mean} against {}", exact[(i, j)]);
    }
}

#[test]
fn sampling_weights_are_those_of_the_integer_probabilities() {
    let scores = [0.0, 1e-300, 3.0, 1.0, 0.0];
    let sampling = RowSampling::by_scores(4000, &scores, None, Seed(1)).unwrap();
    assert!(sampling.draws().iter().all(|&(i, weight)| scores[i] > 0.0 && weight.is_finite()));
    // Three quarters of the draws are row 2: 3000 of 4000, seven standard deviations of 27.
    let twos = sampling.draws().iter().filter(|(i, _)| *i == 2).count();
    assert!(twos.abs_diff(3000) < 200);
    assert!(sampling.draws().iter().filter(|(i, _)| *i == 2).all(|(_, weight)| (weight * weight * 4000.0 * 0.75 - 1.0).abs() < 1e-12));
    assert_eq!(sampling.embedding_bound(2, 0.1), None);
    let a = sparse(5, 5, 3);
    assert_eq!(sampling.apply_sparse(&a).unwrap().to_dense(), sampling.apply(Matrix::Sparse(&a)).unwrap());
}

#[test]
fn theory_rows_and_bounds_are_inverses() {
    for d in [1, 7, 100] {
        for epsilon in [1e-4, 0.1, 0.5, 3.0] {
            for delta in [1e-9, 0.01, 0.5] {
                let rows = [
                    (theory::gaussian_rows(d, epsilon, delta), theory::gaussian_epsilon as fn(usize, usize, f64) -> f64),
                    (theory::second_moment_rows(theory::count_sketch_variance(d), epsilon, delta), |s, d, delta| {
                        theory::second_moment_epsilon(s, theory::count_sketch_variance(d), delta)
                    }),
                    (theory::sampling_rows(d as f64, d, epsilon, delta), |s, d, delta| theory::sampling_epsilon(s, d as f64, d, delta)),
                ];
                // Beyond that, a number of rows is no longer exact.
                for (rows, bound) in rows.into_iter().filter(|(rows, _)| *rows < 1e15) {
                    assert!(bound(rows as usize, d, delta) <= epsilon * (1.0 + 1e-9), "{rows} rows");
                    assert!(rows < 100.0 || bound((rows * 0.98) as usize, d, delta) > epsilon);
                }
            }
        }
    }
    // Worked by hand: (sqrt 100 + sqrt(2 ln 200))^2 / (sqrt 1.5 - 1)^2 = 3471; (16 + 4) / (0.25 * 0.1) = 800.
    assert_eq!(
        SketchKind::Gaussian.theory_rows(10_000, 100, 0.5, 0.01),
        ((10.0 + (2.0 * 200f64.ln()).sqrt()) / (1.5f64.sqrt() - 1.0)).powi(2).ceil() as usize
    );
    assert_eq!(SketchKind::CountSketch.theory_rows(10_000, 4, 0.5, 0.1), 800);
    assert_eq!(SketchKind::Osnap.theory_rows(10_000, 4, 0.5, 0.1), 800);
    assert_eq!(SketchKind::Srht.theory_rows(1000, 100, 0.1, 0.01), 1024);
    assert_eq!(Srht::new(1024, 1000, Seed(0)).unwrap().embedding_bound(5, 0.1).unwrap().epsilon, 0.0);
    assert_eq!(Gaussian::new(5, 5, Seed(0)).unwrap().embedding_bound(1, 0.0), None);
    // Uniform sampling: the worst case, or by the coherence that the caller knows.
    let uniform = RowSampling::uniform(1000, 100_000, Seed(0)).unwrap();
    let known = uniform.clone().with_largest_score(2e-5);
    assert!(uniform.embedding_bound(2, 0.01).unwrap().epsilon > 1.0);
    assert!(known.embedding_bound(2, 0.01).unwrap().epsilon < 0.2);
}

#[test]
fn distortion_is_that_of_the_orthonormal_basis() {
    let a = dense(51, 500, 4);
    let r = tall_qr_r(view(&a)).unwrap();
    let unsketched = distortion(r.as_ref(), &a).unwrap();
    assert!(unsketched.epsilon() < 1e-13);
    let doubled = distortion(r.as_ref(), &a.map(|v| 2.0 * v)).unwrap();
    assert!((doubled.epsilon() - 3.0).abs() < 1e-12 && (doubled.smallest - 2.0).abs() < 1e-13);
    let short = distortion(r.as_ref(), &Array::zeros([2, 4])).unwrap();
    assert_eq!((short.smallest, short.largest, short.epsilon()), (0.0, 0.0, 1.0));
    assert_eq!(Distortion::from_preconditioned(0.5, 2.0), Distortion { smallest: 0.5, largest: 2.0 });
    assert_eq!(distortion(r.as_ref(), &Array::zeros([9, 3])).unwrap_err().kind(), "DimensionMismatch");
    let singular = certus_linalg::Mat::from_fn(4, 4, |i, j| if i < j { 1.0 } else { 0.0 });
    assert_eq!(distortion(singular.as_ref(), &a).unwrap_err().kind(), "RankDeficient");
}

#[test]
fn bad_input_is_refused() {
    let kind = |result: Result<(), InputError>| result.unwrap_err().kind();
    for sketch in SketchKind::ALL {
        assert_eq!(kind(sketch.build(0, 10, Seed(0)).map(drop)), "InvalidParameter");
        assert_eq!(kind(sketch.build(3, 0, Seed(0)).map(drop)), "InvalidParameter");
        assert_eq!(sketch.to_string().parse::<SketchKind>().unwrap(), sketch);
    }
    assert_eq!(kind("fourier".parse::<SketchKind>().map(drop)), "InvalidParameter");
    assert_eq!(kind(CountSketch::new(1 << 31, 10, Seed(0)).map(drop)), "TooLarge");
    assert_eq!(kind(Osnap::new(4, 10, 0, Seed(0)).map(drop)), "InvalidParameter");
    assert_eq!(kind(Osnap::new(4, 10, 5, Seed(0)).map(drop)), "InvalidParameter");
    assert_eq!(kind(Srht::new(17, 16, Seed(0)).map(drop)), "InvalidParameter");
    assert_eq!(kind(Srht::new(1, usize::MAX, Seed(0)).map(drop)), "TooLarge");
    assert_eq!(kind(TensorSketch::new(4, &[], Seed(0)).map(drop)), "InvalidParameter");
    assert_eq!(kind(TensorSketch::new(4, &[5, 0], Seed(0)).map(drop)), "InvalidParameter");
    assert_eq!(kind(TensorSketch::new(4, &[usize::MAX, 2], Seed(0)).map(drop)), "TooLarge");
    assert_eq!(kind(TensorSrht::new(4, &[1 << 40, 1 << 40], Seed(0)).map(drop)), "TooLarge");
    assert_eq!(kind(RowSampling::by_scores(4, &[], None, Seed(0)).map(drop)), "EmptyProblem");
    assert_eq!(kind(RowSampling::by_scores(4, &[0.0, 0.0], None, Seed(0)).map(drop)), "InvalidParameter");
    assert_eq!(kind(RowSampling::by_scores(4, &[1.0, -1.0], None, Seed(0)).map(drop)), "InvalidParameter");
    assert_eq!(kind(RowSampling::by_scores(4, &[1.0, f64::NAN], None, Seed(0)).map(drop)), "NonFinite");
    assert_eq!(kind(RowSampling::by_scores(4, &[1.0], Some(1.0), Seed(0)).map(drop)), "InvalidParameter");
    for sketch in all(4, 10, Seed(0)) {
        assert_eq!(kind(sketch.apply(Matrix::Dense(&dense(0, 9, 2))).map(drop)), "DimensionMismatch");
        assert_eq!(kind(sketch.apply(Matrix::Sparse(&sparse(0, 11, 2))).map(drop)), "DimensionMismatch");
        assert_eq!(kind(sketch.apply(Matrix::Dense(&Array::zeros([10, 2, 2]))).map(drop)), "DimensionMismatch");
        assert_eq!(kind(sketch.apply_vector(&[1.0; 9]).map(drop)), "DimensionMismatch");
        assert_eq!(kind(sketch.apply_right(Matrix::Dense(&dense(0, 10, 2))).map(drop)), "DimensionMismatch");
        assert_eq!(sketch.apply(Matrix::Dense(&Array::zeros([10, 0]))).unwrap().shape(), [4, 0]);
    }
    let (f, g) = (dense(0, 5, 2), dense(0, 6, 3));
    let tensor = TensorSketch::new(4, &[5, 6], Seed(0)).unwrap();
    assert_eq!(kind(tensor.apply_kronecker(&[(&f).into()]).map(drop)), "DimensionMismatch");
    assert_eq!(kind(tensor.apply_kronecker(&[(&g).into(), (&f).into()]).map(drop)), "DimensionMismatch");
    assert_eq!(kind(tensor.apply_khatri_rao(&[(&f).into(), (&g).into()]).map(drop)), "DimensionMismatch");
    let srht = TensorSrht::new(4, &[5, 6], Seed(0)).unwrap();
    assert_eq!(kind(srht.apply_face_splitting(&[(&f).into(), (&g).into()]).map(drop)), "DimensionMismatch");
    assert_eq!(kind(Osnap::new(4, 5, 2, Seed(0)).unwrap().apply_scaled(&[1.0; 4], (&f).into()).map(drop)), "DimensionMismatch");
}

#[test]
fn scaled_rows_are_those_of_the_scaled_matrix() {
    let a = dense(61, 3000, 30);
    let factors: Vec<f64> = (0..3000).map(|i| 0.25 * (i % 9) as f64).collect();
    let scaled = Array::from_fn(3000, 30, |i, j| factors[i] * a.row(i)[j]);
    let sketch = Osnap::new(64, 3000, 4, Seed(3)).unwrap();
    let found = sketch.apply_scaled(&factors, Matrix::Dense(&a)).unwrap();
    assert!(close(found.as_slice(), sketch.apply(Matrix::Dense(&scaled)).unwrap().as_slice(), 1e-12));
}

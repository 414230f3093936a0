use certus_linalg::factor::{
    Cholesky, PivotedQr, Triangle, generalized_symmetric_eigen, qr_r, singular_values, solve_triangular, solve_triangular_vec, svd,
    symmetric_eigen, symmetric_eigenvalues, tall_qr_r, triangular_condition,
};
use certus_linalg::product::{gram, matmul};
use certus_linalg::{Error, Mat, MatRef};

use crate::product::{largest_difference, random};

fn positive_definite(seed: u64, d: usize) -> Mat<f64> {
    let mut g = gram(random(seed, d + 3, d).as_ref());
    for i in 0..d {
        g[(i, i)] += 0.1;
    }
    g
}

fn diagonal(values: &[f64]) -> Mat<f64> {
    Mat::from_fn(values.len(), values.len(), |i, j| if i == j { values[i] } else { 0.0 })
}

fn entries(a: MatRef<'_, f64>) -> Vec<f64> {
    a.col_iter().flat_map(|c| c.iter().copied().collect::<Vec<_>>()).collect()
}

#[test]
fn cholesky_reconstructs_and_solves() {
    for d in [1, 2, 5, 60, 200] {
        let a = positive_definite(d as u64, d);
        let c = Cholesky::new("a", a.as_ref()).unwrap();
        assert!(largest_difference(matmul(c.lower(), c.lower().transpose()).as_ref(), a.as_ref()) < 1e-12 * d as f64);
        let x = c.solve(&vec![1.0; d]);
        let ax = matmul(a.as_ref(), Mat::from_fn(d, 1, |i, _| x[i]).as_ref());
        assert!((0..d).all(|i| (ax[(i, 0)] - 1.0).abs() < 1e-9));
        assert!(largest_difference(matmul(c.inverse().as_ref(), a.as_ref()).as_ref(), Mat::<f64>::identity(d, d).as_ref()) < 1e-9);
        let log = symmetric_eigenvalues(a.as_ref()).unwrap().iter().map(|v| v.ln()).sum::<f64>();
        assert!((c.log_determinant() - log).abs() < 1e-9 * d as f64);
    }
}

#[test]
fn an_indefinite_matrix_is_refused_at_its_row() {
    let mut a = Mat::<f64>::identity(4, 4);
    a[(2, 2)] = -1.0;
    let error = Cholesky::new("the Hessian", a.as_ref()).unwrap_err();
    assert_eq!(error, Error::NotPositiveDefinite { matrix: "the Hessian".into(), row: 2 });
    a[(1, 0)] = f64::NAN;
    assert_eq!(Cholesky::new("a", a.as_ref()).unwrap_err().kind(), "NonFiniteMatrix");
    assert_eq!(symmetric_eigen(a.as_ref()).unwrap_err().kind(), "NonFiniteMatrix");
    assert_eq!(svd(a.as_ref()).unwrap_err().kind(), "NonFiniteMatrix");
    assert_eq!(PivotedQr::new(a.clone()).unwrap_err().kind(), "NonFiniteMatrix");
    assert_eq!(qr_r(a).unwrap_err().kind(), "NonFiniteMatrix");
}

#[test]
fn triangular_factors_have_the_gram_matrix_of_what_they_factor() {
    for (n, d) in [(1, 1), (5, 5), (40, 7), (5000, 13), (40_000, 30)] {
        let a = random(n as u64, n, d);
        let g = gram(a.as_ref());
        for r in [qr_r(a.clone()).unwrap(), tall_qr_r(a.as_ref()).unwrap()] {
            assert!(largest_difference(gram(r.as_ref()).as_ref(), g.as_ref()) < 1e-12 * n as f64);
            assert!((0..d).all(|j| (j + 1..d).all(|i| r[(i, j)] == 0.0)));
        }
    }
}

#[test]
fn pivoted_qr_tells_the_rank_and_solves() {
    let (left, right) = (random(1, 50, 4), random(2, 4, 9));
    let a = matmul(left.as_ref(), right.as_ref());
    let qr = PivotedQr::new(a.clone()).unwrap();
    assert_eq!(qr.rank(1e-12), 4);
    let (q, r) = (qr.q(9), qr.r());
    let permuted = Mat::from_fn(50, 9, |i, j| a[(i, qr.permutation()[j])]);
    assert!(largest_difference(matmul(q.as_ref(), r.as_ref()).as_ref(), permuted.as_ref()) < 1e-13);
    let x = (0..9).map(|i| i as f64).collect::<Vec<_>>();
    let b = certus_linalg::product::matvec(a.as_ref(), &x);
    let fitted = certus_linalg::product::matvec(a.as_ref(), &qr.solve(&b, 4));
    assert!(b.iter().zip(&fitted).all(|(b, f)| (b - f).abs() < 1e-12));
    let wide = PivotedQr::new(random(3, 3, 8)).unwrap();
    assert_eq!((wide.rank(1e-12), wide.r().nrows(), wide.r().ncols()), (3, 3, 8));
    assert_eq!(PivotedQr::new(Mat::zeros(4, 3)).unwrap().rank(1e-12), 0);
}

#[test]
fn eigenvalues_and_vectors_satisfy_their_equations() {
    for d in [1, 2, 17, 150] {
        let a = random(d as u64, d, d);
        let a = Mat::from_fn(d, d, |i, j| a[(i, j)] + a[(j, i)]);
        let eigen = symmetric_eigen(a.as_ref()).unwrap();
        assert!(eigen.values.windows(2).all(|pair| pair[0] <= pair[1]));
        let scaled = matmul(eigen.vectors.as_ref(), diagonal(&eigen.values).as_ref());
        assert!(largest_difference(matmul(a.as_ref(), eigen.vectors.as_ref()).as_ref(), scaled.as_ref()) < 1e-12 * d as f64);
        let only = symmetric_eigenvalues(a.as_ref()).unwrap();
        assert!(only.iter().zip(&eigen.values).all(|(a, b)| (a - b).abs() < 1e-12 * d as f64));
        let b = positive_definite(d as u64 + 1, d);
        let general = generalized_symmetric_eigen(a.as_ref(), b.as_ref()).unwrap();
        let left = matmul(a.as_ref(), general.vectors.as_ref());
        let right = matmul(matmul(b.as_ref(), general.vectors.as_ref()).as_ref(), diagonal(&general.values).as_ref());
        let scale = general.values.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        assert!(largest_difference(left.as_ref(), right.as_ref()) < 1e-10 * d as f64 * scale);
        let unit = matmul(general.vectors.transpose(), matmul(b.as_ref(), general.vectors.as_ref()).as_ref());
        assert!(largest_difference(unit.as_ref(), Mat::<f64>::identity(d, d).as_ref()) < 1e-10 * d as f64);
    }
}

#[test]
fn singular_values_are_those_of_the_gram_matrix() {
    for (n, d) in [(1, 1), (30, 8), (8, 30), (400, 150)] {
        let a = random(n as u64, n, d);
        let s = svd(a.as_ref()).unwrap();
        let back = matmul(matmul(s.u.as_ref(), diagonal(&s.values).as_ref()).as_ref(), s.v.transpose());
        assert!(largest_difference(back.as_ref(), a.as_ref()) < 1e-12);
        let only = singular_values(a.as_ref()).unwrap();
        assert!(only.iter().zip(&s.values).all(|(a, b)| (a - b).abs() < 1e-12 * only[0]));
    }
}

#[test]
fn triangular_solves_agree_for_both_orders_and_any_number_of_right_hand_sides() {
    let d = 70;
    let c = Cholesky::new("a", positive_definite(4, d).as_ref()).unwrap();
    let (lower, upper) = (c.lower().to_owned(), c.lower().transpose().to_owned());
    let b = random(5, d, 300);
    for (triangle, t) in [
        (Triangle::Lower, lower.as_ref()),
        (Triangle::Lower, upper.transpose()),
        (Triangle::Upper, upper.as_ref()),
        (Triangle::Upper, lower.transpose()),
    ] {
        let mut x = b.clone();
        solve_triangular(triangle, t, x.as_mut());
        assert!(largest_difference(matmul(t, x.as_ref()).as_ref(), b.as_ref()) < 1e-10);
        let mut single = b.col(7).iter().copied().collect::<Vec<_>>();
        solve_triangular_vec(triangle, t, &mut single);
        assert!((0..d).all(|i| (single[i] - x[(i, 7)]).abs() < 1e-9));
    }
    let inverse = Mat::from_fn(2, 2, |i, j| [[1.0, 1.0], [0.0, 1e-3]][i][j]);
    assert!((triangular_condition(inverse.as_ref()) - 1.001 * 2000.0).abs() < 1e-6);
    assert_eq!(triangular_condition(Mat::<f64>::zeros(2, 2).as_ref()), f64::INFINITY);
}

#[test]
fn factorisations_have_the_same_bits_on_any_number_of_threads() {
    for (n, d) in [(400, 150), (450, 400), (3000, 20)] {
        let a = random(9, n, d);
        certus_testkit::same_bits(|| {
            let g = gram(a.as_ref());
            let s = svd(a.as_ref()).unwrap();
            let e = symmetric_eigen(g.as_ref()).unwrap();
            let qr = PivotedQr::new(a.clone()).unwrap();
            let mut all = entries(tall_qr_r(a.as_ref()).unwrap().as_ref());
            all.extend(entries(Cholesky::new("g", g.as_ref()).unwrap().inverse().as_ref()));
            all.extend(s.values.iter().chain(&e.values));
            all.extend(entries(s.u.as_ref()));
            all.extend(entries(e.vectors.as_ref()));
            all.extend(entries(qr.r().as_ref()));
            all.extend(entries(qr.q(d).as_ref()));
            all
        });
    }
}

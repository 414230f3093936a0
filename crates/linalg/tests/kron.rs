use certus_linalg::kron::{FaceSplitting, KhatriRao, Kron, unvec, vec};
use certus_linalg::operator::LinearOperator;
use certus_linalg::product::{gram, matmul, matvec};
use certus_linalg::{Error, Mat, MatRef};
use proptest::prelude::*;

use crate::product::{largest_difference, random};

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-11 * (1.0 + b.abs()))
}

fn numbers(seed: u64, n: usize) -> Vec<f64> {
    vec(random(seed, 1, n).as_ref())
}

/// The operator's two products against those of the matrix it stands for.
fn applies_like(operator: &impl LinearOperator, formed: MatRef<'_, f64>, seed: u64) -> bool {
    let (x, y) = (numbers(seed, operator.cols()), numbers(seed + 1, operator.rows()));
    (operator.rows(), operator.cols()) == (formed.nrows(), formed.ncols())
        && close(&operator.times(&x), &matvec(formed, &x))
        && close(&operator.transpose_times(&y), &matvec(formed.transpose(), &y))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn kronecker_identities(m in 1usize..6, p in 1usize..6, n in 1usize..6, q in 1usize..6, r in 1usize..4, s in 1usize..4, seed in any::<u64>()) {
        let (a, b) = (random(seed, m, p), random(seed ^ 1, n, q));
        let (c, d) = (random(seed ^ 2, p, r), random(seed ^ 3, q, s));
        let product = Kron::new(a.as_ref(), b.as_ref());
        prop_assert!(applies_like(&product, product.formed().as_ref(), seed));
        // (A ⊗ B) vec(X) = vec(A X Bᵀ), X neither square nor symmetric.
        let x = random(seed ^ 4, p, q);
        let sandwich = matmul(matmul(a.as_ref(), x.as_ref()).as_ref(), b.transpose());
        prop_assert!(close(&product.times(&vec(x.as_ref())), &vec(sandwich.as_ref())));
        prop_assert!(unvec(&vec(x.as_ref()), p, q) == x);
        // (A ⊗ B)(C ⊗ D) = AC ⊗ BD.
        let mixed = matmul(product.formed().as_ref(), Kron::new(c.as_ref(), d.as_ref()).formed().as_ref());
        let (ac, bd) = (matmul(a.as_ref(), c.as_ref()), matmul(b.as_ref(), d.as_ref()));
        prop_assert!(largest_difference(mixed.as_ref(), Kron::new(ac.as_ref(), bd.as_ref()).formed().as_ref()) < 1e-12);
        let (ga, gb) = product.gram();
        prop_assert!(largest_difference(gram(product.formed().as_ref()).as_ref(), Kron::new(ga.as_ref(), gb.as_ref()).formed().as_ref()) < 1e-12);
        prop_assert_eq!(product.transpose().formed(), product.formed().transpose().to_owned());
    }

    #[test]
    fn kronecker_solves_and_scores(p in 1usize..5, q in 1usize..5, extra in 0usize..4, seed in any::<u64>()) {
        let (a, b) = (random(seed, p + extra, p), random(seed ^ 1, q + 2 * extra, q));
        let product = Kron::new(a.as_ref(), b.as_ref());
        let scores = product.leverage_scores();
        let y = numbers(seed ^ 2, product.rows());
        let (Ok(scores), Ok(x)) = (scores, product.solve(&y)) else { return Ok(()) };
        // The residual is orthogonal to the columns.
        let residual = product.times(&x).iter().zip(&y).map(|(ax, y)| ax - y).collect::<Vec<_>>();
        let size = x.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        prop_assert!(product.transpose_times(&residual).iter().all(|g| g.abs() < 1e-10 * size));
        prop_assert!((scores.total() - (p * q) as f64).abs() < 1e-9);
        let inverse = certus_linalg::factor::Cholesky::new("g", gram(product.formed().as_ref()).as_ref());
        if let Ok(inverse) = inverse {
            let formed = product.formed();
            let hat = matmul(matmul(formed.as_ref(), inverse.inverse().as_ref()).as_ref(), formed.transpose());
            let condition = certus_linalg::factor::singular_values(formed.as_ref()).unwrap();
            let tolerance = 1e-14 * (condition[0] / condition[condition.len() - 1]).powi(2) * 100.0;
            prop_assert!((0..product.rows()).all(|i| (scores.score(i) - hat[(i, i)]).abs() < tolerance));
        }
    }

    #[test]
    fn khatri_rao_and_face_splitting_match_what_they_stand_for(m in 1usize..7, n in 1usize..7, d in 1usize..5, e in 1usize..5, seed in any::<u64>()) {
        let (a, b) = (random(seed, m, d), random(seed ^ 1, n, d));
        let product = KhatriRao::new(a.as_ref(), b.as_ref());
        let formed = Mat::from_fn(m * n, d, |r, j| Kron::new(a.as_ref().subcols(j, 1), b.as_ref().subcols(j, 1)).formed()[(r, 0)]);
        prop_assert_eq!(product.block(0..m * n), formed.clone());
        prop_assert!(applies_like(&product, formed.as_ref(), seed));
        prop_assert!(largest_difference(product.gram().as_ref(), gram(formed.as_ref()).as_ref()) < 1e-12);

        let (a, b) = (random(seed ^ 2, m, d), random(seed ^ 3, m, e));
        let product = FaceSplitting::new(a.as_ref(), b.as_ref());
        let formed = Mat::from_fn(m, d * e, |i, c| Kron::new(a.as_ref().subrows(i, 1), b.as_ref().subrows(i, 1)).formed()[(0, c)]);
        prop_assert_eq!(product.block(0..m), formed.clone());
        prop_assert!(applies_like(&product, formed.as_ref(), seed));
        let weights = (0..m).map(|i| i as f64).collect::<Vec<_>>();
        let weighted = Mat::from_fn(m, d * e, |i, j| weights[i] * formed[(i, j)]);
        let expected = matmul(formed.transpose(), weighted.as_ref());
        prop_assert!(largest_difference(product.gram(Some(&weights)).as_ref(), expected.as_ref()) < 1e-12);
    }
}

#[test]
fn blocks_cover_all_rows_in_order() {
    let (a, b) = (random(1, 60, 3), random(2, 70, 3));
    let product = KhatriRao::new(a.as_ref(), b.as_ref());
    let whole = product.block(0..4200);
    let mut next = 0;
    for (rows, block) in product.blocks() {
        assert_eq!(rows.start, next);
        assert!(rows.len() <= 1024);
        assert_eq!(block, whole.as_ref().subrows(rows.start, rows.len()).to_owned());
        next = rows.end;
    }
    assert_eq!(next, 4200);
}

#[test]
fn a_factor_with_dependent_columns_is_refused_by_name() {
    let (a, b) = (Mat::from_fn(4, 2, |i, _| i as f64), random(1, 3, 2));
    let expected = Error::RankDeficient { matrix: "the right factor".into(), rank: 1, cols: 2 };
    assert_eq!(Kron::new(b.as_ref(), a.as_ref()).solve(&[1.0; 12]).unwrap_err(), expected);
    assert_eq!(Kron::new(b.as_ref(), a.as_ref()).leverage_scores().unwrap_err(), expected);
}

#[test]
fn implicit_products_have_the_same_bits_on_any_number_of_threads() {
    let (a, b) = (random(1, 300, 60), random(2, 200, 60));
    let x = numbers(3, 3600);
    certus_testkit::same_bits(|| {
        let kron = Kron::new(a.as_ref(), b.as_ref());
        let mut all = kron.times(&x);
        all.extend(kron.transpose_times(&kron.times(&x)));
        all.extend(vec(KhatriRao::new(a.as_ref(), b.as_ref()).gram().as_ref()));
        all.extend(KhatriRao::new(a.as_ref(), b.as_ref()).times(&x[..60]));
        all
    });
}

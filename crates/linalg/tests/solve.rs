use certus_contract::{Status, ignore_events};
use certus_linalg::factor::{Cholesky, singular_values, symmetric_eigenvalues};
use certus_linalg::operator::LinearOperator;
use certus_linalg::product::{gram, matmul, matvec};
use certus_linalg::solve::{Lsmr, LsmrOptions, PcgOptions, SymmetricOperator, lanczos_extremes, lsmr, pcg, singular_extremes};
use certus_linalg::view::view;
use certus_linalg::{Mat, Matrix};
use certus_numeric::Seed;
use proptest::prelude::*;
use std::ops::ControlFlow;

use crate::operator::{both, numbers};
use crate::product::random;

struct Dense<'a>(&'a Mat<f64>);

impl SymmetricOperator for Dense<'_> {
    fn order(&self) -> usize {
        self.0.nrows()
    }
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        y.copy_from_slice(&matvec(self.0.as_ref(), x));
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn extremes_of_a_bidiagonal_are_its_singular_values_also_where_they_are_small_or_many() {
    let run =
        |bidiagonal: Vec<[f64; 2]>| Lsmr { x: Vec::new(), gradients: vec![0.0], residuals: vec![0.0], bidiagonal, status: Status::Stopped };
    for (k, scale) in [(1, 1.0), (2, 1e-90), (17, 1.0), (60, 1e100)] {
        let b = numbers(k as u64, 2 * k).chunks_exact(2).map(|b| [b[0].abs() * scale, b[1].abs() * scale]).collect::<Vec<_>>();
        let dense = Mat::from_fn(k + 1, k, |i, j| {
            if i == j {
                b[j][0]
            } else if i == j + 1 {
                b[j][1]
            } else {
                0.0
            }
        });
        let values = singular_values(dense.as_ref()).unwrap();
        let (largest, smallest) = run(b).singular_extremes().unwrap();
        assert!((largest / values[0] - 1.0).abs() < 1e-13, "{largest} {}", values[0]);
        assert!((smallest - values[k - 1]).abs() < 1e-14 * values[0], "{smallest} {}", values[k - 1]);
    }
    // Constant diagonals: BᵀB = tridiag(1, 2, 1) has the eigenvalues 2 + 2 cos(j pi / (k + 1)).
    let k = 100_000;
    let (largest, smallest) = run(vec![[1.0, 1.0]; k]).singular_extremes().unwrap();
    let angle = std::f64::consts::PI / (k + 1) as f64;
    assert!((largest - 2.0 * (angle / 2.0).cos()).abs() < 1e-14);
    assert!((smallest / (2.0 * (angle / 2.0).sin()) - 1.0).abs() < 1e-9, "to high relative accuracy: {smallest}");
    assert!(run(Vec::new()).singular_extremes().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn lsmr_finds_the_minimiser_and_knows_its_gradient(n in 3usize..80, d in 1usize..10, seed in any::<u64>()) {
        let (dense, sparse) = both(seed, n.max(2 * d), d);
        let b = numbers(seed ^ 7, n.max(2 * d));
        let options = LsmrOptions { tolerance: 1e-13, ..LsmrOptions::default() };
        for a in [Matrix::from(&dense), Matrix::from(&sparse)] {
            let run = lsmr(&a, &b, &options, ignore_events);
            let residual = a.times(&run.x).iter().zip(&b).map(|(ax, b)| b - ax).collect::<Vec<_>>();
            let gradient = norm(&a.transpose_times(&residual));
            let scale = norm(dense.as_slice()) * norm(&b);
            prop_assert!(gradient <= 1e-10 * scale, "{gradient}");
            // The recurrences know what is true.
            prop_assert!((gradient - run.gradients[run.iterations()]).abs() <= 1e-10 * scale);
            prop_assert!((norm(&residual) - run.residuals[run.iterations()]).abs() <= 1e-9 * norm(&b));
            // The gradient never grows.
            prop_assert!(run.gradients.windows(2).all(|g| g[1] <= g[0] * (1.0 + 1e-12)));
            if let Some((largest, smallest)) = run.singular_extremes() {
                let values = singular_values(view(&dense)).unwrap();
                prop_assert!(largest <= values[0] * (1.0 + 1e-9) && smallest >= values[d - 1] * (1.0 - 1e-6) - 1e-9);
            }
        }
    }

    #[test]
    fn pcg_solves_with_any_preconditioner(d in 1usize..40, seed in any::<u64>()) {
        let mut a = gram(random(seed, d + 5, d).as_ref());
        (0..d).for_each(|i| a[(i, i)] += 0.5);
        let b = numbers(seed ^ 1, d);
        let expected = Cholesky::new("a", a.as_ref()).unwrap().solve(&b);
        let options = PcgOptions { tolerance: 1e-13, max_iterations: 500 };
        for jacobi in [false, true] {
            let precondition = |r: &[f64], z: &mut [f64]| (0..d).for_each(|i| z[i] = if jacobi { r[i] / a[(i, i)] } else { r[i] });
            let run = pcg(&Dense(&a), &b, precondition, &options, ignore_events);
            prop_assert_eq!(run.status, Status::Converged);
            prop_assert!(run.x.iter().zip(&expected).all(|(x, e)| (x - e).abs() < 1e-9 * (1.0 + e.abs())));
        }
        let exact = Cholesky::new("a", a.as_ref()).unwrap();
        let run = pcg(&Dense(&a), &b, |r, z| z.copy_from_slice(&exact.solve(r)), &options, ignore_events);
        prop_assert!(run.residuals.len() <= 4, "one step, and one or two against rounding");
    }

    #[test]
    fn lanczos_brackets_the_spectrum_from_inside(d in 1usize..60, seed in any::<u64>()) {
        let a = random(seed, d, d);
        let a = Mat::from_fn(d, d, |i, j| a[(i, j)] + a[(j, i)]);
        let values = symmetric_eigenvalues(a.as_ref()).unwrap();
        let found = lanczos_extremes(&Dense(&a), 1e-10, 200, Seed(seed)).unwrap();
        let scale = values[0].abs().max(values[d - 1].abs());
        prop_assert!(found.smallest >= values[0] - 1e-10 * scale && found.largest <= values[d - 1] + 1e-10 * scale);
        prop_assert!((found.smallest - values[0]).abs() <= 1e-7 * scale && (found.largest - values[d - 1]).abs() <= 1e-7 * scale);
    }
}

#[test]
fn pcg_reports_a_direction_of_negative_curvature() {
    let a = Mat::from_fn(3, 3, |i, j| if i == j { [1.0, -2.0, 3.0][i] } else { 0.0 });
    let run = pcg(&Dense(&a), &[1.0, 1.0, 1.0], |r, z| z.copy_from_slice(r), &PcgOptions::default(), ignore_events);
    assert_eq!(run.status, Status::Diverged);
    let p = run.negative_direction.unwrap();
    assert!(p.iter().zip(matvec(a.as_ref(), &p)).map(|(p, ap)| p * ap).sum::<f64>() <= 0.0);
}

#[test]
fn an_observer_stops_a_run_and_keeps_its_best() {
    let (dense, _) = both(1, 60, 8);
    let b = numbers(2, 60);
    let mut seen = 0;
    let run = lsmr(&Matrix::from(&dense), &b, &LsmrOptions::default(), |event| {
        assert_eq!(event.phase, "iterate");
        seen += 1;
        if event.done == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((run.status, run.iterations(), seen), (Status::Stopped, 3, 3));
    assert!(run.residuals[3] < run.residuals[0]);
    let limited = lsmr(&Matrix::from(&dense), &b, &LsmrOptions { max_iterations: 2, ..LsmrOptions::default() }, ignore_events);
    assert_eq!((limited.status, limited.iterations()), (Status::MaxIterations, 2));
}

#[test]
fn a_zero_right_hand_side_or_matrix_needs_no_iteration() {
    let (dense, _) = both(1, 20, 3);
    let zero = certus_numeric::Array::zeros([20, 3]);
    for run in [
        lsmr(&Matrix::from(&dense), &[0.0; 20], &LsmrOptions::default(), ignore_events),
        lsmr(&Matrix::from(&zero), &[1.0; 20], &LsmrOptions::default(), ignore_events),
    ] {
        assert_eq!((run.status, run.iterations(), run.x), (Status::Converged, 0, vec![0.0; 3]));
    }
    let run = pcg(&Dense(&Mat::identity(3, 3)), &[0.0; 3], |r, z| z.copy_from_slice(r), &PcgOptions::default(), ignore_events);
    assert_eq!((run.status, run.x), (Status::Converged, vec![0.0; 3]));
}

#[test]
fn lanczos_refuses_what_is_not_finite_and_survives_an_invariant_subspace() {
    let mut a = Mat::<f64>::identity(6, 6);
    let found = lanczos_extremes(&Dense(&a), 1e-12, 50, Seed(0)).unwrap();
    assert!((found.smallest - 1.0).abs() < 1e-14 && (found.largest - 1.0).abs() < 1e-14);
    a[(3, 3)] = f64::NAN;
    assert_eq!(lanczos_extremes(&Dense(&a), 1e-12, 50, Seed(0)).unwrap_err().kind(), "NonFiniteMatrix");
}

#[test]
fn singular_extremes_are_those_of_the_matrix() {
    let a = matmul(random(1, 90, 20).as_ref(), Mat::from_fn(20, 20, |i, j| if i == j { 0.5f64.powi(i as i32 / 2) } else { 0.0 }).as_ref());
    let array = certus_linalg::view::to_array(a.as_ref());
    let values = singular_values(a.as_ref()).unwrap();
    let (smallest, largest) = singular_extremes(&Matrix::from(&array), 1e-12, 100, Seed(1)).unwrap();
    assert!((largest - values[0]).abs() < 1e-9 * values[0] && (smallest - values[19]).abs() < 1e-6 * values[19]);
}

#[test]
fn iterative_solvers_have_the_same_bits_on_any_number_of_threads() {
    let (dense, sparse) = both(3, 20_000, 50);
    let b = numbers(4, 20_000);
    certus_testkit::same_bits(|| {
        let mut all = lsmr(&Matrix::from(&dense), &b, &LsmrOptions::default(), ignore_events).x;
        all.extend(lsmr(&Matrix::from(&sparse), &b, &LsmrOptions::default(), ignore_events).x);
        let (smallest, largest) = singular_extremes(&Matrix::from(&sparse), 1e-9, 60, Seed(1)).unwrap();
        all.extend([smallest, largest]);
        all
    });
}

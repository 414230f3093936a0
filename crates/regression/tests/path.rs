//! Paths along the ridge.

use certus_regression::{Certify, Form, Link, Problem, Solver, Start};

use crate::support::{assert_sound, difference, kind, largest, random, tight};

const RIDGES: [f64; 7] = [100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1];

#[test]
fn a_path_is_as_separate_fits_in_fewer_steps() {
    for seed in 0..5 {
        // Targets below zero: each row is convex.
        let (mut data, _) = random(seed, (Link::Exp, Form::Plain), 60, 6);
        data.b.iter_mut().for_each(|b| *b = -b.abs());
        (data.row_reg, data.offset, data.reference) = (None, None, None);
        let problem = data.problem();
        let solver = tight().with_start(Start::Given(vec![1.0; 6]));
        let path = solver.solve_path(&problem, &RIDGES).unwrap();
        assert_eq!(path.len(), RIDGES.len());
        let (mut of_path, mut apart) = (0, 0);
        for (solution, ridge) in path.iter().zip(RIDGES) {
            assert_sound(solution, "path");
            assert!(solution.status.reached());
            let separate = solver.solve(&problem.clone().with_ridge(ridge).unwrap()).unwrap();
            let error = difference(&solution.x, &separate.x) / largest(&separate.x);
            assert!(error <= 1e-9, "seed {seed}, ridge {ridge}: off by {error:e}");
            of_path += solution.facts.iterations;
            apart += separate.facts.iterations;
        }
        assert!(of_path < apart, "seed {seed}: {of_path} steps along the path, {apart} apart");
    }
}

#[test]
fn a_path_leaves_the_saddle_that_a_large_ridge_made_a_minimum() {
    let a = certus_numeric::Array::from_fn(6, 1, |i, _| 1.0 + 0.2 * i as f64);
    let b = (0..6).map(|i| (0.8 * (1.0 + 0.2 * i as f64)).cosh()).collect::<Vec<_>>();
    let problem = Problem::new(&a, &b, Link::Cosh, Form::Plain).unwrap();
    let path = Solver::default().with_certify(Certify::Full).solve_path(&problem, &[1e4, 0.0]).unwrap();
    assert!(path[0].x[0].abs() < 1e-8, "{:?}", path[0].x);
    assert!((path[1].x[0].abs() - 0.8).abs() < 1e-9, "{:?}", path[1].x);
}

#[test]
fn bad_ridges_are_refused_by_name() {
    let (data, _) = random(1, (Link::Exp, Form::Plain), 8, 2);
    let along = |ridges: &[f64]| Solver::default().solve_path(&data.problem(), ridges);
    assert_eq!(kind(along(&[])), "EmptyProblem");
    assert_eq!(kind(along(&[1.0, -1.0])), "InvalidParameter");
    assert_eq!(kind(along(&[1.0, 2e300])), "InvalidParameter");
    assert_eq!(kind(along(&[f64::NAN])), "NonFinite");
    assert_eq!(kind(along(&[1.0, f64::INFINITY])), "NonFinite");
    let message = along(&[1.0, -1.0]).unwrap_err().to_string();
    assert!(message.contains("ridges[1]"), "{message}");
}

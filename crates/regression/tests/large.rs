//! Fits that begin on a sample of rows, and keep one Hessian for several steps.

use certus_numeric::seed::{bounded, hash64, unit_interval};
use certus_numeric::{Array, Csr};
use certus_regression::{Certify, Form, Hessian, Link, Outcome, Problem, Solution, Solver, Start};
use certus_testkit::same_bits;

/// In [-1/2, 1/2).
fn centred(key: u64, index: usize) -> f64 {
    unit_interval(hash64(key, index as u64)) - 0.5
}

/// 10 entries in each row, one in each strip of columns.
fn sparse(rows: usize, cols: usize) -> Csr {
    let strip = cols / 10;
    let column = |k: usize| (k % 10 * strip) as u64 + bounded(hash64(2, k as u64), strip as u64);
    let indices = (0..10 * rows).map(|k| column(k) as u32).collect();
    Csr::new(rows, cols, (0..=rows).map(|i| 10 * i).collect(), indices, (0..10 * rows).map(|k| centred(3, k)).collect()).unwrap()
}

/// u(A x) for some x, with 5 % of noise.
fn targets(a: &Csr, u: impl Fn(f64) -> f64) -> Vec<f64> {
    let predictor = |i: usize| {
        let (columns, values) = a.row(i);
        columns.iter().zip(values).map(|(&j, v)| 2.0 * centred(4, j as usize) * v).sum::<f64>()
    };
    (0..a.rows()).map(|i| u(predictor(i)) * (1.0 + 0.1 * centred(5, i))).collect()
}

fn radius(solution: &Solution) -> f64 {
    match solution.outcome {
        Outcome::ProvenLocalMinimum { radius } | Outcome::ProvenGlobalMinimum { radius } => radius,
        Outcome::NotProven { .. } => panic!("{}\n{:?}", solution.certificate, solution.outcome),
    }
}

fn distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
}

const ROWS: usize = 120_000;

#[test]
fn a_fit_that_begins_on_some_rows_ends_at_the_minimum_of_all() {
    let a = sparse(ROWS, 60);
    for (link, form) in [(Link::Exp, Form::Plain), (Link::Sinh, Form::Plain), (Link::Exp, Form::Normalised)] {
        let mut b = targets(&a, if link == Link::Exp { f64::exp } else { f64::sinh });
        if form == Form::Normalised {
            let sum = b.iter().sum::<f64>();
            b.iter_mut().for_each(|b| *b /= sum);
        }
        let problem = Problem::new(&a, &b, link, form).unwrap();
        let exact = Solver::default().with_hessian(Hessian::Exact).with_gradient_tolerance(1e-12).solve(&problem).unwrap();
        for start in [Start::Auto, Start::Zero, Start::Given(exact.x.iter().map(|x| x + 0.1).collect()), Start::Given(exact.x.clone())] {
            let found = Solver::default().with_start(start).with_gradient_tolerance(1e-9).solve(&problem).unwrap();
            let within = radius(&found) + radius(&exact);
            assert!(distance(&found.x, &exact.x) <= within, "{link} {form}: {within}");
            assert!(found.status.reached() && found.facts.iterations <= 6, "{link} {form}: {:?}", found.facts.iterations);
        }
    }
}

#[test]
fn a_hessian_of_an_earlier_point_proves_nearly_what_the_present_one_does() {
    let a = sparse(ROWS, 60);
    let b = targets(&a, f64::exp);
    let problem = Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap();
    let lagged = Solver::default().with_hessian(Hessian::MatrixFree).with_gradient_tolerance(1e-7).solve(&problem).unwrap();
    assert_eq!(lagged.facts.hessian_choice, Hessian::MatrixFree);
    let present = problem.certify(&lagged.x, Certify::Cheap).unwrap();
    let ratio = |f: fn(&Solution) -> Option<f64>| f(&lagged).unwrap() / f(&present).unwrap();
    // Bounds are a little larger, never smaller beyond rounding.
    assert!((0.999..1.1).contains(&ratio(|s| s.facts.newton_decrement)), "{} {}", lagged.certificate, present.certificate);
    assert!((0.99..1.01).contains(&ratio(|s| s.facts.lambda_min)));
    assert!((0.999..1.2).contains(&(radius(&lagged) / radius(&present))));
}

#[test]
fn the_sample_and_all_that_follows_have_the_same_bits_on_any_number_of_threads() {
    let a = sparse(ROWS, 60);
    let b = targets(&a, f64::exp);
    let problem = Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap();
    same_bits(|| {
        let found = Solver::default().solve(&problem).unwrap();
        (found.x.clone(), found.loss, radius(&found))
    });
}

#[test]
fn rows_that_the_sample_misses_count() {
    // One column is seen by a single row, which no sample need hold.
    let (n, d) = (ROWS, 11);
    let rare = n / 2 + 1;
    let a = Array::from_fn(n, d, |i, j| if j < d - 1 { centred(7, d * i + j) } else { f64::from(i == rare) });
    let b = (0..n).map(|i| if i == rare { 5.0 } else { 1.0 + 0.2 * centred(8, i) }).collect::<Vec<_>>();
    let found = Solver::default().solve(&Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap()).unwrap();
    assert!(radius(&found) < 1e-6 && found.facts.rank == d);
    let z = a.row(rare).iter().zip(&found.x).map(|(a, x)| a * x).sum::<f64>();
    assert!((z.exp() - 5.0).abs() < 1e-6, "{}", z.exp());
}

#[test]
fn the_softmax_of_many_rows_is_proven() {
    let a = sparse(20_000, 40);
    let mut b = targets(&a, f64::exp);
    let sum = b.iter().sum::<f64>();
    b.iter_mut().for_each(|b| *b /= sum);
    let problem = Problem::new(&a, &b, Link::Exp, Form::Normalised).unwrap();
    assert!(radius(&Solver::default().solve(&problem).unwrap()) < 1e-5);
}

#[test]
fn directions_that_sparse_rows_or_rows_without_weight_do_not_see_are_found() {
    // A column of zeros, and the last column the same as the first.
    let (n, d) = (ROWS, 52);
    let a = sparse(n, d - 2);
    let (mut pointers, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for i in 0..n {
        let (columns, entries) = a.row(i);
        indices.extend_from_slice(columns);
        values.extend_from_slice(entries);
        if columns[0] == 0 {
            indices.push(d as u32 - 1);
            values.push(entries[0]);
        }
        pointers.push(indices.len());
    }
    let twice = Csr::new(n, d, pointers, indices, values).unwrap();
    let b = targets(&a, f64::exp);
    let found = Solver::default().solve(&Problem::new(&twice, &b, Link::Exp, Form::Plain).unwrap()).unwrap();
    assert!(radius(&found) < 1e-6 && found.facts.rank == d - 2, "{} {:?}", found.facts.rank, found.warnings);
    assert!((found.x[0] - found.x[d - 1]).abs() < 1e-9 && found.x[d - 2].abs() < 1e-12, "the shortest x");

    let weights = (0..n).map(|i| f64::from(u8::from(i < 30))).collect::<Vec<_>>();
    let few = Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap().with_data_weights(&weights).unwrap();
    let found = Solver::default().solve(&few).unwrap();
    assert!(found.facts.rank <= 30 && found.facts.positive, "{} {:?}", found.facts.rank, found.outcome);
}

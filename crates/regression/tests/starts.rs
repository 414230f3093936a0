//! Several starts.

use certus_numeric::{Array, Seed};
use certus_regression::{Form, Link, Problem, Solver, Start};
use certus_testkit::same_bits;

use crate::support::{PAIRS, assert_sound, kind, pair_name, random};

fn several(count: usize) -> Solver {
    Solver::default().with_start(Start::MultiStart { count })
}

#[test]
fn several_starts_are_never_worse_than_the_automatic_one() {
    for pair in PAIRS {
        for seed in 0..4 {
            let (mut data, _) = random(seed, pair, 10, 2);
            data.ridge = 0.01;
            let problem = data.problem();
            let one = Solver::default().solve(&problem).unwrap();
            let best = several(12).solve(&problem).unwrap();
            assert_sound(&best, &pair_name(pair));
            let rounding = 1e-10 * one.loss.to_f64().unwrap() + 1e-20;
            assert!(best.loss.to_f64().unwrap() <= one.loss.to_f64().unwrap() + rounding, "{} {seed}", pair_name(pair));
        }
    }
}

#[test]
fn a_lower_minimum_is_found_than_the_automatic_start_leads_to() {
    // Rows that pull a decay and a growth: from one of many random problems the automatic start leads to a higher minimum.
    let mut lower = 0;
    for seed in 0..60 {
        let (mut data, _) = random(seed, (Link::Exp, Form::Plain), 8, 2);
        data.b.iter_mut().enumerate().for_each(|(i, b)| *b = if i % 2 == 0 { 3.0 } else { 0.1 } * b.abs());
        (data.row_reg, data.offset, data.reference) = (None, None, None);
        data.ridge = 1e-4;
        let problem = data.problem();
        let (one, best) = (Solver::default().solve(&problem).unwrap(), several(20).solve(&problem).unwrap());
        lower += usize::from(best.loss.ratio(one.loss) < 1.0 - 1e-6);
    }
    assert!(lower > 0, "the automatic start always led to the best minimum");
}

#[test]
fn several_starts_give_the_same_bits_for_the_same_seed() {
    let (data, _) = random(3, (Link::Cosh, Form::Plain), 12, 3);
    let solve = || several(6).with_seed(Seed(5)).solve(&data.problem()).unwrap().x;
    let first = same_bits(solve);
    assert_eq!(first, solve());
}

#[test]
fn too_many_starts_are_refused() {
    let (a, b) = (Array::matrix(2, 1, vec![1.0, 2.0]).unwrap(), [1.0, 2.0]);
    let problem = Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap();
    assert_eq!(kind(several(usize::MAX).solve(&problem)), "InvalidParameter");
    assert!(several(0).solve(&problem).unwrap().status.reached());
}

use certus_contract::{Certificate, Check, Claim};
use certus_testkit::certificates::{Mutation, must_fail_once};

#[derive(Clone)]
struct Facts {
    rank: f64,
    error: f64,
    bound: f64,
}

const GOOD: Facts = Facts { rank: 3.0, error: 1e-9, bound: 1e-6 };

fn certificate(facts: &Facts) -> Certificate {
    Certificate::new([
        Claim::new("A", "")
            .assumes(Check::enforced("clipped", "entries are clipped"))
            .assumes(Check::ge("rank", "rank >= 3", facts.rank, 3.0))
            .guarantees(Check::le("error", "error <= bound", facts.error, facts.bound)),
        Claim::new("B", "").guarantees(Check::le("error", "error <= 1", facts.error, 1.0)),
    ])
}

#[test]
fn every_check_that_can_fail_does_and_the_others_are_listed() {
    let mutations: [Mutation<Facts>; 2] = [("rank", |f| f.rank = f64::NAN), ("error", |f| f.error = 2.0)];
    assert_eq!(must_fail_once(certificate, GOOD, &mutations), ["A/clipped"]);
}

#[test]
#[should_panic(expected = "no mutation makes these checks fail: A/rank, B/error")]
fn a_check_without_a_mutation_is_found() {
    must_fail_once(certificate, GOOD, &[("A/error", |f| f.error = 0.5)]);
}

#[test]
#[should_panic(expected = "does not make it fail")]
fn a_check_that_is_always_true_is_found() {
    let always = |f: &Facts| Certificate::new([Claim::new("A", "").guarantees(Check::le("error", "", f.error, f64::MAX))]);
    must_fail_once(always, GOOD, &[("error", |f| f.error = 1e300)]);
}

#[test]
#[should_panic(expected = "but not the claim so")]
fn a_guarantee_must_fail_while_its_assumptions_hold() {
    must_fail_once(certificate, GOOD, &[("A/error", |f| (f.error, f.rank) = (2.0, 0.0))]);
}

#[test]
#[should_panic(expected = "names no check")]
fn a_misspelt_check_is_found() {
    must_fail_once(certificate, GOOD, &[("eror", |f| f.error = 2.0)]);
}

#[test]
#[should_panic(expected = "not certified")]
fn bad_facts_are_no_start() {
    must_fail_once(certificate, Facts { rank: 2.0, ..GOOD }, &[]);
}

#[test]
#[should_panic(expected = "A/promise")]
fn a_promise_that_nobody_measures_is_found() {
    let silent = |f: &Facts| Certificate::new([Claim::new("A", "").guarantees(Check::le("promise", "", None, f.bound))]);
    must_fail_once(silent, GOOD, &[]);
}

#[test]
#[should_panic(expected = "A/error stands twice")]
fn two_checks_of_one_name_are_found() {
    let check = |f: &Facts| Check::le("error", "", f.error, f.bound);
    must_fail_once(|f: &Facts| Certificate::new([Claim::new("A", "").assumes(check(f)).guarantees(check(f))]), GOOD, &[]);
}

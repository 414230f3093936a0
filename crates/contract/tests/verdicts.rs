//! Every combination of assumptions, guarantees and claims, against labels that are written down here, not computed.

use certus_contract::{Basis, Certificate, Check, Claim, Verdict};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

pub(crate) const BASES: [Basis; 7] =
    [Basis::Exact, Basis::Bounded, Basis::WithConfidence(0.99), Basis::Estimated, Basis::Enforced, Basis::Declared, Basis::Conjectured];

/// What a check means as an assumption.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Need {
    Met,
    Unmet,
}

/// What a check means as a guarantee.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Promise {
    Informative,
    Trivial,
    Violated,
}

fn check(measured: impl Into<Option<f64>>, limit: impl Into<Option<f64>>) -> Check {
    Check::le("c", "c <= limit", measured, limit)
}

/// Checks that mean the same on every basis.
fn measured_assumptions() -> Vec<(Check, Need)> {
    vec![
        (check(1.0, 2.0), Need::Met),
        (check(2.0, 2.0), Need::Met),
        (check(-INF, 2.0), Need::Met),
        (check(1.0, INF), Need::Met),
        (check(3.0, 2.0), Need::Unmet),
        (check(INF, 2.0), Need::Unmet),
        (check(NAN, 2.0), Need::Unmet),
        (check(1.0, NAN), Need::Unmet),
        (check(NAN, NAN), Need::Unmet),
        (check(NAN, None), Need::Unmet),
        (check(None, NAN), Need::Unmet),
    ]
}

/// Every kind of assumption on every basis; what was not measured is met only where somebody answers for it.
pub(crate) fn assumptions() -> Vec<(Check, Need)> {
    let mut all = Vec::new();
    for basis in BASES {
        all.extend(measured_assumptions().into_iter().map(|(check, need)| (check.basis(basis), need)));
        let answered = match basis {
            Basis::Enforced | Basis::Declared => Need::Met,
            _ => Need::Unmet,
        };
        for (measured, limit) in [(None, None), (None, Some(2.0)), (None, Some(INF)), (Some(1.0), None), (Some(INF), None)] {
            all.push((check(measured, limit).basis(basis), answered));
        }
    }
    all
}

/// Every kind of guarantee on every basis.
pub(crate) fn guarantees() -> Vec<(Check, Promise)> {
    use Promise::*;
    let mut all = Vec::new();
    for basis in BASES {
        let table = [
            (check(1.0, 2.0), Informative),
            (check(2.0, 2.0).trivial(3.0), Informative),
            (check(1.0, 2.0).trivial(INF), Informative),
            (check(None, 2.0), Informative),
            (check(None, 2.0).trivial(3.0), Informative),
            (check(1.0, 2.0).trivial(2.0), Trivial),
            (check(1.0, 2.0).trivial(1.5), Trivial),
            (check(1.0, 2.0).trivial(NAN), Trivial),
            (check(1.0, 2.0).trivial(-INF), Trivial),
            (check(None, 2.0).trivial(2.0), Trivial),
            (check(1.0, INF), Trivial),
            (check(1.0, INF).trivial(INF), Trivial),
            (check(None, INF), Trivial),
            (check(1.0, None), Trivial),
            (check(INF, None), Trivial),
            (check(1.0, None).trivial(3.0), Trivial),
            (check(-INF, -INF), Trivial),
            (check(3.0, 2.0), Violated),
            (check(3.0, 2.0).trivial(1.0), Violated),
            (check(1.0, -INF), Violated),
            (check(INF, 2.0), Violated),
            (check(NAN, 2.0), Violated),
            (check(1.0, NAN), Violated),
            (check(NAN, NAN), Violated),
            (check(NAN, None), Violated),
            (check(None, NAN), Violated),
            // Nothing measured and no limit: a promise only where the algorithm makes it so.
            (check(None, None), if basis == Basis::Enforced { Informative } else { Trivial }),
        ];
        all.extend(table.into_iter().map(|(check, promise)| (check.basis(basis), promise)));
    }
    all
}

pub(crate) fn expected(needs: &[Need], promises: &[Promise]) -> Verdict {
    if needs.contains(&Need::Unmet) {
        Verdict::NotApplicable
    } else if promises.contains(&Promise::Violated) {
        Verdict::Violated
    } else if promises.contains(&Promise::Informative) {
        Verdict::Holds
    } else {
        Verdict::Vacuous
    }
}

fn claim(assumptions: &[&Check], guarantees: &[&Check]) -> Claim {
    let claim = assumptions.iter().fold(Claim::new("T", "S"), |claim, &check| claim.assumes(check.clone()));
    guarantees.iter().fold(claim, |claim, &check| claim.guarantees(check.clone()))
}

#[test]
fn each_check_means_what_the_table_says() {
    for (check, need) in assumptions() {
        assert_eq!(check.is_met_as_assumption(), need == Need::Met, "{check:?}");
    }
    for (check, promise) in guarantees() {
        assert_eq!(check.is_violated(), promise == Promise::Violated, "{check:?}");
        if promise != Promise::Violated {
            assert_eq!(check.is_informative(), promise == Promise::Informative, "{check:?}");
        }
    }
}

#[test]
fn a_claim_without_assumptions_or_guarantees_follows_the_rules() {
    assert_eq!(claim(&[], &[]).verdict(), Verdict::Vacuous);
    for (check, need) in assumptions() {
        assert_eq!(claim(&[&check], &[]).verdict(), expected(&[need], &[]), "{check:?}");
    }
    for (check, promise) in guarantees() {
        assert_eq!(claim(&[], &[&check]).verdict(), expected(&[], &[promise]), "{check:?}");
    }
}

#[test]
fn every_assumption_with_every_guarantee() {
    let guarantees = guarantees();
    for (a, need) in &assumptions() {
        for (g, promise) in &guarantees {
            assert_eq!(claim(&[a], &[g]).verdict(), expected(&[*need], &[*promise]), "{a:?} {g:?}");
        }
    }
}

#[test]
fn several_assumptions_and_guarantees_in_any_order() {
    // One check for each meaning.
    let needs = [(check(1.0, 2.0), Need::Met), (check(3.0, 2.0), Need::Unmet), (check(None, 2.0).basis(Basis::Declared), Need::Met)];
    let promises =
        [(check(1.0, 2.0), Promise::Informative), (check(1.0, 2.0).trivial(2.0), Promise::Trivial), (check(3.0, 2.0), Promise::Violated)];
    for (a, need_a) in &needs {
        for (b, need_b) in &needs {
            for (g, promise_g) in &promises {
                for (h, promise_h) in &promises {
                    for (i, promise_i) in &promises {
                        let verdict = claim(&[a, b], &[g, h, i]).verdict();
                        assert_eq!(verdict, expected(&[*need_a, *need_b], &[*promise_g, *promise_h, *promise_i]));
                    }
                }
            }
        }
    }
}

#[test]
fn a_certificate_is_violated_if_any_claim_is_and_else_speaks_for_the_principal_one() {
    let (met, unmet) = (check(1.0, 2.0), check(3.0, 2.0));
    let claims = [
        (claim(&[&met], &[&met]), Verdict::Holds),
        (claim(&[&met], &[]), Verdict::Vacuous),
        (claim(&[&unmet], &[&unmet]), Verdict::NotApplicable),
        (claim(&[&met], &[&unmet]), Verdict::Violated),
    ];
    for (claim, verdict) in &claims {
        assert_eq!(claim.verdict(), *verdict);
        assert_eq!(Certificate::new([claim.clone()]).verdict(), *verdict);
    }
    for (a, verdict_a) in &claims {
        for (b, verdict_b) in &claims {
            for (c, verdict_c) in &claims {
                let certificate = Certificate::new([a.clone(), b.clone(), c.clone()]);
                let violated = [verdict_a, verdict_b, verdict_c].contains(&&Verdict::Violated);
                assert_eq!(certificate.verdict(), if violated { Verdict::Violated } else { *verdict_a });
                assert_eq!(certificate.principal(), Some(a));
            }
        }
    }
}

#[test]
fn a_certificate_without_claims_applies_to_nothing() {
    assert_eq!(Certificate::default().verdict(), Verdict::NotApplicable);
    assert_eq!(Certificate::new([]).principal(), None);
}

#[test]
fn verdicts_are_named_as_in_the_json() {
    let names = [
        (Verdict::Holds, "holds"),
        (Verdict::Vacuous, "vacuous"),
        (Verdict::NotApplicable, "not_applicable"),
        (Verdict::Violated, "violated"),
    ];
    for (verdict, name) in names {
        assert_eq!(verdict.to_string(), name);
        assert_eq!(format!("{verdict:>16}|"), format!("{name:>16}|"));
    }
}

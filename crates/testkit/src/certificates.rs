//! Certificates that mean something: each check of each claim can fail, and the verdict follows it.

use certus_contract::{Basis, Certificate, Check, Claim, Verdict};

/// The name of a check, and a change of the facts that makes it fail.
pub type Mutation<'a, F> = (&'a str, fn(&mut F));

/// Asserts that `good` facts are certified, and that every check of every claim fails once.
///
/// * The certificate of `good` holds, and no check of any of its claims fails.
/// * Each mutation changes a copy of `good` so that the check it names fails (others may fail too): the claim of a failed
///   assumption becomes not applicable; a failed guarantee violates its claim while the assumptions still hold.
/// * Every check is named by a mutation that fails it; else it may be always true, and the certificate decorative. Name a
///   check as `"name"`, or as `"theorem/name"` where claims share the name: a name covers each check of that name that it
///   fails.
/// * Checks that were not measured and are enforced or declared cannot fail. They are exempt: printed, and returned.
///
/// ```
/// use certus_contract::{Certificate, Check, Claim};
/// #[derive(Clone)]
/// struct Facts { angle: f64, error: f64 }
/// let certificate = |facts: &Facts| Certificate::new([Claim::new("Pythagoras", "Elements I.47")
///     .assumes(Check::le("right_angle", "|cos| <= 1e-15", facts.angle, 1e-15))
///     .guarantees(Check::le("error", "|c^2 - a^2 - b^2| <= 1e-12", facts.error, 1e-12))]);
/// certus_testkit::certificates::must_fail_once(certificate, Facts { angle: 0.0, error: 0.0 }, &[
///     ("right_angle", |facts| facts.angle = 0.1),
///     ("error", |facts| facts.error = 1.0),
/// ]);
/// ```
///
/// # Panics
/// If any of this is not so.
#[track_caller]
pub fn must_fail_once<F: Clone>(build: impl Fn(&F) -> Certificate, good: F, mutations: &[Mutation<'_, F>]) -> Vec<String> {
    let certificate = build(&good);
    assert_eq!(certificate.verdict(), Verdict::Holds, "good facts are not certified:\n{certificate}");
    let mut exempt = Vec::new();
    let mut uncovered = Vec::new();
    for (claim, check) in checks(&certificate) {
        let name = full_name(claim, check);
        match (check.holds(), check.basis) {
            (Some(false), _) => panic!("{name} fails on good facts:\n{certificate}"),
            (None, Basis::Enforced | Basis::Declared) => exempt.push(name),
            _ => {
                assert!(!uncovered.contains(&name), "{name} stands twice; a check's name is unique in its claim");
                uncovered.push(name);
            }
        }
    }
    for (named, mutate) in mutations {
        let mut facts = good.clone();
        mutate(&mut facts);
        for failed in failures(&build(&facts), named) {
            uncovered.retain(|name| *name != failed);
        }
    }
    assert!(uncovered.is_empty(), "no mutation makes these checks fail: {}", uncovered.join(", "));
    if !exempt.is_empty() {
        println!("exempt, since enforced or declared and not measured: {}", exempt.join(", "));
    }
    exempt
}

fn checks(certificate: &Certificate) -> impl Iterator<Item = (&Claim, &Check)> {
    certificate.claims.iter().flat_map(|claim| claim.assumptions.iter().chain(&claim.guarantees).map(move |check| (claim, check)))
}

fn full_name(claim: &Claim, check: &Check) -> String {
    format!("{}/{}", claim.theorem, check.name)
}

/// The checks called `named` that fail, at least one, after seeing that the verdicts say so.
fn failures(certificate: &Certificate, named: &str) -> Vec<String> {
    let is_named = |claim: &Claim, check: &Check| check.name == named || full_name(claim, check) == named;
    assert!(checks(certificate).any(|(claim, check)| is_named(claim, check)), "mutation {named:?} names no check:\n{certificate}");
    let mut failed = Vec::new();
    for claim in &certificate.claims {
        let mut expect = |check: &Check, verdict: Verdict| {
            assert_eq!(claim.verdict(), verdict, "mutation {named:?} makes {} fail, but not the claim so:\n{certificate}", check.name);
            failed.push(full_name(claim, check));
        };
        for check in claim.assumptions.iter().filter(|check| is_named(claim, check) && !check.is_met_as_assumption()) {
            expect(check, Verdict::NotApplicable);
        }
        for check in claim.guarantees.iter().filter(|check| is_named(claim, check) && check.is_violated()) {
            expect(check, Verdict::Violated);
        }
    }
    assert!(!failed.is_empty(), "mutation {named:?} does not make it fail:\n{certificate}");
    failed
}

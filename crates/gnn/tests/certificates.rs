//! What certificates say: each check can fail, and all hold on a run.

use certus_contract::{Basis, Verdict};
use certus_gnn::{MemoryBudget, MemoryFacts, Op, Resident, Tier, certificate, fused};
use certus_testkit::certificates::must_fail_once;

use crate::support::{Setting, run};

fn good() -> MemoryFacts {
    MemoryFacts {
        precision: certus_gnn::Precision::F32,
        error_bound: None,
        budget: Some(1000),
        predicted_peak: 900,
        measured_peak: 890,
        overhead: 100,
        lower_bound: 400,
        resident: Resident { graph: 50, features: 60, weights: 70, mapped: 80 },
        bytes_read: 5000,
        bytes_written: 3000,
        predicted_bytes_read: 5000,
        predicted_bytes_written: 3000,
        undecomposed_peak: 9000,
        full_width_peak: 1800,
        fused: true,
    }
}

#[test]
fn every_check_can_fail() {
    let exempt = must_fail_once(
        certificate,
        good(),
        &[
            ("budget", |facts| facts.budget = Some(899)),
            ("peak", |facts| facts.measured_peak = 901),
            ("bytes_read", |facts| facts.bytes_read = 5001),
            ("bytes_written", |facts| facts.bytes_written = 3001),
        ],
    );
    assert!(exempt.is_empty(), "{exempt:?}");
}

#[test]
fn the_principal_claim_is_exact_or_enforced() {
    let certificate = certificate(&good());
    let claim = certificate.principal().expect("a claim");
    for check in claim.assumptions.iter().chain(&claim.guarantees) {
        assert!(matches!(check.basis, Basis::Exact | Basis::Enforced), "{}: {:?}", check.name, check.basis);
    }
    assert!(!certificate.to_string().is_empty());
}

#[test]
fn without_a_budget_nothing_is_assumed_of_it() {
    let mut facts = good();
    facts.budget = None;
    assert_eq!(certificate(&facts).verdict(), Verdict::Holds);
    assert!(certificate(&facts).principal().expect("a claim").assumptions.is_empty());
}

#[test]
fn runs_are_certified_with_their_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let setting = Setting::random(1, &[Op::Gcn, Op::Gat], 30);
    for tier in [Tier::Fused, Tier::Panels, Tier::Spill] {
        let planner = setting.planner().spill_dir(folder.path()).tier(tier);
        let Ok(schedule) = planner.schedule() else { continue };
        let solution = run(planner.clone().budget(MemoryBudget::Working(schedule.minimum)), "a run");
        let facts = solution.facts;
        assert_eq!((facts.budget, facts.predicted_peak), (Some(schedule.minimum), schedule.minimum));
        assert_eq!((facts.fused, facts.overhead > 0, facts.lower_bound), (fused(), true, schedule.lower_bound));
        assert_eq!(facts.resident, schedule.resident);
        let total = facts.resident.total();
        let solution = run(planner.budget(MemoryBudget::Total(schedule.minimum + total)), "a run");
        assert_eq!(solution.facts.predicted_peak, schedule.minimum);
    }
}

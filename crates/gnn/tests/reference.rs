//! Against the definitions, evaluated in f64 by plain loops.

use certus_gnn::{Op, Tier};
use proptest::prelude::*;

use crate::support::{OPS, Setting, evaluate, ops, run};

/// Whether the setting was comparable, and then near the definitions.
#[track_caller]
fn near(setting: &Setting, what: &str) -> bool {
    let reference = evaluate(setting.model.spec(), &setting.weights, &setting.net, &setting.x);
    let expected = reference.output.iter().flatten().copied().collect::<Vec<_>>();
    let largest = expected.iter().fold(1.0f64, |a, v| a.max(v.abs()));
    // Rows divided by next to nothing, and small differences of large numbers, are settled by rounding.
    if reference.least_divisor < 0.05 || reference.largest > 20.0 * largest {
        return false;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for planner in [setting.planner(), setting.planner().tier(Tier::Spill).spill_dir(folder.path()).slice(2)] {
        let output = run(planner, what).output;
        assert_eq!(output.len(), expected.len());
        for (k, (&found, expected)) in output.as_slice().iter().zip(&expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            let columns = output.cols();
            assert!(error <= 2e-5 * largest, "{what}: row {}, column {}: {found} for {expected}", k / columns, k % columns);
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_layer_is_as_defined(seed in any::<u64>(), nodes in 1usize..24) {
        for op in OPS {
            let setting = Setting::random(seed, &[op], nodes);
            near(&setting, &format!("{:?} on {:?}", setting.model.spec(), setting.net));
        }
    }

    #[test]
    fn each_stack_is_as_defined(seed in any::<u64>(), nodes in 1usize..24) {
        let setting = Setting::random(seed, &ops(seed), nodes);
        near(&setting, &format!("{:?} on {:?}", setting.model.spec(), setting.net));
    }
}

#[test]
fn most_settings_are_comparable() {
    let comparable = (0..200).filter(|&seed| near(&Setting::random(seed, &ops(seed), 12), "a stack")).count();
    assert!(comparable >= 100, "{comparable} of 200");
    for op in OPS {
        let count = (0..40).filter(|&seed| near(&Setting::random(seed, &[op], 12), "a layer")).count();
        assert!(count >= 15 || op == Op::Sage && count >= 10, "{op:?}: {count} of 40");
    }
}

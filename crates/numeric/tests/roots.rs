//! Brent's method, bisection and brackets.

use certus_numeric::roots::*;
use proptest::prelude::*;

/// Name, function, bracket, root.
type Case = (&'static str, fn(f64) -> f64, f64, f64, f64);

/// Functions with a known root, hard ones among them: flat, steep, infinite at an end, of a jump.
fn cases() -> Vec<Case> {
    vec![
        ("line", |x| x - 0.3, 0.0, 1.0, 0.3),
        ("square", |x| x * x - 2.0, 0.0, 2.0, std::f64::consts::SQRT_2),
        ("Kepler", |x| x - 0.9 * x.sin() - 0.1, 0.0, 1.0, 0.630_843_527_563_153_7),
        ("steep", |x| (50.0 * (x - 0.7)).exp_m1(), -2.0, 3.0, 0.7),
        ("cube root", |x| (x - 0.1).cbrt(), -1.0, 5.0, 0.1),
        ("pole at the end", |x| x.ln() + 3.0, 0.0, 1.0, (-3f64).exp()),
        ("huge", |x| 1.0 - 1e200 / x, 1.0, 1e250, 1e200),
        ("jump", |x| if x < 0.25 { -1.0 } else { 1.0 }, 0.0, 1.0, 0.25),
        ("falling", |x| 1.0 - x * x * x, 0.0, 10.0, 1.0),
        ("root at an end", |x| x, 0.0, 1.0, 0.0),
    ]
}

#[test]
fn brent_finds_known_roots() {
    for (name, f, low, high, expected) in cases() {
        let mut calls = 0;
        let counted = |x| {
            calls += 1;
            f(x)
        };
        let root = brent(counted, low, high, Tolerance::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(root.evaluations, calls, "{name}");
        assert!(root.low <= root.x && root.x <= root.high, "{name}: {root:?}");
        assert!((root.x - expected).abs() <= 1e-15 * expected.abs().max(1e-300), "{name}: {root:?}, expected {expected:e}");
        assert_eq!(f(root.x), root.value, "{name}");
    }
}

#[test]
fn brent_is_fast_on_smooth_functions() {
    for (name, f, low, high, _) in cases().into_iter().take(3) {
        let root = brent(f, low, high, Tolerance::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(root.evaluations <= 14, "{name}: {root:?}");
    }
}

#[test]
fn bisection_ends_at_neighbours() {
    for (name, f, low, high, expected) in cases() {
        let root = bisect(f, low, high).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(root.evaluations <= 68, "{name}: {root:?}");
        assert!(root.value == 0.0 || root.high == root.low.next_up(), "{name}: {root:?}");
        assert!((root.x - expected).abs() <= 4e-16 * expected.abs(), "{name}: {root:?}, expected {expected:e}");
    }
}

#[test]
fn what_has_no_root_is_an_error() {
    let tolerance = Tolerance::default();
    assert_eq!(
        brent(|x| x * x + 1.0, -1.0, 2.0, tolerance),
        Err(RootError::NoSignChange { low: -1.0, high: 2.0, at_low: 2.0, at_high: 5.0 })
    );
    assert_eq!(bisect(|_| f64::NAN, 0.0, 1.0), Err(RootError::NotANumber { x: 0.0 }));
    let nan_inside = |x: f64| if x == 0.0 || x == 1.0 { x - 0.5 } else { f64::NAN };
    assert!(matches!(brent(nan_inside, 0.0, 1.0, tolerance), Err(RootError::NotANumber { x }) if x > 0.0 && x < 1.0));
    for (low, high) in [(1.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(matches!(brent(|x| x, low, high, tolerance), Err(RootError::InvalidBracket { .. })));
        assert!(matches!(bisect(|x| x, low, high), Err(RootError::InvalidBracket { .. })));
        assert!(matches!(expand_bracket(|x| x, low, high, 1.6), Err(RootError::InvalidBracket { .. })));
    }
    let few = Tolerance { evaluations: 4, ..tolerance };
    let error = brent(|x| x.exp() - 2.0, 0.0, 3.0, few).unwrap_err();
    assert!(
        matches!(error, RootError::TooManyEvaluations { low, high, evaluations: 4 } if low <= 2f64.ln() && 2f64.ln() <= high),
        "{error}"
    );
    assert!(error.to_string().contains("4 evaluations"));
}

#[test]
fn tolerances_end_the_search_early_and_honestly() {
    let tolerance = Tolerance { absolute: 1e-3, relative: 0.0, evaluations: 50 };
    let root = brent(|x| x.cos() - x, 0.0, 1.0, tolerance).expect("a root");
    assert!((root.x - 0.739_085_133_215_160_6).abs() <= 2e-3 && root.evaluations <= 8, "{root:?}");
}

#[test]
fn brackets_expand_to_either_side() {
    for target in [-1e6, -3.0, 0.5, 40.0, 1e9] {
        let (low, high) = expand_bracket(|x| x - target, 0.0, 1.0, 1.6).expect("a bracket");
        assert!(low <= target && target <= high, "{target}: [{low}, {high}]");
    }
    assert!(matches!(expand_bracket(|_| 1.0, 0.0, 1.0, 1.6), Err(RootError::NoSignChange { .. })));
    assert!(matches!(expand_bracket(|x| x + 1e30, 0.0, 1.0, 1.6), Ok((low, _)) if low <= -1e30));
    assert!(matches!(expand_bracket(|x| x - 5.0, 0.0, 1.0, 0.0), Err(RootError::InvalidBracket { .. })));
}

#[test]
fn predicates_are_split_at_the_last_bit() {
    assert_eq!(bisect_predicate(|x| x >= 0.1, -1.0, 1e300), Some((0.1f64.next_down(), 0.1)));
    assert_eq!(bisect_predicate(|x| x > 0.0, -1.0, 1.0), Some((0.0, 5e-324)));
    assert_eq!(bisect_predicate(|x| x >= -3.5, f64::MIN, f64::MAX), Some(((-3.5f64).next_down(), -3.5)));
    assert_eq!(bisect_predicate(|_| true, 0.0, 1.0), None);
    assert_eq!(bisect_predicate(|_| false, 0.0, 1.0), None);
    assert_eq!(bisect_predicate(|_| true, 1.0, 0.0), None);
}

proptest! {
    #[test]
    fn both_methods_agree_on_cubics(root in -100.0..100.0f64, curve in 0.0..10.0f64, low in 0.1..50.0f64, high in 0.1..50.0f64) {
        let f = |x: f64| (x - root) * (1.0 + curve * (x - root) * (x - root));
        let by_brent = brent(f, root - low, root + high, Tolerance { evaluations: 1000, ..Tolerance::default() }).expect("a root");
        let by_halves = bisect(f, root - low, root + high).expect("a root");
        prop_assert!((by_brent.x - root).abs() <= 1e-15 * root.abs() + 1e-300, "{:?}", by_brent);
        prop_assert_eq!(by_halves.x, root);
    }

    #[test]
    fn brent_ends_on_any_bytes(values in prop::collection::vec(-1.0..1.0f64, 64), scale in -300.0..300.0f64) {
        // A function without any regularity: what is found must still be a change of sign.
        let f = |x: f64| {
            let noise = values[(x.to_bits() % 64) as usize] * 10f64.powf(scale);
            if x <= 0.0 { -1.0 } else if x >= 1.0 { 1.0 } else { noise }
        };
        let root = brent(f, 0.0, 1.0, Tolerance { evaluations: 4000, ..Tolerance::default() }).expect("a change of sign");
        prop_assert!(f(root.low) * f(root.high) <= 0.0 && root.high - root.low <= 1e-15, "{:?}", root);
    }
}

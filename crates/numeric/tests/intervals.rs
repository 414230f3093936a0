//! Intervals of proportions and slopes.

use certus_numeric::intervals::*;
use certus_numeric::special::{beta_inc, beta_inc_upper};
use proptest::prelude::*;

fn rows(text: &str) -> impl Iterator<Item = Vec<f64>> {
    let row = |line: &str| line.split_whitespace().map(|v| v.parse().expect("a number")).collect();
    text.lines().filter(|line| !line.starts_with('#')).map(row)
}

#[test]
fn clopper_pearson_contains_the_exact_interval_tightly() {
    for row in rows(include_str!("cases/clopper_pearson.txt")) {
        let (successes, trials, alpha) = (row[0] as u64, row[1] as u64, row[2]);
        let interval = clopper_pearson(successes, trials, alpha).expect("valid counts");
        let (lower, upper) = (row[3], row[4]);
        assert!(interval.lower <= lower && lower - interval.lower <= 2e-13 * lower, "{row:?}: {interval:?}");
        assert!(interval.upper >= upper && interval.upper - upper <= 2e-13 * upper, "{row:?}: {interval:?}");
    }
}

#[test]
fn proportions_have_exact_ends_and_typed_errors() {
    let all = clopper_pearson(7, 7, 0.1).expect("valid");
    assert_eq!((clopper_pearson(0, 7, 0.1).expect("valid").lower, all.upper), (0.0, 1.0));
    assert!((all.lower - 0.05f64.powf(1.0 / 7.0)).abs() < 1e-12);
    assert_eq!(clopper_pearson_lower(0, 3, 0.05), Ok(0.0));
    assert_eq!(clopper_pearson_upper(3, 3, 0.05), Ok(1.0));
    assert!((clopper_pearson_upper(0, 1000, 0.05).expect("valid") - (1.0 - 0.05f64.powf(1e-3))).abs() < 1e-14);
    for (successes, trials, alpha) in [(0, 0, 0.05), (2, 1, 0.05), (1, 2, 0.0), (1, 2, 1.0), (1, 2, f64::NAN), (1, u64::MAX, 0.05)] {
        assert_eq!(clopper_pearson(successes, trials, alpha).unwrap_err().kind(), "InvalidParameter");
    }
}

#[test]
fn slopes_agree_with_exact_least_squares() {
    for row in rows(include_str!("cases/slopes.txt")) {
        let n = row[0] as usize;
        let (x, y, expected) = (&row[2..2 + n], &row[2 + n..2 + 2 * n], &row[2 + 2 * n..]);
        let fit = fit_slope(x, y, row[1]).expect("valid data");
        let size = expected[1].abs().max(expected[2].abs());
        assert!((fit.slope - expected[0]).abs() < 1e-12 * size, "{fit:?} {expected:?}");
        assert!(fit.lower <= expected[1] && expected[1] - fit.lower < 1e-9 * size, "{fit:?} {expected:?}");
        assert!(fit.upper >= expected[2] && fit.upper - expected[2] < 1e-9 * size, "{fit:?} {expected:?}");
        assert!((fit.intercept - expected[3]).abs() < 1e-11 * (1.0 + size * x[0].abs()), "{fit:?} {expected:?}");
        assert!((fit.r2 - expected[4]).abs() < 1e-12, "{fit:?} {expected:?}");
    }
}

#[test]
fn a_power_law_has_its_exponent() {
    let sizes = [100.0, 200.0, 400.0, 800.0, 1600.0];
    let times = sizes.map(|n: f64| 3e-9 * n.powf(1.5));
    let fit = log_log_slope(&sizes, &times, 0.95).expect("valid");
    assert!(fit.lower <= 1.5 && 1.5 <= fit.upper && fit.upper - fit.lower < 1e-11, "{fit:?}");
    assert!((fit.intercept - 3e-9f64.ln()).abs() < 1e-12 && fit.r2 > 1.0 - 1e-15);
}

#[test]
fn two_points_say_nothing_about_the_error() {
    let fit = fit_slope(&[0.0, 1.0], &[1.0, 3.0], 0.95).expect("valid");
    assert_eq!((fit.slope, fit.intercept, fit.lower, fit.upper), (2.0, 1.0, f64::NEG_INFINITY, f64::INFINITY));
}

#[test]
fn bad_data_are_typed_errors() {
    let kind = |x: &[f64], y: &[f64], confidence| fit_slope(x, y, confidence).unwrap_err().kind();
    assert_eq!(kind(&[1.0, 2.0], &[1.0], 0.95), "DimensionMismatch");
    assert_eq!(kind(&[1.0], &[1.0], 0.95), "DimensionMismatch");
    assert_eq!(kind(&[1.0, f64::NAN], &[1.0, 2.0], 0.95), "NonFinite");
    assert_eq!(kind(&[1.0, 2.0], &[1.0, f64::INFINITY], 0.95), "NonFinite");
    assert_eq!(kind(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0], 0.95), "InvalidParameter");
    assert_eq!(kind(&[1.0, 1e200, 3.0], &[1.0, 2.0, 3.0], 0.95), "InvalidParameter");
    assert_eq!(kind(&[1.0, 2.0], &[1.0, 2.0], 1.0), "InvalidParameter");
    assert_eq!(log_log_slope(&[1.0, 0.0], &[1.0, 2.0], 0.9).unwrap_err().kind(), "InvalidParameter");
    assert_eq!(log_log_slope(&[1.0, 2.0], &[1.0, -2.0], 0.9).unwrap_err().kind(), "InvalidParameter");
}

proptest! {
    #[test]
    fn bounds_have_at_most_their_tail(trials in 1u64..1_000_000, share in 0.0..=1.0f64, alpha in 1e-12..0.999f64) {
        let successes = (share * trials as f64) as u64;
        let interval = clopper_pearson(successes, trials, alpha).expect("valid");
        let (k, n) = (successes as f64, trials as f64);
        prop_assert!(0.0 <= interval.lower && interval.lower <= k / n && k / n <= interval.upper && interval.upper <= 1.0);
        if successes > 0 {
            // P(at least k successes) at the lower bound
            let tail = beta_inc(k, n - k + 1.0, interval.lower);
            prop_assert!(tail <= 0.5 * alpha * (1.0 + 1e-14) && tail >= 0.5 * alpha * (1.0 - 1e-6), "{} of {}", tail, alpha);
        }
        if successes < trials {
            let tail = beta_inc_upper(k + 1.0, n - k, interval.upper);
            prop_assert!(tail <= 0.5 * alpha * (1.0 + 1e-14) && tail >= 0.5 * alpha * (1.0 - 1e-6), "{} of {}", tail, alpha);
        }
        // The one-sided bounds are those of twice the level.
        if alpha < 0.49 {
            let both = clopper_pearson(successes, trials, 2.0 * alpha).expect("valid");
            prop_assert_eq!(clopper_pearson_lower(successes, trials, alpha), Ok(both.lower));
            prop_assert_eq!(clopper_pearson_upper(successes, trials, alpha), Ok(both.upper));
        }
    }

    #[test]
    fn slopes_follow_shifts_and_scales(points in prop::collection::vec((-10.0..10.0f64, -10.0..10.0f64), 3..30), scale in 0.1..10.0f64, shift in -100.0..100.0f64) {
        let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
        let spread = x.iter().fold(0.0, |s: f64, v| s.max((v - x[0]).abs()));
        prop_assume!(spread > 1e-2);
        let plain = fit_slope(&x, &y, 0.9).expect("valid");
        let moved: Vec<f64> = y.iter().map(|v| scale * v + shift).collect();
        let moved = fit_slope(&x, &moved, 0.9).expect("valid");
        let size = 1e-10 * scale * (1.0 + 100.0 / spread) * (1.0 + plain.upper - plain.lower);
        prop_assert!((moved.slope - scale * plain.slope).abs() < size && (moved.upper - scale * plain.upper).abs() < size);
        prop_assert!(plain.lower <= plain.slope && plain.slope <= plain.upper);
        prop_assert!((0.0..=1.0).contains(&plain.r2));
    }
}

use certus_numeric::seed::hash64;
use certus_testkit::stats::{
    FALSE_ALARM, assert_distribution, assert_mean, assert_proportion, assert_proportions, bernstein, binomial, chebyshev, hoeffding,
};

fn uniform(n: u64) -> Vec<f64> {
    (0..n).map(|i| (hash64(1, i) >> 11) as f64 / (1u64 << 53) as f64).collect()
}

/// The exact probability of a binomial outside `low..=high`, by the recurrence of its terms.
fn outside(trials: u64, p: f64, (low, high): (u64, u64)) -> f64 {
    let mut term = (trials as f64 * (1.0 - p).ln()).exp();
    let mut sum = 0.0;
    for k in 0..=trials {
        if k < low || k > high {
            sum += term;
        }
        term *= (trials - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    sum
}

#[test]
fn binomial_bounds_keep_their_rate_and_are_not_idle() {
    for trials in [1, 10, 100, 600] {
        for p in [0.01, 0.3, 0.5, 0.9] {
            for alpha in [1e-2, 1e-6, FALSE_ALARM] {
                let (low, high) = binomial(trials, p, alpha);
                assert!(outside(trials, p, (low, high)) <= alpha, "{trials} {p} {alpha}: {low}..={high}");
            }
        }
    }
    assert_eq!(binomial(1000, 0.0, 1e-9), (0, 0));
    assert_eq!(binomial(1000, 1.0, 1e-9), (1000, 1000));
    assert_eq!(binomial(0, 0.5, 1e-9), (0, 0));
    // Within seven standard deviations (exact: 6.5), and the same on both sides of one half.
    let (low, high) = binomial(1_000_000, 0.5, FALSE_ALARM);
    assert!(low > 496_500 && low + high == 1_000_000, "{low} {high}");
}

#[test]
fn radii_are_the_formulas_at_points_worked_by_hand() {
    let alpha = 2.0 / 1f64.exp().powi(8);
    assert!((hoeffding(100, 3.0, alpha) - 3.0 * 0.2).abs() < 1e-12);
    assert!((bernstein(100, 1.0, 0.0, alpha) - 0.4).abs() < 1e-12);
    // t = 0.5 solves 100 t^2 = 16 (1 + t * 3.375 / 3).
    assert!((bernstein(100, 1.0, 3.375, alpha) - 0.5).abs() < 1e-12);
    assert!((chebyshev(100, 4.0, 0.01) - 2.0).abs() < 1e-12);
}

#[test]
fn fair_samples_pass() {
    let u = uniform(20_000);
    assert_mean(&u, 0.5, hoeffding(u.len(), 1.0, FALSE_ALARM));
    assert_mean(&u, 0.5, bernstein(u.len(), 1.0 / 12.0, 0.5, FALSE_ALARM));
    assert_distribution(&u, |x| x);
    let counts = [0.0, 0.1, 0.4].map(|low| u.iter().filter(|u| **u >= low && **u < 3.0 * low + 0.1).count() as u64);
    assert_proportions(&counts, 20_000, &[0.1, 0.3, 0.6]);
}

#[test]
#[should_panic(expected = "outcome 0 came 11000 times of 20000")]
fn a_biased_coin_is_found() {
    assert_proportion(11_000, 20_000, 0.5);
}

#[test]
#[should_panic(expected = "the mean of 20000 values")]
fn a_shifted_mean_is_found() {
    assert_mean(&uniform(20_000), 0.53, hoeffding(20_000, 1.0, FALSE_ALARM));
}

#[test]
#[should_panic(expected = "the mean of 1 values is NaN")]
fn a_mean_that_is_nan_is_found() {
    assert_mean(&[f64::NAN], 0.0, 1.0);
}

#[test]
#[should_panic(expected = "the distribution functions are")]
fn a_skewed_distribution_is_found() {
    assert_distribution(&uniform(20_000).iter().map(|u| u.powf(1.15)).collect::<Vec<_>>(), |x| x);
}

//! Statistical tests with a stated rate of false alarms, by bounds that hold for every number of samples.
//!
//! Each assertion fails a correct program with probability at most [`FALSE_ALARM`] over its seed. The bounds are those of
//! Chernoff, Hoeffding, Bernstein, Chebyshev, and Dvoretzky, Kiefer and Wolfowitz with Massart's constant: no normal
//! approximation, so they are rigorous far out in the tails, and somewhat wide.

/// The probability with which an assertion of this module fails a correct program.
pub const FALSE_ALARM: f64 = 1e-10;

/// The radius around the true mean within which the mean of `n` values in a range of this `width` lies, but for
/// probability `alpha` (Hoeffding 1963). Needs nothing of their distribution.
pub fn hoeffding(n: usize, width: f64, alpha: f64) -> f64 {
    width * ((2.0 / alpha).ln() / (2.0 * n as f64)).sqrt()
}

/// The same for values that are at most `largest` from their mean and have at most this `variance` (Bernstein 1924):
/// sharper than Hoeffding where the variance is small.
pub fn bernstein(n: usize, variance: f64, largest: f64, alpha: f64) -> f64 {
    // The root of n t^2 = 2 L (variance + largest t / 3), with L = ln(2 / alpha).
    let l = (2.0 / alpha).ln() / n as f64;
    let linear = l * largest / 3.0;
    linear + (linear * linear + 2.0 * l * variance).sqrt()
}

/// The same for values of at most this `variance` and any range (Chebyshev): wide, `1 / sqrt(alpha)` deviations.
pub fn chebyshev(n: usize, variance: f64, alpha: f64) -> f64 {
    (variance / (n as f64 * alpha)).sqrt()
}

/// Relative entropy of a coin of `q` to one of `p`, in nats.
fn relative_entropy(q: f64, p: f64) -> f64 {
    let term = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a * (a / b).ln() };
    term(q, p) + term(1.0 - q, 1.0 - p)
}

/// The numbers of successes, from the first to the second inclusive, that `trials` of probability `p` stay within but for
/// probability `alpha` (Chernoff's bound with relative entropy, each tail at `alpha / 2`).
pub fn binomial(trials: u64, p: f64, alpha: f64) -> (u64, u64) {
    let n = trials as f64;
    let likely = |k: u64| n * relative_entropy(k as f64 / n, p) < (2.0 / alpha).ln();
    let middle = ((n * p).round() as u64).min(trials);
    if trials == 0 || p <= 0.0 || p >= 1.0 {
        return (middle, middle);
    }
    // The bound grows away from the mean, so each end is found by bisection.
    let last = |mut inside: u64, mut outside: u64| {
        while inside.abs_diff(outside) > 1 {
            let k = inside.midpoint(outside);
            if likely(k) { inside = k } else { outside = k }
        }
        inside
    };
    let low = if likely(0) { 0 } else { last(middle, 0) };
    let high = if likely(trials) { trials } else { last(middle, trials) };
    (low, high)
}

/// Asserts that `successes` of `trials` agree with probability `p`.
///
/// # Panics
/// If they do not, at rate [`FALSE_ALARM`].
#[track_caller]
pub fn assert_proportion(successes: u64, trials: u64, p: f64) {
    assert_proportions(&[successes], trials, &[p]);
}

/// Asserts that counts of several outcomes agree with their probabilities; the rate is shared among them.
///
/// # Panics
/// If one does not, at rate [`FALSE_ALARM`] for all together.
#[track_caller]
pub fn assert_proportions(counts: &[u64], trials: u64, probabilities: &[f64]) {
    assert_eq!(counts.len(), probabilities.len(), "each count needs its probability");
    for (i, (&count, &p)) in counts.iter().zip(probabilities).enumerate() {
        let (low, high) = binomial(trials, p, FALSE_ALARM / counts.len() as f64);
        assert!((low..=high).contains(&count), "outcome {i} came {count} times of {trials}, but {low} to {high} are likely at {p}");
    }
}

/// Asserts that the mean of `values` is within `radius` of `expected`; take the radius from [`hoeffding`], [`bernstein`] or
/// [`chebyshev`] at [`FALSE_ALARM`].
///
/// # Panics
/// If it is not, or is NaN.
#[track_caller]
pub fn assert_mean(values: &[f64], expected: f64, radius: f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let error = (mean - expected).abs();
    assert!(error <= radius, "the mean of {} values is {mean}, {error} from {expected}; {radius} is likely", values.len());
}

/// Asserts that `values` are drawn from the continuous distribution with this distribution function: the largest distance
/// to theirs is at most `sqrt(ln(2 / alpha) / (2 n))`.
///
/// # Panics
/// If it is more, at rate [`FALSE_ALARM`], or a value is NaN.
#[track_caller]
pub fn assert_distribution(values: &[f64], distribution: impl Fn(f64) -> f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let limit = ((2.0 / FALSE_ALARM).ln() / (2.0 * n)).sqrt();
    for (i, &x) in sorted.iter().enumerate() {
        let p = distribution(x);
        let distance = (p - i as f64 / n).max((i + 1) as f64 / n - p);
        assert!(distance <= limit, "at {x} the distribution functions are {distance} apart; {limit} is likely for {n} values");
    }
}

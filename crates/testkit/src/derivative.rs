//! Derivatives against differences.
//!
//! Two tests that see different mistakes. Differences: each entry against central differences over a ladder of steps,
//! extrapolated to step 0 (Ridders 1982), which tells an error of 1e-6 of the entry. Taylor: the remainder of the expansion
//! along a direction must fall as the square of the step (the cube with a Hessian), which needs no tolerance.

use certus_numeric::seed::hash64;

/// The usual tolerance: the largest relative error of an entry.
pub const TOLERANCE: f64 = 1e-6;

/// Steps of the ladder: `1/4, 1/8, ...` of the size of the point.
const LEVELS: usize = 16;

/// Columns of the extrapolation: errors of order up to `step^(2 ORDER)` are removed.
const ORDER: usize = 6;

/// The entry where a claimed derivative is worst.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// Its index.
    pub entry: usize,
    /// The claimed derivative.
    pub claimed: f64,
    /// The one by differences.
    pub numerical: f64,
    /// Their distance beyond what the differences are uncertain of, relative to the larger of the entry and a thousandth of
    /// the largest entry.
    pub error: f64,
}

/// Asserts that `claimed` is the gradient of `f` at `x`; gives the worst entry. Cost: 32 values of `f` an entry.
///
/// ```
/// use certus_testkit::derivative::{TOLERANCE, gradient};
/// gradient(|x| x[0].exp() * x[1], &[0.5, 2.0], &[2.0 * 0.5f64.exp(), 0.5f64.exp()], TOLERANCE);
/// ```
///
/// # Panics
/// If an entry is off by more than `tolerance`, or the differences cannot tell.
#[track_caller]
pub fn gradient(f: impl Fn(&[f64]) -> f64, x: &[f64], claimed: &[f64], tolerance: f64) -> Worst {
    assert_eq!(claimed.len(), x.len(), "the gradient has {} entries, but there are {} variables", claimed.len(), x.len());
    let mut direction = vec![0.0; x.len()];
    let mut found = Differences::default();
    for i in 0..x.len() {
        direction[i] = 1.0;
        found.append(Differences::along(|x| vec![f(x)], x, &direction, x[i].abs().max(1.0)));
        direction[i] = 0.0;
    }
    found.judge(claimed, tolerance)
}

/// Asserts that `claimed` is the derivative of the vector `f` at `x` along `direction` (Jacobian times direction); gives
/// the worst entry. Cost: 32 values of `f`.
///
/// # Panics
/// As [`gradient`].
#[track_caller]
pub fn along(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], direction: &[f64], claimed: &[f64], tolerance: f64) -> Worst {
    Differences::along(f, x, direction, size(x)).judge(claimed, tolerance)
}

/// Asserts that `product(v)` is the Hessian at `x` times `v`, where `gradient` is the gradient: along each coordinate up to
/// six variables, else along six directions of random signs. Gives the worst entry over all of them.
///
/// # Panics
/// As [`gradient`].
#[track_caller]
pub fn hessian(gradient: impl Fn(&[f64]) -> Vec<f64>, product: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], tolerance: f64) -> Worst {
    let coordinate = |k: usize| (0..x.len()).map(|i| if i == k { 1.0 } else { 0.0 }).collect::<Vec<_>>();
    let check = |k: usize| {
        let direction = if x.len() <= 6 { coordinate(k) } else { signs(x.len(), k as u64) };
        along(&gradient, x, &direction, &product(&direction), tolerance)
    };
    let all = (0..x.len().min(6)).map(check);
    all.max_by(|a, b| a.error.total_cmp(&b.error)).expect("a Hessian has at least one variable")
}

/// Asserts by Taylor's theorem that `gradient` belongs to `f` at `x`: along a direction of random signs, the remainder of
/// the expansion falls with a power of the step of at least 1.9. Gives that power; infinite where the remainder is all
/// rounding (a polynomial of low degree).
///
/// # Panics
/// If it falls more slowly, as it does when the gradient is wrong.
#[track_caller]
pub fn taylor(f: impl Fn(&[f64]) -> f64, x: &[f64], gradient: &[f64]) -> f64 {
    remainder_power(f, x, gradient, |v| vec![0.0; v.len()], 1.9)
}

/// As [`taylor`], with the Hessian at `x` times v as `product(v)`, and a power of at least 2.9.
///
/// # Panics
/// If the remainder falls more slowly, as it does when the gradient or the Hessian is wrong.
#[track_caller]
pub fn taylor_second(f: impl Fn(&[f64]) -> f64, x: &[f64], gradient: &[f64], product: impl Fn(&[f64]) -> Vec<f64>) -> f64 {
    remainder_power(f, x, gradient, product, 2.9)
}

#[track_caller]
fn remainder_power(f: impl Fn(&[f64]) -> f64, x: &[f64], gradient: &[f64], product: impl Fn(&[f64]) -> Vec<f64>, least: f64) -> f64 {
    let direction = signs(x.len(), 0).iter().map(|sign| sign * size(x)).collect::<Vec<_>>();
    let dot = |a: &[f64]| a.iter().zip(&direction).map(|(a, b)| a * b).sum::<f64>();
    let (value, slope, curvature) = (f(x), dot(gradient), dot(&product(&direction)));
    assert!(value.is_finite() && slope.is_finite() && curvature.is_finite(), "the expansion is not finite: {value}, {slope}, {curvature}");
    let remainder = |step: f64| {
        let moved = f(&shifted(x, &direction, step));
        let rounding = 1e3 * f64::EPSILON * (value.abs() + moved.abs() + (step * slope).abs());
        let rest = (moved - value - step * slope - 0.5 * step * step * curvature).abs();
        (rest > rounding && rest.is_finite()).then(|| (step.ln(), rest.ln()))
    };
    let seen = (1..40).filter_map(|k| remainder(0.5f64.powi(k))).collect::<Vec<_>>();
    // The smallest steps above rounding: there the leading power rules.
    let last = &seen[seen.len().saturating_sub(4)..];
    let power = if last.len() < 3 { f64::INFINITY } else { fitted_slope(last) };
    assert!(power >= least, "the Taylor remainder falls with power {power:.3} of the step, but must with {least}: a derivative is wrong");
    power
}

fn fitted_slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let (covariance, variance) = points.iter().fold((0.0, 0.0), |(c, v), p| (c + (p.0 - x) * (p.1 - y), v + (p.0 - x).powi(2)));
    covariance / variance
}

fn size(x: &[f64]) -> f64 {
    x.iter().fold(1.0, |size: f64, x| size.max(x.abs()))
}

fn signs(n: usize, number: u64) -> Vec<f64> {
    (0..n as u64).map(|i| if hash64(number, i) & 1 == 0 { 1.0 } else { -1.0 }).collect()
}

fn shifted(x: &[f64], direction: &[f64], step: f64) -> Vec<f64> {
    x.iter().zip(direction).map(|(x, d)| x + step * d).collect()
}

/// Derivatives by differences.
#[derive(Default)]
struct Differences {
    values: Vec<f64>,
    /// What each may be off by.
    uncertainty: Vec<f64>,
    /// The least derivative that can be told from none: a millionth of the function over the size of the point.
    floor: f64,
}

impl Differences {
    fn along(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], direction: &[f64], size: f64) -> Self {
        let longest = direction.iter().fold(0.0, |longest: f64, d| longest.max(d.abs()));
        assert!(longest > 0.0 && longest.is_finite(), "the direction of a derivative must be finite and not zero");
        let mut best = Differences::default();
        let mut above: Vec<Vec<f64>> = Vec::new();
        for level in 0..LEVELS {
            let step = size / longest * 0.5f64.powi(level as i32 + 2);
            let (ahead, behind) = (f(&shifted(x, direction, step)), f(&shifted(x, direction, -step)));
            let n = ahead.len();
            if level == 0 {
                best = Differences { values: vec![f64::NAN; n], uncertainty: vec![f64::INFINITY; n], floor: 0.0 };
            }
            let rounding = |i: usize| f64::EPSILON * ahead[i].abs().max(behind[i].abs()) / step;
            let mut row = vec![(0..n).map(|i| (ahead[i] - behind[i]) / (2.0 * step)).collect::<Vec<_>>()];
            for order in 1..=above.len().min(ORDER) {
                let factor = 4f64.powi(order as i32);
                let (last, upper) = (&row[order - 1], &above[order - 1]);
                let next = (0..n).map(|i| last[i] + (last[i] - upper[i]) / (factor - 1.0)).collect::<Vec<_>>();
                for i in 0..n {
                    let spread = (next[i] - last[i]).abs().max((next[i] - upper[i]).abs()) + rounding(i);
                    if spread < best.uncertainty[i] {
                        (best.values[i], best.uncertainty[i]) = (next[i], spread);
                    }
                }
                row.push(next);
            }
            if level == LEVELS - 1 {
                best.floor = (0..n).fold(0.0, |floor: f64, i| floor.max(1e-6 * ahead[i].abs() * longest / size));
            }
            above = row;
        }
        best
    }

    fn append(&mut self, other: Differences) {
        self.values.extend(other.values);
        self.uncertainty.extend(other.uncertainty);
        self.floor = self.floor.max(other.floor);
    }

    #[track_caller]
    fn judge(&self, claimed: &[f64], tolerance: f64) -> Worst {
        assert_eq!(claimed.len(), self.values.len(), "the derivative has {} entries, but must have {}", claimed.len(), self.values.len());
        let largest = self.values.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
        let scale = |i: usize| self.values[i].abs().max(1e-3 * largest).max(self.floor).max(f64::MIN_POSITIVE);
        let mut worst = Worst { entry: 0, claimed: 0.0, numerical: 0.0, error: 0.0 };
        for (entry, (&claimed, &numerical)) in claimed.iter().zip(&self.values).enumerate() {
            let uncertainty = self.uncertainty[entry];
            assert!(
                uncertainty <= tolerance * scale(entry),
                "differences cannot tell derivative {entry}: {numerical} but for {uncertainty}; take a smoother point or a larger tolerance"
            );
            let error = ((claimed - numerical).abs() - uncertainty).max(0.0) / scale(entry);
            let error = if claimed.is_nan() { f64::INFINITY } else { error };
            if entry == 0 || error > worst.error {
                worst = Worst { entry, claimed, numerical, error };
            }
        }
        assert!(
            worst.error <= tolerance,
            "derivative {} is claimed {}, but differences give {}: relative error {:.3e}, allowed {tolerance:e}",
            worst.entry,
            worst.claimed,
            worst.numerical,
            worst.error
        );
        worst
    }
}

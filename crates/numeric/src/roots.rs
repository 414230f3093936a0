//! Roots of functions of one variable: Brent's method, bisection to the last bit, and brackets.

/// When a search may stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Half the width of the final bracket, absolute. Default 0: set it where the root may be 0, which has no relative
    /// width.
    pub absolute: f64,
    /// Half the width of the final bracket, relative to the root; added to `absolute`. Default 4.4e-16, the finest that
    /// doubles allow; smaller values count as that.
    pub relative: f64,
    /// The most values of the function. Default 1000: smooth functions need about 10, flat roots (x^9) over 100.
    pub evaluations: usize,
}

impl Default for Tolerance {
    fn default() -> Self {
        Tolerance { absolute: 0.0, relative: 2.0 * f64::EPSILON, evaluations: 1000 }
    }
}

/// A root and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Root {
    /// The best point: where |f| was smallest.
    pub x: f64,
    /// f at `x`.
    pub value: f64,
    /// The final bracket, with f of opposite signs (or 0) at its ends; `low <= x <= high`.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// How many values of f were taken.
    pub evaluations: usize,
}

/// Why there is no root.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RootError {
    /// The ends are not finite, or not in order.
    InvalidBracket {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// f has the same sign at both ends.
    NoSignChange {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// f at the lower end.
        at_low: f64,
        /// f at the upper end.
        at_high: f64,
    },
    /// f is NaN at `x`.
    NotANumber {
        /// Where.
        x: f64,
    },
    /// The evaluations ran out; the bracket so far.
    TooManyEvaluations {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// The limit.
        evaluations: usize,
    },
}

impl std::fmt::Display for RootError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RootError::InvalidBracket { low, high } => write!(f, "the bracket [{low}, {high}] must have finite ends in ascending order"),
            RootError::NoSignChange { low, high, at_low, at_high } => {
                write!(f, "the function does not change sign over [{low}, {high}]: it is {at_low} and {at_high} at the ends")
            }
            RootError::NotANumber { x } => write!(f, "the function is NaN at {x}"),
            RootError::TooManyEvaluations { low, high, evaluations } => {
                write!(f, "no root to the tolerance within {evaluations} evaluations; it is in [{low}, {high}]")
            }
        }
    }
}

impl std::error::Error for RootError {}

/// A root of `f` in [low, high], where f has opposite signs at the ends (Brent 1973: inverse quadratic interpolation, secant
/// and bisection).
///
/// For a continuous f there is a root in the returned bracket; for any f there is a change of sign. Infinite values of f are
/// allowed. About 10 evaluations for smooth functions.
///
/// ```
/// use certus_numeric::roots::{Tolerance, brent};
/// let root = brent(|x| x * x - 2.0, 0.0, 2.0, Tolerance::default())?;
/// assert!((root.x - 2f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), certus_numeric::roots::RootError>(())
/// ```
///
/// # Errors
/// See [`RootError`].
pub fn brent(mut f: impl FnMut(f64) -> f64, low: f64, high: f64, tolerance: Tolerance) -> Result<Root, RootError> {
    let (mut a, mut b) = (low, high);
    let (mut fa, mut fb) = signed_ends(&mut f, low, high)?;
    let mut evaluations = 2;
    // b is the best point, [b, c] the bracket, a the point before b.
    let (mut c, mut fc) = (a, fa);
    let mut step = b - a;
    let mut step_before = step;
    loop {
        if (fb > 0.0) == (fc > 0.0) && fb != 0.0 {
            (c, fc) = (a, fa);
            step = b - a;
            step_before = step;
        }
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let margin = tolerance.relative.max(2.0 * f64::EPSILON) * b.abs() + tolerance.absolute.max(f64::MIN_POSITIVE);
        let half = 0.5 * c - 0.5 * b;
        if fb == 0.0 || half.abs() <= margin {
            return Ok(Root { x: b, value: fb, low: b.min(c), high: b.max(c), evaluations });
        }
        if evaluations >= tolerance.evaluations {
            return Err(RootError::TooManyEvaluations { low: b.min(c), high: b.max(c), evaluations });
        }
        let trial = interpolate(a, b, c, fa, fb, fc);
        // Accept what stays well inside the bracket and at least halves the step before last; otherwise bisect.
        let inside = trial.is_finite() && trial * half > 0.0 && trial.abs() < 1.5 * half.abs() - 0.5 * margin;
        if step_before.abs() >= margin && fa.abs() > fb.abs() && inside && trial.abs() < 0.5 * step_before.abs() {
            step_before = step;
            step = trial;
        } else {
            step = half;
            step_before = half;
        }
        (a, fa) = (b, fb);
        b += if step.abs() > margin { step } else { margin.copysign(half) };
        fb = evaluate(&mut f, b)?;
        evaluations += 1;
    }
}

/// The step from b to the root of the inverse quadratic through three points, or of the secant where two of them are one.
fn interpolate(a: f64, b: f64, c: f64, fa: f64, fb: f64, fc: f64) -> f64 {
    let s = fb / fa;
    if a == c {
        return (c - b) * s / (s - 1.0);
    }
    let (q, r) = (fa / fc, fb / fc);
    -s * ((c - b) * q * (q - r) - (b - a) * (r - 1.0)) / ((q - 1.0) * (r - 1.0) * (s - 1.0))
}

/// The neighbouring doubles between which `f` changes sign: bisection to the last bit.
///
/// Bisects the doubles between the ends rather than the interval, so it needs at most 66 evaluations, whatever the scales of
/// ends and root.
///
/// ```
/// use certus_numeric::roots::bisect;
/// let root = bisect(|x| x.ln() + 600.0, 1e-300, 1.0)?;
/// assert!(root.high == root.low.next_up() || root.value == 0.0);
/// # Ok::<(), certus_numeric::roots::RootError>(())
/// ```
///
/// # Errors
/// See [`RootError`]; never `TooManyEvaluations`.
pub fn bisect(mut f: impl FnMut(f64) -> f64, low: f64, high: f64) -> Result<Root, RootError> {
    let (at_low, at_high) = signed_ends(&mut f, low, high)?;
    let (mut low, mut high, mut at_low, mut at_high) = (low, high, at_low, at_high);
    let mut evaluations = 2;
    while at_low != 0.0 && at_high != 0.0 {
        let Some(middle) = middle(low, high) else { break };
        let value = evaluate(&mut f, middle)?;
        evaluations += 1;
        if (value > 0.0) == (at_low > 0.0) && value != 0.0 {
            (low, at_low) = (middle, value);
        } else {
            (high, at_high) = (middle, value);
        }
    }
    let (x, value) = if at_low.abs() <= at_high.abs() { (low, at_low) } else { (high, at_high) };
    Ok(Root { x, value, low, high, evaluations })
}

/// The last double in [low, high] where a predicate that is first false and then true is still false, and the first where
/// it is true: neighbours. `None` if it is true at `low` or false at `high`, or if the ends are not finite and in order.
///
/// At most 66 evaluations.
///
/// ```
/// use certus_numeric::roots::bisect_predicate;
/// let (below, above) = bisect_predicate(|x| x * x >= 2.0, 0.0, 2.0).unwrap();
/// assert!(below * below < 2.0 && above * above >= 2.0 && above == below.next_up());
/// ```
pub fn bisect_predicate(mut holds: impl FnMut(f64) -> bool, low: f64, high: f64) -> Option<(f64, f64)> {
    if !(low.is_finite() && high.is_finite() && low < high) || holds(low) || !holds(high) {
        return None;
    }
    let (mut low, mut high) = (low, high);
    while let Some(middle) = middle(low, high) {
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some((low, high))
}

/// Widens [low, high] by `factor` of its width on the side where |f| is smaller (on both if it is equal), until f changes sign over
/// it.
///
/// For functions that are monotone, or nearly so. The default choice of factor is 1.6.
///
/// # Errors
/// `NoSignChange` with the last bracket, after 100 steps or at the end of the finite numbers; `InvalidBracket` also of a
/// factor that is not above 0; `NotANumber`.
pub fn expand_bracket(mut f: impl FnMut(f64) -> f64, low: f64, high: f64, factor: f64) -> Result<(f64, f64), RootError> {
    if !(low.is_finite() && high.is_finite() && low < high && factor > 0.0) {
        return Err(RootError::InvalidBracket { low, high });
    }
    let (mut low, mut high) = (low, high);
    let (mut at_low, mut at_high) = (evaluate(&mut f, low)?, evaluate(&mut f, high)?);
    for _ in 0..100 {
        if differ(at_low, at_high) {
            return Ok((low, high));
        }
        // Where neither side is smaller, both widen: the values may only differ below rounding.
        let width = factor * (high - low);
        let (down, up) = (at_low.abs() <= at_high.abs(), at_high.abs() <= at_low.abs());
        let (next_low, next_high) = (if down { low - width } else { low }, if up { high + width } else { high });
        if !(next_low.is_finite() && next_high.is_finite()) {
            break;
        }
        if down {
            (low, at_low) = (next_low, evaluate(&mut f, next_low)?);
        }
        if up {
            (high, at_high) = (next_high, evaluate(&mut f, next_high)?);
        }
    }
    if differ(at_low, at_high) { Ok((low, high)) } else { Err(RootError::NoSignChange { low, high, at_low, at_high }) }
}

fn evaluate(f: &mut impl FnMut(f64) -> f64, x: f64) -> Result<f64, RootError> {
    let value = f(x);
    if value.is_nan() { Err(RootError::NotANumber { x }) } else { Ok(value) }
}

fn signed_ends(f: &mut impl FnMut(f64) -> f64, low: f64, high: f64) -> Result<(f64, f64), RootError> {
    if !(low.is_finite() && high.is_finite() && low <= high) {
        return Err(RootError::InvalidBracket { low, high });
    }
    let (at_low, at_high) = (evaluate(f, low)?, evaluate(f, high)?);
    if differ(at_low, at_high) { Ok((at_low, at_high)) } else { Err(RootError::NoSignChange { low, high, at_low, at_high }) }
}

/// Whether the signs differ; 0 differs from every sign.
fn differ(a: f64, b: f64) -> bool {
    a == 0.0 || b == 0.0 || (a > 0.0) != (b > 0.0)
}

/// The double in the middle of those strictly between two, by count; `None` between neighbours.
fn middle(low: f64, high: f64) -> Option<f64> {
    // Doubles in order as integers in order.
    let key = |x: f64| {
        let bits = x.to_bits() as i64;
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    };
    let (a, b) = (key(low), key(high));
    let m = ((i128::from(a) + i128::from(b)) >> 1) as i64;
    let bits = if m < 0 { i64::MIN.wrapping_sub(m) } else { m };
    (m > a && m < b).then(|| f64::from_bits(bits as u64))
}

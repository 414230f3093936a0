//! A tail probability as e^logarithm times a factor of moderate size.

use super::double_double::Dd;

/// A probability that may be far below the smallest double.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    log: Dd,
    factor: f64,
}

impl Tail {
    /// e^log times `factor`.
    pub(super) fn scaled(log: Dd, factor: f64) -> Tail {
        Tail { log, factor }
    }

    /// The number itself.
    pub(super) fn plain(value: f64) -> Tail {
        Tail { log: Dd::from(0.0), factor: value }
    }

    /// As a double in [0, 1].
    pub(super) fn value(self) -> f64 {
        self.log.exp_times(self.factor).clamp(0.0, 1.0)
    }

    /// Its logarithm, without underflow.
    pub(super) fn ln(self) -> f64 {
        (self.log.value() + self.factor.ln()).min(0.0)
    }

    /// ln(self / probability): where they are close, from their difference, not from two long logarithms.
    pub(super) fn ln_excess(self, probability: f64) -> f64 {
        let relative = (self.value() - probability) / probability;
        if relative.abs() < 0.5 && probability >= f64::MIN_POSITIVE { relative.ln_1p() } else { self.ln() - probability.ln() }
    }

    /// One minus it.
    pub(super) fn complement(self) -> Tail {
        Tail::plain(1.0 - self.value())
    }
}

/// Both tails of a law at a point. They add up to 1, and each keeps its digits.
#[derive(Clone, Copy)]
pub(super) struct Tails {
    pub(super) lower: Tail,
    pub(super) upper: Tail,
}

impl Tails {
    pub(super) fn from_lower(lower: Tail) -> Tails {
        Tails { lower, upper: lower.complement() }
    }

    pub(super) fn from_upper(upper: Tail) -> Tails {
        Tails { lower: upper.complement(), upper }
    }

    pub(super) fn plain(lower: f64, upper: f64) -> Tails {
        Tails { lower: Tail::plain(lower), upper: Tail::plain(upper) }
    }

    pub(super) fn swapped(self) -> Tails {
        Tails { lower: self.upper, upper: self.lower }
    }

    pub(super) fn get(self, side: Side) -> Tail {
        match side {
            Side::Lower => self.lower,
            Side::Upper => self.upper,
        }
    }
}

/// Which tail of a law.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    Lower,
    Upper,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Lower => Side::Upper,
            Side::Upper => Side::Lower,
        }
    }
}

/// The x in [low, high] where the tail on one side has a given probability.
///
/// `tail` gives, at x, the logarithm of the tail over that probability and its derivative by ln x. For the gamma and beta laws that logarithm is
/// concave in ln x, so Newton's steps overshoot at most once; a step that leaves the bracket is replaced by bisection. Steps
/// multiply x: ln x itself would round away digits of a tiny x.
pub(super) fn solve_quantile(side: Side, start: f64, low: f64, high: f64, tail: impl Fn(f64) -> (f64, f64)) -> f64 {
    let (mut low, mut high) = (low, high);
    let mut x = if start > low && start < high { start } else { low.sqrt() * high.sqrt() };
    let mut last_step = f64::INFINITY;
    for _ in 0..400 {
        let (excess, slope) = tail(x);
        if excess == 0.0 {
            return x;
        }
        if (excess > 0.0) == (side == Side::Lower) {
            high = x;
        } else {
            low = x;
        }
        let step = -excess / slope;
        let mut next = x * step.exp();
        if !(next > low && next < high) {
            // Rounding ends the search at a bracket; otherwise halve the bracket, on the logarithmic scale.
            if step.abs() < 1e-14 {
                return next.clamp(low, high);
            }
            next = low.sqrt() * high.sqrt();
            if !(next > low && next < high) {
                return next.clamp(low, high);
            }
        } else if step.abs() < 1e-15 || (step.abs() < 1e-7 && step.abs() >= 0.5 * last_step) {
            return next;
        }
        last_step = step.abs();
        x = next;
    }
    x
}

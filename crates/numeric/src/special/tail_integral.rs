//! The tail of a log-concave density, relative to its value at the end of the tail.

use crate::quadrature::GaussLegendre;
use std::sync::OnceLock;

/// Where the integrand has fallen to e^-40, the rest of the tail is below rounding.
const NEGLIGIBLE: f64 = 40.0;

/// The integral of e^(-g) over [0, length], where g is convex, g(0) = 0, and g rises above 40 within `length` or is smooth
/// up to it. `scale` is a first guess of the width.
///
/// For large shapes this takes the place of continued fractions, which need sqrt(shape) terms and gather their rounding.
/// Cost: about 80 values of g.
pub(super) fn tail_integral(g: impl Fn(f64) -> f64, length: f64, scale: f64) -> f64 {
    let mut end = scale.min(length);
    while end < length && g(end) < NEGLIGIBLE {
        end = (2.0 * end).min(length);
    }
    // Not much further than needed, so that the nodes are where the mass is.
    while g(0.8 * end) > NEGLIGIBLE {
        end *= 0.8;
    }
    let integrand = |s| (-g(s)).exp();
    rule().integrate(integrand, 0.0, 0.4 * end) + rule().integrate(integrand, 0.4 * end, end)
}

/// The rule of order 32, made once.
pub(super) fn rule() -> &'static GaussLegendre {
    static RULE: OnceLock<GaussLegendre> = OnceLock::new();
    RULE.get_or_init(|| GaussLegendre::with_order(32))
}

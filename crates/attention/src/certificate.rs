//! What is proven of a fit.

use certus_contract::{Basis, Certificate, Check, Claim};

use crate::facts::Facts;
use crate::kantorovich::Kantorovich;

/// The certificate of one fit: first how near a stationary point in X is, Y held fixed.
pub fn certificate(facts: &Facts) -> Certificate {
    let mut claims = vec![kantorovich(facts.kantorovich.as_ref())];
    claims.extend(curvature(facts));
    claims.push(worst_case(facts));
    Certificate::new(claims)
}

/// Newton and Kantorovich in the logit metric.
pub(crate) fn kantorovich(found: Option<&Kantorovich>) -> Claim {
    let nothing = Kantorovich::default();
    let k = found.unwrap_or(&nothing);
    // Directions that change the logits by rounding only were left out by a threshold.
    let basis = if k.directions_left_out { Basis::Estimated } else { Basis::Bounded };
    let measured = |value: Option<f64>| value.or(Some(f64::NAN));
    Claim::new("A local minimum in X lies near, with Y held fixed", "Newton-Kantorovich in the logit metric; sharp softmax cumulants")
        .assumes(
            Check::gt("positive_curvature", "mu > 0, the Hessian in X being at least mu times the logit metric", measured(k.mu), 0.0)
                .basis(basis),
        )
        .assumes(Check::lt("kantorovich", "h = K eta / mu < 1/2", measured(k.h), 0.5).basis(basis))
        .guarantees(
            Check::le(
                "logit_distance",
                "distance of the logits to those of the stationary point, by Newton steps, <= 2 eta / (1 + sqrt(1 - 2h))",
                k.logit_distance,
                k.logit_radius,
            )
            .estimated(),
        )
        .guarantees(
            Check::le("loss_gap", "loss above the local minimum, by Newton steps, <= lambda^2 / (2 (1 - (1 - r) / 3))", k.loss_gap, k.gap)
                .estimated(),
        )
}

/// Corollary 5: how large the regulariser must be for the curvature in X to be positive.
fn curvature(facts: &Facts) -> Option<Claim> {
    let (here, everywhere) = (facts.convex_here?, facts.convex_everywhere?);
    Some(
        Claim::new("The Hessian in X is positive semidefinite at this point", "least curvature of each row: -min p + <f, p> + |f| |p|")
            .assumes(
                Check::ge("logit_reg_x", "weight of the logit regulariser >= the largest beta of any row", facts.logit_reg_x, here)
                    .bounded(),
            )
            .guarantees(
                Check::le("beta", "the largest beta of any row <= what convexity everywhere would need", here, everywhere).bounded(),
            ),
    )
}

/// The worst-case Lipschitz constant of the literature, as a logarithm: it grows like exp(R²).
///
/// With R at least 1 and at least the norms of values, Y and targets, values lie within 4 R² and residuals below 3 R² + R: our K is at
/// most 18 R⁴, and that is below 10 exp(R²).
fn worst_case(facts: &Facts) -> Claim {
    // That of the rescaled form holds on a ball only, and is no matter of norms.
    let ours = facts.kantorovich.filter(|_| !facts.rescaled).and_then(|k| k.lipschitz).map(f64::log10);
    let r = facts.largest_norm;
    Claim::new(
        "Lipschitz constant of the Hessian, by the literature's constants: on real data it promises nothing",
        "exp(O(R^2)), R at least all norms",
    )
    .guarantees(
        Check::le("log10_lipschitz", "log10 of our bound K <= log10 of 10 exp(R^2)", ours, 1.0 + r * r * std::f64::consts::LOG10_E)
            .trivial(16.0)
            .estimated(),
    )
}

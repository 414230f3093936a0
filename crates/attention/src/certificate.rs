//! What is proven of a fit.

use certus_contract::{Basis, Certificate, Check, Claim};

use crate::facts::Facts;
use crate::kantorovich::Kantorovich;

/// The certificate of one fit: first how near a stationary point in X is.
pub fn certificate(facts: &Facts) -> Certificate {
    let mut claims = vec![kantorovich(facts.kantorovich.as_ref(), facts.has_values)];
    claims.extend(curvature(facts));
    claims.extend(worst_case(facts));
    Certificate::new(claims)
}

/// Newton and Kantorovich in the logit metric.
fn kantorovich(found: Option<&Kantorovich>, has_values: bool) -> Claim {
    let nothing = Kantorovich::default();
    let k = found.unwrap_or(&nothing);
    // Directions that change the logits by rounding only are left out by a threshold.
    let basis = if k.directions_left_out || k.estimated { Basis::Estimated } else { Basis::Bounded };
    let measured = |value: Option<f64>| value.or(Some(f64::NAN));
    let theorem = if has_values { "A local minimum in X lies near, with Y held fixed" } else { "A local minimum in X lies near" };
    Claim::new(theorem, "Newton-Kantorovich in the logit metric; sharp softmax cumulants")
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

/// Corollary 5, at this point and for every X.
fn curvature(facts: &Facts) -> Vec<Claim> {
    let (Some(here), Some(measured)) = (facts.convex_here, facts.kantorovich.and_then(|k| k.curvature)) else { return Vec::new() };
    let source = "least curvature of each row: -min p + <f, p> + |f| |p|";
    let statement = "largest mu, the Hessian in X being at least mu times the logit metric, >= logit_reg_x - the largest beta of any row";
    // What the two cancel to is rounding.
    let least = facts.logit_reg_x - here - 1e-9 * (facts.logit_reg_x + here);
    let mut check = Check::ge("curvature", statement, measured, least).estimated();
    if let Some(everywhere) = facts.convex_everywhere.filter(|everywhere| *everywhere > here) {
        check = check.trivial(facts.logit_reg_x - everywhere);
    }
    let mut claims = vec![Claim::new("How negative the curvature in X can be at this point", source).guarantees(check)];
    if let Some(everywhere) = facts.convex_everywhere {
        let needed = "weight of the logit regulariser >= 2 / (3 sqrt 3) times the largest product of residual and diameter";
        claims.push(
            Claim::new("The problem in X is convex everywhere", "least curvature of each row over all its logits")
                .assumes(Check::ge("logit_reg_x", needed, facts.logit_reg_x, everywhere).bounded())
                .guarantees(Check::ge("curvature", "largest mu at this point >= 0", measured, 0.0).estimated()),
        );
    }
    claims
}

/// The worst-case Lipschitz constant of the literature, as a logarithm: it grows like exp(R²).
///
/// With R at least 1 and at least the norms of values, Y and targets, values lie within 4 R² and residuals below 3 R² + R: our K is at
/// most 18 R⁴, and that is below 10 exp(R²).
fn worst_case(facts: &Facts) -> Option<Claim> {
    // That of the rescaled form holds on a ball only, and is no matter of norms.
    let ours = facts.kantorovich.filter(|_| !facts.rescaled)?.lipschitz?.log10();
    let r = facts.largest_norm;
    let theirs = 1.0 + r * r * std::f64::consts::LOG10_E;
    Some(
        Claim::new(
            "Lipschitz constant of the Hessian, by the literature's constants: on real data it promises nothing",
            "exp(O(R^2)), R at least all norms",
        )
        .guarantees(Check::le("log10_lipschitz", "log10 of our bound K <= log10 of 10 exp(R^2)", ours, theirs).trivial(16.0).estimated()),
    )
}

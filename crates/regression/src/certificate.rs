//! What is proven of a fit.

use certus_contract::{Basis, Certificate, Check, Claim};

use crate::facts::Facts;

/// The certificate of one fit: first how near a stationary point is.
pub fn certificate(facts: &Facts) -> Certificate {
    let mut claims = vec![stationary_point(facts)];
    claims.extend(convexity(facts));
    claims.extend(contraction(facts));
    claims.extend(generic_lipschitz(facts));
    Certificate::new(claims)
}

/// Newton and Kantorovich in the norm of the Hessian.
fn stationary_point(facts: &Facts) -> Claim {
    let theorem = if facts.rank < facts.cols {
        "A minimum lies near x, in the directions that the loss sees"
    } else {
        "A minimum lies near x, and no other stationary point"
    };
    let positive = Check::gt(
        "positive_curvature",
        "least eigenvalue of the Hessian at x > 0, beyond rounding",
        if facts.positive { facts.lambda_min.or(Some(f64::MIN_POSITIVE)) } else { facts.lambda_min.map(|v| v.min(0.0)) },
        0.0,
    );
    Claim::new(theorem, "Newton-Kantorovich, affine invariant: Deuflhard 2004, theorem 2.1")
        .assumes(positive.bounded())
        .assumes(
            Check::le("newton_kantorovich", "M_* times the Newton decrement <= 1/2", facts.kantorovich.or(Some(f64::NAN)), 0.5).bounded(),
        )
        .guarantees(
            Check::le(
                "distance_to_stationary_point",
                "|x - x*| in the norm of the Hessian, by Newton steps less rounding, <= 2 eta / (1 + sqrt(1 - 2 M_* eta))",
                facts.distance,
                facts.energy_radius,
            )
            .basis(Basis::Estimated),
        )
}

/// Strong convexity of the whole loss, from targets, weights and regularisers.
fn convexity(facts: &Facts) -> Option<Claim> {
    let least = facts.least_slack?;
    let slack = Check::ge("slack", "least of w_i^2 less what row i needs for convexity >= 0 (or A' diag(slack) A is positive)", least, 0.0);
    let basis = if facts.modulus.is_some() { Basis::Enforced } else { Basis::Bounded };
    Some(
        Claim::new("One minimum: the loss is strongly convex everywhere", "least curvature of each row over all z; softmax cumulants")
            .assumes(slack.basis(basis))
            .assumes(Check::gt("modulus", "modulus of strong convexity > 0, beyond rounding", facts.modulus.unwrap_or(0.0), 0.0).bounded())
            .guarantees(
                Check::le(
                    "distance_to_minimum",
                    "|x - x*|_2, by Newton steps less rounding, <= |g| / modulus",
                    facts.euclidean_distance,
                    facts.convex_radius,
                )
                .estimated(),
            ),
    )
}

/// The error falls by one factor at each step from the start, in the norm of the Hessian at the answer.
fn contraction(facts: &Facts) -> Option<Claim> {
    let contraction = facts.contraction?;
    let source = if facts.sampling_error.is_some() {
        "Newton's method with (1 +- eps0) Hessians; matrix Chernoff bounds, Tropp 2012; energy norm"
    } else {
        "Newton's method with the exact Hessian; energy norm"
    };
    let mut claim = Claim::new("Linear convergence from the start, in the norm of the Hessian", source)
        .assumes(Check::gt("minimum", "least eigenvalue of the Hessian at the answer > 0", facts.lambda_min, 0.0).estimated())
        .assumes(Check::lt("start", "M_* times the error of the start < 1", contraction.a, 1.0).estimated())
        .assumes(Check::lt("factor", "the theorem's contraction factor < 1", contraction.factor, 1.0).estimated())
        .assumes(Check::eq("whole_steps", "steps that were held back or refused = 0", contraction.held_back as f64, 0.0));
    if let Some(error) = facts.sampling_error {
        let statement = "largest |eigenvalue - 1| of the last sampled Hessian relative to the whole one <= eps0";
        claim = claim.assumes(Check::le("hessian_error", statement, error.measured, error.requested).estimated());
    }
    let statement = "|x - x*| in the norm of the Hessian <= factor^steps times that of the start, and rounding of gradients and x";
    Some(claim.guarantees(Check::le("error_at_the_end", statement, facts.distance, contraction.bound).estimated()))
}

/// Our bound on the Lipschitz constant of the Hessian beside the one that the literature's constants give.
fn generic_lipschitz(facts: &Facts) -> Option<Claim> {
    let (ours, generic) = facts.lipschitz_log10?;
    Some(
        Claim::new(
            "Lipschitz constant of the Hessian, by the literature's constants",
            "exp(20 R^2), R at least 4, |A|, |b|, |x|, |Ax| and the weights",
        )
        .guarantees(
            Check::le("log10_lipschitz", "log10 of our bound near x <= log10 of exp(20 R^2)", ours, generic).trivial(16.0).estimated(),
        ),
    )
}

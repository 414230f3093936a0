//! What is proven of a fit.

use certus_contract::{Basis, Certificate, Check, Claim};

use crate::facts::Facts;
use crate::kantorovich::Kantorovich;

/// The certificate of one fit: first how near a stationary point in X is.
pub fn certificate(facts: &Facts) -> Certificate {
    let mut claims = vec![kantorovich(facts.kantorovich.as_ref(), facts.has_values)];
    claims.extend(curvature(facts));
    claims.extend(together(facts));
    claims.extend(rate(facts));
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
    let theorem = if has_values {
        "A stationary point in X lies near, with Y held fixed: a local minimum if h < 1/2"
    } else {
        "A stationary point in X lies near: a local minimum if h < 1/2"
    };
    Claim::new(theorem, "Newton-Kantorovich in the logit metric; sharp softmax cumulants")
        .assumes(
            Check::gt("positive_curvature", "mu > 0, the Hessian in X being at least mu times the logit metric", measured(k.mu), 0.0)
                .basis(basis),
        )
        .assumes(Check::le("kantorovich", "h = K eta / mu <= 1/2", measured(k.h), 0.5).basis(basis))
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
            Check::le(
                "loss_gap",
                "loss above that of the stationary point, by Newton steps, <= lambda^2 / (2 (1 - (1 - r) / 3)), r = sqrt(1 - 2h)",
                k.loss_gap,
                k.gap,
            )
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

/// Lemma 6 and the Schur complement: X and Y together.
fn together(facts: &Facts) -> Vec<Claim> {
    let Some(joint) = facts.joint else { return Vec::new() };
    let statement = "least eigenvalue of the Hessian in X and Y, by Lanczos, ";
    vec![
        Claim::new("The Hessian in X and Y together is positive definite at this point", "its block in Y and the Schur complement in X")
            .assumes(Check::gt("values_curvature", "least eigenvalue of the block in Y > 0", joint.values, 0.0).estimated())
            .assumes(Check::gt("reduced_curvature", "least eigenvalue of the Schur complement > 0", joint.reduced, 0.0).estimated())
            .guarantees(Check::gt("joint_curvature", format!("{statement}> 0"), joint.together, 0.0).estimated()),
        Claim::new("How negative the curvature in X and Y together can be", "least eigenvalues of the blocks, norm of the mixed one")
            .guarantees(
                Check::ge(
                    "block_bound",
                    format!("{statement}>= (a1 + a3) / 2 - sqrt(((a1 - a3) / 2)^2 + a2^2)"),
                    joint.together,
                    joint.by_blocks(),
                )
                .trivial(0.0)
                .estimated(),
            ),
    ]
}

/// The distance of the start at which the literature's rate holds, as a part of mu / K; and the rate.
const GOOD_START: f64 = 0.1;
const RATE: f64 = 0.4;

/// The linear rate of the literature, which it states of the Euclidean distance in its own constants: here in the logits and in ours.
///
/// With mu at the answer, K as far as the start and a distance r with `K r <= 0.1 mu`, a Newton step leaves `K r² / (2 (mu - K r))` of r at
/// most: less than 0.06 r.
fn rate(facts: &Facts) -> Option<Claim> {
    let (start, k) = (facts.start_distance?, facts.kantorovich?);
    let (radius, reached) = (k.logit_radius?, k.logit_distance?);
    let good = k.lipschitz_to_start? * (start + radius) / k.mu?;
    let steps = facts.iterations as f64;
    let contraction = (facts.iterations > 0 && start > 0.0).then(|| (reached / start).powf(1.0 / steps));
    // From within the radius there is nothing to converge to.
    let needed = (start > radius).then(|| 1.0 + ((start / radius).ln() / (1.0 / RATE).ln()).ceil());
    Some(
        Claim::new(
            "From a good start each Newton step in X leaves 0.4 of the distance at most",
            "linear rate of the literature, in the logits",
        )
        .assumes(Check::le("good_start", "K times the distance of the start / mu <= 0.1", good, GOOD_START).estimated())
        .assumes(Check::eq("other_steps", "steps that were not whole Newton steps in X alone = 0", facts.other_steps as f64, 0.0))
        .guarantees(
            Check::le("contraction", "distance left by a step, in the geometric mean <= 0.4", contraction, RATE).trivial(1.0).estimated(),
        )
        .guarantees(
            Check::le("iterations", "steps <= 1 + log(distance of the start / radius) / log(2.5), rounded up", steps, needed).estimated(),
        ),
    )
}

/// The worst-case Lipschitz constant of the literature, as a logarithm: it grows like exp(R²).
///
/// With R at least 1 and at least the norms of values, Y and targets, values lie within 4 R² and residuals of k heads below
/// (3 R² + R) k: our K is at most 18 k R⁴, and that is below 10 k exp(R²).
fn worst_case(facts: &Facts) -> Option<Claim> {
    // That of the rescaled form holds on a ball only, and is no matter of norms.
    let ours = facts.kantorovich.filter(|_| !facts.rescaled)?.lipschitz?.log10();
    let (norms, r) = (facts.norms, facts.norms.largest().max(1.0));
    let theirs = 1.0 + (facts.heads as f64).log10() + r * r * std::f64::consts::LOG10_E;
    let entries = norms.largest_target.max(norms.largest());
    Some(
        Claim::new(
            "Lipschitz constant of the Hessian, by the literature's constants: on real data it promises nothing",
            "exp(O(R^2)), R the largest spectral norm of inputs and parameters, and norm of the targets, at least 1",
        )
        .assumes(Check::le("norms", "A1, A2, A3, X, Y in spectral norm, entries and norm of the targets <= R", entries, r).bounded())
        .guarantees(
            Check::le("log10_lipschitz", "log10 of our bound K <= log10 of 10 exp(R^2) heads", ours, theirs).trivial(16.0).estimated(),
        ),
    )
}

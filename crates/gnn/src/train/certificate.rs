//! What is proven of trained weights.

use certus_contract::{Basis, Certificate, Check, Claim};

use super::solution::{ConvexFacts, TrainFacts};

/// The certificate of a training: how near the one minimiser it ended where the loss is convex, else that nothing is known; then that
/// propagation kept its budget.
pub fn certificate(facts: &TrainFacts) -> Certificate {
    let principal = match &facts.convex {
        Some(convex) => minimiser(facts, convex),
        None => nothing(facts),
    };
    let memory = facts.memory.iter().flat_map(|memory| crate::certificate::certificate(memory).claims);
    Certificate::new(std::iter::once(principal).chain(memory))
}

/// Strong convexity: f(x) >= f(y) + g(y) (x - y) + mu/2 |x - y|^2.
fn minimiser(facts: &TrainFacts, convex: &ConvexFacts) -> Claim {
    let modulus = "modulus of strong convexity of the training loss (the weight decay, biases included) > 0";
    let distance = "|w - w*|, by the point where minimisation ended less its own bound, <= |g| / modulus, rounding included";
    let gap = "f(w) - f(w*), by the loss at that point, <= |g|^2 / (2 modulus), rounding included";
    Claim::new(
        "The weights are near the one minimiser of the training loss (on the features as propagated in f32)",
        "strong convexity: Nesterov, Lectures on Convex Optimization, 2018, theorem 2.1.10",
    )
    .assumes(Check::gt("strong_convexity", modulus, convex.modulus, 0.0).basis(Basis::Enforced))
    .guarantees(
        Check::le("distance_to_minimiser", distance, convex.distance_found, convex.distance_bound)
            .trivial(convex.distance_trivial)
            .bounded(),
    )
    .guarantees(Check::le("gap", gap, convex.gap_found, convex.gap_bound).trivial(facts.loss).bounded())
}

/// No bound is claimed: numbers without limits.
fn nothing(facts: &TrainFacts) -> Claim {
    let gradient = "length of the gradient of the training loss at the weights, as measured: no bound on the distance to a minimum follows";
    let validation = "share of the validation nodes that is right, as measured: none is promised";
    let claim = Claim::new(
        "None: the training loss is not convex, or was not minimised, and Adam promises nothing of where it ends",
        "Reddi, Kale and Kumar, On the convergence of Adam and beyond, 2018",
    )
    .guarantees(Check::le("gradient_norm", gradient, facts.gradient_norm, None).estimated());
    match facts.validation.share() {
        Some(share) => claim.guarantees(Check::ge("validation_accuracy", validation, share, None).estimated()),
        None => claim,
    }
}

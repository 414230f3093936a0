//! What is proven of a least-squares solution.

use certus_contract::{Basis, Certificate, Check, Claim};

use super::facts::Facts;
use super::measure::FAILURE;

/// The certificate of one solve: first how far x is from the exact minimiser.
pub fn certificate(facts: &Facts) -> Certificate {
    let mut claims = vec![distance_to_minimiser(facts), backward(facts)];
    claims.extend(embedding(facts));
    claims.extend(contraction(facts));
    Certificate::new(claims)
}

/// `x - x* = P (PᵀAᵀAP)⁻¹ Pᵀ Aᵀ (A x - b)`: the gradient and the spectrum of the preconditioned matrix bound the error.
fn distance_to_minimiser(facts: &Facts) -> Claim {
    let spectrum = if facts.preconditioned_exact { Basis::Bounded } else { Basis::Estimated };
    // Under a numerical rank the statement is about the problem without the directions that were dropped.
    let theorem =
        if facts.rank < facts.cols { "Distance to the minimiser in the directions kept" } else { "Distance to the exact minimiser" };
    Claim::new(theorem, "normal equations in the preconditioned variable; rounding as in Higham 2002, section 3.1")
        .assumes(
            Check::gt(
                "clear_rank",
                "reciprocal condition of the directions kept > 16 max(n, d) 2^-52",
                facts.reciprocal_condition,
                16.0 * facts.rows.max(facts.cols) as f64 * f64::EPSILON,
            )
            .basis(spectrum),
        )
        .assumes(
            Check::gt("embedding", "smallest singular value of the preconditioned matrix > 0", facts.preconditioned.map(|(s, _)| s), 0.0)
                .basis(spectrum),
        )
        .guarantees(
            Check::le("forward_error", "|x - x*| / |x*|, x* by further refinement, <= bound", facts.forward_error, facts.forward_bound)
                .trivial(1.0)
                .basis(spectrum),
        )
}

/// x solves exactly a problem whose matrix is this near to A.
fn backward(facts: &Facts) -> Claim {
    let spectrum = if facts.preconditioned_exact { Basis::Bounded } else { Basis::Estimated };
    Claim::new("Backward error", "Stewart 1977; Karlson and Walden 1997; Higham 2002, section 20.7")
        .assumes(Check::eq("converged", "the stopping rule was met (1) or not (0)", f64::from(u8::from(facts.converged)), 1.0))
        .guarantees(
            Check::le(
                "backward_error",
                "min(|A'r| / |r|, |r| / |x|, sqrt 2 |P'A'r| / (s |x|)) / |A|_F <= tolerance, s the smallest singular value of A P",
                facts.backward_error,
                facts.tolerance,
            )
            .basis(spectrum)
            .trivial(1.0),
        )
}

/// The sketch keeps all lengths in the column space of A to a factor.
fn embedding(facts: &Facts) -> Option<Claim> {
    let bound = facts.embedding?;
    let distortion = if facts.preconditioned_exact { Basis::WithConfidence(1.0 - FAILURE) } else { Basis::Estimated };
    Some(
        Claim::new(bound.theorem, bound.source)
            .assumes(Check::enforced("oblivious", "the sketch is drawn without a look at A"))
            .guarantees(
                Check::le(
                    "distortion",
                    "| |SAx|^2 / |Ax|^2 - 1 | for all x <= theory's epsilon at failure 0.01",
                    facts.distortion,
                    bound.epsilon,
                )
                .trivial(1.0)
                .basis(distortion),
            ),
    )
}

/// LSMR's gradient falls at the rate of MINRES on the preconditioned normal equations.
fn contraction(facts: &Facts) -> Option<Claim> {
    let ((smallest, largest), (measured, iterations)) = (facts.preconditioned?, facts.contraction?);
    // Estimates from inside would make the bound too sharp.
    if !facts.preconditioned_exact {
        return None;
    }
    let rate = (largest - smallest) / (largest + smallest);
    Some(
        Claim::new("Convergence of LSMR", "Fong and Saunders 2011; Chebyshev bound of MINRES")
            .assumes(Check::gt("embedding", "smallest singular value of the preconditioned matrix > 0", smallest, 0.0).bounded())
            .guarantees(
                Check::le(
                    "contraction",
                    "preconditioned gradient, last over first, <= 2 ((k - 1) / (k + 1))^iterations",
                    measured,
                    2.0 * rate.powi(iterations as i32),
                )
                .trivial(1.0)
                .basis(Basis::Estimated),
            ),
    )
}

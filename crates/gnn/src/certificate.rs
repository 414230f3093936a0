//! That the budget was kept, as a certificate.

use certus_contract::{Basis, Certificate, Check, Claim};

use crate::plan::Resident;

/// What was predicted of a run before it began, and what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryFacts {
    /// The working budget, if there was one.
    pub budget: Option<u64>,
    /// Bytes at most, by the plan: the arena, the declared overhead, and an owned output.
    pub predicted_peak: u64,
    /// The same with the arena up to the highest byte that a buffer took.
    pub measured_peak: u64,
    /// Bytes declared for small things.
    pub overhead: u64,
    /// One whole output of the widest layer.
    pub lower_bound: u64,
    /// What is in memory beside the working set.
    pub resident: Resident,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// Bytes written to the spill folder.
    pub bytes_written: u64,
    /// The plan's.
    pub predicted_bytes_read: u64,
    /// The plan's.
    pub predicted_bytes_written: u64,
    /// What an implementation with one message an edge holds.
    pub undecomposed_peak: u64,
    /// What two whole activations take.
    pub full_width_peak: u64,
    /// Whether multiply-adds were fused: the same bits only where this is the same.
    pub fused: bool,
}

/// The certificate of a run.
pub fn certificate(facts: &MemoryFacts) -> Certificate {
    let number = |bytes: u64| bytes as f64;
    let mut claim =
        Claim::new("The run stays within its memory budget", "feature decomposition (Zhou et al. 2021); one arena by static liveness");
    if let Some(budget) = facts.budget {
        let statement = "bytes that the plan predicts <= the budget";
        claim = claim.assumes(Check::le("budget", statement, number(facts.predicted_peak), number(budget)));
    }
    let claim = claim
        .guarantees(
            Check::le(
                "peak",
                "bytes held at most <= those predicted before the run",
                number(facts.measured_peak),
                number(facts.predicted_peak),
            )
            .trivial(number(facts.undecomposed_peak))
            .basis(Basis::Enforced),
        )
        .guarantees(Check::le(
            "bytes_read",
            "bytes read from files <= those predicted",
            number(facts.bytes_read),
            number(facts.predicted_bytes_read),
        ))
        .guarantees(Check::le(
            "bytes_written",
            "bytes written to the spill folder <= those predicted",
            number(facts.bytes_written),
            number(facts.predicted_bytes_written),
        ));
    Certificate::new([claim])
}

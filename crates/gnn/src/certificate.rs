//! That the budget was kept, as a certificate.

use certus_contract::{Basis, Certificate, Check, Claim};

use crate::kernels::epilogue::no_bound_if_nan;
use crate::plan::{Precision, Resident, Schedule};

/// What was predicted of a run before it began, and what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryFacts {
    /// The working budget, if there was one.
    pub budget: Option<u64>,
    /// Bytes at most, by the plan: the arena, the declared overhead, and an owned output.
    pub predicted_peak: u64,
    /// The same with those panels of the arena that the run took: scratch, vectors, declared overhead and an owned output count whole.
    pub measured_peak: u64,
    /// Bytes declared for small things.
    pub overhead: u64,
    /// One whole output of the widest layer, as it is kept: without a spill folder no schedule holds less.
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
    /// What activations were kept in.
    pub precision: Precision,
    /// How far the logits can be from those of a run in f32; `None` in f32, or where a layer has no bound.
    pub error_bound: Option<ErrorFacts>,
    /// Whether multiply-adds were fused: the same bits only where this is the same.
    pub fused: bool,
}

/// What bounds on the logits' errors come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorFacts {
    /// The largest bound on any logit; infinite where a number was too large for f16.
    pub largest: f32,
    /// Nodes whose class a run in f32 must have too.
    pub certified: u64,
}

impl ErrorFacts {
    /// Takes in rows of logits and bounds.
    pub(crate) fn add(&mut self, logits: &[f32], errors: &[f32], columns: usize) {
        for (row, errors) in logits.chunks_exact(columns).zip(errors.chunks_exact(columns)) {
            self.largest = errors.iter().fold(self.largest, |largest, &e| largest.max(no_bound_if_nan(e)));
            self.certified += u64::from(is_certified(row, errors));
        }
    }
}

/// Whether the largest logit leads each other by more than both bounds, so that the other run must have the same class.
pub(crate) fn is_certified(row: &[f32], errors: &[f32]) -> bool {
    let best = row.iter().enumerate().fold(0, |best, (k, &x)| if x > row[best] { k } else { best });
    let (top, slack) = (f64::from(row[best]), 2f64.powi(-50));
    let leads = |k: usize| {
        let apart = (top - f64::from(row[k])) * (1.0 - slack);
        k == best || apart > (f64::from(errors[best]) + f64::from(errors[k])) * (1.0 + slack)
    };
    (0..row.len()).all(leads)
}

/// The certificate of a run.
pub fn certificate(facts: &MemoryFacts) -> Certificate {
    let measured = Measured { peak: facts.measured_peak, read: facts.bytes_read, written: facts.bytes_written };
    let limits = Measured { peak: facts.predicted_peak, read: facts.predicted_bytes_read, written: facts.predicted_bytes_written };
    let bound = facts.precision.is_bounded().then_some(facts.error_bound.is_some());
    claim(facts.budget, bound, Some(measured), limits, facts.undecomposed_peak)
}

/// The certificate of a schedule, before it runs.
pub(crate) fn promise(schedule: &Schedule) -> Certificate {
    let limits = Measured { peak: schedule.predicted_peak, read: schedule.bytes_read, written: schedule.bytes_written };
    let bound = schedule.precision.is_bounded().then_some(schedule.store.bounds);
    claim(schedule.budget, bound, None, limits, schedule.undecomposed_peak)
}

/// The three quantities that a run is held to, in bytes.
#[derive(Clone, Copy)]
struct Measured {
    peak: u64,
    read: u64,
    written: u64,
}

fn claim(budget: Option<u64>, error_bound: Option<bool>, measured: Option<Measured>, limits: Measured, undecomposed: u64) -> Certificate {
    let of = |pick: fn(Measured) -> u64| measured.map(|measured| pick(measured) as f64);
    let mut claim =
        Claim::new("The run stays within its memory budget", "feature decomposition (Zhou et al. 2021); one arena by static liveness");
    if let Some(budget) = budget {
        let statement = "bytes that the plan predicts <= the budget";
        claim = claim.assumes(Check::le("budget", statement, limits.peak as f64, budget as f64));
    }
    if let Some(exists) = error_bound {
        let statement = "whether every layer bounds what errors of its input become (1; attention and norms of rows do not: 0)";
        claim = claim.assumes(Check::eq("error_bound_exists", statement, f64::from(u8::from(exists)), 1.0));
    }
    let peak = Check::le("peak", "bytes held at most <= those predicted before the run", of(|m| m.peak), limits.peak as f64);
    let read = Check::le("bytes_read", "bytes read from files <= those predicted", of(|m| m.read), limits.read as f64);
    let written =
        Check::le("bytes_written", "bytes written to the spill folder <= those predicted", of(|m| m.written), limits.written as f64);
    Certificate::new([claim.guarantees(peak.trivial(undecomposed as f64).basis(Basis::Enforced)).guarantees(read).guarantees(written)])
}

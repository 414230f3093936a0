//! What an experiment found, as plain data: written by the binary `experiments`, read and drawn by `cargo xtask`.
//!
//! Nothing here depends on another crate of ours, and every unit stands in a field's name or in a label: seconds, bytes,
//! and ratios above 1 where Certus is faster. A number that does not exist is NaN here and `null` in JSON.

use serde::{Deserialize, Deserializer, Serialize};

/// The number of the present form of these types. A file with another number is refused by the reader.
pub const SCHEMA: u32 = 1;

/// All experiments of one run: `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`] at the time of writing.
    pub schema: u32,
    /// Whether sizes were cut down to finish in minutes: then times say little.
    pub quick: bool,
    /// The experiments in the order of the registry.
    pub experiments: Vec<Experiment>,
}

/// One experiment: a question about one system, and everything measured to answer it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Experiment {
    /// Its name on the command line: `"sketching"`.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// What it asks, in one sentence.
    pub question: String,
    /// The result in a few words, where no ratio to a peer says it better: `"24 GB/s"`.
    pub headline: Option<String>,
    /// What was expected, and what came out.
    pub claims: Vec<ClaimLine>,
    /// Times against peers, one entry for each piece of work. The first entry gives the headline ratio.
    pub comparisons: Vec<Comparison>,
    /// Curves: convergence, error against cost.
    pub plots: Vec<Plot>,
    /// Cost against size, with the fitted exponent.
    pub scalings: Vec<Scaling>,
    /// Peak memory against what was promised.
    pub memory: Vec<Memory>,
    /// Certificates of the answers.
    pub certificates: Vec<Certified>,
    /// Anything else that is a table.
    pub tables: Vec<Table>,
    /// Peers that did not run, and why.
    pub skipped: Vec<Skipped>,
    /// Remarks that a reader needs to judge the figures.
    pub notes: Vec<String>,
    /// Where it ran.
    pub environment: Environment,
    /// Wall time of the whole experiment.
    pub seconds: f64,
    /// Why it ended early, if it did.
    pub failure: Option<String>,
}

/// How a result stands to what was expected of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing was measured, or nothing was expected.
    #[default]
    Open,
    /// As expected.
    Met,
    /// A goal of speed, growth or memory was not reached.
    Missed,
    /// Wrong: an error, a violated certificate, or answers that disagree.
    Failed,
}

impl Outcome {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Open => "open",
            Outcome::Met => "met",
            Outcome::Missed => "missed",
            Outcome::Failed => "failed",
        }
    }
}

/// One expectation and what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimLine {
    /// What is claimed, in words.
    pub text: String,
    /// The expected value with its unit.
    pub expected: String,
    /// The measured value with its unit.
    pub measured: String,
    /// How they stand. [`Outcome::Failed`] is for wrong results, [`Outcome::Missed`] for slow ones.
    pub outcome: Outcome,
}

/// The same work by Certus and by its peers, on the same inputs in the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The work and its size in words: `"dense 200000 x 200"`.
    pub work: String,
    /// Our time.
    pub ours: Timing,
    /// Their times.
    pub peers: Vec<Peer>,
}

/// One peer's time, and how far its answer is from ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its time.
    pub timing: Timing,
    /// The answers compared; `None` where they cannot be, for a reason that `timing.note` gives.
    pub agreement: Option<Agreement>,
}

impl Peer {
    /// Whether its answer was compared with ours, and is the same.
    pub fn agrees(&self) -> bool {
        self.agreement.as_ref().is_some_and(Agreement::holds)
    }

    /// Their median over ours: above 1 where we are faster.
    pub fn ratio(&self, ours: &Timing) -> f64 {
        self.timing.wall.median / ours.wall.median
    }
}

/// Repeated runs of one piece of work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Who ran, and how: `"SciPy lsmr"`.
    pub name: String,
    /// How many threads it was given.
    pub threads: usize,
    /// Wall time of one run, in seconds.
    pub wall: Spread,
    /// Processor time of one run (user and system, all threads), the median, in seconds.
    #[serde(deserialize_with = "number")]
    pub cpu_seconds: f64,
    /// Wall time of the first run, where it includes a compilation.
    #[serde(default)]
    pub first_seconds: Option<f64>,
    /// Peak memory above what was allocated before, in bytes.
    #[serde(default)]
    pub peak_bytes: Option<u64>,
    /// A remark: the kernel in use, the number of iterations.
    #[serde(default)]
    pub note: String,
}

impl Timing {
    /// Whether one thread's processor and wall time differ by more than a fifth: something else was running.
    pub fn is_disturbed(&self) -> bool {
        self.threads == 1 && (self.cpu_seconds / self.wall.median - 1.0).abs() > 0.2 && self.wall.median > 1e-3
    }
}

/// The distribution of repeated measurements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many there were, the warm-up not counted.
    pub runs: usize,
    /// The middle one.
    #[serde(deserialize_with = "number")]
    pub median: f64,
    /// The median of the distances to the median.
    #[serde(deserialize_with = "number")]
    pub mad: f64,
    /// The least.
    #[serde(deserialize_with = "number")]
    pub min: f64,
    /// The greatest.
    #[serde(deserialize_with = "number")]
    pub max: f64,
}

/// Two answers to the same question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// What was compared: `"largest relative difference of x"`.
    pub quantity: String,
    /// How much they differ.
    #[serde(deserialize_with = "number")]
    pub difference: f64,
    /// How much they may.
    pub tolerance: f64,
}

impl Agreement {
    /// Whether the answers agree. NaN does not.
    pub fn holds(&self) -> bool {
        self.difference <= self.tolerance
    }
}

/// Some curves in one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Its heading.
    pub title: String,
    /// What is to be seen in it, for those who cannot see it.
    pub caption: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves. A page tells at most six apart.
    pub curves: Vec<Curve>,
}

/// One axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The quantity and its unit: `"time / s"`.
    pub label: String,
    /// Whether it is logarithmic.
    pub log: bool,
}

/// One curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Its points, in order.
    pub points: Vec<Point>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Horizontal.
    #[serde(deserialize_with = "number")]
    pub x: f64,
    /// Vertical.
    #[serde(deserialize_with = "number")]
    pub y: f64,
}

/// Cost against size on a geometric grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// What ran: `"CountSketch of a sparse matrix"`.
    pub work: String,
    /// The size and its unit: `"non-zeros"`.
    pub size: String,
    /// The cost and its unit: `"time / s"`.
    pub cost: String,
    /// Size and cost.
    pub points: Vec<Point>,
    /// The straight line through their logarithms; `None` for fewer than three points.
    pub fit: Option<Fit>,
    /// The exponent that theory promises at most.
    pub claimed: Option<f64>,
}

impl Scaling {
    /// [`Outcome::Missed`] if even the lower end of the interval lies above the claimed exponent.
    pub fn outcome(&self) -> Outcome {
        match (&self.fit, self.claimed) {
            (Some(fit), Some(claimed)) if fit.low > claimed => Outcome::Missed,
            (Some(fit), Some(_)) if fit.low.is_finite() => Outcome::Met,
            _ => Outcome::Open,
        }
    }
}

/// A power law: log10 of the cost = `intercept` + `slope` log10 of the size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The exponent.
    pub slope: f64,
    /// Where the line stands.
    pub intercept: f64,
    /// Lower end of the interval of the exponent.
    #[serde(deserialize_with = "number")]
    pub low: f64,
    /// Upper end.
    #[serde(deserialize_with = "number")]
    pub high: f64,
    /// Confidence of the interval, in (0, 1).
    pub confidence: f64,
}

/// Peak memory of one piece of work, above what was allocated before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// What ran.
    pub work: String,
    /// Measured by the counting allocator.
    pub peak_bytes: u64,
    /// Promised at most, and by which formula.
    pub claimed: Option<Promise>,
}

/// A bound on memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// At most so many.
    pub bytes: u64,
    /// Where they come from: `"8 (n + d) k"`.
    pub formula: String,
}

impl Memory {
    /// [`Outcome::Missed`] if more was used than promised.
    pub fn outcome(&self) -> Outcome {
        match &self.claimed {
            None => Outcome::Open,
            Some(promise) if self.peak_bytes <= promise.bytes => Outcome::Met,
            Some(_) => Outcome::Missed,
        }
    }
}

/// A certificate and the answer that it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certified {
    /// Which answer.
    pub answer: String,
    /// The certificate in the JSON form that the `certus` command prints: `verdict` and `claims`.
    pub certificate: serde_json::Value,
}

impl Certified {
    /// Its verdict: `holds`, `vacuous`, `not_applicable`, `violated`.
    pub fn verdict(&self) -> &str {
        self.certificate["verdict"].as_str().unwrap_or("unknown")
    }
}

/// A table of text. Columns of numbers are set flush right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its heading.
    pub title: String,
    /// The names of the columns with their units.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

/// A peer that did not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub peer: String,
    /// Why.
    pub reason: String,
}

/// Where an experiment ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// The processor's name.
    pub cpu: String,
    /// Threads that the experiment used at most.
    pub threads: usize,
    /// Threads that the machine has.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// The compiler.
    pub rustc: String,
    /// The cargo profile.
    pub profile: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Libraries that peers used, and their kernels: `("numpy", "2.4.6, OpenBLAS Haswell, 2 threads")`.
    pub peers: Vec<(String, String)>,
}

impl Experiment {
    /// What is wrong, a sentence each: an early end, a violated certificate, answers that disagree, a claim that failed.
    pub fn failures(&self) -> Vec<String> {
        let ended = self.failure.iter().map(|reason| format!("it ended early: {reason}"));
        let violated = self.certificates.iter().filter(|c| c.verdict() == "violated");
        let violated = violated.map(|c| format!("the certificate of {} is violated", c.answer));
        let claims = self.claims.iter().filter(|claim| claim.outcome == Outcome::Failed);
        let claims = claims.map(|claim| format!("{}: {} instead of {}", claim.text, claim.measured, claim.expected));
        let disagreements = self.comparisons.iter().flat_map(|comparison| {
            let wrong = |peer: &&Peer| peer.agreement.as_ref().is_some_and(|agreement| !agreement.holds());
            comparison.peers.iter().filter(wrong).map(|peer| format!("{}: our answer differs from {}'s", comparison.work, peer.timing.name))
        });
        ended.chain(violated).chain(claims).chain(disagreements).collect()
    }

    /// The worst of its parts; [`Outcome::Open`] if it expected nothing.
    pub fn outcome(&self) -> Outcome {
        if !self.failures().is_empty() {
            return Outcome::Failed;
        }
        let claims = self.claims.iter().map(|claim| claim.outcome);
        let agreements = self.comparisons.iter().flat_map(|comparison| &comparison.peers).filter(|peer| peer.agreement.is_some());
        let certificates = self.certificates.iter().filter(|c| c.verdict() == "holds");
        claims
            .chain(self.scalings.iter().map(Scaling::outcome))
            .chain(self.memory.iter().map(Memory::outcome))
            .chain(agreements.map(|_| Outcome::Met))
            .chain(certificates.map(|_| Outcome::Met))
            .max()
            .unwrap_or_default()
    }

    /// The strongest rival with the same answer in the first comparison that has one, and its median over ours.
    pub fn headline_ratio(&self) -> Option<(&Comparison, &Peer, f64)> {
        let rivals = |comparison: &Comparison| comparison.peers.iter().any(Peer::agrees);
        let comparison = self.comparisons.iter().find(|comparison| rivals(comparison))?;
        let ratios = comparison.peers.iter().filter(|peer| peer.agrees()).map(|peer| (comparison, peer, peer.ratio(&comparison.ours)));
        ratios.min_by(|a, b| a.2.total_cmp(&b.2))
    }
}

/// Reads `null` as NaN.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

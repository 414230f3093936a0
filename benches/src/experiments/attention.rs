//! What the experiments on attention share: data, and how peers are asked and judged.

use certus_attention::layer::{Params, Problem, Sequence};
use certus_io::{Npz, Source};
use certus_numeric::{Array, Seed};
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value;

use super::regression::{distance, goal};
use crate::frame::{Context, Failure};
use crate::measure::Protocol;
use crate::peers::{Answer, Call, Exchange};
use crate::results::{Agreement, ClaimLine, Comparison, Experiment, Outcome, Peer, Spread, Timing};

/// The size of the gradient that counts as an answer, relative to that at the start.
pub(super) const TARGET: f64 = 1e-6;
/// How far above the best known loss an answer may be, relatively.
pub(super) const NEAR: f64 = 1e-6;
/// After so much a peer that has not come near gives up.
const STEPS: usize = 6000;
const SECONDS: f64 = 60.0;
/// Relative difference of derivatives that is rounding.
const ROUNDING: f64 = 1e-9;

const REFIT_HEAD: &[u8] = include_bytes!("../../../crates/attention/tests/cases/real/refit_head.npz");

pub(super) fn archive(name: &str, bytes: &[u8]) -> Result<Npz, Failure> {
    Ok(Npz::open(Source::memory(name, bytes))?)
}

pub(super) fn normal(rows: usize, cols: usize, scale: f64, seed: u64, name: &str) -> Array {
    let mut rng = Seed(seed).stream(name);
    Array::from_fn(rows, cols, |_, _| {
        let value: f64 = StandardNormal.sample(&mut rng);
        scale * value
    })
}

/// `a + b`.
pub(super) fn sum(a: &Array, b: &Array) -> Array {
    Array::from_fn(a.rows(), a.cols(), |i, j| a.row(i)[j] + b.row(i)[j])
}

pub(super) fn norm(parts: &[&Array]) -> f64 {
    parts.iter().flat_map(|a| a.as_slice()).map(|v| v * v).sum::<f64>().sqrt()
}

/// The data of a layer with one head and one sequence.
pub(super) struct Layer {
    pub(super) inputs: [Array; 3],
    pub(super) b: Array,
    pub(super) scale: f64,
    pub(super) logit_reg: (f64, f64),
    pub(super) reference: Params,
    /// The best loss of the reference implementation; NaN where there is none.
    pub(super) best: f64,
}

impl Layer {
    /// A head of a sentence encoder whose projections were rounded to four bits, to be fitted to what it gave before.
    pub(super) fn real() -> Result<Layer, Failure> {
        let mut file = archive("refit_head.npz", REFIT_HEAD)?;
        let [a1, a2, a3, b] = ["A1", "A2", "A3", "B"].map(|name| file.array::<f64>(name));
        let (a1, a2, a3, b) = (a1?, a2?, a3?, b?);
        let reference = Params { x: Array::identity(a1.cols()), y: Array::identity(a3.cols()) };
        let [scale, lx, ly, best] = ["tau", "lx", "ly", "reg_loss_star"].map(|name| file.scalar::<f64>(name));
        Ok(Layer { inputs: [a1, a2, a3], b, scale: scale?, logit_reg: (lx?, ly?), reference, best: best? })
    }

    /// Normal entries, logits of variance one, no regulariser; the reference is near the identity.
    pub(super) fn synthetic(n: usize, d: usize, seed: u64) -> Layer {
        let inputs = ["queries", "keys", "values"].map(|name| normal(n, d, 1.0, seed, name));
        let near = |name: &str| sum(&Array::identity(d), &normal(d, d, 0.1 / (d as f64).sqrt(), seed, name));
        let reference = Params { x: near("x"), y: near("y") };
        let b = normal(n, d, 0.5, seed, "outputs");
        Layer { inputs, b, scale: 1.0 / (d as f64).sqrt(), logit_reg: (0.0, 0.0), reference, best: f64::NAN }
    }

    pub(super) fn problem(&self) -> Result<Problem<'_>, Failure> {
        let [a1, a2, a3] = &self.inputs;
        let problem = Problem::new(vec![Sequence::new(a1, a2, a3, &self.b)])?.with_scale(self.scale)?;
        Ok(problem.with_logit_reg(self.logit_reg.0, self.logit_reg.1)?.with_reference(&self.reference)?)
    }

    /// Everything, and the reference as the point at which to begin, or to differentiate.
    pub(super) fn write(&self, exchange: &Exchange) -> Result<(), Failure> {
        for (name, array) in ["a1", "a2", "a3"].iter().zip(&self.inputs) {
            exchange.write(name, array)?;
        }
        for (name, array) in [("b", &self.b), ("x", &self.reference.x), ("y", &self.reference.y)] {
            exchange.write(name, array)?;
        }
        Ok(())
    }

    pub(super) fn arguments(&self) -> Vec<(&'static str, Value)> {
        let (lx, ly) = self.logit_reg;
        vec![("form", "layer".into()), ("tau", self.scale.into()), ("lx", lx.into()), ("ly", ly.into())]
    }
}

/// A peer that minimises: its name, its function in `peers/attention.py`, and how many times faster we mean to be.
pub(super) type Rival = (&'static str, &'static str, f64);

/// A fit by everybody from one start to one loss.
pub(super) struct Race<'a> {
    pub(super) work: &'a str,
    pub(super) threads: usize,
    pub(super) exchange: &'a Exchange,
    pub(super) arguments: Vec<(&'static str, Value)>,
    pub(super) ours: Timing,
    /// Our loss and the best that is known.
    pub(super) loss: f64,
    pub(super) known: f64,
    /// Our loss at a peer's answer.
    pub(super) judge: &'a dyn Fn(&Exchange) -> Result<f64, Failure>,
}

impl Race<'_> {
    /// Runs all of `list`; who has not come near when it gives up is not compared, and its time is a lower bound.
    pub(super) fn run(
        self,
        context: &Context,
        list: &[Rival],
        best: &mut Best,
        rows: &mut Vec<Vec<String>>,
        experiment: &mut Experiment,
    ) -> Result<(), Failure> {
        best.ours = best.ours.min(self.ours.wall.median);
        let near = self.known.min(self.loss) * (1.0 + NEAR);
        let (mut peers, mut off) = (Vec::new(), f64::NAN);
        for &(name, function, at_least) in list {
            let Some(python) = &context.peers else { break };
            let mut call = Call::new(name, "attention", function).threads(self.threads);
            for (argument, value) in &self.arguments {
                call = call.argument(argument, value.clone());
            }
            let (steps, seconds) = context.size((STEPS, SECONDS), (200, 5.0));
            call = call.argument("near", near).argument("steps", steps).argument("seconds", seconds);
            let Some(answer) = python.run(&call, self.exchange, experiment) else {
                let reason = experiment.skipped.last().map_or_else(String::new, |skipped| skipped.reason.clone());
                rows.push([self.work, name, &self.threads.to_string(), "-", "-", "-", "-", "-", &reason].map(String::from).to_vec());
                continue;
            };
            let loss = (self.judge)(self.exchange)?;
            // Their code and ours round differently at the edge.
            let reached = loss <= near * (1.0 + 1e-9);
            off = off.max((loss / answer.metric("loss") - 1.0).abs());
            let mut timing = Timing { note: remark(&answer, loss, near, reached), ..answer.timing(&call) };
            timing.note.extend(beyond(&timing).map(|note| format!("; {note}")));
            push_row(rows, self.work, &timing, answer.metric("iterations"), loss, f64::NAN);
            let difference = (loss / self.loss - 1.0).abs();
            let agreement = Agreement { quantity: "relative difference of the loss".into(), difference, tolerance: 2.0 * NEAR };
            let peer = Peer { timing, agreement: reached.then_some(agreement) };
            best.peer(name, at_least, peer.timing.wall.median, reached);
            peers.push(peer);
        }
        if !off.is_nan() {
            within(&format!("{}, {} threads: our loss at their answers against theirs", self.work, self.threads), off, 1e-9, experiment);
        }
        experiment.comparisons.push(Comparison { work: format!("{}, {} threads", self.work, self.threads), ours: self.ours, peers });
        Ok(())
    }
}

/// The best times of one fit over the numbers of threads: small work is often faster on one.
pub(super) struct Best {
    ours: f64,
    peers: Vec<(&'static str, f64, Option<f64>, f64)>,
}

impl Best {
    pub(super) fn new() -> Best {
        Best { ours: f64::INFINITY, peers: Vec::new() }
    }

    fn peer(&mut self, name: &'static str, at_least: f64, seconds: f64, reached: bool) {
        let place = match self.peers.iter().position(|peer| peer.0 == name) {
            Some(place) => place,
            None => {
                self.peers.push((name, at_least, None, f64::INFINITY));
                self.peers.len() - 1
            }
        };
        let (_, _, time, bound) = &mut self.peers[place];
        if reached {
            *time = Some(time.map_or(seconds, |time| time.min(seconds)));
        } else {
            *bound = bound.min(seconds);
        }
    }

    /// A claim for each peer. The time of one that never came near is a lower bound.
    pub(super) fn claims(self, work: &str, quick: bool, experiment: &mut Experiment) {
        for (name, at_least, time, bound) in self.peers {
            let text = format!("{work}: time of {name} to our loss over ours, each on its better number of threads");
            match time {
                Some(seconds) => goal(&text, seconds / self.ours, at_least, quick, experiment),
                None => {
                    let ratio = bound / self.ours;
                    let (expected, measured) = (format!("at least {at_least}"), format!("above {ratio:.2}: it did not get there"));
                    let outcome = if !quick && ratio >= at_least { Outcome::Met } else { Outcome::Open };
                    experiment.claims.push(ClaimLine { text, expected, measured, outcome });
                }
            }
        }
    }
}

/// What makes a time less than comparable: more processors than were given.
fn beyond(timing: &Timing) -> Option<String> {
    let used = timing.cpu_seconds / timing.wall.median;
    (used > 1.2 * timing.threads as f64).then(|| format!("used {used:.1} processors"))
}

fn remark(answer: &Answer, loss: f64, near: f64, reached: bool) -> String {
    let mut parts = vec![format!("{:.1} s to compile", answer.metric("compilation"))];
    let products = answer.metric("products");
    if products.is_finite() {
        parts.push(format!("{products} products"));
    }
    if !reached {
        parts.push(format!("gave up {:.1e} above the goal", loss / near - 1.0));
    }
    parts.join("; ")
}

pub(super) fn push_row(rows: &mut Vec<Vec<String>>, work: &str, timing: &Timing, iterations: f64, loss: f64, gradient: f64) {
    rows.push(vec![
        work.into(),
        timing.name.clone(),
        timing.threads.to_string(),
        if iterations.is_finite() { iterations.to_string() } else { "-".into() },
        format!("{loss:.10e}"),
        if gradient.is_finite() { format!("{gradient:.1e}") } else { "-".into() },
        format!("{:.3e}", timing.wall.median),
        format!("{:.3e}", timing.cpu_seconds),
        timing.note.clone(),
    ]);
}

pub(super) const COLUMNS: [&str; 9] =
    ["work", "solver", "threads", "iterations", "loss", "relative gradient", "wall / s", "cpu / s", "note"];

/// A relative difference that must be rounding.
pub(super) fn within(text: &str, difference: f64, tolerance: f64, experiment: &mut Experiment) {
    experiment.claims.push(ClaimLine {
        text: format!("{text}, relatively"),
        expected: format!("at most {tolerance:.0e}"),
        measured: format!("{difference:.1e}"),
        outcome: if difference <= tolerance { Outcome::Met } else { Outcome::Failed },
    });
}

/// Derivatives take milliseconds: many runs.
pub(super) fn short_runs(context: &Context) -> Protocol {
    let full = Protocol { runs: 31, ..context.protocol() };
    context.size(full, context.protocol())
}

/// One derivative, by us and by a peer.
pub(super) struct Kernel<'a> {
    pub(super) work: String,
    pub(super) threads: usize,
    pub(super) exchange: &'a Exchange,
    pub(super) arguments: Vec<(&'static str, Value)>,
    pub(super) ours: Timing,
    /// Our answer: the name of the peer's array, and entries.
    pub(super) expected: Vec<(&'static str, Vec<f64>)>,
    /// The part of the work that the peer does: its time is divided by it.
    pub(super) part: f64,
}

impl Kernel<'_> {
    /// Compares with functions in `peers/attention.py`: name, function, and how many times faster we mean to be.
    pub(super) fn run(self, context: &Context, list: &[Rival], experiment: &mut Experiment) -> Result<(), Failure> {
        let mut peers = Vec::new();
        for &(name, function, at_least) in list {
            let Some(python) = &context.peers else { break };
            let runs = if self.part < 1.0 { 3 } else { short_runs(context).runs };
            let mut call = Call::new(name, "attention", function).threads(self.threads).runs(runs);
            for (argument, value) in &self.arguments {
                call = call.argument(argument, value.clone());
            }
            let Some(answer) = python.run(&call, self.exchange, experiment) else { continue };
            let mut difference = 0.0f64;
            for (array, ours) in &self.expected {
                let apart = distance(self.exchange.read(array)?.as_slice(), ours);
                difference = if apart.is_nan() { f64::NAN } else { difference.max(apart) };
            }
            let mut timing = answer.timing(&call);
            timing.note = beyond(&timing).unwrap_or_default();
            if self.part < 1.0 {
                timing.note = format!("time of {:.3} of the work, scaled up {}", self.part, timing.note).trim_end().into();
                let whole = |seconds: f64| seconds / self.part;
                let Spread { runs, median, mad, min, max } = timing.wall;
                timing.wall = Spread { runs, median: whole(median), mad: whole(mad), min: whole(min), max: whole(max) };
                timing.cpu_seconds = whole(timing.cpu_seconds);
            }
            let agreement = Agreement { quantity: "relative difference".into(), difference, tolerance: ROUNDING };
            let peer = Peer { timing, agreement: Some(agreement) };
            let text = format!("{}, {} threads: time of {name} over ours", self.work, self.threads);
            goal(&text, peer.ratio(&self.ours), at_least, context.quick, experiment);
            peers.push(peer);
        }
        experiment.comparisons.push(Comparison { work: format!("{}, {} threads", self.work, self.threads), ours: self.ours, peers });
        Ok(())
    }
}

//! Peers on the same layers: asked in the order of their importance, until the experiment has taken its time.

use std::rc::Rc;
use std::time::{Duration, Instant};

use certus_gnn::{Graph, Op};
use certus_numeric::Array;
use serde_json::Value;

use super::cases::{Case, MIB};
use super::judged;
use crate::experiments::regression::goal;
use crate::frame::{Context, Failure};
use crate::peers::{Call, Exchange, Python};
use crate::results::{Agreement, Axis, ClaimLine, Comparison, Curve, Experiment, Outcome, Peer, Plot, Point, Skipped, Table, Timing};

/// After so much of the experiment no further peer is asked.
const MINUTES: u64 = 10;
/// Bytes of data beyond which a peer is ended.
const LIMIT: u64 = 14 << 30;
/// Of the largest number of an output.
const TOLERANCE: f64 = 1e-5;
/// Rounds in which peers are asked.
const ROUNDS: u8 = 5;

/// When it is enough.
pub(super) struct Patience(Instant);

impl Patience {
    pub(super) fn new(context: &Context) -> Self {
        Patience(Instant::now() + Duration::from_secs(context.size(60 * MINUTES, 60)))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// One way in which Python users run a layer.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    name: String,
    python: Python,
    function: &'static str,
    arguments: Vec<(&'static str, Value)>,
    kind: Kind,
}

/// What we mean to be faster than, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// At least 1.3 times.
    Sparse,
    /// At least five times, in a tenth of the memory.
    Edges,
    /// No goal of its own.
    Other,
}

impl Rival {
    fn new(name: &str, python: Python, function: &'static str, kind: Kind) -> Self {
        Rival { name: name.into(), python, function, arguments: Vec::new(), kind }
    }

    pub(super) fn scipy() -> Self {
        Rival::new("SciPy CSR", Python::Main, "scipy_csr", Kind::Sparse)
    }

    pub(super) fn torch() -> Self {
        Rival::new("PyTorch CSR", Python::Torch, "torch_csr", Kind::Sparse)
    }

    pub(super) fn edges() -> Self {
        Rival::new("PyG edge_index", Python::Torch, "pyg_edge_index", Kind::Edges)
    }

    /// The normalisation is kept from call to call.
    pub(super) fn edges_cached() -> Self {
        let rival = Rival::new("PyG edge_index, cached", Python::Torch, "pyg_edge_index", Kind::Other);
        Rival { arguments: vec![("cached", true.into())], ..rival }
    }

    pub(super) fn pyg_sparse() -> Self {
        Rival::new("PyG sparse adjacency", Python::Torch, "pyg_sparse", Kind::Sparse)
    }

    /// Messages in so many slices of columns.
    pub(super) fn pieces(pieces: usize) -> Self {
        let rival = Rival::new(&format!("PyG in {pieces} pieces"), Python::Torch, "pyg_decomposed", Kind::Other);
        Rival { arguments: vec![("pieces", pieces.into())], ..rival }
    }
}

/// The graph by incoming edges, and its dense features.
pub(super) fn write_graph(exchange: &Exchange, graph: &Graph, features: &Array<f32>) -> Result<(), Failure> {
    exchange.write("x", features)?;
    exchange.write("indptr", &Array::vector(graph.indptr().to_vec()))?;
    Ok(exchange.write("indices", &Array::vector(graph.indices().to_vec()))?)
}

/// A layer, our times, and whom to ask.
pub(super) struct Contest {
    work: String,
    threads: usize,
    described: Value,
    ours: Timing,
    /// Our times at fewer columns.
    pub(super) panels: Vec<Timing>,
    expected: Vec<f32>,
    stride: usize,
    exchange: Rc<Exchange>,
    rivals: Vec<(u8, Rival)>,
    peers: Vec<(Kind, Peer)>,
}

impl Contest {
    pub(super) fn new(
        work: &str,
        threads: usize,
        case: &Case<'_>,
        ours: Timing,
        expected: Vec<f32>,
        stride: usize,
        exchange: &Rc<Exchange>,
    ) -> Self {
        Contest {
            work: work.into(),
            threads,
            described: case.described(),
            ours,
            panels: Vec::new(),
            expected,
            stride,
            exchange: Rc::clone(exchange),
            rivals: Vec::new(),
            peers: Vec::new(),
        }
    }

    /// Whom to ask in which round.
    pub(super) fn against(self, rivals: Vec<(u8, Rival)>) -> Self {
        Contest { rivals, ..self }
    }

    fn ask(&mut self, context: &Context, round: u8, patience: &Patience, experiment: &mut Experiment) -> Result<(), Failure> {
        let Some(python) = &context.peers else { return Ok(()) };
        for (_, rival) in self.rivals.iter().filter(|(when, _)| *when == round) {
            if patience.is_over() {
                let reason = format!("{}: left out, the experiment has taken {MINUTES} minutes", self.work);
                experiment.skipped.push(Skipped { peer: rival.name.clone(), reason });
                continue;
            }
            // Long runs need no repetition.
            let runs = if self.ours.wall.median < 0.2 { 3 } else { 1 };
            let mut call = Call::new(&rival.name, "gnn", rival.function).python(rival.python).threads(self.threads).runs(runs);
            for (name, value) in &rival.arguments {
                call = call.argument(name, value.clone());
            }
            call = call.argument("layers", self.described.clone()).argument("stride", self.stride).argument("memory_limit", LIMIT);
            let Some(answer) = python.run(&call, &self.exchange, experiment) else {
                if let Some(skipped) = experiment.skipped.last_mut() {
                    skipped.reason = format!("{}: {}", self.work, skipped.reason);
                }
                continue;
            };
            let theirs = self.exchange.read("output")?;
            let difference = apart(theirs.as_slice(), &self.expected);
            let quantity = "largest difference over the largest number".into();
            let agreement = Some(Agreement { quantity, difference, tolerance: TOLERANCE });
            let timing = Timing { note: format!("graph in {:.0} MiB", answer.metric("graph_bytes") / MIB), ..answer.timing(&call) };
            self.peers.push((rival.kind, Peer { timing, agreement }));
        }
        Ok(())
    }

    /// Goals against those that gave our answer.
    fn finish(self, context: &Context, experiment: &mut Experiment) {
        let Contest { work, threads, ours, peers, .. } = self;
        let work = format!("{work}, {threads} threads");
        let of = |kind: Kind| peers.iter().filter(move |(known, peer)| *known == kind && peer.agrees()).map(|(_, peer)| peer);
        for peer in of(Kind::Edges) {
            let text = format!("{work}: time of {} over ours", peer.timing.name);
            goal(&text, peer.ratio(&ours), 5.0, context.quick, experiment);
            if let (Some(theirs), Some(bytes)) = (peer.timing.peak_bytes, ours.peak_bytes) {
                let text = format!("{work}: memory of {} over ours at full width", peer.timing.name);
                goal(&text, theirs as f64 / bytes as f64, 10.0, context.quick, experiment);
            }
        }
        if let Some(best) = of(Kind::Sparse).min_by(|a, b| a.ratio(&ours).total_cmp(&b.ratio(&ours))) {
            let text = format!("{work}: time of the best sparse product ({}) over ours", best.timing.name);
            goal(&text, best.ratio(&ours), 1.3, context.quick, experiment);
        }
        let peers = peers.into_iter().map(|(_, peer)| peer).collect();
        experiment.comparisons.push(Comparison { work, ours, peers });
    }
}

/// The largest difference over the largest number.
fn apart(theirs: &[f64], ours: &[f32]) -> f64 {
    if theirs.len() != ours.len() {
        return f64::NAN;
    }
    let largest = ours.iter().fold(0.0f64, |largest, &x| largest.max(f64::from(x).abs()));
    let difference = theirs.iter().zip(ours).map(|(a, &b)| (a - f64::from(b)).abs());
    // `max` would lose a NaN.
    difference.fold(0.0, |most: f64, d| if d > most || d.is_nan() { d } else { most }) / largest
}

/// A layer's panels within so many times the time of its full width.
pub(super) fn panels_goal(context: &Context, work: &str, full: &Timing, panels: Option<&Timing>, experiment: &mut Experiment) {
    let (measured, outcome) = match panels {
        Some(panels) => {
            let ratio = panels.wall.median / full.wall.median;
            (format!("{ratio:.2}"), judged(context, ratio <= 1.3))
        }
        None => ("no schedule in memory is that small".into(), Outcome::Open),
    };
    let text = format!("{work}, {} threads: time in 60 % of the bytes of full width over that of full width", full.threads);
    experiment.claims.push(ClaimLine { text, expected: "at most 1.3".into(), measured, outcome });
}

/// Asks all peers, round by round.
pub(super) fn compete(
    context: &Context,
    mut contests: Vec<Contest>,
    patience: &Patience,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        for contest in &mut contests {
            contest.ask(context, round, patience, experiment)?;
        }
    }
    if let Some(first) = contests.first() {
        by_method(first, experiment);
    }
    contests.into_iter().for_each(|contest| contest.finish(context, experiment));
    Ok(())
}

/// Bytes and seconds of everybody on the first layer.
fn by_method(contest: &Contest, experiment: &mut Experiment) {
    let others = contest.peers.iter().filter(|(_, peer)| peer.agrees()).map(|(_, peer)| &peer.timing);
    let timings = [&contest.ours].into_iter().chain(&contest.panels).chain(others).collect::<Vec<_>>();
    let mib = |timing: &Timing| timing.peak_bytes.map_or(f64::NAN, |bytes| bytes as f64 / MIB);
    let work = format!("{}, {} threads", contest.work, contest.threads);
    experiment.tables.push(Table {
        title: format!("Peak memory by method: {work}"),
        columns: ["method", "peak above the inputs / MiB", "wall / s"].map(String::from).to_vec(),
        rows: timings
            .iter()
            .map(|timing| vec![timing.name.clone(), format!("{:.1}", mib(timing)), format!("{:.4}", timing.wall.median)])
            .collect(),
    });
    let group =
        |name: &str| ["Certus", "SciPy", "PyTorch", "PyG edge_index", "PyG in", "PyG sparse"].into_iter().find(|g| name.starts_with(g));
    let mut curves: Vec<Curve> = Vec::new();
    for timing in timings {
        let point = Point { x: mib(timing), y: timing.wall.median };
        let name = group(&timing.name).unwrap_or("others");
        match curves.iter_mut().find(|curve| curve.name == name) {
            _ if !point.x.is_finite() => {}
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { name: name.into(), points: vec![point] }),
        }
    }
    experiment.plots.push(Plot {
        title: "Seconds and bytes by method".into(),
        caption: format!(
            "{work}. Ours at full width, then in panels of 32, 16 and 8 columns; each peer in each of its forms. Left and low is good."
        ),
        x: Axis { label: "peak memory above the inputs / MiB".into(), log: true },
        y: Axis { label: "time / s".into(), log: true },
        curves,
    });
}

/// Sparse products first, PyTorch Geometric's edges for two layers, then the rest.
pub(super) fn rounds(op: Op, width: usize) -> Vec<(u8, Rival)> {
    let first = op == Op::Gcn;
    match width {
        0..=16 => vec![
            (if first { 2 } else { 3 }, Rival::scipy()),
            (if first { 2 } else { 4 }, Rival::torch()),
            (if first { 2 } else { 4 }, Rival::edges()),
        ],
        17..=64 => vec![(1, Rival::scipy()), (1, Rival::torch()), (if first || op == Op::Gat { 2 } else { 3 }, Rival::edges())],
        // A message an edge of 256 columns: twenty gigabytes.
        _ => vec![(if first { 2 } else { 4 }, Rival::scipy())],
    }
}

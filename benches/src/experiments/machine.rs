//! What the machine can do at all: bandwidth of memory and rate of arithmetic, to judge every other figure by.

use certus_contract::{Certificate, Check, Claim};
use certus_numeric::Array;
use rayon::prelude::*;

use crate::frame::{Context, Entry, Failure};
use crate::measure::Protocol;
use crate::peers::{Call, Exchange};
use crate::results::{Agreement, Axis, Certified, ClaimLine, Comparison, Curve, Experiment, Memory, Outcome, Peer, Plot, Point, Promise};
use crate::results::{Scaling, Table, Timing};
use crate::{memory, scaling};

pub(super) const MACHINE: Entry = Entry {
    name: "machine",
    title: "What this machine can do",
    question: "How fast are memory and arithmetic here, so that other times can be judged?",
    run,
};

const SCALE: f64 = 3.0;
const BLOCK: usize = 1 << 15;
const LANES: usize = 32;

/// `a = b + SCALE c`, in parallel blocks: two reads and a write of 8 bytes for each entry.
fn triad(a: &mut [f64], b: &[f64], c: &[f64]) {
    a.par_chunks_mut(BLOCK).zip(b.par_chunks(BLOCK)).zip(c.par_chunks(BLOCK)).for_each(|((a, b), c)| {
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            *a = b + SCALE * c;
        }
    });
}

/// `steps` multiplications and additions in each of 32 independent lanes, nothing read or written.
fn arithmetic(steps: usize) -> f64 {
    let mut lanes: [f64; LANES] = std::array::from_fn(|lane| lane as f64);
    for _ in 0..steps {
        for lane in &mut lanes {
            *lane = *lane * 0.999_999 + 0.5;
        }
    }
    lanes.iter().sum()
}

fn vectors(n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let b = (0..n).map(|i| (i % 1000) as f64 * 0.1).collect();
    let c = (0..n).map(|i| (i % 777) as f64 * 0.7).collect();
    (vec![0.0; n], b, c)
}

fn run(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let largest = context.size(1 << 24, 1 << 21);
    let curves = bandwidth(context, largest, experiment)?;
    let best = |curve: &Curve| curve.points.last().map_or(f64::NAN, |point| point.y);
    let memory_rate = curves.iter().map(best).fold(f64::NAN, f64::max);
    experiment.plots.push(Plot {
        title: "Memory bandwidth".into(),
        caption: "Gigabytes a second of a = b + 3 c against the size of the three vectors; steps are the sizes of the caches.".into(),
        x: Axis { label: "working set / bytes".into(), log: true },
        y: Axis { label: "bandwidth / (GB/s)".into(), log: false },
        curves,
    });
    let arithmetic_rate = rates(context, experiment)?;
    experiment.headline = Some(format!("{memory_rate:.1} GB/s, {arithmetic_rate:.1} GFLOP/s"));
    answers(context, context.size(1 << 22, 1 << 18), experiment)?;
    memory_of_triad(context.size(1 << 22, 1 << 18), experiment);
    compare(context, largest, experiment)
}

fn bandwidth(context: &Context, largest: usize, experiment: &mut Experiment) -> Result<Vec<Curve>, Failure> {
    let mut curves = Vec::new();
    for threads in context.thread_counts() {
        let (mut rates, mut times) = (Vec::new(), Vec::new());
        let mut n = 1 << 10;
        while n <= largest {
            let (mut a, b, c) = vectors(n);
            // Small vectors are gone over often enough to be timed at all.
            let passes = (1usize << 20).div_ceil(n);
            let work = || (0..passes).for_each(|_| triad(std::hint::black_box(&mut a), &b, &c));
            let ((), timing) = context.on_threads(threads, || quick_protocol(context).time("triad", threads, work))?;
            let seconds = timing.wall.median / passes as f64;
            rates.push(Point { x: (24 * n) as f64, y: 24e-9 * n as f64 / seconds });
            times.push(Point { x: n as f64, y: seconds });
            n *= 4;
        }
        curves.push(Curve { name: counted(threads), points: rates });
        if threads == 1 {
            let fit = scaling::fit(&times);
            let (work, size, cost) = ("triad on one thread".into(), "entries".into(), "time / s".into());
            experiment.scalings.push(Scaling { work, size, cost, points: times, fit, claimed: None });
        }
    }
    Ok(curves)
}

fn rates(context: &Context, experiment: &mut Experiment) -> Result<f64, Failure> {
    let steps = context.size(4_000_000, 400_000);
    let (mut rows, mut best) = (Vec::new(), 0.0f64);
    for threads in context.thread_counts() {
        let work = || (0..threads).into_par_iter().map(|_| arithmetic(std::hint::black_box(steps))).sum::<f64>();
        let (_, timing) = context.on_threads(threads, || quick_protocol(context).time("arithmetic", threads, work))?;
        let rate = 2e-9 * (LANES * steps * threads) as f64 / timing.wall.median;
        best = best.max(rate);
        rows.push(vec![counted(threads), format!("{rate:.1}"), format!("{:.4}", timing.wall.median), format!("{:.4}", timing.cpu_seconds)]);
    }
    experiment.tables.push(Table {
        title: "Arithmetic: multiply and add in registers, base instruction set".into(),
        columns: ["threads", "GFLOP/s", "wall / s", "cpu / s"].map(String::from).to_vec(),
        rows,
    });
    Ok(best)
}

fn answers(context: &Context, n: usize, experiment: &mut Experiment) -> Result<(), Failure> {
    let (mut one, b, c) = vectors(n);
    let mut all = one.clone();
    context.on_threads(1, || triad(&mut one, &b, &c))?;
    context.on_threads(context.threads, || triad(&mut all, &b, &c))?;
    let different = one.iter().zip(&all).filter(|(x, y)| x.to_bits() != y.to_bits()).count();
    experiment.claims.push(ClaimLine {
        text: format!("the triad has the same bits on 1 and {} threads", context.threads),
        expected: "0 entries differ".into(),
        measured: format!("{different} entries differ"),
        outcome: if different == 0 { Outcome::Met } else { Outcome::Failed },
    });
    // fma rounds once, the triad twice: they differ by at most one rounding of the product and two of the sum.
    let error = one.iter().zip(b.iter().zip(&c)).map(|(a, (b, c))| {
        let scale = b.abs() + (SCALE * c).abs();
        if scale == 0.0 { a.abs() } else { (a - SCALE.mul_add(*c, *b)).abs() / scale }
    });
    let error = error.fold(0.0, f64::max);
    let claim = Claim::new("Standard model of floating-point arithmetic", "Higham 2002, section 2.2")
        .assumes(Check::enforced("round_to_nearest", "every operation rounds to the nearest number"))
        .guarantees(Check::le("rounding", "|a - fma(3, c, b)| <= 4 u (|b| + |3 c|)", error, 2.0 * f64::EPSILON).trivial(2.0));
    let certificate = serde_json::to_value(Certificate::new([claim]))?;
    experiment.certificates.push(Certified { answer: format!("the triad of {n} entries"), certificate });
    Ok(())
}

fn memory_of_triad(n: usize, experiment: &mut Experiment) {
    let (_, peak) = memory::peak(|| vectors(n));
    let claimed = Some(Promise { bytes: 24 * n as u64, formula: "24 n".into() });
    experiment.memory.extend(peak.map(|peak_bytes| Memory { work: format!("three vectors of n = {n}"), peak_bytes, claimed }));
}

fn compare(context: &Context, n: usize, experiment: &mut Experiment) -> Result<(), Failure> {
    let Some(peers) = &context.peers else { return Ok(()) };
    let exchange = Exchange::new()?;
    let (mut a, b, c) = vectors(n);
    exchange.write("b", &Array::vector(b.clone()))?;
    exchange.write("c", &Array::vector(c.clone()))?;
    let ours = context.on_threads(1, || context.protocol().time("Certus triad", 1, || triad(&mut a, &b, &c)).1)?;
    let call = Call::new("NumPy triad", "machine", "triad").argument("scale", SCALE);
    let answer = peers.run(&call, &exchange, experiment);
    let peer = answer.map(|answer| -> Result<Peer, Failure> {
        let theirs = exchange.read("a")?.into_vec();
        let difference = if theirs.len() == n { theirs.iter().zip(&a).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max) } else { f64::NAN };
        let agreement = Agreement { quantity: "largest difference of an entry".into(), difference, tolerance: 0.0 };
        let timing = Timing { note: "two passes: NumPy has no fused triad".into(), ..answer.timing(&call) };
        Ok(Peer { timing, agreement: Some(agreement) })
    });
    let peers = peer.transpose()?.into_iter().collect();
    experiment.comparisons.push(Comparison { work: format!("triad, {n} entries"), ours, peers });
    Ok(())
}

fn quick_protocol(context: &Context) -> Protocol {
    Protocol { budget: std::time::Duration::from_millis(context.size(500, 100)), ..Protocol::default() }
}

pub(super) fn counted(threads: usize) -> String {
    if threads == 1 { "1 thread".into() } else { format!("{threads} threads") }
}

//! A yardstick for aggregations: how fast rows of one cache line are read from random places without prefetching.

use std::time::Duration;

use certus_numeric::seed::{bounded, hash64};
use rayon::prelude::*;

use crate::experiments::machine::counted;
use crate::frame::{Context, Failure};
use crate::measure::Protocol;
use crate::results::{Experiment, Table};

/// Sixteen columns: a cache line, and nothing of the next one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; 16]);

/// Bytes a second for each number of threads.
pub(super) struct Rates(Vec<(usize, f64)>);

impl Rates {
    pub(super) fn of(&self, threads: usize) -> f64 {
        self.0.iter().find(|(known, _)| *known == threads).map_or(f64::NAN, |(_, rate)| *rate)
    }
}

pub(super) fn rates(context: &Context, experiment: &mut Experiment) -> Result<Rates, Failure> {
    let (lines, reads) = context.size((1u64 << 20, 10_000_000), (1 << 12, 100_000));
    let table = (0..lines).map(|i| Line([i as f32; 16])).collect::<Vec<_>>();
    let places = (0..reads).into_par_iter().map(|k| bounded(hash64(context.seed, k), lines) as u32).collect::<Vec<_>>();
    let protocol = Protocol { budget: Duration::from_millis(context.size(2000, 100)), ..Protocol::default() };
    let mut rates = Vec::new();
    for threads in context.thread_counts() {
        let (_, timing) = context.on_threads(threads, || protocol.time("gather", threads, || gather(&table, &places)))?;
        rates.push((threads, 64.0 * reads as f64 / timing.wall.median));
    }
    experiment.tables.push(Table {
        title: format!("Random reads of 64 bytes from {lines} lines"),
        columns: ["threads", "GB/s"].map(String::from).to_vec(),
        rows: rates.iter().map(|&(threads, rate)| vec![counted(threads), format!("{:.2}", 1e-9 * rate)]).collect(),
    });
    Ok(Rates(rates))
}

/// The sum of lines: a plain loop, without prefetching.
fn gather(table: &[Line], places: &[u32]) -> f32 {
    let part = |places: &[u32]| {
        let mut sum = [0.0f32; 16];
        for &place in places {
            let Line(line) = &table[place as usize];
            for (sum, x) in sum.iter_mut().zip(line) {
                *sum += x;
            }
        }
        sum.iter().sum::<f32>()
    };
    places.par_chunks(1 << 16).map(part).sum()
}

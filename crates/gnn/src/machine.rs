//! The speeds of a machine, as the planner's estimates take them; and how to measure them.

use std::hint::black_box;
use std::time::Duration;

use certus_numeric::Array;
use certus_numeric::seed::{bounded, hash64};

use crate::kernels::RowsOf;
use crate::kernels::combine::{Combine, Strips};
use crate::kernels::prefetch::prefetch;
use crate::simd::dispatch;

/// Speeds of the machine, for the planner's estimates: bytes and multiply-adds a second, of one thread where not said otherwise.
///
/// They are arguments: a plan is the same wherever they are. [`MachineModel::calibrate`] measures those of the machine at hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MachineModel {
    /// Multiply-adds in f32 of one thread.
    pub multiply_adds: f64,
    /// Bandwidth of sequential reads, of all threads.
    pub stream: f64,
    /// Bandwidth of random reads that the second cache level holds.
    pub gather_l2: f64,
    /// Of those that the last cache level holds.
    pub gather_l3: f64,
    /// Of those that only main memory holds.
    pub gather_memory: f64,
    /// Bytes of the second cache level.
    pub l2: u64,
    /// Bytes of the last cache level.
    pub l3: u64,
    /// Bandwidth of the disk.
    pub disk: f64,
}

impl Default for MachineModel {
    /// A small server of the 2020s.
    fn default() -> Self {
        MachineModel {
            multiply_adds: 20e9,
            stream: 12e9,
            gather_l2: 12e9,
            gather_l3: 5.5e9,
            gather_memory: 4e9,
            l2: 512 << 10,
            l3: 8 << 20,
            disk: 0.5e9,
        }
    }
}

/// Columns of a probe's rows: a cache line.
const LINE: usize = 16;
/// Rows and columns of the linear map that is timed.
const MAP: (usize, usize) = (192, 64);
/// Bytes that main memory alone holds, on most machines.
const BEYOND_CACHES: u64 = 64 << 20;
/// Random reads of a probe.
const READS: usize = 200_000;
/// Times each probe is run; the fastest counts.
const ROUNDS: usize = 3;

impl MachineModel {
    /// The same with these sizes of the second and the last cache level, in bytes.
    pub fn with_caches(self, l2: u64, l3: u64) -> Self {
        MachineModel { l2, l3: l3.max(l2), ..self }
    }

    /// Measures this machine with one thread: multiply-adds, sequential reads, and random reads from each level of the caches whose sizes
    /// this model has. The speed of the disk is left as it is. `clock`: the time since any fixed moment, `|| start.elapsed()`.
    ///
    /// Cost: about 0.1 s, and 64 MiB of memory.
    ///
    /// ```
    /// let start = std::time::Instant::now();
    /// let machine = certus_gnn::MachineModel::default().calibrate(|| start.elapsed());
    /// assert!(machine.multiply_adds > 0.0 && machine.gather_memory > 0.0);
    /// ```
    pub fn calibrate(self, clock: impl Fn() -> Duration) -> Self {
        let best = |work: &mut dyn FnMut()| {
            let round = |_| {
                let begin = clock();
                work();
                clock().saturating_sub(begin).as_secs_f64()
            };
            // A clock that stands still makes nothing infinite.
            (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min).max(1e-9)
        };
        let ((rows, width), x) = (MAP, vec![1.0f32; MAP.0 * MAP.1]);
        let (w, mut out) = (Strips::new(&Array::from_fn(width, width, |_, _| 1.0f32)), vec![0.0f32; rows * width]);
        let map = best(&mut || {
            let (columns, x) = (0..width, black_box(&x[..]));
            dispatch(Combine { x, x_stride: width, rows, w: &w, columns, out: &mut out, out_stride: width, add: false, absolute: false });
            black_box(&out);
        });
        let table = vec![1.0f32; BEYOND_CACHES as usize / 4];
        let stream = best(&mut || {
            black_box(lanes(black_box(&table)));
        });
        let gather = |bytes: u64| {
            let lines = (bytes.clamp(64, BEYOND_CACHES) / 64) as usize;
            let places = (0..READS as u64).map(|k| bounded(hash64(0, k), lines as u64) as u32).collect::<Vec<_>>();
            let panel = RowsOf { data: &table[..lines * LINE], first: 0, stride: LINE };
            let seconds = best(&mut || {
                black_box(sum_of_rows(panel, black_box(&places)));
            });
            64.0 * READS as f64 / seconds
        };
        MachineModel {
            multiply_adds: (rows * width * width) as f64 / map,
            stream: BEYOND_CACHES as f64 / stream,
            gather_l2: gather(self.l2 / 2),
            gather_l3: gather(self.l3 / 2),
            gather_memory: gather(BEYOND_CACHES),
            ..self
        }
    }

    pub(crate) fn gather(&self, bytes: f64) -> f64 {
        if bytes <= self.l2 as f64 {
            self.gather_l2
        } else if bytes <= self.l3 as f64 {
            self.gather_l3
        } else {
            self.gather_memory
        }
    }
}

/// The sum in sixteen lanes.
fn lanes(table: &[f32]) -> [f32; LINE] {
    let mut sums = [0.0; LINE];
    for line in table.as_chunks::<LINE>().0 {
        sums.iter_mut().zip(line).for_each(|(sum, x)| *sum += x);
    }
    sums
}

/// The same of rows at random places, asked for ahead as the sums over edges do.
fn sum_of_rows(panel: RowsOf, places: &[u32]) -> [f32; LINE] {
    let mut sums = [0.0; LINE];
    for (k, &place) in places.iter().enumerate() {
        if let Some(&next) = places.get(k + 12) {
            prefetch(panel.data, next as usize * LINE);
        }
        sums.iter_mut().zip(panel.row(place as usize, 0, LINE)).for_each(|(sum, x)| *sum += x);
    }
    sums
}

//! Wall and processor time of repeated runs.
//!
//! One run warms up and is not counted; then the median tells the time, and the median absolute deviation how much it
//! varies. Processor time stands beside wall time, because on a shared machine only the former is nearly the program's own.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

use crate::results::{Spread, Timing};

/// How often to run.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Runs before the first counted one.
    pub warm_up: usize,
    /// Counted runs at most; at least one.
    pub runs: usize,
    /// No further run starts after so much time in counted ones.
    pub budget: Duration,
}

impl Default for Protocol {
    /// One warm-up, seven runs, within ten seconds.
    fn default() -> Self {
        Protocol { warm_up: 1, runs: 7, budget: Duration::from_secs(10) }
    }
}

impl Protocol {
    /// Runs `work` as often as the protocol says, and gives its last answer with the times of all counted runs.
    ///
    /// Processor time is that of the whole process: nothing else may run in it meanwhile.
    pub fn time<R>(&self, name: impl Into<String>, threads: usize, mut work: impl FnMut() -> R) -> (R, Timing) {
        for _ in 0..self.warm_up {
            std::hint::black_box(work());
        }
        let start = Instant::now();
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        loop {
            let (run, busy) = (Instant::now(), ProcessTime::now());
            let answer = std::hint::black_box(work());
            wall.push(run.elapsed().as_secs_f64());
            cpu.push(busy.elapsed().as_secs_f64());
            if wall.len() >= self.runs || start.elapsed() >= self.budget {
                let timing = Timing { name: name.into(), threads, wall: spread(&wall), cpu_seconds: median(&cpu), ..Timing::default() };
                return (answer, timing);
            }
        }
    }
}

/// The distribution of some measurements; NaN where there are none.
pub fn spread(values: &[f64]) -> Spread {
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    Spread {
        runs: values.len(),
        median: middle,
        mad: median(&distances),
        min: values.iter().copied().fold(f64::NAN, f64::min),
        max: values.iter().copied().fold(f64::NAN, f64::max),
    }
}

/// The middle value, or the mean of the two middle ones; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

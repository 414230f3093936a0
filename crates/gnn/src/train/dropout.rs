//! Dropout by number: whether an entry is kept follows from seed, epoch, layer and its place alone.

use certus_numeric::Seed;
use certus_numeric::seed::hash64;
use rayon::prelude::*;

/// Which entries one epoch leaves out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    key: u64,
    /// Numbers below it are left out.
    threshold: u64,
    scale: f32,
}

/// Entries that are worked on at a time.
const CHUNK: usize = 1 << 14;

impl Dropout {
    /// Leaves out a share `rate` of [0, 1); the others are multiplied by 1 / (1 - rate). `None` for a rate of 0.
    pub(super) fn new(rate: f64, seed: Seed, epoch: u64) -> Option<Dropout> {
        let key = hash64(seed.key("dropout"), epoch);
        (rate > 0.0).then(|| Dropout { key, threshold: (rate * 2f64.powi(64)) as u64, scale: (1.0 / (1.0 - rate)) as f32 })
    }

    /// That of the input of one layer.
    pub(super) fn of_layer(self, layer: usize) -> Dropout {
        Dropout { key: hash64(self.key, layer as u64), ..self }
    }

    /// Leaves entries out; those of a gradient are those of the values.
    pub(super) fn apply(self, values: &mut [f32]) {
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            for (k, value) in values.iter_mut().enumerate() {
                let kept = hash64(self.key, (chunk * CHUNK + k) as u64) >= self.threshold;
                *value = if kept { *value * self.scale } else { 0.0 };
            }
        });
    }
}

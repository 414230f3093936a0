//! The choice of a sketch at run time.

use std::fmt;
use std::str::FromStr;

use certus_contract::InputError;
use certus_numeric::Seed;

use super::{CountSketch, Gaussian, Osnap, Sketch, Srht, theory};

/// The sketches of unstructured input, by name: `gaussian`, `countsketch`, `osnap`, `srht`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SketchKind {
    /// Dense and strongest for its rows; its cost is that of a product with an s x n matrix.
    Gaussian,
    /// One non-zero a column: one pass over the input. For a certain distortion it needs the most rows; as a preconditioner it is the
    /// fastest of the four, and the default.
    #[default]
    CountSketch,
    /// [`Osnap::NONZEROS`] non-zeros a column: nearly as strong as Gaussian, a few passes over the input.
    Osnap,
    /// A subsampled randomised Hadamard transform: for dense input.
    Srht,
}

impl SketchKind {
    /// All kinds.
    pub const ALL: [SketchKind; 4] = [SketchKind::Gaussian, SketchKind::CountSketch, SketchKind::Osnap, SketchKind::Srht];

    /// The sketch of this kind: `rows` x `cols`.
    ///
    /// # Errors
    /// `InvalidParameter` if `rows` or `cols` is 0, or `rows` is beyond the padded size for SRHT; `TooLarge` beyond 2^31 rows.
    pub fn build(self, rows: usize, cols: usize, seed: Seed) -> Result<Box<dyn Sketch>, InputError> {
        Ok(match self {
            SketchKind::Gaussian => Box::new(Gaussian::new(rows, cols, seed)?),
            SketchKind::CountSketch => Box::new(CountSketch::new(rows, cols, seed)?),
            SketchKind::Osnap => Box::new(Osnap::new(rows, cols, Osnap::NONZEROS.min(rows), seed)?),
            SketchKind::Srht => Box::new(Srht::new(rows, cols, seed)?),
        })
    }

    /// The rows that are proven to embed a `d`-dimensional subspace of `n`-dimensional space with distortion `epsilon`,
    /// except with probability `delta` (see [`theory`]). At least 1, at most 2^31 - 1.
    pub fn theory_rows(self, n: usize, d: usize, epsilon: f64, delta: f64) -> usize {
        let rows = match self {
            SketchKind::Gaussian => theory::gaussian_rows(d, epsilon, delta),
            SketchKind::CountSketch => theory::second_moment_rows(theory::count_sketch_variance(d), epsilon, delta),
            // Whole blocks: then the variance is exactly that of CountSketch.
            SketchKind::Osnap => {
                let t = Osnap::NONZEROS as f64;
                (theory::second_moment_rows(theory::count_sketch_variance(d), epsilon, delta) / t).ceil() * t
            }
            SketchKind::Srht => theory::srht_rows(n.next_power_of_two(), d, epsilon, delta),
        };
        rows.clamp(1.0, super::MAX_ROWS as f64) as usize
    }
}

impl fmt::Display for SketchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SketchKind::Gaussian => "gaussian",
            SketchKind::CountSketch => "countsketch",
            SketchKind::Osnap => "osnap",
            SketchKind::Srht => "srht",
        })
    }
}

impl FromStr for SketchKind {
    type Err = InputError;

    fn from_str(name: &str) -> Result<Self, InputError> {
        let found = SketchKind::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| InputError::parameter("sketch", name, "gaussian, countsketch, osnap or srht"))
    }
}

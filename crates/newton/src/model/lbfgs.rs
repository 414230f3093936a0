//! Limited-memory BFGS: the baseline that knows gradients alone.

use certus_linalg::Error;
use certus_numeric::lbfgs::History;

use super::{Model, Step, dot, norm};
use crate::Objective;

/// A model from the last few changes of the gradient, whose minimiser is cut off at the radius.
///
/// Cost of a step: 4 m d for m pairs kept; memory 2 m d. Gradients must have one unit at all points.
///
/// Source: Nocedal, Math. Comp. 35 (1980).
pub struct Lbfgs {
    history: History,
    last: Option<(Vec<f64>, Vec<f64>)>,
}

impl Lbfgs {
    /// Keeps the last `kept` pairs.
    pub fn new(kept: usize) -> Self {
        Lbfgs { history: History::new(kept), last: None }
    }
}

impl<O: Objective> Model<O> for Lbfgs {
    fn update(&mut self, _: &O, _: &O::Point, x: &[f64], gradient: &[f64]) -> Result<(), Error> {
        if let Some((x_before, gradient_before)) = &self.last {
            let step = x.iter().zip(x_before).map(|(a, b)| a - b).collect::<Vec<_>>();
            let change = gradient.iter().zip(gradient_before).map(|(a, b)| a - b).collect::<Vec<_>>();
            self.history.push(step, change);
        }
        self.last = Some((x.to_vec(), gradient.to_vec()));
        Ok(())
    }

    fn step(&mut self, _: &O, _: &O::Point, gradient: &[f64], radius: f64) -> Result<Step, Error> {
        let direction = self.history.product(gradient);
        let (length, slope) = (norm(&direction), dot(gradient, &direction));
        // Without pairs the length of a gradient means nothing: a step of length 1 at first.
        let radius = if self.history.is_empty() && radius.is_infinite() { 1.0 } else { radius };
        let part = if length > radius { radius / length } else { 1.0 };
        Ok(Step {
            step: direction.iter().map(|v| -part * v).collect(),
            decrease: slope * (part - 0.5 * part * part),
            length: part * length,
            limited: part < 1.0,
        })
    }
}

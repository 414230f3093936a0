//! Limited-memory BFGS: the baseline that knows gradients alone.

use std::collections::VecDeque;

use certus_linalg::Error;

use super::{Model, Step, dot, norm};
use crate::Objective;

/// A model from the last few changes of the gradient, whose minimiser is cut off at the radius.
///
/// Cost of a step: 4 m d for m pairs kept; memory 2 m d. Gradients must have one unit at all points.
///
/// Source: Nocedal, Math. Comp. 35 (1980).
pub struct Lbfgs {
    kept: usize,
    pairs: VecDeque<Pair>,
    last: Option<(Vec<f64>, Vec<f64>)>,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

impl Lbfgs {
    /// Keeps the last `kept` pairs.
    pub fn new(kept: usize) -> Self {
        Lbfgs { kept, pairs: VecDeque::new(), last: None }
    }

    /// `B⁻¹ g` by the two-loop recursion.
    fn solve(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut weights = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let weight = dot(&pair.step, &q) / pair.curvature;
            q.iter_mut().zip(&pair.change).for_each(|(q, y)| *q -= weight * y);
            weights.push(weight);
        }
        if let Some(pair) = self.pairs.back() {
            let scale = pair.curvature / dot(&pair.change, &pair.change);
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for (pair, weight) in self.pairs.iter().zip(weights.into_iter().rev()) {
            let back = dot(&pair.change, &q) / pair.curvature;
            q.iter_mut().zip(&pair.step).for_each(|(q, s)| *q += (weight - back) * s);
        }
        q
    }
}

impl<O: Objective> Model<O> for Lbfgs {
    fn update(&mut self, _: &O, _: &O::Point, x: &[f64], gradient: &[f64]) -> Result<(), Error> {
        if let Some((x_before, gradient_before)) = &self.last {
            let step = x.iter().zip(x_before).map(|(a, b)| a - b).collect::<Vec<_>>();
            let change = gradient.iter().zip(gradient_before).map(|(a, b)| a - b).collect::<Vec<_>>();
            let curvature = dot(&step, &change);
            if curvature > 1e-10 * norm(&step) * norm(&change) {
                self.pairs.push_back(Pair { step, change, curvature });
                if self.pairs.len() > self.kept {
                    self.pairs.pop_front();
                }
            }
        }
        self.last = Some((x.to_vec(), gradient.to_vec()));
        Ok(())
    }

    fn step(&mut self, _: &O, _: &O::Point, gradient: &[f64], radius: f64) -> Result<Step, Error> {
        let direction = self.solve(gradient);
        let (length, slope) = (norm(&direction), dot(gradient, &direction));
        // Without pairs the length of a gradient means nothing: a step of length 1 at first.
        let radius = if self.pairs.is_empty() && radius.is_infinite() { 1.0 } else { radius };
        let part = if length > radius { radius / length } else { 1.0 };
        Ok(Step {
            step: direction.iter().map(|v| -part * v).collect(),
            decrease: slope * (part - 0.5 * part * part),
            length: part * length,
            limited: part < 1.0,
        })
    }
}

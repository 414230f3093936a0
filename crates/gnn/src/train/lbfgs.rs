//! L-BFGS with a backtracking line search, for a convex loss.

use std::ops::ControlFlow;

use certus_contract::Event;
use certus_numeric::lbfgs::History;
use certus_numeric::sum::par_dot;

use super::logistic::{Evaluation, Logistic};
use super::solution::{Progress, Stop};

/// Pairs that are kept.
const PAIRS: usize = 20;

/// Halvings of a step, at most.
const HALVINGS: usize = 60;

/// Where it ended.
pub(super) struct Minimum {
    pub(super) weights: Vec<f64>,
    pub(super) at: Evaluation,
    pub(super) stop: Stop,
    pub(super) iterations: usize,
    pub(super) trace: Vec<Progress>,
}

/// Minimises until the gradient is at most `tolerance` long, or no longer than its rounding.
pub(super) fn minimise(
    loss: &Logistic,
    start: Vec<f64>,
    tolerance: f64,
    iterations: usize,
    mut observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Minimum {
    let (mut weights, mut history) = (start, History::new(PAIRS));
    let mut at = loss.evaluate(&weights);
    let mut trace = vec![Progress::of(&at)];
    let mut done = 0;
    let stop = loop {
        if !at.loss.is_finite() || !at.norm.is_finite() {
            break Stop::Diverged;
        }
        if at.norm <= tolerance || at.norm <= at.norm_error && at.norm_error.is_finite() {
            break Stop::Gradient;
        }
        if done == iterations {
            break Stop::Epochs;
        }
        let mut direction = history.product(&at.gradient);
        let slope = par_dot(&direction, &at.gradient);
        if slope <= 0.0 || slope.is_nan() {
            // Rounding has spoilt the pairs.
            history = History::new(PAIRS);
            direction = at.gradient.clone();
        }
        let Some((next, there)) = search(loss, &weights, &at, &direction, history.is_empty()) else { break Stop::Stalled };
        let step = next.iter().zip(&weights).map(|(a, b)| a - b).collect();
        let change = there.gradient.iter().zip(&at.gradient).map(|(a, b)| a - b).collect();
        history.push(step, change);
        (weights, at, done) = (next, there, done + 1);
        trace.push(Progress::of(&at));
        if observer(&Event::new("iterate", done as u64).of(iterations as u64).value(at.loss)).is_break() {
            break Stop::Observer;
        }
    };
    Minimum { weights, at, stop, iterations: done, trace }
}

/// The first of the steps 1, 1/2, 1/4 ... that lowers the loss as a slope promises; where that is below rounding, one that shortens the
/// gradient. Without history the first is that of gradient descent.
fn search(loss: &Logistic, weights: &[f64], at: &Evaluation, direction: &[f64], first: bool) -> Option<(Vec<f64>, Evaluation)> {
    let slope = par_dot(direction, &at.gradient);
    let mut part = if first { 1.0 / loss.smoothness().max(f64::MIN_POSITIVE) } else { 1.0 };
    for _ in 0..HALVINGS {
        let next = weights.iter().zip(direction).map(|(w, d)| w - part * d).collect::<Vec<_>>();
        let there = loss.evaluate(&next);
        let lower = there.loss <= at.loss - 1e-4 * part * slope;
        let within_rounding = (there.loss - at.loss).abs() <= there.loss_error + at.loss_error;
        if lower || within_rounding && there.norm < at.norm {
            return Some((next, there));
        }
        part *= 0.5;
    }
    None
}

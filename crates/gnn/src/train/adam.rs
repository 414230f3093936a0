//! Full-batch Adam, with early stopping by the validation nodes.

use std::ops::ControlFlow;

use certus_contract::Event;
use certus_numeric::Seed;
use certus_numeric::sum::{max_abs, norm2};

use super::dropout::Dropout;
use super::problem::Training;
use super::solution::{Progress, Score, Stop};
use super::stack::Stack;
use crate::error::Error;

/// Decay of the mean of gradients, of that of their squares, and what keeps a division finite (Kingma and Ba 2015).
const MEAN: f64 = 0.9;
const SQUARE: f64 = 0.999;
const TINY: f64 = 1e-8;

/// How Adam is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adam {
    pub(super) seed: Seed,
    pub(super) epochs: usize,
    pub(super) learning_rate: f64,
    pub(super) decay: f64,
    pub(super) dropout: f64,
    pub(super) patience: usize,
}

/// Where it ended.
pub(super) struct Trained {
    /// Those of the best epoch.
    pub(super) weights: Vec<f32>,
    pub(super) stop: Stop,
    pub(super) epochs: usize,
    /// That whose weights these are; 0: the start.
    pub(super) best: usize,
    pub(super) trace: Vec<Progress>,
}

/// Moments of the gradient, and the weights that they move.
struct State {
    weights: Vec<f64>,
    mean: Vec<f64>,
    square: Vec<f64>,
    epoch: i32,
}

impl State {
    fn step(&mut self, gradient: &[f64], learning_rate: f64) {
        self.epoch = self.epoch.saturating_add(1);
        let (mean_unbiased, square_unbiased) = (1.0 - MEAN.powi(self.epoch), 1.0 - SQUARE.powi(self.epoch));
        for (k, &g) in gradient.iter().enumerate() {
            self.mean[k] = MEAN * self.mean[k] + (1.0 - MEAN) * g;
            self.square[k] = SQUARE * self.square[k] + (1.0 - SQUARE) * g * g;
            let size = (self.square[k] / square_unbiased).sqrt() + TINY;
            self.weights[k] -= learning_rate * (self.mean[k] / mean_unbiased) / size;
        }
    }

    fn rounded(&self) -> Vec<f32> {
        self.weights.iter().map(|&w| w as f32).collect()
    }
}

/// The loss with its penalty, and its gradient.
pub(super) fn penalised(stack: &Stack, weights: &[f32], decay: f64, dropout: Option<Dropout>) -> Result<(f64, Vec<f64>), Error> {
    let pass = stack.forward(weights, dropout)?;
    let (loss, mut gradient) = stack.loss_and_gradient(&pass, weights, dropout);
    let wide = |w: &f32| f64::from(*w);
    gradient.iter_mut().zip(weights.iter().map(wide)).for_each(|(g, w)| *g += decay * w);
    Ok((loss + 0.5 * decay * weights.iter().map(wide).map(|w| w * w).sum::<f64>(), gradient))
}

impl Adam {
    /// Trains from `start`.
    ///
    /// # Errors
    /// `Overflow` at the start; later it is [`Stop::Diverged`].
    pub(super) fn run(
        &self,
        problem: &Training,
        stack: &Stack,
        start: Vec<f64>,
        mut observer: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Trained, Error> {
        let validation = &problem.labels.validation;
        let targets = validation.iter().map(|&i| (i as usize, problem.labels.classes[i as usize] as usize)).collect::<Vec<_>>();
        let length = start.len();
        let mut state = State { weights: start, mean: vec![0.0; length], square: vec![0.0; length], epoch: 0 };
        let (mut weights, mut trace) = (state.rounded(), Vec::new());
        let mut best = Best { weights: weights.clone(), epoch: 0, rank: None };
        let mut done = 0;
        let stop = loop {
            if done == self.epochs {
                break Stop::Epochs;
            }
            let dropout = Dropout::new(self.dropout, self.seed, done as u64);
            let (loss, gradient) = match penalised(stack, &weights, self.decay, dropout) {
                Ok(found) => found,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break Stop::Diverged,
            };
            let norm = norm2(&gradient);
            if !loss.is_finite() || !norm.is_finite() {
                break Stop::Diverged;
            }
            // Without validation nodes the last weights are the best that have a loss and a gradient.
            if targets.is_empty() && done > 0 && (self.dropout == 0.0 || stack.forward(&weights, None).is_ok()) {
                best.take(&weights, done, None);
            }
            state.step(&gradient, self.learning_rate);
            weights = state.rounded();
            done += 1;
            let mut progress = Progress { loss, gradient_norm: norm, validation_loss: None, validation_accuracy: None };
            if !targets.is_empty() {
                let Ok(pass) = stack.forward(&weights, None) else { break Stop::Diverged };
                let score = Score::of(&pass.logits, problem.classes(), &targets);
                let loss = stack.loss_of(&pass.logits, &targets);
                (progress.validation_loss, progress.validation_accuracy) = (Some(loss), score.share());
                best.take(&weights, done, Some((score.correct, loss)));
            }
            trace.push(progress);
            if observer(&Event::new("epoch", done as u64).of(self.epochs as u64).value(loss)).is_break() {
                break Stop::Observer;
            }
            if !targets.is_empty() && done - best.epoch >= self.patience {
                break Stop::Patience;
            }
        };
        let (mut stop, unjudged) = (stop, targets.is_empty() && stop != Stop::Diverged);
        if unjudged {
            match penalised(stack, &weights, self.decay, None) {
                Ok((loss, gradient)) if loss.is_finite() && max_abs(&gradient).is_finite() => best.take(&weights, done, None),
                _ => stop = Stop::Diverged,
            }
        }
        Ok(Trained { weights: best.weights, stop, epochs: done, best: best.epoch, trace })
    }
}

/// The weights of the epoch with most validation nodes right; of those the one with the lowest loss there. Without validation nodes the last.
struct Best {
    weights: Vec<f32>,
    epoch: usize,
    rank: Option<(u64, f64)>,
}

impl Best {
    fn take(&mut self, weights: &[f32], epoch: usize, rank: Option<(u64, f64)>) {
        let better = match (self.rank, rank) {
            (Some((correct, loss)), Some((now, loss_now))) => now > correct || now == correct && loss_now < loss,
            _ => true,
        };
        if better {
            self.weights.copy_from_slice(weights);
            (self.epoch, self.rank) = (epoch, rank);
        }
    }
}

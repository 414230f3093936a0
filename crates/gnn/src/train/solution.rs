//! What training gives.

use certus_contract::{Certificate, Status};

use super::logistic::Evaluation;
use crate::certificate::MemoryFacts;
use crate::weights::Weights;

/// Trained weights, what was measured, and what is proven.
#[derive(Clone, Debug)]
pub struct Solution {
    /// The weights, under the names of PyTorch Geometric: for [`Model::new`](crate::Model::new).
    pub weights: Weights,
    /// What was measured.
    pub facts: TrainFacts,
    /// Why training ended.
    pub stop: Stop,
    /// The same as a status.
    pub status: Status,
    /// Epoch by epoch; of L-BFGS the start comes first.
    pub trace: Vec<Progress>,
    /// What is odd but no failure; each starts with its name.
    pub warnings: Vec<String>,
    /// How near the minimiser the weights are, where the loss is convex.
    pub certificate: Certificate,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The gradient is within its tolerance, or within rounding (L-BFGS).
    Gradient,
    /// No step lowers the loss, and the gradient is not within its tolerance (L-BFGS).
    Stalled,
    /// All epochs are done.
    Epochs,
    /// The validation nodes have not got better for as many epochs as were allowed (Adam).
    Patience,
    /// The observer stopped it.
    Observer,
    /// Loss or activations left the finite numbers; the weights are the best of the epochs before.
    Diverged,
}

impl Stop {
    /// As the status of a run. Adam has no rule to meet but its epochs; L-BFGS that runs out of them has not converged.
    pub fn status(self, method: Method) -> Status {
        match (self, method) {
            (Stop::Gradient, _) => Status::Converged,
            (Stop::Stalled, _) => Status::Stalled,
            (Stop::Epochs, Method::Lbfgs) => Status::MaxIterations,
            (Stop::Epochs | Stop::Patience, _) => Status::Done,
            (Stop::Observer, _) => Status::Stopped,
            (Stop::Diverged, _) => Status::Diverged,
        }
    }
}

/// How weights are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Limited-memory BFGS, for one linear layer without activation: the loss is convex, the answer unique.
    Lbfgs,
    /// Full-batch Adam (Kingma and Ba 2015), for any stack.
    Adam,
}

impl Method {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Method::Lbfgs => "lbfgs",
            Method::Adam => "adam",
        }
    }
}

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The training loss with its penalty (of Adam: with that epoch's dropout, before its step).
    pub loss: f64,
    /// The length of its gradient.
    pub gradient_norm: f64,
    /// The mean cross-entropy of the validation nodes, without dropout, after the step (Adam).
    pub validation_loss: Option<f64>,
    /// The share of them that is right.
    pub validation_accuracy: Option<f64>,
}

impl Progress {
    pub(super) fn of(at: &Evaluation) -> Progress {
        Progress { loss: at.loss, gradient_norm: at.norm, validation_loss: None, validation_accuracy: None }
    }
}

/// Of some nodes, how many have their class as the largest logit (the lowest class of equals).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Those that do.
    pub correct: u64,
    /// All.
    pub total: u64,
}

impl Score {
    /// The share that is right, in [0, 1]; `None` of no nodes.
    pub fn share(self) -> Option<f64> {
        (self.total > 0).then(|| self.correct as f64 / self.total as f64)
    }

    /// By the logits of all nodes.
    pub(super) fn of(logits: &[f32], classes: usize, targets: &[(usize, usize)]) -> Score {
        let class = |node: usize| {
            let row = &logits[node * classes..(node + 1) * classes];
            (0..classes).fold(0, |best, k| if row[k] > row[best] { k } else { best })
        };
        Score { correct: targets.iter().filter(|&&(node, own)| class(node) == own).count() as u64, total: targets.len() as u64 }
    }
}

/// What was measured of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainFacts {
    /// How weights were found.
    pub method: Method,
    /// Their number.
    pub parameters: usize,
    /// Epochs (of L-BFGS: steps) that were done.
    pub epochs: usize,
    /// The epoch whose weights these are; 0: the start.
    pub best_epoch: usize,
    /// The weight of the penalty.
    pub weight_decay: f64,
    /// The training loss at the weights given, with its penalty and without dropout.
    pub loss: f64,
    /// The length of its gradient there; of L-BFGS rounded upwards.
    pub gradient_norm: f64,
    /// How near the minimiser the weights are, where the loss is convex.
    pub convex: Option<ConvexFacts>,
    /// Of the nodes that were learned from, by inference with the weights given.
    pub train: Score,
    /// Of the validation nodes.
    pub validation: Score,
    /// Of the test nodes.
    pub test: Score,
    /// Bytes that training holds at most beside graph and features, by sizes alone (Adam), or that propagation does (L-BFGS).
    pub predicted_peak: u64,
    /// Of the propagation of the features (L-BFGS on neighbours).
    pub memory: Option<MemoryFacts>,
}

/// What strong convexity tells of the weights given (f32), beside those that the minimisation ended at (f64).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvexFacts {
    /// The modulus of strong convexity: the weight decay.
    pub modulus: f64,
    /// The minimiser is at most this far away; infinite for a modulus of 0.
    pub distance_bound: f64,
    /// It is at least this far away, by where the minimisation ended and its own bound.
    pub distance_found: f64,
    /// A distance that needs no gradient: the lengths of the weights and, from the loss at 0, of the minimiser.
    pub distance_trivial: f64,
    /// The loss is at most this much above its minimum.
    pub gap_bound: f64,
    /// It is at least this much above, by the loss where the minimisation ended.
    pub gap_found: f64,
}

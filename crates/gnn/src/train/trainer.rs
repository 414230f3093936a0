//! The one entry: options, the method that they come to, and the run.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use certus_contract::{Event, InputError, ignore_events};
use certus_numeric::Seed;
use certus_numeric::sum::norm2;

use super::adam::{Adam, penalised};
use super::certificate::certificate;
use super::problem::Training;
use super::regression::{self, regress};
use super::solution::{Method, Score, Solution, TrainFacts};
use super::stack::{Stack, in_memory, working_bytes};
use crate::error::Error;
use crate::model::Model;
use crate::plan::{MemoryBudget, Planner};
use crate::weights::Weights;

/// How weights are found. Defaults are those of [`Trainer::default`].
#[derive(Clone, Debug)]
pub struct Trainer {
    method: Option<Method>,
    seed: Seed,
    epochs: Option<usize>,
    learning_rate: f64,
    weight_decay: Option<f64>,
    dropout: Option<f64>,
    patience: usize,
    tolerance: f64,
    budget: Option<MemoryBudget>,
    spill: Option<PathBuf>,
    threads: usize,
}

impl Default for Trainer {
    fn default() -> Self {
        Trainer {
            method: None,
            seed: Seed(0),
            epochs: None,
            learning_rate: 0.01,
            weight_decay: None,
            dropout: None,
            patience: 100,
            tolerance: 1e-9,
            budget: None,
            spill: None,
            threads: 1,
        }
    }
}

/// What the options come to for one problem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) method: Method,
    pub(super) epochs: usize,
    pub(super) decay: f64,
    pub(super) dropout: f64,
    pub(super) tolerance: f64,
}

impl Trainer {
    /// The method; default: L-BFGS where the loss is convex and no dropout was asked for, else Adam.
    pub fn with_method(self, method: Method) -> Self {
        Trainer { method: Some(method), ..self }
    }

    /// Of the initial weights (Glorot) and of dropout; default 0.
    pub fn with_seed(self, seed: Seed) -> Self {
        Trainer { seed, ..self }
    }

    /// Epochs of Adam at most, default 200; steps of L-BFGS, default 2000.
    pub fn with_epochs(self, epochs: usize) -> Self {
        Trainer { epochs: Some(epochs), ..self }
    }

    /// The length of Adam's steps; default 0.01. L-BFGS has none.
    pub fn with_learning_rate(self, learning_rate: f64) -> Self {
        Trainer { learning_rate, ..self }
    }

    /// The weight of the penalty: `weight_decay / 2` times the square of all weights, biases included, is added to the mean cross-entropy.
    /// Default 5e-4 for Adam, 1e-5 for L-BFGS.
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Trainer { weight_decay: Some(weight_decay), ..self }
    }

    /// The share of each layer's inputs that an epoch of Adam leaves out, in [0, 1); default 0.5 for stacks, 0 for one layer.
    pub fn with_dropout(self, dropout: f64) -> Self {
        Trainer { dropout: Some(dropout), ..self }
    }

    /// Epochs that Adam goes on without a better score on the validation nodes; default 100.
    pub fn with_patience(self, patience: usize) -> Self {
        Trainer { patience, ..self }
    }

    /// The length of the gradient at which L-BFGS ends; default 1e-9. Where rounding does not let it get so short, it ends all the same.
    pub fn with_tolerance(self, tolerance: f64) -> Self {
        Trainer { tolerance, ..self }
    }

    /// Bytes that propagation (L-BFGS), training (Adam) and the inference of the final scores may hold each, beside graph and features.
    /// L-BFGS keeps beside them the propagated rows of the training nodes, at most 8 bytes a feature each.
    pub fn with_budget(self, budget: u64) -> Self {
        Trainer { budget: Some(MemoryBudget::Working(budget)), ..self }
    }

    /// Propagated features may go to files in this folder, which must exist.
    pub fn with_spill_dir(self, folder: impl AsRef<Path>) -> Self {
        Trainer { spill: Some(folder.as_ref().to_owned()), ..self }
    }

    /// Parts that rows are split into on propagation and inference; default 1. The result is the same to the bit.
    pub fn with_threads(self, threads: usize) -> Self {
        Trainer { threads, ..self }
    }

    /// Trains.
    ///
    /// # Errors
    /// `InvalidParameter` for an option outside its range, or L-BFGS on a loss that is not convex; `BudgetTooSmall` with a number that will
    /// do, before any work; `NonFinite` and `Overflow` for features that are not finite or leave the range of f32; `Io`; `Stopped` if the
    /// observer stops propagation or the final inference.
    pub fn train(&self, problem: &Training) -> Result<Solution, Error> {
        self.train_with(problem, ignore_events)
    }

    /// As [`Trainer::train`]; the observer sees each step and may stop: then the best weights so far are given.
    ///
    /// # Errors
    /// As there.
    pub fn train_with(&self, problem: &Training, mut observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution, Error> {
        let options = self.options(problem)?;
        let predicted_peak = self.require_budget(problem, &options)?;
        let start = problem.parameters.glorot(self.seed);
        let (weights, stop, trace, mut facts) = match options.method {
            Method::Lbfgs => {
                let found = regress(problem, self, &options, &start, &mut observer)?;
                let mut facts = self.facts(problem, &options, predicted_peak);
                (facts.epochs, facts.best_epoch) = (found.minimum.iterations, found.minimum.iterations);
                (facts.loss, facts.gradient_norm) = (found.at.loss, found.at.norm_bound());
                (facts.convex, facts.memory) = (Some(found.facts), found.memory);
                (found.weights, found.minimum.stop, found.minimum.trace, facts)
            }
            Method::Adam => {
                let read = in_memory(problem.features)?;
                let stack = Stack::new(problem, read.as_ref().unwrap_or(problem.features));
                let found = self.adam(&options).run(problem, &stack, start, &mut observer)?;
                let (loss, gradient) = penalised(&stack, &found.weights, options.decay, None)?;
                let mut facts = self.facts(problem, &options, predicted_peak);
                (facts.epochs, facts.best_epoch) = (found.epochs, found.best);
                (facts.loss, facts.gradient_norm) = (loss, norm2(&gradient));
                (found.weights, found.stop, found.trace, facts)
            }
        };
        let weights = problem.parameters.weights(&weights)?;
        self.score(problem, &weights, &mut facts)?;
        let (status, warnings, certificate) = (stop.status(options.method), problem.warnings(), certificate(&facts));
        Ok(Solution { weights, facts, stop, status, trace, warnings, certificate })
    }

    /// The training loss at some weights without dropout, and its gradient under their names: what Adam steps along.
    ///
    /// # Errors
    /// `NotFound` and `DimensionMismatch` for tensors that the model has not; `NonFinite`, `Overflow`; as [`Trainer::train`].
    pub fn loss_and_gradient(&self, problem: &Training, weights: &Weights) -> Result<(f64, Weights), Error> {
        let options = self.options(problem)?;
        let read = in_memory(problem.features)?;
        let stack = Stack::new(problem, read.as_ref().unwrap_or(problem.features));
        let (loss, gradient) = penalised(&stack, &problem.parameters.vector(weights)?, options.decay, None)?;
        Ok((loss, problem.parameters.weights(&gradient.iter().map(|&g| g as f32).collect::<Vec<_>>())?))
    }

    fn options(&self, problem: &Training) -> Result<Options, Error> {
        let convex = problem.is_convex();
        let method = match self.method {
            Some(Method::Lbfgs) if !convex => {
                let expected = "adam: only one gcn, sgc or linear layer without activation has a convex loss";
                return Err(InputError::parameter("the method", "lbfgs", expected).into());
            }
            Some(method) => method,
            None if convex && self.dropout.is_none_or(|rate| rate == 0.0) => Method::Lbfgs,
            None => Method::Adam,
        };
        let (decay, dropout) = match method {
            Method::Lbfgs => (1e-5, 0.0),
            Method::Adam => (5e-4, if convex { 0.0 } else { 0.5 }),
        };
        let options = Options {
            method,
            epochs: self.epochs.unwrap_or(if method == Method::Adam { 200 } else { 2000 }),
            decay: self.weight_decay.unwrap_or(decay),
            dropout: self.dropout.unwrap_or(dropout),
            tolerance: self.tolerance,
        };
        let require = |name: &str, value: f64, fits: bool, expected: &str| {
            if fits { Ok(()) } else { Err(Error::from(InputError::parameter(name, value, expected))) }
        };
        let rate = self.learning_rate;
        require("the learning rate", rate, rate.is_finite() && rate > 0.0, "a number above 0")?;
        require("the weight decay", options.decay, options.decay.is_finite() && options.decay >= 0.0, "a number of at least 0")?;
        require("the dropout", options.dropout, (0.0..1.0).contains(&options.dropout), "in [0, 1)")?;
        require("the tolerance", self.tolerance, self.tolerance.is_finite() && self.tolerance >= 0.0, "a number of at least 0")?;
        require("the epochs", options.epochs as f64, options.epochs > 0, "at least 1")?;
        require("the patience", self.patience as f64, self.patience > 0, "at least 1")?;
        if method == Method::Lbfgs && options.dropout > 0.0 {
            return Err(InputError::parameter("the dropout", options.dropout, "0 for L-BFGS; Adam has dropout").into());
        }
        Ok(options)
    }

    fn adam(&self, options: &Options) -> Adam {
        Adam {
            seed: self.seed,
            epochs: options.epochs,
            learning_rate: self.learning_rate,
            decay: options.decay,
            dropout: options.dropout,
            patience: self.patience,
        }
    }

    /// A planner with budget, folder and threads of this trainer.
    pub(super) fn within<'a>(&self, planner: Planner<'a>) -> Planner<'a> {
        let mut planner = planner.threads(self.threads);
        if let Some(budget) = self.budget {
            planner = planner.budget(budget);
        }
        if let Some(folder) = &self.spill {
            planner = planner.spill_dir(folder);
        }
        planner
    }

    /// Bytes that the work holds at most; refuses a budget that is too small for it or for the inference that follows.
    fn require_budget(&self, problem: &Training, options: &Options) -> Result<u64, Error> {
        self.within(Planner::from_stats(problem.spec, problem.graph.stats(), problem.features.stats())).schedule()?;
        if options.method == Method::Lbfgs {
            return regression::predicted_peak(problem, self);
        }
        let minimum = working_bytes(problem, &problem.parameters, options.dropout > 0.0);
        match self.budget {
            Some(MemoryBudget::Working(budget)) if budget < minimum => {
                let widths = problem.spec.layers().iter().map(crate::LayerSpec::width);
                let limiting_layer = widths.enumerate().max_by_key(|&(_, width)| width).map_or(0, |(layer, _)| layer);
                let suggestion = format!("Allow {minimum} bytes, or train one sgc layer: its features are propagated once, by panels.");
                Err(Error::BudgetTooSmall { budget, minimum, limiting_layer, suggestion })
            }
            _ => Ok(minimum),
        }
    }

    fn facts(&self, problem: &Training, options: &Options, predicted_peak: u64) -> TrainFacts {
        TrainFacts {
            method: options.method,
            parameters: problem.parameters(),
            epochs: 0,
            best_epoch: 0,
            weight_decay: options.decay,
            loss: f64::NAN,
            gradient_norm: f64::NAN,
            convex: None,
            train: Score::default(),
            validation: Score::default(),
            test: Score::default(),
            predicted_peak,
            memory: None,
        }
    }

    /// By inference as anyone does it with the weights.
    fn score(&self, problem: &Training, weights: &Weights, facts: &mut TrainFacts) -> Result<(), Error> {
        let model = Model::new(problem.spec.clone(), weights)?;
        let plan = self.within(Planner::new(&model, problem.graph, problem.features)).plan()?;
        // A run that was stopped still wants its scores.
        let found = plan.run_classes(ignore_events)?.output.class;
        let labels = problem.labels;
        let score = |nodes: &[u32]| {
            let right = |&&node: &&u32| i64::from(found[node as usize]) == labels.classes[node as usize];
            Score { correct: nodes.iter().filter(right).count() as u64, total: nodes.len() as u64 }
        };
        (facts.train, facts.validation, facts.test) = (score(&labels.train), score(&labels.validation), score(&labels.test));
        Ok(())
    }
}

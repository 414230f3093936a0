//! The convex case: features propagated once, then logistic regression.

use std::ops::ControlFlow;

use certus_contract::Event;
use certus_numeric::Array;
use certus_numeric::sum::norm2;

use super::lbfgs::{Minimum, minimise};
use super::logistic::{Evaluation, Logistic, Rows};
use super::problem::Training;
use super::solution::{ConvexFacts, Stop};
use super::trainer::{Options, Trainer};
use crate::certificate::MemoryFacts;
use crate::error::Error;
use crate::features::FeatureData;
use crate::model::Model;
use crate::plan::Planner;
use crate::run::Head;
use crate::spec::{LayerSpec, ModelSpec, Op};
use crate::weights::Weights;

/// Where it ended.
pub(super) struct Regressed {
    pub(super) weights: Vec<f32>,
    /// The loss at these weights.
    pub(super) at: Evaluation,
    pub(super) facts: ConvexFacts,
    pub(super) minimum: Minimum,
    pub(super) memory: Option<MemoryFacts>,
}

/// The propagation alone, as a model without weights: an APPNP that returns to nothing.
fn propagation(layer: &LayerSpec) -> Result<ModelSpec, Error> {
    let (op, hops, width) = (Op::Appnp, Some(layer.steps()), layer.in_channels);
    ModelSpec::new(vec![LayerSpec { op, hops, alpha: Some(0.0), in_channels: width, out_channels: width, bias: false, ..layer.clone() }])
}

/// Bytes that propagation holds at most; 0 where there is none.
///
/// # Errors
/// `BudgetTooSmall`.
pub(super) fn predicted_peak(problem: &Training, trainer: &Trainer) -> Result<u64, Error> {
    let layer = &problem.spec.layers()[0];
    if layer.steps() == 0 && problem.features.stats().is_sparse() {
        return Ok(0);
    }
    let spec = propagation(layer)?;
    let planner = trainer.within(Planner::from_stats(&spec, problem.graph.stats(), problem.features.stats()));
    Ok(planner.schedule()?.predicted_peak)
}

/// The training nodes' rows of the propagated features. Sparse features that are not propagated stay as they are.
fn propagated(
    problem: &Training,
    trainer: &Trainer,
    observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<(Rows, Option<MemoryFacts>), Error> {
    let (layer, train) = (&problem.spec.layers()[0], &problem.labels.train);
    if let (0, FeatureData::Sparse(csr)) = (layer.steps(), &problem.features.0) {
        return Ok((Rows::chosen(csr, train.iter().map(|&node| node as usize))?, None));
    }
    let model = Model::new(propagation(layer)?, &Weights::new())?;
    let plan = trainer.within(Planner::new(&model, problem.graph, problem.features)).plan()?;
    let columns = layer.in_channels;
    let mut rows = Array::zeros([train.len(), columns]);
    // Training nodes by number, each with its place among the rows.
    let mut places = train.iter().enumerate().map(|(place, &node)| (node as usize, place)).collect::<Vec<_>>();
    places.sort_unstable();
    let memory = plan.run_rows(Head::Logits, observer, |first, block| {
        let end = first + block.len() / columns;
        let from = places.partition_point(|&(node, _)| node < first);
        for &(node, place) in places[from..].iter().take_while(|&&(node, _)| node < end) {
            rows.row_mut(place).copy_from_slice(&block[(node - first) * columns..][..columns]);
        }
        Ok(())
    })?;
    Ok((Rows::of(rows), Some(memory)))
}

/// Propagates, minimises, and rounds the weights to f32.
///
/// # Errors
/// As inference; `Stopped` if the observer stops the propagation.
pub(super) fn regress(
    problem: &Training,
    trainer: &Trainer,
    options: &Options,
    start: &[f64],
    mut observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<Regressed, Error> {
    let (rows, memory) = propagated(problem, trainer, &mut observer)?;
    let classes = problem.targets().iter().map(|&(_, class)| class).collect();
    let loss = Logistic::new(rows, classes, problem.classes(), problem.spec.layers()[0].bias, options.decay);
    debug_assert_eq!(loss.dimension(), start.len());
    // However large the features are, scores begin near 0.
    let scale = 1.0 / loss.longest().max(1.0);
    let start = loss.reordered(start, true).iter().map(|w| scale * w).collect::<Vec<_>>();
    let mut minimum = minimise(&loss, start.clone(), options.tolerance, options.epochs, &mut observer);
    let mut given = minimum.weights.iter().map(|&w| f64::from(w as f32)).collect::<Vec<_>>();
    if given.iter().any(|w| !w.is_finite()) {
        // Beyond f32: the start is what there is.
        given = start.iter().map(|&w| f64::from(w as f32)).collect();
        minimum.stop = Stop::Diverged;
    }
    let at = loss.evaluate(&given);
    let facts = facts(&given, &at, &minimum, options.decay, problem.classes());
    let weights = loss.reordered(&given, false).iter().map(|&w| w as f32).collect();
    Ok(Regressed { weights, at, facts, minimum, memory })
}

/// What a gradient tells of the distance to the minimiser, and what the point where minimisation ended does. All rounded to the safe side.
fn facts(given: &[f64], at: &Evaluation, minimum: &Minimum, modulus: f64, classes: usize) -> ConvexFacts {
    let up = 1.0 + 8.0 * f64::EPSILON;
    let distance = |at: &Evaluation| if modulus > 0.0 { at.norm_bound() / modulus * up } else { f64::INFINITY };
    let gap = |at: &Evaluation| if modulus > 0.0 { 0.5 * at.norm_bound() * (at.norm_bound() / modulus) * up } else { f64::INFINITY };
    let apart = given.iter().zip(&minimum.weights).map(|(a, b)| a - b).collect::<Vec<_>>();
    let rounding = 1.0 - (given.len() + 8) as f64 * f64::EPSILON;
    let lower = (at.loss - minimum.at.loss) - (at.loss_error + minimum.at.loss_error);
    ConvexFacts {
        modulus,
        distance_bound: distance(at),
        distance_found: (norm2(&apart) * rounding - distance(&minimum.at)).max(0.0),
        // f at 0 is the logarithm of the number of classes, and modulus/2 |w*|^2 <= f(w*) <= f(0).
        distance_trivial: if modulus > 0.0 { norm2(given) + (2.0 * (classes as f64).ln() / modulus).sqrt() } else { f64::INFINITY },
        gap_bound: gap(at),
        gap_found: lower.max(0.0),
    }
}

//! `certus gnn train`.

use std::path::PathBuf;

use certus_gnn::Weights;
use certus_gnn::train::{Method, Progress, Solution, Trainer, Training, read_labels};
use certus_io::{NamedTensor, NpzWriter, write_safetensors};
use serde_json::{Value, json};

use super::problem::{Bytes, read_inputs, read_spec};
use crate::args::{self, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Train a model on the labelled nodes of a graph
///
/// One sgc, gcn or linear layer without activation is logistic regression on propagated features: L-BFGS finds its one minimiser, and the
/// certificate bounds the distance to it. Stacks of gcn, sage (mean, sum), sgc and linear layers with relu are trained by full-batch Adam, of
/// which nothing is promised; the weights are those of the epoch that is best on the validation nodes. The same bits for a seed on any
/// number of threads.
#[derive(clap::Args)]
pub(super) struct Train {
    /// The graph: an .npz with num_nodes, indptr, indices (row = target, entries = sources), optionally edge_weight and sparse features
    #[arg(long, value_name = "G.npz")]
    graph: InFile,
    /// The model's description: layers with op, prefix, in_channels, out_channels and options
    #[arg(long, value_name = "M.json")]
    model: InFile,
    /// Labels: an .npz with y and train_idx, val_idx, test_idx (numbers of nodes; or train_mask ...) [default: the graph's file]
    #[arg(long, value_name = "L.npz")]
    labels: Option<InFile>,
    /// Features in place of those in the graph's file: .npy (dense) or SciPy's sparse .npz
    #[arg(long, value_name = "FILE")]
    features: Option<InFile>,
    /// The method [default: lbfgs where the loss is convex and no dropout is asked for, else adam]
    #[arg(long, value_enum)]
    method: Option<MethodArg>,
    /// Bytes for activations and buffers: 1000000, 64KiB, 1.5MiB, 2GiB [default: enough for the fastest plan]
    #[arg(long, value_name = "BYTES")]
    budget: Option<Bytes>,
    /// A folder for propagated features that memory does not hold; it is empty again afterwards
    #[arg(long, value_name = "DIR")]
    spill: Option<PathBuf>,
    /// Epochs of adam at most, or steps of lbfgs [default: 200, 2000]
    #[arg(long, value_name = "N", value_parser = args::count)]
    epochs: Option<usize>,
    /// The length of adam's steps
    #[arg(long, value_name = "RATE", default_value = "0.01", value_parser = args::positive)]
    learning_rate: f64,
    /// Half of it times the square of all weights is added to the loss [default: 5e-4, for lbfgs 1e-5]
    #[arg(long, value_name = "DECAY", value_parser = args::non_negative)]
    weight_decay: Option<f64>,
    /// The share of each layer's inputs that an epoch of adam leaves out, below 1 [default: 0.5, of one layer 0]
    #[arg(long, value_name = "SHARE", value_parser = args::non_negative)]
    dropout: Option<f64>,
    /// Epochs that adam goes on without a better score on the validation nodes
    #[arg(long, value_name = "N", default_value = "100", value_parser = args::count)]
    patience: usize,
    /// Where the weights go, under the names of PyTorch Geometric: .safetensors or .npz
    #[arg(long, value_name = "FILE", value_parser = weights)]
    out: OutFile,
}

fn weights(text: &str) -> Result<OutFile, String> {
    let known = [".safetensors", ".npz"].iter().any(|ending| text.ends_with(ending));
    if known { OutFile::any(text) } else { Err("must end in .safetensors or .npz".into()) }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum MethodArg {
    /// Limited-memory BFGS, for one linear layer
    Lbfgs,
    /// Full-batch Adam, for any stack
    Adam,
}

impl Verb for Train {
    const EXAMPLES: &'static [&'static str] = &[
        "certus gnn train --graph community.npz --model sgc.json --out sgc.safetensors",
        "certus gnn train --graph community.npz --model gcn.json --epochs 60 --out trained.safetensors",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let spec = read_spec(&self.model)?;
        let (graph, features) = read_inputs(&self.graph, self.features.as_ref())?;
        let labels = read_labels(self.labels.as_ref().unwrap_or(&self.graph))?;
        let problem = Training::new(&spec, &graph, &features, &labels)?;
        let solution = self.trainer(ctx).train_with(&problem, ctx.observer())?;
        Ok(self.report(solution))
    }
}

impl Train {
    fn trainer(&self, ctx: &Context) -> Trainer {
        let mut trainer = Trainer::default()
            .with_seed(ctx.seed())
            .with_threads(rayon::current_num_threads())
            .with_learning_rate(self.learning_rate)
            .with_patience(self.patience);
        if let Some(method) = self.method {
            trainer = trainer.with_method(match method {
                MethodArg::Lbfgs => Method::Lbfgs,
                MethodArg::Adam => Method::Adam,
            });
        }
        if let Some(Bytes(budget)) = self.budget {
            trainer = trainer.with_budget(budget);
        }
        if let Some(folder) = &self.spill {
            trainer = trainer.with_spill_dir(folder);
        }
        if let Some(epochs) = self.epochs {
            trainer = trainer.with_epochs(epochs);
        }
        if let Some(decay) = self.weight_decay {
            trainer = trainer.with_weight_decay(decay);
        }
        match self.dropout {
            Some(share) => trainer.with_dropout(share),
            None => trainer,
        }
    }

    fn report(&self, solution: Solution) -> Report {
        let facts = solution.facts;
        let report = Report::new(solution.status)
            .metric("method", facts.method.name())
            .metric("parameters", facts.parameters)
            .metric("epochs", facts.epochs)
            .metric("best_epoch", facts.best_epoch)
            .metric("train_accuracy", facts.train.share())
            .metric("val_accuracy", facts.validation.share())
            .metric("test_accuracy", facts.test.share())
            .metric("loss", facts.loss)
            .metric("gradient_norm", facts.gradient_norm)
            .metric("weight_decay", facts.weight_decay)
            .metric("predicted_peak", facts.predicted_peak);
        let report = match facts.convex {
            Some(convex) => report.metric("distance_bound", convex.distance_bound).metric("gap_bound", convex.gap_bound),
            None => report,
        };
        let report = match facts.memory {
            Some(memory) => report.metric("measured_peak", memory.measured_peak),
            None => report,
        };
        let tensors = solution.weights;
        let safetensors = self.out.path().extension().is_some_and(|ending| ending == "safetensors");
        report
            .warnings(&solution.warnings)
            .trace(solution.trace.iter().map(step))
            .certificate(solution.certificate)
            .file(&self.out, move |path| write(&tensors, path, safetensors))
    }
}

fn step(progress: &Progress) -> Value {
    let mut step = json!({ "loss": progress.loss, "gradient_norm": progress.gradient_norm });
    if let (Some(loss), Some(accuracy)) = (progress.validation_loss, progress.validation_accuracy) {
        step["val_loss"] = json!(loss);
        step["val_accuracy"] = json!(accuracy);
    }
    step
}

fn write(weights: &Weights, path: &std::path::Path, safetensors: bool) -> Result<(), CliError> {
    let tensors = weights.tensors();
    if safetensors {
        let named = tensors.iter().map(|(name, tensor)| NamedTensor::new(name.clone(), tensor.clone())).collect::<Vec<_>>();
        return Ok(write_safetensors(path, &named)?);
    }
    let mut archive = NpzWriter::create(path)?;
    for (name, tensor) in tensors {
        archive.add(name, tensor)?;
    }
    Ok(archive.finish()?)
}

//! `certus gnn`: inference of graph neural networks inside a memory budget.

use std::path::Path;

use certus_gnn::synth::{Cleanup, hash_feature, sbm};
use certus_gnn::{Activation, Error, LayerSpec, ModelSpec, Op};
use certus_io::{NamedTensor, NpzWriter, write_safetensors};
use certus_numeric::{Array, Seed};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::{CliError, Exit, Explain};
use crate::verb::System;

mod infer;
mod machine;
mod pickle;
mod plan;
mod planetoid;
mod problem;
mod synth;
mod train;

/// The verbs, and the files of their examples.
pub(crate) fn system() -> System {
    System::new("gnn", "Run graph neural networks within a number of bytes that is chosen beforehand, and train small ones")
        .verb::<plan::Plan>("plan")
        .verb::<infer::Infer>("infer")
        .verb::<train::Train>("train")
        .group(synth::group())
        .group(planetoid::group())
        .sample("community.npz", community)
        .sample("gcn.json", model)
        .sample("sgc.json", sgc)
        .sample("gcn.safetensors", weights)
        .sample("arxiv.json", arxiv)
        // Made-up data of ten nodes in Planetoid's format, as Python 2 would have written it.
        .sample("ind.tiny.x", |path| save(path, include_bytes!("tiny/ind.tiny.x")))
        .sample("ind.tiny.y", |path| save(path, include_bytes!("tiny/ind.tiny.y")))
        .sample("ind.tiny.tx", |path| save(path, include_bytes!("tiny/ind.tiny.tx")))
        .sample("ind.tiny.ty", |path| save(path, include_bytes!("tiny/ind.tiny.ty")))
        .sample("ind.tiny.allx", |path| save(path, include_bytes!("tiny/ind.tiny.allx")))
        .sample("ind.tiny.ally", |path| save(path, include_bytes!("tiny/ind.tiny.ally")))
        .sample("ind.tiny.graph", |path| save(path, include_bytes!("tiny/ind.tiny.graph")))
        .sample("ind.tiny.test.index", |path| save(path, include_bytes!("tiny/ind.tiny.test.index")))
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|error| CliError::write_failed(path, &error))
}

impl Explain for Error {
    fn kind(&self) -> String {
        Error::kind(self).to_owned()
    }

    fn hint(&self) -> String {
        Error::hint(self)
    }

    fn exit(&self) -> Exit {
        match self {
            Error::File(error) => error.exit(),
            Error::Io { action: "writing", .. } | Error::OutOfMemory { .. } => Exit::Failed,
            Error::Stopped { .. } => Exit::NotReached,
            _ => Exit::BadInput,
        }
    }

    fn fields(&self) -> Map<String, Value> {
        match self {
            Error::BudgetTooSmall { minimum, .. } => Map::from_iter([("minimum_budget".to_owned(), Value::from(*minimum))]),
            _ => Map::new(),
        }
    }
}

/// Refuses to go on after Ctrl-C: for verbs that read files and have no observer.
fn go_on(ctx: &Context) -> Result<(), CliError> {
    if !ctx.stopped() {
        return Ok(());
    }
    let stopped = CliError::new("Stopped", "stopped while files were read; nothing was written", "Run it again to the end.");
    Err(stopped.with_exit(Exit::NotReached))
}

const COMMUNITIES: [usize; 4] = [300, 250, 250, 200];
const WORDS: usize = 120;

/// A graph of four communities with sparse features that hint at them.
fn community(path: &Path) -> Result<(), CliError> {
    let seed = Seed(0);
    let graph = sbm(&COMMUNITIES, 0.02, 0.001, Cleanup::default(), seed)?;
    let mut archive = NpzWriter::create(path)?;
    synth::write_graph(&mut archive, &graph)?;
    let labels = COMMUNITIES.iter().enumerate().flat_map(|(k, &size)| std::iter::repeat_n(k as i64, size)).collect::<Vec<_>>();
    let (mut indptr, mut indices) = (vec![0i64], Vec::new());
    for (i, &label) in labels.iter().enumerate() {
        // Words of the community's own quarter are drawn a little more often.
        let has = |j: &usize| hash_feature(seed, i, *j) > if j / (WORDS / 4) == label as usize { 0.85 } else { 0.9 };
        indices.extend((0..WORDS).filter(has).map(|j| j as i32));
        indptr.push(indices.len() as i64);
    }
    let data = vec![1.0f32; indices.len()];
    archive.add("x_indptr", &Array::vector(indptr))?;
    archive.add("x_indices", &Array::vector(indices))?;
    archive.add("x_data", &Array::vector(data))?;
    archive.add_scalar("num_features", WORDS as i64)?;
    archive.add("y", &Array::vector(labels))?;
    // Of each twenty nodes one is learned from, and two are for validation.
    for (set, from, to) in [("train_idx", 0, 1), ("val_idx", 1, 3), ("test_idx", 3, 20)] {
        let nodes = (0..COMMUNITIES.iter().sum::<usize>() as i32).filter(|i| (from..to).contains(&(i % 20)));
        archive.add(set, &Array::vector(nodes.collect()))?;
    }
    Ok(archive.finish()?)
}

fn two_layers(widths: [usize; 3]) -> Result<ModelSpec, CliError> {
    let first = LayerSpec { activation: Activation::Relu, ..LayerSpec::new(Op::Gcn, "conv1", widths[0], widths[1]) };
    Ok(ModelSpec::new(vec![first, LayerSpec::new(Op::Gcn, "conv2", widths[1], widths[2])])?)
}

fn write_model(path: &Path, spec: &ModelSpec) -> Result<(), CliError> {
    save(path, spec.to_json().as_bytes())
}

fn model(path: &Path) -> Result<(), CliError> {
    write_model(path, &two_layers([WORDS, 16, 4])?)
}

/// Two hops and one linear map.
fn sgc(path: &Path) -> Result<(), CliError> {
    write_model(path, &ModelSpec::new(vec![LayerSpec { hops: Some(2), ..LayerSpec::new(Op::Sgc, "conv1", WORDS, 4) }])?)
}

fn arxiv(path: &Path) -> Result<(), CliError> {
    write_model(path, &two_layers([128, 256, 40])?)
}

/// Weights that count the words of each community's quarter.
fn weights(path: &Path) -> Result<(), CliError> {
    let quarter = |j: usize| j / (WORDS / 4);
    let first = Array::from_fn(16, WORDS, |i, j| if quarter(j) == i % 4 { 1.0f32 } else { -0.3 });
    let second = Array::from_fn(4, 16, |i, j| if j % 4 == i { 0.25f32 } else { -0.05 });
    let tensors = [
        NamedTensor::new("conv1.lin.weight", first),
        NamedTensor::new("conv1.bias", Array::vector(vec![0.0f32; 16])),
        NamedTensor::new("conv2.lin.weight", second),
        NamedTensor::new("conv2.bias", Array::vector(vec![0.0f32; 4])),
    ];
    Ok(write_safetensors(path, &tensors)?)
}

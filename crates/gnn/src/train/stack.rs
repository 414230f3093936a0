//! Loss and gradient of a stack of layers on the whole graph.
//!
//! A layer is `out = act(A (H W') + H R' + b)`, A the aggregation (K times), R the map of the node itself. With D the gradient at the
//! layer's sum, that of b is the sum of D's rows, of R it is `D' H`; with `E = A' D`, aggregated along reversed edges, that of W is `E' H`
//! and that of H is `E W + D R`. Each number is summed in an order that no number of threads changes.

use std::borrow::Cow;
use std::ops::Range;

use certus_numeric::softmax::{log_sum_exp, softmax_row};
use certus_numeric::sum::par_blocks;
use certus_numeric::{Array, Csr};
use rayon::prelude::*;

use super::dropout::Dropout;
use super::parameters::{LayerTensors, Parameters};
use super::problem::Training;
use super::reverse::reversed;
use crate::error::Error;
use crate::features::{FeatureData, Features};
use crate::graph::{Graph, Incoming as _, Normalisation};
use crate::kernels::RowsOf;
use crate::kernels::aggregate::Aggregate;
use crate::kernels::combine::{Combine, CombineSparse, Strips};
use crate::kernels::epilogue::Bound;
use crate::recipes::normalisation;
use crate::simd::{Kernel, dispatch, multiply_add};
use crate::spec::{Activation, LayerSpec, Op, Reduce};
use crate::steps::{Epilogue, Operator, OwnTerm};

/// Rows that one task works on.
const ROWS: usize = 256;

/// Blocks of rows whose sums are added up in order, at most, and rows of one at least.
const BLOCKS: usize = 16;
const LEAST_BLOCK: usize = 1024;

/// The loss of a stack of layers: mean cross-entropy over the training nodes, and `decay / 2` times the square of all weights.
pub(super) struct Stack<'a> {
    graph: &'a Graph,
    reversed: Graph,
    features: Rows<'a>,
    layers: Vec<Layer>,
    tensors: &'a [LayerTensors],
    targets: Vec<(usize, usize)>,
}

/// A layer as training sees it.
struct Layer {
    inputs: usize,
    outputs: usize,
    /// Aggregations.
    steps: usize,
    operator: Operator,
    norm: Option<Normalisation>,
    mean: bool,
    relu: bool,
}

/// Rows of the input of a layer, after dropout.
#[derive(Clone)]
enum Rows<'a> {
    Dense(Cow<'a, [f32]>),
    /// Places of a matrix with values of their own.
    Sparse(&'a Csr<f32>, Cow<'a, [f32]>),
}

/// What a pass forward leaves for the pass back.
pub(super) struct Pass<'a> {
    inputs: Vec<Rows<'a>>,
    /// The last layer's output, n x classes.
    pub(super) logits: Vec<f32>,
}

impl Layer {
    fn of(layer: &LayerSpec) -> Layer {
        let norm = normalisation(layer);
        let own = match norm {
            Some(kind) if kind.self_loop.is_some() => OwnTerm::Loop(kind),
            _ => OwnTerm::None,
        };
        // Those of inference.
        let operator = Operator { weighted: layer.op != Op::Sage, drop_loops: own != OwnTerm::None, own, ..Operator::of(Reduce::Sum) };
        Layer {
            inputs: layer.in_channels,
            outputs: layer.out_channels,
            steps: layer.steps(),
            operator,
            norm: norm.filter(|_| layer.steps() > 0),
            mean: layer.op == Op::Sage && layer.reduce() == Reduce::Mean,
            relu: layer.activation == Activation::Relu,
        }
    }

    fn activation(&self) -> Activation {
        if self.relu { Activation::Relu } else { Activation::None }
    }
}

/// Features in a file, or in 8 bits, as a whole.
pub(super) fn in_memory(features: &Features) -> Result<Option<Features>, Error> {
    let zeros = || Array::zeros([features.rows(), features.columns()]);
    let all = match &features.0 {
        FeatureData::Dense(_) | FeatureData::Sparse(_) => return Ok(None),
        FeatureData::Streamed(file) => {
            let mut all = zeros();
            file.read_rows(0, all.as_mut_slice())?;
            all
        }
        FeatureData::Int8(codes) => {
            let mut all = zeros();
            all.as_mut_slice().chunks_exact_mut(features.columns().max(1)).enumerate().for_each(|(i, row)| codes.read(i, row));
            all
        }
    };
    Ok(Some(Features::dense(all)?))
}

impl<'a> Stack<'a> {
    /// `features`: those of the problem, in memory.
    pub(super) fn new(problem: &'a Training, features: &'a Features) -> Stack<'a> {
        let features = match &features.0 {
            FeatureData::Sparse(csr) => Rows::Sparse(csr, Cow::Borrowed(csr.values())),
            FeatureData::Dense(array) => Rows::Dense(Cow::Borrowed(array.as_slice())),
            FeatureData::Streamed(_) | FeatureData::Int8(_) => Rows::Dense(Cow::Borrowed(&[])),
        };
        let mut kinds = Vec::new();
        for kind in problem.spec.layers().iter().filter_map(normalisation) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Stack {
            graph: problem.graph,
            reversed: reversed(problem.graph, &kinds),
            features,
            layers: problem.spec.layers().iter().map(Layer::of).collect(),
            tensors: problem.parameters.layers(),
            targets: problem.targets(),
        }
    }

    /// All layers, with or without dropout.
    ///
    /// # Errors
    /// `Overflow` with layer and node.
    pub(super) fn forward(&self, weights: &[f32], dropout: Option<Dropout>) -> Result<Pass<'a>, Error> {
        let mut inputs = Vec::with_capacity(self.layers.len());
        let mut rows = self.features.clone();
        for (index, (layer, tensors)) in self.layers.iter().zip(self.tensors).enumerate() {
            if let Some(dropout) = dropout {
                dropout.of_layer(index).apply(rows.values_mut());
            }
            let mut out = vec![0.0; self.graph.nodes() * layer.outputs];
            if let Some(root) = &tensors.root {
                rows.times(&inward(weights, root, layer), layer, &mut out);
            }
            let mut y = vec![0.0; out.len()];
            rows.times(&inward(weights, &tensors.weight, layer), layer, &mut y);
            let bias = tensors.bias.as_ref().map(|at| &weights[at.clone()]);
            let bound = Bound { bias, activation: layer.activation(), ..Bound::default() };
            let end = Epilogue { accumulate: tensors.root.is_some(), ..Epilogue::default() };
            match self.aggregate(self.graph, layer, y, out, layer.mean, end, bound) {
                Ok(out) => inputs.push(std::mem::replace(&mut rows, Rows::Dense(Cow::Owned(out)))),
                Err(node) => return Err(Error::Overflow { layer: index, node }),
            }
        }
        match rows {
            Rows::Dense(logits) => Ok(Pass { inputs, logits: logits.into_owned() }),
            Rows::Sparse(..) => unreachable!("a model has a layer"),
        }
    }

    /// The mean cross-entropy of some nodes.
    pub(super) fn loss_of(&self, logits: &[f32], targets: &[(usize, usize)]) -> f64 {
        let classes = logits.len() / self.graph.nodes().max(1);
        let of = |&(node, class): &(usize, usize)| {
            let row = logits[node * classes..][..classes].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            log_sum_exp(&row) - row[class]
        };
        targets.iter().map(of).sum::<f64>() / targets.len() as f64
    }

    /// The loss over the training nodes without the penalty, and its gradient for each weight.
    pub(super) fn loss_and_gradient(&self, pass: &Pass, weights: &[f32], dropout: Option<Dropout>) -> (f64, Vec<f64>) {
        let loss = self.loss_of(&pass.logits, &self.targets);
        let mut gradient = vec![0.0; weights.len()];
        let mut from_above = self.at_logits(&pass.logits);
        for (index, (layer, tensors)) in self.layers.iter().zip(self.tensors).enumerate().rev() {
            let input = &pass.inputs[index];
            if layer.relu {
                // An output that dropout left out has no gradient either.
                let output = pass.inputs.get(index + 1).map_or(&pass.logits[..], Rows::dense);
                from_above.par_iter_mut().zip(output).for_each(|(d, &x)| *d = if x > 0.0 { *d } else { 0.0 });
            }
            let d = from_above;
            if let Some(at) = &tensors.bias {
                column_sums(&d, layer.outputs, &mut gradient[at.clone()]);
            }
            if let Some(at) = &tensors.root {
                input.transposed_times(&d, layer, &mut gradient[at.clone()]);
            }
            // At the layer below; the part through the node itself first.
            let zeros = || vec![0.0; self.graph.nodes() * layer.inputs];
            let mut below = Vec::new();
            if let (true, Some(at)) = (index > 0, &tensors.root) {
                below = zeros();
                times_outward(&d, weights, at, layer, &mut below, false);
            }
            let e = self.back(layer, d);
            input.transposed_times(&e, layer, &mut gradient[tensors.weight.clone()]);
            if index > 0 {
                if tensors.root.is_none() {
                    below = zeros();
                }
                times_outward(&e, weights, &tensors.weight, layer, &mut below, tensors.root.is_some());
                if let Some(dropout) = dropout {
                    dropout.of_layer(index).apply(&mut below);
                }
            }
            from_above = below;
        }
        (loss, gradient)
    }

    /// The gradient at the logits: softmax less the class, over the number of training nodes.
    fn at_logits(&self, logits: &[f32]) -> Vec<f32> {
        let classes = self.layers[self.layers.len() - 1].outputs;
        let share = 1.0 / self.targets.len() as f64;
        let mut gradient = vec![0.0; logits.len()];
        for &(node, class) in &self.targets {
            let at = node * classes..(node + 1) * classes;
            let mut row = logits[at.clone()].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            softmax_row(&mut row);
            row[class] -= 1.0;
            gradient[at].iter_mut().zip(&row).for_each(|(g, &p)| *g = (share * p) as f32);
        }
        gradient
    }

    /// `A' d`, along reversed edges.
    fn back(&self, layer: &Layer, mut d: Vec<f32>) -> Vec<f32> {
        if layer.steps == 0 {
            return d;
        }
        if layer.mean {
            scale_rows(&mut d, layer.outputs, |i| 1.0 / self.graph.sources(i).len().max(1) as f32);
        }
        let out = vec![0.0; d.len()];
        // What is not finite shows in the norm of the gradient.
        match self.aggregate(&self.reversed, layer, d, out, false, Epilogue::default(), Bound::default()) {
            Ok(e) => e,
            Err(_) => vec![f32::NAN; self.graph.nodes() * layer.outputs],
        }
    }

    /// `A y` by a layer's steps, with what follows the last of them; or a node that is not finite.
    #[allow(clippy::too_many_arguments, reason = "a kernel's arguments, two of them buffers")]
    fn aggregate(
        &self,
        graph: &Graph,
        layer: &Layer,
        mut y: Vec<f32>,
        mut out: Vec<f32>,
        mean: bool,
        end: Epilogue,
        bound: Bound,
    ) -> Result<Vec<f32>, usize> {
        let norm = layer.norm;
        if let Some(kind) = norm {
            let edges = graph.view();
            scale_rows(&mut y, layer.outputs, |i| edges.norm(i, kind).0);
        }
        for _ in 1..layer.steps {
            let mut next = vec![0.0; y.len()];
            let between = Epilogue { norm, rescale: norm, mean, ..Epilogue::default() };
            sum_edges(graph, layer.operator, &between, Bound::default(), &y, layer.outputs, &mut next)?;
            y = next;
        }
        let operator = Operator { no_edges: layer.steps == 0, ..layer.operator };
        let end = Epilogue { norm, mean: mean && layer.steps > 0, ..end };
        sum_edges(graph, operator, &end, bound, &y, layer.outputs, &mut out)?;
        Ok(out)
    }
}

/// One aggregation of whole rows; an error is a node that is not finite, the first one.
fn sum_edges(
    graph: &Graph,
    operator: Operator,
    epilogue: &Epilogue,
    bound: Bound,
    from: &[f32],
    width: usize,
    to: &mut [f32],
) -> Result<(), usize> {
    let (graph, source) = (&graph.view(), RowsOf { data: from, first: 0, stride: width });
    let blocks = to.par_chunks_mut(ROWS * width).enumerate().map(|(block, out)| {
        let rows = block * ROWS..block * ROWS + out.len() / width;
        dispatch(Aggregate { graph, rows, source, live: width, operator, one_plus_eps: 1.0, epilogue, bound, out })
    });
    match blocks.flatten_iter().min() {
        Some(node) => Err(node),
        None => Ok(()),
    }
}

fn scale_rows(rows: &mut [f32], width: usize, factor: impl Fn(usize) -> f32 + Sync) {
    rows.par_chunks_mut(width).enumerate().for_each(|(i, row)| {
        let factor = factor(i);
        row.iter_mut().for_each(|x| *x *= factor);
    });
}

/// A matrix (out, in) as strips that rows of `in` numbers are multiplied by.
fn inward(weights: &[f32], at: &Range<usize>, layer: &Layer) -> Strips {
    let w = &weights[at.clone()];
    Strips::new(&Array::from_fn(layer.inputs, layer.outputs, |i, o| w[o * layer.inputs + i]))
}

/// `below += d w` (or `=`) for w of (out, in).
fn times_outward(d: &[f32], weights: &[f32], at: &Range<usize>, layer: &Layer, below: &mut [f32], add: bool) {
    let w = &weights[at.clone()];
    let strips = Strips::new(&Array::from_fn(layer.outputs, layer.inputs, |o, i| w[o * layer.inputs + i]));
    dense_times(d, layer.outputs, &strips, layer.inputs, below, add);
}

fn dense_times(x: &[f32], inner: usize, w: &Strips, outer: usize, out: &mut [f32], add: bool) {
    x.par_chunks(ROWS * inner).zip(out.par_chunks_mut(ROWS * outer)).for_each(|(x, out)| {
        let (rows, columns) = (x.len() / inner, 0..outer);
        dispatch(Combine { x, x_stride: inner, rows, w, columns, out, out_stride: outer, add, absolute: false });
    });
}

impl Rows<'_> {
    fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Rows::Dense(values) | Rows::Sparse(_, values) => values.to_mut(),
        }
    }

    /// The entries of a dense one.
    fn dense(&self) -> &[f32] {
        match self {
            Rows::Dense(values) | Rows::Sparse(_, values) => values,
        }
    }

    /// `out = rows w`.
    fn times(&self, w: &Strips, layer: &Layer, out: &mut [f32]) {
        match self {
            Rows::Dense(x) => dense_times(x, layer.inputs, w, layer.outputs, out, false),
            Rows::Sparse(csr, values) => out.par_chunks_mut(layer.outputs).enumerate().for_each(|(i, out)| {
                let at = csr.indptr()[i]..csr.indptr()[i + 1];
                let (indices, values) = (&csr.indices()[at.clone()], &values[at]);
                dispatch(CombineSparse { indices, values, w, columns: 0..layer.outputs, out, add: false });
            }),
        }
    }

    /// `gradient = d' rows`, as (out, in).
    fn transposed_times(&self, d: &[f32], layer: &Layer, gradient: &mut [f64]) {
        let nodes = d.len() / layer.outputs;
        let parts = par_blocks(nodes, nodes.div_ceil(BLOCKS).max(LEAST_BLOCK), |block| {
            let mut sums = vec![0.0; layer.inputs * layer.outputs];
            dispatch(Outer { rows: self, block, d, layer, sums: &mut sums });
            sums
        });
        for sums in parts {
            for (i, sums) in sums.chunks_exact(layer.outputs).enumerate() {
                sums.iter().enumerate().for_each(|(o, &sum)| gradient[o * layer.inputs + i] += f64::from(sum));
            }
        }
    }
}

/// The sum over a block of rows of each row times its gradient: in x out.
struct Outer<'s> {
    rows: &'s Rows<'s>,
    block: Range<usize>,
    d: &'s [f32],
    layer: &'s Layer,
    sums: &'s mut [f32],
}

impl Kernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (inputs, outputs) = (self.layer.inputs, self.layer.outputs);
        for i in self.block {
            let d = &self.d[i * outputs..(i + 1) * outputs];
            // Most nodes have no gradient at the logits of a few training nodes.
            if d.iter().all(|&d| d == 0.0) {
                continue;
            }
            let mut add = |j: usize, x: f32| {
                let sums = &mut self.sums[j * outputs..(j + 1) * outputs];
                sums.iter_mut().zip(d).for_each(|(sum, &d)| *sum = multiply_add::<FUSED>(x, d, *sum));
            };
            match self.rows {
                Rows::Dense(x) => {
                    x[i * inputs..(i + 1) * inputs].iter().enumerate().filter(|(_, x)| **x != 0.0).for_each(|(j, &x)| add(j, x))
                }
                Rows::Sparse(csr, values) => {
                    let at = csr.indptr()[i]..csr.indptr()[i + 1];
                    csr.indices()[at.clone()].iter().zip(&values[at]).for_each(|(&j, &x)| add(j as usize, x));
                }
            }
        }
    }
}

fn column_sums(d: &[f32], width: usize, gradient: &mut [f64]) {
    let nodes = d.len() / width;
    let parts = par_blocks(nodes, nodes.div_ceil(BLOCKS).max(LEAST_BLOCK), |block| {
        let mut sums = vec![0.0f64; width];
        for row in d[block.start * width..block.end * width].chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, &d)| *sum += f64::from(d));
        }
        sums
    });
    parts.iter().for_each(|sums| gradient.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum));
}

/// Bytes that training holds at most beside graph and features, by sizes alone.
pub(super) fn working_bytes(problem: &Training, parameters: &Parameters, dropout: bool) -> u64 {
    let (graph, features) = (problem.graph.stats(), problem.features.stats());
    let layers = problem.spec.layers();
    let columns = |layer: &LayerSpec| layer.out_channels as u64;
    let activations = layers.iter().map(columns).sum::<u64>();
    let widest = layers.iter().map(columns).max().unwrap_or(0);
    let rows = |columns: u64| 4 * graph.nodes.saturating_mul(columns);
    let entries = match features {
        crate::FeatureStats::Sparse { entries, .. } => entries,
        _ => graph.nodes.saturating_mul(features.columns() as u64),
    };
    let copies = u64::from(dropout) + u64::from(features.is_by_blocks());
    let kinds = layers.iter().filter(|layer| normalisation(layer).is_some()).count() as u64;
    // The reversed graph, its norms, and the places of rows while it is made.
    let turned = graph.bytes() + rows(kinds) + 8 * graph.nodes;
    // A layer's two buffers and its next; in reverse the gradient in, on the way, and out.
    let buffers = rows(activations).saturating_add(rows(3 * widest));
    let of_layer = |layer: &LayerSpec| (layer.in_channels as u64 + 16) * (columns(layer) + 16);
    let matrices = layers.iter().map(of_layer).max().unwrap_or(0);
    // Weights, moments, gradients and the best in f64 and f32; matrices as strips, and a sum for each block of rows.
    let weights = 64 * parameters.len() as u64 + 4 * (4 + BLOCKS as u64 + 1) * matrices;
    let fixed = (64 << 10) + 64 * graph.nodes.min(1 << 16);
    turned.saturating_add(buffers).saturating_add(4 * entries.saturating_mul(copies)).saturating_add(weights).saturating_add(fixed)
}

//! The weights of a model as one vector, and under the names of PyTorch Geometric.

use std::ops::Range;

use certus_contract::InputError;
use certus_numeric::seed::unit_interval;
use certus_numeric::{Array, Seed};
use rand::Rng;

use crate::error::Error;
use crate::spec::{LayerSpec, ModelSpec, Op};
use crate::weights::Weights;

/// Where each tensor lies in the vector.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    tensors: Vec<Tensor>,
    layers: Vec<LayerTensors>,
    length: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Tensor {
    name: String,
    /// (out, in), or (out) of a bias.
    shape: Vec<usize>,
    at: Range<usize>,
}

/// The tensors of one layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LayerTensors {
    /// What neighbours (or, of linear, the node) are mapped by: (out, in).
    pub(crate) weight: Range<usize>,
    /// What the node itself is mapped by, beside its neighbours: (out, in).
    pub(crate) root: Option<Range<usize>>,
    pub(crate) bias: Option<Range<usize>>,
}

/// Weights that a trainer takes on.
const MOST: usize = 1 << 28;

impl Parameters {
    pub(crate) fn of(spec: &ModelSpec) -> Result<Self, Error> {
        let mut all = Parameters { tensors: Vec::new(), layers: Vec::new(), length: 0 };
        for (index, layer) in spec.layers().iter().enumerate() {
            if spec.layers()[..index].iter().any(|other| other.prefix == layer.prefix) {
                return Err(Error::InvalidOption {
                    layer: index,
                    op: layer.op.name().into(),
                    option: "prefix",
                    value: format!("{:?}, which an earlier layer has", layer.prefix),
                    expected: "another one, so that tensors have different names".into(),
                });
            }
            let (out, input) = (layer.out_channels, layer.in_channels);
            let [weight, root, bias] = names(layer);
            let tensors = LayerTensors {
                weight: all.tensor(layer, weight, vec![out, input])?,
                root: if layer.op == Op::Sage && layer.root_weight { Some(all.tensor(layer, root, vec![out, input])?) } else { None },
                bias: if layer.bias { Some(all.tensor(layer, bias, vec![out])?) } else { None },
            };
            all.layers.push(tensors);
        }
        Ok(all)
    }

    fn tensor(&mut self, layer: &LayerSpec, name: &str, shape: Vec<usize>) -> Result<Range<usize>, Error> {
        // Both factors are at most 2^24.
        let end = self.length + shape.iter().product::<usize>();
        if end > MOST {
            return Err(InputError::too_large("the model", format!("{end} weights or more"), "2^28 (to be trained)").into());
        }
        let name = if layer.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", layer.prefix) };
        let at = self.length..end;
        self.tensors.push(Tensor { name, shape, at: at.clone() });
        self.length = end;
        Ok(at)
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn layers(&self) -> &[LayerTensors] {
        &self.layers
    }

    /// Uniform in +-sqrt(6 / (in + out)) for matrices (Glorot and Bengio 2010), 0 for biases; numbers of f32.
    pub(crate) fn glorot(&self, seed: Seed) -> Vec<f64> {
        let mut all = vec![0.0; self.length];
        for (index, tensor) in self.tensors.iter().enumerate() {
            let [out, input] = tensor.shape[..] else { continue };
            let bound = (6.0 / (out + input) as f64).sqrt();
            let mut stream = seed.stream_at("weights", index as u64);
            for weight in &mut all[tensor.at.clone()] {
                *weight = f64::from((bound * (2.0 * unit_interval(stream.next_u64()) - 1.0)) as f32);
            }
        }
        all
    }

    /// As named tensors.
    pub(crate) fn weights(&self, all: &[f32]) -> Result<Weights, Error> {
        let mut weights = Weights::new();
        for tensor in &self.tensors {
            weights.insert(tensor.name.clone(), Array::new(tensor.shape.clone(), all[tensor.at.clone()].to_vec())?);
        }
        Ok(weights)
    }

    /// From named tensors.
    pub(crate) fn vector(&self, weights: &Weights) -> Result<Vec<f32>, Error> {
        let mut all = Vec::with_capacity(self.length);
        for tensor in &self.tensors {
            let Some(found) = weights.tensors().get(&tensor.name) else {
                return Err(InputError::not_found(&tensor.name, weights.tensors().keys()).into());
            };
            if found.shape() != tensor.shape {
                let expected = crate::error::shape_text(&tensor.shape);
                return Err(InputError::shape(&tensor.name, found.shape(), expected).into());
            }
            if let Some(k) = found.as_slice().iter().position(|v| !v.is_finite()) {
                return Err(InputError::non_finite(&tensor.name, &[k], f64::from(found.as_slice()[k])).into());
            }
            all.extend_from_slice(found.as_slice());
        }
        Ok(all)
    }
}

/// What PyTorch Geometric calls matrix, root matrix and bias of a layer.
fn names(layer: &LayerSpec) -> [&'static str; 3] {
    match layer.op {
        Op::Sage => ["lin_l.weight", "lin_r.weight", "lin_l.bias"],
        Op::Sgc => ["lin.weight", "", "lin.bias"],
        Op::Linear => ["weight", "", "bias"],
        _ => ["lin.weight", "", "bias"],
    }
}

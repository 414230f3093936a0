//! A model with its weights.

use std::collections::{BTreeMap, BTreeSet};

use certus_contract::InputError;
use certus_numeric::Array;

use crate::error::{Error, index_of, not_finite, shape_text};
use crate::kernels::combine::Strips;
use crate::spec::{LayerSpec, ModelSpec, Norm, Op};
use crate::steps::VectorSlot;
use crate::weights::{WeightLayout, Weights};

/// A trained model: layers and weights.
#[derive(Clone, Debug)]
pub struct Model {
    spec: ModelSpec,
    params: Vec<Params>,
    notes: Vec<String>,
}

/// The parameters of one layer, as steps name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    pub(crate) matrices: BTreeMap<usize, Strips>,
    pub(crate) vectors: BTreeMap<VectorSlot, Vec<f32>>,
    pub(crate) one_plus_eps: f32,
}

impl Params {
    fn bytes(&self) -> u64 {
        let matrices = self.matrices.values().map(Strips::len).sum::<usize>();
        4 * (matrices + self.vectors.values().map(Vec::len).sum::<usize>()) as u64
    }
}

impl Model {
    /// Binds tensors to the layers, by prefix and name (those of PyTorch Geometric, older versions of it, and DGL).
    ///
    /// # Errors
    /// `MissingTensor`, `ShapeMismatch` and `UnusedTensor` name the tensor and its shapes; `InvalidParameter` for a square matrix that may
    /// be stored either way; `UnsupportedFormat` for weights that contradict options of the layer.
    pub fn new(spec: ModelSpec, weights: &Weights) -> Result<Self, Error> {
        let mut notes = weights.notes().to_vec();
        let mut used = BTreeSet::new();
        let mut params = Vec::new();
        for (index, layer) in spec.layers().iter().enumerate() {
            params.push(Binder { layer, index, weights, used: &mut used, notes: &mut notes }.bind()?);
        }
        if let Some((name, tensor)) =
            weights.tensors().iter().find(|(name, _)| !used.contains(*name) && !name.ends_with("num_batches_tracked"))
        {
            return Err(Error::UnusedTensor { tensor: name.clone(), shape: shape_text(tensor.shape()) });
        }
        Ok(Model { spec, params, notes })
    }

    /// The layers.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// What was assumed or changed on loading, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        self.params.iter().map(Params::bytes).sum()
    }

    pub(crate) fn params(&self, layer: usize) -> &Params {
        &self.params[layer]
    }
}

/// How like two names are: characters that they share at the beginning and at the end.
fn likeness(a: &str, b: &str) -> usize {
    let shared = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| a.zip(b).take_while(|(a, b)| a == b).count();
    shared(&mut a.chars(), &mut b.chars()) + shared(&mut a.chars().rev(), &mut b.chars().rev())
}

/// A count of linear maps in words.
fn maps_text(count: usize) -> String {
    format!("{count} linear {}", if count == 1 { "map" } else { "maps" })
}

struct Binder<'a> {
    layer: &'a LayerSpec,
    index: usize,
    weights: &'a Weights,
    used: &'a mut BTreeSet<String>,
    notes: &'a mut Vec<String>,
}

impl Binder<'_> {
    fn bind(mut self) -> Result<Params, Error> {
        let layer = self.layer;
        let (input, out, heads) = (layer.in_channels, layer.out_channels, layer.heads);
        let mut params = Params { one_plus_eps: 1.0 + layer.eps, ..Params::default() };
        let all = heads * out;
        match layer.op {
            Op::Gcn | Op::Sgc => {
                self.matrix(&mut params, 0, &["lin.weight", "weight"], input, out)?;
                self.vector_if(layer.bias, &mut params, VectorSlot::Bias, &["bias", "lin.bias"], out)?;
            }
            Op::Linear => {
                self.matrix(&mut params, 0, &["weight", "lin.weight"], input, out)?;
                self.vector_if(layer.bias, &mut params, VectorSlot::Bias, &["bias", "lin.bias"], out)?;
            }
            Op::Appnp | Op::Jk => {}
            Op::Tag => {
                for k in 0..=layer.steps() {
                    let name = format!("lins.{k}.weight");
                    self.matrix(&mut params, k, &[name], input, out)?;
                }
                self.vector_if(layer.bias, &mut params, VectorSlot::Bias, &["bias"], out)?;
            }
            Op::Sage => {
                self.matrix(&mut params, 0, &["lin_l.weight", "fc_neigh.weight"], input, out)?;
                self.vector_if(layer.bias, &mut params, VectorSlot::Bias, &["lin_l.bias", "fc_neigh.bias", "fc_self.bias", "bias"], out)?;
                if layer.root_weight {
                    self.matrix(&mut params, 1, &["lin_r.weight", "fc_self.weight"], input, out)?;
                }
                if layer.project {
                    self.matrix(&mut params, 2, &["lin.weight", "fc_pool.weight"], input, input)?;
                    self.vector_if(true, &mut params, VectorSlot::Project, &["lin.bias", "fc_pool.bias"], input)?;
                }
            }
            Op::Graphconv => {
                self.matrix(&mut params, 0, &["lin_rel.weight"], input, out)?;
                self.vector_if(layer.bias, &mut params, VectorSlot::Bias, &["lin_rel.bias"], out)?;
                if layer.root_weight {
                    self.matrix(&mut params, 1, &["lin_root.weight"], input, out)?;
                }
            }
            Op::Gin => {
                if layer.mlp_norm == Some(Norm::Layer) {
                    return Err(self.unsupported("layer normalisation inside its network"));
                }
                self.mlp(&mut params)?;
                // Where eps is not trained it may still be there.
                if let Some(name) = self.find(&["eps"]) {
                    let tensor = self.take(&name)?;
                    match tensor.as_slice() {
                        [eps] => params.one_plus_eps = 1.0 + eps,
                        _ => return Err(self.wrong_shape(&name, &tensor, "(1)")),
                    }
                } else if layer.train_eps {
                    return Err(self.missing("eps", "(1)"));
                }
            }
            Op::Gat => {
                self.matrix(&mut params, 0, &["lin.weight", "lin_src.weight", "lin_l.weight", "fc.weight"], input, all)?;
                self.same("lin_dst.weight", "lin_src.weight")?;
                self.same("lin_r.weight", "lin_l.weight")?;
                self.vector_if(true, &mut params, VectorSlot::Source, &["att_src", "att_l", "attn_l"], all)?;
                self.vector_if(true, &mut params, VectorSlot::Target, &["att_dst", "att_r", "attn_r"], all)?;
                self.vector_if(layer.bias, &mut params, VectorSlot::Bias, &["bias"], layer.width())?;
            }
            Op::Gatv2 => {
                self.matrix(&mut params, 0, &["lin_l.weight", "fc_src.weight"], input, all)?;
                self.vector_if(layer.bias, &mut params, VectorSlot::Left, &["lin_l.bias", "fc_src.bias"], all)?;
                if layer.share_weights {
                    self.same("lin_r.weight", "lin_l.weight")?;
                    self.same("lin_r.bias", "lin_l.bias")?;
                } else {
                    self.matrix(&mut params, 1, &["lin_r.weight", "fc_dst.weight"], input, all)?;
                    self.vector_if(layer.bias, &mut params, VectorSlot::Right, &["lin_r.bias", "fc_dst.bias"], all)?;
                }
                self.vector_if(true, &mut params, VectorSlot::Source, &["att", "attn"], all)?;
                self.vector_if(layer.bias, &mut params, VectorSlot::Bias, &["bias"], layer.width())?;
            }
        }
        if let Some(norm) = layer.norm {
            // Norms stand beside the layer, not inside it.
            let name = layer.norm_prefix.clone().unwrap_or_else(|| format!("{}_norm", layer.prefix));
            self.named_norm(&mut params, norm, &[name], layer.width(), (VectorSlot::NormScale, VectorSlot::NormShift))?;
        }
        Ok(params)
    }

    fn full(&self, name: &str) -> String {
        if self.layer.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.layer.prefix) }
    }

    /// The full name of the first of these that is there.
    fn find(&self, names: &[impl AsRef<str>]) -> Option<String> {
        names.iter().map(|name| self.full(name.as_ref())).find(|name| self.weights.tensors().contains_key(name))
    }

    fn take(&mut self, full: &str) -> Result<Array<f32>, Error> {
        self.used.insert(full.to_owned());
        let tensor = &self.weights.tensors()[full];
        match tensor.as_slice().iter().position(|v| !v.is_finite()) {
            Some(k) => Err(not_finite(full, &index_of(k, tensor.shape()), f64::from(tensor.as_slice()[k])).into()),
            None => Ok(tensor.clone()),
        }
    }

    fn missing(&self, name: &str, shape: &str) -> Error {
        self.missing_full(self.full(name), shape)
    }

    /// With the names that are there, the most similar first.
    fn missing_full(&self, tensor: String, shape: &str) -> Error {
        let mut names = self.weights.tensors().keys().cloned().collect::<Vec<_>>();
        names.sort_by_key(|name| std::cmp::Reverse(likeness(name, &tensor)));
        let more = if names.len() > 12 { ", ..." } else { "" };
        names.truncate(12);
        let available = if names.is_empty() { "none".to_owned() } else { format!("{}{more}", names.join(", ")) };
        Error::MissingTensor { tensor, shape: shape.to_owned(), layer: self.index, available }
    }

    /// The network of gin: linear maps, between them perhaps a batch norm, and a ReLU.
    fn mlp(&mut self, params: &mut Params) -> Result<(), Error> {
        let (layer, batch) = (self.layer, self.layer.mlp_norm == Some(Norm::Batch));
        let channels = layer.mlp_channels();
        self.require_maps(channels.len())?;
        let (mut input, last) = (layer.in_channels, channels.len() - 1);
        for (map, &out) in channels.iter().enumerate() {
            // A Sequential numbers all its modules, an MLP of PyTorch Geometric its linear maps and its norms; one map may stand alone.
            let place = map * if batch { 3 } else { 2 };
            let names = |part: &str| {
                let alone = (last == 0).then(|| format!("nn.{part}"));
                [format!("nn.{place}.{part}"), format!("nn.lins.{map}.{part}")].into_iter().chain(alone).collect::<Vec<_>>()
            };
            // Fewer than 4096.
            let number = map as u16;
            let slot = if map == last { VectorSlot::Bias } else { VectorSlot::Hidden(number) };
            self.matrix(params, map, &names("weight"), input, out)?;
            self.vector_if(layer.bias, params, slot, &names("bias"), out)?;
            if batch && map < last {
                let names = [self.full(&format!("nn.{}", place + 1)), self.full(&format!("nn.norms.{map}"))];
                self.named_norm(params, Norm::Batch, &names, out, (VectorSlot::HiddenScale(number), VectorSlot::HiddenShift(number)))?;
            }
            input = out;
        }
        Ok(())
    }

    /// Refuses weights whose linear maps of gin's network are not so many: those are matrices, all other weights are vectors.
    fn require_maps(&self, wanted: usize) -> Result<(), Error> {
        let (prefix, tensors) = (self.full("nn."), self.weights.tensors());
        let map = |name: &str| {
            let inner = name.strip_prefix(&prefix)?.strip_suffix("weight")?;
            inner.chars().all(|c| c.is_ascii_digit() || c == '.' || "lins".contains(c)).then(|| name.to_owned())
        };
        let maps = tensors.iter().filter(|(_, t)| t.shape().len() == 2).filter_map(|(name, _)| map(name)).collect::<Vec<_>>();
        match maps.len() {
            0 => Ok(()),
            n if n == wanted => Ok(()),
            n => Err(Error::InvalidOption {
                layer: self.index,
                op: self.layer.op.name().into(),
                option: "hidden",
                value: format!("{:?} ({})", &self.layer.mlp_channels()[..wanted - 1], maps_text(wanted)),
                expected: format!("a list of {}: the weights have {} ({})", n - 1, maps_text(n), maps.join(", ")),
            }),
        }
    }

    fn wrong_shape(&self, tensor: &str, found: &Array<f32>, expected: &str) -> Error {
        let (tensor, found) = (tensor.to_owned(), shape_text(found.shape()));
        Error::WrongShape { tensor, found, expected: expected.to_owned(), layer: self.index }
    }

    fn unsupported(&self, why: &str) -> Error {
        Error::UnsupportedOp { layer: self.index, op: self.layer.op.name().into(), why: why.into() }
    }

    /// A matrix of `input` x `out`, transposed if the file has it as (out, in).
    fn matrix(&mut self, params: &mut Params, slot: usize, names: &[impl AsRef<str>], input: usize, out: usize) -> Result<(), Error> {
        let expected = format!("({out}, {input})");
        let Some(full) = self.find(names) else { return Err(self.missing(names[0].as_ref(), &expected)) };
        let tensor = self.take(&full)?;
        let outward = tensor.shape() == [out, input];
        let inward = tensor.shape() == [input, out];
        // DGL and old versions name the matrix of gcn `weight` and store (in, out).
        let bare = self.layer.op == Op::Gcn && full == self.full("weight");
        let transposed = match (outward, inward, self.weights.layout()) {
            (false, false, _) => return Err(self.wrong_shape(&full, &tensor, &expected)),
            (true, true, WeightLayout::Auto) if bare && input > 1 => {
                return Err(InputError::parameter(
                    format!("the layout of {full}"),
                    format!("unknown: it is square ({out}, {input})"),
                    "told: rename it to lin.weight if it is stored as (out, in), and transpose it before if as (in, out) (in Rust, WeightLayout)",
                )
                .into());
            }
            (true, true, layout) => layout != WeightLayout::InOut,
            (outward, _, _) => outward,
        };
        if !outward {
            self.notes.push(format!("{full}: stored as (in, out)"));
        }
        let matrix = if transposed { tensor.transposed() } else { tensor };
        params.matrices.insert(slot, Strips::new(&matrix));
        Ok(())
    }

    /// A vector of `length` numbers, of any shape; nothing if it is not wanted.
    fn vector_if(
        &mut self,
        wanted: bool,
        params: &mut Params,
        slot: VectorSlot,
        names: &[impl AsRef<str>],
        length: usize,
    ) -> Result<(), Error> {
        if !wanted {
            return Ok(());
        }
        let expected = format!("({length})");
        let Some(full) = self.find(names) else { return Err(self.missing(names[0].as_ref(), &expected)) };
        let vector = self.vector(&full, length)?;
        params.vectors.insert(slot, vector);
        Ok(())
    }

    fn vector(&mut self, full: &str, length: usize) -> Result<Vec<f32>, Error> {
        let tensor = self.take(full)?;
        if tensor.len() != length || !self.is_vector(full.rsplit('.').next().unwrap_or(full), tensor.shape()) {
            return Err(self.wrong_shape(full, &tensor, &format!("({length})")));
        }
        Ok(tensor.into_vec())
    }

    /// Whether a shape is that of a vector, or of one for each head.
    fn is_vector(&self, name: &str, shape: &[usize]) -> bool {
        let long = shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        let heads = [self.layer.heads, self.layer.out_channels];
        long.len() <= 1 || (name.contains("att") && long == heads && shape.ends_with(&heads))
    }

    /// A tensor that may stand beside another if it is equal to it.
    fn same(&mut self, name: &str, other: &str) -> Result<(), Error> {
        let (full, other) = (self.full(name), self.full(other));
        let Some(tensor) = self.weights.tensors().get(&full) else { return Ok(()) };
        if self.weights.tensors().get(&other).is_some_and(|other| other == tensor) {
            self.used.insert(full);
            return Ok(());
        }
        Err(self.unsupported(&format!("{full} differs from {other}, though sources and targets share one map")))
    }

    /// A norm under one of these names as one multiplication and one addition a column; for batch normalisation by the running mean and
    /// variance.
    fn named_norm(
        &mut self,
        params: &mut Params,
        norm: Norm,
        names: &[String],
        width: usize,
        slots: (VectorSlot, VectorSlot),
    ) -> Result<(), Error> {
        let affine = self.layer.norm_affine;
        let mut get = |part: &str| -> Result<Vec<f32>, Error> {
            // Some versions have the norm as a module in a module.
            let mut all = names.iter().flat_map(|name| [format!("{name}.{part}"), format!("{name}.module.{part}")]);
            match all.clone().find(|name| self.weights.tensors().contains_key(name)) {
                Some(full) => self.vector(&full, width),
                None => Err(self.missing_full(all.next().unwrap_or_default(), &format!("({width})"))),
            }
        };
        let (weight, bias) = if affine { (get("weight")?, get("bias")?) } else { (vec![1.0; width], vec![0.0; width]) };
        let (scale, shift) = match norm {
            Norm::Layer => (weight, bias),
            Norm::Batch => {
                let (mean, variance) = (get("running_mean")?, get("running_var")?);
                let (name, eps) = (&names[0], self.layer.norm_eps);
                let scale = |k: usize| f64::from(weight[k]) / (f64::from(variance[k]) + eps).sqrt();
                if let Some(k) = (0..width).find(|&k| variance[k] < 0.0 || !(scale(k) as f32).is_finite()) {
                    let expected = "0 or more, and such that its root divides the weight to a finite number";
                    return Err(InputError::parameter(format!("{name}.running_var[{k}]"), variance[k], expected).into());
                }
                let shift = (0..width).map(|k| (f64::from(bias[k]) - f64::from(mean[k]) * scale(k)) as f32).collect();
                ((0..width).map(|k| scale(k) as f32).collect(), shift)
            }
        };
        params.vectors.insert(slots.0, scale);
        params.vectors.insert(slots.1, shift);
        Ok(())
    }
}

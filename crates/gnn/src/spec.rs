//! A model without its weights: what its description file says.

use certus_contract::InputError;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The layers of a model in order, without weights: enough to plan with.
///
/// ```
/// use certus_gnn::ModelSpec;
/// let spec = ModelSpec::from_json(r#"{ "layers": [
///     { "op": "gcn", "prefix": "conv1", "in_channels": 128, "out_channels": 16, "activation": "relu" },
///     { "op": "gcn", "prefix": "conv2", "in_channels": 16, "out_channels": 7 } ] }"#)?;
/// assert_eq!((spec.in_channels(), spec.out_channels()), (128, 7));
/// # Ok::<(), certus_gnn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    layers: Vec<LayerSpec>,
    unknown_fields: Vec<String>,
}

/// What a layer computes from a node and the sources of its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Kipf and Welling 2017: symmetrically normalised sum.
    Gcn,
    /// Wu et al. 2019: K normalised sums and one linear map.
    Sgc,
    /// Klicpera et al. 2019: K steps of personalised PageRank, no parameters.
    Appnp,
    /// Hamilton et al. 2017: mean, sum, max or min of the neighbours beside the node itself.
    Sage,
    /// Xu et al. 2019: a small network of the sum.
    Gin,
    /// Veličković et al. 2018: attention over neighbours.
    Gat,
    /// Brody et al. 2022: attention whose ranking depends on the node.
    Gatv2,
    /// Morris et al. 2019: weighted sum beside the node itself.
    Graphconv,
    /// Du et al. 2017: a polynomial of the normalised adjacency.
    Tag,
    /// No neighbours at all.
    Linear,
    /// Xu et al. 2018, jumping knowledge: the outputs of all layers before it, side by side or their maximum.
    Jk,
}

/// How jumping knowledge joins the outputs of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// Side by side, the first layer's first.
    Cat,
    /// The largest, column by column.
    Max,
}

impl Op {
    /// Its name in model files.
    pub fn name(self) -> &'static str {
        match self {
            Op::Gcn => "gcn",
            Op::Sgc => "sgc",
            Op::Appnp => "appnp",
            Op::Sage => "sage",
            Op::Gin => "gin",
            Op::Gat => "gat",
            Op::Gatv2 => "gatv2",
            Op::Graphconv => "graphconv",
            Op::Tag => "tag",
            Op::Linear => "linear",
            Op::Jk => "jk",
        }
    }

    /// Whether weights of edges take part.
    pub fn uses_edge_weights(self) -> bool {
        matches!(self, Op::Gcn | Op::Sgc | Op::Appnp | Op::Graphconv | Op::Tag)
    }
}

/// How the neighbours' rows become one; a node without neighbours gets 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// Their sum.
    #[serde(alias = "add")]
    Sum,
    /// Their sum over their number.
    Mean,
    /// The largest, column by column.
    Max,
    /// The smallest, column by column.
    Min,
}

/// A function of each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// x.
    #[default]
    #[serde(alias = "identity")]
    None,
    /// max(x, 0).
    Relu,
    /// x, below 0 e^x - 1.
    Elu,
    /// x, below 0 x / 100.
    #[serde(alias = "leaky_relu")]
    Leakyrelu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
}

/// What follows the operation in a layer, before the activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// By running mean and variance of each column.
    Batch,
    /// By mean and variance of each row.
    Layer,
}

/// One layer of a model file; each field is one of the file's, with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSpec {
    /// The operation.
    pub op: Op,
    /// What the names of its tensors begin with.
    #[serde(default)]
    pub prefix: String,
    /// Columns in.
    pub in_channels: usize,
    /// Columns out; of attention, of one head.
    pub out_channels: usize,
    /// Steps of sgc, appnp and tag.
    #[serde(rename = "K", default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<usize>,
    /// The share of its own row that each step of appnp keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
    /// Heads of attention.
    #[serde(default = "one")]
    pub heads: usize,
    /// Whether heads stand beside one another (or are averaged).
    #[serde(default = "yes")]
    pub concat: bool,
    /// Of the leaky ReLU in attention scores.
    #[serde(default = "leaky")]
    pub negative_slope: f32,
    /// Whether gatv2 has one map for sources and targets.
    #[serde(default)]
    pub share_weights: bool,
    /// Whether each node gets a loop: gcn, sgc, appnp, gat, gatv2.
    #[serde(default = "yes")]
    pub add_self_loops: bool,
    /// The weight of that loop.
    #[serde(default = "unit")]
    pub self_loop_weight: f32,
    /// Whether sums are normalised: gcn, sgc, appnp, tag.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub normalize: bool,
    /// The aggregation; by default mean for sage and sum for graphconv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggr: Option<Reduce>,
    /// Whether sage and graphconv have a term of the node itself.
    #[serde(default = "yes")]
    pub root_weight: bool,
    /// Whether sage maps the neighbours first.
    #[serde(default)]
    pub project: bool,
    /// Whether sage divides each row by its norm.
    #[serde(default)]
    pub l2_normalize: bool,
    /// How jk joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Join>,
    /// Of gin, where the weights have none.
    #[serde(default)]
    pub eps: f32,
    /// Whether gin's eps is a tensor.
    #[serde(default)]
    pub train_eps: bool,
    /// Columns between gin's linear maps, of which there is one more; by default one number, out_channels. In a file also one number
    /// without brackets.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "one_or_more")]
    pub hidden: Option<Vec<usize>>,
    /// The norm after each of gin's linear maps but the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlp_norm: Option<Norm>,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub bias: bool,
    /// The norm after the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// What the names of that norm's tensors begin with; by default the layer's prefix and `_norm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_prefix: Option<String>,
    /// What both norms add to a variance.
    #[serde(default = "norm_eps")]
    pub norm_eps: f64,
    /// Whether norms have a weight and a bias (or they are 1 and 0).
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub norm_affine: bool,
    /// The activation after that.
    #[serde(default)]
    pub activation: Activation,
    /// Whether the layer's input is added at the end.
    #[serde(default)]
    pub skip: bool,
}

fn one() -> usize {
    1
}

/// A number, or a list of some.
fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<usize>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Widths {
        One(usize),
        More(Vec<usize>),
    }
    Ok(Some(match Widths::deserialize(deserializer)? {
        Widths::One(width) => vec![width],
        Widths::More(widths) => widths,
    }))
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn unit() -> f32 {
    1.0
}

fn norm_eps() -> f64 {
    1e-5
}

fn leaky() -> f32 {
    0.2
}

impl LayerSpec {
    /// A layer with the defaults of its operation.
    pub fn new(op: Op, prefix: &str, in_channels: usize, out_channels: usize) -> Self {
        LayerSpec {
            op,
            prefix: prefix.to_owned(),
            in_channels,
            out_channels,
            hops: None,
            alpha: None,
            heads: 1,
            concat: true,
            negative_slope: leaky(),
            share_weights: false,
            add_self_loops: true,
            self_loop_weight: 1.0,
            normalize: true,
            aggr: None,
            root_weight: true,
            project: false,
            l2_normalize: false,
            mode: None,
            eps: 0.0,
            train_eps: false,
            hidden: None,
            mlp_norm: None,
            bias: true,
            norm: None,
            norm_prefix: None,
            norm_eps: norm_eps(),
            norm_affine: true,
            activation: Activation::None,
            skip: false,
        }
    }

    /// The columns that the next layer sees.
    pub fn width(&self) -> usize {
        match self.op {
            Op::Gat | Op::Gatv2 if self.concat => self.heads.saturating_mul(self.out_channels),
            _ => self.out_channels,
        }
    }

    /// The aggregation that the operation uses.
    pub fn reduce(&self) -> Reduce {
        match self.op {
            Op::Sage => self.aggr.unwrap_or(Reduce::Mean),
            Op::Graphconv => self.aggr.unwrap_or(Reduce::Sum),
            _ => Reduce::Sum,
        }
    }

    /// Columns out of each of gin's linear maps, the last one's out_channels.
    pub fn mlp_channels(&self) -> Vec<usize> {
        let hidden = self.hidden.clone().unwrap_or_else(|| vec![self.out_channels]);
        hidden.into_iter().chain([self.out_channels]).collect()
    }

    /// Steps of sgc, appnp and tag; 0 of linear and jk, 1 of the others.
    pub fn steps(&self) -> usize {
        match self.op {
            Op::Linear | Op::Jk => 0,
            Op::Sgc | Op::Appnp | Op::Tag => self.hops.unwrap_or(1),
            _ => 1,
        }
    }

    fn check(&self, layer: usize) -> Result<(), Error> {
        let refuse = |option: &'static str, value: String, expected: &str| {
            Err(Error::InvalidOption { layer, op: self.op.name().into(), option, value, expected: expected.into() })
        };
        for (option, value) in [("in_channels", self.in_channels), ("out_channels", self.out_channels), ("heads", self.heads)] {
            if value == 0 || value > 1 << 24 {
                return refuse(option, value.to_string(), "from 1 to 2^24");
            }
        }
        let hidden = self.hidden.iter().flatten();
        if let Some(width) = hidden.clone().find(|&&width| width == 0 || width > 1 << 24) {
            return refuse("hidden", width.to_string(), "from 1 to 2^24");
        }
        if hidden.count() >= MOST_STEPS {
            return refuse("hidden", format!("{} numbers", self.hidden.iter().flatten().count()), "fewer than 4096 of them");
        }
        if self.width() > 1 << 24 {
            return refuse("heads", self.heads.to_string(), "at most 2^24 columns in all");
        }
        if matches!(self.op, Op::Sgc | Op::Appnp | Op::Tag) {
            match self.hops {
                None => return refuse("K", "missing".into(), "the number of steps"),
                Some(hops) if hops > 1 << 16 => return refuse("K", hops.to_string(), "at most 65536"),
                _ => {}
            }
        }
        if self.op == Op::Appnp {
            match self.alpha {
                Some(alpha) if (0.0..=1.0).contains(&alpha) => {}
                Some(alpha) => return refuse("alpha", alpha.to_string(), "in [0, 1]"),
                None => return refuse("alpha", "missing".into(), "in [0, 1]"),
            }
            if self.in_channels != self.out_channels {
                return refuse("out_channels", self.out_channels.to_string(), &format!("in_channels = {}", self.in_channels));
            }
        }
        if self.op == Op::Jk {
            match self.mode {
                None => return refuse("mode", "missing".into(), "cat or max"),
                Some(_) if layer == 0 => return refuse("mode", "in the first layer".into(), "after the layers that it joins"),
                Some(_) if self.skip => return refuse("skip", "true".into(), "left out: the last layer is among those that are joined"),
                Some(_) => {}
            }
        }
        if !self.negative_slope.is_finite() {
            return refuse("negative_slope", self.negative_slope.to_string(), "finite");
        }
        if !self.self_loop_weight.is_finite() {
            return refuse("self_loop_weight", self.self_loop_weight.to_string(), "finite");
        }
        if !self.eps.is_finite() {
            return refuse("eps", self.eps.to_string(), "finite");
        }
        if !(self.norm_eps.is_finite() && self.norm_eps > 0.0) {
            return refuse("norm_eps", self.norm_eps.to_string(), "above 0 and finite");
        }
        if matches!(self.op, Op::Gat | Op::Gatv2) && self.heads > MOST_STEPS {
            return refuse("heads", self.heads.to_string(), "at most 4096");
        }
        if self.op == Op::Tag && self.steps() > MOST_STEPS {
            return refuse("K", self.steps().to_string(), "at most 4096 (tag has a matrix for each)");
        }
        if self.skip && self.width() != self.in_channels {
            return refuse(
                "skip",
                format!("true with {} columns in and {} out", self.in_channels, self.width()),
                "set where both are equal",
            );
        }
        Ok(())
    }
}

/// Heads of attention, linear maps of gin and steps of tag: each is a step of its own in a schedule.
pub(crate) const MOST_STEPS: usize = 4096;

/// That what a layer of jumping knowledge joins fits together.
fn check_join(layers: &[LayerSpec], jk: usize) -> Result<(), Error> {
    let refuse = |layer: usize, option: &'static str, value: String, expected: String| {
        Err(Error::InvalidOption { layer, op: layers[layer].op.name().into(), option, value, expected })
    };
    if let Some(second) = (jk + 1..layers.len()).find(|&k| layers[k].op == Op::Jk) {
        return refuse(second, "op", "a second jk".into(), "the only one".into());
    }
    let (joined, layer) = (&layers[..jk], &layers[jk]);
    let columns = match layer.mode {
        Some(Join::Max) => match joined.iter().position(|other| other.width() != layer.in_channels) {
            Some(k) => {
                let expected = format!("{}, as the columns out of layer {} that jk compares with it", layer.in_channels, jk - 1);
                return refuse(k, "out_channels", layers[k].width().to_string(), expected);
            }
            None => layer.in_channels,
        },
        _ => joined.iter().map(LayerSpec::width).sum(),
    };
    if layer.out_channels != columns {
        return refuse(jk, "out_channels", layer.out_channels.to_string(), format!("{columns}, the columns of the layers that it joins"));
    }
    Ok(())
}

impl ModelSpec {
    /// A model of these layers.
    ///
    /// # Errors
    /// `InvalidOption` for an option outside its range, `EmptyProblem` without layers, `DimensionMismatch` where the columns out of one
    /// layer are not those into the next.
    pub fn new(layers: Vec<LayerSpec>) -> Result<Self, Error> {
        if layers.is_empty() {
            return Err(InputError::empty("layers of the model", &[0]).into());
        }
        for (k, layer) in layers.iter().enumerate() {
            layer.check(k)?;
        }
        for (k, pair) in layers.windows(2).enumerate() {
            if pair[0].width() != pair[1].in_channels {
                let (op, found, before) = (pair[1].op.name(), pair[1].in_channels, pair[0].width());
                return Err(Error::WidthMismatch { layer: k + 1, op, found, before });
            }
        }
        if let Some(jk) = layers.iter().position(|layer| layer.op == Op::Jk) {
            check_join(&layers, jk)?;
        }
        Ok(ModelSpec { layers, unknown_fields: Vec::new() })
    }

    /// The fields of the file's layers that are not known and were passed over: each with its layer.
    pub fn unknown_fields(&self) -> &[String] {
        &self.unknown_fields
    }

    /// The model of a description file: `{ "layers": [ { "op", "prefix", "in_channels", "out_channels", options... }, ... ] }`.
    ///
    /// # Errors
    /// `UnsupportedFormat` for text that is no such file (an operation that is not known, a field that is missing), `InvalidOption` for an
    /// option that the layer's operation does not have, and as [`ModelSpec::new`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let file = crate::layer_file::layers(text)?;
        let (mut layers, mut unknown_fields) = (Vec::new(), Vec::new());
        for (k, fields) in file.into_iter().enumerate() {
            let (layer, unknown) = crate::layer_file::layer(k, fields)?;
            layers.push(layer);
            unknown_fields.extend(unknown);
        }
        Ok(ModelSpec { unknown_fields, ..ModelSpec::new(layers)? })
    }

    /// Its description file.
    pub fn to_json(&self) -> String {
        // Names and numbers always have a JSON form.
        serde_json::to_string_pretty(&serde_json::json!({ "layers": self.layers })).unwrap_or_default()
    }

    /// The layer of jumping knowledge, if there is one: it joins the outputs of all before it.
    pub(crate) fn join(&self) -> Option<usize> {
        self.layers.iter().position(|layer| layer.op == Op::Jk)
    }

    /// The layers in order.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// Columns of the features.
    pub fn in_channels(&self) -> usize {
        self.layers[0].in_channels
    }

    /// Columns of the output.
    pub fn out_channels(&self) -> usize {
        self.layers[self.layers.len() - 1].width()
    }
}

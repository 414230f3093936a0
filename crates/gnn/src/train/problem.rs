//! What is learned from, validated once.

use certus_contract::InputError;

use super::parameters::Parameters;
use crate::error::Error;
use crate::features::Features;
use crate::graph::Graph;
use crate::recipes::normalisation;
use crate::spec::{Activation, LayerSpec, ModelSpec, Op, Reduce};

/// A class for each node, and which nodes are for what. Nodes in no set need no meaningful class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The class of each node; -1, say, where it is not known.
    pub classes: Vec<i64>,
    /// Nodes that are learned from.
    pub train: Vec<u32>,
    /// Nodes by which epochs are compared; may be empty.
    pub validation: Vec<u32>,
    /// Nodes that are looked at in the end alone; may be empty.
    pub test: Vec<u32>,
}

impl Labels {
    /// The sets by the names of their arrays in files.
    fn sets(&self) -> [(&'static str, &[u32]); 3] {
        [("train_idx", &self.train), ("val_idx", &self.validation), ("test_idx", &self.test)]
    }
}

/// A model without weights, a graph, features and labels that fit one another.
#[derive(Clone, Debug)]
pub struct Training<'a> {
    pub(super) spec: &'a ModelSpec,
    pub(super) graph: &'a Graph,
    pub(super) features: &'a Features,
    pub(super) labels: &'a Labels,
    pub(super) parameters: Parameters,
}

impl<'a> Training<'a> {
    /// Checks that all fits.
    ///
    /// Layers are gcn, sgc, sage (mean or sum) and linear, each with ReLU or no activation; the columns out of the last are the classes.
    ///
    /// # Errors
    /// `Untrainable` for another layer; `DimensionMismatch` where graph, features, model and classes disagree; `EmptyProblem` without nodes
    /// to learn from; `InvalidSplit` for a node that is none, or that stands in two sets or twice in one; `InvalidLabel` for a class of such
    /// a node outside 0..classes; `NonPositiveDegree`; `TooLarge` from 2^28 parameters on.
    pub fn new(spec: &'a ModelSpec, graph: &'a Graph, features: &'a Features, labels: &'a Labels) -> Result<Self, Error> {
        for (layer, options) in spec.layers().iter().enumerate() {
            require_trainable(layer, options)?;
        }
        let nodes = graph.nodes();
        for (array, found) in [("features", features.rows()), ("y", labels.classes.len())] {
            if found != nodes {
                return Err(InputError::dimension(array, format!("{found} rows"), format!("{nodes} (the nodes of the graph)")).into());
            }
        }
        if features.columns() != spec.in_channels() {
            let expected = format!("{} (in_channels of the model)", spec.in_channels());
            return Err(InputError::dimension("features", format!("{} columns", features.columns()), expected).into());
        }
        if labels.train.is_empty() {
            return Err(InputError::empty("train_idx (nodes to learn from)", &[0]).into());
        }
        require_sets(labels, nodes, spec.out_channels())?;
        for kind in spec.layers().iter().filter_map(normalisation) {
            graph.require_degrees(kind)?;
        }
        Ok(Training { spec, graph, features, labels, parameters: Parameters::of(spec)? })
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.parameters.len()
    }

    /// The classes that the model tells apart.
    pub fn classes(&self) -> usize {
        self.spec.out_channels()
    }

    /// Whether the loss is convex in the weights: one layer, linear, without activation.
    pub fn is_convex(&self) -> bool {
        matches!(self.spec.layers(), [layer] if matches!(layer.op, Op::Sgc | Op::Linear | Op::Gcn) && layer.activation == Activation::None)
    }

    /// Node and class of what is learned from.
    pub(super) fn targets(&self) -> Vec<(usize, usize)> {
        self.labels.train.iter().map(|&node| (node as usize, self.labels.classes[node as usize] as usize)).collect()
    }

    /// What is odd but no failure; each starts with its name.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut seen = vec![false; self.classes()];
        self.targets().iter().for_each(|&(_, class)| seen[class] = true);
        let absent = (0..seen.len()).filter(|&class| !seen[class]).collect::<Vec<_>>();
        let mut warnings = Vec::new();
        if let Some(first) = absent.first() {
            let (count, of) = (absent.len(), seen.len());
            warnings.push(format!("ClassWithoutSample: no training node has class {first} ({count} of {of} classes have none)"));
        }
        if self.graph.weights().is_some() && self.spec.layers().iter().any(|layer| layer.op == Op::Sage) {
            warnings.push("IgnoredEdgeWeights: sage does not use the weights of edges".into());
        }
        warnings
    }
}

fn require_trainable(layer: usize, options: &LayerSpec) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::Untrainable { layer, op: options.op.name().into(), what: what.into() });
    match (options.op, options.reduce()) {
        (Op::Gcn | Op::Sgc | Op::Linear, _) => {}
        (Op::Sage, Reduce::Mean | Reduce::Sum) => {}
        (Op::Sage, _) => return refuse("aggr is neither mean nor sum"),
        _ => return refuse("the operation is none of gcn, sgc, sage and linear"),
    }
    match options.activation {
        Activation::None | Activation::Relu => {}
        _ => return refuse("the activation is neither relu nor none"),
    }
    if options.norm.is_some() {
        return refuse("it has a norm");
    }
    if options.skip {
        return refuse("it has a skip connection");
    }
    if options.op == Op::Sage && (options.project || options.l2_normalize) {
        return refuse("project and l2_normalize are not learned");
    }
    Ok(())
}

fn require_sets(labels: &Labels, nodes: usize, classes: usize) -> Result<(), Error> {
    let mut set_of: Vec<Option<&'static str>> = vec![None; nodes];
    for (set, members) in labels.sets() {
        for (at, &node) in members.iter().enumerate() {
            let refuse = |problem: String| Err(Error::InvalidSplit { set, at, node: u64::from(node), problem });
            let Some(known) = set_of.get_mut(node as usize) else { return refuse(format!("the graph has {nodes} nodes")) };
            match known.replace(set) {
                None => {}
                Some(other) if other == set => return refuse("it stands there twice".into()),
                Some(other) => return refuse(format!("it is in {other} as well")),
            }
            let label = labels.classes[node as usize];
            if usize::try_from(label).is_ok_and(|label| label < classes) {
                continue;
            }
            return Err(Error::InvalidLabel { node: node as usize, set, label, classes });
        }
    }
    Ok(())
}

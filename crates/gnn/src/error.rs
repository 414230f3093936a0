//! What can be wrong with a graph, a model or a budget.

use certus_contract::InputError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is malformed.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file could not be read or written, or holds something else than it should.
    #[error(transparent)]
    File(#[from] certus_io::Error),
    /// The arrays of a graph contradict each other.
    #[error("the graph's {array}{}: {problem}", at.map(|at| format!("[{at}]")).unwrap_or_default())]
    InvalidGraph {
        /// The array.
        array: &'static str,
        /// The first entry at fault.
        at: Option<usize>,
        /// What is wrong there.
        problem: String,
    },
    /// A layer whose options or widths make no sense.
    #[error("layer {layer} ({op}): {option} is {value}, but must be {expected}")]
    InvalidOption {
        /// The layer, from 0.
        layer: usize,
        /// Its operation.
        op: String,
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A layer that takes other columns than the one before gives.
    #[error("layer {layer} ({op}) has in_channels {found}, but {before} columns come out of layer {}", layer - 1)]
    WidthMismatch {
        /// The layer, from 0.
        layer: usize,
        /// Its operation.
        op: &'static str,
        /// Its columns in.
        found: usize,
        /// The columns out of the layer before.
        before: usize,
    },
    /// An operation that this crate does not have, or that a mode cannot bound.
    #[error("layer {layer}: {op} is not supported: {why}")]
    UnsupportedOp {
        /// The layer, from 0.
        layer: usize,
        /// The operation.
        op: String,
        /// Why.
        why: String,
    },
    /// A layer that training does not learn.
    #[error("layer {layer} ({op}) cannot be trained: {what}")]
    Untrainable {
        /// The layer, from 0.
        layer: usize,
        /// Its operation.
        op: String,
        /// What is not learned.
        what: String,
    },
    /// A node that cannot stand in a set of labelled nodes.
    #[error("{set}[{at}] is node {node}: {problem}")]
    InvalidSplit {
        /// The set, by the name of its array in files.
        set: &'static str,
        /// The place in the set.
        at: usize,
        /// The node.
        node: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A class that the model has not.
    #[error("node {node} of {set} has class {label}, but the model has classes 0..{classes}")]
    InvalidLabel {
        /// The node.
        node: usize,
        /// The set it stands in.
        set: &'static str,
        /// Its class.
        label: i64,
        /// How many classes there are.
        classes: usize,
    },
    /// A parameter of a layer that is not in the weights.
    #[error("the weights have no tensor {tensor} of shape {shape} (layer {layer}); there is {available}")]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// The shape that it should have.
        shape: String,
        /// The layer, from 0.
        layer: usize,
        /// What there is.
        available: String,
    },
    /// A parameter of the wrong shape.
    #[error("tensor {tensor} has shape {found}, but layer {layer} needs {expected}")]
    WrongShape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: String,
        /// The shape that is needed.
        expected: String,
        /// The layer, from 0.
        layer: usize,
    },
    /// Tensors that no layer uses.
    #[error("no layer uses the tensor {tensor} of shape {shape}")]
    UnusedTensor {
        /// The first of them.
        tensor: String,
        /// Its shape.
        shape: String,
    },
    /// The weighted degree of a node is negative, so that its root does not exist.
    #[error("node {node} has the weighted degree {degree}, but symmetric normalisation needs 0 or more")]
    NonPositiveDegree {
        /// The node.
        node: usize,
        /// The sum of the weights of its incoming edges.
        degree: f64,
    },
    /// No schedule fits.
    #[error("a budget of {budget} bytes is too small: {minimum} bytes are needed with these options (layer {limiting_layer} sets it)")]
    BudgetTooSmall {
        /// What was allowed.
        budget: u64,
        /// The exact threshold for these options.
        minimum: u64,
        /// The layer that needs most.
        limiting_layer: usize,
        /// What would need less.
        suggestion: String,
    },
    /// The system does not give the bytes that the plan needs.
    #[error("the system does not give the {bytes} bytes that this plan holds")]
    OutOfMemory {
        /// Bytes of the one allocation.
        bytes: u64,
    },
    /// An activation left the finite numbers.
    #[error(
        "the activations of node {node} after layer {layer} are not finite: they left the range of f32 (or of f16, where they are kept in it: 65504)"
    )]
    Overflow {
        /// The layer, from 0.
        layer: usize,
        /// Such a node; which of several it is may differ between schedules.
        node: usize,
    },
    /// A file operation failed while the model ran.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted: `reading`, `writing`.
        action: &'static str,
        /// The file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The observer stopped the run.
    #[error("stopped before layer {layer} was complete; there is no output")]
    Stopped {
        /// The layer under way.
        layer: usize,
    },
    /// The observer stopped the making of a graph.
    #[error("stopped before the graph was made; nothing is left of it")]
    StoppedDrawing,
}

impl Error {
    /// The kind as the JSON's `error.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Input(error) => error.kind(),
            Error::File(error) => error.kind(),
            Error::InvalidGraph { .. } => "InvalidGraph",
            Error::InvalidOption { .. } => "InvalidOption",
            Error::WidthMismatch { .. } => "DimensionMismatch",
            Error::UnsupportedOp { .. } => "UnsupportedOp",
            Error::Untrainable { .. } => "Untrainable",
            Error::InvalidSplit { .. } => "InvalidSplit",
            Error::InvalidLabel { .. } => "InvalidLabel",
            Error::MissingTensor { .. } => "MissingTensor",
            Error::WrongShape { .. } => "ShapeMismatch",
            Error::UnusedTensor { .. } => "UnusedTensor",
            Error::NonPositiveDegree { .. } => "NonPositiveDegree",
            Error::BudgetTooSmall { .. } => "budget_too_small",
            Error::OutOfMemory { .. } => "OutOfMemory",
            Error::Overflow { .. } => "Overflow",
            Error::Io { .. } => "Io",
            Error::Stopped { .. } | Error::StoppedDrawing => "Stopped",
        }
    }

    /// What to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Error::Input(error) => error.hint(),
            Error::File(error) => error.hint(),
            Error::InvalidGraph { .. } => "Write the graph again as incoming CSR: row = target, entries = sources.".into(),
            Error::InvalidOption { option, .. } => format!("Correct {option} in the model file."),
            Error::WidthMismatch { layer, .. } => {
                format!("Correct in_channels of layer {layer}, or out_channels (with heads: of one head) of the layer before.")
            }
            Error::UnsupportedOp { .. } => "Leave the layer out, or evaluate it where it was trained.".into(),
            Error::Untrainable { .. } => {
                "Train layers of gcn, sgc, sage (mean or sum) and linear with relu or none; import the weights of others.".into()
            }
            Error::InvalidSplit { set, .. } => format!("Give in {set} each node once, by its number from 0 on, and in one set alone."),
            Error::InvalidLabel { .. } => "Make out_channels of the last layer the number of classes, or leave the node out.".into(),
            Error::MissingTensor { .. } => "Check prefix and norm_prefix of the layer, or rename the tensors.".into(),
            Error::WrongShape { .. } => "Check in_channels, out_channels and heads of the layer, or the weights' layout.".into(),
            Error::UnusedTensor { .. } => "Remove it from the file, or add the layer that it belongs to.".into(),
            Error::NonPositiveDegree { .. } => "Use non-negative edge weights, or \"normalize\": false in the model file.".into(),
            Error::BudgetTooSmall { suggestion, .. } => suggestion.clone(),
            Error::OutOfMemory { .. } => "Give a budget below what is free, and a spill folder where that is too small.".into(),
            Error::Overflow { .. } => "Keep activations in f32, scale the features, or check the weights.".into(),
            Error::Io { action, .. } => match *action {
                "reading" => "Check that the file is whole and readable.".into(),
                _ => "Check the folder and its free space; nothing was left behind.".into(),
            },
            Error::Stopped { .. } | Error::StoppedDrawing => "Run it again to the end.".into(),
        }
    }
}

/// An entry that is not finite in f32; `value` as it was given.
pub(crate) fn not_finite(array: impl Into<String>, index: &[usize], value: f64) -> InputError {
    match InputError::non_finite(array, index, value) {
        InputError::NonFinite { array, position, .. } if value.is_finite() => {
            InputError::NonFinite { array, position, value: format!("{value:e}, which is beyond the range of f32") }
        }
        error => error,
    }
}

/// The index of entry number `flat` in C order.
pub(crate) fn index_of(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &extent) in index.iter_mut().zip(shape).rev() {
        (*i, flat) = (flat % extent.max(1), flat / extent.max(1));
    }
    index
}

/// A shape as NumPy writes it.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
}

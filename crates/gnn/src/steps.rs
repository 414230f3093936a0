//! The steps that a layer is made of, and what each holds in memory.
//!
//! Activations are *values*: panels of n x s numbers, one after the other. Two kinds of step suffice for every layer without attention:
//! [`Rows`](Kind::Rows) maps each row by itself (linear maps, norms), block by block, so that it may write where it has read;
//! [`Panels`](Kind::Panels) aggregates over edges, panel by panel, into the one spare panel, which the old panel then becomes.

use std::ops::Range;

use crate::spec::{Activation, Reduce};

/// A value, by number within its layer; number 0 is the layer's input.
pub(crate) type Val = usize;

/// The layer's input.
pub(crate) const INPUT: Val = 0;

/// The columns of a value: `groups` times `width`. No panel holds columns of two groups (heads).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    pub(crate) groups: usize,
    pub(crate) width: usize,
}

impl Layout {
    pub(crate) fn plain(width: usize) -> Self {
        Layout { groups: 1, width }
    }

    pub(crate) fn columns(self) -> usize {
        self.groups * self.width
    }

    pub(crate) fn panels(self, s: usize) -> usize {
        self.groups * self.width.div_ceil(s)
    }

    /// The columns that panel `k` holds.
    pub(crate) fn columns_of(self, k: usize, s: usize) -> Range<usize> {
        let each = self.width.div_ceil(s);
        let (group, k) = (k / each, k % each);
        let begin = group * self.width;
        begin + k * s..begin + ((k + 1) * s).min(self.width)
    }
}

/// Where rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum From {
    Features,
    Value(Val),
}

/// A matrix of the layer, by slot, and which of its output columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MatrixRef {
    pub(crate) slot: usize,
    pub(crate) columns: Range<usize>,
}

/// A vector of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum VectorSlot {
    Bias,
    Left,
    Right,
    Project,
    /// Of the norm and the bias after gin's linear map of this number.
    Hidden(u16),
    HiddenScale(u16),
    HiddenShift(u16),
    Source,
    Target,
    NormScale,
    NormShift,
}

/// The weight of the loop that each node gets under symmetric normalisation; `None`: loops are ordinary edges.
pub(crate) use crate::graph::Normalisation;

/// The node's own row in a sum over its neighbours; it comes last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OwnTerm {
    None,
    /// Times the weight of its loop.
    Loop(Normalisation),
    /// Times 1 + eps of the layer.
    OnePlusEps,
}

/// What is summed over edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operator {
    pub(crate) reduce: Reduce,
    /// Messages are multiplied by weights of edges, where the graph has some.
    pub(crate) weighted: bool,
    /// Stored loops are left out.
    pub(crate) drop_loops: bool,
    pub(crate) own: OwnTerm,
    /// No edges: the own row alone.
    pub(crate) no_edges: bool,
}

impl Operator {
    pub(crate) fn of(reduce: Reduce) -> Self {
        Operator { reduce, weighted: false, drop_loops: false, own: OwnTerm::None, no_edges: false }
    }
}

/// What happens to a finished sum, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Epilogue {
    /// Times `deg^-1/2` of the row.
    pub(crate) norm: Option<Normalisation>,
    /// Over the in-degree (where it is not 0).
    pub(crate) mean: bool,
    /// Plus what stands at the place of the output.
    pub(crate) accumulate: bool,
    /// Over this number.
    pub(crate) divide: Option<f32>,
    /// (1 - alpha) times it plus alpha times this value (panel by panel: that panel of it).
    pub(crate) mix: Option<(f32, Val)>,
    pub(crate) bias: Option<VectorSlot>,
    /// Over the row's norm. Rows only.
    pub(crate) l2: bool,
    /// Less the row's mean, over its deviation, with this added to the variance. Rows only.
    pub(crate) standardise: Option<f64>,
    /// Column by column: times the first, plus the second.
    pub(crate) affine: Option<(VectorSlot, VectorSlot)>,
    pub(crate) activation: Activation,
    /// Plus this value.
    pub(crate) skip: Option<Val>,
    /// Times `deg^-1/2` of the row, for the next sum.
    pub(crate) rescale: Option<Normalisation>,
}

/// One term of a row: a row, or a sum over the neighbours' rows, through a matrix (or as it is).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    pub(crate) from: From,
    pub(crate) over_edges: Option<(Operator, bool)>,
    pub(crate) matrix: Option<MatrixRef>,
    pub(crate) meets: Meeting,
}

/// What a term does to the terms before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// It is added; the first one stands alone.
    #[default]
    Added,
    /// It stands beside them, from this column on. Without a matrix.
    Beside(usize),
    /// The larger of both stays, column by column. Without a matrix.
    Larger,
}

impl Term {
    pub(crate) fn own(from: From, matrix: impl Into<Option<MatrixRef>>) -> Self {
        Term { from, over_edges: None, matrix: matrix.into(), meets: Meeting::Added }
    }
}

/// One output of a step over rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowOut {
    pub(crate) terms: Vec<Term>,
    pub(crate) epilogue: Epilogue,
    pub(crate) out: Val,
}

/// Where a step over panels writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PanelOut {
    /// Into the spare panel, which takes the place of the source's.
    Rotate,
    /// Into panels of another value, from this one on, which exist.
    Into(Val, usize),
    /// Into panels of another value, from this one on, which are taken from the pool.
    Fresh(Val, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Rows(Vec<RowOut>),
    /// Aggregates panels `panels` of `src`.
    Panels {
        src: Val,
        panels: Range<usize>,
        operator: Operator,
        epilogue: Epilogue,
        out: PanelOut,
        /// The value, and its first panel, whose columns these are: for the epilogue's vectors and other values.
        frame: (Val, usize),
    },
    /// The two scores of each node for one head of `z`.
    Scores {
        z: Val,
        head: usize,
    },
    /// Attention of one head by scores, panel by panel.
    Attend {
        z: Val,
        head: usize,
        loops: bool,
        slope: f32,
        epilogue: Epilogue,
        out: PanelOut,
    },
    /// Attention of one head whose scores need both rows; `left` and `right` hold that head alone.
    AttendPairs {
        left: Val,
        right: Val,
        head: usize,
        loops: bool,
        slope: f32,
        epilogue: Epilogue,
        out: PanelOut,
    },
    /// Several sums in a row, for each panel of a value in turn, so that a panel stays in the cache.
    Propagate(Propagate),
}

/// `steps` sums of each panel. `between` follows each but the last, `last` that one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Propagate {
    pub(crate) value: Val,
    pub(crate) steps: usize,
    pub(crate) operator: Operator,
    /// Applied to the panel before the first sum: the iteration then runs beside it, since each sum returns to it (`Epilogue::mix`).
    pub(crate) beside: Option<Epilogue>,
    pub(crate) between: Epilogue,
    pub(crate) last: Epilogue,
    /// Where results go, if the value itself must stay.
    pub(crate) into: Option<Val>,
}

impl Propagate {
    /// What follows sum number `step`, from 1.
    pub(crate) fn epilogue(&self, step: usize) -> &Epilogue {
        if step == self.steps { &self.last } else { &self.between }
    }
}

/// A step, and which values are dead before and after it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    /// Values whose panels the output may take, though they are read: row by row, what is read is read before it is overwritten.
    pub(crate) free_before: Vec<Val>,
    pub(crate) free_after: Vec<Val>,
    /// Aggregations behind the output within the layer: only those rows are computed that so many hops leave complete.
    pub(crate) hops: usize,
}

/// One way to compute a layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recipe {
    pub(crate) steps: Vec<Step>,
    pub(crate) values: Vec<Layout>,
    pub(crate) output: Val,
    /// Values that are there before the first step: the layer's input, and of a join those of earlier layers.
    pub(crate) inputs: usize,
    /// Whether the input is still there after the last.
    pub(crate) keeps_input: bool,
    /// Aggregations in all.
    pub(crate) hops: usize,
}

impl Kind {
    /// What a report calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Rows(_) => "rows",
            Kind::Panels { .. } => "aggregate",
            Kind::Scores { .. } => "scores",
            Kind::Attend { .. } | Kind::AttendPairs { .. } => "attend",
            Kind::Propagate(_) => "propagate",
        }
    }
}

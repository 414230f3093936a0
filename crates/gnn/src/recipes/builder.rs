//! A recipe under construction.

use super::{Context, Input, Order, normalisation};
use crate::graph::Normalisation;
use crate::spec::{LayerSpec, Norm, Op, Reduce};
use crate::steps::{
    Epilogue, From, INPUT, Kind, Layout, MatrixRef, Operator, OwnTerm, Propagate, Recipe, RowOut, Step, Term, Val, VectorSlot,
};

pub(super) struct Builder<'a> {
    pub(super) layer: &'a LayerSpec,
    pub(super) input: Input,
    pub(super) from: From,
    pub(super) s: usize,
    pub(super) steps: Vec<Step>,
    pub(super) values: Vec<Layout>,
    pub(super) hops: usize,
    pub(super) inputs: usize,
    pub(super) keeps_input: bool,
}

impl<'a> Builder<'a> {
    pub(super) fn new(layer: &'a LayerSpec, context: &Context, order: Order, s: usize) -> Self {
        let Context { input, keeps_input, .. } = *context;
        let (from, layout) = match input {
            Input::Features(_) => (From::Features, Layout::plain(layer.in_channels)),
            Input::Value(layout) => (From::Value(INPUT), layout),
        };
        let mut b = Builder { layer, input, from, s, steps: Vec::new(), values: vec![layout], hops: 0, inputs: 1, keeps_input };
        // Where the layer would change its input, or free it at its end, it works on a copy.
        if b.from == From::Value(INPUT) && keeps_input && (layer.skip || changes_input(layer, order)) {
            let terms = vec![Term::own(b.from, None)];
            b.from = From::Value(b.rows(terms, Epilogue::default(), layout, Vec::new()));
        }
        b
    }

    pub(super) fn value(&mut self, layout: Layout) -> Val {
        self.values.push(layout);
        self.values.len() - 1
    }

    pub(super) fn panels(&self, value: Val) -> usize {
        self.values[value].panels(self.s)
    }

    /// Values that are dead once the input has been read, if the input is one and nobody needs it at the end.
    pub(super) fn spent(&self) -> Vec<Val> {
        match self.from {
            From::Features => Vec::new(),
            From::Value(INPUT) if self.keeps_input => Vec::new(),
            From::Value(_) if self.layer.skip => Vec::new(),
            From::Value(value) => vec![value],
        }
    }

    pub(super) fn push(&mut self, kind: Kind, free_before: Vec<Val>, free_after: Vec<Val>) {
        self.steps.push(Step { kind, free_before, free_after, hops: self.hops });
    }

    /// A step over rows with one output.
    pub(super) fn rows(&mut self, terms: Vec<Term>, epilogue: Epilogue, layout: Layout, free_before: Vec<Val>) -> Val {
        let out = self.value(layout);
        self.push(Kind::Rows(vec![RowOut { terms, epilogue, out }]), free_before, Vec::new());
        out
    }

    /// Copies features into panels, where a layer must read its input at random or at the end.
    pub(super) fn load(&mut self, rescale: Option<Normalisation>) -> Val {
        let layout = Layout::plain(self.layer.in_channels);
        let terms = vec![Term::own(From::Features, None)];
        self.rows(terms, Epilogue { rescale, ..Epilogue::default() }, layout, Vec::new())
    }

    /// Where a skip connection needs the features, they are a value.
    pub(super) fn hold_skipped_features(&mut self) {
        if self.layer.skip && self.from == From::Features {
            let held = self.load(None);
            debug_assert_eq!(held, 1);
            self.from = From::Value(held);
        }
    }

    /// The value that a skip connection adds, and that it frees.
    pub(super) fn skipped(&self) -> Option<Val> {
        match self.from {
            From::Value(value) if self.layer.skip => Some(value),
            _ => None,
        }
    }

    pub(super) fn matrix(&self, slot: usize, columns: usize) -> MatrixRef {
        MatrixRef { slot, columns: 0..columns }
    }

    pub(super) fn bias(&self) -> Option<VectorSlot> {
        self.layer.bias.then_some(VectorSlot::Bias)
    }

    /// Whether the end of the layer needs whole rows, or another layout than the input's.
    pub(super) fn ends_in_rows(&self, out: Layout) -> bool {
        let moved = self.skipped().is_some_and(|value| self.values[value] != out);
        self.layer.norm == Some(Norm::Layer) || (self.layer.op == Op::Sage && self.layer.l2_normalize) || moved
    }

    /// The end of the layer (norm, activation, skip) as part of an epilogue.
    pub(super) fn ended(&self, epilogue: Epilogue) -> Epilogue {
        Epilogue {
            l2: self.layer.op == Op::Sage && self.layer.l2_normalize,
            standardise: (self.layer.norm == Some(Norm::Layer)).then_some(self.layer.norm_eps),
            affine: self.layer.norm.map(|_| (VectorSlot::NormScale, VectorSlot::NormShift)),
            activation: self.layer.activation,
            skip: self.skipped(),
            ..epilogue
        }
    }

    /// The epilogue of the last step over panels: with the end of the layer, unless that needs whole rows.
    pub(super) fn last(&self, epilogue: Epilogue, out: Layout) -> Epilogue {
        if self.ends_in_rows(out) { epilogue } else { self.ended(epilogue) }
    }

    /// Ends a layer whose last step was over panels.
    pub(super) fn finish_panels(mut self, value: Val) -> Recipe {
        let layout = self.values[value];
        let skipped = self.skipped();
        if self.ends_in_rows(layout) {
            let epilogue = self.ended(Epilogue::default());
            let mut free = vec![value];
            free.extend(skipped);
            let out = self.rows(vec![Term::own(From::Value(value), None)], epilogue, layout, free);
            return self.recipe(out);
        }
        if let (Some(skipped), Some(step)) = (skipped, self.steps.last_mut()) {
            step.free_after.push(skipped);
        }
        self.recipe(value)
    }

    /// Ends a layer by a step over rows.
    pub(super) fn finish_rows(mut self, terms: Vec<Term>, epilogue: Epilogue, layout: Layout, mut free: Vec<Val>) -> Recipe {
        free.extend(self.skipped());
        free.dedup();
        let epilogue = self.ended(epilogue);
        let out = self.rows(terms, epilogue, layout, free);
        self.recipe(out)
    }

    pub(super) fn recipe(self, output: Val) -> Recipe {
        let Builder { steps, values, inputs, keeps_input, hops, .. } = self;
        Recipe { steps, values, output, inputs, keeps_input, hops }
    }

    pub(super) fn normalisation(&self) -> Option<Normalisation> {
        normalisation(self.layer)
    }

    /// The sum of one step of propagation.
    pub(super) fn operator(&self) -> Operator {
        let own = match self.normalisation() {
            Some(normalisation) if normalisation.self_loop.is_some() => OwnTerm::Loop(normalisation),
            _ => OwnTerm::None,
        };
        Operator { weighted: true, drop_loops: own != OwnTerm::None, own, ..Operator::of(Reduce::Sum) }
    }

    /// `steps` sums of a value; `last` follows the last one.
    pub(super) fn propagate(&mut self, value: Val, steps: usize, last: Epilogue) {
        let (norm, operator) = (self.normalisation(), self.operator());
        let between = Epilogue { norm, rescale: norm, ..Epilogue::default() };
        let last = Epilogue { norm, ..last };
        self.hops += steps;
        let work = Propagate { value, steps, operator, beside: None, between, last, into: None };
        self.push(Kind::Propagate(work), vec![], vec![]);
    }
}

/// Whether the steps of a layer write into its input, or name it when they free values.
fn changes_input(layer: &LayerSpec, order: Order) -> bool {
    layer.op == Op::Appnp || (matches!(layer.op, Op::Gin | Op::Sage | Op::Graphconv) && order == Order::AggregateFirst)
}

//! From layers to steps: for each layer, every way to compute it that differs in memory.
//!
//! Whether the linear map comes before the aggregation changes the last bits, so it is settled here from the model and the kind of features
//! alone; the ways of one layer perform the same operations on the same numbers in the same order.

use crate::features::FeatureStats;
use crate::graph::Normalisation;
use crate::spec::{Join, LayerSpec, MOST_STEPS, Norm, Op, Reduce};
use crate::steps::{
    Epilogue, From, INPUT, Kind, Layout, MatrixRef, Meeting, Operator, OwnTerm, PanelOut, Propagate, Recipe, RowOut, Step, Term, Val,
    VectorSlot,
};

/// Whether the linear map or the aggregation comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// The linear map: edges carry columns of the output.
    CombineFirst,
    /// The aggregation: edges carry columns of the input.
    AggregateFirst,
}

/// The input of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    Features(FeatureStats),
    Value(Layout),
}

/// What the ways to compute a layer depend on beside the layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) input: Input,
    /// The order that was asked for.
    pub(crate) order: Option<Order>,
    /// A later layer joins its input: it stays.
    pub(crate) keeps_input: bool,
    /// Of a join: the outputs of earlier layers, but for the last.
    pub(crate) earlier: &'a [Layout],
}

/// The order of a layer, where both are the same function: that which was asked for, or that with fewer columns over edges.
pub(crate) fn order(layer: &LayerSpec, input: Input, asked: Option<Order>) -> Order {
    let narrow = match layer.op {
        Op::Gin => layer.hidden_channels(),
        _ => layer.out_channels,
    };
    match (layer.op, layer.reduce()) {
        (Op::Sage | Op::Graphconv, Reduce::Max | Reduce::Min) => Order::AggregateFirst,
        (Op::Gat | Op::Gatv2 | Op::Tag | Op::Linear | Op::Appnp | Op::Jk, _) => Order::CombineFirst,
        _ if asked.is_some() => asked.unwrap_or(Order::CombineFirst),
        _ if layer.project => Order::CombineFirst,
        _ if matches!(input, Input::Features(stats) if stats.is_sparse()) => Order::CombineFirst,
        _ if layer.in_channels < narrow => Order::AggregateFirst,
        _ => Order::CombineFirst,
    }
}

/// All ways to compute a layer with panels of `s` columns; `spill`: values are on disk, so that none is read at random but through a panel
/// in memory.
pub(crate) fn recipes(layer: &LayerSpec, context: Context, s: usize, spill: bool) -> Vec<Recipe> {
    let order = order(layer, context.input, context.order);
    let new = || Builder::new(layer, &context, order, s);
    match (layer.op, order) {
        (Op::Linear, _) => vec![linear(new())],
        (Op::Jk, _) => vec![join(new(), context.earlier)],
        (Op::Gcn | Op::Sgc, Order::CombineFirst) => vec![propagate_after(new())],
        (Op::Gcn | Op::Sgc, Order::AggregateFirst) => vec![propagate_before(new())],
        (Op::Appnp, _) => vec![appnp(new())],
        (Op::Tag, _) => vec![tag(new())],
        (Op::Gin, Order::CombineFirst) => vec![gin_after(new())],
        (Op::Gin, Order::AggregateFirst) => vec![gin_before(new())],
        (Op::Sage | Op::Graphconv, Order::CombineFirst) if layer.root_weight => {
            let mut ways = vec![beside_wide(new())];
            // Each panel is a step.
            if !spill && layer.out_channels.div_ceil(s) <= MOST_STEPS {
                ways.push(beside_sliced(new()));
            }
            ways
        }
        (Op::Sage | Op::Graphconv, Order::CombineFirst) => vec![alone(new())],
        (Op::Sage | Op::Graphconv, Order::AggregateFirst) => vec![aggregate_rows(new(), spill)],
        (Op::Gat, _) if layer.heads == 1 || layer.concat => vec![gat_concat(new())],
        (Op::Gat, _) => vec![gat_mean(new())],
        (Op::Gatv2, _) => vec![gatv2(new())],
    }
}

/// The symmetric normalisation of a layer, if it has one.
pub(crate) fn normalisation(layer: &LayerSpec) -> Option<Normalisation> {
    if !layer.normalize || !matches!(layer.op, Op::Gcn | Op::Sgc | Op::Appnp | Op::Tag) {
        return None;
    }
    let loops = layer.add_self_loops && layer.op != Op::Tag;
    Some(Normalisation { self_loop: loops.then_some(layer.self_loop_weight) })
}

/// Aggregations of a layer in all.
pub(crate) fn hops(layer: &LayerSpec) -> usize {
    layer.steps()
}

/// Whether a layer has a bound on what errors of its input become: attention and norms of rows divide by what depends on them.
pub(crate) fn has_bound(layer: &LayerSpec) -> bool {
    let rows = layer.norm == Some(Norm::Layer) || (layer.op == Op::Sage && layer.l2_normalize);
    !matches!(layer.op, Op::Gat | Op::Gatv2) && !rows
}

struct Builder<'a> {
    layer: &'a LayerSpec,
    input: Input,
    from: From,
    s: usize,
    steps: Vec<Step>,
    values: Vec<Layout>,
    hops: usize,
    inputs: usize,
    keeps_input: bool,
}

impl<'a> Builder<'a> {
    fn new(layer: &'a LayerSpec, context: &Context, order: Order, s: usize) -> Self {
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

    fn value(&mut self, layout: Layout) -> Val {
        self.values.push(layout);
        self.values.len() - 1
    }

    fn panels(&self, value: Val) -> usize {
        self.values[value].panels(self.s)
    }

    /// Values that are dead once the input has been read, if the input is one and nobody needs it at the end.
    fn spent(&self) -> Vec<Val> {
        match self.from {
            From::Features => Vec::new(),
            From::Value(INPUT) if self.keeps_input => Vec::new(),
            From::Value(_) if self.layer.skip => Vec::new(),
            From::Value(value) => vec![value],
        }
    }

    fn push(&mut self, kind: Kind, free_before: Vec<Val>, free_after: Vec<Val>) {
        self.steps.push(Step { kind, free_before, free_after, hops: self.hops });
    }

    /// A step over rows with one output.
    fn rows(&mut self, terms: Vec<Term>, epilogue: Epilogue, layout: Layout, free_before: Vec<Val>) -> Val {
        let out = self.value(layout);
        self.push(Kind::Rows(vec![RowOut { terms, epilogue, out }]), free_before, Vec::new());
        out
    }

    /// Copies features into panels, where a layer must read its input at random or at the end.
    fn load(&mut self, rescale: Option<Normalisation>) -> Val {
        let layout = Layout::plain(self.layer.in_channels);
        let terms = vec![Term::own(From::Features, None)];
        self.rows(terms, Epilogue { rescale, ..Epilogue::default() }, layout, Vec::new())
    }

    /// Where a skip connection needs the features, they are a value.
    fn hold_skipped_features(&mut self) {
        if self.layer.skip && self.from == From::Features {
            let held = self.load(None);
            debug_assert_eq!(held, 1);
            self.from = From::Value(held);
        }
    }

    /// The value that a skip connection adds, and that it frees.
    fn skipped(&self) -> Option<Val> {
        match self.from {
            From::Value(value) if self.layer.skip => Some(value),
            _ => None,
        }
    }

    fn matrix(&self, slot: usize, columns: usize) -> MatrixRef {
        MatrixRef { slot, columns: 0..columns }
    }

    fn bias(&self) -> Option<VectorSlot> {
        self.layer.bias.then_some(VectorSlot::Bias)
    }

    /// Whether the end of the layer needs whole rows, or another layout than the input's.
    fn ends_in_rows(&self, out: Layout) -> bool {
        let moved = self.skipped().is_some_and(|value| self.values[value] != out);
        self.layer.norm == Some(Norm::Layer) || (self.layer.op == Op::Sage && self.layer.l2_normalize) || moved
    }

    /// The end of the layer (norm, activation, skip) as part of an epilogue.
    fn ended(&self, epilogue: Epilogue) -> Epilogue {
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
    fn last(&self, epilogue: Epilogue, out: Layout) -> Epilogue {
        if self.ends_in_rows(out) { epilogue } else { self.ended(epilogue) }
    }

    /// Ends a layer whose last step was over panels.
    fn finish_panels(mut self, value: Val) -> Recipe {
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
    fn finish_rows(mut self, terms: Vec<Term>, epilogue: Epilogue, layout: Layout, mut free: Vec<Val>) -> Recipe {
        free.extend(self.skipped());
        free.dedup();
        let epilogue = self.ended(epilogue);
        let out = self.rows(terms, epilogue, layout, free);
        self.recipe(out)
    }

    fn recipe(self, output: Val) -> Recipe {
        let Builder { steps, values, inputs, keeps_input, hops, .. } = self;
        Recipe { steps, values, output, inputs, keeps_input, hops }
    }

    fn normalisation(&self) -> Option<Normalisation> {
        normalisation(self.layer)
    }

    /// The sum of one step of propagation.
    fn operator(&self) -> Operator {
        let own = match self.normalisation() {
            Some(normalisation) if normalisation.self_loop.is_some() => OwnTerm::Loop(normalisation),
            _ => OwnTerm::None,
        };
        Operator { weighted: true, drop_loops: own != OwnTerm::None, own, ..Operator::of(Reduce::Sum) }
    }

    /// `steps` sums of a value; `last` follows the last one.
    fn propagate(&mut self, value: Val, steps: usize, last: Epilogue) {
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

/// Jumping knowledge: rows of several layers side by side, or the largest of each column. Rows take the place of what was joined.
fn join(mut b: Builder, earlier: &[Layout]) -> Recipe {
    let last = b.values[INPUT];
    b.values.extend_from_slice(earlier);
    b.inputs = b.values.len();
    // Where all are alike so is the output, and no panel holds columns of two.
    let alike = earlier.iter().all(|&layout| layout == last);
    let out = match (b.layer.mode, alike) {
        (Some(Join::Max), true) => last,
        (_, true) => Layout { groups: last.groups * b.inputs, width: last.width },
        (_, false) => Layout::plain(b.layer.out_channels),
    };
    let mut column = 0;
    let order = (1..b.inputs).chain([INPUT]).collect::<Vec<_>>();
    let terms = order.iter().map(|&value| {
        let meets = if b.layer.mode == Some(Join::Max) { Meeting::Larger } else { Meeting::Beside(column) };
        column += b.values[value].columns();
        Term { meets, ..Term::own(From::Value(value), None) }
    });
    let terms = terms.collect();
    b.finish_rows(terms, Epilogue::default(), out, order)
}

fn linear(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let layout = Layout::plain(b.layer.out_channels);
    let terms = vec![Term::own(b.from, b.matrix(0, b.layer.out_channels))];
    let (epilogue, free) = (Epilogue { bias: b.bias(), ..Epilogue::default() }, b.spent());
    b.finish_rows(terms, epilogue, layout, free)
}

/// GCN and SGC: the linear map in place, then sums by rotation.
fn propagate_after(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let steps = b.layer.steps();
    if steps == 0 {
        return linear(b);
    }
    let layout = Layout::plain(b.layer.out_channels);
    let terms = vec![Term::own(b.from, b.matrix(0, b.layer.out_channels))];
    let free = b.spent();
    let rescale = b.normalisation();
    let z = b.rows(terms, Epilogue { rescale, ..Epilogue::default() }, layout, free);
    let last = b.last(Epilogue { bias: b.bias(), ..Epilogue::default() }, layout);
    b.propagate(z, steps, last);
    b.finish_panels(z)
}

/// GCN and SGC where the input is narrower: sums by rotation, then the linear map in place.
fn propagate_before(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let steps = b.layer.steps();
    if steps == 0 {
        return linear(b);
    }
    let norm = b.normalisation();
    let y = match b.from {
        From::Features => b.load(norm),
        From::Value(value) => {
            let free = b.spent();
            let layout = b.values[value];
            b.rows(vec![Term::own(b.from, None)], Epilogue { rescale: norm, ..Epilogue::default() }, layout, free)
        }
    };
    b.propagate(y, steps, Epilogue::default());
    let layout = Layout::plain(b.layer.out_channels);
    let terms = vec![Term::own(From::Value(y), b.matrix(0, b.layer.out_channels))];
    let epilogue = Epilogue { bias: b.bias(), ..Epilogue::default() };
    b.finish_rows(terms, epilogue, layout, vec![y])
}

/// APPNP: for each panel its own iteration, beside the panel that it returns to.
fn appnp(mut b: Builder) -> Recipe {
    let z = match b.from {
        From::Features => b.load(None),
        From::Value(value) => value,
    };
    b.from = From::Value(z);
    let (steps, alpha, layout) = (b.layer.steps(), b.layer.alpha.unwrap_or(0.0), b.values[z]);
    if steps == 0 {
        return b.finish_rows(vec![Term::own(From::Value(z), None)], Epilogue::default(), layout, vec![z]);
    }
    let (norm, operator) = (b.normalisation(), b.operator());
    // A skip connection adds the very panel that the iteration returns to.
    let rows_at_end = b.layer.norm == Some(Norm::Layer);
    let end = if rows_at_end { Epilogue::default() } else { b.ended(Epilogue::default()) };
    let into = (rows_at_end && b.layer.skip).then(|| b.value(layout));
    let scaled = Epilogue { rescale: norm, ..Epilogue::default() };
    let (returning, mix) = (Epilogue { norm, rescale: norm, ..Epilogue::default() }, Some((alpha, z)));
    let (between, last) = (Epilogue { mix, ..returning }, Epilogue { norm, mix, ..end });
    b.hops += steps;
    b.push(Kind::Propagate(Propagate { value: z, steps, operator, beside: Some(scaled), between, last, into }), vec![], vec![]);
    if !rows_at_end {
        return b.recipe(z);
    }
    let epilogue = b.ended(Epilogue::default());
    let (result, free) = into.map_or((z, vec![z]), |into| (into, vec![into, z]));
    let out = b.rows(vec![Term::own(From::Value(result), None)], epilogue, layout, free);
    b.recipe(out)
}

/// TAG by Horner's rule: x W0 + S (x W1 + S (x W2 + ...)).
fn tag(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (steps, out) = (b.layer.steps(), b.layer.out_channels);
    let (norm, operator, layout) = (b.normalisation(), b.operator(), Layout::plain(out));
    if steps == 0 {
        return linear(b);
    }
    let terms = vec![Term::own(b.from, b.matrix(steps, out))];
    let mut v = b.rows(terms, Epilogue { rescale: norm, ..Epilogue::default() }, layout, vec![]);
    for k in (0..steps).rev() {
        b.hops += 1;
        let panels = 0..layout.panels(b.s);
        let sum = Epilogue { norm, ..Epilogue::default() };
        b.push(Kind::Panels { src: v, panels, operator, epilogue: sum, out: PanelOut::Rotate, frame: (v, 0) }, vec![], vec![]);
        let terms = vec![Term::own(From::Value(v), None), Term::own(b.from, b.matrix(k, out))];
        if k == 0 {
            let epilogue = Epilogue { bias: b.bias(), ..Epilogue::default() };
            let mut free = vec![v];
            free.extend(b.spent());
            return b.finish_rows(terms, epilogue, layout, free);
        }
        v = b.rows(terms, Epilogue { rescale: norm, ..Epilogue::default() }, layout, vec![v]);
    }
    b.recipe(v)
}

/// The rest of GIN's network, after its first linear map.
fn gin_end(b: Builder, hidden: Val) -> Recipe {
    let out = b.layer.out_channels;
    let terms = vec![Term::own(From::Value(hidden), b.matrix(1, out))];
    let bias = b.layer.bias.then_some(VectorSlot::Bias);
    b.finish_rows(terms, Epilogue { bias, ..Epilogue::default() }, Layout::plain(out), vec![hidden])
}

/// What stands between GIN's two linear maps.
fn gin_hidden(b: &Builder) -> Epilogue {
    Epilogue {
        bias: b.layer.bias.then_some(VectorSlot::Hidden),
        affine: b.layer.mlp_norm.map(|_| (VectorSlot::HiddenScale, VectorSlot::HiddenShift)),
        activation: crate::spec::Activation::Relu,
        ..Epilogue::default()
    }
}

const GIN_SUM: Operator = Operator { reduce: Reduce::Sum, weighted: false, drop_loops: false, own: OwnTerm::OnePlusEps, no_edges: false };

fn gin_after(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let hidden = Layout::plain(b.layer.hidden_channels());
    let terms = vec![Term::own(b.from, b.matrix(0, hidden.width))];
    let free = b.spent();
    let z = b.rows(terms, Epilogue::default(), hidden, free);
    b.hops += 1;
    let epilogue = gin_hidden(&b);
    let panels = 0..b.panels(z);
    b.push(Kind::Panels { src: z, panels, operator: GIN_SUM, epilogue, out: PanelOut::Rotate, frame: (z, 0) }, vec![], vec![]);
    gin_end(b, z)
}

fn gin_before(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let y = match b.from {
        From::Features => b.load(None),
        From::Value(value) => value,
    };
    b.hops += 1;
    // A skip connection still needs the input.
    let keep = b.layer.skip;
    let sum = if keep { b.value(b.values[y]) } else { y };
    let (panels, out) = (0..b.panels(y), if keep { PanelOut::Fresh(sum, 0) } else { PanelOut::Rotate });
    b.push(Kind::Panels { src: y, panels, operator: GIN_SUM, epilogue: Epilogue::default(), out, frame: (sum, 0) }, vec![], vec![]);
    let hidden = Layout::plain(b.layer.hidden_channels());
    let terms = vec![Term::own(From::Value(sum), b.matrix(0, hidden.width))];
    let epilogue = gin_hidden(&b);
    let z = b.rows(terms, epilogue, hidden, vec![sum]);
    gin_end(b, z)
}

/// The sum over neighbours of sage and graphconv.
fn neighbours(layer: &LayerSpec) -> (Operator, Epilogue) {
    let reduce = layer.reduce();
    let operator = Operator { weighted: layer.op == Op::Graphconv, ..Operator::of(reduce) };
    (operator, Epilogue { mean: reduce == Reduce::Mean, ..Epilogue::default() })
}

/// The rows that neighbours send: projected, if the layer says so.
fn messages(b: &mut Builder) -> From {
    if !b.layer.project {
        return b.from;
    }
    let width = b.layer.in_channels;
    let epilogue = Epilogue { bias: Some(VectorSlot::Project), activation: crate::spec::Activation::Relu, ..Epilogue::default() };
    let terms = vec![Term::own(b.from, b.matrix(2, width))];
    From::Value(b.rows(terms, epilogue, Layout::plain(width), vec![]))
}

fn spent_with(b: &Builder, messages: From) -> Vec<Val> {
    let mut free = b.spent();
    match messages {
        From::Value(value) if b.layer.project => free.push(value),
        _ => {}
    }
    free
}

/// SAGE and GraphConv: both linear maps at once in place, then the sums onto the node's own part.
fn beside_wide(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (out, from) = (b.layer.out_channels, messages(&mut b));
    let layout = Layout::plain(out);
    let free = spent_with(&b, from);
    let (z, r) = (b.value(layout), b.value(layout));
    let outs = vec![
        RowOut { terms: vec![Term::own(from, b.matrix(0, out))], epilogue: Epilogue::default(), out: z },
        RowOut { terms: vec![Term::own(b.from, b.matrix(1, out))], epilogue: Epilogue { bias: b.bias(), ..Epilogue::default() }, out: r },
    ];
    b.push(Kind::Rows(outs), free, vec![]);
    b.hops += 1;
    let (operator, epilogue) = neighbours(b.layer);
    let epilogue = b.last(Epilogue { accumulate: true, ..epilogue }, layout);
    let panels = 0..b.panels(z);
    b.push(Kind::Panels { src: z, panels, operator, epilogue, out: PanelOut::Into(r, 0), frame: (r, 0) }, vec![], vec![z]);
    b.finish_panels(r)
}

/// The same with the neighbours' part made panel by panel, from an input that stays.
fn beside_sliced(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (out, from) = (b.layer.out_channels, messages(&mut b));
    let layout = Layout::plain(out);
    let own = Epilogue { bias: b.bias(), ..Epilogue::default() };
    let terms = vec![Term::own(b.from, b.matrix(1, out))];
    let r = b.rows(terms, own, layout, vec![]);
    let (operator, epilogue) = neighbours(b.layer);
    let epilogue = b.last(Epilogue { accumulate: true, ..epilogue }, layout);
    let count = layout.panels(b.s);
    for k in 0..count {
        let columns = layout.columns_of(k, b.s);
        let terms = vec![Term::own(from, MatrixRef { slot: 0, columns: columns.clone() })];
        let free = if k + 1 == count { spent_with(&b, from) } else { Vec::new() };
        b.hops = 0;
        let z = b.rows(terms, Epilogue::default(), Layout::plain(columns.len()), free);
        b.hops = 1;
        b.push(
            Kind::Panels { src: z, panels: 0..1, operator, epilogue: epilogue.clone(), out: PanelOut::Into(r, k), frame: (r, k) },
            vec![],
            vec![z],
        );
    }
    b.finish_panels(r)
}

/// SAGE and GraphConv without the node's own part.
fn alone(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (out, from) = (b.layer.out_channels, messages(&mut b));
    let layout = Layout::plain(out);
    let free = spent_with(&b, from);
    let z = b.rows(vec![Term::own(from, b.matrix(0, out))], Epilogue::default(), layout, free);
    b.hops += 1;
    let (operator, epilogue) = neighbours(b.layer);
    let epilogue = b.last(Epilogue { bias: b.bias(), ..epilogue }, layout);
    let panels = 0..b.panels(z);
    b.push(Kind::Panels { src: z, panels, operator, epilogue, out: PanelOut::Rotate, frame: (z, 0) }, vec![], vec![]);
    b.finish_panels(z)
}

/// SAGE and GraphConv where the aggregation comes first: a block of rows at a time, so that no aggregated activation is held.
fn aggregate_rows(mut b: Builder, spill: bool) -> Recipe {
    let (out, layout) = (b.layer.out_channels, Layout::plain(b.layer.out_channels));
    // What is not in memory cannot be read at random; nor is a projection of features in memory.
    let streamed = matches!(b.input, Input::Features(stats) if stats.is_by_blocks());
    if b.from == From::Features && (streamed || b.layer.skip || b.layer.project) {
        b.from = From::Value(b.load(None));
    }
    let from = messages(&mut b);
    let (operator, epilogue) = neighbours(b.layer);
    let mean = epilogue.mean;
    let (neighbour, mut free) = match from {
        // On disk: panel by panel, into a value of its own.
        From::Value(value) if spill => {
            let sum = b.value(b.values[value]);
            b.hops += 1;
            let panels = 0..b.panels(value);
            b.push(Kind::Panels { src: value, panels, operator, epilogue, out: PanelOut::Fresh(sum, 0), frame: (sum, 0) }, vec![], vec![]);
            (Term::own(From::Value(sum), b.matrix(0, out)), vec![sum])
        }
        _ => {
            b.hops += 1;
            {
                let term = Term { over_edges: Some((operator, mean)), ..Term::own(from, b.matrix(0, out)) };
                (term, vec![])
            }
        }
    };
    let mut terms = vec![neighbour];
    if b.layer.root_weight {
        terms.push(Term::own(b.from, b.matrix(1, out)));
    }
    let random = terms[0].over_edges.is_some();
    let mut after = Vec::new();
    for value in [from, b.from] {
        if let From::Value(value) = value
            && !free.contains(&value)
            && !after.contains(&value)
        {
            // What is read at random must stay until all rows are done.
            if random { after.push(value) } else { free.push(value) }
        }
    }
    let epilogue = b.ended(Epilogue { bias: b.bias(), ..Epilogue::default() });
    let value = b.value(layout);
    b.push(Kind::Rows(vec![RowOut { terms, epilogue, out: value }]), free, after);
    b.recipe(value)
}

/// GAT with heads side by side: each head by rotation.
fn gat_concat(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (heads, width) = (b.layer.heads, b.layer.out_channels);
    let layout = Layout { groups: heads, width };
    let free = b.spent();
    let z = b.rows(vec![Term::own(b.from, b.matrix(0, heads * width))], Epilogue::default(), layout, free);
    let epilogue = b.last(Epilogue { bias: b.bias(), ..Epilogue::default() }, layout);
    let (loops, slope, begin) = (b.layer.add_self_loops, b.layer.negative_slope, b.hops);
    for head in 0..heads {
        b.hops = begin;
        b.push(Kind::Scores { z, head }, vec![], vec![]);
        b.hops = begin + 1;
        let epilogue = epilogue.clone();
        b.push(Kind::Attend { z, head, loops, slope, epilogue, out: PanelOut::Rotate }, vec![], vec![]);
    }
    b.finish_panels(z)
}

/// GAT with heads averaged: one head at a time onto their sum.
fn gat_mean(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (heads, width) = (b.layer.heads, b.layer.out_channels);
    let layout = Layout::plain(width);
    let sum = b.value(layout);
    let (loops, slope) = (b.layer.add_self_loops, b.layer.negative_slope);
    for head in 0..heads {
        let last = head + 1 == heads;
        b.hops = 0;
        let columns = head * width..(head + 1) * width;
        let free = if last { b.spent() } else { Vec::new() };
        let z = b.rows(vec![Term::own(b.from, MatrixRef { slot: 0, columns })], Epilogue::default(), layout, free);
        b.push(Kind::Scores { z, head }, vec![], vec![]);
        b.hops = 1;
        let epilogue = Epilogue { accumulate: head > 0, ..Epilogue::default() };
        let epilogue = if last { b.last(Epilogue { divide: Some(heads as f32), bias: b.bias(), ..epilogue }, layout) } else { epilogue };
        let out = if head == 0 { PanelOut::Fresh(sum, 0) } else { PanelOut::Into(sum, 0) };
        b.push(Kind::Attend { z, head, loops, slope, epilogue, out }, vec![], vec![z]);
    }
    b.finish_panels(sum)
}

/// GATv2: a score needs both rows of a head, so one head is the smallest working set.
fn gatv2(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (heads, width, concat) = (b.layer.heads, b.layer.out_channels, b.layer.concat || b.layer.heads == 1);
    let head_layout = Layout::plain(width);
    let layout = if concat { Layout { groups: heads, width } } else { head_layout };
    let out = b.value(layout);
    let (loops, slope) = (b.layer.add_self_loops, b.layer.negative_slope);
    let each = head_layout.panels(b.s);
    for head in 0..heads {
        let last = head + 1 == heads;
        b.hops = 0;
        let columns = head * width..(head + 1) * width;
        let map = |slot: usize, bias: VectorSlot, out: Val| RowOut {
            terms: vec![Term::own(b.from, MatrixRef { slot, columns: columns.clone() })],
            epilogue: Epilogue { bias: b.layer.bias.then_some(bias), ..Epilogue::default() },
            out,
        };
        let left = b.values.len();
        let shared = b.layer.share_weights;
        let right = if shared { left } else { left + 1 };
        let mut outs = vec![map(0, VectorSlot::Left, left)];
        if !shared {
            outs.push(map(1, VectorSlot::Right, right));
        }
        b.values.push(head_layout);
        if !shared {
            b.values.push(head_layout);
        }
        let free = if last { b.spent() } else { Vec::new() };
        b.push(Kind::Rows(outs), free, vec![]);
        b.hops = 1;
        let (epilogue, place) = if concat {
            (b.last(Epilogue { bias: b.bias(), ..Epilogue::default() }, layout), PanelOut::Fresh(out, head * each))
        } else {
            let epilogue = Epilogue { accumulate: head > 0, ..Epilogue::default() };
            let epilogue =
                if last { b.last(Epilogue { divide: Some(heads as f32), bias: b.bias(), ..epilogue }, layout) } else { epilogue };
            (epilogue, if head == 0 { PanelOut::Fresh(out, 0) } else { PanelOut::Into(out, 0) })
        };
        let dead = if shared { vec![left] } else { vec![left, right] };
        b.push(Kind::AttendPairs { left, right, head, loops, slope, epilogue, out: place }, vec![], dead);
    }
    b.finish_panels(out)
}

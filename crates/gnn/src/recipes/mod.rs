//! From layers to steps: for each layer, every way to compute it that differs in memory.
//!
//! Whether the linear map comes before the aggregation changes the last bits, so it is settled here from the model and the kind of features
//! alone; the ways of one layer perform the same operations on the same numbers in the same order.

mod attention;
mod builder;
mod neighbours;

use crate::features::FeatureStats;
use crate::graph::Normalisation;
use crate::spec::{Join, LayerSpec, Norm, Op, Reduce};
use crate::steps::{Epilogue, From, INPUT, Kind, Layout, Meeting, Operator, OwnTerm, PanelOut, Propagate, Recipe, Term, Val, VectorSlot};
use attention::{gat_concat, gat_mean, gatv2};
use builder::Builder;
use neighbours::{aggregate_rotated, aggregate_rows, alone, beside_rotated, beside_wide};

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
        Op::Gin => layer.mlp_channels()[0],
        _ => layer.out_channels,
    };
    match (layer.op, layer.reduce()) {
        (Op::Sage | Op::Graphconv, Reduce::Max | Reduce::Min) => Order::AggregateFirst,
        (Op::Gat | Op::Gatv2 | Op::Tag | Op::Linear | Op::Appnp | Op::Jk, _) => Order::CombineFirst,
        _ if asked.is_some() => asked.unwrap_or(Order::CombineFirst),
        _ if layer.project => Order::CombineFirst,
        _ if matches!(input, Input::Features(stats) if stats.is_sparse()) => Order::CombineFirst,
        _ if layer.in_channels < narrow => Order::AggregateFirst,
        // As many columns over edges; a sum that is made row by row is held nowhere.
        _ if layer.in_channels == narrow && sums_by_rows(layer, input) => Order::AggregateFirst,
        _ => Order::CombineFirst,
    }
}

/// Whether a layer of equal widths takes no more bytes if it aggregates first: features in memory are read at random where they stand, and
/// a node's own part needs the input to the end in either order.
fn sums_by_rows(layer: &LayerSpec, input: Input) -> bool {
    match (layer.op, input) {
        (Op::Sage | Op::Graphconv | Op::Gin, Input::Features(_)) => !layer.skip,
        (Op::Sage | Op::Graphconv, Input::Value(_)) => layer.root_weight,
        _ => false,
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
            // Rounded to fewer bits, a sum that stands alone would differ.
            if spill { vec![beside_wide(new())] } else { vec![beside_wide(new()), beside_rotated(new())] }
        }
        (Op::Sage | Op::Graphconv, Order::CombineFirst) => vec![alone(new())],
        (Op::Sage | Op::Graphconv, Order::AggregateFirst) => {
            let streamed = matches!(context.input, Input::Features(stats) if stats.is_by_blocks());
            let mut ways = vec![aggregate_rows(new(), spill)];
            if streamed && !spill && !layer.skip && !layer.project {
                ways.push(aggregate_rotated(new()));
            }
            ways
        }
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

/// The rest of GIN's network after its first linear map, if there is one: each map in place.
fn gin_end(mut b: Builder, mut hidden: Val) -> Recipe {
    let channels = b.layer.mlp_channels();
    let last = channels.len() - 1;
    for (map, &out) in channels.iter().enumerate().skip(1) {
        let (terms, epilogue) = (vec![Term::own(From::Value(hidden), b.matrix(map, out))], gin_epilogue(&b, map, last));
        if map == last {
            return b.finish_rows(terms, epilogue, Layout::plain(out), vec![hidden]);
        }
        hidden = b.rows(terms, epilogue, Layout::plain(out), vec![hidden]);
    }
    b.finish_panels(hidden)
}

/// What follows GIN's linear map of this number.
fn gin_epilogue(b: &Builder, map: usize, last: usize) -> Epilogue {
    if map == last {
        return Epilogue { bias: b.bias(), ..Epilogue::default() };
    }
    // Fewer than 4096.
    let number = map as u16;
    Epilogue {
        bias: b.layer.bias.then_some(VectorSlot::Hidden(number)),
        affine: b.layer.mlp_norm.map(|_| (VectorSlot::HiddenScale(number), VectorSlot::HiddenShift(number))),
        activation: crate::spec::Activation::Relu,
        ..Epilogue::default()
    }
}

const GIN_SUM: Operator = Operator { reduce: Reduce::Sum, weighted: false, drop_loops: false, own: OwnTerm::OnePlusEps, no_edges: false };

fn gin_after(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let channels = b.layer.mlp_channels();
    let layout = Layout::plain(channels[0]);
    let terms = vec![Term::own(b.from, b.matrix(0, layout.width))];
    let free = b.spent();
    let z = b.rows(terms, Epilogue::default(), layout, free);
    b.hops += 1;
    let last = channels.len() - 1;
    let epilogue = gin_epilogue(&b, 0, last);
    let epilogue = if last == 0 { b.last(epilogue, layout) } else { epilogue };
    let panels = 0..b.panels(z);
    b.push(Kind::Panels { src: z, panels, operator: GIN_SUM, epilogue, out: PanelOut::Rotate, frame: (z, 0) }, vec![], vec![]);
    gin_end(b, z)
}

fn gin_before(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let channels = b.layer.mlp_channels();
    let last = channels.len() - 1;
    let (layout, epilogue) = (Layout::plain(channels[0]), gin_epilogue(&b, 0, last));
    let (term, free) = match b.from {
        // Where they stand, they are read at random.
        From::Features if matches!(b.input, Input::Features(stats) if stats.is_dense()) => {
            b.hops += 1;
            (Term { over_edges: Some((GIN_SUM, false)), ..Term::own(b.from, b.matrix(0, layout.width)) }, vec![])
        }
        from => {
            let y = if let From::Value(value) = from { value } else { b.load(None) };
            b.hops += 1;
            // A skip connection still needs the input.
            let keep = b.layer.skip;
            let sum = if keep { b.value(b.values[y]) } else { y };
            let (panels, out) = (0..b.panels(y), if keep { PanelOut::Fresh(sum, 0) } else { PanelOut::Rotate });
            b.push(Kind::Panels { src: y, panels, operator: GIN_SUM, epilogue: Epilogue::default(), out, frame: (sum, 0) }, vec![], vec![]);
            (Term::own(From::Value(sum), b.matrix(0, layout.width)), vec![sum])
        }
    };
    if last == 0 {
        return b.finish_rows(vec![term], epilogue, layout, free);
    }
    let z = b.rows(vec![term], epilogue, layout, free);
    gin_end(b, z)
}

//! Layers with a term of the neighbours and one of the node itself: sage and graphconv.

use super::Input;
use super::builder::Builder;
use crate::spec::{LayerSpec, Op, Reduce};
use crate::steps::{Epilogue, From, Kind, Layout, Operator, PanelOut, Recipe, RowOut, Term, Val, VectorSlot};

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
pub(super) fn beside_wide(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (out, from) = (b.layer.out_channels, messages(&mut b));
    let layout = Layout::plain(out);
    let free = spent_with(&b, from);
    let (z, r) = (b.value(layout), b.value(layout));
    let map = |from: From, slot: usize, out: Val| RowOut {
        terms: vec![Term::own(from, b.matrix(slot, layout.width))],
        epilogue: Epilogue::default(),
        out,
    };
    let outs = vec![map(from, 0, z), map(b.from, 1, r)];
    b.push(Kind::Rows(outs), free, vec![]);
    b.hops += 1;
    let (operator, epilogue) = neighbours(b.layer);
    let epilogue = b.last(Epilogue { accumulate: true, bias: b.bias(), ..epilogue }, layout);
    let panels = 0..b.panels(z);
    b.push(Kind::Panels { src: z, panels, operator, epilogue, out: PanelOut::Into(r, 0), frame: (r, 0) }, vec![], vec![z]);
    b.finish_panels(r)
}

/// The same with the sums by rotation, and then the node's own part from an input that stays: one activation and one panel beside it.
pub(super) fn beside_rotated(mut b: Builder) -> Recipe {
    b.hold_skipped_features();
    let (out, from) = (b.layer.out_channels, messages(&mut b));
    let layout = Layout::plain(out);
    // A projection is read no more; the input is.
    let free = if let From::Value(value) = from
        && b.layer.project
    {
        vec![value]
    } else {
        vec![]
    };
    let z = b.rows(vec![Term::own(from, b.matrix(0, out))], Epilogue::default(), layout, free);
    b.hops += 1;
    let (operator, epilogue) = neighbours(b.layer);
    let panels = 0..b.panels(z);
    b.push(Kind::Panels { src: z, panels, operator, epilogue, out: PanelOut::Rotate, frame: (z, 0) }, vec![], vec![]);
    let terms = vec![Term::own(From::Value(z), None), Term::own(b.from, b.matrix(1, out))];
    let mut free = vec![z];
    free.extend(b.spent());
    let epilogue = Epilogue { bias: b.bias(), ..Epilogue::default() };
    b.finish_rows(terms, epilogue, layout, free)
}

/// SAGE and GraphConv without the node's own part.
pub(super) fn alone(mut b: Builder) -> Recipe {
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
pub(super) fn aggregate_rows(mut b: Builder, spill: bool) -> Recipe {
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

/// The same of features that come by blocks: the sums by rotation, and the node's own part from the features once more.
pub(super) fn aggregate_rotated(mut b: Builder) -> Recipe {
    let (out, layout) = (b.layer.out_channels, Layout::plain(b.layer.out_channels));
    let y = b.load(None);
    b.hops += 1;
    let (operator, epilogue) = neighbours(b.layer);
    let panels = 0..b.panels(y);
    b.push(Kind::Panels { src: y, panels, operator, epilogue, out: PanelOut::Rotate, frame: (y, 0) }, vec![], vec![]);
    let mut terms = vec![Term::own(From::Value(y), b.matrix(0, out))];
    if b.layer.root_weight {
        terms.push(Term::own(From::Features, b.matrix(1, out)));
    }
    let epilogue = Epilogue { bias: b.bias(), ..Epilogue::default() };
    b.finish_rows(terms, epilogue, layout, vec![y])
}

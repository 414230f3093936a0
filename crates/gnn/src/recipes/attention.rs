//! Attention: one head at a time.

use super::builder::Builder;
use crate::steps::{Epilogue, Kind, Layout, MatrixRef, PanelOut, Recipe, RowOut, Term, Val, VectorSlot};

/// GAT with heads side by side: each head by rotation.
pub(super) fn gat_concat(mut b: Builder) -> Recipe {
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
pub(super) fn gat_mean(mut b: Builder) -> Recipe {
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
pub(super) fn gatv2(mut b: Builder) -> Recipe {
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

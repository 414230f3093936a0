//! A split of each sequence's queries: the last are set aside, to see what a fit is worth on what it has not seen.

use std::ops::Range;

use certus_contract::InputError;
use certus_numeric::Array;

use crate::mask::{Mask, Visible};
use crate::{layer, map};

/// The queries of a layer's sequences, cut in two. All keys stay with both parts.
#[derive(Clone, Debug)]
pub struct Split<'a> {
    sequences: Vec<(layer::Sequence<'a>, [Part; 2])>,
}

/// The queries of a map's sequences, cut in two. All keys stay with both parts.
#[derive(Clone, Debug)]
pub struct MapSplit<'a> {
    sequences: Vec<(map::Sequence<'a>, [Part; 2])>,
}

/// Some queries of one sequence.
#[derive(Clone, Debug)]
struct Part {
    /// Those of each head.
    a1: Vec<Array>,
    target: Array,
    mask: Option<Array<bool>>,
}

impl<'a> Split<'a> {
    /// Sets aside the last `fraction` of each sequence's queries, at least one, and leaves at least one.
    ///
    /// # Errors
    /// `InvalidParameter` for a fraction that is not above 0 and below 1, or a sequence with one query; what is wrong with a mask.
    pub fn new(sequences: &[layer::Sequence<'a>], fraction: f64) -> Result<Self, InputError> {
        let cut = |sequence: &layer::Sequence<'a>| {
            let a1 = sequence.heads.iter().map(|head| head.a1).collect::<Vec<_>>();
            let m = sequence.heads.first().map_or(0, |head| head.a2.rows());
            Ok((sequence.clone(), cut(&a1, m, sequence.target, sequence.mask, fraction)?))
        };
        Ok(Split { sequences: sequences.iter().map(cut).collect::<Result<_, InputError>>()? })
    }

    /// The queries to fit.
    pub fn kept(&self) -> Vec<layer::Sequence<'_>> {
        self.parts(0)
    }

    /// Those that were set aside.
    pub fn set_aside(&self) -> Vec<layer::Sequence<'_>> {
        self.parts(1)
    }

    fn parts<'s>(&'s self, which: usize) -> Vec<layer::Sequence<'s>> {
        let of = |(whole, parts): &'s (layer::Sequence<'a>, [Part; 2])| {
            let heads = whole.heads.iter().zip(&parts[which].a1).map(|(head, a1)| layer::Head { a1, ..*head }).collect();
            layer::Sequence::of_heads(heads, &parts[which].target).with_mask(parts[which].mask())
        };
        self.sequences.iter().map(of).collect()
    }
}

impl<'a> MapSplit<'a> {
    /// As [`Split::new`].
    ///
    /// # Errors
    /// As [`Split::new`].
    pub fn new(sequences: &[map::Sequence<'a>], fraction: f64) -> Result<Self, InputError> {
        let cut = |sequence: &map::Sequence<'a>| {
            let (m, mask) = (sequence.a2.require_matrix("a2")?.0, sequence.mask);
            Ok((*sequence, cut(&[sequence.a1], m, sequence.target, mask, fraction)?))
        };
        Ok(MapSplit { sequences: sequences.iter().map(cut).collect::<Result<_, InputError>>()? })
    }

    /// The queries to fit.
    pub fn kept(&self) -> Vec<map::Sequence<'_>> {
        self.parts(0)
    }

    /// Those that were set aside.
    pub fn set_aside(&self) -> Vec<map::Sequence<'_>> {
        self.parts(1)
    }

    fn parts<'s>(&'s self, which: usize) -> Vec<map::Sequence<'s>> {
        let of = |(whole, parts): &'s (map::Sequence<'a>, [Part; 2])| {
            map::Sequence::new(&parts[which].a1[0], whole.a2, &parts[which].target).with_mask(parts[which].mask())
        };
        self.sequences.iter().map(of).collect()
    }
}

impl Part {
    fn mask(&self) -> Mask<'_> {
        self.mask.as_ref().map_or(Mask::None, Mask::Dense)
    }
}

/// The first and the last queries of a sequence with m keys.
fn cut(a1: &[&Array], m: usize, target: &Array, mask: Mask<'_>, fraction: f64) -> Result<[Part; 2], InputError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(InputError::parameter("holdout", fraction, "above 0 and below 1"));
    }
    let n = target.require_matrix("target")?.0;
    if n < 2 {
        return Err(InputError::parameter("holdout", fraction, "left out: a sequence has a single query"));
    }
    for a1 in a1 {
        if a1.require_matrix("a1")?.0 != n {
            return Err(InputError::shape("a1", a1.shape(), format!("{n} rows (the rows of target)")));
        }
    }
    let visible = Visible::new(mask, n, m)?;
    let rows = |a: &Array, range: &Range<usize>| Array::from_fn(range.len(), a.cols(), |i, j| a.row(range.start + i)[j]);
    let part = |range: Range<usize>| Part {
        a1: a1.iter().map(|a1| rows(a1, &range)).collect(),
        target: rows(target, &range),
        mask: (mask != Mask::None).then(|| Array::from_fn(range.len(), m, |i, j| visible.sees(range.start + i, j))),
    };
    let aside = ((fraction * n as f64).ceil() as usize).clamp(1, n - 1);
    Ok([part(0..n - aside), part(n - aside..n)])
}

//! A split of each sequence's queries: the last are set aside, to see what a fit is worth on what it has not seen.

use certus_contract::InputError;
use certus_numeric::Array;

use crate::layer::{Head, Sequence};
use crate::mask::{Mask, Visible};

/// The queries of some sequences, cut in two. All keys stay with both parts.
#[derive(Clone, Debug)]
pub struct Split<'a> {
    parts: Vec<[Part<'a>; 2]>,
}

/// Some queries of one sequence.
#[derive(Clone, Debug)]
struct Part<'a> {
    /// a1 of each head, with its a2 and a3.
    heads: Vec<(Array, &'a Array, &'a Array)>,
    target: Array,
    mask: Option<Array<bool>>,
}

impl<'a> Split<'a> {
    /// Sets aside the last `fraction` of each sequence's queries, at least one, and leaves at least one.
    ///
    /// # Errors
    /// `InvalidParameter` for a fraction that is not above 0 and below 1, or a sequence with one query; what is wrong with a mask.
    pub fn new(sequences: &[Sequence<'a>], fraction: f64) -> Result<Self, InputError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(InputError::parameter("holdout", fraction, "above 0 and below 1"));
        }
        let cut = |sequence: &Sequence<'a>| {
            let n = sequence.target.require_matrix("target")?.0;
            if n < 2 {
                return Err(InputError::parameter("holdout", fraction, "left out: a sequence has a single query"));
            }
            let aside = ((fraction * n as f64).ceil() as usize).clamp(1, n - 1);
            let rows = |a: &Array, range: std::ops::Range<usize>| Array::from_fn(range.len(), a.cols(), |i, j| a.row(range.start + i)[j]);
            let m = sequence.heads.first().map_or(0, |head| head.a2.rows());
            for head in &sequence.heads {
                if head.a1.require_matrix("a1")?.0 != n {
                    return Err(InputError::shape("a1", head.a1.shape(), format!("{n} rows (the rows of target)")));
                }
            }
            let visible = Visible::new(sequence.mask, n, m)?;
            let part = |range: std::ops::Range<usize>| Part {
                heads: sequence.heads.iter().map(|head| (rows(head.a1, range.clone()), head.a2, head.a3)).collect(),
                target: rows(sequence.target, range.clone()),
                mask: (sequence.mask != Mask::None).then(|| Array::from_fn(range.len(), m, |i, j| visible.sees(range.start + i, j))),
            };
            Ok([part(0..n - aside), part(n - aside..n)])
        };
        Ok(Split { parts: sequences.iter().map(cut).collect::<Result<_, InputError>>()? })
    }

    /// The queries to fit.
    pub fn kept(&self) -> Vec<Sequence<'_>> {
        self.parts.iter().map(|[kept, _]| kept.sequence()).collect()
    }

    /// Those that were set aside.
    pub fn set_aside(&self) -> Vec<Sequence<'_>> {
        self.parts.iter().map(|[_, aside]| aside.sequence()).collect()
    }
}

impl Part<'_> {
    fn sequence(&self) -> Sequence<'_> {
        let heads = self.heads.iter().map(|(a1, a2, a3)| Head { a1, a2, a3 }).collect();
        let sequence = Sequence::of_heads(heads, &self.target);
        match &self.mask {
            Some(mask) => sequence.with_mask(Mask::Dense(mask)),
            None => sequence,
        }
    }
}

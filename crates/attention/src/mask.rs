//! Which keys a query sees.

use std::borrow::Cow;
use std::ops::Range;

use certus_contract::InputError;
use certus_numeric::Array;
use certus_numeric::softmax::Keep;

/// Which of the m keys each of the n queries sees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mask<'a> {
    /// All.
    #[default]
    None,
    /// Query i sees the keys 0 to i.
    Causal,
    /// Query i sees the keys from `i - back` to `i + ahead`.
    Window {
        /// Keys before its own place.
        back: usize,
        /// Keys after it.
        ahead: usize,
    },
    /// Query i sees the first so many keys; n numbers, each at most m.
    Lengths(&'a [usize]),
    /// `true` where a key is seen; n x m.
    Dense(&'a Array<bool>),
}

/// A mask that fits its sequence.
#[derive(Clone, Debug)]
pub(crate) enum Visible<'a> {
    All,
    Causal,
    Lengths(Cow<'a, [usize]>),
    Dense(Cow<'a, Array<bool>>),
}

impl<'a> Visible<'a> {
    pub(crate) fn new(mask: Mask<'a>, n: usize, m: usize) -> Result<Self, InputError> {
        Ok(match mask {
            Mask::None => Visible::All,
            Mask::Causal => Visible::Causal,
            Mask::Window { back, ahead } => {
                let sees = |i: usize, j: usize| j.saturating_add(back) >= i && j <= i.saturating_add(ahead);
                Visible::Dense(Cow::Owned(Array::from_fn(n, m, sees)))
            }
            Mask::Lengths(lengths) => {
                if lengths.len() != n {
                    return Err(InputError::dimension("mask", format!("{} lengths", lengths.len()), format!("{n} (the rows of a1)")));
                }
                if let Some(i) = lengths.iter().position(|&l| l > m) {
                    return Err(InputError::parameter(format!("mask[{i}]"), lengths[i], format!("at most {m} (the rows of a2)")));
                }
                Visible::Lengths(Cow::Borrowed(lengths))
            }
            Mask::Dense(mask) => {
                if mask.shape() != [n, m] {
                    return Err(InputError::shape("mask", mask.shape(), format!("{n} x {m} (the rows of a1 and of a2)")));
                }
                Visible::Dense(Cow::Borrowed(mask))
            }
        })
    }

    /// The same, borrowed.
    pub(crate) fn borrowed(&self) -> Visible<'_> {
        match self {
            Visible::All => Visible::All,
            Visible::Causal => Visible::Causal,
            Visible::Lengths(lengths) => Visible::Lengths(Cow::Borrowed(lengths)),
            Visible::Dense(mask) => Visible::Dense(Cow::Borrowed(mask)),
        }
    }

    /// What query i sees of the first `seen` keys.
    pub(crate) fn keep(&self, i: usize, seen: usize) -> Keep<'_> {
        match self {
            Visible::All => Keep::All,
            Visible::Causal => Keep::First(i + 1),
            Visible::Lengths(lengths) => Keep::First(lengths[i]),
            Visible::Dense(mask) => Keep::Where(&mask.row(i)[..seen]),
        }
    }

    /// Zero for the keys that query i does not see, of the first ones.
    pub(crate) fn hide(&self, i: usize, row: &mut [f64]) {
        match self.keep(i, row.len()) {
            Keep::All => {}
            Keep::First(count) => row.iter_mut().skip(count).for_each(|v| *v = 0.0),
            Keep::Where(seen) => row.iter_mut().zip(seen).filter(|(_, seen)| !**seen).for_each(|(v, _)| *v = 0.0),
        }
    }

    /// Whether query i sees key j.
    pub(crate) fn sees(&self, i: usize, j: usize) -> bool {
        match self {
            Visible::All => true,
            Visible::Causal => j <= i,
            Visible::Lengths(lengths) => j < lengths[i],
            Visible::Dense(mask) => mask.row(i)[j],
        }
    }

    /// So many of the m keys, from the first, hold all that the rows see.
    pub(crate) fn seen(&self, rows: Range<usize>, m: usize) -> usize {
        match self {
            Visible::Causal => rows.end.min(m),
            Visible::Lengths(lengths) => lengths[rows].iter().copied().max().unwrap_or(0),
            _ => m,
        }
    }

    /// The number of keys that query i sees.
    pub(crate) fn count(&self, i: usize, m: usize) -> usize {
        match self {
            Visible::All => m,
            Visible::Causal => (i + 1).min(m),
            Visible::Lengths(lengths) => lengths[i],
            Visible::Dense(_) => (0..m).filter(|&j| self.sees(i, j)).count(),
        }
    }
}

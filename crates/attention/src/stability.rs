//! How far an attention map can move when its inputs or X change: theorem 8 of the certificate's text.
//!
//! The Jacobian of a row's softmax has norm at most 1/2, so the map moves by at most half of what its logits do, and those by at most what
//! the norms of the factors allow.

use certus_contract::{Certificate, Check, Claim, InputError};
use certus_linalg::view::view;
use certus_numeric::Array;
use certus_numeric::sum::norm2;

use crate::Error;
use crate::bilinear::{require, require_shape};
use crate::blocks::height;
use crate::mask::{Mask, Visible};
use crate::norms::spectral;
use crate::scores::{Scores, shaped};

/// One set of inputs and parameters: queries (n x d1), keys (m x d2), X (d1 x d2).
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// The queries.
    pub a1: &'a Array,
    /// The keys.
    pub a2: &'a Array,
    /// The scores' matrix.
    pub x: &'a Array,
}

/// What was measured of a change.
#[derive(Clone, Debug)]
pub struct Stability {
    /// The Frobenius norm of the change of the map.
    pub map_change: f64,
    /// That of the logits, over the visible keys.
    pub logit_change: f64,
    /// Half of the latter, rounded up.
    pub half_logit_change: f64,
    /// `½ scale (|A1'| |A2'| |X' - X| + |X| (|A1'| |A2' - A2| + |A2| |A1' - A1|))`: spectral norms, Frobenius norms of differences,
    /// rounded up.
    pub half_norm_product: f64,
    /// What may be believed.
    pub certificate: Certificate,
}

/// How the map of `before` differs from that of `after`, with one mask and one scale.
///
/// Cost: 2 n m d2 multiply-adds; memory: a block of rows.
///
/// ```
/// use certus_attention::{Mask, stability};
/// use certus_numeric::Array;
/// let (q, k) = (Array::from_fn(4, 2, |i, j| (i + j) as f64), Array::from_fn(5, 2, |i, j| (i * j) as f64 - 1.0));
/// let (x, moved) = (Array::identity(2), Array::from_fn(2, 2, |i, j| if i == j { 1.1 } else { 0.0 }));
/// let change = stability::measure(&stability::Attention { a1: &q, a2: &k, x: &x }, &stability::Attention { a1: &q, a2: &k, x: &moved }, 1.0, Mask::None)?;
/// assert!(change.map_change > 0.0 && change.map_change <= change.half_logit_change);
/// # Ok::<(), certus_attention::Error>(())
/// ```
///
/// # Errors
/// `DimensionMismatch`, `NonFinite`, `EmptyProblem`; `InvalidParameter` for the scale, or where logits are not finite.
pub fn measure(before: &Attention<'_>, after: &Attention<'_>, scale: f64, mask: Mask<'_>) -> Result<Stability, Error> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(InputError::parameter("scale", scale, "finite and above 0").into());
    }
    let ((n, d1), (m, d2)) = (before.a1.require_matrix("a1")?, before.a2.require_matrix("a2")?);
    for (a, [a1, a2, x]) in [(before, ["a1", "a2", "x"]), (after, ["new-a1", "new-a2", "new-x"])] {
        require(a.a1, a1, n, "the rows of a1", d1)?;
        require(a.a2, a2, m, "the rows of a2", d2)?;
        require_shape(a.x, x, &[d1, d2])?;
    }
    let visible = Visible::new(mask, n, m)?;
    let (mut maps, mut logits) = (Vec::new(), Vec::new());
    let (mut left, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
    let height = height(n, m, 2);
    for first in (0..n).step_by(height) {
        let rows = first..n.min(first + height);
        let seen = visible.seen(rows.clone(), m);
        if seen == 0 {
            continue;
        }
        let (old, new) = (shaped(&mut old, rows.len(), seen), shaped(&mut new, rows.len(), seen));
        let heads = [(before, &mut *old), (after, &mut *new)];
        for (a, into) in heads {
            Scores { a1: a.a1, a2: a.a2 }.logits(a.x.as_slice(), scale, rows.clone(), seen, &mut left, into);
        }
        let change = |old: &[f64], new: &[f64]| old.iter().zip(new).map(|(a, b)| b - a).collect::<Vec<_>>();
        for (k, i) in rows.clone().enumerate() {
            let of = k * seen..(k + 1) * seen;
            let seen_change = change(&old[of.clone()], &new[of]);
            logits
                .push(norm2(&seen_change.into_iter().enumerate().filter(|(j, _)| visible.sees(i, *j)).map(|(_, v)| v).collect::<Vec<_>>()));
        }
        for (a, into) in [(before, &mut *old), (after, &mut *new)] {
            Scores { a1: a.a1, a2: a.a2 }.map(a.x.as_slice(), scale, &visible, rows.clone(), seen, &mut left, into);
        }
        maps.push(norm2(&change(old, new)));
    }
    let (map_change, logit_change) = (norm2(&maps), norm2(&logits));
    if !(map_change.is_finite() && logit_change.is_finite()) {
        return Err(crate::layer::overflow());
    }
    // Rounding of the logits moves the map as well.
    let up = 1.0 + (n + m + d1 + d2 + 64) as f64 * f64::EPSILON;
    let size = |a: &Attention<'_>| scale * norm2(a.a1.as_slice()) * norm2(a.x.as_slice()) * norm2(a.a2.as_slice());
    let rounding = (d1 + d2 + 8) as f64 * f64::EPSILON * (size(before) + size(after)) + 64.0 * f64::EPSILON * (n as f64).sqrt();
    let half_logit_change = (0.5 * logit_change + rounding) * up;
    let distance = |a: &Array, b: &Array| norm2(&a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| b - a).collect::<Vec<_>>());
    let by_x = spectral(view(after.a1))? * spectral(view(after.a2))? * distance(before.x, after.x);
    let by_inputs = spectral(view(after.a1))? * distance(before.a2, after.a2) + spectral(view(before.a2))? * distance(before.a1, after.a1);
    let half_norm_product = (0.5 * scale * (by_x + spectral(view(before.x))? * by_inputs) + rounding) * up;
    if !half_norm_product.is_finite() {
        return Err(crate::layer::overflow());
    }
    let certificate = certificate(map_change, half_logit_change, half_norm_product);
    Ok(Stability { map_change, logit_change, half_logit_change, half_norm_product, certificate })
}

/// Theorem 8.
fn certificate(map_change: f64, half_logit_change: f64, half_norm_product: f64) -> Certificate {
    let claim = Claim::new("The map moves by at most half of what its logits do", "the Jacobian of a softmax has norm at most 1/2")
        .guarantees(Check::le("half_logit_change", "|F' - F| <= 1/2 |S' - S|, Frobenius", map_change, half_logit_change).bounded())
        .guarantees(
            Check::le(
                "half_norm_product",
                "|F' - F| <= 1/2 scale (|A1'| |A2'| |X' - X| + |X| (|A1'| |A2' - A2| + |A2| |A1' - A1|))",
                map_change,
                half_norm_product,
            )
            .bounded(),
        );
    Certificate::new([claim])
}

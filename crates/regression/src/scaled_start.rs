//! Where a scaled fit begins: scale and offset are guessed, and the link is undone.

use certus_numeric::Seed;
use certus_numeric::sum::max_abs;

use crate::objective::Loss;
use crate::problem::Link;
use crate::scaled_link::Scaling;
use crate::start::{inverse_link, random};

/// Random starts where the link is not exp, or nothing can be undone.
const RANDOM: u64 = 8;

/// Candidates, `more` random ones among them; their losses need not be finite.
pub(crate) fn scaled_candidates(loss: &Loss<'_, '_>, scaling: Scaling, seed: Seed, more: usize) -> Vec<Vec<f64>> {
    let p = loss.problem;
    let link = p.link();
    // The scale of an exp is a constant of its logarithm.
    let intercept = link == Link::Exp && scaling != Scaling::Rise;
    let mut found = Vec::new();
    for (scale, offset) in guesses(p.b(), link, scaling) {
        let undone = |y: f64| {
            let part = (y - offset) / scale;
            undo(link, if scaling == Scaling::Rise { 1.0 - part } else { part })
        };
        found.extend(inverse_link(loss, undone, intercept));
    }
    found.push(p.reference_vector());
    found.retain(|x| x.iter().all(|v| v.is_finite()));
    let drawn = if link == Link::Exp && found.len() > 1 { 0 } else { RANDOM };
    found.extend((0..drawn).map(|k| random(loss, seed, k)));
    found.extend((0..more as u64).map(|k| random(loss, seed, RANDOM + k)));
    found
}

/// Pairs of a scale and an offset.
fn guesses(y: &[f64], link: Link, scaling: Scaling) -> Vec<(f64, f64)> {
    let largest = max_abs(y);
    let (low, high) = y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(*y), high.max(*y)));
    let range = high - low;
    let both = |scale: f64| [(scale, 0.0), (-scale, 0.0)];
    match (scaling, link) {
        (Scaling::Rise, _) => [1.1, 2.0, 10.0].iter().flat_map(|part| both(part * largest)).collect(),
        (Scaling::Scale, Link::Exp) => both(1.0).to_vec(),
        (Scaling::Scale, _) => [1.0, 0.1, 0.01].iter().flat_map(|part| both(part * largest)).collect(),
        (Scaling::ScaleAndOffset, Link::Sinh) => {
            let centre = 0.5 * (low + high);
            [0.5, 0.05].iter().flat_map(|part| [(part * range, centre), (-part * range, centre)]).collect()
        }
        // A little beyond the ends, and far beyond.
        (Scaling::ScaleAndOffset, _) => {
            [0.1, 1.0].iter().flat_map(|part| [(range, low - part * range), (-range, high + part * range)]).collect()
        }
    }
}

/// z with u(z) = s, and the weight that an error of s leaves to one of z; `None` where there is no such z.
fn undo(link: Link, s: f64) -> Option<(f64, f64)> {
    let undone = match link {
        Link::Exp => (s.ln(), s * s),
        Link::Cosh => (s.acosh(), s * s - 1.0),
        Link::Sinh => (s.asinh(), 1.0 + s * s),
    };
    Some(undone).filter(|(z, weight)| z.is_finite() && weight.is_finite())
}

//! u and u' of many numbers, with one exponent taken out.

use certus_numeric::exp::exp_slice;
use certus_numeric::memory::zeros;
use rayon::prelude::*;

use crate::problem::Link;
use crate::rows::BLOCK;

/// u(z) e^-m and u'(z) e^-m, the second empty for exp.
pub(crate) fn powers(link: Link, z: &[f64], m: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut u, mut v) = (zeros(z.len()), zeros(if link == Link::Exp { 0 } else { z.len() }));
    if z.len() <= BLOCK {
        powers_into(link, z, m, &mut u, &mut v);
        return (u, v);
    }
    if link == Link::Exp {
        u.par_chunks_mut(BLOCK).zip(z.par_chunks(BLOCK)).for_each(|(u, z)| powers_into(link, z, m, u, &mut []));
    } else {
        let blocks = u.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK)).zip(z.par_chunks(BLOCK));
        blocks.for_each(|((u, v), z)| powers_into(link, z, m, u, v));
    }
    (u, v)
}

/// The same, into slices; `v` is not used for exp.
pub(crate) fn powers_into(link: Link, z: &[f64], m: f64, u: &mut [f64], v: &mut [f64]) {
    u.iter_mut().zip(z).for_each(|(u, z)| *u = z - m);
    exp_slice(u);
    if link == Link::Exp {
        return;
    }
    v.iter_mut().zip(z).for_each(|(v, z)| *v = -z - m);
    exp_slice(v);
    // Where the two powers are near each other their difference cancels.
    let scale = (-m).exp();
    for (z, (u, v)) in z.iter().zip(u.iter_mut().zip(v)) {
        let (cosh, sinh) = (0.5 * (*u + *v), if z.abs() < 1.0 { z.sinh() * scale } else { 0.5 * (*u - *v) });
        (*u, *v) = if link == Link::Cosh { (cosh, sinh) } else { (sinh, cosh) };
    }
}

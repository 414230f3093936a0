//! u and u' of many numbers, with one exponent taken out.

use rayon::prelude::*;

use crate::objective::BLOCK;
use crate::problem::Link;

/// u(z) e^-m and u'(z) e^-m, the second empty for exp.
pub(crate) fn powers(link: Link, z: &[f64], m: f64) -> (Vec<f64>, Vec<f64>) {
    let mut up = z.iter().map(|z| z - m).collect::<Vec<_>>();
    exp(&mut up);
    if link == Link::Exp {
        return (up, Vec::new());
    }
    let mut down = z.iter().map(|z| -z - m).collect::<Vec<_>>();
    exp(&mut down);
    let cosh = up.iter().zip(&down).map(|(up, down)| 0.5 * (up + down)).collect::<Vec<_>>();
    // Where the two powers are near each other their difference cancels.
    let scale = (-m).exp();
    let sinh = z
        .iter()
        .zip(up.iter().zip(&down))
        .map(|(z, (up, down))| if z.abs() < 1.0 { z.sinh() * scale } else { 0.5 * (up - down) })
        .collect::<Vec<_>>();
    if link == Link::Cosh { (cosh, sinh) } else { (sinh, cosh) }
}

fn exp(values: &mut [f64]) {
    if values.len() <= BLOCK {
        return certus_numeric::exp::exp_slice(values);
    }
    values.par_chunks_mut(BLOCK).for_each(certus_numeric::exp::exp_slice);
}

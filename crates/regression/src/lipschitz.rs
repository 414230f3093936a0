//! How fast the Hessian can change near a point, in its own norm: Theorems 6 to 8 of the certificate's text.

use certus_numeric::sum::norm2;

use crate::curvature::third_derivative;
use crate::objective::Point;
use crate::positive::RowNorms;
use crate::problem::{Form, Link, Problem};
use crate::rounding::Rounding;

/// M_* on the ball of this radius in the norm of the Hessian; `None` where it cannot be bounded.
pub(crate) fn lipschitz(p: &Problem<'_>, point: &Point, rows: &RowNorms, rounding: &Rounding<'_, '_>, radius: f64) -> Option<f64> {
    let n = p.rows();
    let ell = (0..n).map(|i| rows.of(i)).collect::<Vec<_>>();
    let bound = match (p.form(), p.link()) {
        (Form::Normalised, Link::Exp | Link::Cosh) => third_derivative(p) * (2.0 * rows.largest()).powi(3),
        (Form::Plain, _) => {
            let scale = (-point.m).exp();
            let third = (0..n).map(|i| {
                let (u, v) = reach(p.link(), point.z[i], ell[i] * radius, point.m);
                p.weight(i) * v * (4.0 * u + (p.b()[i] * scale).abs())
            });
            let third = third.collect::<Vec<_>>();
            // lambda_max(Aᵀ diag(T ell) A, H) <= its trace, and <= the largest ratio where all rows have positive curvature.
            let trace = (0..n).map(|i| third[i] * ell[i].powi(3)).sum::<f64>();
            let errors = rounding.of_row_curvatures();
            let ratio = (0..n).filter(|i| third[*i] > 0.0).map(|i| {
                let theta = point.rows.h[i] - errors[i];
                if theta > 0.0 { third[i] * ell[i] / theta } else { f64::INFINITY }
            });
            let ratio = ratio.fold(0.0, f64::max);
            trace.min(if ratio.is_nan() { f64::INFINITY } else { ratio }) * (1.0 + 1e-9)
        }
        (Form::Rescaled, _) => {
            let reached = (0..n).map(|i| reach(p.link(), point.z[i], ell[i] * radius, point.m)).collect::<Vec<_>>();
            let omega = (0..n).map(|i| p.weight(i)).fold(0.0, f64::max);
            let nb = norm2(p.b());
            let sum_u = reached.iter().map(|r| r.0).sum::<f64>();
            let residual = |i: usize| reached[i].0 + sum_u * p.b()[i].abs();
            let beta = (0..n).map(|i| p.weight(i) * p.b()[i].abs() * residual(i)).sum::<f64>();
            // Lam(t) = lambda_max(Aᵀ diag(t) A, H) <= Σ t ell².
            let lam = |t: &dyn Fn(usize) -> f64| (0..n).map(|i| t(i) * ell[i] * ell[i]).sum::<f64>();
            let v_squared = lam(&|i| reached[i].1.powi(2));
            let v_sum = reached.iter().map(|r| r.1).sum::<f64>();
            let first = v_squared.sqrt() + nb * (v_sum * lam(&|i| reached[i].1)).sqrt();
            let second = lam(&|i| (reached[i].0 * ell[i]).powi(2)).sqrt() + nb * lam(&|i| reached[i].0);
            let third = lam(&|i| (p.weight(i) * residual(i) + beta) * reached[i].1 * ell[i]);
            3.0 * omega * first * second + third
        }
        (Form::Normalised, Link::Sinh) => {
            let reached = (0..n).map(|i| reach(p.link(), point.z[i], ell[i] * radius, point.m)).collect::<Vec<_>>();
            let omega = (0..n).map(|i| p.weight(i)).fold(0.0, f64::max);
            let change = (0..n).map(|i| reached[i].1 * ell[i] * radius).sum::<f64>();
            let s0 = point.sum.abs() - rounding.of_sum() - change;
            if s0.is_nan() || s0 <= 0.0 {
                return None;
            }
            let norm = |f: &dyn Fn(usize) -> f64| (0..n).map(|i| f(i).powi(2)).sum::<f64>().sqrt();
            let (a0, s1) = (norm(&|i| reached[i].0) / s0, norm(&|i| reached[i].1) / s0);
            let (a1, a2) = (reached.iter().fold(0.0, |m: f64, r| m.max(r.1)) / s0, reached.iter().fold(0.0, |m: f64, r| m.max(r.0)) / s0);
            let f1 = a1 + a0 * s1;
            let f2 = a2 + 2.0 * a1 * s1 + a0 * a2 + 2.0 * a0 * s1 * s1;
            let f3 = a1 + 3.0 * a2 * s1 + 3.0 * a1 * a2 + a0 * a1 + 6.0 * a1 * s1 * s1 + 6.0 * a0 * s1 * a2 + 6.0 * a0 * s1.powi(3);
            let spread = (0..n).map(|i| ell[i] * ell[i]).sum::<f64>();
            let residual = norm(&|i| p.weight(i) * (point.u[i] / point.sum - p.b()[i])) + omega * f1 * spread.sqrt() * radius;
            (3.0 * omega * f1 * f2 + residual * f3) * spread.powf(1.5)
        }
    };
    Some(bound * (1.0 + 1e-9)).filter(|b| b.is_finite())
}

/// Upper bounds of |u| and |u'| within `move_by` of z, times e^-m.
fn reach(link: Link, z: f64, move_by: f64, m: f64) -> (f64, f64) {
    let up = 1.0 + 1e-12;
    match link {
        Link::Exp => {
            let u = (z + move_by - m).exp() * up;
            (u, u)
        }
        Link::Cosh | Link::Sinh => {
            let far = z.abs() + move_by;
            let (grow, fall) = ((far - m).exp(), (-far - m).exp());
            let (cosh, sinh) = (0.5 * (grow + fall) * up, 0.5 * grow * up);
            if link == Link::Cosh { (cosh, sinh) } else { (sinh, cosh) }
        }
    }
}

//! Fits x so that u(Ax) matches b, for u in {exp, cosh, sinh} and a dense or sparse A, and proves what it can of the answer.
//!
//! The loss is `½ Σ ω_i r_i² + ½ Σ (w_i a_iᵀ(x - x_ref))² + ½ ridge |x - x_ref|²` with
//!
//! | form | residual r |
//! |---|---|
//! | [`Form::Plain`] | u - b |
//! | [`Form::Rescaled`] | u - S b, S the sum of u |
//! | [`Form::Normalised`] | u / S - b: for exp, the softmax of Ax |
//!
//! ```
//! use certus_numeric::Array;
//! use certus_regression::{Form, Link, Outcome, Problem, Solver};
//! // A decay measured at ten times.
//! let a = Array::from_fn(10, 2, |i, j| if j == 0 { 1.0 } else { -(i as f64) });
//! let b = (0..10).map(|i| 3.0 * (-0.4 * i as f64).exp() + 0.01 * (i as f64).sin()).collect::<Vec<_>>();
//! let fit = Solver::default().solve(&Problem::new(&a, &b, Link::Exp, Form::Plain)?)?;
//! assert!((fit.x[0].exp() - 3.0).abs() < 0.05 && (fit.x[1] - 0.4).abs() < 0.02);
//! // A minimum lies within this distance of x: proven, rounding included.
//! assert!(matches!(fit.outcome, Outcome::ProvenLocalMinimum { radius } if radius < 1e-8));
//! # Ok::<(), certus_regression::Error>(())
//! ```
//!
//! The method is Newton's in a trust region ([`certus_newton`]). All u-like quantities carry one exponent a point, so that Ax may be
//! in the thousands. The principal claim of the certificate is Newton's and Kantorovich's: the Newton decrement and a bound on the
//! change of the Hessian near x, both with their rounding errors, prove that a minimum is near, and how near ([`Facts`]).
//!
//! Cost of an iteration: two passes over A, and a Gram matrix (n d² flops, or the sum of squared row counts) or two passes a conjugate
//! gradient step. Memory: A, about ten vectors of n, and up to sixteen matrices of d².
//!
//! Sources: Song, Yin, Zhang, Li et al., rescaled and softmax regression, 2023; Deuflhard, Newton Methods for Nonlinear Problems, 2004.
#![forbid(unsafe_code)]

mod answer;
mod certificate;
pub mod curvature;
mod error;
mod evaluation;
mod facts;
mod hessian;
mod lagged;
mod lipschitz;
mod objective;
mod path;
mod pilot;
mod point;
mod positive;
mod powers;
mod problem;
mod proof;
mod rounding;
mod rows;
mod sampling;
mod scaled_fit;
mod scaled_link;
mod scaled_start;
mod sensitivity;
mod solver;
mod start;
mod target;
mod unseen;
mod warning;

pub use certificate::certificate;
pub use error::Error;
pub use evaluation::Evaluation;
pub use facts::{Contraction, Facts, Outcome};
pub use hessian::Hessian;
pub use point::RowDerivatives;
pub use problem::{Form, Link, Problem};
pub use sampling::{SampledDiagonal, Sampling, SamplingError, carried_scores, sample_rows};
pub use scaled_fit::{ScaledFacts, ScaledSolution, scaled_certificate};
pub use scaled_link::Scaling;
pub use sensitivity::Sensitivity;
pub use solver::{Certify, Solution, Solver};
pub use start::Start;

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Keeps the code of the guide compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/regression.md")]
struct Guide;

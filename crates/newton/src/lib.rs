//! Minimisation by Newton's method, for the systems that fit something.
//!
//! One loop for all methods: a [`Model`](model::Model) of the function near a point proposes a step within a limit, the function
//! says what the step is worth, and the limit follows. Losses may be beyond the range of `f64`: they are compared as
//! [`ScaledValue`](certus_numeric::ScaledValue).
//!
//! ```
//! use certus_contract::Status;
//! use certus_linalg::Mat;
//! use certus_newton::{Minimiser, Objective, model::Dense};
//! use certus_numeric::ScaledValue;
//!
//! /// Rosenbrock's valley.
//! struct Valley;
//! impl Objective for Valley {
//!     type Point = [f64; 2];
//!     fn dimension(&self) -> usize {
//!         2
//!     }
//!     fn point(&self, x: &[f64]) -> Option<[f64; 2]> {
//!         Some([x[0], x[1]]).filter(|x| x.iter().all(|v| v.is_finite()))
//!     }
//!     fn loss(&self, [x, y]: &[f64; 2]) -> ScaledValue {
//!         ((1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2)).into()
//!     }
//!     fn gradient(&self, [x, y]: &[f64; 2]) -> Vec<f64> {
//!         vec![-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)]
//!     }
//! }
//! let hessian = |_: &Valley, [x, y]: &[f64; 2]| {
//!     let (xx, xy) = (2.0 - 400.0 * (y - 3.0 * x * x), -400.0 * x);
//!     Ok(Mat::from_fn(2, 2, |i, j| if i != j { xy } else if i == 0 { xx } else { 200.0 }))
//! };
//! let found = Minimiser::default().minimise(&Valley, &mut Dense::new(vec![1.0; 2], hessian), vec![-1.2, 1.0])?;
//! assert_eq!(found.stop.status(), Status::Converged);
//! assert!(found.x.iter().all(|v| (v - 1.0).abs() < 1e-10));
//! # Ok::<(), certus_linalg::Error>(())
//! ```
//!
//! | model | step | for |
//! |---|---|---|
//! | [`Dense`](model::Dense) | exact in a ball, also at saddles | up to some hundred variables |
//! | [`Krylov`](model::Krylov) | truncated conjugate gradients with a preconditioner | curvature that is only applied |
//! | [`LevenbergMarquardt`](model::LevenbergMarquardt) | damped, in a metric of the caller's | Gauss-Newton curvature |
//! | [`Lbfgs`](model::Lbfgs) | from past gradients | a baseline |
#![forbid(unsafe_code)]

mod minimise;
pub mod model;
mod objective;

pub use minimise::{Minimiser, Minimum, State, Stop};
pub use objective::Objective;

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

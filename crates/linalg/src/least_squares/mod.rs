//! Least squares, `min |A x - b|`, for a tall dense or sparse A, with a certificate.
//!
//! ```
//! use certus_contract::Verdict;
//! use certus_linalg::least_squares::{Problem, Solver};
//! use certus_numeric::Array;
//!
//! let a = Array::from_fn(200, 2, |i, j| if j == 0 { 1.0 } else { i as f64 });
//! let b = (0..200).map(|i| 3.0 + 0.5 * i as f64 + (i as f64).sin()).collect::<Vec<_>>();
//! let solution = Solver::default().solve(&Problem::new(&a, &b)?)?;
//! assert!((solution.x[1] - 0.5).abs() < 1e-3);
//! assert!(solution.facts.backward_error < 1e-12);
//! assert_eq!(solution.certificate.verdict(), Verdict::Holds);
//! # Ok::<(), certus_linalg::Error>(())
//! ```
//!
//! A sketch `S A` with a few times more rows than A has columns keeps the geometry of A's column space. The triangular factor of
//! `S A` is therefore a preconditioner under which A is well conditioned, whatever its own condition, and LSMR converges in a
//! number of passes over A that does not depend on it. Sources: Rokhlin, Tygert, PNAS 105 (2008); Avron, Maymounkov, Toledo
//! (Blendenpik), SIAM J. Sci. Comput. 32 (2010); Meng, Saunders, Mahoney (LSRN), SIAM J. Sci. Comput. 36 (2014).

mod certificate;
mod facts;
mod measure;
mod preconditioner;
mod problem;
mod solver;

pub use certificate::certificate;
pub use facts::{Facts, backward_error};
pub use problem::Problem;
pub use solver::{Certify, Method, Solution, Solver};

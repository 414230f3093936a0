//! The map problems: X so that the attention itself matches a given one.

mod certify;
mod evaluation;
mod hessian;
mod objective;
mod pass;
mod problem;
mod solver;

pub use evaluation::Evaluation;
pub use problem::{Form, Problem, Sequence};
pub use solver::{Solution, Solver, distill_map};

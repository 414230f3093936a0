//! The layer problem: X and Y so that the attention's outputs match given ones.

mod accumulator;
mod certify;
mod evaluation;
mod hessian;
mod joint;
mod objective;
mod outputs;
mod pass;
mod problem;
mod selection;
mod solver;
mod values;

pub use accumulator::Accumulator;
pub use evaluation::Evaluation;
pub(crate) use evaluation::overflow;
pub use joint::JointCurvature;
pub use pass::Curvature;
pub use problem::{Head, Params, Problem, Sequence};
pub use selection::Selection;
pub use solver::{Solution, Solver};

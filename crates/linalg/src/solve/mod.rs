//! Iterative solvers over a [`LinearOperator`](crate::operator::LinearOperator).

mod lanczos;
mod lsmr;
mod pcg;

pub use lanczos::{Extremes, SymmetricOperator, lanczos_extremes, lanczos_smallest, singular_extremes};
pub use lsmr::{Lsmr, LsmrOptions, lsmr, lsmr_from};
pub use pcg::{Pcg, PcgOptions, pcg};

//! Fits one attention layer, or an attention map, and proves what it can of the answer.
#![forbid(unsafe_code)]

pub mod absorb;
mod bilinear;
mod blocks;
pub mod bounds;
mod certificate;
mod error;
mod facts;
mod holdout;
mod kantorovich;
mod kron_solver;
pub mod layer;
pub mod map;
mod mask;
mod newton_steps;
pub mod recover;
mod sample;
mod scores;
pub mod stability;
mod symmetric;
mod warning;
mod whitening;

pub use certificate::certificate;
pub use error::Error;
pub use facts::Facts;
pub use holdout::Split;
pub use kantorovich::Kantorovich;
pub use mask::Mask;
pub use newton_steps::Method;

/// How much is spent on the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Certify {
    /// The Kantorovich test, where the Hessian in X is small enough to be formed.
    #[default]
    Cheap,
    /// Also the curvature of each row.
    Full,
}

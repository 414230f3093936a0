//! What can be wrong with an attention problem.

use certus_contract::InputError;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is malformed.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A row of the target is no probability distribution, which cross-entropy needs.
    #[error("row {row} of target {sequence} is no distribution over the visible keys: {problem}")]
    NotStochastic {
        /// The sequence.
        sequence: usize,
        /// The row.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The rescaled loss falls to zero when all logits fall: there is no minimiser.
    #[error(
        "the rescaled loss tends to 0 for every X as all logits fall: the columns of a1 and of a2 can make a constant, and nothing holds X back"
    )]
    UnboundedRescaled,
    /// A fitted score matrix cannot be merged into weights that a rotation follows.
    #[error("X does not commute with the rotary embedding (by {excess:.1e} relative): it stays a matrix of its own at run time")]
    NotAbsorbable {
        /// The distance of X from the matrices that commute with all rotations, over the size of X.
        excess: f64,
    },
    /// A sketch for weights of rank one was asked for, and the weights are not near it.
    #[error(
        "the weights of queries and keys in the Hessian are {distance:.2} of their norm away from rank one at the start: {sketch} needs at most {}",
        crate::Sketch::NEAR
    )]
    NotRankOne {
        /// The distance, relative.
        distance: f64,
        /// The sketch.
        sketch: &'static str,
    },
    /// The linear algebra on the way refused.
    #[error(transparent)]
    LinearAlgebra(certus_linalg::Error),
}

impl From<certus_linalg::Error> for Error {
    fn from(error: certus_linalg::Error) -> Self {
        match error {
            certus_linalg::Error::Input(input) => Error::Input(input),
            other => Error::LinearAlgebra(other),
        }
    }
}

impl Error {
    /// The kind as the JSON's `error.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Input(input) => input.kind(),
            Error::NotStochastic { .. } => "NotStochastic",
            Error::UnboundedRescaled => "UnboundedRescaled",
            Error::NotAbsorbable { .. } => "NotAbsorbable",
            Error::NotRankOne { .. } => "NotRankOne",
            Error::LinearAlgebra(error) => error.kind(),
        }
    }

    /// What to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Error::Input(input) => input.hint(),
            Error::NotStochastic { .. } => "Divide each row by its sum over the visible keys, or use the normalised form.".into(),
            Error::UnboundedRescaled => "Add a regulariser of X (logit_reg_x or ridge_x), or use the normalised form.".into(),
            Error::NotAbsorbable { .. } => "Keep X as a matrix between queries and keys, after the rotation.".into(),
            Error::NotRankOne { .. } => "Use the sketch rows, or auto, which takes it where it must.".into(),
            Error::LinearAlgebra(error) => error.hint(),
        }
    }
}

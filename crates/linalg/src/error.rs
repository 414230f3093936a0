//! What can go wrong in linear algebra.

use certus_contract::InputError;

/// Why a factorisation or a solve gave no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is malformed.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A Cholesky factorisation met a pivot that is not positive.
    #[error("{matrix} is not positive definite: the pivot of row {row} is not above zero")]
    NotPositiveDefinite {
        /// What was factored.
        matrix: String,
        /// The row at which it failed.
        row: usize,
    },
    /// A matrix whose columns depend on each other where they must not.
    #[error("{matrix} has rank {rank}, but its {cols} columns must be independent")]
    RankDeficient {
        /// What was factored.
        matrix: String,
        /// Its numerical rank.
        rank: usize,
        /// Its number of columns.
        cols: usize,
    },
    /// An eigenvalue or singular value iteration did not converge.
    #[error("the {what} of a {rows} x {cols} matrix did not converge")]
    NoConvergence {
        /// The factorisation.
        what: &'static str,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
    /// A factorisation was asked of a matrix with an entry that is NaN or infinite, made by an overflow on the way.
    #[error("the matrix of the {what} has an entry that is NaN or infinite")]
    NonFiniteMatrix {
        /// The factorisation.
        what: &'static str,
    },
}

impl Error {
    /// The kind as the JSON's `error.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Input(input) => input.kind(),
            Error::NotPositiveDefinite { .. } => "NotPositiveDefinite",
            Error::RankDeficient { .. } => "RankDeficient",
            Error::NoConvergence { .. } => "NoConvergence",
            Error::NonFiniteMatrix { .. } => "NonFiniteMatrix",
        }
    }

    /// What to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Error::Input(input) => input.hint(),
            Error::NotPositiveDefinite { .. } => "Add a ridge to the diagonal, or remove columns that depend on each other.".into(),
            Error::RankDeficient { .. } => "Remove columns that depend on each other, or add a ridge.".into(),
            Error::NoConvergence { .. } => "Scale rows and columns to similar norms.".into(),
            Error::NonFiniteMatrix { .. } => "Scale the data: products of its entries overflow.".into(),
        }
    }
}

//! What can be wrong with a regression problem.

use certus_contract::InputError;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is malformed.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The sum of u(Ax), by which the normalised form divides, is zero to rounding.
    #[error(
        "the sum of u(Ax), by which the normalised form divides, is zero to rounding at |x| = {x_norm:e}: its terms cancel {kappa:e} times"
    )]
    ZeroNormaliser {
        /// |x|.
        x_norm: f64,
        /// The sum of |u| over |sum of u|.
        kappa: f64,
    },
    /// The loss falls to zero along a direction for every x: there is no minimiser.
    #[error(
        "the loss tends to 0 for every x along a direction that shifts all of Ax (its largest entry is that of column {column}): no minimiser exists"
    )]
    UnboundedGauge {
        /// The column with the largest entry of the direction.
        column: usize,
        /// The direction: A times it is the vector of ones.
        direction: Vec<f64>,
    },
    /// The Hessian at the answer is singular, and a unique derivative was asked for.
    #[error("the Hessian has rank {rank}, below the {cols} columns of a: the answer is not unique")]
    SingularSystem {
        /// Its rank.
        rank: usize,
        /// The columns of A.
        cols: usize,
    },
    /// The linear algebra on the way refused.
    #[error(transparent)]
    LinearAlgebra(certus_linalg::Error),
}

impl From<certus_linalg::Error> for Error {
    fn from(error: certus_linalg::Error) -> Self {
        match error {
            certus_linalg::Error::Input(input) => Error::Input(input),
            certus_linalg::Error::NonFiniteMatrix { .. } => {
                let expected = "of sizes whose products do not overflow (scale the columns of a)";
                InputError::parameter("entries of the Hessian", f64::INFINITY, expected).into()
            }
            other => Error::LinearAlgebra(other),
        }
    }
}

impl Error {
    /// The kind as the JSON's `error.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Input(input) => input.kind(),
            Error::ZeroNormaliser { .. } => "ZeroNormaliser",
            Error::UnboundedGauge { .. } => "UnboundedGauge",
            Error::SingularSystem { .. } => "SingularSystem",
            Error::LinearAlgebra(error) => error.kind(),
        }
    }

    /// What to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Error::Input(input) => input.hint(),
            Error::ZeroNormaliser { .. } => "Use the plain or rescaled form, or an offset that keeps the sum from zero.".into(),
            Error::UnboundedGauge { .. } => {
                "Add a ridge or a row regulariser, drop the constant column, or use the normalised form.".into()
            }
            Error::SingularSystem { .. } => "Add a ridge, or remove columns that depend on each other.".into(),
            Error::LinearAlgebra(error) => error.hint(),
        }
    }
}

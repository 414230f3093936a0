//! `certus linalg`: least squares and leverage scores.

use certus_linalg::Matrix;

use crate::args::Certify;
use crate::error::{Exit, Explain};
use crate::samples;
use crate::verb::System;

mod least_squares;
pub(super) mod leverage;

/// The verbs, and the files of their examples.
pub(crate) fn system() -> System {
    System::new("linalg", "Least squares and leverage scores, dense or sparse")
        .verb::<least_squares::LeastSquares>("least-squares")
        .verb::<leverage::Leverage>("leverage")
        .sample("diabetes.npz", samples::diabetes)
        .sample("digits.npz", samples::digits)
        .sample("b.npy", samples::progression)
        .sample("sparse.npz", samples::pixels)
        .sample("sparse.mtx", samples::pixels_as_text)
        .sample("labels.npy", samples::labels)
}

/// A matrix from a file as one for a problem.
pub(super) fn view(matrix: &certus_io::Matrix) -> Matrix<'_> {
    match matrix {
        certus_io::Matrix::Dense(dense) => dense.into(),
        certus_io::Matrix::Sparse(sparse) => sparse.into(),
    }
}

impl From<Certify> for certus_linalg::least_squares::Certify {
    fn from(certify: Certify) -> Self {
        match certify {
            Certify::Cheap => certus_linalg::least_squares::Certify::Cheap,
            Certify::Full => certus_linalg::least_squares::Certify::Full,
        }
    }
}

impl Explain for certus_linalg::Error {
    fn kind(&self) -> String {
        certus_linalg::Error::kind(self).to_owned()
    }

    fn hint(&self) -> String {
        certus_linalg::Error::hint(self)
    }

    fn exit(&self) -> Exit {
        match self {
            certus_linalg::Error::NoConvergence { .. } => Exit::Failed,
            _ => Exit::BadInput,
        }
    }
}

//! Factors of Kronecker, Khatri-Rao and face-splitting products, checked against the dimensions of a sketch.

use certus_contract::InputError;
use certus_numeric::{Array, Csr};

use super::require_matrix;
use crate::matrix::Matrix;

/// The product of the dimensions of the factors.
pub(super) fn require_dimensions(dimensions: &[usize]) -> Result<usize, InputError> {
    if dimensions.is_empty() {
        return Err(InputError::parameter("the number of factors", 0, "at least 1"));
    }
    product(dimensions.iter().copied(), "the Kronecker product")
}

/// A product that must not overflow.
fn product(extents: impl Iterator<Item = usize> + Clone, what: &str) -> Result<usize, InputError> {
    extents.clone().try_fold(1usize, usize::checked_mul).ok_or_else(|| {
        let extents = extents.map(|extent| extent.to_string()).collect::<Vec<_>>().join(" x ");
        InputError::too_large(what, extents, format!("{} (the address space)", usize::MAX))
    })
}

/// One matrix for each factor of a sketch.
pub(super) struct Factors<'a> {
    list: Vec<Matrix<'a>>,
}

impl<'a> Factors<'a> {
    /// Factors whose rows are `dimensions`.
    pub(super) fn with_rows(list: &[Matrix<'a>], dimensions: &[usize]) -> Result<Self, InputError> {
        Self::checked(list, dimensions, "rows", |(rows, _)| rows)
    }

    /// Factors whose columns are `dimensions`.
    pub(super) fn with_columns(list: &[Matrix<'a>], dimensions: &[usize]) -> Result<Self, InputError> {
        Self::checked(list, dimensions, "columns", |(_, cols)| cols)
    }

    fn checked(
        list: &[Matrix<'a>],
        dimensions: &[usize],
        what: &str,
        extent: impl Fn((usize, usize)) -> usize,
    ) -> Result<Self, InputError> {
        if list.len() != dimensions.len() {
            let expected = format!("{} factors (those of the sketch)", dimensions.len());
            return Err(InputError::dimension("the product", format!("{} factors", list.len()), expected));
        }
        for (k, (&factor, &dimension)) in list.iter().zip(dimensions).enumerate() {
            let found = extent(require_matrix(&name(k), factor)?);
            if found != dimension {
                let expected = format!("{dimension} {what} (the sketch's dimension)");
                return Err(InputError::dimension(name(k), format!("{found} {what}"), expected));
            }
        }
        Ok(Factors { list: list.to_vec() })
    }

    pub(super) fn list(&self) -> &[Matrix<'a>] {
        &self.list
    }

    /// What `f` makes of the transposed factors.
    pub(super) fn with_transposed<R>(&self, f: impl FnOnce(&Factors<'_>) -> R) -> R {
        let owned: Vec<Owned> = self.list.iter().map(|&factor| Owned::transpose_of(factor)).collect();
        f(&Factors { list: owned.iter().map(Owned::view).collect() })
    }

    /// d_1 ... d_q, such that a result of `rows` times that can be addressed.
    pub(super) fn kronecker_columns(&self, rows: usize) -> Result<usize, InputError> {
        let columns = self.list.iter().map(|factor| factor.cols());
        product(columns.clone().chain([rows, size_of::<f64>()]), "the sketched Kronecker product")?;
        product(columns, "the sketched Kronecker product")
    }

    /// The columns of the factors whose product is column `column` of the Kronecker product.
    pub(super) fn split_column(&self, column: usize, choice: &mut [usize]) {
        let mut rest = column;
        for (choice, factor) in choice.iter_mut().zip(&self.list).rev() {
            *choice = rest % factor.cols();
            rest /= factor.cols();
        }
    }

    pub(super) fn common_columns(&self) -> Result<usize, InputError> {
        self.common("columns", |factor| factor.cols())
    }

    pub(super) fn common_rows(&self) -> Result<usize, InputError> {
        self.common("rows", |factor| factor.rows())
    }

    fn common(&self, what: &str, extent: impl Fn(&Matrix<'a>) -> usize) -> Result<usize, InputError> {
        let first = extent(&self.list[0]);
        match self.list.iter().position(|factor| extent(factor) != first) {
            None => Ok(first),
            Some(k) => {
                let found = format!("{} {what}", extent(&self.list[k]));
                Err(InputError::dimension(name(k), found, format!("{first} {what} (those of {})", name(0))))
            }
        }
    }
}

enum Owned {
    Dense(Array),
    Sparse(Csr),
}

impl Owned {
    fn transpose_of(a: Matrix<'_>) -> Self {
        match a {
            Matrix::Dense(a) => Owned::Dense(a.transposed()),
            Matrix::Sparse(a) => Owned::Sparse(a.transposed()),
        }
    }

    fn view(&self) -> Matrix<'_> {
        match self {
            Owned::Dense(a) => Matrix::Dense(a),
            Owned::Sparse(a) => Matrix::Sparse(a),
        }
    }
}

fn name(k: usize) -> String {
    format!("factor {}", k + 1)
}

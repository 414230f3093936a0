//! The data, validated once.

use std::fmt;
use std::str::FromStr;

use certus_contract::{InputError, require_finite, require_length};
use certus_linalg::Matrix;
use certus_linalg::operator::LinearOperator;
use certus_numeric::sum::max_abs;

use crate::Error;

/// The function u that is applied to Ax, entry by entry. Each is its own second derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// e^z.
    Exp,
    /// (e^z + e^-z) / 2.
    Cosh,
    /// (e^z - e^-z) / 2.
    Sinh,
}

/// What is compared with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// u - b.
    Plain,
    /// u - S b, S the sum of u.
    Rescaled,
    /// u / S - b.
    Normalised,
}

/// One value of the row regulariser, or one for each row.
#[derive(Clone, Copy, Debug)]
enum RowReg<'a> {
    Uniform(f64),
    Each(&'a [f64]),
}

/// Find x so that u(Ax + offset) matches b:
/// `½ Σ ω_i r_i² + ½ Σ (w_i a_iᵀ(x - x_ref))² + ½ ridge |x - x_ref|²`, A of n x d, dense or sparse.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    a: Matrix<'a>,
    b: &'a [f64],
    link: Link,
    form: Form,
    weights: Option<&'a [f64]>,
    row_reg: RowReg<'a>,
    ridge: f64,
    reference: Option<&'a [f64]>,
    offset: Option<&'a [f64]>,
    /// A x_ref + offset: the predictor at the centre of the row regulariser.
    centre: Option<Vec<f64>>,
}

impl<'a> Problem<'a> {
    /// A problem without weights and regulariser. Cost: one pass over the data.
    ///
    /// # Errors
    /// `EmptyProblem`, `DimensionMismatch`, `NonFinite`; `InvalidParameter` for an entry beyond 1e151, whose square overflows.
    pub fn new(a: impl Into<Matrix<'a>>, b: &'a [f64], link: Link, form: Form) -> Result<Self, Error> {
        let a = a.into();
        a.validate("a")?;
        require_length("b", b.len(), a.rows(), "the rows of a")?;
        require_finite("b", &[b.len()], b)?;
        require_size("a", a.values())?;
        require_size("b", b)?;
        let row_reg = RowReg::Uniform(0.0);
        Ok(Problem { a, b, link, form, weights: None, row_reg, ridge: 0.0, reference: None, offset: None, centre: None })
    }

    /// Weights ω of the squared residuals, n numbers of at least 0 (default 1).
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`, `InvalidParameter`.
    pub fn with_data_weights(self, weights: &'a [f64]) -> Result<Self, Error> {
        self.require_rows("data-weights", weights)?;
        require_nonnegative("data-weights", weights)?;
        if weights.iter().all(|w| *w == 0.0) {
            return Err(InputError::parameter("data-weights", 0.0, "above 0 for at least one row").into());
        }
        Ok(Problem { weights: Some(weights), ..self })
    }

    /// The row regulariser w, not squared, n numbers of at least 0 (default 0).
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`, `InvalidParameter`.
    pub fn with_row_reg(self, w: &'a [f64]) -> Result<Self, Error> {
        self.require_rows("row-reg", w)?;
        require_nonnegative("row-reg", w)?;
        Ok(Problem { row_reg: RowReg::Each(w), ..self })
    }

    /// The same w for all rows.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_uniform_row_reg(self, w: f64) -> Result<Self, Error> {
        require_nonnegative("row-reg", &[w])?;
        require_size("row-reg", &[w])?;
        Ok(Problem { row_reg: RowReg::Uniform(w), ..self })
    }

    /// The ridge (default 0).
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_ridge(self, ridge: f64) -> Result<Self, Error> {
        require_ridge("ridge", ridge)?;
        Ok(Problem { ridge, ..self })
    }

    /// The centre x_ref of the regularisers, d numbers (default 0).
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn with_reference(self, reference: &'a [f64]) -> Result<Self, Error> {
        require_length("reference", reference.len(), self.a.cols(), "the columns of a")?;
        require_finite("reference", &[reference.len()], reference)?;
        require_size("reference", reference)?;
        Ok(Problem { reference: Some(reference), ..self }.centred())
    }

    /// The offset of the linear predictor, n numbers (default 0).
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn with_offset(self, offset: &'a [f64]) -> Result<Self, Error> {
        self.require_rows("offset", offset)?;
        Ok(Problem { offset: Some(offset), ..self }.centred())
    }

    /// The same problem with another target.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn with_target(&self, b: &'a [f64]) -> Result<Self, Error> {
        self.require_rows("b", b)?;
        Ok(Problem { b, ..self.clone() })
    }

    fn require_rows(&self, name: &str, values: &[f64]) -> Result<(), InputError> {
        require_length(name, values.len(), self.a.rows(), "the rows of a")?;
        require_finite(name, &[values.len()], values)?;
        require_size(name, values)
    }

    fn centred(self) -> Self {
        let mut centre = self.reference.map(|x| self.a.times(x));
        if let Some(offset) = self.offset {
            match &mut centre {
                Some(centre) => centre.iter_mut().zip(offset).for_each(|(c, o)| *c += o),
                None => centre = Some(offset.to_vec()),
            }
        }
        Problem { centre, ..self }
    }

    /// A.
    pub fn a(&self) -> Matrix<'a> {
        self.a
    }

    /// b.
    pub fn b(&self) -> &'a [f64] {
        self.b
    }

    /// The link.
    pub fn link(&self) -> Link {
        self.link
    }

    /// The form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The ridge.
    pub fn ridge(&self) -> f64 {
        self.ridge
    }

    /// The number of rows, n.
    pub fn rows(&self) -> usize {
        self.a.rows()
    }

    /// The number of unknowns, d.
    pub fn cols(&self) -> usize {
        self.a.cols()
    }

    /// The weight of row i.
    #[inline]
    pub fn weight(&self, i: usize) -> f64 {
        self.weights.map_or(1.0, |w| w[i])
    }

    /// The squared row regulariser of row i.
    #[inline]
    pub fn row_reg_squared(&self, i: usize) -> f64 {
        match self.row_reg {
            RowReg::Uniform(w) => w * w,
            RowReg::Each(w) => w[i] * w[i],
        }
    }

    /// Entry j of x_ref.
    #[inline]
    pub fn reference(&self, j: usize) -> f64 {
        self.reference.map_or(0.0, |x| x[j])
    }

    pub(crate) fn reference_given(&self) -> Option<&'a [f64]> {
        self.reference
    }

    /// x_ref.
    pub(crate) fn reference_vector(&self) -> Vec<f64> {
        self.reference.map_or_else(|| vec![0.0; self.cols()], <[f64]>::to_vec)
    }

    /// The offset of row i.
    #[inline]
    pub fn offset(&self, i: usize) -> f64 {
        self.offset.map_or(0.0, |o| o[i])
    }

    /// Entry i of A x_ref + offset.
    #[inline]
    pub(crate) fn centre(&self, i: usize) -> f64 {
        self.centre.as_ref().map_or(0.0, |c| c[i])
    }

    pub(crate) fn has_offset(&self) -> bool {
        self.offset.is_some()
    }

    pub(crate) fn has_row_reg(&self) -> bool {
        match self.row_reg {
            RowReg::Uniform(w) => w > 0.0,
            RowReg::Each(w) => w.iter().any(|w| *w > 0.0),
        }
    }

    pub(crate) fn is_regularised(&self) -> bool {
        self.ridge > 0.0 || self.has_row_reg()
    }

    /// Whether x and -x have the same loss.
    pub fn is_even(&self) -> bool {
        let even_form = self.link == Link::Cosh || (self.link == Link::Sinh && self.form != Form::Plain);
        even_form && self.reference.is_none_or(|x| x.iter().all(|v| *v == 0.0)) && self.offset.is_none_or(|o| o.iter().all(|v| *v == 0.0))
    }

    /// z = A x + offset.
    pub(crate) fn predictor(&self, x: &[f64]) -> Vec<f64> {
        let mut z = if x.iter().all(|x| *x == 0.0) { vec![0.0; self.rows()] } else { self.a.times(x) };
        if let Some(offset) = self.offset {
            z.iter_mut().zip(offset).for_each(|(z, o)| *z += o);
        }
        z
    }

    pub(crate) fn require_point(&self, name: &str, x: &[f64]) -> Result<(), Error> {
        require_length(name, x.len(), self.cols(), "the columns of a")?;
        Ok(require_finite(name, &[x.len()], x)?)
    }
}

/// Refuses entries whose squares overflow.
fn require_size(name: &str, values: &[f64]) -> Result<(), InputError> {
    const LIMIT: f64 = 1e151;
    let largest = max_abs(values);
    if largest > LIMIT {
        let expected = format!("at most {LIMIT:e} (multiply the data by a power of two)");
        return Err(InputError::parameter(format!("largest entry of {name}"), format!("{largest:e}"), expected));
    }
    Ok(())
}

pub(crate) fn require_ridge(name: &str, ridge: f64) -> Result<(), InputError> {
    if !ridge.is_finite() {
        return Err(InputError::non_finite(name, &[], ridge));
    }
    if !(0.0..=1e300).contains(&ridge) {
        return Err(InputError::parameter(name, ridge, "at least 0 and at most 1e300"));
    }
    Ok(())
}

fn require_nonnegative(name: &str, values: &[f64]) -> Result<(), InputError> {
    match values.iter().position(|v| !(*v >= 0.0 && v.is_finite())) {
        Some(i) => {
            let which = if values.len() == 1 { name.to_owned() } else { format!("{name}[{i}]") };
            Err(InputError::parameter(which, values[i], "a finite number of at least 0"))
        }
        None => Ok(()),
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Link::Exp => "exp",
            Link::Cosh => "cosh",
            Link::Sinh => "sinh",
        })
    }
}

impl FromStr for Link {
    type Err = InputError;

    fn from_str(name: &str) -> Result<Self, InputError> {
        let found = [Link::Exp, Link::Cosh, Link::Sinh].into_iter().find(|link| link.to_string() == name);
        found.ok_or_else(|| InputError::parameter("link", name, "exp, cosh or sinh"))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Form::Plain => "plain",
            Form::Rescaled => "rescaled",
            Form::Normalised => "normalised",
        })
    }
}

impl FromStr for Form {
    type Err = InputError;

    fn from_str(name: &str) -> Result<Self, InputError> {
        let found = [Form::Plain, Form::Rescaled, Form::Normalised].into_iter().find(|form| form.to_string() == name);
        found.ok_or_else(|| InputError::parameter("form", name, "plain, rescaled or normalised"))
    }
}

//! The data of a map problem, checked once.

use certus_contract::InputError;
use certus_numeric::Array;
use certus_numeric::sum::dot;

use crate::Error;
use crate::bilinear::{Bilinear, Inputs, require, require_shape, shaped_array, weight};
use crate::mask::{Mask, Visible};
use crate::scores::Scores;

/// What is compared with the target B, F being the row softmax of the logits S and U their exponentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `|F - B|²`.
    Normalised,
    /// `|U - diag(U 1) B|²`: the same with each row weighted by the square of its sum of exponentials.
    Rescaled,
    /// `Σ logsumexp(s) - <b, s>`, for rows b that are distributions: convex.
    CrossEntropy,
}

impl Form {
    /// As the command names it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Normalised => "normalised",
            Form::Rescaled => "rescaled",
            Form::CrossEntropy => "cross-entropy",
        }
    }
}

/// One sequence: queries (n x d1), keys (m x d2), and the attention that they should have (n x m).
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    pub(crate) a1: &'a Array,
    pub(crate) a2: &'a Array,
    pub(crate) target: &'a Array,
    pub(crate) mask: Mask<'a>,
}

impl<'a> Sequence<'a> {
    /// Without a mask.
    pub fn new(a1: &'a Array, a2: &'a Array, target: &'a Array) -> Self {
        Sequence { a1, a2, target, mask: Mask::None }
    }

    /// With a mask.
    pub fn with_mask(self, mask: Mask<'a>) -> Self {
        Sequence { mask, ..self }
    }
}

/// The sum over the sequences of what the [`Form`] says, for the logits `scale A1 X A2ᵀ`, and regularisers:
/// `½ logit_reg |scale A1 (X - X0) A2ᵀ|² + ½ ridge |X - X0|²`.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    pub(crate) form: Form,
    pub(crate) scores: Bilinear<'a>,
    pub(crate) targets: Vec<&'a Array>,
    /// The square of the norm of each row of each target.
    pub(crate) squares: Vec<Vec<f64>>,
}

/// By how much a row's sum may differ from 1, and an entry be below 0.
const STOCHASTIC: f64 = 1e-6;

/// Maps of a block that are worked on at once: the slopes take the place of the attention.
const MAPS: usize = 1;

impl<'a> Problem<'a> {
    /// Scale 1, no regulariser, a reference of zeros.
    ///
    /// # Errors
    /// `EmptyProblem`, `DimensionMismatch`, `NonFinite`, `InvalidParameter` (a mask's lengths); `NotStochastic` for cross-entropy.
    pub fn new(sequences: Vec<Sequence<'a>>, form: Form) -> Result<Self, Error> {
        let Some(first) = sequences.first() else { return Err(InputError::empty("sequences", &[0]).into()) };
        let (d1, d2) = (first.a1.require_matrix("a1")?.1, first.a2.require_matrix("a2")?.1);
        let several = sequences.len() > 1;
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for (s, sequence) in sequences.into_iter().enumerate() {
            let name = |array: &str| if several { format!("{array} of sequence {s}") } else { array.to_owned() };
            let n = sequence.a1.require_matrix(&name("a1"))?.0;
            let m = sequence.a2.require_matrix(&name("a2"))?.0;
            require(sequence.a1, &name("a1"), n, "its own", d1)?;
            require(sequence.a2, &name("a2"), m, "its own", d2)?;
            require(sequence.target, &name("target"), n, "the rows of a1; columns are the rows of a2", m)?;
            let visible = Visible::new(sequence.mask, n, m)?;
            if form == Form::CrossEntropy {
                require_stochastic(s, sequence.target, &visible)?;
            }
            let scores = vec![Scores { a1: sequence.a1, a2: sequence.a2 }];
            inputs.push(Inputs::checked(scores, visible, [&name("a1"), &name("a2")])?);
            targets.push(sequence.target);
        }
        let squares = targets.iter().map(|b| (0..b.rows()).map(|i| dot(b.row(i), b.row(i))).collect()).collect();
        Ok(Problem { form, scores: Bilinear::new(inputs, MAPS), targets, squares })
    }

    /// With tau, the factor of the logits.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_scale(mut self, scale: f64) -> Result<Self, Error> {
        self.scores.set_scale(scale)?;
        Ok(self)
    }

    /// With a regulariser in the logit metric.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_logit_reg(mut self, logit_reg: f64) -> Result<Self, Error> {
        self.scores.logit_reg = weight("logit-reg-x", logit_reg)?;
        Ok(self)
    }

    /// With a ridge.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_ridge(mut self, ridge: f64) -> Result<Self, Error> {
        self.scores.ridge = weight("ridge-x", ridge)?;
        Ok(self)
    }

    /// With X0, towards which the regularisers pull.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn with_reference(mut self, x0: &Array) -> Result<Self, Error> {
        require_shape(x0, "x-ref", &self.scores.shape())?;
        self.scores.x0 = x0.as_slice().to_vec();
        Ok(self)
    }

    /// With blocks of so many rows; the default is by the sizes. The answer changes by rounding only.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_block_rows(mut self, rows: usize) -> Result<Self, Error> {
        if rows == 0 {
            return Err(InputError::parameter("block rows", rows, "at least 1").into());
        }
        self.scores.cut(|_, _| rows);
        Ok(self)
    }

    /// The same data in another form.
    ///
    /// # Errors
    /// `NotStochastic` for cross-entropy.
    pub fn with_form(mut self, form: Form) -> Result<Self, Error> {
        if form == Form::CrossEntropy {
            for (s, (inputs, target)) in self.scores.sequences.iter().zip(&self.targets).enumerate() {
                require_stochastic(s, target, &inputs.visible)?;
            }
        }
        self.form = form;
        Ok(self)
    }

    /// X0.
    pub fn reference(&self) -> Array {
        shaped_array(self.scores.shape(), &self.scores.x0)
    }

    /// What is compared.
    pub fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn is_regularised(&self) -> bool {
        self.scores.logit_reg > 0.0 || self.scores.ridge > 0.0
    }
}

fn require_stochastic(sequence: usize, target: &Array, visible: &Visible<'_>) -> Result<(), Error> {
    for row in 0..target.rows() {
        let seen = |j: &usize| visible.sees(row, *j);
        if !(0..target.cols()).any(|j| seen(&j)) {
            continue;
        }
        let fail = |problem: String| Err(Error::NotStochastic { sequence, row, problem });
        if let Some(j) = (0..target.cols()).find(|&j| target.row(row)[j] < -STOCHASTIC) {
            return fail(format!("entry {j} is {}", target.row(row)[j]));
        }
        let sum = (0..target.cols()).filter(seen).map(|j| target.row(row)[j]).sum::<f64>();
        if (sum - 1.0).abs() > STOCHASTIC {
            return fail(format!("its sum over the visible keys is {sum}"));
        }
    }
    Ok(())
}

//! The data of a layer, checked once.

use certus_contract::InputError;
use certus_linalg::Mat;
use certus_linalg::product::{gram, matmul};
use certus_linalg::view::{rows_of, view};
use certus_numeric::Array;

use crate::Error;
use crate::bilinear::{Bilinear, Inputs, add_scaled, require, require_shape, shaped_array, weight};
use crate::mask::{Mask, Visible};
use crate::scores::Scores;

/// What one head sees in one sequence. Grouped queries share `a2` and `a3`.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The queries, n x d1.
    pub a1: &'a Array,
    /// The keys, m x d2.
    pub a2: &'a Array,
    /// The values, m x d3.
    pub a3: &'a Array,
}

/// One sequence: the inputs of its heads, and what their outputs should add up to.
#[derive(Clone, Debug)]
pub struct Sequence<'a> {
    pub(crate) heads: Vec<Head<'a>>,
    pub(crate) target: &'a Array,
    pub(crate) mask: Mask<'a>,
}

impl<'a> Sequence<'a> {
    /// With one head. `target` is n x dv.
    pub fn new(a1: &'a Array, a2: &'a Array, a3: &'a Array, target: &'a Array) -> Self {
        Sequence::of_heads(vec![Head { a1, a2, a3 }], target)
    }

    /// With several heads, whose outputs add up.
    pub fn of_heads(heads: Vec<Head<'a>>, target: &'a Array) -> Self {
        Sequence { heads, target, mask: Mask::None }
    }

    /// With a mask, the same for all heads.
    pub fn with_mask(self, mask: Mask<'a>) -> Self {
        Sequence { mask, ..self }
    }
}

/// What one sequence's heads give, and what they should.
#[derive(Clone, Debug)]
pub(crate) struct Outputs<'a> {
    pub(crate) values: Vec<&'a Array>,
    pub(crate) target: &'a Array,
}

/// X (d1 x d2) and Y (d3 x dv); with several heads, the heads first.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// The scores' matrix.
    pub x: Array,
    /// The values' matrix.
    pub y: Array,
}

/// `Σ |Σ_h F_h A3_h Y_h - B|²` over the sequences, F_h the row softmax of `scale A1_h X_h A2_hᵀ` over the visible keys, and regularisers:
/// `½ logit_reg_x |scale A1 (X - X0) A2ᵀ|² + ½ logit_reg_y |A3 (Y - Y0)|² + ½ ridge_x |X - X0|² + ½ ridge_y |Y - Y0|²`.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    pub(crate) scores: Bilinear<'a>,
    pub(crate) outputs: Vec<Outputs<'a>>,
    pub(crate) d3: usize,
    pub(crate) dv: usize,
    pub(crate) logit_reg_y: f64,
    pub(crate) ridge_y: f64,
    pub(crate) y0: Vec<f64>,
    /// `Σ A3ᵀ A3` over the sequences, of each head.
    pub(crate) gram3: Vec<Mat<f64>>,
}

/// Maps of a block that are worked on at once: the attention, its change, and the slopes.
const MAPS: usize = 3;

impl<'a> Problem<'a> {
    /// Scale 1, no regularisers, references of zeros.
    ///
    /// # Errors
    /// `EmptyProblem`, `DimensionMismatch`, `NonFinite`, `InvalidParameter` (a mask's lengths).
    pub fn new(sequences: Vec<Sequence<'a>>) -> Result<Self, Error> {
        let Some(first) = sequences.first().filter(|s| !s.heads.is_empty()) else {
            return Err(InputError::empty("sequences", &[sequences.len()]).into());
        };
        let heads = first.heads.len();
        let [d1, d2, d3] =
            [("a1", first.heads[0].a1), ("a2", first.heads[0].a2), ("a3", first.heads[0].a3)].map(|(name, a)| a.require_matrix(name));
        let (d1, d2, d3) = (d1?.1, d2?.1, d3?.1);
        let dv = first.target.require_matrix("target")?.1;
        let several = sequences.len() > 1;
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for (s, sequence) in sequences.into_iter().enumerate() {
            let name = |array: &str, head: Option<usize>| {
                let head = head.filter(|_| heads > 1).map_or(String::new(), |h| format!(" of head {h}"));
                if several { format!("{array}{head} of sequence {s}") } else { format!("{array}{head}") }
            };
            if sequence.heads.len() != heads {
                let found = format!("{} heads", sequence.heads.len());
                return Err(InputError::dimension(name("a1", None), found, format!("{heads} heads, as in sequence 0")).into());
            }
            let n = sequence.heads[0].a1.require_matrix(&name("a1", Some(0)))?.0;
            sequence.target.require_matrix(&name("target", None))?;
            let m = sequence.heads[0].a2.require_matrix(&name("a2", Some(0)))?.0;
            for (h, head) in sequence.heads.iter().enumerate() {
                let of = |array: &str| name(array, Some(h));
                require(head.a1, &of("a1"), n, "the rows of the first a1", d1)?;
                require(head.a2, &of("a2"), m, "the rows of the first a2", d2)?;
                require(head.a3, &of("a3"), m, "the rows of a2", d3)?;
            }
            require(sequence.target, &name("target", None), n, "the rows of a1", dv)?;
            let visible = Visible::new(sequence.mask, n, m)?;
            let scores = sequence.heads.iter().map(|head| Scores { a1: head.a1, a2: head.a2 }).collect();
            inputs.push(Inputs::checked(scores, visible, [&name("a1", None), &name("a2", None)])?);
            outputs.push(Outputs { values: sequence.heads.iter().map(|head| head.a3).collect(), target: sequence.target });
        }
        let mut gram3 = vec![Mat::zeros(d3, d3); heads];
        outputs.iter().for_each(|s| s.values.iter().zip(&mut gram3).for_each(|(a3, sum)| *sum += gram(view(a3))));
        let y0 = vec![0.0; heads * d3 * dv];
        Ok(Problem { scores: Bilinear::new(inputs, MAPS), outputs, d3, dv, logit_reg_y: 0.0, ridge_y: 0.0, y0, gram3 })
    }

    /// With tau, the factor of the logits.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_scale(mut self, scale: f64) -> Result<Self, Error> {
        self.scores.set_scale(scale)?;
        Ok(self)
    }

    /// With regularisers in the logit metric, of X and of Y.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_logit_reg(mut self, x: f64, y: f64) -> Result<Self, Error> {
        (self.scores.logit_reg, self.logit_reg_y) = (weight("logit-reg-x", x)?, weight("logit-reg-y", y)?);
        Ok(self)
    }

    /// With ridges of X and of Y.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn with_ridge(mut self, x: f64, y: f64) -> Result<Self, Error> {
        (self.scores.ridge, self.ridge_y) = (weight("ridge-x", x)?, weight("ridge-y", y)?);
        Ok(self)
    }

    /// With X0 and Y0, towards which the regularisers pull.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn with_reference(mut self, reference: &Params) -> Result<Self, Error> {
        self.require(reference, ["x-ref", "y-ref"])?;
        (self.scores.x0, self.y0) = (reference.x.as_slice().to_vec(), reference.y.as_slice().to_vec());
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

    /// X0 and Y0.
    pub fn reference(&self) -> Params {
        self.params(&self.scores.x0, &self.y0)
    }

    /// Queries of all sequences.
    pub fn queries(&self) -> usize {
        self.scores.queries()
    }

    /// Rows of the stacked Y.
    pub(crate) fn rows_of_y(&self) -> usize {
        self.scores.heads * self.d3
    }

    /// Entries of Y.
    pub(crate) fn of_y(&self) -> usize {
        self.rows_of_y() * self.dv
    }

    fn shape_of_y(&self) -> Vec<usize> {
        if self.scores.heads == 1 { vec![self.d3, self.dv] } else { vec![self.scores.heads, self.d3, self.dv] }
    }

    pub(crate) fn params(&self, x: &[f64], y: &[f64]) -> Params {
        Params { x: shaped_array(self.scores.shape(), x), y: shaped_array(self.shape_of_y(), y) }
    }

    pub(crate) fn require(&self, params: &Params, names: [&str; 2]) -> Result<(), Error> {
        require_shape(&params.x, names[0], &self.scores.shape())?;
        require_shape(&params.y, names[1], &self.shape_of_y())?;
        Ok(())
    }

    /// `Σ A3ᵀ A3 D`: the metric of the values applied to a direction of Y.
    fn values_metric_times(&self, d: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; d.len()];
        for (h, (sum, d)) in sum.chunks_exact_mut(self.d3 * self.dv).zip(d.chunks_exact(self.d3 * self.dv)).enumerate() {
            add_scaled(sum, 1.0, matmul(self.gram3[h].as_ref(), rows_of(d, self.d3, self.dv)).as_ref());
        }
        sum
    }

    /// The gradient of the regulariser of Y for `Y - Y0`, linear in it.
    pub(crate) fn pull_y(&self, shift: &[f64]) -> Vec<f64> {
        let mut pull = if self.logit_reg_y > 0.0 { self.values_metric_times(shift) } else { vec![0.0; shift.len()] };
        pull.iter_mut().zip(shift).for_each(|(p, s)| *p = self.logit_reg_y * *p + self.ridge_y * s);
        pull
    }
}

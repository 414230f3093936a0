//! Loss, gradient and Hessian at one point, from shards of the sequences that are on several machines.

use certus_contract::InputError;
use certus_numeric::Array;

use super::evaluation::Evaluation;
use super::pass::Curvature;
use super::problem::Params;
use crate::Error;

/// What shards add up to at one point. Plain numbers: send them as you like. Merged in a fixed order, they give the same bits wherever each
/// shard was computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    /// The sum of the losses.
    pub loss: f64,
    /// The sum of the gradients.
    pub gradient: Params,
    /// The sum of the Hessians, X before Y, where they are wanted.
    pub hessian: Option<Array>,
}

impl Accumulator {
    /// From the evaluation of one shard. Each shard has its own part of the logit regularisers, which are sums over sequences; only one of
    /// them should have the ridges. All are evaluated at the same point.
    ///
    /// # Errors
    /// As [`Evaluation::hessian`].
    pub fn new(shard: &Evaluation<'_, '_>, with_hessian: bool) -> Result<Self, Error> {
        let hessian = with_hessian.then(|| shard.hessian(Curvature::Exact)).transpose()?;
        Ok(Accumulator { loss: shard.loss, gradient: shard.gradient.clone(), hessian })
    }

    /// Adds another shard's.
    ///
    /// # Errors
    /// `DimensionMismatch` where they do not belong to the same point.
    pub fn merge(&mut self, other: &Accumulator) -> Result<(), Error> {
        let mut pairs =
            vec![(&mut self.gradient.x, &other.gradient.x, "gradient_x"), (&mut self.gradient.y, &other.gradient.y, "gradient_y")];
        match (&mut self.hessian, &other.hessian) {
            (Some(sum), Some(part)) => pairs.push((sum, part, "hessian")),
            (None, None) => {}
            _ => return Err(InputError::dimension("hessian", "that of some shards", "that of all, or of none").into()),
        }
        if let Some((sum, part, name)) = pairs.iter().find(|(sum, part, _)| sum.shape() != part.shape()) {
            return Err(InputError::shape(*name, part.shape(), format!("{:?}, as in the first shard", sum.shape())).into());
        }
        for (sum, part, _) in pairs {
            sum.as_mut_slice().iter_mut().zip(part.as_slice()).for_each(|(s, p)| *s += p);
        }
        self.loss += other.loss;
        Ok(())
    }
}

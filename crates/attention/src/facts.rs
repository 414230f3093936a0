//! What is measured of an answer.

use certus_contract::Status;

use crate::bilinear::Bilinear;
use crate::kantorovich::Kantorovich;
use crate::layer::JointCurvature;
use crate::norms::Norms;
use crate::sketch::SketchFacts;
use crate::{Error, Method};

/// Everything measured of one answer. The certificate is derived from it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Queries of all sequences.
    pub queries: usize,
    /// Queries that see no key.
    pub dead_rows: usize,
    /// Whether some query sees more than one key.
    pub moves: bool,
    /// Whether there is a Y, which the Kantorovich test holds fixed.
    pub has_values: bool,
    /// Whether the loss is the rescaled one, whose constants hold near a point only.
    pub rescaled: bool,
    /// Numbers in X and Y.
    pub unknowns: usize,
    /// Numbers in the targets.
    pub targets: usize,
    /// The loss at the start.
    pub loss_start: f64,
    /// Steps that were taken or refused, those of a convex start included.
    pub iterations: usize,
    /// Those that were no whole Newton steps in X alone, in the loss itself: the theorem's rate is not theirs.
    pub other_steps: usize,
    /// The distance of the answer's logits from those of the start (Frobenius); `None` of a point that was not come to.
    pub start_distance: Option<f64>,
    /// How the run ended.
    pub status: Status,
    /// How the Hessian entered the steps.
    pub method: Method,
    /// What the sketched Hessian is worth at the answer, with [`Method::Sketched`].
    pub sketch: Option<SketchFacts>,
    /// The norms of the gradient in X and in Y (0 where there is none).
    pub gradient: (f64, f64),
    /// Whether the least squares of Y are singular: other Y do as well.
    pub values_singular: bool,
    /// Whether the keys' columns can make a constant, of each head: X then has directions that the attention does not see.
    /// Without a regulariser of X, which sees them, steps have no part along them, and the test is made with the keys less their mean.
    pub constant_in_keys: bool,
    /// The Kantorovich test in X, Y held fixed; `None` where it was not made.
    pub kantorovich: Option<Kantorovich>,
    /// The weight of the logit regulariser at which the Hessian in X is positive semidefinite at this point, the largest beta of any row;
    /// with full certification.
    pub convex_here: Option<f64>,
    /// The weight at which the problem in X is convex everywhere, for this Y; with full certification.
    pub convex_everywhere: Option<f64>,
    /// The weight of the logit regulariser.
    pub logit_reg_x: f64,
    /// Heads whose outputs add up.
    pub heads: usize,
    /// The norms that the literature's assumptions and constants are made of.
    pub norms: Norms,
    /// The curvature in X and Y together; with full certification, for one head and matrices that are small enough.
    pub joint: Option<JointCurvature>,
}

/// How a point was come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) loss_start: f64,
    pub(crate) status: Status,
    pub(crate) iterations: usize,
    pub(crate) other_steps: usize,
    pub(crate) start_distance: Option<f64>,
    pub(crate) method: Method,
}

impl Course {
    /// Of a point that was given.
    pub(crate) fn none(loss: f64) -> Course {
        Course { loss_start: loss, status: Status::Done, iterations: 0, other_steps: 0, start_distance: None, method: Method::Auto }
    }
}

impl Facts {
    /// What both kinds of problems have in common; the rest as if it were not there.
    pub(crate) fn of(scores: &Bilinear<'_>, course: Course) -> Result<Facts, Error> {
        let Course { loss_start, status, iterations, other_steps, start_distance, method } = course;
        Ok(Facts {
            queries: scores.queries(),
            dead_rows: scores.dead_rows(),
            moves: scores.moves(),
            has_values: false,
            rescaled: false,
            unknowns: scores.of_x(),
            targets: 0,
            loss_start,
            iterations,
            other_steps,
            start_distance,
            status,
            method,
            sketch: None,
            gradient: (0.0, 0.0),
            values_singular: false,
            constant_in_keys: scores.constant_in_keys()?,
            kantorovich: None,
            convex_here: None,
            convex_everywhere: None,
            logit_reg_x: scores.logit_reg,
            heads: scores.heads,
            norms: Norms::default(),
            joint: None,
        })
    }
}

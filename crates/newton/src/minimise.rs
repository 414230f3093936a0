//! The loop: start, step, stop, over an explicit state.

use std::ops::ControlFlow;

use certus_contract::{Event, Status, ignore_events};
use certus_linalg::Error;
use certus_numeric::ScaledValue;
use certus_numeric::sum::max_abs;

use crate::Objective;
use crate::model::{Model, Step, dot};

/// How a minimisation is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minimiser {
    /// Stop when the gradient [is flat](Objective::is_flat) to this tolerance. Default 1e-10.
    pub gradient_tolerance: f64,
    /// Stop when a full step would lower the loss by at most this part of it. Default 1e-15.
    pub loss_tolerance: f64,
    /// Default 100.
    pub max_iterations: usize,
    /// What limits the first step, as the model measures it. Default: nothing.
    pub first_radius: f64,
}

impl Default for Minimiser {
    fn default() -> Self {
        Minimiser { gradient_tolerance: 1e-10, loss_tolerance: 1e-15, max_iterations: 100, first_radius: f64::INFINITY }
    }
}

/// Why a minimisation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The gradient is within its tolerance, and no direction of negative curvature is known.
    Gradient,
    /// The model promises less than the loss tolerance.
    Decrease,
    /// No step, however short, lowers the loss, and the gradient is not within its tolerance.
    Stalled,
    /// The iterations are used up.
    Iterations,
    /// The observer stopped it.
    Observer,
    /// The start itself is not finite.
    NoStart,
}

impl Stop {
    /// As the status of a run.
    pub fn status(self) -> Status {
        match self {
            Stop::Gradient | Stop::Decrease => Status::Converged,
            Stop::Stalled => Status::Stalled,
            Stop::Iterations => Status::MaxIterations,
            Stop::Observer => Status::Stopped,
            Stop::NoStart => Status::Diverged,
        }
    }
}

/// Where a minimisation is.
#[derive(Clone, Debug)]
pub struct State<P> {
    /// The best point so far, d numbers.
    pub x: Vec<f64>,
    /// What the objective keeps of it.
    pub point: P,
    /// The loss there.
    pub loss: ScaledValue,
    /// The gradient there, in the objective's unit.
    pub gradient: Vec<f64>,
    /// Steps that were taken or refused.
    pub iteration: usize,
    /// Steps that were taken whole, not held back by the radius.
    pub whole_steps: usize,
    /// What limits the next step; infinite until a step was refused.
    pub radius: f64,
    /// Refused steps since the last one that was taken.
    refused: usize,
    /// A point whose memory may be used again.
    spare: Option<P>,
}

/// The result of a minimisation.
#[derive(Clone, Debug)]
pub struct Minimum<P> {
    /// The best point found, d numbers.
    pub x: Vec<f64>,
    /// What the objective keeps of it; `None` where the start was not finite.
    pub point: Option<P>,
    /// The gradient there, in the objective's unit.
    pub gradient: Vec<f64>,
    /// Why it stopped.
    pub stop: Stop,
    /// Steps that were taken or refused.
    pub iterations: usize,
    /// Those that were taken whole, not held back by the radius.
    pub whole_steps: usize,
    /// Logarithms of the loss, at the start and after each step.
    pub trace: Vec<f64>,
}

/// Steps in a row that are refused, each a quarter of the one before, until a run has stalled.
const MAX_REFUSED: usize = 50;

impl Minimiser {
    /// Minimises from `x`.
    ///
    /// # Errors
    /// What the model's linear algebra refuses.
    pub fn minimise<O: Objective, M: Model<O>>(&self, objective: &O, model: &mut M, x: Vec<f64>) -> Result<Minimum<O::Point>, Error> {
        self.minimise_with(objective, model, x, ignore_events)
    }

    /// As [`Minimiser::minimise`]; the observer sees each step with the logarithm of the loss, and may stop.
    ///
    /// # Errors
    /// As [`Minimiser::minimise`].
    pub fn minimise_with<O: Objective, M: Model<O>>(
        &self,
        objective: &O,
        model: &mut M,
        x: Vec<f64>,
        mut observer: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Minimum<O::Point>, Error> {
        let Some(mut state) = self.start(objective, model, x.clone())? else {
            return Ok(Minimum {
                gradient: vec![0.0; x.len()],
                x,
                point: None,
                stop: Stop::NoStart,
                iterations: 0,
                whole_steps: 0,
                trace: Vec::new(),
            });
        };
        let mut trace = vec![state.loss.ln()];
        let stop = loop {
            if let Some(stop) = self.step(objective, model, &mut state)? {
                break stop;
            }
            trace.push(state.loss.ln());
            let event = Event::new("iterate", state.iteration as u64).of(self.max_iterations as u64).value(state.loss.ln());
            if observer(&event).is_break() {
                break Stop::Observer;
            }
        };
        let State { x, point, gradient, iteration: iterations, whole_steps, .. } = state;
        Ok(Minimum { x, point: Some(point), gradient, stop, iterations, whole_steps, trace })
    }

    /// The state at x, with the model there; `None` where the objective is not finite.
    ///
    /// # Errors
    /// As [`Minimiser::minimise`].
    pub fn start<O: Objective, M: Model<O>>(&self, objective: &O, model: &mut M, x: Vec<f64>) -> Result<Option<State<O::Point>>, Error> {
        let Some(point) = objective.point(&x) else { return Ok(None) };
        let (loss, gradient) = (objective.loss(&point), objective.gradient(&point));
        model.update(objective, &point, &x, &gradient)?;
        Ok(Some(State { x, point, loss, gradient, iteration: 0, whole_steps: 0, radius: self.first_radius, refused: 0, spare: None }))
    }

    /// One step, taken or refused; or why there is none.
    ///
    /// # Errors
    /// As [`Minimiser::minimise`].
    pub fn step<O: Objective, M: Model<O>>(
        &self,
        objective: &O,
        model: &mut M,
        state: &mut State<O::Point>,
    ) -> Result<Option<Stop>, Error> {
        let largest = max_abs(&state.gradient);
        let flat = objective.is_flat(&state.point, &state.gradient, self.gradient_tolerance);
        if flat && !model.is_indefinite()? {
            return Ok(Some(Stop::Gradient));
        }
        if state.iteration >= self.max_iterations {
            return Ok(Some(Stop::Iterations));
        }
        let step = shortened(objective, state, model.step(objective, &state.point, &state.gradient, state.radius)?);
        // In the gradient's unit, as the model's promise is.
        let loss = state.loss.ratio(ScaledValue::new(1.0, objective.log_unit(&state.point)));
        if step.decrease <= 0.0 || step.step.iter().all(|s| *s == 0.0) {
            let promise_underflows = !step.limited && largest > 0.0;
            return Ok(Some(if flat {
                Stop::Gradient
            } else if promise_underflows {
                Stop::Decrease
            } else {
                Stop::Stalled
            }));
        }
        state.iteration += 1;
        let x = state.x.iter().zip(&step.step).map(|(x, s)| x + s).collect::<Vec<_>>();
        // Below the rounding of the loss, only the gradient can tell what a step is worth.
        let negligible = step.decrease <= 64.0 * f64::EPSILON * loss;
        let promised_little = !step.limited && step.decrease <= self.loss_tolerance * loss;
        let reached = match state.spare.take() {
            Some(spare) => objective.point_in(&x, spare),
            None => objective.point(&x),
        };
        let is_better = |point: &O::Point| {
            let new_loss = objective.loss(point);
            if negligible { new_loss.ratio(state.loss) <= 1.0 + 1e-12 } else { new_loss < state.loss }
        };
        let point = match reached {
            Some(point) if is_better(&point) => Some(point),
            refused => {
                state.spare = refused;
                None
            }
        };
        let Some(point) = point else {
            if promised_little {
                return Ok(Some(Stop::Decrease));
            }
            state.radius = 0.25 * step.length;
            state.refused += 1;
            return Ok(if state.refused > MAX_REFUSED || state.radius == 0.0 { Some(Stop::Stalled) } else { None });
        };
        let gradient = objective.gradient(&point);
        if negligible && !step.limited {
            let unit = objective.log_unit(&point) - objective.log_unit(&state.point);
            let smaller = max_abs(&gradient) * unit.exp() < 0.5 * largest;
            if !smaller {
                return Ok(Some(Stop::Decrease));
            }
        }
        let new_loss = objective.loss(&point);
        let fallen = loss - new_loss.ratio(ScaledValue::new(1.0, objective.log_unit(&state.point)));
        let worth = if negligible { 1.0 } else { fallen / step.decrease };
        if worth < 0.25 {
            state.radius = 0.25 * step.length;
        } else if worth > 0.75 && step.limited {
            state.radius = state.radius.max(3.0 * step.length);
        }
        state.spare = Some(std::mem::replace(&mut state.point, point));
        (state.x, state.loss, state.gradient, state.refused) = (x, new_loss, gradient, 0);
        state.whole_steps += usize::from(!step.limited);
        model.update(objective, &state.point, &state.x, &state.gradient)?;
        Ok(None)
    }
}

/// The part of a step within which the objective says that a model can be meant seriously.
fn shortened<O: Objective>(objective: &O, state: &State<O::Point>, step: Step) -> Step {
    let part = objective.trusted_part(&state.point, &step.step);
    if part >= 1.0 {
        return step;
    }
    let slope = dot(&state.gradient, &step.step);
    let curvature = -2.0 * (step.decrease + slope);
    Step {
        step: step.step.iter().map(|s| part * s).collect(),
        decrease: (-part * slope - 0.5 * part * part * curvature).max(0.0),
        length: part * step.length,
        limited: true,
    }
}

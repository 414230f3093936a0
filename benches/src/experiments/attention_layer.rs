//! One attention layer: fits of a real head, derivatives, and what they cost, against automatic differentiation.

mod derivatives;
mod fits;

use crate::frame::{Context, Entry, Failure};
use crate::results::{Experiment, Table};

pub(super) const ATTENTION_LAYER: Entry = Entry {
    name: "attention_layer",
    title: "Fitting an attention layer",
    question: "Does Newton's method in the logit metric fit a layer faster than L-BFGS on JAX, and are its derivatives faster than JAX's?",
    run,
};

fn run(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    experiment.notes.push(
        "The fit: everybody starts at X = Y = I and ends at the best known loss and a millionth of it. Peers stop in the iteration that \
         comes there; ours goes on to its gradient, and its time includes the certificate. Compilation is not counted."
            .into(),
    );
    let mut rows = Vec::new();
    fits::run(context, &mut rows, experiment)?;
    let columns = super::attention::COLUMNS.map(String::from).to_vec();
    experiment.tables.push(Table { title: "Fits".into(), columns, rows });
    derivatives::run(context, experiment)
}

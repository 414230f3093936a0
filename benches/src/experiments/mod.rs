//! The table of experiments.

mod attention;
mod attention_layer;
mod gnn_memory;
mod in_context;
mod machine;
mod regression;
mod sketching;

use crate::frame::Entry;

/// All experiments, in the order of the report.
pub const ALL: &[Entry] = &[
    machine::MACHINE,
    sketching::SKETCHING,
    regression::REGRESSION,
    attention_layer::ATTENTION_LAYER,
    in_context::IN_CONTEXT,
    gnn_memory::GNN_MEMORY,
];

/// The experiments of these names, in the order of the table; all of them for an empty list.
///
/// # Errors
/// A sentence that names the first unknown one and all known ones.
pub fn select(names: &[String]) -> Result<Vec<&'static Entry>, String> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|entry| entry.name != name.as_str())) {
        let known: Vec<_> = ALL.iter().map(|entry| entry.name).collect();
        return Err(format!("there is no experiment \"{unknown}\"; there are: {}", known.join(", ")));
    }
    Ok(ALL.iter().filter(|entry| names.is_empty() || names.iter().any(|name| name == entry.name)).collect())
}

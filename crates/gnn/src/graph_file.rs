//! Graphs and features in `.npz` archives.

use std::path::Path;

use certus_contract::InputError;
use certus_io::{Format, Matrix, Npz, Source, read_matrix};
use certus_numeric::Csr;

use crate::error::Error;
use crate::features::Features;
use crate::graph::Graph;

/// Reads a graph: `num_nodes`, `indptr` (n + 1), `indices` (m; row = target, entries = sources), and optionally `edge_weight` (m). With
/// `x_indptr`, `x_indices`, `x_data` and `num_features` the archive has sparse features too. Other arrays are ignored.
///
/// # Errors
/// As for any file; `InvalidGraph` for arrays that contradict each other, `InvalidSparsity` for such features; `NonFinite`.
pub fn read_graph(path: impl AsRef<Path>) -> Result<(Graph, Option<Features>), Error> {
    let mut file = Npz::open(Source::file(path.as_ref()))?;
    let nodes = file.scalar::<u64>("num_nodes")?;
    let nodes =
        usize::try_from(nodes).map_err(|_| InputError::too_large("num_nodes", nodes.to_string(), "the address space of this machine"))?;
    let indptr = file.array::<i64>("indptr")?;
    indptr.require_vector("indptr")?;
    if let Some(k) = indptr.as_slice().iter().position(|&p| p < 0) {
        return Err(Error::InvalidGraph { array: "indptr", at: Some(k), problem: format!("{} is negative", indptr.as_slice()[k]) });
    }
    let indices = file.array::<i64>("indices")?;
    indices.require_vector("indices")?;
    if let Some(k) = indices.as_slice().iter().position(|&j| u32::try_from(j).is_err()) {
        let problem = format!("source {} is outside 0..{nodes}", indices.as_slice()[k]);
        return Err(Error::InvalidGraph { array: "indices", at: Some(k), problem });
    }
    let indptr = indptr.into_vec().into_iter().map(|p| p as u64).collect();
    let indices = indices.into_vec().into_iter().map(|j| j as u32).collect();
    let mut graph = Graph::from_csr(nodes, indptr, indices)?;
    if file.contains("edge_weight") {
        let weights = file.array::<f64>("edge_weight")?;
        weights.require_vector("edge_weight")?;
        graph = graph.with_weights(weights.as_slice().iter().map(|&w| w as f32).collect())?;
    }
    let names = ["x_indptr", "x_indices", "x_data", "num_features"];
    if !names.iter().any(|name| file.contains(name)) {
        return Ok((graph, None));
    }
    let columns = file.scalar::<u64>("num_features")? as usize;
    let indptr = file.array::<u64>("x_indptr")?.into_vec().into_iter().map(|p| p as usize).collect();
    let indices = file.array::<u32>("x_indices")?.into_vec();
    let values = file.array::<f64>("x_data")?.into_vec().into_iter().map(|v| v as f32).collect();
    let features = Csr::new(nodes, columns, indptr, indices, values)?;
    Ok((graph, Some(Features::sparse(features)?)))
}

/// Features of their own file: dense in an `.npy`, which is streamed; of an `.npz` a SciPy sparse matrix, or a dense array, in memory.
///
/// # Errors
/// As for any file, and `NonFinite`.
pub fn read_features(source: impl Into<Source>) -> Result<Features, Error> {
    let source = source.into();
    match source.format()? {
        Format::Npy => Features::npy(source.path()),
        _ => match read_matrix(source)? {
            Matrix::Dense(array) => Features::dense(array.map(|&x| x as f32)),
            Matrix::Sparse(csr) => Features::sparse(csr.map(|&x| x as f32)),
        },
    }
}

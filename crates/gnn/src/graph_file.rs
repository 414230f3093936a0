//! Graphs and features in files.

use std::path::Path;

use certus_contract::InputError;
use certus_io::{AnyArray, Dtype, Element, Format, Matrix, Npz, Source, read, read_matrix};
use certus_numeric::{Array, Csr};

use crate::error::{Error, index_of, not_finite};
use crate::features::Features;
use crate::graph::Graph;
use crate::storage::GraphFile;

/// Reads a graph: `num_nodes` (one number), `indptr` (n + 1), `indices` (m; row = target, entries = sources), and optionally `edge_weight` (m). With
/// `x_indptr`, `x_indices`, `x_data` and `num_features` the archive has sparse features too. Other arrays are ignored. A folder with
/// `indptr.npy`, `indices.npy` and perhaps `edge_weight.npy` is a graph as well.
///
/// # Errors
/// As for any file; `InvalidGraph` for arrays that contradict each other, `InvalidSparsity` for such features; `NonFinite`.
pub fn read_graph(path: impl AsRef<Path>) -> Result<(Graph, Option<Features>), Error> {
    let path = path.as_ref();
    if path.is_dir() {
        let array = |name: &str| Source::file(path.join(format!("{name}.npy")));
        let weights = if path.join("edge_weight.npy").exists() { Some(vector::<f64>(read(array("edge_weight"))?)?) } else { None };
        let indptr = vector::<i64>(read(array("indptr"))?)?;
        return Ok((graph_of(indptr.len().saturating_sub(1), indptr, vector(read(array("indices"))?)?, weights)?, None));
    }
    let mut file = Npz::open(Source::file(path))?;
    let nodes = file.scalar::<u64>("num_nodes")?;
    let nodes =
        usize::try_from(nodes).map_err(|_| InputError::too_large("num_nodes", nodes.to_string(), "the address space of this machine"))?;
    let (indptr, indices) = (vector::<i64>(file.read("indptr")?)?, vector::<i64>(file.read("indices")?)?);
    let weights = if file.contains("edge_weight") { Some(vector::<f64>(file.read("edge_weight")?)?) } else { None };
    let graph = graph_of(nodes, indptr, indices, weights)?;
    Ok((graph, features_beside(&mut file, nodes)?))
}

/// As [`read_graph`], but the graph stays where it is.
///
/// # Errors
/// As there, and as [`GraphFile::open`].
pub fn open_graph(path: impl AsRef<Path>) -> Result<(GraphFile, Option<Features>), Error> {
    let path = path.as_ref();
    let graph = GraphFile::open(path)?;
    let features = if path.is_dir() { None } else { features_beside(&mut Npz::open(Source::file(path))?, graph.nodes())? };
    Ok((graph, features))
}

fn graph_of(nodes: usize, indptr: Array<i64>, indices: Array<i64>, weights: Option<Array<f64>>) -> Result<Graph, Error> {
    if let Some(k) = indptr.as_slice().iter().position(|&p| p < 0) {
        return Err(Error::InvalidGraph { array: "indptr", at: Some(k), problem: format!("{} is negative", indptr.as_slice()[k]) });
    }
    if let Some(k) = indices.as_slice().iter().position(|&j| u32::try_from(j).is_err()) {
        let problem = format!("source {} is outside 0..{nodes}", indices.as_slice()[k]);
        return Err(Error::InvalidGraph { array: "indices", at: Some(k), problem });
    }
    let indptr = indptr.into_vec().into_iter().map(|p| p as u64).collect();
    let indices = indices.into_vec().into_iter().map(|j| j as u32).collect();
    let graph = Graph::from_csr(nodes, indptr, indices)?;
    let Some(weights) = weights else { return Ok(graph) };
    if let Some(k) = weights.as_slice().iter().position(|&w| !(w as f32).is_finite()) {
        return Err(not_finite("edge_weight", &[k], weights.as_slice()[k]).into());
    }
    graph.with_weights(weights.as_slice().iter().map(|&w| w as f32).collect())
}

/// A vector, not a matrix of one row; whole numbers are no truth values.
fn vector<T: Element>(array: AnyArray) -> Result<Array<T>, Error> {
    if array.dtype() == Dtype::Bool {
        return Err(InputError::unsupported(array.label(), "an array of bool", "an array of numbers").into());
    }
    if array.shape().len() != 1 {
        return Err(InputError::shape(array.label(), array.shape(), "a vector").into());
    }
    Ok(array.into_array()?)
}

/// The sparse features in a graph's archive, if there are some.
fn features_beside(file: &mut Npz, nodes: usize) -> Result<Option<Features>, Error> {
    let names = ["x_indptr", "x_indices", "x_data", "num_features"];
    if !names.iter().any(|name| file.contains(name)) {
        return Ok(None);
    }
    let columns = file.scalar::<u64>("num_features")? as usize;
    let indptr = file.array::<u64>("x_indptr")?.into_vec().into_iter().map(|p| p as usize).collect();
    let indices = file.array::<u32>("x_indices")?.into_vec();
    let values = file.array::<f64>("x_data")?.into_vec().into_iter().map(|v| v as f32).collect();
    Ok(Some(Features::sparse(Csr::new(nodes, columns, indptr, indices, values)?)?))
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
            Matrix::Dense(array) => {
                if let Some(k) = array.as_slice().iter().position(|&x| !(x as f32).is_finite()) {
                    return Err(not_finite("features", &index_of(k, array.shape()), array.as_slice()[k]).into());
                }
                Features::dense(array.map(|&x| x as f32))
            }
            Matrix::Sparse(csr) => Features::sparse(csr.map(|&x| x as f32)),
        },
    }
}

//! Directed multigraphs by incoming edges.

mod edges;
mod store;
mod windows;

use rayon::prelude::*;

use crate::error::Error;

pub(crate) use edges::{DegreeSum, Edges, Incoming, Normalisation};
pub use store::GraphStore;
pub(crate) use store::split;
pub(crate) use windows::{BufferSizes, Buffers, DiskGraph, LongRow, Reader, Wanted, Window};

/// A directed multigraph: for each node the sources of its incoming edges, in the order of the input.
///
/// Stored are `indptr` (n + 1 offsets of 64 bits), `indices` (m sources of 32 bits) and, if given, one f32 weight an edge. Self-loops and
/// duplicates are allowed; each stored edge is one message.
///
/// ```
/// use certus_gnn::Graph;
/// let graph = Graph::from_edges(3, [(0, 1), (2, 1), (1, 0)])?; // (source, target)
/// assert_eq!(graph.sources(1), [0, 2]);
/// # Ok::<(), certus_gnn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    indptr: Vec<u64>,
    indices: Vec<u32>,
    weights: Option<Vec<f32>>,
    has_loops: bool,
    /// For a part of a graph: what it must know of the whole.
    whole: Option<Whole>,
}

/// What a part of a graph must know of the whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    /// How many rows are needed after so many aggregations, the first ones.
    pub(crate) complete: Vec<usize>,
    /// `deg^-1/2` as the whole graph gives it, for each kind of normalisation.
    pub(crate) norms: Vec<(Normalisation, Vec<f32>)>,
}

/// What a schedule needs to know of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphStats {
    /// Nodes.
    pub nodes: u64,
    /// Stored directed edges.
    pub edges: u64,
    /// Whether there is a weight an edge.
    pub weighted: bool,
}

impl GraphStats {
    /// Bytes of the graph in memory: offsets, sources, weights.
    pub fn bytes(&self) -> u64 {
        self.checked_bytes().unwrap_or(u64::MAX)
    }

    /// The same, if 63 bits hold them.
    pub(crate) fn checked_bytes(&self) -> Option<u64> {
        let edges = self.edges.checked_mul(4 + 4 * u64::from(self.weighted))?;
        self.nodes.checked_add(1)?.checked_mul(8)?.checked_add(edges).filter(|&bytes| bytes < 1 << 63)
    }
}

impl Graph {
    /// A graph from incoming rows.
    ///
    /// # Errors
    /// `InvalidGraph` if `indptr` does not rise from 0 to the number of edges in n + 1 steps, or a source is no node; `TooLarge` from 2^32
    /// nodes on.
    pub fn from_csr(nodes: usize, indptr: Vec<u64>, indices: Vec<u32>) -> Result<Self, Error> {
        let invalid = |array, at, problem: String| Err(Error::InvalidGraph { array, at, problem });
        require_indices(nodes)?;
        if indptr.len() != nodes + 1 {
            return invalid("indptr", None, format!("it has {} entries, but n + 1 = {} are needed", indptr.len(), nodes + 1));
        }
        if indptr[0] != 0 {
            return invalid("indptr", Some(0), format!("it begins at {}, but must begin at 0", indptr[0]));
        }
        if let Some(i) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
            return invalid("indptr", Some(i + 1), format!("it falls from {} to {}", indptr[i], indptr[i + 1]));
        }
        if indptr[nodes] != indices.len() as u64 {
            return invalid("indptr", Some(nodes), format!("it ends at {}, but there are {} edges", indptr[nodes], indices.len()));
        }
        if let Some(k) = indices.par_iter().position_first(|&j| j as usize >= nodes) {
            return invalid("indices", Some(k), format!("source {} is outside 0..{nodes}", indices[k]));
        }
        let mut graph = Graph { indptr, indices, weights: None, has_loops: false, whole: None };
        graph.has_loops = (0..nodes).into_par_iter().any(|i| graph.sources(i).contains(&(i as u32)));
        Ok(graph)
    }

    /// A graph from (source, target) pairs; the order of edges into each node is that of the pairs.
    ///
    /// # Errors
    /// `InvalidGraph` for an end that is no node; `TooLarge` from 2^32 nodes on.
    pub fn from_edges(nodes: usize, edges: impl IntoIterator<Item = (u32, u32)>) -> Result<Self, Error> {
        let edges = edges.into_iter().collect::<Vec<_>>();
        let order = by_target(nodes, &edges)?;
        let indices = order.edges.iter().map(|&e| edges[e].0).collect();
        Graph::from_csr(nodes, order.indptr, indices)
    }

    /// As [`Graph::from_edges`], with a weight an edge.
    ///
    /// # Errors
    /// As there, and as [`Graph::with_weights`].
    pub fn from_weighted_edges(nodes: usize, edges: &[(u32, u32)], weights: &[f32]) -> Result<Self, Error> {
        if weights.len() != edges.len() {
            return Err(weights_mismatch(weights.len(), edges.len()));
        }
        let order = by_target(nodes, edges)?;
        let indices = order.edges.iter().map(|&e| edges[e].0).collect();
        let weights = order.edges.iter().map(|&e| weights[e]).collect();
        Graph::from_csr(nodes, order.indptr, indices)?.with_weights(weights)
    }

    /// The same graph with a weight an edge, in the order of `indices`.
    ///
    /// # Errors
    /// `InvalidGraph` for another number of weights, `NonFinite` for one that is NaN or infinite.
    pub fn with_weights(self, weights: Vec<f32>) -> Result<Self, Error> {
        if weights.len() != self.indices.len() {
            return Err(weights_mismatch(weights.len(), self.indices.len()));
        }
        if let Some(k) = weights.iter().position(|w| !w.is_finite()) {
            return Err(certus_contract::InputError::non_finite("edge_weight", &[k], f64::from(weights[k])).into());
        }
        Ok(Graph { weights: Some(weights), ..self })
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        self.indptr.len() - 1
    }

    /// The number of stored directed edges.
    pub fn edges(&self) -> usize {
        self.indices.len()
    }

    /// Where each row begins; n + 1 numbers.
    pub fn indptr(&self) -> &[u64] {
        &self.indptr
    }

    /// The source of each edge.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The weight of each edge, if there are weights.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Whether an edge leads from a node to itself.
    pub fn has_loops(&self) -> bool {
        self.has_loops
    }

    /// The sources of the edges into node `i`.
    #[inline]
    pub fn sources(&self, i: usize) -> &[u32] {
        &self.indices[self.indptr[i] as usize..self.indptr[i + 1] as usize]
    }

    /// Sizes alone.
    pub fn stats(&self) -> GraphStats {
        GraphStats { nodes: self.nodes() as u64, edges: self.edges() as u64, weighted: self.weights.is_some() }
    }

    /// The largest in-degree.
    pub fn max_degree(&self) -> usize {
        self.indptr.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
    }

    /// Rows that are complete after so many hops; all of them, unless this is a part of a graph.
    pub(crate) fn rows_after(&self, hops: usize) -> usize {
        match &self.whole {
            Some(whole) => whole.complete[hops.min(whole.complete.len() - 1)],
            None => self.nodes(),
        }
    }

    /// Bytes of what a part knows of the whole.
    pub(crate) fn whole_bytes(&self) -> u64 {
        self.whole.as_ref().map_or(0, |whole| (8 * whole.complete.len() + 4 * whole.norms.len() * self.nodes()) as u64)
    }

    /// A graph of nodes of another one; its arrays are taken as they are.
    pub(crate) fn part(indptr: Vec<u64>, indices: Vec<u32>, weights: Option<Vec<f32>>, has_loops: bool) -> Graph {
        Graph { indptr, indices, weights, has_loops, whole: None }
    }

    pub(crate) fn with_whole(self, whole: Whole) -> Self {
        Graph { whole: Some(whole), ..self }
    }

    /// All edges.
    #[inline]
    pub(crate) fn view(&self) -> Edges<'_> {
        let weights = self.weights.as_deref();
        Edges { first: 0, offsets: &self.indptr, sources: &self.indices, weights, has_loops: self.has_loops, whole: self.whole.as_ref() }
    }

    /// Refuses a negative degree under this normalisation. Only weighted graphs can have one.
    pub(crate) fn require_degrees(&self, normalisation: Normalisation) -> Result<(), Error> {
        if self.weights.is_none() && normalisation.self_loop.is_none_or(|w| w >= 0.0) {
            return Ok(());
        }
        let edges = self.view();
        let negative = (0..self.nodes()).into_par_iter().find_first(|&i| edges.degree(i, normalisation).0 < 0.0);
        match negative {
            Some(node) => Err(Error::NonPositiveDegree { node, degree: edges.degree(node, normalisation).0 }),
            None => Ok(()),
        }
    }
}

pub(crate) fn weights_mismatch(found: usize, edges: usize) -> Error {
    Error::InvalidGraph { array: "edge_weight", at: None, problem: format!("it has {found} entries, but there are {edges} edges") }
}

pub(crate) fn require_indices(nodes: usize) -> Result<(), Error> {
    if nodes as u64 >= 1 << 32 {
        return Err(certus_contract::InputError::too_large("the graph", format!("{nodes} nodes"), "2^32 - 1 (32-bit indices)").into());
    }
    Ok(())
}

struct ByTarget {
    indptr: Vec<u64>,
    edges: Vec<usize>,
}

/// Edges sorted by target, in the order of the input for each.
fn by_target(nodes: usize, edges: &[(u32, u32)]) -> Result<ByTarget, Error> {
    require_indices(nodes)?;
    let outside = edges.iter().position(|&(source, target)| source as usize >= nodes || target as usize >= nodes);
    if let Some(k) = outside {
        let (source, target) = edges[k];
        return Err(Error::InvalidGraph { array: "edges", at: Some(k), problem: format!("{source} -> {target} leaves 0..{nodes}") });
    }
    let mut indptr = vec![0u64; nodes + 1];
    for &(_, target) in edges {
        indptr[target as usize + 1] += 1;
    }
    for i in 0..nodes {
        indptr[i + 1] += indptr[i];
    }
    let mut next = indptr.clone();
    let mut order = vec![0; edges.len()];
    for (k, &(_, target)) in edges.iter().enumerate() {
        order[next[target as usize] as usize] = k;
        next[target as usize] += 1;
    }
    Ok(ByTarget { indptr, edges: order })
}

//! The receptive field of some nodes: all that their outputs depend on.

use std::collections::BTreeMap;

use certus_contract::InputError;

use crate::error::Error;
use crate::graph::{Graph, GraphStore, Whole};
use crate::recipes::{hops, normalisation};
use crate::spec::ModelSpec;

/// Of an entry of the map from nodes to places, about.
const BYTES_OF_PLACE: usize = 24;

/// A part of a graph in which the nodes asked for come first, then the sources of their edges, and so on: after each aggregation
/// the rows that are still needed are a shorter beginning.
pub(crate) struct Field {
    pub(crate) graph: Graph,
    /// The number of each node in the whole graph.
    pub(crate) nodes: Vec<u32>,
    /// The place of each node asked for.
    pub(crate) wanted: Vec<u32>,
}

impl Field {
    /// Bytes of the lists beside the graph, with what finding them takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.graph.whole_bytes() + 4 * (self.wanted.len() + self.nodes.len() * (1 + BYTES_OF_PLACE / 4)) as u64
    }

    pub(crate) fn of(graph: GraphStore, spec: &ModelSpec, wanted: &[u32]) -> Result<Self, Error> {
        let n = graph.nodes();
        if let Some((k, &node)) = wanted.iter().enumerate().find(|&(_, &node)| node as usize >= n) {
            return Err(InputError::parameter(format!("nodes[{k}]"), node, format!("below {n} (the nodes of the graph)")).into());
        }
        let (mut nodes, mut places) = (Vec::new(), BTreeMap::new());
        let mut place = |node: u32, nodes: &mut Vec<u32>| {
            *places.entry(node).or_insert_with(|| {
                nodes.push(node);
                nodes.len() as u32 - 1
            })
        };
        let wanted = wanted.iter().map(|&node| place(node, &mut nodes)).collect();
        let steps = spec.layers().iter().map(hops).sum::<usize>();
        // Complete rows after so many aggregations, counted from the last.
        let mut complete = vec![nodes.len()];
        let (mut indptr, mut indices) = (vec![0u64], Vec::new());
        let mut weights = graph.stats().weighted.then(Vec::new);
        let (mut sources, mut row_weights) = (Vec::new(), Vec::new());
        for _ in 0..steps {
            for k in indptr.len() - 1..nodes.len() {
                graph.row_into(nodes[k] as usize, &mut sources, &mut row_weights)?;
                for &j in &sources {
                    indices.push(place(j, &mut nodes));
                }
                if let Some(weights) = &mut weights {
                    weights.extend_from_slice(&row_weights);
                }
                indptr.push(indices.len() as u64);
            }
            complete.push(nodes.len());
        }
        complete.reverse();
        // Rows that are only sources have no edges here.
        indptr.resize(nodes.len() + 1, indices.len() as u64);
        let mut norms: Vec<(_, Vec<f32>)> = Vec::new();
        for kind in spec.layers().iter().filter_map(normalisation) {
            if !norms.iter().any(|(known, _)| *known == kind) {
                let norms_of_kind = nodes.iter().map(|&i| graph.norm(i as usize, kind)).collect::<Result<_, _>>()?;
                norms.push((kind, norms_of_kind));
            }
        }
        let part = Graph::part(indptr, indices, weights, graph.has_loops()).with_whole(Whole { complete, norms });
        Ok(Field { graph: part, nodes, wanted })
    }
}

//! The graph with all edges turned round: what gradients flow along.

use crate::graph::{Graph, Incoming as _, Normalisation, Whole};

/// The reverse of a graph. It normalises as the graph itself does: by the degrees that edges into a node have there.
///
/// Rows of equal sources keep their order, so that of several loops the last one is still the last.
pub(super) fn reversed(graph: &Graph, kinds: &[Normalisation]) -> Graph {
    let n = graph.nodes();
    let mut indptr = vec![0u64; n + 1];
    for &source in graph.indices() {
        indptr[source as usize + 1] += 1;
    }
    for i in 0..n {
        indptr[i + 1] += indptr[i];
    }
    let mut next = indptr[..n].to_vec();
    let mut indices = vec![0u32; graph.edges()];
    let edges = graph.view();
    let mut weights = graph.weights().map(|_| vec![0.0f32; graph.edges()]);
    for target in 0..n {
        let own = edges.weights_into(target);
        for (k, &source) in graph.sources(target).iter().enumerate() {
            let place = next[source as usize] as usize;
            next[source as usize] += 1;
            indices[place] = target as u32;
            if let (Some(weights), Some(own)) = (&mut weights, own) {
                weights[place] = own[k];
            }
        }
    }
    let norms = kinds.iter().map(|&kind| (kind, (0..n).map(|i| edges.norm(i, kind).0).collect())).collect();
    Graph::part(indptr, indices, weights, graph.has_loops()).with_whole(Whole { complete: vec![n], norms })
}

//! Renumbering of nodes for locality, with each row's neighbours in their old order, so that no bit of a sum changes.

use std::collections::VecDeque;

use crate::graph::Graph;

/// How nodes are renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reorder {
    /// By falling in-degree: the rows that are read most lie together.
    Degree,
    /// By breadth-first search from node 0 and, where that ends, from the next node.
    Bfs,
    /// The reverse of a breadth-first search that takes nodes of small degree first (Cuthill and McKee 1969).
    ReverseCuthillMckee,
}

/// A graph in another numbering, and the old number of each node.
pub(crate) struct Reordered {
    pub(crate) graph: Graph,
    pub(crate) rows: Vec<u32>,
}

impl Reorder {
    pub(crate) fn apply(self, graph: &Graph) -> Reordered {
        let old = self.order(graph);
        Reordered { graph: renumbered(graph, &old), rows: old }
    }

    /// The old number of each node in the new order.
    pub fn order(self, graph: &Graph) -> Vec<u32> {
        let n = graph.nodes();
        let degree = |i: u32| graph.sources(i as usize).len();
        match self {
            Reorder::Degree => {
                let mut order = (0..n as u32).collect::<Vec<_>>();
                order.sort_by_key(|&i| std::cmp::Reverse(degree(i)));
                order
            }
            Reorder::Bfs => search(graph, 0..n as u32, |_| {}),
            Reorder::ReverseCuthillMckee => {
                let mut starts = (0..n as u32).collect::<Vec<_>>();
                starts.sort_by_key(|&i| degree(i));
                let mut order = search(graph, starts, |next| next.sort_by_key(|&i| degree(i)));
                order.reverse();
                order
            }
        }
    }
}

/// Breadth-first along edges backwards; `sort` orders the new nodes of each node.
fn search(graph: &Graph, starts: impl IntoIterator<Item = u32>, sort: impl Fn(&mut Vec<u32>)) -> Vec<u32> {
    let n = graph.nodes();
    let (mut seen, mut order, mut queue) = (vec![false; n], Vec::with_capacity(n), VecDeque::new());
    let mut next = Vec::new();
    for start in starts {
        if std::mem::replace(&mut seen[start as usize], true) {
            continue;
        }
        queue.push_back(start);
        while let Some(i) = queue.pop_front() {
            order.push(i);
            next.clear();
            next.extend(graph.sources(i as usize).iter().filter(|&&j| !std::mem::replace(&mut seen[j as usize], true)));
            sort(&mut next);
            queue.extend(&next);
        }
    }
    order
}

/// The place of each number in a list of all numbers.
pub(crate) fn inverse(order: &[u32]) -> Vec<u32> {
    let mut places = vec![0; order.len()];
    for (place, &i) in order.iter().enumerate() {
        places[i as usize] = place as u32;
    }
    places
}

fn renumbered(graph: &Graph, old: &[u32]) -> Graph {
    let new = inverse(old);
    let mut indptr = Vec::with_capacity(old.len() + 1);
    let mut indices = Vec::with_capacity(graph.edges());
    let mut weights = graph.weights().map(|_| Vec::with_capacity(graph.edges()));
    indptr.push(0);
    for &i in old {
        indices.extend(graph.sources(i as usize).iter().map(|&j| new[j as usize]));
        if let (Some(weights), Some(row)) = (&mut weights, graph.view().weights_into(i as usize)) {
            weights.extend_from_slice(row);
        }
        indptr.push(indices.len() as u64);
    }
    Graph::part(indptr, indices, weights, graph.has_loops())
}

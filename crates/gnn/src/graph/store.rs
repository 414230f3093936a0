//! A graph wherever it is.

use std::ops::Range;

use super::{BufferSizes, Buffers, DegreeSum, DiskGraph, Edges, Graph, GraphStats, Incoming as _, Normalisation, Reader, Wanted, Window};
use crate::error::Error;
use crate::storage::GraphFile;

/// A graph in memory or on disk.
#[derive(Clone, Copy, Debug)]
pub enum GraphStore<'a> {
    /// In memory.
    Memory(&'a Graph),
    /// In files, read through small buffers each time that a step needs its edges.
    Disk(&'a GraphFile),
}

impl<'a> From<&'a Graph> for GraphStore<'a> {
    fn from(graph: &'a Graph) -> Self {
        GraphStore::Memory(graph)
    }
}

impl<'a> From<&'a GraphFile> for GraphStore<'a> {
    fn from(graph: &'a GraphFile) -> Self {
        GraphStore::Disk(graph)
    }
}

impl GraphStore<'_> {
    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        match self {
            GraphStore::Memory(graph) => graph.nodes(),
            GraphStore::Disk(file) => file.nodes(),
        }
    }

    /// Sizes alone.
    pub fn stats(&self) -> GraphStats {
        match self {
            GraphStore::Memory(graph) => graph.stats(),
            GraphStore::Disk(file) => file.stats(),
        }
    }

    pub(crate) fn has_loops(&self) -> bool {
        match self {
            GraphStore::Memory(graph) => graph.has_loops(),
            GraphStore::Disk(file) => file.has_loops(),
        }
    }

    /// Of a graph on disk: what passes over it take.
    pub(crate) fn on_disk(&self) -> Option<DiskGraph> {
        match self {
            GraphStore::Memory(_) => None,
            GraphStore::Disk(file) => Some(*file.sizes()),
        }
    }

    /// Rows that are complete after so many hops; all of them, unless this is a part of a graph.
    pub(crate) fn rows_after(&self, hops: usize) -> usize {
        match self {
            GraphStore::Memory(graph) => graph.rows_after(hops),
            GraphStore::Disk(file) => file.nodes(),
        }
    }

    /// Splits rows into parts of about equally many rows and edges.
    pub(crate) fn split(&self, rows: usize, parts: usize) -> Vec<Range<usize>> {
        match self {
            GraphStore::Memory(graph) => split(rows, parts, |i| graph.indptr()[i] + 2 * i as u64),
            GraphStore::Disk(file) => file.split(rows, parts),
        }
    }

    /// What a step with this sum and this epilogue reads.
    pub(crate) fn wanted(&self, wanted: impl Fn(bool, bool) -> Wanted) -> Wanted {
        wanted(self.stats().weighted, self.has_loops())
    }

    /// The edges into node `i`, in place of what the lists held.
    pub(crate) fn row_into(&self, i: usize, sources: &mut Vec<u32>, weights: &mut Vec<f32>) -> Result<(), Error> {
        match self {
            GraphStore::Memory(graph) => {
                sources.clear();
                sources.extend_from_slice(graph.sources(i));
                weights.clear();
                weights.extend_from_slice(graph.view().weights_into(i).unwrap_or_default());
                Ok(())
            }
            GraphStore::Disk(file) => file.row_into(i, sources, weights),
        }
    }

    /// `deg^-1/2` of node `i` under a normalisation.
    pub(crate) fn norm(&self, i: usize, normalisation: Normalisation) -> Result<f32, Error> {
        match self {
            GraphStore::Memory(graph) => Ok(graph.view().norm(i, normalisation).0),
            GraphStore::Disk(file) => {
                let (mut sources, mut weights) = (Vec::new(), Vec::new());
                file.row_into(i, &mut sources, &mut weights)?;
                let mut sum = DegreeSum::new(i, normalisation, file.has_loops());
                sum.add(&sources, file.stats().weighted.then_some(&weights));
                Ok(super::edges::inverse_root(sum.finish().0))
            }
        }
    }

    /// Refuses a negative degree under this normalisation. Only weighted graphs can have one.
    pub(crate) fn require_degrees(&self, normalisation: Normalisation) -> Result<(), Error> {
        let file = match self {
            GraphStore::Memory(graph) => return graph.require_degrees(normalisation),
            GraphStore::Disk(file) => file,
        };
        if !file.stats().weighted && normalisation.self_loop.is_none_or(|w| w >= 0.0) {
            return Ok(());
        }
        let refuse = |node: usize, degree: f64| if degree < 0.0 { Err(Error::NonPositiveDegree { node, degree }) } else { Ok(()) };
        let mut buffers = Buffers::new(BufferSizes::usual(&file.stats()));
        let wanted = self.wanted(|weighted, loops| Wanted::for_norm(normalisation, weighted, loops));
        Reader::new(*self, Some(&mut buffers)).windows(0..file.nodes(), &wanted, |rows, window| match window {
            Window::Rows(edges) => rows.into_iter().try_for_each(|i| refuse(i, edges.degree(i, normalisation).0)),
            Window::Long(row) => refuse(row.i, row.degree(normalisation).0),
        })
    }
}

/// Splits rows into parts of about equal weight; `weight(i)`: of all rows before `i`.
pub(crate) fn split(rows: usize, parts: usize, weight: impl Fn(usize) -> u64) -> Vec<Range<usize>> {
    let total = weight(rows);
    let mut bounds = vec![0];
    for part in 1..parts {
        let goal = total / parts as u64 * part as u64;
        let (mut low, mut high) = (bounds[part - 1], rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if weight(middle) < goal { low = middle + 1 } else { high = middle }
        }
        bounds.push(low);
    }
    bounds.push(rows);
    bounds.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

impl Edges<'_> {
    /// Of a step that asks nothing of the graph.
    pub(crate) const NONE: Edges<'static> = Edges { first: 0, offsets: &[], sources: &[], weights: None, has_loops: false, whole: None };
}

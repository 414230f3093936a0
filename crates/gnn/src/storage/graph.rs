//! A graph in files.

use std::ops::Range;
use std::path::Path;

use certus_contract::InputError;
use certus_io::{Dtype, NpyLocation, Npz, Source};

use super::entries::Entries;
use crate::error::{Error, not_finite};
use crate::graph::{
    BufferSizes, Buffers, DiskGraph, GraphStats, GraphStore, Normalisation, Reader, Wanted, Window, require_indices, split,
    weights_mismatch,
};

/// A graph that stays on disk: each step that needs its edges reads them in order, through buffers of a few KiB.
///
/// It is an `.npz` archive that is not compressed (`np.savez`), with `num_nodes`, `indptr` (n + 1), `indices` (m; row = target, entries =
/// sources) and perhaps `edge_weight` (m); or a folder with `indptr.npy`, `indices.npy` and perhaps `edge_weight.npy`. The files must not
/// change while the graph is in use: what they hold is checked again whenever it is read, but another valid graph is not noticed.
#[derive(Debug)]
pub struct GraphFile {
    nodes: usize,
    offsets: Entries,
    sources: Entries,
    weights: Option<Entries>,
    sizes: DiskGraph,
    max_degree: u64,
    /// Where some rows begin, at equal distances, and the end: to split rows into parts with about equally many edges.
    marks: Vec<u64>,
}

/// Rows between which the edges are known, at most.
const MARKS: usize = 256;

impl GraphFile {
    /// Opens the files and checks them in one pass, in memory that does not depend on them.
    ///
    /// # Errors
    /// As for any file; `UnsupportedFormat` for compressed arrays; `InvalidGraph`, naming the position, for offsets that do not rise from 0
    /// to the number of edges, and sources that are no nodes; `NonFinite` for such a weight; `TooLarge` from 2^32 nodes on.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let (nodes, [offsets, sources, weights]) = if path.is_dir() {
            let array = |name: &str| path.join(format!("{name}.npy"));
            let weights = array("edge_weight");
            let weights = weights.exists().then(|| Source::file(weights));
            (None, [Some(Source::file(array("indptr"))), Some(Source::file(array("indices"))), weights])
        } else {
            let mut archive = Npz::open(Source::file(path))?;
            let nodes = archive.scalar::<u64>("num_nodes")?;
            let array = |name: &str| Source::file(path).with_array(name);
            let weights = archive.contains("edge_weight").then(|| array("edge_weight"));
            (Some(nodes), [Some(array("indptr")), Some(array("indices")), weights])
        };
        let vector = |source: Option<Source>, whole: bool| source.map(|source| vector(&source, whole)).transpose();
        let (Some(offsets), Some(sources), weights) = (vector(offsets, true)?, vector(sources, true)?, vector(weights, false)?) else {
            unreachable!("both are named above")
        };
        let nodes = match nodes {
            Some(nodes) => usize::try_from(nodes)
                .map_err(|_| InputError::too_large("num_nodes", nodes.to_string(), "the address space of this machine"))?,
            None => offsets.len().saturating_sub(1),
        };
        require_indices(nodes)?;
        if offsets.len() != nodes + 1 {
            let problem = format!("it has {} entries, but n + 1 = {} are needed", offsets.len(), nodes + 1);
            return Err(Error::InvalidGraph { array: "indptr", at: None, problem });
        }
        let edges = sources.len();
        if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != edges) {
            return Err(weights_mismatch(weights.len(), edges));
        }
        let bytes = |entries: &Entries| entries.entry_bytes();
        let sizes = DiskGraph {
            offset_bytes: bytes(&offsets),
            source_bytes: bytes(&sources),
            weight_bytes: weights.as_ref().map_or(0, bytes),
            // Until it is known.
            has_loops: true,
            edges: edges as u64,
            by_degree: [0; 65],
        };
        let mut graph = GraphFile { nodes, offsets, sources, weights, sizes, max_degree: 0, marks: Vec::new() };
        graph.check()?;
        Ok(graph)
    }

    /// One pass over all: every array is read and checked, and what plans depend on is noted.
    fn check(&mut self) -> Result<(), Error> {
        let mut end = [0];
        self.read_offsets(0, 0, &mut end)?;
        if end[0] != 0 {
            return Err(invalid("indptr", 0, format!("it begins at {}, but must begin at 0", end[0])));
        }
        let (mut by_degree, mut has_loops, mut max_degree, mut marks) = ([0; 65], false, 0, Vec::with_capacity(MARKS + 2));
        let mut seen = 0;
        let mut note = |i: usize, degree: usize| {
            if i.is_multiple_of(self.mark_every()) {
                marks.push(seen);
            }
            seen += degree as u64;
            by_degree[DiskGraph::class(degree as u64)] += degree as u64;
            max_degree = max_degree.max(degree as u64);
        };
        let loops = Normalisation { self_loop: Some(1.0) };
        let wanted = Wanted::for_norm(loops, self.weights.is_some(), true);
        let mut buffers = Buffers::new(BufferSizes::usual(&self.stats()));
        Reader::new(GraphStore::Disk(self), Some(&mut buffers)).windows(0..self.nodes, &wanted, |rows, window| {
            match window {
                Window::Rows(edges) => {
                    for i in rows {
                        let sources = edges.sources(i);
                        note(i, sources.len());
                        has_loops |= sources.contains(&(i as u32));
                    }
                }
                Window::Long(row) => {
                    let (i, mut degree) = (row.i, 0);
                    row.pieces(|sources, _| {
                        degree += sources.len();
                        has_loops |= sources.contains(&(i as u32));
                    })?;
                    note(i, degree);
                }
            }
            Ok(())
        })?;
        if seen != self.sizes.edges {
            return Err(invalid("indptr", self.nodes, format!("it ends at {seen}, but there are {} edges", self.sizes.edges)));
        }
        marks.push(seen);
        (self.sizes.by_degree, self.sizes.has_loops) = (by_degree, has_loops);
        (self.max_degree, self.marks) = (max_degree, marks);
        Ok(())
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Sizes alone.
    pub fn stats(&self) -> GraphStats {
        GraphStats { nodes: self.nodes as u64, edges: self.sizes.edges, weighted: self.weights.is_some() }
    }

    /// Whether an edge leads from a node to itself.
    pub fn has_loops(&self) -> bool {
        self.sizes.has_loops
    }

    /// The largest in-degree.
    pub fn max_degree(&self) -> u64 {
        self.max_degree
    }

    /// Bytes that stay in memory.
    pub fn bytes(&self) -> u64 {
        8 * self.marks.capacity() as u64
    }

    /// The most that [`GraphFile::bytes`] can be.
    pub(crate) fn most_bytes() -> u64 {
        8 * (MARKS as u64 + 2)
    }

    pub(crate) fn sizes(&self) -> &DiskGraph {
        &self.sizes
    }

    fn mark_every(&self) -> usize {
        self.nodes.div_ceil(MARKS).max(1)
    }

    /// Splits rows into parts of about equally many rows and edges, as far as the marks tell.
    pub(crate) fn split(&self, rows: usize, parts: usize) -> Vec<Range<usize>> {
        let row = |mark: usize| (mark * self.mark_every()).min(rows);
        let marked = rows.div_ceil(self.mark_every());
        let by_mark = split(marked, parts, |mark| self.marks.get(mark).copied().unwrap_or(0) + 2 * row(mark) as u64);
        by_mark.into_iter().map(|marks| row(marks.start)..row(marks.end)).collect()
    }

    /// The edges into one node, in place of what the lists held.
    pub(crate) fn row_into(&self, i: usize, sources: &mut Vec<u32>, weights: &mut Vec<f32>) -> Result<(), Error> {
        let mut ends = [0; 2];
        self.read_offsets(i, 0, &mut ends)?;
        let count = (ends[1] - ends[0]) as usize;
        sources.resize(count, 0);
        self.read_sources(ends[0], sources)?;
        weights.resize(if self.weights.is_some() { count } else { 0 }, 0.0);
        self.read_weights(ends[0], weights)?;
        Ok(())
    }

    /// Offsets from number `first` on, none below `least` and none beyond the edges. Returns the bytes read.
    pub(crate) fn read_offsets(&self, first: usize, least: u64, out: &mut [u64]) -> Result<u64, Error> {
        let (mut k, mut before, mut wrong) = (0, least as i64, None);
        self.offsets.integers(first as u64, out.len(), |offset| {
            if offset < before || offset > self.sizes.edges as i64 {
                wrong = wrong.or(Some((k, before, offset)));
            }
            (out[k], before) = (offset.max(0) as u64, offset);
            k += 1;
        })?;
        match wrong {
            None => Ok(out.len() as u64 * self.sizes.offset_bytes),
            Some((k, _, offset)) if offset < 0 => Err(invalid("indptr", first + k, format!("{offset} is negative"))),
            Some((k, before, offset)) if offset < before => {
                Err(invalid("indptr", first + k, format!("it falls from {before} to {offset}")))
            }
            Some((k, _, offset)) => Err(invalid("indptr", first + k, format!("{offset} is more than the {} edges", self.sizes.edges))),
        }
    }

    /// Sources of edges from number `first` on.
    pub(crate) fn read_sources(&self, first: u64, out: &mut [u32]) -> Result<u64, Error> {
        let (mut k, mut wrong) = (0, None);
        self.sources.integers(first, out.len(), |source| {
            if source < 0 || source >= self.nodes as i64 {
                wrong = wrong.or(Some((k, source)));
            }
            out[k] = source as u32;
            k += 1;
        })?;
        match wrong {
            None => Ok(out.len() as u64 * self.sizes.source_bytes),
            Some((k, source)) => Err(invalid("indices", first as usize + k, format!("source {source} is outside 0..{}", self.nodes))),
        }
    }

    /// Weights of edges from number `first` on.
    pub(crate) fn read_weights(&self, first: u64, out: &mut [f32]) -> Result<u64, Error> {
        let Some(weights) = &self.weights else { return Ok(0) };
        let mut k = 0;
        weights.floats(first, out.len(), |weight| {
            out[k] = weight;
            k += 1;
        })?;
        match out.iter().position(|weight| !weight.is_finite()) {
            None => Ok(out.len() as u64 * self.sizes.weight_bytes),
            Some(k) => Err(not_finite("edge_weight", &[first as usize + k], weights.double(first + k as u64)?).into()),
        }
    }
}

fn invalid(array: &'static str, at: usize, problem: String) -> Error {
    Error::InvalidGraph { array, at: Some(at), problem }
}

/// A vector in a file: of whole numbers, or of any real ones.
fn vector(source: &Source, whole: bool) -> Result<Entries, Error> {
    let location = NpyLocation::of(source)?;
    let header = &location.header;
    let integer = matches!(
        header.dtype,
        Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64 | Dtype::UInt8 | Dtype::UInt16 | Dtype::UInt32 | Dtype::UInt64
    );
    let real = integer || matches!(header.dtype, Dtype::Float16 | Dtype::Float32 | Dtype::Float64);
    if !(if whole { integer } else { real }) {
        let supported = if whole { "an array of whole numbers" } else { "an array of real numbers" };
        return Err(InputError::unsupported(&location.label, header.dtype.to_string(), supported).into());
    }
    if header.shape.len() != 1 {
        return Err(InputError::shape(&location.label, &header.shape, "a vector").into());
    }
    Entries::open(source.path(), &location)
}

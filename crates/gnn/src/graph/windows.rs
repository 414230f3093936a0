//! A pass over the edges of some rows, in order: at once where they are in memory; through buffers where they are on disk.
//!
//! On disk a buffer holds the edges of some whole rows at a time. A row with more edges than it holds comes in pieces.

use std::ops::Range;

use super::edges::inverse_root;
use super::{DegreeSum, Edges, GraphStats, GraphStore, Incoming, Normalisation};
use crate::error::Error;
use crate::steps::{Epilogue, Operator, OwnTerm, RowOut};
use crate::storage::GraphFile;

/// What a step reads of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    offsets: bool,
    sources: bool,
    weights: bool,
    /// A normalisation for which the edges of a row must be seen.
    norm: Option<Normalisation>,
    /// How often the sums of a row read its edges, where it comes in pieces.
    passes: u64,
}

impl Wanted {
    /// Of sums over edges (unless the operator has none) and an epilogue; of a graph with weights or loops.
    pub(crate) fn for_sums(operator: Option<&Operator>, epilogue: &Epilogue, weighted: bool, loops: bool) -> Self {
        let own = operator.and_then(|operator| if let OwnTerm::Loop(norm) = operator.own { Some(norm) } else { None });
        let mut wanted = Wanted { offsets: epilogue.mean, ..Wanted::default() };
        for norm in [epilogue.norm, epilogue.rescale, own].into_iter().flatten() {
            wanted = wanted.and(Wanted::for_norm(norm, weighted, loops));
        }
        match operator {
            Some(operator) if !operator.no_edges => {
                let edges = Wanted { offsets: true, sources: true, weights: weighted && operator.weighted, norm: None, passes: 1 };
                wanted.and(edges)
            }
            _ => wanted,
        }
    }

    /// Of a step over rows.
    pub(crate) fn for_rows(outs: &[RowOut], weighted: bool, loops: bool) -> Self {
        outs.iter().fold(Wanted::default(), |wanted, out| {
            let sums = out.terms.iter().filter_map(|term| term.over_edges.as_ref());
            let wanted = wanted.and(Wanted::for_sums(None, &out.epilogue, weighted, loops));
            sums.fold(wanted, |wanted, (operator, _)| wanted.and(Wanted::for_sums(Some(operator), &Epilogue::default(), weighted, loops)))
        })
    }

    /// Of attention: the largest score comes first, then the sum.
    pub(crate) fn for_attention() -> Self {
        Wanted { offsets: true, sources: true, weights: false, norm: None, passes: 2 }
    }

    /// Of a row's degree.
    pub(crate) fn for_norm(norm: Normalisation, weighted: bool, loops: bool) -> Self {
        let sources = loops && norm.self_loop.is_some();
        Wanted { offsets: true, sources, weights: weighted, norm: (sources || weighted).then_some(norm), passes: 0 }
    }

    pub(crate) fn and(self, other: Wanted) -> Self {
        Wanted {
            offsets: self.offsets || other.offsets,
            sources: self.sources || other.sources,
            weights: self.weights || other.weights,
            norm: self.norm.or(other.norm),
            passes: self.passes.max(other.passes),
        }
    }

    fn edges(&self) -> bool {
        self.sources || self.weights
    }
}

/// Sizes of a graph on disk, as far as passes over it depend on them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DiskGraph {
    /// Bytes of an entry of each array.
    pub(crate) offset_bytes: u64,
    pub(crate) source_bytes: u64,
    /// 0 without weights.
    pub(crate) weight_bytes: u64,
    pub(crate) has_loops: bool,
    pub(crate) edges: u64,
    /// How many edges lead into nodes of up to 2^k edges, and of more than half of that.
    pub(crate) by_degree: [u64; 65],
}

impl DiskGraph {
    /// As usual files are: offsets of 8 bytes, sources of 4, weights of 4; no loops, and no row that is longer than a buffer.
    pub(crate) fn usual(stats: &GraphStats) -> Self {
        let mut by_degree = [0; 65];
        by_degree[0] = stats.edges;
        let weight_bytes = if stats.weighted { 4 } else { 0 };
        DiskGraph { offset_bytes: 8, source_bytes: 4, weight_bytes, has_loops: false, edges: stats.edges, by_degree }
    }

    /// The place of a degree in `by_degree`.
    pub(crate) fn class(degree: u64) -> usize {
        (u64::BITS - degree.saturating_sub(1).leading_zeros()) as usize
    }

    /// Bytes that one pass reads: the offsets of the rows and one more for each part; the edges once, or, of rows in pieces, as often as
    /// they are needed.
    pub(crate) fn pass(&self, wanted: &Wanted, rows: u64, parts: u64, buffers: &BufferSizes) -> u64 {
        if !wanted.offsets {
            return 0;
        }
        let offsets = rows.saturating_add(parts).saturating_mul(self.offset_bytes);
        let each = if wanted.sources { self.source_bytes } else { 0 } + if wanted.weights { self.weight_bytes } else { 0 };
        let long = self.by_degree[DiskGraph::class(buffers.capacity as u64) + 1..].iter().sum::<u64>();
        let passes = wanted.passes + u64::from(wanted.norm.is_some());
        let edges = (self.edges - long.min(self.edges)).saturating_add(long.saturating_mul(passes));
        offsets.saturating_add(edges.saturating_mul(each))
    }
}

/// Sizes of the buffers of one part of the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BufferSizes {
    /// The edges that a row may have without coming in pieces; a power of two.
    pub(crate) capacity: usize,
    rows: usize,
    edges: usize,
    weighted: bool,
    /// Numbers for the sums of a row in pieces.
    sums: usize,
}

/// Bytes of each buffer where nothing else is said.
const USUAL_BYTES: usize = 16 << 10;

impl BufferSizes {
    /// Buffers of 16 KiB: a call of the system for each is little beside the edges, and few rows come in pieces.
    pub(crate) fn usual(stats: &GraphStats) -> Self {
        BufferSizes::of(USUAL_BYTES, stats)
    }

    /// Buffers of about `bytes` for offsets, for sources and for weights; of no more than the graph has.
    pub(crate) fn of(bytes: usize, stats: &GraphStats) -> Self {
        let capacity = (bytes / 4).clamp(1, 1 << 30).next_power_of_two();
        let fitting = |most: usize, there: u64| usize::try_from(there).unwrap_or(most).clamp(1, most);
        let (rows, edges) = (fitting(capacity.div_ceil(2), stats.nodes), fitting(capacity, stats.edges));
        BufferSizes { capacity, rows, edges, weighted: stats.weighted, sums: 0 }
    }

    /// With so many numbers for the sums of a row in pieces.
    pub(crate) fn with_sums(self, sums: usize) -> Self {
        BufferSizes { sums, ..self }
    }

    pub(crate) fn bytes(&self) -> u64 {
        8 * (self.rows as u64 + 1) + 4 * (self.edges * (1 + usize::from(self.weighted)) + self.sums) as u64
    }
}

/// The buffers of one part of the rows.
#[derive(Debug)]
pub(crate) struct Buffers {
    offsets: Vec<u64>,
    sources: Vec<u32>,
    weights: Vec<f32>,
    sums: Vec<f32>,
    /// Bytes read so far.
    pub(crate) read: u64,
}

impl Buffers {
    pub(crate) fn new(sizes: BufferSizes) -> Self {
        Buffers {
            offsets: vec![0; sizes.rows + 1],
            sources: vec![0; sizes.edges],
            weights: vec![0.0; if sizes.weighted { sizes.edges } else { 0 }],
            sums: vec![0.0; sizes.sums],
            read: 0,
        }
    }
}

/// Rows that come at once.
pub(crate) enum Window<'w> {
    /// Some whole rows.
    Rows(Edges<'w>),
    /// One row, in pieces.
    Long(LongRow<'w>),
}

impl Incoming for Window<'_> {
    fn count(&self, i: usize) -> usize {
        match self {
            Window::Rows(edges) => edges.count(i),
            Window::Long(row) => row.count(i),
        }
    }

    fn norm(&self, i: usize, normalisation: Normalisation) -> (f32, f32) {
        match self {
            Window::Rows(edges) => edges.norm(i, normalisation),
            Window::Long(row) => row.norm(i, normalisation),
        }
    }
}

/// A row with more edges than a buffer holds.
pub(crate) struct LongRow<'w> {
    pub(crate) i: usize,
    pub(crate) has_loops: bool,
    /// For what must outlive a piece.
    pub(crate) sums: &'w mut [f32],
    file: &'w GraphFile,
    edges: Range<u64>,
    sources: &'w mut [u32],
    weights: &'w mut [f32],
    wanted: Wanted,
    known: Option<(Normalisation, (f64, f32))>,
    read: &'w mut u64,
}

impl LongRow<'_> {
    /// One pass over its edges: sources and, if the step wants them, weights.
    pub(crate) fn pieces(&mut self, mut take: impl FnMut(&[u32], Option<&[f32]>)) -> Result<(), Error> {
        let mut at = self.edges.start;
        while at < self.edges.end {
            let count = self.sources.len().min((self.edges.end - at) as usize);
            let (sources, weights) = read_edges(self.file, &self.wanted, at, count, self.sources, self.weights, self.read)?;
            take(sources, weights);
            at += count as u64;
        }
        Ok(())
    }

    /// Its degree, and the weight of its loop.
    pub(crate) fn degree(&self, normalisation: Normalisation) -> (f64, f32) {
        match self.known {
            Some((known, degree)) if known == normalisation => degree,
            _ => {
                let mut sum = DegreeSum::new(self.i, normalisation, false);
                sum.add_count((self.edges.end - self.edges.start) as usize);
                sum.finish()
            }
        }
    }

    fn learn_degree(&mut self) -> Result<(), Error> {
        let Some(normalisation) = self.wanted.norm else { return Ok(()) };
        let mut sum = DegreeSum::new(self.i, normalisation, self.has_loops);
        self.pieces(|sources, weights| sum.add(sources, weights))?;
        self.known = Some((normalisation, sum.finish()));
        Ok(())
    }
}

impl Incoming for LongRow<'_> {
    fn count(&self, _: usize) -> usize {
        (self.edges.end - self.edges.start) as usize
    }

    fn norm(&self, _: usize, normalisation: Normalisation) -> (f32, f32) {
        let (degree, own) = self.degree(normalisation);
        (inverse_root(degree), own)
    }
}

/// Passes over a graph, for one part of the rows.
pub(crate) struct Reader<'r> {
    graph: GraphStore<'r>,
    buffers: Option<&'r mut Buffers>,
}

impl<'r> Reader<'r> {
    /// `buffers`: for a graph on disk.
    pub(crate) fn new(graph: GraphStore<'r>, buffers: Option<&'r mut Buffers>) -> Self {
        Reader { graph, buffers }
    }

    /// One pass: `work` on all rows in order, some at a time.
    pub(crate) fn windows(
        &mut self,
        rows: Range<usize>,
        wanted: &Wanted,
        mut work: impl FnMut(Range<usize>, &mut Window) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match (self.graph, &mut self.buffers) {
            (GraphStore::Memory(graph), _) => work(rows, &mut Window::Rows(graph.view())),
            (GraphStore::Disk(file), Some(buffers)) if wanted.offsets => from_file(file, buffers, rows, wanted, work),
            (GraphStore::Disk(_), _) => work(rows, &mut Window::Rows(Edges::NONE)),
        }
    }
}

fn from_file(
    file: &GraphFile,
    buffers: &mut Buffers,
    rows: Range<usize>,
    wanted: &Wanted,
    mut work: impl FnMut(Range<usize>, &mut Window) -> Result<(), Error>,
) -> Result<(), Error> {
    let Buffers { offsets, sources, weights, sums, read } = buffers;
    let (has_loops, most) = (file.has_loops(), offsets.len() - 1);
    *read += file.read_offsets(rows.start, 0, &mut offsets[..1])?;
    let mut first = rows.start;
    while first < rows.end {
        let count = most.min(rows.end - first);
        *read += file.read_offsets(first + 1, offsets[0], &mut offsets[1..=count])?;
        let mut row = 0;
        while row < count {
            let (i, begin) = (first + row, offsets[row]);
            let fits = |&end: &u64| !wanted.edges() || end - begin <= sources.len() as u64;
            let fitting = offsets[row + 1..=count].partition_point(fits);
            if fitting == 0 {
                let (edges, wanted) = (begin..offsets[row + 1], *wanted);
                let mut row = LongRow { i, has_loops, sums, file, edges, sources, weights, wanted, known: None, read };
                row.learn_degree()?;
                work(i..i + 1, &mut Window::Long(row))?;
            } else {
                let count = if wanted.edges() { (offsets[row + fitting] - begin) as usize } else { 0 };
                let (sources, weights) = read_edges(file, wanted, begin, count, sources, weights, read)?;
                let edges = Edges { first: i, offsets: &offsets[row..=row + fitting], sources, weights, has_loops, whole: None };
                work(i..i + fitting, &mut Window::Rows(edges))?;
            }
            row += fitting.max(1);
        }
        offsets[0] = offsets[count];
        first += count;
    }
    Ok(())
}

/// Some edges into the buffers, as far as they are wanted.
fn read_edges<'b>(
    file: &GraphFile,
    wanted: &Wanted,
    begin: u64,
    count: usize,
    sources: &'b mut [u32],
    weights: &'b mut [f32],
    read: &mut u64,
) -> Result<(&'b [u32], Option<&'b [f32]>), Error> {
    let sources = &mut sources[..if wanted.sources { count } else { 0 }];
    *read += file.read_sources(begin, sources)?;
    let weights = if wanted.weights { Some(&mut weights[..count]) } else { None };
    match weights {
        Some(weights) => {
            *read += file.read_weights(begin, weights)?;
            Ok((sources, Some(weights)))
        }
        None => Ok((sources, None)),
    }
}

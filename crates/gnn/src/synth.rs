//! Made graphs and features, the same on every machine and for any number of threads.
//!
//! Edges are drawn in blocks of about 2^16, each from a stream of its own. Sizes are refused from counts, before any work.

mod communities;

use std::ops::ControlFlow;

use certus_contract::{Event, InputError, ignore_events};
use certus_numeric::seed::{bounded, hash64};
use certus_numeric::{Array, Seed};
use rand::Rng;
use rayon::prelude::*;

use crate::error::Error;
use crate::graph::Graph;

pub use communities::{sbm, sbm_with};

/// Edges that one stream draws, about.
const BLOCK: usize = 1 << 16;

/// Blocks after which the observer is asked.
const BATCH: usize = 64;

/// Edges of a made graph at most, counted before equal ones are merged.
pub const MOST_EDGES: u64 = 1 << 32;

/// Nodes of a made graph at most: their numbers have 31 bits, which all programs read.
pub const MOST_NODES: u64 = 1 << 31;

/// What is done with drawn edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Each edge also leads back. Default true.
    pub symmetrise: bool,
    /// Loops are left out. Default true.
    pub drop_loops: bool,
    /// Of equal edges one is kept. Default true.
    pub coalesce: bool,
    /// Nodes get random numbers. Default false.
    pub permute: bool,
}

impl Default for Cleanup {
    fn default() -> Self {
        Cleanup { symmetrise: true, drop_loops: true, coalesce: true, permute: false }
    }
}

type Pair = (u32, u32);

/// A graph under way: what is done with its edges, and who is told.
struct Making<'a> {
    nodes: usize,
    cleanup: Cleanup,
    seed: Seed,
    observer: &'a mut dyn FnMut(&Event) -> ControlFlow<()>,
}

impl Making<'_> {
    /// Room for so many drawn edges and what becomes of them. All bytes are asked for at once, and nothing is touched.
    ///
    /// # Errors
    /// `TooLarge` beyond the limits, or where the system has not so much.
    fn room(&self, drawn: u64) -> Result<Vec<Pair>, Error> {
        let too_large = |what: &str, found: u64, most: u64| Error::from(InputError::too_large(what, found.to_string(), most.to_string()));
        let nodes = self.nodes as u64;
        if nodes > MOST_NODES {
            return Err(too_large("the number of nodes", nodes, MOST_NODES));
        }
        let edges = drawn.saturating_mul(if self.cleanup.symmetrise { 2 } else { 1 });
        if edges > MOST_EDGES {
            return Err(too_large("the number of edges", edges, MOST_EDGES));
        }
        let bytes = (size_of::<Pair>() as u64 + 4) * edges + 8 * (nodes + 2) + if self.cleanup.permute { 4 * nodes } else { 0 };
        drop(reserved::<u8>(bytes)?);
        reserved(edges)
    }

    fn tell(&mut self, phase: &'static str, done: u64, total: u64) -> Result<(), Error> {
        match (self.observer)(&Event::new(phase, done).of(total)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::StoppedDrawing),
        }
    }

    /// The graph of these edges; sources of each node ascend where equal edges are merged.
    fn graph(mut self, mut edges: Vec<Pair>) -> Result<Graph, Error> {
        let Making { nodes, cleanup, seed, .. } = self;
        self.tell("sort", 0, 2)?;
        if cleanup.permute {
            let order = permutation(nodes, seed)?;
            edges.par_iter_mut().for_each(|(i, j)| (*i, *j) = (order[*i as usize], order[*j as usize]));
        }
        if cleanup.symmetrise {
            let drawn = edges.len();
            grow(&mut edges, drawn)?;
            edges.extend_from_within(..);
            edges[drawn..].par_iter_mut().for_each(|(i, j)| std::mem::swap(i, j));
        }
        if cleanup.drop_loops {
            edges.retain(|(i, j)| i != j);
        }
        if cleanup.coalesce {
            edges.par_sort_unstable_by_key(|&(source, target)| (target, source));
            edges.dedup();
        }
        self.tell("sort", 1, 2)?;
        // Counts stand two places on, sums one, so that each row's end has moved to its place when all edges are there.
        let mut indptr = reserved::<u64>(nodes as u64 + 2)?;
        indptr.resize(nodes + 2, 0);
        edges.iter().for_each(|&(_, target)| indptr[target as usize + 2] += 1);
        (2..nodes + 2).for_each(|i| indptr[i] += indptr[i - 1]);
        let mut indices = reserved::<u32>(edges.len() as u64)?;
        indices.resize(edges.len(), 0);
        for &(source, target) in &edges {
            let place = &mut indptr[target as usize + 1];
            indices[*place as usize] = source;
            *place += 1;
        }
        drop(edges);
        indptr.pop();
        self.tell("sort", 2, 2)?;
        Graph::from_csr(nodes, indptr, indices)
    }
}

fn no_room(bytes: u64) -> Error {
    InputError::too_large("the graph", format!("{bytes} bytes while it is made"), "what the system gives").into()
}

/// An empty list with room for so many, where the system has it.
fn reserved<T>(count: u64) -> Result<Vec<T>, Error> {
    let refused = || no_room(count.saturating_mul(size_of::<T>() as u64));
    let mut list = Vec::new();
    list.try_reserve_exact(usize::try_from(count).map_err(|_| refused())?).map_err(|_| refused())?;
    Ok(list)
}

/// Room for so many more.
fn grow<T>(list: &mut Vec<T>, more: usize) -> Result<(), Error> {
    let bytes = (list.len() as u64 + more as u64).saturating_mul(size_of::<T>() as u64);
    list.try_reserve(more).map_err(|_| no_room(bytes))
}

/// A random order of 0..n.
fn permutation(nodes: usize, seed: Seed) -> Result<Vec<u32>, Error> {
    let mut order = reserved(nodes as u64)?;
    order.extend(0..nodes as u32);
    let mut stream = seed.stream("permutation");
    for i in (1..nodes).rev() {
        order.swap(i, bounded(stream.next_u64(), i as u64 + 1) as usize);
    }
    Ok(order)
}

/// The probability in 32 bits after the point.
fn probability(name: &str, p: f64) -> Result<u64, Error> {
    if (0.0..=1.0).contains(&p) {
        return Ok((p * 2f64.powi(32)) as u64);
    }
    Err(InputError::parameter(name, p, "in [0, 1]").into())
}

/// A graph by recursive quadrants (Chakrabarti, Zhan, Faloutsos 2004): 2^scale nodes, `edge_factor` draws a node, degrees that follow a power
/// law. The usual probabilities are a = 0.57, b = c = 0.19.
///
/// # Errors
/// `InvalidParameter` for probabilities outside [0, 1] or above 1 in sum, or a scale above 31; `TooLarge` from 2^32 edges on, or where the
/// system has not the bytes.
///
/// ```
/// use certus_gnn::synth::{Cleanup, rmat};
/// use certus_numeric::Seed;
/// let graph = rmat(10, 8, (0.57, 0.19, 0.19), Cleanup::default(), Seed(0))?;
/// assert_eq!(graph.nodes(), 1024);
/// assert!(graph.max_degree() > 5 * graph.edges() / graph.nodes());
/// # Ok::<(), certus_gnn::Error>(())
/// ```
pub fn rmat(scale: u32, edge_factor: usize, probabilities: (f64, f64, f64), cleanup: Cleanup, seed: Seed) -> Result<Graph, Error> {
    rmat_with(scale, edge_factor, probabilities, cleanup, seed, ignore_events)
}

/// As [`rmat`], with an observer that may stop it.
///
/// # Errors
/// As there, and `Stopped`.
pub fn rmat_with(
    scale: u32,
    edge_factor: usize,
    (a, b, c): (f64, f64, f64),
    cleanup: Cleanup,
    seed: Seed,
    mut observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<Graph, Error> {
    if scale > 31 {
        return Err(InputError::parameter("scale", scale, "at most 31").into());
    }
    let (a, b, c) = (probability("a", a)?, probability("b", b)?, probability("c", c)?);
    if a + b + c > 1 << 32 {
        return Err(InputError::parameter("a + b + c", (a + b + c) as f64 / 2f64.powi(32), "at most 1").into());
    }
    let nodes = 1usize << scale;
    let count = (nodes as u64).saturating_mul(edge_factor as u64);
    let mut making = Making { nodes, cleanup, seed, observer: &mut observer };
    let mut edges = making.room(count)?;
    edges.resize(count as usize, (0, 0));
    let edge = |next: &mut dyn FnMut() -> u64| {
        let (mut i, mut j, mut bits) = (0, 0, 0);
        for level in 0..scale {
            // Two levels for each number drawn.
            bits = if level % 2 == 0 { next() } else { bits >> 32 };
            let u = bits & 0xffff_ffff;
            (i, j) = (i << 1 | u32::from(u >= a + b), j << 1 | u32::from((u >= a && u < a + b) || u >= a + b + c));
        }
        (i, j)
    };
    for (k, batch) in edges.chunks_mut(BATCH * BLOCK).enumerate() {
        making.tell("draw", (k * BATCH * BLOCK) as u64, count)?;
        batch.par_chunks_mut(BLOCK).enumerate().for_each(|(block, part)| {
            let mut stream = seed.stream_at("rmat", (k * BATCH + block) as u64);
            part.iter_mut().for_each(|pair| *pair = edge(&mut || stream.next_u64()));
        });
    }
    making.graph(edges)
}

/// Entry (i, j) of features that need no storage: uniform in [-1, 1), by a 64-bit mix of seed, i and j.
pub fn hash_feature(seed: Seed, i: usize, j: usize) -> f32 {
    let bits = hash64(hash64(seed.key("features"), i as u64), j as u64);
    (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// Columns `first..` of row `i` of the same.
pub fn hash_feature_row(seed: Seed, i: usize, first: usize, out: &mut [f32]) {
    out.iter_mut().enumerate().for_each(|(j, x)| *x = hash_feature(seed, i, first + j));
}

/// The features of [`hash_feature`], n x d.
pub fn hash_features(nodes: usize, columns: usize, seed: Seed) -> Array<f32> {
    Array::from_fn(nodes, columns, |i, j| hash_feature(seed, i, j))
}

//! Made graphs and features, the same on every machine and for any number of threads.
//!
//! Edges are drawn in blocks of 2^16, each from a stream of its own, by integers alone.

use certus_contract::InputError;
use certus_numeric::seed::{bounded, hash64};
use certus_numeric::{Array, Seed};
use rand::Rng;
use rayon::prelude::*;

use crate::error::Error;
use crate::graph::Graph;

/// Edges that one stream draws.
const BLOCK: usize = 1 << 16;

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

impl Cleanup {
    /// The graph of these edges; sources of each node ascend where equal edges are merged.
    fn graph(self, nodes: usize, mut edges: Vec<(u32, u32)>, seed: Seed) -> Result<Graph, Error> {
        if self.permute {
            let order = permutation(nodes, seed);
            edges.par_iter_mut().for_each(|(i, j)| (*i, *j) = (order[*i as usize], order[*j as usize]));
        }
        if self.symmetrise {
            let back = edges.par_iter().map(|&(i, j)| (j, i)).collect::<Vec<_>>();
            edges.extend(back);
        }
        if self.drop_loops {
            edges.retain(|(i, j)| i != j);
        }
        if self.coalesce {
            edges.par_sort_unstable_by_key(|&(source, target)| (target, source));
            edges.dedup();
        }
        Graph::from_edges(nodes, edges)
    }
}

/// A random order of 0..n.
fn permutation(nodes: usize, seed: Seed) -> Vec<u32> {
    let mut order = (0..nodes as u32).collect::<Vec<_>>();
    let mut stream = seed.stream("permutation");
    for i in (1..nodes).rev() {
        order.swap(i, bounded(stream.next_u64(), i as u64 + 1) as usize);
    }
    order
}

/// Draws `count` edges, block by block.
fn draw(count: usize, seed: Seed, purpose: &str, edge: impl Fn(&mut dyn FnMut() -> u64) -> (u32, u32) + Sync) -> Vec<(u32, u32)> {
    let blocks = (0..count.div_ceil(BLOCK)).into_par_iter();
    let drawn = blocks.map(|block| {
        let mut stream = seed.stream_at(purpose, block as u64);
        let mut next = || stream.next_u64();
        (0..BLOCK.min(count - block * BLOCK)).map(|_| edge(&mut next)).collect::<Vec<_>>()
    });
    drawn.collect::<Vec<_>>().concat()
}

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
/// `InvalidParameter` for probabilities outside [0, 1] or above 1 in sum, or a scale above 31.
///
/// ```
/// use certus_gnn::synth::{Cleanup, rmat};
/// use certus_numeric::Seed;
/// let graph = rmat(10, 8, (0.57, 0.19, 0.19), Cleanup::default(), Seed(0))?;
/// assert_eq!(graph.nodes(), 1024);
/// assert!(graph.max_degree() > 5 * graph.edges() / graph.nodes());
/// # Ok::<(), certus_gnn::Error>(())
/// ```
pub fn rmat(scale: u32, edge_factor: usize, (a, b, c): (f64, f64, f64), cleanup: Cleanup, seed: Seed) -> Result<Graph, Error> {
    if scale > 31 {
        return Err(InputError::parameter("scale", scale, "at most 31").into());
    }
    let (a, b, c) = (probability("a", a)?, probability("b", b)?, probability("c", c)?);
    if a + b + c > 1 << 32 {
        return Err(InputError::parameter("a + b + c", (a + b + c) as f64 / 2f64.powi(32), "at most 1").into());
    }
    let nodes = 1usize << scale;
    let count = nodes.checked_mul(edge_factor).ok_or_else(|| InputError::too_large("the edges", "more", "the address space"))?;
    let edges = draw(count, seed, "rmat", |next| {
        let (mut i, mut j, mut bits) = (0, 0, 0);
        for level in 0..scale {
            // Two levels for each number drawn.
            bits = if level % 2 == 0 { next() } else { bits >> 32 };
            let u = bits & 0xffff_ffff;
            (i, j) = (i << 1 | u32::from(u >= a + b), j << 1 | u32::from((u >= a && u < a + b) || u >= a + b + c));
        }
        (i, j)
    });
    cleanup.graph(nodes, edges, seed)
}

/// A graph of communities: of the pairs within a community a share `p_in` is drawn, of the others a share `p_out` (with repetition, so
/// that slightly fewer are distinct). Nodes of a community follow one another.
///
/// # Errors
/// `InvalidParameter` for probabilities outside [0, 1]; `TooLarge` from 2^32 nodes on.
pub fn sbm(sizes: &[usize], p_in: f64, p_out: f64, cleanup: Cleanup, seed: Seed) -> Result<Graph, Error> {
    for (name, p) in [("p_in", p_in), ("p_out", p_out)] {
        probability(name, p)?;
    }
    let nodes = sizes.iter().sum::<usize>();
    if nodes as u64 >= 1 << 32 {
        return Err(InputError::too_large("the graph", format!("{nodes} nodes"), "2^32 - 1").into());
    }
    let mut edges = Vec::new();
    let starts = sizes.iter().scan(0, |next, &size| Some(std::mem::replace(next, *next + size))).collect::<Vec<_>>();
    for (k, (&size, &start)) in sizes.iter().zip(&starts).enumerate() {
        let pairs = size as f64 * size.saturating_sub(1) as f64 / 2.0;
        let within = seed.split_at("communities", k as u64);
        edges.extend(draw((p_in * pairs).round() as usize, within, "pairs", |next| {
            let i = bounded(next(), size as u64);
            let j = bounded(next(), size as u64 - 1);
            (start as u32 + i as u32, start as u32 + (j + u64::from(j >= i)) as u32)
        }));
        // Pairs with the communities that follow.
        let rest = nodes - start - size;
        let across = seed.split_at("across", k as u64);
        edges.extend(draw((p_out * size as f64 * rest as f64).round() as usize, across, "pairs", |next| {
            (start as u32 + bounded(next(), size as u64) as u32, (start + size) as u32 + bounded(next(), rest as u64) as u32)
        }));
    }
    cleanup.graph(nodes, edges, seed)
}

/// Entry (i, j) of features that need no storage: uniform in [-1, 1), by a 64-bit mix of seed, i and j.
pub fn hash_feature(seed: Seed, i: usize, j: usize) -> f32 {
    let bits = hash64(hash64(seed.key("features"), i as u64), j as u64);
    (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// The features of [`hash_feature`], n x d.
pub fn hash_features(nodes: usize, columns: usize, seed: Seed) -> Array<f32> {
    Array::from_fn(nodes, columns, |i, j| hash_feature(seed, i, j))
}

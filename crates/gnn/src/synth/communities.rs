//! Graphs of communities: each pair of nodes is an edge or not, independently.

use std::ops::ControlFlow;

use certus_contract::{Event, InputError, ignore_events};
use certus_numeric::Seed;
use rand::Rng;
use rayon::prelude::*;

use super::{BATCH, BLOCK, Cleanup, MOST_EDGES, MOST_NODES, Making, Pair, grow, probability};
use crate::error::Error;
use crate::graph::Graph;

/// A graph of communities (the stochastic block model): each pair within a community is an edge with probability `p_in`, each other pair
/// with probability `p_out`, all independently. Where edges are not symmetrised, pairs are ordered ones. Nodes of a community follow one
/// another; there are no loops and no equal edges. Cost: proportional to the edges, times the logarithm of 1/p.
///
/// # Errors
/// `InvalidParameter` for probabilities outside [0, 1]; `TooLarge` from 2^31 nodes or 2^32 edges on, or where the system has not the bytes.
///
/// ```
/// use certus_gnn::synth::{Cleanup, sbm};
/// use certus_numeric::Seed;
/// let graph = sbm(&[30, 20], 1.0, 0.0, Cleanup::default(), Seed(0))?;
/// assert_eq!(graph.edges(), 30 * 29 + 20 * 19);
/// # Ok::<(), certus_gnn::Error>(())
/// ```
pub fn sbm(sizes: &[usize], p_in: f64, p_out: f64, cleanup: Cleanup, seed: Seed) -> Result<Graph, Error> {
    sbm_with(sizes, p_in, p_out, cleanup, seed, ignore_events)
}

/// As [`sbm`], with an observer that may stop it.
///
/// # Errors
/// As there, and `Stopped`.
pub fn sbm_with(
    sizes: &[usize],
    p_in: f64,
    p_out: f64,
    cleanup: Cleanup,
    seed: Seed,
    mut observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<Graph, Error> {
    for (name, p) in [("p_in", p_in), ("p_out", p_out)] {
        probability(name, p)?;
    }
    let nodes = sizes.iter().fold(0u64, |sum, &size| sum.saturating_add(size as u64));
    if nodes > MOST_NODES {
        return Err(InputError::too_large("the number of nodes", nodes.to_string(), MOST_NODES.to_string()).into());
    }
    let ordered = !cleanup.symmetrise;
    let mut groups = Vec::with_capacity(3 * sizes.len());
    let mut start = 0;
    for (k, &size) in sizes.iter().enumerate() {
        let (own, rest) = (Nodes { start, size: size as u64 }, Nodes { start: start + size as u64, size: nodes - start - size as u64 });
        groups.push((Pairs::Within { nodes: own, ordered }, p_in, seed.split_at("communities", k as u64)));
        // Pairs with the communities that follow.
        groups.push((Pairs::Across { sources: own, targets: rest }, p_out, seed.split_at("across", k as u64)));
        if ordered {
            groups.push((Pairs::Across { sources: rest, targets: own }, p_out, seed.split_at("back", k as u64)));
        }
        start += size as u64;
    }
    let expected = groups.iter().map(|(pairs, p, _)| pairs.count() as f64 * p).sum::<f64>();
    // Ten standard deviations more are never needed; `as` keeps within the type's range.
    let drawn = (expected + 10.0 * expected.sqrt()) as u64;
    let all = groups.iter().map(|(pairs, _, _)| pairs.count()).fold(0, u64::saturating_add);
    let mut making = Making { nodes: nodes as usize, cleanup, seed, observer: &mut observer };
    let mut edges = making.room(drawn.min(all))?;
    for (pairs, p, seed) in groups {
        draw(&mut making, pairs, p, seed, expected as u64, &mut edges)?;
    }
    making.graph(edges)
}

/// Draws of these pairs each with probability `p`, in blocks with about as many edges.
fn draw(making: &mut Making, pairs: Pairs, p: f64, seed: Seed, expected: u64, edges: &mut Vec<Pair>) -> Result<(), Error> {
    let count = pairs.count();
    if count == 0 || p == 0.0 {
        return Ok(());
    }
    let skips = Skips::new(p);
    let length = ((BLOCK as f64 / p) as u64).max(1);
    let blocks = count.div_ceil(length);
    for first in (0..blocks).step_by(BATCH) {
        making.tell("draw", edges.len() as u64, expected.max(edges.len() as u64))?;
        let block = |block: u64| {
            let mut stream = seed.stream_at("pairs", block);
            let (mut place, end) = (block * length, count.min((block * length).saturating_add(length)));
            let mut drawn = Vec::new();
            while let Some(next) = skips.next(|| stream.next_u64()).and_then(|skip| place.checked_add(skip)).filter(|&next| next < end) {
                drawn.push(pairs.at(next));
                place = next + 1;
            }
            drawn
        };
        let batch = (first..blocks.min(first + BATCH as u64)).into_par_iter().map(block).collect::<Vec<_>>();
        for drawn in batch {
            grow(edges, drawn.len())?;
            edges.extend(drawn);
        }
        if edges.len() as u64 > MOST_EDGES {
            return Err(InputError::too_large("the number of edges", "more", MOST_EDGES.to_string()).into());
        }
    }
    Ok(())
}

/// How many pairs are passed over before the next edge: a geometric variate.
///
/// P(g) is proportional to q^g with q = 1 - p, which is a product over the binary digits of g: they are independent, and digit k is one with
/// probability q^(2^k) / (1 + q^(2^k)). So no logarithm is needed, and the same numbers come on every machine.
struct Skips {
    /// The probability of each digit, in 64 bits after the point.
    digits: Vec<u64>,
}

impl Skips {
    fn new(p: f64) -> Self {
        let mut digits = Vec::new();
        // 1 - q^(2^k), which keeps its digits where p is small.
        let mut apart = p;
        while apart < 1.0 - f64::EPSILON {
            digits.push(((1.0 - apart) / (2.0 - apart) * 2f64.powi(64)) as u64);
            apart *= 2.0 - apart;
        }
        Skips { digits }
    }

    /// The next one; `None` beyond 63 bits.
    fn next(&self, mut random: impl FnMut() -> u64) -> Option<u64> {
        let mut skip = 0;
        for (k, &chance) in self.digits.iter().enumerate() {
            if random() < chance {
                skip |= 1u64.checked_shl(k as u32)?;
            }
        }
        Some(skip)
    }
}

/// Nodes that follow one another.
#[derive(Clone, Copy, Debug)]
struct Nodes {
    start: u64,
    size: u64,
}

/// Pairs of nodes, numbered.
#[derive(Clone, Copy, Debug)]
enum Pairs {
    /// Of different nodes among these: each pair once, or in both orders.
    Within {
        nodes: Nodes,
        ordered: bool,
    },
    Across {
        sources: Nodes,
        targets: Nodes,
    },
}

impl Pairs {
    fn count(&self) -> u64 {
        match *self {
            Pairs::Within { nodes, ordered } => nodes.size * nodes.size.saturating_sub(1) / if ordered { 1 } else { 2 },
            Pairs::Across { sources, targets } => sources.size * targets.size,
        }
    }

    /// Pair number `t`.
    fn at(&self, t: u64) -> Pair {
        match *self {
            Pairs::Within { nodes, ordered: true } => {
                let (i, j) = (t / (nodes.size - 1), t % (nodes.size - 1));
                ((nodes.start + i) as u32, (nodes.start + j + u64::from(j >= i)) as u32)
            }
            Pairs::Within { nodes, ordered: false } => {
                let i = row_of(t);
                ((nodes.start + i) as u32, (nodes.start + t - i * (i - 1) / 2) as u32)
            }
            Pairs::Across { sources, targets } => ((sources.start + t / targets.size) as u32, (targets.start + t % targets.size) as u32),
        }
    }
}

/// The row i >= 1 of a triangle, with i entries, that holds entry `t`.
fn row_of(t: u64) -> u64 {
    // The root is near; integers settle it.
    let mut i = ((2.0 * t as f64).sqrt() as u64).max(1);
    while i * (i - 1) / 2 > t {
        i -= 1;
    }
    while i * (i + 1) / 2 <= t {
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_numbered_without_gaps() {
        for (size, ordered) in [(1, false), (2, false), (7, false), (2, true), (7, true)] {
            let pairs = Pairs::Within { nodes: Nodes { start: 3, size }, ordered };
            let mut all = (0..pairs.count()).map(|t| pairs.at(t)).collect::<Vec<_>>();
            assert!(all.iter().all(|&(i, j)| i != j && [i, j].iter().all(|&i| (3..3 + size as u32).contains(&i))));
            if !ordered {
                assert!(all.iter().all(|(i, j)| j < i));
            }
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len() as u64, pairs.count());
        }
        for t in [0, 1, 2, 3, 1 << 40, (1 << 61) - 1, (1 << 30) * ((1 << 31) - 1) - 1] {
            let i = row_of(t);
            assert!(i * (i - 1) / 2 <= t && t < i * (i + 1) / 2, "{t}");
        }
    }

    #[test]
    fn skips_are_geometric() {
        for p in [1.0, 0.7, 0.03, 1e-5] {
            let (skips, mut stream) = (Skips::new(p), Seed(1).stream("test"));
            let count = 200_000;
            let drawn = (0..count).map(|_| skips.next(|| stream.next_u64()).unwrap() as f64).collect::<Vec<_>>();
            let (mean, expected, deviation) = (drawn.iter().sum::<f64>() / count as f64, (1.0 - p) / p, (1.0 - p).sqrt() / p);
            // Seven standard deviations: a false alarm in 10^11.
            assert!((mean - expected).abs() <= 7.0 * deviation / (count as f64).sqrt(), "{p}: {mean}, expected {expected}");
            let none = drawn.iter().filter(|&&skip| skip == 0.0).count() as f64 / count as f64;
            assert!((none - p).abs() <= 7.0 * (p * (1.0 - p) / count as f64).sqrt() + 1e-12, "{p}: {none}");
        }
        assert_eq!(Skips::new(1e-300).next(|| 0), None);
    }
}

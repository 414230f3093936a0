//! The incoming edges of some rows, as the kernels read them.

use super::Whole;

/// How edges are normalised symmetrically.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Normalisation {
    /// The weight of the loop that each node gets; `None`: no loops are added, and those that exist are ordinary edges.
    pub(crate) self_loop: Option<f32>,
}

/// What the epilogue of a row asks of the graph.
pub(crate) trait Incoming {
    /// How many edges lead into node `i`.
    fn count(&self, i: usize) -> usize;

    /// `deg^-1/2`, 0 for a degree of 0, and the weight of the node's own loop.
    fn norm(&self, i: usize, normalisation: Normalisation) -> (f32, f32);
}

/// The edges into some rows, one row after the other: of a whole graph, or what a buffer holds of a graph on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edges<'a> {
    /// The number of the first row.
    pub(crate) first: usize,
    /// Where each row begins, and the end. The arrays hold what lies between the first and the last of them.
    pub(crate) offsets: &'a [u64],
    pub(crate) sources: &'a [u32],
    pub(crate) weights: Option<&'a [f32]>,
    /// Whether any edge of the whole graph leads from a node to itself.
    pub(crate) has_loops: bool,
    pub(crate) whole: Option<&'a Whole>,
}

impl<'a> Edges<'a> {
    /// The sources of the edges into node `i`.
    #[inline(always)]
    pub(crate) fn sources(&self, i: usize) -> &'a [u32] {
        let (begin, end) = self.range(i);
        &self.sources[begin..end]
    }

    /// The weights of the edges into node `i`.
    #[inline(always)]
    pub(crate) fn weights_into(&self, i: usize) -> Option<&'a [f32]> {
        let (begin, end) = self.range(i);
        Some(&self.weights?[begin..end])
    }

    /// The sources of as many edges as lead into node `i`, some edges further on: over the ends of rows, up to the end.
    #[inline(always)]
    pub(crate) fn sources_ahead(&self, i: usize, edges: usize) -> &'a [u32] {
        let (begin, end) = self.range(i);
        let last = self.sources.len();
        &self.sources[(begin + edges).min(last)..(end + edges).min(last)]
    }

    #[inline(always)]
    fn range(&self, i: usize) -> (usize, usize) {
        let row = i - self.first;
        ((self.offsets[row] - self.offsets[0]) as usize, (self.offsets[row + 1] - self.offsets[0]) as usize)
    }

    /// The weighted degree of a node under a normalisation, and the weight of its own loop (0 where none is added).
    pub(crate) fn degree(&self, i: usize, normalisation: Normalisation) -> (f64, f32) {
        let mut sum = DegreeSum::new(i, normalisation, self.has_loops);
        match (sum.replaces_loops, self.weights_into(i)) {
            (false, None) => sum.add_count(self.count(i)),
            (false, weights) => sum.add(&[], weights),
            (true, weights) => sum.add(self.sources(i), weights),
        }
        sum.finish()
    }
}

impl Incoming for Edges<'_> {
    #[inline(always)]
    fn count(&self, i: usize) -> usize {
        let (begin, end) = self.range(i);
        end - begin
    }

    fn norm(&self, i: usize, normalisation: Normalisation) -> (f32, f32) {
        let (degree, own) = self.degree(i, normalisation);
        let known = self.whole.and_then(|whole| whole.norms.iter().find(|(kind, _)| *kind == normalisation));
        (known.map_or_else(|| inverse_root(degree), |(_, norms)| norms[i]), own)
    }
}

/// The degree of one node, from its edges in order.
pub(crate) struct DegreeSum {
    i: usize,
    /// Its stored loops are no edges: the last one's weight is that of the loop that it gets.
    replaces_loops: bool,
    added: Option<f32>,
    degree: f64,
    own: f32,
}

impl DegreeSum {
    pub(crate) fn new(i: usize, normalisation: Normalisation, has_loops: bool) -> Self {
        let added = normalisation.self_loop;
        DegreeSum { i, replaces_loops: has_loops && added.is_some(), added, degree: 0.0, own: added.unwrap_or(0.0) }
    }

    /// More edges. Their sources matter only where loops are replaced.
    pub(crate) fn add(&mut self, sources: &[u32], weights: Option<&[f32]>) {
        match (self.replaces_loops, weights) {
            (false, Some(weights)) => weights.iter().for_each(|&w| self.degree += f64::from(w)),
            (false, None) => self.add_count(sources.len()),
            (true, Some(weights)) => {
                for (&j, &w) in sources.iter().zip(weights) {
                    if j as usize == self.i { self.own = w } else { self.degree += f64::from(w) }
                }
            }
            (true, None) => self.add_count(sources.iter().filter(|&&j| j as usize != self.i).count()),
        }
    }

    /// More edges of weight 1.
    pub(crate) fn add_count(&mut self, edges: usize) {
        self.degree += edges as f64;
    }

    pub(crate) fn finish(self) -> (f64, f32) {
        match self.added {
            Some(_) => (self.degree + f64::from(self.own), self.own),
            None => (self.degree, 0.0),
        }
    }
}

pub(crate) fn inverse_root(degree: f64) -> f32 {
    if degree == 0.0 { 0.0 } else { (1.0 / degree.sqrt()) as f32 }
}

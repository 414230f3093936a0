//! The inner loops. Each output element is one chain of operations in an order that no schedule changes.

pub(crate) mod aggregate;
pub(crate) mod attend;
pub(crate) mod combine;
pub(crate) mod epilogue;
pub(crate) mod long;
pub(crate) mod prefetch;
pub(crate) mod sparse;

/// Rows of some panel or block, s numbers each, from row `first` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsOf<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

impl<'a> RowsOf<'a> {
    /// Columns of row `i` from `column` on.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize, column: usize, count: usize) -> &'a [f32] {
        let begin = (i - self.first) * self.stride + column;
        &self.data[begin..begin + count]
    }
}

/// The sum of products in eight fixed lanes by column, whatever the width of registers.
#[inline(always)]
pub(crate) fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in whole_a.iter().zip(whole_b) {
        for k in 0..8 {
            lanes[k] = crate::simd::multiply_add::<FUSED>(a[k], b[k], lanes[k]);
        }
    }
    for (k, (&a, &b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[k] = crate::simd::multiply_add::<FUSED>(a, b, lanes[k]);
    }
    add_lanes(lanes)
}

/// Eight lanes as one number, in one fixed tree.
#[inline(always)]
pub(crate) fn add_lanes(lanes: [f32; 8]) -> f32 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Whether all numbers are finite, also in f16 if they are kept in it.
pub(crate) fn fits(row: &[f32], half: bool) -> bool {
    // From here on f16 rounds to infinity.
    if half { row.iter().all(|x| x.abs() < 65520.0) } else { all_finite(row) }
}

/// Whether all are finite.
#[inline(always)]
pub(crate) fn all_finite(x: &[f32]) -> bool {
    x.iter().fold(true, |finite, v| finite & (v.abs() <= f32::MAX))
}

/// Both variants of a kernel, whichever this processor runs: with fused multiply-adds, and without.
#[cfg(test)]
mod tests {
    use certus_numeric::Array;

    use super::RowsOf;
    use super::aggregate::AggregateRow;
    use super::combine::{Combine, CombineSparse, Strips};
    use crate::graph::Graph;
    use crate::simd::{Kernel, dispatch, fused};
    use crate::spec::Reduce;
    use crate::steps::Operator;
    use crate::synth::hash_features;

    /// Runs a kernel in both variants and by dispatch: both are near the reference, and dispatch is the one that it says.
    fn check(reference: &[f64], sizes: &[f64], name: &str, run: impl Fn(Option<bool>) -> Vec<f32>) {
        let (with, without) = (run(Some(true)), run(Some(false)));
        for found in [&with, &without] {
            for (k, (x, exact)) in found.iter().zip(reference).enumerate() {
                assert!((f64::from(*x) - exact).abs() <= 1e-5 * sizes[k], "{name}, entry {k}: {x} for {exact}");
            }
        }
        assert_ne!(with, without, "{name}: nothing tells the variants apart");
        assert_eq!(run(None), if fused() { with } else { without }, "{name}");
    }

    fn run<K: Kernel>(kernel: K, variant: Option<bool>) -> K::Output {
        match variant {
            Some(true) => kernel.run::<true>(),
            Some(false) => kernel.run::<false>(),
            None => dispatch(kernel),
        }
    }

    #[test]
    fn linear_maps_are_right_fused_and_not() {
        for (rows, inner, outer) in [(7, 5, 3), (13, 300, 33), (6, 16, 16)] {
            let (x, w) = (hash_features(rows, inner, certus_numeric::Seed(1)), hash_features(inner, outer, certus_numeric::Seed(2)));
            let strips = Strips::new(&w);
            let term = |i: usize, j: usize, k: usize| f64::from(x.row(i)[k]) * f64::from(w.row(k)[j]);
            let each = |of: &dyn Fn(usize, usize) -> f64| (0..rows * outer).map(|at| of(at / outer, at % outer)).collect::<Vec<_>>();
            let reference = each(&|i, j| (0..inner).map(|k| term(i, j, k)).sum());
            let sizes = each(&|i, j| (0..inner).map(|k| term(i, j, k).abs()).sum());
            check(&reference, &sizes, &format!("{rows} x {inner} x {outer}"), |variant| {
                let mut out = vec![0.0f32; rows * outer];
                let (x, out_rows) = (x.as_slice(), &mut out[..]);
                let (w, columns) = (&strips, 0..outer);
                run(
                    Combine { x, x_stride: inner, rows, w, columns, out: out_rows, out_stride: outer, add: false, absolute: false },
                    variant,
                );
                out
            });
            let indices = (0..inner as u32).collect::<Vec<_>>();
            check(&reference[..outer], &sizes[..outer], &format!("sparse, {inner} x {outer}"), |variant| {
                let mut out = vec![0.0f32; outer];
                let (indices, values, w) = (&indices[..], x.row(0), &strips);
                run(CombineSparse { indices, values, w, columns: 0..outer, out: &mut out, add: false }, variant);
                out
            });
        }
    }

    #[test]
    fn weighted_sums_over_edges_are_right_fused_and_not() {
        let (nodes, live) = (40usize, 85);
        let x: Array<f32> = hash_features(nodes, live, certus_numeric::Seed(3));
        let weights = hash_features(1, nodes, certus_numeric::Seed(4)).into_vec();
        let edges = (0..nodes as u32).map(|j| (j, 0)).collect::<Vec<_>>();
        let graph = Graph::from_weighted_edges(nodes, &edges, &weights).expect("a graph");
        let term = |j: usize, c: usize| f64::from(weights[j]) * f64::from(x.row(j)[c]);
        let reference = (0..live).map(|c| (0..nodes).map(|j| term(j, c)).sum()).collect::<Vec<f64>>();
        let sizes = (0..live).map(|c| (0..nodes).map(|j| term(j, c).abs()).sum()).collect::<Vec<f64>>();
        check(&reference, &sizes, "sum", |variant| {
            let mut out = vec![0.0f32; live];
            let (graph, source) = (&graph.view(), RowsOf { data: x.as_slice(), first: 0, stride: live });
            let operator = Operator { weighted: true, ..Operator::of(Reduce::Sum) };
            run(AggregateRow { graph, i: 0, source, live, operator, own: None, count: None, out: &mut out }, variant);
            out
        });
    }
}

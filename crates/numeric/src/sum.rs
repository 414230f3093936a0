//! Sums in a fixed order: the same bits on any number of threads.
//!
//! A sum of floats depends on its order, so the order is fixed by block sizes that are constants, never by the pool: eight
//! lanes within a block, blocks in ascending order.

use rayon::prelude::*;

/// Entries in one block of a parallel reduction over a vector.
pub const BLOCK: usize = 8192;

const LANES: usize = 8;

/// The sum, over eight lanes.
///
/// Bound by the latency of an addition while in cache (eight times the speed of a sum one by one), by memory
/// beyond; wider registers than the target's own gain nothing, so none are asked for.
pub fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    fold(lanes) + rest.iter().sum::<f64>()
}

/// The dot product, over eight lanes of multiply then add: no fused operation, so the same bits on every processor.
///
/// Bound as [`sum`].
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "dot product of vectors of different lengths");
    let mut lanes = [0.0; LANES];
    let (chunks_a, chunks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = chunks_a.remainder().iter().zip(chunks_b.remainder()).fold(0.0, |sum, (x, y)| sum + x * y);
    for (x, y) in chunks_a.zip(chunks_b) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    fold(lanes) + rest
}

/// The Euclidean norm, safe from overflow and underflow: infinite only if the norm itself is beyond the largest number.
pub fn norm2(values: &[f64]) -> f64 {
    let direct = par_dot(values, values);
    if direct.is_finite() && direct > f64::MIN_POSITIVE / f64::EPSILON {
        return direct.sqrt();
    }
    let largest = max_abs(values);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    // Dividing by `largest` itself, not multiplying by its inverse: the inverse of a subnormal overflows.
    let scaled = values.iter().map(|v| v / largest).map(|v| v * v).sum::<f64>();
    largest * scaled.sqrt()
}

/// The largest absolute entry: 0 of nothing, NaN if any entry is. In parallel blocks, at the speed of memory.
pub fn max_abs(values: &[f64]) -> f64 {
    // A comparison passes NaN over, a product with zero keeps it.
    let of_block = |block: &[f64]| {
        let (mut largest, mut zeros) = ([0.0f64; LANES], [0.0; LANES]);
        let chunks = block.chunks_exact(LANES);
        let mut take = |lane: usize, v: f64| {
            largest[lane] = if largest[lane] > v.abs() { largest[lane] } else { v.abs() };
            zeros[lane] += 0.0 * v;
        };
        chunks.remainder().iter().enumerate().for_each(|(lane, v)| take(lane, *v));
        for chunk in chunks {
            for lane in 0..LANES {
                take(lane, chunk[lane]);
            }
        }
        let finite = zeros.iter().sum::<f64>() == 0.0;
        let largest = largest.iter().fold(0.0, |a: f64, b| a.max(*b));
        // Infinity times zero is NaN too.
        if finite || block.iter().all(|v| !v.is_nan()) { largest } else { f64::NAN }
    };
    if values.len() <= BLOCK {
        return of_block(values);
    }
    let blocks = par_blocks(values.len(), BLOCK, |range| of_block(&values[range]));
    blocks.into_iter().fold(0.0, |a, b| if a > b || a.is_nan() { a } else { b })
}

/// The dot product in parallel blocks.
///
/// # Panics
/// If the lengths differ.
pub fn par_dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "dot product of vectors of different lengths");
    if a.len() <= BLOCK {
        return 0.0 + dot(a, b);
    }
    // Not `sum()`, which is minus zero of nothing.
    par_blocks(a.len(), BLOCK, |range| dot(&a[range.clone()], &b[range])).into_iter().fold(0.0, |sum, block| sum + block)
}

/// `f` of each block of `0..n`, in parallel; results in ascending order of block, for a sequential reduction.
///
/// # Panics
/// If `block` is 0.
pub fn par_blocks<R: Send>(n: usize, block: usize, f: impl Fn(std::ops::Range<usize>) -> R + Sync + Send) -> Vec<R> {
    let range = |k: usize| k * block..n.min((k + 1) * block);
    match n.div_ceil(block) {
        0 => Vec::new(),
        1 => vec![f(range(0))],
        blocks => (0..blocks).into_par_iter().map(|k| f(range(k))).collect(),
    }
}

fn fold(lanes: [f64; LANES]) -> f64 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

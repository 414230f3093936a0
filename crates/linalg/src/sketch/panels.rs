//! Results that are made by panels of columns.

use std::ops::Range;

use certus_numeric::Array;
use rayon::prelude::*;

/// The rows x d array whose panels of `width` columns are made in parallel by `f` (row-major, rows x the panel's width).
pub(super) fn by_panels(rows: usize, d: usize, width: usize, f: impl Fn(Range<usize>) -> Vec<f64> + Sync + Send) -> Array {
    let mut result = Array::zeros([rows, d]);
    if d == 0 {
        return result;
    }
    let panels: Vec<Vec<f64>> = (0..d).into_par_iter().step_by(width).map(|first| f(first..d.min(first + width))).collect();
    result.as_mut_slice().par_chunks_mut(d).with_min_len(64).enumerate().for_each(|(r, row)| {
        for (row, panel) in row.chunks_mut(width).zip(&panels) {
            row.copy_from_slice(&panel[r * row.len()..][..row.len()]);
        }
    });
    result
}

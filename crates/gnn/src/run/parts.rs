//! Rows in parts, one a thread, and what each part may touch.

use std::ops::Range;

use rayon::prelude::*;

use super::runner::Runner;
use crate::error::Error;
use crate::graph::Graph;
use crate::pool::{Access, Numbers, Pool, cut};

/// The first error of parts in order.
pub(super) fn first_error(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().collect()
}

/// Splits rows into parts of about equally many rows and edges.
pub(super) fn split_by_edges(graph: &Graph, rows: usize, parts: usize) -> Vec<Range<usize>> {
    let indptr = graph.indptr();
    let weight = |i: usize| indptr[i] + 2 * i as u64;
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

/// Splits rows into parts of about equally many.
pub(super) fn even(rows: usize, parts: usize) -> Vec<Range<usize>> {
    (0..parts).map(|part| rows * part / parts..rows * (part + 1) / parts).collect()
}

/// Cuts a range into blocks.
pub(super) fn blocks(rows: Range<usize>, block: usize) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(block).map(move |first| first..(first + block).min(end))
}

impl Runner<'_> {
    /// Runs `work` on each part of the rows: with access to `own` panels by blocks, the part's scratch, and its own of `extras`. What is in
    /// memory and not lent to the parts may be read at random through the pool.
    pub(super) fn by_rows<X: Send>(
        &mut self,
        mut own: Vec<usize>,
        ranges: &[Range<usize>],
        extras: Vec<X>,
        work: impl Fn(&mut Access, &mut [f32], Range<usize>, &Pool, X) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        own.sort_unstable();
        own.dedup();
        let (mut lent, mut halves) = (Vec::new(), Vec::new());
        let parts = match (&self.files, self.schedule.store.half) {
            (Some(files), _) => ranges.iter().map(|_| Access::Disk { values: &files.values, errors: files.errors.as_ref() }).collect(),
            (None, false) => {
                lent.extend(own.into_iter().map(|id| (id, self.pool.lend(id))));
                Access::to_memory(&mut lent, self.s, ranges)
            }
            (None, true) => {
                halves.extend(own.into_iter().map(|id| (id, self.pool.lend_half(id))));
                Access::to_half(&mut halves, self.s, ranges)
            }
        };
        let pool = &self.pool;
        let tasks = self.scratch.par_iter_mut().zip(parts).zip(extras).zip(ranges.to_vec());
        let results = tasks.map(|(((scratch, mut access), extra), rows)| work(&mut access, scratch, rows, pool, extra)).collect();
        for (id, panel) in lent {
            self.pool.take_back(id, panel);
        }
        for (id, panel) in halves {
            self.pool.take_back_half(id, panel);
        }
        first_error(results)
    }

    pub(super) fn block(&self) -> usize {
        self.schedule.row_block.min(self.schedule.nodes.max(1))
    }

    /// The first rows of a stored panel into a buffer; or the bounds of their errors.
    pub(super) fn load(&mut self, buffer: usize, id: usize, rows: usize, what: Numbers) -> Result<(), Error> {
        let (s, ranges) = (self.s, even(rows, self.schedule.threads));
        let panel = self.pool.lend(buffer);
        let parts = cut(&mut panel[..rows * s], s, &ranges);
        let result = self.by_rows(vec![id], &ranges, parts, |access, _, rows, _, part| access.read(what, id, s, rows, part));
        self.pool.take_back(buffer, panel);
        result
    }
}

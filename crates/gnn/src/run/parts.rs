//! Rows in parts, one a thread, and what each part may touch.

use std::ops::Range;

use rayon::prelude::*;

use super::runner::Runner;
use crate::error::Error;
use crate::graph::{Buffers, GraphStore, Reader};
use crate::pool::{Access, Numbers, Pool, cut};

/// The first error of parts in order.
pub(super) fn first_error(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().collect()
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

/// One part of the rows, and what it works with.
pub(super) struct Part<'p> {
    pub(super) rows: Range<usize>,
    /// Panels, by blocks.
    pub(super) access: Access<'p>,
    pub(super) scratch: &'p mut [f32],
    /// The edges.
    pub(super) reader: Reader<'p>,
}

/// What each part reads edges by.
pub(super) fn readers<'r>(graph: GraphStore<'r>, buffers: &'r mut [Buffers], parts: usize) -> Vec<Reader<'r>> {
    let mut buffers = buffers.iter_mut();
    (0..parts).map(|_| Reader::new(graph, buffers.next())).collect()
}

impl Runner<'_> {
    /// Runs `work` on each part of the rows: with access to `own` panels by blocks, and its own of `extras`. What is in
    /// memory and not lent to the parts may be read at random through the pool.
    pub(super) fn by_rows<X: Send>(
        &mut self,
        mut own: Vec<usize>,
        ranges: &[Range<usize>],
        extras: Vec<X>,
        work: impl Fn(Part, &Pool, X) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        own.sort_unstable();
        own.dedup();
        let (mut lent, mut stored) = (Vec::new(), Vec::new());
        let parts = match (&self.files, self.schedule.store.is_direct()) {
            (Some(files), _) => ranges.iter().map(|_| Access::Disk { values: &files.values, errors: files.errors.as_ref() }).collect(),
            (None, true) => {
                lent.extend(own.into_iter().map(|id| (id, self.pool.lend(id))));
                Access::to_memory(&mut lent, self.s, ranges)
            }
            (None, false) => {
                stored.extend(own.into_iter().map(|id| (id, self.pool.lend_stored(id))));
                Access::to_stored(&mut stored, self.s, ranges)
            }
        };
        let pool = &self.pool;
        let readers = readers(self.graph, &mut self.disk_buffers, ranges.len());
        let parts = self.scratch.iter_mut().zip(parts).zip(readers).zip(ranges.to_vec());
        let parts = parts.map(|(((scratch, access), reader), rows)| Part { rows, access, scratch, reader }).collect::<Vec<_>>();
        let results = parts.into_par_iter().zip(extras).map(|(part, extra)| work(part, pool, extra)).collect();
        for (id, panel) in lent {
            self.pool.take_back(id, panel);
        }
        for (id, panel) in stored {
            self.pool.take_back_stored(id, panel);
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
        let result = self.by_rows(vec![id], &ranges, parts, |Part { rows, access, .. }, _, part| access.read(what, id, s, rows, part));
        self.pool.take_back(buffer, panel);
        result
    }
}

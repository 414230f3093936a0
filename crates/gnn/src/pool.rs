//! The pool of panels, and which panel holds which part of a value.

use std::ops::Range;

use crate::error::Error;
use crate::steps::{INPUT, Layout, Recipe, Val};
use crate::storage::PanelFile;

/// Panels in memory, lent out by number, and the numbers that are free. On the spill tier the numbers are slots of the file, and the
/// panels are buffers.
pub(crate) struct Pool<'a> {
    panels: Vec<&'a mut [f32]>,
    free: Vec<bool>,
    most_used: usize,
}

impl<'a> Pool<'a> {
    pub(crate) fn new(panels: Vec<&'a mut [f32]>, ids: usize) -> Self {
        Pool { panels, free: vec![true; ids], most_used: 0 }
    }

    /// The lowest free numbers.
    pub(crate) fn acquire(&mut self, count: usize) -> Vec<usize> {
        let ids = (0..self.free.len()).filter(|&id| self.free[id]).take(count).collect::<Vec<_>>();
        assert_eq!(ids.len(), count, "the plan counts every panel that a step takes");
        for &id in &ids {
            self.free[id] = false;
            self.touch(id, self.panels.len().max(1));
        }
        ids
    }

    pub(crate) fn release(&mut self, ids: Vec<usize>) {
        for id in ids {
            self.free[id] = true;
        }
    }

    /// Takes a panel out, to be written; it must come back.
    pub(crate) fn lend(&mut self, id: usize) -> &'a mut [f32] {
        self.touch(id, usize::MAX);
        std::mem::take(&mut self.panels[id])
    }

    pub(crate) fn take_back(&mut self, id: usize, panel: &'a mut [f32]) {
        self.panels[id] = panel;
    }

    pub(crate) fn panel(&self, id: usize) -> &[f32] {
        self.panels[id]
    }

    /// Panels in memory that were used at all.
    pub(crate) fn most_used(&self) -> usize {
        self.most_used
    }

    fn touch(&mut self, id: usize, limit: usize) {
        if id < limit && id < self.panels.len() {
            self.most_used = self.most_used.max(id + 1);
        }
    }
}

/// Where the values of a layer stand.
pub(crate) struct Values {
    ids: Vec<Vec<usize>>,
}

/// No panel yet.
const NONE: usize = usize::MAX;

impl Values {
    pub(crate) fn new(recipe: &Recipe, input: Vec<usize>) -> Self {
        let mut ids = vec![Vec::new(); recipe.values.len()];
        ids[INPUT] = input;
        Values { ids }
    }

    pub(crate) fn of(&self, value: Val) -> &[usize] {
        &self.ids[value]
    }

    pub(crate) fn give(&mut self, value: Val, ids: Vec<usize>) {
        self.ids[value] = ids;
    }

    pub(crate) fn take(&mut self, value: Val) -> Vec<usize> {
        std::mem::take(&mut self.ids[value])
    }

    /// Puts a panel in a place of a value; returns the one that was there.
    pub(crate) fn replace(&mut self, value: Val, place: usize, id: usize) -> Option<usize> {
        let ids = &mut self.ids[value];
        if ids.len() <= place {
            ids.resize(place + 1, NONE);
        }
        Some(std::mem::replace(&mut ids[place], id)).filter(|&old| old != NONE)
    }
}

/// Cuts rows of s numbers at the ends of ranges.
pub(crate) fn cut<'p>(mut rows: &'p mut [f32], s: usize, ranges: &[Range<usize>]) -> Vec<&'p mut [f32]> {
    ranges
        .iter()
        .map(|range| {
            let (part, rest) = std::mem::take(&mut rows).split_at_mut(range.len() * s);
            rows = rest;
            part
        })
        .collect()
}

/// Some rows of some panels, for one part of the work: to be read and written by blocks.
pub(crate) enum Access<'t> {
    Memory { first: usize, panels: Vec<(usize, &'t mut [f32])> },
    Disk(&'t PanelFile),
}

impl<'t> Access<'t> {
    /// The parts of lent panels.
    pub(crate) fn parts(lent: &'t mut [(usize, &mut [f32])], s: usize, ranges: &[Range<usize>]) -> Vec<Access<'t>> {
        let mut parts = ranges.iter().map(|range| (range.start, Vec::with_capacity(lent.len()))).collect::<Vec<_>>();
        let rows = ranges.last().map_or(0, |range| range.end);
        for (id, panel) in lent {
            for ((_, panels), part) in parts.iter_mut().zip(cut(&mut panel[..rows * s], s, ranges)) {
                panels.push((*id, part));
            }
        }
        parts.into_iter().map(|(first, panels)| Access::Memory { first, panels }).collect()
    }

    /// The rows of a value side by side, `layout.columns()` numbers each.
    pub(crate) fn gather(
        &self,
        ids: &[usize],
        layout: Layout,
        s: usize,
        rows: Range<usize>,
        out: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let columns = layout.columns();
        for (k, &id) in ids.iter().enumerate() {
            let range = layout.columns_of(k, s);
            let panel = match self {
                Access::Memory { first, panels } => &panels[find(panels, id)].1[(rows.start - first) * s..(rows.end - first) * s],
                Access::Disk(file) => {
                    let buffer = &mut scratch[..rows.len() * s];
                    file.read_rows(id, rows.start, buffer)?;
                    &*buffer
                }
            };
            for (row, out) in panel.chunks_exact(s).zip(out.chunks_exact_mut(columns)) {
                out[range.clone()].copy_from_slice(&row[..range.len()]);
            }
        }
        Ok(())
    }

    /// Writes rows, of which each has all columns of a value, to its panels; padding becomes 0.
    pub(crate) fn scatter(
        &mut self,
        ids: &[usize],
        layout: Layout,
        s: usize,
        rows: Range<usize>,
        from: &[f32],
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let columns = layout.columns();
        for (k, &id) in ids.iter().enumerate() {
            let range = layout.columns_of(k, s);
            let file = match self {
                Access::Memory { .. } => None,
                Access::Disk(file) => Some(*file),
            };
            let panel = match self {
                Access::Memory { first, panels } => {
                    let place = find(panels, id);
                    &mut panels[place].1[(rows.start - *first) * s..(rows.end - *first) * s]
                }
                Access::Disk(_) => &mut scratch[..rows.len() * s],
            };
            for (row, from) in panel.chunks_exact_mut(s).zip(from.chunks_exact(columns)) {
                let (live, rest) = row.split_at_mut(range.len());
                live.copy_from_slice(&from[range.clone()]);
                rest.fill(0.0);
            }
            if let Some(file) = file {
                file.write_rows(id, rows.start, panel)?;
            }
        }
        Ok(())
    }
}

fn find(panels: &[(usize, &mut [f32])], id: usize) -> usize {
    panels.binary_search_by_key(&id, |(id, _)| *id).expect("a step lends what it reads and writes")
}

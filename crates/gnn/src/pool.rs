//! The pool of panels, and which panel holds which part of a value.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::error::Error;
use crate::steps::{INPUT, Layout, Recipe, Val};
use crate::storage::PanelFile;

/// Panels in memory, lent out by number, and the numbers that are free. On the spill tier the numbers are slots of the file, and the
/// panels are buffers.
pub(crate) struct Pool<'a> {
    panels: Vec<&'a mut [f32]>,
    stored: Vec<StoredPanel<'a>>,
    free: Vec<bool>,
    most_lent: usize,
    most_acquired: usize,
}

impl<'a> Pool<'a> {
    pub(crate) fn new(panels: Vec<&'a mut [f32]>, stored: Vec<StoredPanel<'a>>, ids: usize) -> Self {
        Pool { panels, stored, free: vec![true; ids], most_lent: 0, most_acquired: 0 }
    }

    /// The lowest free numbers.
    pub(crate) fn acquire(&mut self, count: usize) -> Vec<usize> {
        let ids = (0..self.free.len()).filter(|&id| self.free[id]).take(count).collect::<Vec<_>>();
        assert_eq!(ids.len(), count, "the plan counts every panel that a step takes");
        for &id in &ids {
            self.free[id] = false;
            self.most_acquired = self.most_acquired.max(id + 1);
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
        self.most_lent = self.most_lent.max(id + 1);
        std::mem::take(&mut self.panels[id])
    }

    /// The same of a panel with bounds, or in f16.
    pub(crate) fn lend_stored(&mut self, id: usize) -> StoredPanel<'a> {
        std::mem::take(&mut self.stored[id])
    }

    pub(crate) fn take_back_stored(&mut self, id: usize, panel: StoredPanel<'a>) {
        self.stored[id] = panel;
    }

    pub(crate) fn take_back(&mut self, id: usize, panel: &'a mut [f32]) {
        self.panels[id] = panel;
    }

    pub(crate) fn panel(&self, id: usize) -> &[f32] {
        self.panels[id]
    }

    /// Panels in f32 that were written, and numbers that were taken.
    pub(crate) fn most_used(&self) -> (usize, usize) {
        (self.most_lent, self.most_acquired)
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
pub(crate) fn cut<'p, T>(mut rows: &'p mut [T], s: usize, ranges: &[Range<usize>]) -> Vec<&'p mut [T]> {
    ranges
        .iter()
        .map(|range| {
            let (part, rest) = std::mem::take(&mut rows).split_at_mut(range.len() * s);
            rows = rest;
            part
        })
        .collect()
}

/// A panel in memory that is read and written by blocks: in f16, or with bounds of its errors, or both.
#[derive(Default)]
pub(crate) struct StoredPanel<'a> {
    pub(crate) values: Stored<'a>,
    pub(crate) errors: Option<&'a mut [f32]>,
}

/// Its numbers.
pub(crate) enum Stored<'a> {
    Half(&'a mut [f16]),
    Full(&'a mut [f32]),
}

impl Default for Stored<'_> {
    fn default() -> Self {
        Stored::Full(&mut [])
    }
}

impl Stored<'_> {
    fn cut(&mut self, rows: usize, s: usize, ranges: &[Range<usize>]) -> Vec<Stored<'_>> {
        match self {
            Stored::Half(values) => cut(&mut values[..rows * s], s, ranges).into_iter().map(Stored::Half).collect(),
            Stored::Full(values) => cut(&mut values[..rows * s], s, ranges).into_iter().map(Stored::Full).collect(),
        }
    }

    fn read(&self, begin: usize, out: &mut [f32]) {
        match self {
            Stored::Half(values) => values[begin..][..out.len()].convert_to_f32_slice(out),
            Stored::Full(values) => out.copy_from_slice(&values[begin..][..out.len()]),
        }
    }

    fn write(&mut self, begin: usize, data: &[f32]) {
        match self {
            Stored::Half(values) => values[begin..][..data.len()].convert_from_f32_slice(data),
            Stored::Full(values) => values[begin..][..data.len()].copy_from_slice(data),
        }
    }
}

/// What is read of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    Values,
    /// The bounds of their errors.
    Errors,
}

/// Some rows of some panels, for one part of the work: to be read and written by blocks.
pub(crate) enum Access<'t> {
    /// The panels themselves.
    Memory {
        first: usize,
        panels: Vec<(usize, &'t mut [f32])>,
    },
    Stored {
        first: usize,
        panels: Vec<(usize, StoredPanel<'t>)>,
    },
    Disk {
        values: &'t PanelFile,
        errors: Option<&'t PanelFile>,
    },
}

/// Cuts lent panels at the ends of ranges: for each range its part of each.
fn parts<'t, P, Q>(lent: &'t mut [(usize, P)], ranges: &[Range<usize>], cut: impl Fn(&'t mut P) -> Vec<Q>) -> Vec<Vec<(usize, Q)>> {
    let mut parts = ranges.iter().map(|_| Vec::with_capacity(lent.len())).collect::<Vec<_>>();
    for (id, panel) in lent {
        for (parts, part) in parts.iter_mut().zip(cut(panel)) {
            parts.push((*id, part));
        }
    }
    parts
}

impl<'t> Access<'t> {
    /// The parts of lent panels.
    pub(crate) fn to_memory(lent: &'t mut [(usize, &mut [f32])], s: usize, ranges: &[Range<usize>]) -> Vec<Access<'t>> {
        let rows = ranges.last().map_or(0, |range| range.end);
        let parts = parts(lent, ranges, |panel| cut(&mut panel[..rows * s], s, ranges));
        parts.into_iter().zip(ranges).map(|(panels, range)| Access::Memory { first: range.start, panels }).collect()
    }

    /// The same of panels with bounds, or in f16.
    pub(crate) fn to_stored(lent: &'t mut [(usize, StoredPanel)], s: usize, ranges: &[Range<usize>]) -> Vec<Access<'t>> {
        let rows = ranges.last().map_or(0, |range| range.end);
        let parts = parts(lent, ranges, |panel| {
            let values = panel.values.cut(rows, s, ranges);
            let errors: Vec<Option<&mut [f32]>> = match &mut panel.errors {
                Some(errors) => cut(&mut errors[..rows * s], s, ranges).into_iter().map(Some).collect(),
                None => ranges.iter().map(|_| None).collect(),
            };
            values.into_iter().zip(errors).map(|(values, errors)| StoredPanel { values, errors }).collect()
        });
        parts.into_iter().zip(ranges).map(|(panels, range)| Access::Stored { first: range.start, panels }).collect()
    }

    /// Rows of a panel, s numbers each. The bounds of errors are 0 where there are none.
    pub(crate) fn read(&self, what: Numbers, id: usize, s: usize, rows: Range<usize>, out: &mut [f32]) -> Result<(), Error> {
        match (self, what) {
            (Access::Memory { .. }, Numbers::Values) => out.copy_from_slice(self.direct(id, s, rows).unwrap_or_default()),
            (Access::Stored { first, panels }, what) => {
                let (panel, begin) = (&panels[find(panels, id)].1, (rows.start - first) * s);
                match (what, &panel.errors) {
                    (Numbers::Values, _) => panel.values.read(begin, out),
                    (Numbers::Errors, Some(errors)) => out.copy_from_slice(&errors[begin..][..out.len()]),
                    (Numbers::Errors, None) => out.fill(0.0),
                }
            }
            (Access::Disk { values: file, .. }, Numbers::Values) | (Access::Disk { errors: Some(file), .. }, Numbers::Errors) => {
                file.read_rows(id, rows.start, out)?;
            }
            (_, Numbers::Errors) => out.fill(0.0),
        }
        Ok(())
    }

    /// Rows of a panel where they stand, if it is in memory in f32.
    fn direct(&self, id: usize, s: usize, rows: Range<usize>) -> Option<&[f32]> {
        match self {
            Access::Memory { first, panels } => Some(&panels[find(panels, id)].1[(rows.start - first) * s..(rows.end - first) * s]),
            _ => None,
        }
    }

    /// Rows of a value where they stand side by side in memory: one panel of all its columns.
    pub(crate) fn whole_rows(&self, ids: &[usize], layout: Layout, s: usize, rows: Range<usize>) -> Option<&[f32]> {
        let &[id] = ids else { return None };
        if layout.columns() == s { self.direct(id, s, rows) } else { None }
    }

    /// The same, to be written.
    pub(crate) fn whole_rows_mut(&mut self, ids: &[usize], layout: Layout, s: usize, rows: Range<usize>) -> Option<&mut [f32]> {
        match (self, ids) {
            (Access::Memory { first, panels }, &[id]) if layout.columns() == s => {
                let place = find(panels, id);
                Some(&mut panels[place].1[(rows.start - *first) * s..(rows.end - *first) * s])
            }
            _ => None,
        }
    }

    /// Writes rows of a panel. What the store's precision rounds away is added to the bounds of the errors, which are written too.
    pub(crate) fn write(&mut self, id: usize, s: usize, rows: Range<usize>, data: &[f32], errors: Option<&mut [f32]>) -> Result<(), Error> {
        let rounds = match self {
            Access::Memory { .. } => false,
            Access::Stored { panels, .. } => panels.first().is_some_and(|(_, panel)| matches!(panel.values, Stored::Half(_))),
            Access::Disk { values, .. } => values.is_half(),
        };
        let errors = errors.map(|errors| {
            for (e, &x) in errors.iter_mut().zip(data).filter(|_| rounds) {
                let rounded = f16::from_f32(x).to_f32();
                // Exact in f32. What is too large for f16 has no bound.
                let lost = if rounded.is_finite() { (x - rounded).abs() } else { f32::INFINITY };
                if lost > 0.0 {
                    *e = (*e + lost).next_up();
                }
            }
            &*errors
        });
        match self {
            Access::Memory { first, panels } => {
                let place = find(panels, id);
                panels[place].1[(rows.start - *first) * s..][..data.len()].copy_from_slice(data);
            }
            Access::Stored { first, panels } => {
                let place = find(panels, id);
                let (panel, begin) = (&mut panels[place].1, (rows.start - *first) * s);
                panel.values.write(begin, data);
                if let (Some(kept), Some(errors)) = (&mut panel.errors, errors) {
                    kept[begin..][..data.len()].copy_from_slice(errors);
                }
            }
            Access::Disk { values, errors: file } => {
                values.write_rows(id, rows.start, data)?;
                if let (Some(file), Some(errors)) = (file, errors) {
                    file.write_rows(id, rows.start, errors)?;
                }
            }
        }
        Ok(())
    }

    /// The rows of a value side by side, `layout.columns()` numbers each.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn gather(
        &self,
        what: Numbers,
        ids: &[usize],
        layout: Layout,
        s: usize,
        rows: Range<usize>,
        out: &mut [f32],
        staging: &mut [f32],
    ) -> Result<(), Error> {
        for (k, &id) in ids.iter().enumerate() {
            let panel = match (what, self.direct(id, s, rows.clone())) {
                (Numbers::Values, Some(panel)) => panel,
                _ => {
                    let panel = &mut staging[..rows.len() * s];
                    self.read(what, id, s, rows.clone(), panel)?;
                    panel
                }
            };
            spread(panel, s, layout.columns_of(k, s), out, layout.columns());
        }
        Ok(())
    }

    /// Writes rows, of which each has all columns of a value, to its panels; padding becomes 0. With them the bounds of their errors.
    pub(crate) fn scatter(
        &mut self,
        ids: &[usize],
        layout: Layout,
        s: usize,
        rows: Range<usize>,
        (from, errors): (&[f32], Option<&[f32]>),
        staging: &mut [f32],
    ) -> Result<(), Error> {
        let count = rows.len() * s;
        for (k, &id) in ids.iter().enumerate() {
            let range = layout.columns_of(k, s);
            match self {
                Access::Memory { first, panels } => {
                    let place = find(panels, id);
                    let panel = &mut panels[place].1[(rows.start - *first) * s..(rows.end - *first) * s];
                    narrow(from, layout.columns(), range, panel, s);
                }
                _ => {
                    let (panel, rest) = staging.split_at_mut(count);
                    narrow(from, layout.columns(), range.clone(), panel, s);
                    let errors = errors.map(|errors| {
                        let panel = &mut rest[..count];
                        narrow(errors, layout.columns(), range, panel, s);
                        panel
                    });
                    self.write(id, s, rows.clone(), panel, errors)?;
                }
            }
        }
        Ok(())
    }
}

/// A panel's rows into some columns of rows.
fn spread(panel: &[f32], s: usize, range: Range<usize>, out: &mut [f32], columns: usize) {
    for (row, out) in panel.chunks_exact(s).zip(out.chunks_exact_mut(columns)) {
        out[range.clone()].copy_from_slice(&row[..range.len()]);
    }
}

/// Some columns of rows into a panel's rows.
fn narrow(from: &[f32], columns: usize, range: Range<usize>, panel: &mut [f32], s: usize) {
    for (row, from) in panel.chunks_exact_mut(s).zip(from.chunks_exact(columns)) {
        let (live, rest) = row.split_at_mut(range.len());
        live.copy_from_slice(&from[range.clone()]);
        rest.fill(0.0);
    }
}

fn find<P>(panels: &[(usize, P)], id: usize) -> usize {
    panels.binary_search_by_key(&id, |(id, _)| *id).expect("a step lends what it reads and writes")
}

//! The rows of the last value, given away in order.

use certus_numeric::softmax::softmax_row;

use super::Head;
use super::parts::blocks;
use super::runner::Runner;
use crate::error::Error;
use crate::pool::{Access, Numbers};

/// Some rows of the output, one after the other, and the bounds of their errors before the head.
pub(super) struct OutputRows<'o> {
    pub(super) first: usize,
    pub(super) rows: &'o [f32],
    pub(super) bounds: Option<&'o [f32]>,
}

impl Runner<'_> {
    /// Gives the rows of the last value away, in the order of the output.
    pub(super) fn output(
        &mut self,
        ids: &[usize],
        head: Head,
        take: &mut impl FnMut(OutputRows) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (s, block, layout, plan) = (self.s, self.block(), self.schedule.final_layout, self.plan);
        let columns = layout.columns();
        let rows = plan.output_len();
        let all = 0..plan.graph.store().rows_after(usize::MAX);
        let (mut lent, mut stored) = (Vec::new(), Vec::new());
        let mut own = ids.to_vec();
        own.sort_unstable();
        let access = match (&self.files, self.schedule.store.is_direct()) {
            (Some(files), _) => Access::Disk { values: &files.values, errors: files.errors.as_ref() },
            (None, true) => {
                lent.extend(own.into_iter().map(|id| (id, self.pool.lend(id))));
                Access::to_memory(&mut lent, s, std::slice::from_ref(&all)).remove(0)
            }
            (None, false) => {
                stored.extend(own.into_iter().map(|id| (id, self.pool.lend_stored(id))));
                Access::to_stored(&mut stored, s, std::slice::from_ref(&all)).remove(0)
            }
        };
        let (gathered, rest) = self.scratch[0].split_at_mut(block * columns);
        let (errors, staging) = rest.split_at_mut(if self.error_bound.is_some() { block * columns } else { 0 });
        for rows in blocks(0..rows, block) {
            if let (Head::Logits, None) = (head, &plan.output_rows)
                && let Some(panel) = access.whole_rows(ids, layout, s, rows.clone())
            {
                take(OutputRows { first: rows.start, rows: panel, bounds: None })?;
                continue;
            }
            let gathered = &mut gathered[..rows.len() * columns];
            match &plan.output_rows {
                None => access.gather(Numbers::Values, ids, layout, s, rows.clone(), gathered, staging)?,
                Some(places) => {
                    for (row, out) in rows.clone().zip(gathered.chunks_exact_mut(columns)) {
                        let i = places[row] as usize;
                        access.gather(Numbers::Values, ids, layout, s, i..i + 1, out, staging)?;
                    }
                }
            }
            let mut bounds = None;
            if let Some(facts) = &mut self.error_bound {
                let errors = &mut errors[..rows.len() * columns];
                for (row, out) in rows.clone().zip(errors.chunks_exact_mut(columns)) {
                    let i = plan.output_rows.as_ref().map_or(row, |places| places[row] as usize);
                    access.gather(Numbers::Errors, ids, layout, s, i..i + 1, out, staging)?;
                }
                facts.add(gathered, errors, columns);
                bounds = Some(&*errors);
            }
            gathered.chunks_exact_mut(columns).for_each(|row| apply_head(head, row));
            take(OutputRows { first: rows.start, rows: gathered, bounds })?;
        }
        Ok(())
    }
}

fn apply_head(head: Head, row: &mut [f32]) {
    match head {
        Head::Logits => {}
        Head::Softmax => {
            softmax_row(row);
        }
        Head::LogSoftmax => {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
            let sum = row.iter().map(|&x| certus_numeric::exp::exp(x - largest)).sum::<f32>();
            row.iter_mut().for_each(|x| *x = (*x - largest) - sum.ln());
        }
    }
}

//! Sums over edges of sparse features.

use certus_numeric::Csr;

use crate::spec::Reduce;

/// The aggregate of the neighbours' rows of sparse features, in the order of the edges; these may come in pieces.
pub(crate) struct SparseSum<'a> {
    features: &'a Csr<f32>,
    reduce: Reduce,
    /// The row of the first neighbour.
    first: Option<usize>,
    out: &'a mut [f32],
}

impl<'a> SparseSum<'a> {
    pub(crate) fn new(features: &'a Csr<f32>, reduce: Reduce, out: &'a mut [f32]) -> Self {
        out.fill(0.0);
        SparseSum { features, reduce, first: None, out }
    }

    /// More neighbours. `row_of`: a node's row of the features.
    pub(crate) fn add(&mut self, sources: &[u32], weights: Option<&[f32]>, row_of: impl Fn(usize) -> usize) {
        let weight = |k: usize| weights.map_or(1.0, |weights| weights[k]);
        let rows = sources.iter().map(|&j| row_of(j as usize)).enumerate();
        match self.reduce {
            Reduce::Sum | Reduce::Mean => {
                for (k, row) in rows {
                    let (columns, values) = self.features.row(row);
                    for (&column, &value) in columns.iter().zip(values) {
                        self.out[column as usize] += weight(k) * value;
                    }
                }
            }
            Reduce::Max | Reduce::Min => rows.for_each(|(k, row)| self.compare(row, weight(k))),
        }
    }

    /// One more neighbour of a maximum or minimum. An entry that some neighbour does not have is 0 there.
    fn compare(&mut self, row: usize, weight: f32) {
        let max = self.reduce == Reduce::Max;
        let better = |new: f32, old: f32| if (max && new > old) || (!max && new < old) { new } else { old };
        let (columns, values) = self.features.row(row);
        let Some(first) = self.first else {
            self.first = Some(row);
            columns.iter().zip(values).for_each(|(&column, &value)| self.out[column as usize] = weight * value);
            return;
        };
        // First the entries that the first neighbour has: they may all be below 0.
        let (known, _) = self.features.row(first);
        for &column in known {
            let value = columns.binary_search(&column).map_or(0.0, |k| values[k]);
            self.out[column as usize] = better(weight * value, self.out[column as usize]);
        }
        // Then those that the first has not: against its 0.
        for (&column, &value) in columns.iter().zip(values) {
            if known.binary_search(&column).is_err() {
                self.out[column as usize] = better(weight * value, self.out[column as usize]);
            }
        }
    }

    /// Divides by the number of neighbours, if there is one.
    pub(crate) fn finish(self, count: Option<f32>) {
        for x in self.out {
            if let Some(count) = count {
                *x /= count;
            }
            *x += 0.0;
        }
    }
}

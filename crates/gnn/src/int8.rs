//! Features in 8 bits: an affine code for each column.

use certus_contract::InputError;

use crate::error::Error;
use crate::features::{FeatureData, Features, require_finite};
use crate::kernels::aggregate::upwards;

/// Dense features in memory, a byte an entry.
#[derive(Clone, Debug)]
pub(crate) struct Int8Features {
    rows: usize,
    codes: Vec<i8>,
    columns: Vec<Code>,
}

/// How the bytes of a column are read: `offset + step * code`.
#[derive(Clone, Copy, Debug)]
struct Code {
    offset: f32,
    step: f32,
    /// No entry is read farther from what it was.
    error: f32,
}

impl Code {
    /// For entries from `least` to `largest`.
    fn covering(least: f32, largest: f32) -> Self {
        let step = (f64::from(largest) - f64::from(least)) / 255.0;
        Code { offset: (f64::from(least) + 128.0 * step) as f32, step: step as f32, error: 0.0 }
    }

    fn encode(self, x: f32) -> i8 {
        if self.step == 0.0 {
            0
        } else {
            ((f64::from(x) - f64::from(self.offset)) / f64::from(self.step)).round().clamp(-128.0, 127.0) as i8
        }
    }

    fn decode(self, code: i8) -> f32 {
        self.offset + self.step * f32::from(code)
    }
}

/// Rows that are read at a time.
const BLOCK: usize = 64;

impl Int8Features {
    pub(crate) fn of(features: &Features) -> Result<Self, Error> {
        if let FeatureData::Int8(already) = &features.0 {
            return Ok(already.clone());
        }
        let (rows, columns) = (features.rows(), features.columns());
        let mut range = vec![(f32::INFINITY, f32::NEG_INFINITY); columns];
        each_row(features, |row| {
            for ((least, largest), &x) in range.iter_mut().zip(row) {
                (*least, *largest) = (if x < *least { x } else { *least }, if x > *largest { x } else { *largest });
            }
        })?;
        let code =
            |&(least, largest): &(f32, f32)| if least <= largest { Code::covering(least, largest) } else { Code::covering(0.0, 0.0) };
        let mut codes = Vec::with_capacity(rows * columns);
        let mut columns = range.iter().map(code).collect::<Vec<_>>();
        each_row(features, |row| {
            for (column, &x) in columns.iter_mut().zip(row) {
                let code = column.encode(x);
                // Measured, so that it holds whatever was rounded or cut off.
                let apart = (f64::from(x) - f64::from(column.decode(code))).abs();
                column.error = column.error.max(upwards(apart * (1.0 + 2f64.powi(-23))));
                codes.push(code);
            }
        })?;
        Ok(Int8Features { rows, codes, columns })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// One row.
    pub(crate) fn read(&self, row: usize, out: &mut [f32]) {
        let codes = &self.codes[row * self.columns.len()..];
        for ((out, code), &byte) in out.iter_mut().zip(&self.columns).zip(codes) {
            *out = code.decode(byte);
        }
    }

    /// How far its entries may be from what they were.
    pub(crate) fn errors(&self, out: &mut [f32]) {
        out.iter_mut().zip(&self.columns).for_each(|(out, code)| *out = code.error);
    }
}

/// Each row of dense features in order.
fn each_row(features: &Features, mut take: impl FnMut(&[f32])) -> Result<(), Error> {
    let (rows, columns) = (features.rows(), features.columns());
    if columns == 0 {
        return Ok(());
    }
    match &features.0 {
        FeatureData::Dense(array) => array.as_slice().chunks_exact(columns).for_each(take),
        FeatureData::Streamed(file) => {
            let mut block = vec![0.0; BLOCK.min(rows) * columns];
            for first in (0..rows).step_by(BLOCK) {
                let block = &mut block[..BLOCK.min(rows - first) * columns];
                file.read_rows(first, block)?;
                require_finite(block, |k| vec![first + k / columns, k % columns])?;
                block.chunks_exact(columns).for_each(&mut take);
            }
        }
        FeatureData::Int8(_) | FeatureData::Sparse(_) => {
            return Err(InputError::unsupported("the features", "sparse", "a dense array (in 8 bits it has no zeros to leave out)").into());
        }
    }
    Ok(())
}

//! Node features: dense or sparse in memory, streamed from a file, or a file mapped into memory.

use std::path::Path;

use certus_contract::InputError;
use certus_numeric::{Array, Csr};

use crate::error::Error;
use crate::int8::Int8Features;
use crate::storage::{MappedFeatures, NpyFeatures};

/// One row of features a node.
///
/// Sparse features are first-class: the first linear map costs nnz times d', not n d times d'.
#[derive(Debug)]
pub struct Features(pub(crate) FeatureData);

/// Where features are.
#[derive(Debug)]
pub(crate) enum FeatureData {
    /// In memory, n x d.
    Dense(DenseFeatures),
    /// In memory, sparse.
    Sparse(Csr<f32>),
    /// In an `.npy` file, read by rows.
    Streamed(NpyFeatures),
    /// In memory, in 8 bits.
    Int8(Int8Features),
}

/// Rows of numbers, one after the other.
#[derive(Debug)]
pub(crate) enum DenseFeatures {
    Owned(Array<f32>),
    /// The pages of a file.
    Mapped(MappedFeatures),
}

impl DenseFeatures {
    pub(crate) fn as_slice(&self) -> &[f32] {
        match self {
            DenseFeatures::Owned(array) => array.as_slice(),
            DenseFeatures::Mapped(file) => file.as_slice(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            DenseFeatures::Owned(array) => array.rows(),
            DenseFeatures::Mapped(file) => file.rows(),
        }
    }

    pub(crate) fn columns(&self) -> usize {
        match self {
            DenseFeatures::Owned(array) => array.cols(),
            DenseFeatures::Mapped(file) => file.columns(),
        }
    }

    pub(crate) fn row(&self, i: usize) -> &[f32] {
        let columns = self.columns();
        &self.as_slice()[i * columns..(i + 1) * columns]
    }
}

/// What a schedule needs to know of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureStats {
    /// In memory.
    Dense {
        /// Columns.
        columns: usize,
    },
    /// In memory, with so many stored entries.
    Sparse {
        /// Columns.
        columns: usize,
        /// Stored entries.
        entries: u64,
    },
    /// In a file, with so many bytes an entry.
    Streamed {
        /// Columns.
        columns: usize,
        /// Bytes of an entry in the file.
        entry_bytes: u64,
    },
    /// In memory, in 8 bits.
    Int8 {
        /// Columns.
        columns: usize,
    },
    /// In a file that is mapped into memory.
    Mapped {
        /// Columns.
        columns: usize,
    },
}

impl FeatureStats {
    /// Columns.
    pub fn columns(&self) -> usize {
        match *self {
            FeatureStats::Dense { columns } | FeatureStats::Int8 { columns } | FeatureStats::Mapped { columns } => columns,
            FeatureStats::Sparse { columns, .. } | FeatureStats::Streamed { columns, .. } => columns,
        }
    }

    /// Bytes in memory, of so many nodes.
    pub fn bytes(&self, nodes: u64) -> u64 {
        match *self {
            FeatureStats::Dense { columns } => nodes.saturating_mul(4).saturating_mul(columns as u64),
            FeatureStats::Sparse { entries, .. } => nodes.saturating_add(1).saturating_mul(8).saturating_add(entries.saturating_mul(8)),
            FeatureStats::Streamed { .. } | FeatureStats::Mapped { .. } => 0,
            FeatureStats::Int8 { columns } => nodes.saturating_add(12).saturating_mul(columns as u64),
        }
    }

    /// Bytes of a file that is mapped into memory, of so many nodes.
    pub fn mapped_bytes(&self, nodes: u64) -> u64 {
        match *self {
            FeatureStats::Mapped { columns } => nodes.saturating_mul(4).saturating_mul(columns as u64),
            _ => 0,
        }
    }

    /// Whether rows of numbers stand in memory, to be read at random.
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self, FeatureStats::Dense { .. } | FeatureStats::Mapped { .. })
    }

    pub(crate) fn is_sparse(&self) -> bool {
        matches!(self, FeatureStats::Sparse { .. })
    }

    /// Whether rows come by blocks, and none is read where it stands.
    pub(crate) fn is_by_blocks(&self) -> bool {
        matches!(self, FeatureStats::Streamed { .. } | FeatureStats::Int8 { .. })
    }
}

impl Features {
    /// Dense features in memory, n x d.
    ///
    /// # Errors
    /// `DimensionMismatch` for an array that is no matrix, `NonFinite`.
    pub fn dense(features: Array<f32>) -> Result<Self, Error> {
        features.require_matrix("features")?;
        require_finite(features.as_slice(), |k| vec![k / features.cols().max(1), k % features.cols().max(1)])?;
        Ok(Features(FeatureData::Dense(DenseFeatures::Owned(features))))
    }

    /// Sparse features in memory.
    ///
    /// # Errors
    /// `NonFinite`.
    pub fn sparse(features: Csr<f32>) -> Result<Self, Error> {
        require_finite(features.values(), |k| {
            let row = features.indptr().partition_point(|&begin| begin <= k) - 1;
            vec![row, features.indices()[k] as usize]
        })?;
        Ok(Features(FeatureData::Sparse(features)))
    }

    /// The features in an `.npy` file (any float type, either byte order, C or Fortran order), read while the model runs.
    ///
    /// # Errors
    /// As for any file; `UnsupportedFormat` for entries that are no floats or integers of up to 16 bits.
    pub fn npy(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Features(FeatureData::Streamed(NpyFeatures::open(path.as_ref())?)))
    }

    /// The features in an `.npy` file of f32, in C order and this machine's byte order, mapped into memory: read at random where they
    /// stand in the file, in pages that the system takes back at will. They count neither for the working budget nor as features in memory
    /// ([`Resident::mapped`](crate::Resident::mapped) tells their bytes). The output is the same to the bit.
    ///
    /// The file must not change until the features are dropped: numbers that are written meanwhile may be seen or not, and where the file
    /// is cut short the system ends the process. Cost: the file is read once, to look for NaN and infinity.
    ///
    /// # Errors
    /// As for any file; `UnsupportedFormat` for entries of another type or order, and on systems other than Linux; `NonFinite`.
    pub fn mapped(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = MappedFeatures::open(path.as_ref())?;
        let columns = file.columns().max(1);
        require_finite(file.as_slice(), |k| vec![k / columns, k % columns])?;
        Ok(Features(FeatureData::Dense(DenseFeatures::Mapped(file))))
    }

    /// The same features in 8 bits an entry, in memory: whole multiples of a step for each column, from its least entry to its largest. What
    /// that changes at most is noted for each column. See [`Precision::Int8Features`](crate::Precision::Int8Features).
    ///
    /// # Errors
    /// `UnsupportedFormat` for sparse features, which keep their zeros; as for any file where they are streamed.
    pub fn int8(&self) -> Result<Self, Error> {
        Ok(Features(FeatureData::Int8(Int8Features::of(self)?)))
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        match &self.0 {
            FeatureData::Dense(array) => array.rows(),
            FeatureData::Sparse(csr) => csr.rows(),
            FeatureData::Streamed(file) => file.rows(),
            FeatureData::Int8(features) => features.rows(),
        }
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.stats().columns()
    }

    /// Sizes alone.
    pub fn stats(&self) -> FeatureStats {
        match &self.0 {
            FeatureData::Dense(DenseFeatures::Owned(array)) => FeatureStats::Dense { columns: array.cols() },
            FeatureData::Dense(DenseFeatures::Mapped(file)) => FeatureStats::Mapped { columns: file.columns() },
            FeatureData::Sparse(csr) => FeatureStats::Sparse { columns: csr.cols(), entries: csr.nnz() as u64 },
            FeatureData::Streamed(file) => FeatureStats::Streamed { columns: file.columns(), entry_bytes: file.entry_bytes() },
            FeatureData::Int8(features) => FeatureStats::Int8 { columns: features.columns() },
        }
    }
}

pub(crate) fn require_finite(values: &[f32], place: impl Fn(usize) -> Vec<usize>) -> Result<(), Error> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(k) => Err(InputError::non_finite("features", &place(k), f64::from(values[k])).into()),
        None => Ok(()),
    }
}

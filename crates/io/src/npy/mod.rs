//! NumPy's array file.

pub(crate) mod header;
pub(crate) mod read;
pub(crate) mod rows;
pub(crate) mod write;

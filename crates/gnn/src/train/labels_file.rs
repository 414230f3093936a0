//! Labels and their split from files.

use certus_contract::InputError;
use certus_io::{Npz, Source};

use super::problem::Labels;
use crate::error::Error;

/// The labels of an `.npz` file: `y` (n integers), and each of the sets as indices (`train_idx`, `val_idx`, `test_idx`) or as a mask of n
/// booleans (`train_mask`, `val_mask`, `test_mask`). Only `train` must be there; other arrays are ignored.
///
/// # Errors
/// As for any file, `NotFound` for `y` or the training nodes; `DimensionMismatch` for a mask that is not a vector
/// as long as `y` (of several splits choose one column), `InvalidParameter` for an index below 0.
pub fn read_labels(source: impl Into<Source>) -> Result<Labels, Error> {
    let mut file = Npz::open(source)?;
    let classes = file.array::<i64>("y")?;
    classes.require_vector("y")?;
    let nodes = classes.len();
    let mut set = |name, needed| set(&mut file, name, nodes, needed);
    let (train, validation, test) = (set("train", true)?, set("val", false)?, set("test", false)?);
    Ok(Labels { classes: classes.into_vec(), train, validation, test })
}

fn set(file: &mut Npz, name: &str, nodes: usize, needed: bool) -> Result<Vec<u32>, Error> {
    let (index, mask) = (format!("{name}_idx"), format!("{name}_mask"));
    if file.contains(&mask) && !file.contains(&index) {
        let name = mask;
        let mask = file.array::<bool>(&name)?;
        // A column a split, as some data sets have them, is none of them.
        mask.require_vector(&name)?;
        if mask.len() != nodes {
            return Err(InputError::dimension(name, format!("{} entries", mask.len()), format!("{nodes} (those of y)")).into());
        }
        return Ok((0..).zip(mask.as_slice()).filter(|(_, kept)| **kept).map(|(node, _)| node).collect());
    }
    if !needed && !file.contains(&index) {
        return Ok(Vec::new());
    }
    let nodes = file.array::<i64>(&index)?;
    nodes.require_vector(&index)?;
    let number = |(k, &node): (usize, &i64)| {
        u32::try_from(node).map_err(|_| InputError::parameter(format!("{index}[{k}]"), node, "the number of a node, from 0 on").into())
    };
    nodes.as_slice().iter().enumerate().map(number).collect()
}

//! The systems of the command, one file each.

use crate::verb::System;

mod attention;
mod gnn;
mod linalg;
mod regression;

/// The `certus` command over all of them, in the order of the help.
pub fn certus() -> System {
    System::new("certus", "Fast algorithms whose answers carry certificates")
        .group(linalg::system())
        .group(regression::system())
        .group(attention::system())
        .group(gnn::system())
}

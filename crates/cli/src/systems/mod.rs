//! The systems of the command, one file each.

use crate::verb::System;

/// All of them, in the order of the help.
pub fn all() -> Vec<System> {
    vec![]
}

//! The checkers see what they must: each is shown a fault.

mod cases;
mod certificates;
mod derivative;
mod hostile;
mod memory;
mod same_bits;
mod stats;

certus_testkit::count_memory!();

//! The tests of `certus-numeric`.

mod special;

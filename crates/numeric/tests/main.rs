//! The tests of `certus-numeric`.

mod intervals;
mod quadrature;
mod roots;
mod special;
mod special_ends;
mod special_identities;

//! Tests of certus-numeric, by module.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests build pools of their own and print what they measure")]

mod array;
mod exp;
mod intervals;
mod lbfgs;
mod pools;
mod quadrature;
mod roots;
mod scaled;
mod seed;
mod softmax;
mod sparse;
mod special;
mod special_ends;
mod special_identities;
mod sum;

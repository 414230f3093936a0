//! Tests of certus-numeric, by module.

mod array;
mod exp;
mod intervals;
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

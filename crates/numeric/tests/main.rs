//! Tests of certus-numeric, by module.

mod array;
mod exp;
mod pools;
mod scaled;
mod seed;
mod softmax;
mod sparse;
mod sum;

//! Tests of the linear algebra.
mod factor;
mod kron;
mod least_squares;
mod leverage;
mod operator;
mod product;
mod range_finder;
mod sketch;
mod solve;

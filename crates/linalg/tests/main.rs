//! Tests of the linear algebra.
mod factor;
mod kron;
mod least_squares;
mod operator;
mod product;
mod solve;

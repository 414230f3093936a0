//! Tests of the minimisers.
mod models;

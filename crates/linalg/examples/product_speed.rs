//! How near our products are to the GEMM kernels that they call: `cargo run --release -p certus-linalg --example product_speed`.
//!
//! The kernels are given all threads of the pool, as their library does by default; ours cut the result into tiles by size, so
//! that bits do not depend on the pool. Medians of several runs, taken in turn.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "an example measures and prints")]

use std::time::Instant;

use certus_linalg::Mat;
use certus_linalg::product::{Destination, gram, matmul_into};
use certus_numeric::Seed;
use faer::linalg::matmul::matmul as kernel;
use faer::{Accum, Par};
use rand_distr::{Distribution, StandardNormal};

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    println!("{:>22}  {:>12}  {:>12}  {:>14}", "m x k x n", "kernel GF/s", "ours GF/s", "ours / kernel");
    let square = [128, 256, 512, 1024, 2048].map(|n| (n, n, n));
    for (m, k, n) in square.into_iter().chain([(20_000, 200, 200), (200, 200, 20_000), (200, 20_000, 200)]) {
        let mut rng = Seed(1).stream("factors");
        let mut random = |rows, cols| Mat::from_fn(rows, cols, |_, _| StandardNormal.sample(&mut rng));
        let (a, b) = (random(m, k), random(k, n));
        let (mut c, mut product) = (Mat::<f64>::zeros(m, n), Mat::<f64>::zeros(m, n));
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..(15_000_000_000 / (2 * m * k * n)).clamp(7, 101) {
            let start = Instant::now();
            kernel(c.as_mut(), Accum::Replace, a.as_ref(), b.as_ref(), 1.0, Par::rayon(0));
            theirs.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            matmul_into(product.as_mut(), Destination::Replace, 1.0, a.as_ref(), b.as_ref());
            ours.push(start.elapsed().as_secs_f64());
            assert!((product[(m - 1, 0)] - c[(m - 1, 0)]).abs() < 1e-9 * k as f64);
        }
        let flops = 2e-9 * (m * k * n) as f64;
        let (theirs, ours) = (flops / median(theirs), flops / median(ours));
        println!("{:>22}  {theirs:>12.1}  {ours:>12.1}  {:>14.2}", format!("{m} x {k} x {n}"), ours / theirs);
    }
    let (n, d) = (200_000, 200);
    let mut rng = Seed(2).stream("tall");
    let a = certus_numeric::Array::from_fn(n, d, |_, _| StandardNormal.sample(&mut rng));
    let times = (0..7).map(|_| {
        let start = Instant::now();
        std::hint::black_box(gram(certus_linalg::view::view(&a)));
        start.elapsed().as_secs_f64()
    });
    println!("Gram matrix of {n} x {d}: {:.1} GF/s, counting n d^2 flops", 1e-9 * (n * d * d) as f64 / median(times.collect()));
}

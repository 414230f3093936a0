//! Kernels of `certus-numeric` against the loops that one would write with the standard library.
//!
//! Sizes stand for the cache levels: 512 entries are in the first, 65536 in the second or third, 4194304 in memory.

use std::hint::black_box;

use certus_numeric::exp::exp_slice;
use certus_numeric::softmax::{Keep, softmax_row, softmax_row_with, softmax_rows};
use certus_numeric::sum::dot;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn values(n: usize) -> Vec<f64> {
    (0..n).map(|i| -20.0 + 40.0 * ((i * 7919) % n) as f64 / n as f64).collect()
}

fn single(n: usize) -> Vec<f32> {
    values(n).into_iter().map(|x| x as f32).collect()
}

/// Measures work in place on a fresh copy of `data` each time.
macro_rules! in_place {
    ($group:expr, $name:literal, $data:expr, $work:expr) => {
        $group.bench_with_input(BenchmarkId::new($name, $data.len()), $data, |b, data| {
            b.iter_batched_ref(|| data.clone(), |x| $work(black_box(x)), BatchSize::SmallInput)
        });
    };
}

macro_rules! standard_softmax {
    ($name:ident, $float:ident) => {
        fn $name(row: &mut [$float]) -> $float {
            let max = row.iter().copied().fold($float::NEG_INFINITY, $float::max);
            let mut sum = 0.0;
            for x in row.iter_mut() {
                *x = (*x - max).exp();
                sum += *x;
            }
            for x in row {
                *x /= sum;
            }
            max + sum.ln()
        }
    };
}

standard_softmax!(standard_softmax_f64, f64);
standard_softmax!(standard_softmax_f32, f32);

fn exponentials(c: &mut Criterion) {
    let mut group = c.benchmark_group("exp");
    for n in [512, 4096, 65536] {
        group.throughput(Throughput::Elements(n as u64));
        let (double, single) = (&values(n), &single(n));
        in_place!(group, "f64 standard", double, |x: &mut [f64]| x.iter_mut().for_each(|x| *x = x.exp()));
        in_place!(group, "f64", double, |x: &mut [f64]| exp_slice(x));
        in_place!(group, "f32 standard", single, |x: &mut [f32]| x.iter_mut().for_each(|x| *x = x.exp()));
        in_place!(group, "f32", single, |x: &mut [f32]| exp_slice(x));
    }
    group.finish();
}

fn softmax(c: &mut Criterion) {
    let mut group = c.benchmark_group("softmax");
    for n in [64, 512, 4096] {
        group.throughput(Throughput::Elements(n as u64));
        let (double, single) = (&values(n), &single(n));
        let mask = &(0..n).map(|i| i % 3 > 0).collect::<Vec<_>>();
        in_place!(group, "f64 standard", double, standard_softmax_f64);
        in_place!(group, "f64", double, |x: &mut [f64]| softmax_row(x));
        in_place!(group, "f64 masked", double, |x: &mut [f64]| softmax_row_with(x, 0.125, Keep::Where(mask)));
        in_place!(group, "f32 standard", single, standard_softmax_f32);
        in_place!(group, "f32", single, |x: &mut [f32]| softmax_row(x));
    }
    group.finish();

    let mut group = c.benchmark_group("softmax of a 1024 x 1024 matrix");
    group.throughput(Throughput::Elements(1 << 20));
    let matrix = &values(1 << 20);
    in_place!(group, "f64 standard", matrix, |x: &mut [f64]| x.chunks_mut(1024).for_each(|row| {
        standard_softmax_f64(row);
    }));
    in_place!(group, "f64", matrix, |x: &mut [f64]| softmax_rows(x, 1024));
    group.finish();
}

fn dots(c: &mut Criterion) {
    let mut group = c.benchmark_group("dot");
    for n in [512, 65536, 1 << 22] {
        group.throughput(Throughput::Bytes(16 * n as u64));
        let (a, b) = (values(n), values(n));
        group.bench_function(BenchmarkId::new("standard", n), |bench| {
            bench.iter(|| black_box(&a).iter().zip(black_box(&b)).map(|(x, y)| x * y).sum::<f64>())
        });
        group.bench_function(BenchmarkId::new("eight lanes", n), |bench| bench.iter(|| dot(black_box(&a), black_box(&b))));
    }
    group.finish();
}

criterion_group!(benches, exponentials, softmax, dots);
criterion_main!(benches);

//! Sketches: time against the number of non-zeros, which it should be proportional to.

use certus_linalg::Matrix;
use certus_linalg::leverage::{approximate_leverage_scores, leverage_scores};
use certus_linalg::sketch::{CountSketch, Gaussian, Osnap, RowSampling, Sketch, Srht, TensorSketch, TensorSrht};
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Array, Csr, Seed};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Columns and non-zeros a row of the sparse inputs.
const COLUMNS: usize = 1000;
const PER_ROW: usize = 10;

fn dense(rows: usize, cols: usize) -> Array {
    Array::from_fn(rows, cols, |i, j| unit_interval(hash64(1, (i * cols + j) as u64)))
}

/// Ten non-zeros in each row, one in each tenth of the columns.
fn sparse(rows: usize) -> Csr {
    let strip = COLUMNS / PER_ROW;
    let entries = rows * PER_ROW;
    let indices = (0..entries).map(|k| ((k % PER_ROW * strip) as u64 + hash64(2, k as u64) % strip as u64) as u32).collect();
    let values = (0..entries).map(|k| unit_interval(hash64(3, k as u64)) - 0.5).collect();
    Csr::new(rows, COLUMNS, (0..=rows).map(|i| i * PER_ROW).collect(), indices, values).expect("columns ascend by strips")
}

fn sparse_inputs(c: &mut Criterion) {
    let mut group = c.benchmark_group("sketch_sparse");
    group.sample_size(10);
    for rows in [62_500, 250_000, 1_000_000] {
        let a = sparse(rows);
        group.throughput(Throughput::Elements(a.nnz() as u64));
        let mut run = |name: &str, sketch: &dyn Sketch| {
            group.bench_function(BenchmarkId::new(name, a.nnz()), |b| b.iter(|| sketch.sketch(Matrix::Sparse(&a))));
        };
        run("countsketch", &CountSketch::new(4 * COLUMNS, rows, Seed(1)).expect("valid sizes"));
        run("osnap", &Osnap::new(4 * COLUMNS, rows, Osnap::NONZEROS, Seed(1)).expect("valid sizes"));
        run("gaussian", &Gaussian::new(64, rows, Seed(1)).expect("valid sizes"));
        run("uniform rows", &RowSampling::uniform(4 * COLUMNS, rows, Seed(1)).expect("valid sizes"));
    }
}

fn dense_inputs(c: &mut Criterion) {
    const D: usize = 200;
    let mut group = c.benchmark_group("sketch_dense");
    group.sample_size(10);
    for rows in [12_500, 50_000, 200_000] {
        let a = dense(rows, D);
        group.throughput(Throughput::Bytes(8 * a.len() as u64));
        let mut run = |name: &str, sketch: &dyn Sketch| {
            group.bench_function(BenchmarkId::new(name, a.len()), |b| b.iter(|| sketch.sketch(Matrix::Dense(&a))));
        };
        run("countsketch", &CountSketch::new(4 * D, rows, Seed(1)).expect("valid sizes"));
        run("osnap", &Osnap::new(4 * D, rows, Osnap::NONZEROS, Seed(1)).expect("valid sizes"));
        run("srht", &Srht::new(4 * D, rows, Seed(1)).expect("valid sizes"));
        run("gaussian", &Gaussian::new(2 * D, rows, Seed(1)).expect("valid sizes"));
    }
}

/// Two factors n x 30: the product would have n^2 rows and 900 columns.
fn kronecker_products(c: &mut Criterion) {
    let mut group = c.benchmark_group("sketch_kronecker");
    group.sample_size(10);
    for n in [2_500, 10_000, 40_000] {
        let (a, b) = (dense(n, 30), dense(n, 30).map(|v| 0.5 - v));
        let factors = [Matrix::Dense(&a), Matrix::Dense(&b)];
        group.throughput(Throughput::Elements(2 * a.len() as u64));
        let tensor = TensorSketch::new(4096, &[n, n], Seed(1)).expect("valid sizes");
        group.bench_function(BenchmarkId::new("tensorsketch", 2 * a.len()), |bench| bench.iter(|| tensor.apply_kronecker(&factors)));
        let srht = TensorSrht::new(4096, &[n, n], Seed(1)).expect("valid sizes");
        group.bench_function(BenchmarkId::new("tensorsrht", 2 * a.len()), |bench| bench.iter(|| srht.apply_kronecker(&factors)));
    }
}

fn leverage(c: &mut Criterion) {
    let mut group = c.benchmark_group("leverage");
    group.sample_size(10);
    for rows in [6_250, 25_000, 100_000] {
        let a = dense(rows, 50);
        group.throughput(Throughput::Elements(a.len() as u64));
        group.bench_function(BenchmarkId::new("exact", a.len()), |b| b.iter(|| leverage_scores(Matrix::Dense(&a), None)));
        group.bench_function(BenchmarkId::new("approximate", a.len()), |b| {
            b.iter(|| approximate_leverage_scores(Matrix::Dense(&a), None, 0.8, 0.01, Seed(1)))
        });
    }
}

criterion_group!(benches, sparse_inputs, dense_inputs, kronecker_products, leverage);
criterion_main!(benches);

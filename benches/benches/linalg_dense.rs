//! Products, factorisations and implicit Kronecker products: time against their flops or bytes.

use certus_linalg::Mat;
use certus_linalg::factor::{Cholesky, PivotedQr, svd, symmetric_eigen, tall_qr_r};
use certus_linalg::kron::{FaceSplitting, Kron};
use certus_linalg::operator::LinearOperator;
use certus_linalg::product::{gram, matmul, matvec};
use certus_numeric::seed::{hash64, unit_interval};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn random(key: u64, rows: usize, cols: usize) -> Mat<f64> {
    Mat::from_fn(rows, cols, |i, j| unit_interval(hash64(key, (i * cols + j) as u64)) - 0.5)
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("product");
    for (m, k, n) in [(256, 256, 256), (1024, 1024, 1024), (20_000, 200, 200), (200, 20_000, 200)] {
        let (a, b) = (random(1, m, k), random(2, k, n));
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        group.bench_function(BenchmarkId::new("matmul", format!("{m}x{k}x{n}")), |bench| bench.iter(|| matmul(a.as_ref(), b.as_ref())));
    }
    let a = random(3, 100_000, 100);
    group.throughput(Throughput::Elements((a.nrows() * a.ncols() * a.ncols()) as u64));
    group.bench_function("gram/100000x100", |bench| bench.iter(|| gram(a.as_ref())));
    group.throughput(Throughput::Bytes(8 * (a.nrows() * a.ncols()) as u64));
    let x = vec![1.0; a.ncols()];
    group.bench_function("matvec/100000x100", |bench| bench.iter(|| matvec(a.as_ref(), &x)));
}

fn factorisations(c: &mut Criterion) {
    let mut group = c.benchmark_group("factor");
    group.sample_size(10);
    for d in [128usize, 256, 512] {
        let mut symmetric = gram(random(4, 2 * d, d).as_ref());
        (0..d).for_each(|i| symmetric[(i, i)] += 1.0);
        let (square, tall) = (random(5, d, d), random(6, 40 * d, d));
        let cube = |c: f64| Throughput::Elements((c * (d * d * d) as f64) as u64);
        group.throughput(cube(1.0 / 3.0));
        group.bench_function(BenchmarkId::new("cholesky", d), |bench| bench.iter(|| Cholesky::new("the matrix", symmetric.as_ref())));
        group.throughput(cube(9.0));
        group.bench_function(BenchmarkId::new("symmetric eigen", d), |bench| bench.iter(|| symmetric_eigen(symmetric.as_ref())));
        group.throughput(cube(4.0 / 3.0));
        group.bench_function(BenchmarkId::new("pivoted QR", d), |bench| bench.iter(|| PivotedQr::new(square.clone())));
        group.throughput(cube(20.0));
        group.bench_function(BenchmarkId::new("SVD", d), |bench| bench.iter(|| svd(square.as_ref())));
        group.throughput(cube(80.0));
        group.bench_function(BenchmarkId::new("R of a tall matrix", d), |bench| bench.iter(|| tall_qr_r(tall.as_ref())));
    }
}

fn kronecker(c: &mut Criterion) {
    let mut group = c.benchmark_group("kron");
    for d in [32usize, 128] {
        let (a, b) = (random(7, 4 * d, d), random(8, 4 * d, d));
        let (product, faces) = (Kron::new(a.as_ref(), b.as_ref()), FaceSplitting::new(a.as_ref(), b.as_ref()));
        let (x, y) = (vec![1.0; d * d], vec![1.0; 16 * d * d]);
        group.throughput(Throughput::Elements(2 * (4 * d * d * d + 16 * d * d * d) as u64));
        group.bench_function(BenchmarkId::new("apply", d), |bench| bench.iter(|| product.times(&x)));
        group.bench_function(BenchmarkId::new("transpose", d), |bench| bench.iter(|| product.transpose_times(&y)));
        group.bench_function(BenchmarkId::new("leverage scores", d), |bench| bench.iter(|| product.leverage_scores()));
        if d == 32 {
            group.throughput(Throughput::Elements((4 * d * d * d * d * d) as u64));
            group.bench_function("face-splitting gram/32", |bench| bench.iter(|| faces.gram(None)));
        }
    }
}

criterion_group!(benches, products, factorisations, kronecker);
criterion_main!(benches);

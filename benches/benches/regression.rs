//! Fits of exp(A x): the small one, whose overhead counts, and what one iteration on large data costs against one evaluation.

use std::hint::black_box;

use certus_linalg::Matrix;
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Array, Csr};
use certus_regression::{Form, Hessian, Link, Problem, Solver, Start};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Non-zeros in a row of the sparse inputs.
const PER_ROW: usize = 10;

/// Uniform in [-1/2, 1/2).
fn centred(key: u64, index: usize) -> f64 {
    unit_interval(hash64(key, index as u64)) - 0.5
}

/// Entries of variance 12 / d, for those of `truth` are of variance 1 / 12: then A x has variance one.
fn dense(rows: usize, cols: usize) -> Array {
    let scale = 12.0 / (cols as f64).sqrt();
    Array::from_fn(rows, cols, |i, j| scale * centred(1, i * cols + j))
}

/// One entry in each tenth of the columns.
fn sparse(rows: usize, cols: usize) -> Csr {
    let (strip, entries, scale) = (cols / PER_ROW, rows * PER_ROW, 12.0 / (PER_ROW as f64).sqrt());
    let indices = (0..entries).map(|k| ((k % PER_ROW * strip) as u64 + hash64(2, k as u64) % strip as u64) as u32).collect();
    let values = (0..entries).map(|k| scale * centred(3, k)).collect();
    Csr::new(rows, cols, (0..=rows).map(|i| i * PER_ROW).collect(), indices, values).expect("columns ascend by strips")
}

fn truth(cols: usize) -> Vec<f64> {
    (0..cols).map(|j| centred(4, j)).collect()
}

/// exp(A x) with 5 % of noise at most.
fn targets(a: Matrix<'_>) -> Vec<f64> {
    let x = truth(a.cols());
    let predictor = |i: usize| match a {
        Matrix::Dense(a) => a.row(i).iter().zip(&x).map(|(a, x)| a * x).sum::<f64>(),
        Matrix::Sparse(a) => {
            let (columns, values) = a.row(i);
            columns.iter().zip(values).map(|(&j, v)| v * x[j as usize]).sum()
        }
    };
    (0..a.rows()).map(|i| predictor(i).exp() * (1.0 + 0.1 * centred(5, i))).collect()
}

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("regression_small");
    let a = dense(30, 3);
    let b = targets(Matrix::from(&a));
    for (name, start) in [("from zero", Start::Zero), ("from its own start", Start::Auto)] {
        let solver = Solver::default().with_start(start);
        group.bench_function(BenchmarkId::new("fit 30 x 3", name), |bench| {
            bench.iter(|| {
                let problem = Problem::new(black_box(&a), &b, Link::Exp, Form::Plain).expect("a valid problem");
                solver.solve(&problem)
            })
        });
    }
}

/// Loss and gradient; one iteration with each Hessian, the certificate included; a whole fit.
fn pieces(c: &mut Criterion, name: &str, a: Matrix<'_>, form: Form) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    group.throughput(Throughput::Elements(a.stored() as u64));
    let mut b = targets(a);
    if matches!(form, Form::Normalised) {
        let sum: f64 = b.iter().sum();
        b.iter_mut().for_each(|b| *b /= sum);
    }
    let problem = Problem::new(a, &b, Link::Exp, form).expect("a valid problem");
    let x = truth(a.cols());
    group.bench_function("evaluate", |bench| bench.iter(|| problem.evaluate(black_box(&x))));
    for (name, hessian) in [("exact", Hessian::Exact), ("sampled", Hessian::Sampled), ("matrix-free", Hessian::MatrixFree)] {
        let once = Solver::default().with_start(Start::Zero).with_hessian(hessian).with_max_iterations(1);
        group.bench_function(BenchmarkId::new("one iteration", name), |bench| bench.iter(|| once.solve(&problem)));
    }
    let solver = Solver::default().with_start(Start::Zero);
    group.bench_function("fit", |bench| bench.iter(|| solver.solve(&problem)));
}

fn large_dense(c: &mut Criterion) {
    for cols in [20, 200] {
        pieces(c, &format!("regression_dense_50000x{cols}"), Matrix::from(&dense(50_000, cols)), Form::Plain);
    }
}

fn large_sparse(c: &mut Criterion) {
    for cols in [100, 1000] {
        let a = sparse(200_000, cols);
        pieces(c, &format!("regression_sparse_200000x{cols}"), Matrix::from(&a), Form::Plain);
        pieces(c, &format!("regression_sparse_200000x{cols}_normalised"), Matrix::from(&a), Form::Normalised);
    }
}

criterion_group!(benches, small, large_dense, large_sparse);
criterion_main!(benches);

//! Derivatives and fits of attention layers.

use certus_attention::layer::{Curvature, Params, Problem, Sequence, Solver};
use certus_numeric::Array;
use certus_numeric::seed::{hash64, unit_interval};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn random(seed: u64, rows: usize, cols: usize, size: f64) -> Array {
    Array::from_fn(rows, cols, |i, j| size * 12f64.sqrt() * (unit_interval(hash64(seed, (i * cols + j) as u64)) - 0.5))
}

fn derivatives(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention layer");
    group.sample_size(10);
    for (n, d) in [(63usize, 32usize), (512, 32), (2048, 64)] {
        let [a1, a2, a3, b] = [1, 2, 3, 4].map(|seed| random(seed, n, d, 1.0));
        let problem =
            Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).and_then(|p| p.with_scale(1.0 / (d as f64).sqrt())).expect("a problem");
        let at = Params { x: random(5, d, d, 0.2), y: random(6, d, d, 0.2) };
        group.throughput(Throughput::Elements((8 * n * n * d) as u64));
        group.bench_function(BenchmarkId::new("gradient", n), |bench| bench.iter(|| problem.evaluate(&at)));
        let evaluation = problem.linearise(&at).expect("an evaluation");
        group.throughput(Throughput::Elements((14 * n * n * d) as u64));
        group.bench_function(BenchmarkId::new("one more product", n), |bench| {
            bench.iter(|| evaluation.hessian_times(&at, Curvature::Exact))
        });
        if n == 63 {
            let regularised = problem.clone().with_logit_reg(0.1, 0.1).expect("weights");
            group.bench_function("fit/63", |bench| bench.iter(|| Solver::default().with_gradient_tolerance(1e-6).solve(&regularised)));
        }
        if n == 512 {
            group.bench_function(BenchmarkId::new("hessian", n), |bench| bench.iter(|| evaluation.hessian(Curvature::Exact)));
        }
    }
}

criterion_group!(benches, derivatives);
criterion_main!(benches);

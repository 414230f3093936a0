//! Steps of graph network inference, each as a layer that has no other, and the planner.

use certus_contract::ignore_events;
use certus_gnn::synth::{Cleanup, hash_feature, hash_features, rmat};
use certus_gnn::{FeatureStats, Features, Graph, GraphStats, Head, LayerSpec, Model, ModelSpec, Op, Plan, Planner, Weights};
use certus_numeric::{Array, Seed};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SCALE: u32 = 16;
const WIDTH: usize = 64;
const HOPS: usize = 10;

fn graph() -> Graph {
    let cleanup = Cleanup { symmetrise: false, ..Cleanup::default() };
    rmat(SCALE, 10, (0.57, 0.19, 0.19), cleanup, Seed(0)).expect("a graph")
}

fn model(layer: LayerSpec, tensors: &[(&str, [usize; 2])]) -> Model {
    let mut weights = Weights::new();
    for (k, &(name, [rows, cols])) in tensors.iter().enumerate() {
        let tensor = Array::from_fn(rows, cols, |i, j| hash_feature(Seed(k as u64), i, j) / (cols as f32).sqrt());
        weights.insert(format!("{}.{name}", layer.prefix), tensor);
    }
    let spec = ModelSpec::new(vec![layer]).expect("a specification");
    Model::new(spec, &weights).expect("a model")
}

fn run(plan: &Plan) {
    let done = plan.run_rows(Head::Logits, ignore_events, |_, rows| {
        std::hint::black_box(rows);
        Ok(())
    });
    done.expect("a run");
}

/// A panel over the edges: hops of personalised PageRank have no product.
fn aggregate(c: &mut Criterion) {
    let graph = graph();
    let mut group = c.benchmark_group("gnn aggregate");
    group.sample_size(10);
    for width in [1usize, 4, 16, 64] {
        let features = Features::dense(hash_features(graph.nodes(), width, Seed(1))).expect("features");
        let model = model(LayerSpec { hops: Some(HOPS), alpha: Some(0.1), ..LayerSpec::new(Op::Appnp, "hops", width, width) }, &[]);
        let plan = Planner::new(&model, &graph, &features).plan().expect("a plan");
        group.throughput(Throughput::Elements((HOPS * graph.edges() * width) as u64));
        group.bench_function(BenchmarkId::new("hops", width), |bench| bench.iter(|| run(&plan)));
    }
}

/// A product in place: a layer without edges.
fn combine(c: &mut Criterion) {
    let graph = graph();
    let mut group = c.benchmark_group("gnn combine");
    group.sample_size(10);
    for width in [16usize, 64, 256] {
        let features = Features::dense(hash_features(graph.nodes(), width, Seed(1))).expect("features");
        let model = model(LayerSpec::new(Op::Linear, "linear", width, width), &[("weight", [width, width]), ("bias", [1, width])]);
        for slice in if width == 16 { vec![16] } else { vec![16, width] } {
            let plan = Planner::new(&model, &graph, &features).slice(slice).plan().expect("a plan");
            group.throughput(Throughput::Elements((graph.nodes() * width * width) as u64));
            group.bench_function(BenchmarkId::new(format!("{width} columns"), slice), |bench| bench.iter(|| run(&plan)));
        }
    }
}

/// Attention, four heads of sixteen columns: scores, softmax over the edges, sums.
fn attend(c: &mut Criterion) {
    let graph = graph();
    let features = Features::dense(hash_features(graph.nodes(), WIDTH, Seed(1))).expect("features");
    let heads = LayerSpec { heads: 4, ..LayerSpec::new(Op::Gat, "attention", WIDTH, 16) };
    let first = [("lin.weight", [64, WIDTH]), ("bias", [1, 64]), ("att_src", [4, 16]), ("att_dst", [4, 16])];
    let pairs = LayerSpec { heads: 4, ..LayerSpec::new(Op::Gatv2, "attention", WIDTH, 16) };
    let second = [
        ("lin_l.weight", [64, WIDTH]),
        ("lin_l.bias", [1, 64]),
        ("lin_r.weight", [64, WIDTH]),
        ("lin_r.bias", [1, 64]),
        ("att", [4, 16]),
        ("bias", [1, 64]),
    ];
    let mut group = c.benchmark_group("gnn attend");
    group.sample_size(10).throughput(Throughput::Elements((graph.edges() * 64) as u64));
    for (name, model) in [("gat", model(heads, &first)), ("gatv2", model(pairs, &second))] {
        let plan = Planner::new(&model, &graph, &features).plan().expect("a plan");
        group.bench_function(name, |bench| bench.iter(|| run(&plan)));
    }
}

/// From sizes alone; it should take less than a millisecond.
fn plan(c: &mut Criterion) {
    let layers = |widths: &[usize]| {
        let layers = widths.windows(2).enumerate().map(|(k, w)| LayerSpec::new(Op::Sage, &format!("conv{k}"), w[0], w[1]));
        ModelSpec::new(layers.collect()).expect("a specification")
    };
    let mut group = c.benchmark_group("gnn plan");
    for (name, nodes, edges, widths) in
        [("ogbn-arxiv", 169_343, 1_166_243, vec![128, 256, 40]), ("ogbn-papers100M", 111_059_956, 1_615_685_872, vec![128, 256, 256, 172])]
    {
        let (spec, graph) = (layers(&widths), GraphStats { nodes, edges, weighted: false });
        let features = FeatureStats::Streamed { columns: widths[0], entry_bytes: 4 };
        let planner = Planner::from_stats(&spec, graph, features).allow_spill();
        group.bench_function(name, |bench| bench.iter(|| planner.schedule()));
    }
}

criterion_group!(benches, aggregate, combine, attend, plan);
criterion_main!(benches);

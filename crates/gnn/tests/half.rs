//! Activations in f16, and the bounds on what that changes.

use certus_gnn::synth::{Cleanup, hash_feature, hash_features, sbm};
use certus_gnn::{Activation, Features, Graph, LayerSpec, Model, ModelSpec, Norm, Op, Planner, Precision, Reduce, Solution, Tier, Weights};
use certus_numeric::{Array, Seed};

use crate::support::on_disk;

fn random(rows: usize, cols: usize, key: u64) -> Array<f32> {
    Array::from_fn(rows, cols, |i, j| hash_feature(Seed(key), i, j))
}

/// A model of these layers with random weights; batch norms have random means and variances.
fn model(layers: Vec<LayerSpec>) -> Model {
    let mut weights = Weights::new();
    for (k, layer) in layers.iter().enumerate() {
        let (input, out, key) = (layer.in_channels, layer.out_channels, 10 * k as u64);
        let mut put = |name: &str, tensor: Array<f32>| weights.insert(format!("{}.{name}", layer.prefix), tensor);
        match layer.op {
            Op::Gcn | Op::Sgc => put("lin.weight", random(out, input, key)),
            Op::Sage => {
                put("lin_l.weight", random(out, input, key));
                put("lin_r.weight", random(out, input, key + 1));
            }
            Op::Graphconv => {
                put("lin_rel.weight", random(out, input, key));
                put("lin_root.weight", random(out, input, key + 1));
            }
            Op::Gin => {
                put("nn.0.weight", random(layer.hidden_channels(), input, key));
                put("nn.2.weight", random(out, layer.hidden_channels(), key + 1));
            }
            Op::Tag => (0..=layer.steps()).for_each(|s| put(&format!("lins.{s}.weight"), random(out, input, key + s as u64))),
            Op::Linear => put("weight", random(out, input, key)),
            _ => {}
        }
        if layer.norm == Some(Norm::Batch) {
            let norm = format!("{}_norm", layer.prefix);
            for (part, key) in [("weight", 5), ("bias", 6), ("running_mean", 7)] {
                weights.insert(format!("{norm}.{part}"), random(1, out, key));
            }
            weights.insert(format!("{norm}.running_var"), random(1, out, 8).map(|v| v * v + 0.1));
        }
    }
    Model::new(ModelSpec::new(layers).expect("a model"), &weights).expect("weights")
}

fn layer(op: Op, k: usize, input: usize, out: usize) -> LayerSpec {
    let hops = matches!(op, Op::Sgc | Op::Appnp | Op::Tag).then_some(2);
    let alpha = (op == Op::Appnp).then_some(0.2);
    LayerSpec { hops, alpha, bias: false, ..LayerSpec::new(op, &format!("conv{k}"), input, out) }
}

fn graph() -> Graph {
    let graph = sbm(&[60, 50, 40], 0.15, 0.02, Cleanup::default(), Seed(3)).expect("a graph");
    let weights = (0..graph.edges()).map(|k| hash_feature(Seed(4), k, 0) + 1.5).collect();
    graph.with_weights(weights).expect("weights")
}

/// The logits in f16 and those in f32, whose distance the bound must contain.
fn check(model: &Model, graph: &Graph, features: &Features, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let exact = Planner::new(model, graph, features).plan().expect(name).run().expect(name).output;
    let file = on_disk(folder.path(), graph);
    std::fs::remove_file(folder.path().join("graph.npz")).expect("a file");
    let half = |planner: Planner, precision| -> Solution { planner.precision(precision).plan().expect(name).run().expect(name) };
    let planner = || Planner::new(model, graph, features).threads(2).spill_dir(folder.path());
    let first = half(planner(), Precision::F16);
    let found = first.facts.error_bound.expect(name);
    let apart = exact.as_slice().iter().zip(first.output.as_slice()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= found.largest, "{name}: {apart} apart, bound {}", found.largest);
    assert!(apart > 0.0 && found.largest < 1e5 * apart, "{name}: bound {} of {apart}", found.largest);
    // A class that is certified is that of the run in f32.
    let class = |row: &[f32]| row.iter().enumerate().fold(0, |best, (k, &x)| if x > row[best] { k } else { best });
    let same = (0..graph.nodes()).filter(|&i| class(exact.row(i)) == class(first.output.row(i))).count() as u64;
    assert!(found.certified <= same, "{name}: {} certified, {same} the same", found.certified);
    let from_disk = |tier| Planner::new(model, &file, features).graph_buffer(32).spill_dir(folder.path()).tier(tier).slice(3);
    for tier in [Tier::Panels, Tier::Spill] {
        let other = half(from_disk(tier), Precision::F16);
        assert!(other.output == first.output, "{name} {tier:?}, graph on disk");
        assert_eq!(other.facts.error_bound, first.facts.error_bound, "{name} {tier:?}, graph on disk");
    }
    for (tier, slice) in [(Tier::Panels, 1), (Tier::Panels, 3), (Tier::Spill, 2)] {
        for precision in [Precision::F16, Precision::F16Unbounded] {
            let other = half(planner().tier(tier).slice(slice).row_block(16), precision);
            assert!(other.output == first.output, "{name} {tier:?} {slice} {precision:?}");
            if precision == Precision::F16 {
                assert_eq!(other.facts.error_bound, first.facts.error_bound, "{name} {tier:?} {slice}");
            }
            let facts = other.facts;
            assert!(facts.measured_peak <= facts.predicted_peak, "{name}");
            assert_eq!((facts.bytes_read, facts.bytes_written), (facts.predicted_bytes_read, facts.predicted_bytes_written), "{name}");
        }
    }
}

#[test]
fn the_bound_contains_the_distance_from_the_run_in_f32() {
    let graph = graph();
    let features = Features::dense(hash_features(graph.nodes(), 9, Seed(1))).expect("features");
    for op in [Op::Gcn, Op::Sgc, Op::Sage, Op::Gin, Op::Graphconv, Op::Tag, Op::Linear] {
        for (middle, activation) in [(5, Activation::Relu), (12, Activation::Tanh)] {
            let first = LayerSpec { activation, norm: Some(Norm::Batch), ..layer(op, 0, 9, middle) };
            let second = LayerSpec { skip: true, activation: Activation::Elu, ..layer(op, 1, middle, middle) };
            let model = model(vec![first, second, layer(op, 2, middle, 3)]);
            check(&model, &graph, &features, op.name());
        }
    }
    let first = LayerSpec { activation: Activation::Leakyrelu, ..layer(Op::Linear, 0, 9, 4) };
    check(&model(vec![first, layer(Op::Appnp, 1, 4, 4)]), &graph, &features, "appnp");
    for reduce in [Reduce::Max, Reduce::Min, Reduce::Sum] {
        let of = |op: Op, k: usize, input: usize, out: usize| LayerSpec { aggr: Some(reduce), ..layer(op, k, input, out) };
        check(&model(vec![of(Op::Sage, 0, 9, 5), of(Op::Sage, 1, 5, 4)]), &graph, &features, "sage");
        check(&model(vec![of(Op::Graphconv, 0, 9, 5), of(Op::Graphconv, 1, 5, 4)]), &graph, &features, "graphconv");
    }
}

/// Counting the roundings of f16 alone gives 512 here, and is wrong: the difference is 750.
#[test]
fn roundings_of_long_sums_count() {
    let sources = 6032u32;
    let graph = Graph::from_edges(sources as usize + 1, (0..sources).map(|j| (j, sources))).expect("a graph");
    let small = 2f32.powi(-4) + 2f32.powi(-16);
    let features = Array::from_fn(sources as usize + 1, 1, |i, _| match i {
        0..32 => 2f32.powi(15),
        _ if i < sources as usize => small,
        _ => 0.0,
    });
    let features = Features::dense(features).expect("features");
    let mut weights = Weights::new();
    weights.insert("conv0.weight", Array::identity(1).map(|&v: &f64| v as f32));
    weights.insert("conv1.lin_l.weight", Array::identity(1).map(|&v: &f64| v as f32));
    let sum = LayerSpec { aggr: Some(Reduce::Sum), root_weight: false, ..layer(Op::Sage, 1, 1, 1) };
    let spec = ModelSpec::new(vec![layer(Op::Linear, 0, 1, 1), sum]).expect("a model");
    let model = Model::new(spec, &weights).expect("weights");
    let run = |precision| Planner::new(&model, &graph, &features).precision(precision).plan().expect("a plan").run();
    let exact = run(Precision::F32).expect("a run");
    assert_eq!(exact.output.row(sources as usize)[0], 2f32.powi(20) + 750.0);
    // The sum itself is too large for f16: there is no bound then, and no number.
    let Ok(half) = run(Precision::F16) else { return };
    let found = half.facts.error_bound.expect("a bound");
    assert!(found.largest >= 750.0, "{found:?}");
}

#[test]
fn attention_and_norms_of_rows_have_no_bound_and_say_so() {
    let graph = graph();
    let features = Features::dense(hash_features(graph.nodes(), 9, Seed(1))).expect("features");
    let l2 = LayerSpec { l2_normalize: true, ..layer(Op::Sage, 0, 9, 5) };
    let solution =
        Planner::new(&model(vec![l2]), &graph, &features).precision(Precision::F16).plan().expect("a plan").run().expect("a run");
    assert_eq!(solution.facts.error_bound, None);
    assert_eq!(solution.certificate.verdict(), certus_contract::Verdict::NotApplicable);
}

//! Activations in f16, and the bounds on what that changes.

use certus_contract::ignore_events;
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
                put("nn.0.weight", random(out, input, key));
                put("nn.2.weight", random(out, out, key + 1));
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
    let bounded = planner().precision(Precision::F16).plan().expect(name).run_bounded(ignore_events).expect(name).output;
    assert!(bounded.logits == first.output, "{name}");
    let pairs = exact.as_slice().iter().zip(first.output.as_slice()).map(|(a, b)| (a - b).abs());
    for (k, (apart, bound)) in pairs.clone().zip(bounded.bounds.as_slice()).enumerate() {
        assert!(apart <= *bound, "{name}, logit {k}: {apart} apart, bound {bound}");
    }
    let (apart, largest) = (pairs.fold(0.0, f32::max), bounded.bounds.as_slice().iter().copied().fold(0.0, f32::max));
    assert_eq!(largest, found.largest, "{name}");
    assert!(apart > 0.0 && largest < 1e5 * apart, "{name}: bound {largest} of {apart}");
    // A class that is certified is that of the run in f32.
    let class = |row: &[f32]| row.iter().enumerate().fold(0, |best, (k, &x)| if x > row[best] { k } else { best });
    for i in (0..graph.nodes()).filter(|&i| bounded.certified[i]) {
        assert_eq!(class(exact.row(i)), class(first.output.row(i)), "{name}, node {i}");
    }
    assert_eq!(found.certified, bounded.certified.iter().filter(|certified| **certified).count() as u64, "{name}");
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

/// Counting the roundings of f16 alone gives 2 here, and is wrong: the difference is 2.93.
#[test]
fn roundings_of_long_sums_count() {
    let sources = 6032u32;
    let graph = Graph::from_edges(sources as usize + 1, (0..sources).map(|j| (j, sources))).expect("a graph");
    // Small enough for the sum to be a number of f16.
    let small = 2f32.powi(-12) + 2f32.powi(-24);
    let features = Array::from_fn(sources as usize + 1, 1, |i, _| match i {
        0..32 => 2f32.powi(7),
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
    let run = |precision| Planner::new(&model, &graph, &features).precision(precision).plan().expect("a plan").run().expect("a run");
    let (exact, half) = (run(Precision::F32).output, run(Precision::F16));
    assert_eq!(exact.row(sources as usize)[0], 2f32.powi(12) + 750.0 / 256.0);
    let apart = (exact.row(sources as usize)[0] - half.output.row(sources as usize)[0]).abs();
    let found = half.facts.error_bound.expect("a bound");
    assert!(apart > 2.0 && found.largest >= apart && found.largest < 50.0, "{apart} apart, {found:?}");
}

/// A model of one column, whose first layer copies its input into f16.
fn through_f16(second: LayerSpec, tensors: &[&str]) -> Model {
    let one = || Array::from_fn(1, 1, |_, _| 1.0f32);
    let mut weights = Weights::new();
    weights.insert("conv0.weight", one());
    tensors.iter().for_each(|name| weights.insert(format!("conv1.{name}"), one()));
    Model::new(ModelSpec::new(vec![layer(Op::Linear, 0, 1, 1), second]).expect("a model"), &weights).expect("weights")
}

#[test]
fn a_sum_with_a_term_that_is_exact_is_rounded_all_the_same() {
    let graph = Graph::from_edges(2, [(0, 1)]).expect("a graph");
    // The first is rounded in f16, the second is not; their sum is rounded in f32, to one side or the other.
    let features = Features::dense(Array::from_fn(2, 1, |i, _| if i == 0 { 2f32.powi(-9) + 2f32.powi(-20) } else { 2f32.powi(15) }))
        .expect("features");
    let tag = LayerSpec { hops: Some(1), normalize: false, ..layer(Op::Tag, 1, 1, 1) };
    let sage = LayerSpec { aggr: Some(Reduce::Max), ..layer(Op::Sage, 1, 1, 1) };
    for model in [through_f16(tag, &["lins.0.weight", "lins.1.weight"]), through_f16(sage, &["lin_l.weight", "lin_r.weight"])] {
        let run = |precision| Planner::new(&model, &graph, &features).precision(precision).plan().expect("a plan").run().expect("a run");
        let (exact, half) = (run(Precision::F32).output, run(Precision::F16));
        let apart = (0..2).map(|i| (exact.row(i)[0] - half.output.row(i)[0]).abs()).fold(0.0, f32::max);
        let found = half.facts.error_bound.expect("a bound");
        assert!(apart > 1e-3 && found.largest >= apart, "{apart} apart, {found:?}");
    }
}

#[test]
fn a_number_too_large_for_f16_is_refused_and_not_made_infinite() {
    let graph = Graph::from_edges(3, [(0, 1), (1, 2)]).expect("a graph");
    let features = Features::dense(Array::from_fn(3, 1, |i, _| if i == 1 { 7e4 } else { 1.0 })).expect("features");
    let model = through_f16(LayerSpec { aggr: Some(Reduce::Min), root_weight: false, ..layer(Op::Sage, 1, 1, 1) }, &["lin_l.weight"]);
    let folder = tempfile::tempdir().expect("a folder");
    for precision in [Precision::F16, Precision::F16Unbounded] {
        for planner in
            [Planner::new(&model, &graph, &features), Planner::new(&model, &graph, &features).spill_dir(folder.path()).tier(Tier::Spill)]
        {
            let error = planner.clone().precision(precision).plan().expect("a plan").run().expect_err("7e4 is no number of f16");
            assert!(matches!(error, certus_gnn::Error::Overflow { layer: 0, node: 1 }), "{error}");
            // Whoever allows it sees that there is no bound.
            let allowed = planner.precision(precision).check_finite(false).plan().expect("a plan").run().expect("a run");
            if let Some(found) = allowed.facts.error_bound {
                assert_eq!(found.largest, f32::INFINITY);
            }
        }
    }
}

#[test]
fn a_graph_without_nodes_has_an_output_without_rows() {
    let graph = Graph::from_edges(0, []).expect("a graph");
    let features = Features::dense(Array::zeros([0, 1])).expect("features");
    let model = through_f16(LayerSpec { aggr: Some(Reduce::Min), ..layer(Op::Sage, 1, 1, 1) }, &["lin_l.weight", "lin_r.weight"]);
    for precision in [Precision::F16, Precision::F16Unbounded] {
        let solution = Planner::new(&model, &graph, &features).precision(precision).plan().expect("a plan").run().expect("a run");
        assert_eq!(solution.output.shape(), [0, 1]);
    }
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
    let l2 = model(vec![LayerSpec { l2_normalize: true, ..layer(Op::Sage, 0, 9, 5) }]);
    let of = |precision| Planner::new(&l2, &graph, &features).precision(precision).plan().expect("a plan").run_bounded(ignore_events);
    assert!(matches!(of(Precision::F16), Err(certus_gnn::Error::UnsupportedOp { layer: 0, .. })));
    assert_eq!(of(Precision::F32).expect_err("no bounds in f32").kind(), "InvalidParameter");
}

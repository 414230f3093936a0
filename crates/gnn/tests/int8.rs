//! Features in 8 bits, and the bounds on what that changes.

use certus_contract::ignore_events;
use certus_gnn::synth::hash_feature;
use certus_gnn::{
    Error, FeatureStats, Features, Graph, LayerSpec, MemoryBudget, Model, ModelSpec, Norm, Op, Plan, Planner, Precision, Reduce, Tier,
    Weights,
};
use certus_numeric::{Array, Csr, Seed};
use proptest::prelude::*;

use crate::properties::{varied, varied_on_disk};
use crate::support::{OPS, Random, Setting, bits, npy_of, on_disk, ops, run, same};

/// The run of features as they were, and that of 8 bits; whether there is a bound.
#[track_caller]
fn check(setting: &Setting, precision: Precision, what: &str) -> bool {
    let eight = setting.features.int8().unwrap();
    let exact = run(setting.planner(), what).output;
    let planned = Planner::new(&setting.model, &setting.graph, &eight).precision(precision).plan().unwrap();
    let Ok(solution) = planned.run() else { return false };
    let Some(bound) = solution.facts.error_bound else { return false };
    let apart = exact.as_slice().iter().zip(solution.output.as_slice()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= bound.largest, "{what}: {apart} apart, bound {}", bound.largest);
    let class = |row: &[f32]| row.iter().enumerate().fold(0, |best, (k, &x)| if x > row[best] { k } else { best });
    let unchanged = (0..setting.net.nodes).filter(|&i| class(exact.row(i)) == class(solution.output.row(i))).count() as u64;
    assert!(bound.certified <= unchanged, "{what}: {} certified, {unchanged} the same", bound.certified);
    true
}

#[test]
fn bounds_hold_for_every_layer_that_has_some() {
    for op in OPS {
        let held = (0..40).filter(|&seed| {
            let setting = Setting::random(seed, &[op, Op::Linear], 20);
            let name = format!("{op:?} {seed}");
            check(&setting, Precision::Int8Features, &name) & check(&setting, Precision::F16, &name)
        });
        let held = held.count();
        let attends = matches!(op, Op::Gat | Op::Gatv2);
        assert!(if attends { held == 0 } else { held > 5 }, "{op:?}: {held} of 40 have bounds");
    }
}

/// A tiny factor, then a huge one: the error becomes too small for a number, and then large again.
#[test]
fn a_bound_that_underflows_is_no_bound_of_zero() {
    let nodes = 100;
    let graph = Graph::from_weighted_edges(nodes, &(0..nodes as u32).map(|i| (i, i)).collect::<Vec<_>>(), &vec![1e-44; nodes]).unwrap();
    let x = Array::from_fn(nodes, 1, |i, _| match i {
        0 => 0.0,
        1 => 25.5,
        _ => 2.0 * hash_feature(Seed(0), i, 0).abs(),
    });
    let features = Features::dense(x).unwrap();
    let eight = features.int8().unwrap();
    let linear = |k: usize, out: usize| LayerSpec { bias: false, ..LayerSpec::new(Op::Linear, &format!("c{k}"), 1, out) };
    let sum = |aggr| LayerSpec { bias: false, root_weight: false, aggr: Some(aggr), ..LayerSpec::new(Op::Graphconv, "c0", 1, 1) };
    // By a linear map, by a norm, and by the weights of edges, summed or compared.
    let firsts = [
        (linear(0, 1), vec![("c0.weight", 1e-44)]),
        (
            LayerSpec { norm: Some(Norm::Batch), ..linear(0, 1) },
            vec![
                ("c0.weight", 1.0),
                ("c0_norm.weight", 1e-44),
                ("c0_norm.bias", 0.0),
                ("c0_norm.running_mean", 0.0),
                ("c0_norm.running_var", 1.0),
            ],
        ),
        (sum(Reduce::Sum), vec![("c0.lin_rel.weight", 1.0)]),
        (sum(Reduce::Max), vec![("c0.lin_rel.weight", 1.0)]),
    ];
    for (first, tensors) in firsts {
        let name = format!("{first:?}");
        let mut weights = Weights::new();
        for (tensor, value) in tensors {
            let shape = if tensor.contains("norm") { Array::vector(vec![value]) } else { Array::matrix(1, 1, vec![value]).unwrap() };
            weights.insert(tensor, shape);
        }
        weights.insert("c1.weight", Array::matrix(1, 1, vec![3e38]).unwrap());
        weights.insert("c2.weight", Array::matrix(2, 1, vec![1e6, -1e6]).unwrap());
        let model = Model::new(ModelSpec::new(vec![first, linear(1, 1), linear(2, 2)]).unwrap(), &weights).unwrap();
        let exact = run(Planner::new(&model, &graph, &features), &name).output;
        let planner = Planner::new(&model, &graph, &eight).precision(Precision::Int8Features);
        let found = planner.plan().unwrap().run_bounded(ignore_events).unwrap().output;
        let mut apart = 0.0f32;
        for (k, (a, b)) in exact.as_slice().iter().zip(found.logits.as_slice()).enumerate() {
            let bound = found.bounds.as_slice()[k];
            assert!((a - b).abs() <= bound, "{name}, logit {k}: {} apart, bound {bound}", (a - b).abs());
            apart = apart.max((a - b).abs());
        }
        assert!(apart > 0.1, "{name}: nothing is lost, so nothing is shown");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn eight_bits_have_the_same_bits_on_every_schedule(seed in any::<u64>(), nodes in 1usize..30) {
        let random = &mut Random(seed);
        let setting = Setting::random(seed, &ops(seed), nodes);
        let what = format!("{:?} on {:?}", setting.model.spec(), setting.net);
        let folder = tempfile::tempdir().unwrap();
        let file = on_disk(folder.path(), &setting.graph);
        let eight = setting.features.int8().unwrap();
        let streamed = Features::npy(npy_of(folder.path(), "x.npy", &setting.x)).unwrap().int8().unwrap();
        let first = run(Planner::new(&setting.model, &setting.graph, &eight), &what);
        prop_assert!(first.facts.error_bound.is_none());
        let layers = setting.model.spec().layers();
        let rows = layers.iter().any(|l| matches!(l.op, Op::Gat | Op::Gatv2) || l.norm == Some(Norm::Layer) || l.l2_normalize);
        for precision in [Precision::F32, Precision::Int8Features] {
            let mut bound = None;
            for features in [&eight, &streamed] {
                let planner = Planner::new(&setting.model, &setting.graph, features).precision(precision);
                let (planner, options) = varied(random, planner, folder.path());
                let plan = planner.plan().unwrap();
                let solution = plan.run().unwrap();
                same(&first.output, &solution.output, &format!("{options}, {precision:?}: {what}"));
                let facts = solution.facts;
                prop_assert_eq!(facts.error_bound.is_some(), precision == Precision::Int8Features && !rows);
                prop_assert_eq!(*bound.get_or_insert(facts.error_bound), facts.error_bound, "{}: {}", options, what);
                prop_assert_eq!(facts.bytes_read, facts.predicted_bytes_read, "{}: {}", options, what);
                prop_assert!(facts.measured_peak <= facts.predicted_peak, "{options}: {what}");
            }
            let (planner, options) = varied_on_disk(random, Planner::new(&setting.model, &file, &eight), folder.path());
            let solution = planner.precision(precision).plan().unwrap().run().unwrap();
            same(&first.output, &solution.output, &format!("{options}: {what}"));
            prop_assert_eq!(bound.unwrap_or_default(), solution.facts.error_bound);
        }
        let planner = Planner::new(&setting.model, &setting.graph, &eight).precision(Precision::Int8Features);
        let minimum = planner.schedule().unwrap().minimum;
        let at = planner.clone().budget(MemoryBudget::Working(minimum)).plan().unwrap().run().unwrap();
        same(&first.output, &at.output, &what);
        prop_assert!(planner.clone().budget(MemoryBudget::Working(minimum - 1)).plan().is_err());
        let some = planner.plan().unwrap().run_nodes(&[0], Plan::run).unwrap().output;
        let row = first.output.row(0).to_vec();
        prop_assert_eq!(bits(&some), bits(&Array::matrix(1, row.len(), row).unwrap()));
    }
}

#[test]
fn entries_that_are_whole_multiples_of_a_step_stay_as_they_are() {
    let setting = Setting::random(7, &[Op::Linear], 256);
    let columns = setting.x.cols();
    let x = Array::from_fn(256, columns, |i, j| if j % 2 == 0 { i as f32 } else { 3.5 });
    let dense = Features::dense(x).unwrap();
    let eight = dense.int8().unwrap();
    assert_eq!(eight.stats(), FeatureStats::Int8 { columns });
    assert_eq!(eight.stats().bytes(256), (256 + 12) * columns as u64);
    let run = |features: &Features, precision| {
        Planner::new(&setting.model, &setting.graph, features).precision(precision).tier(Tier::Fused).plan().unwrap().run().unwrap()
    };
    let exact = run(&dense, Precision::F32);
    same(&exact.output, &run(&eight, Precision::F32).output, "256 steps");
    same(&exact.output, &run(&eight.int8().unwrap(), Precision::F32).output, "again");
}

#[test]
fn eight_bits_of_what_has_none_are_refused() {
    let setting = Setting::random(3, &[Op::Gcn], 5);
    let refused = |result: Result<Features, Error>| result.map(|_| ()).unwrap_err();
    let sparse = Features::sparse(Csr::from_dense(&setting.x.map(|&v| f64::from(v))).map(|&v| v as f32)).unwrap();
    assert_eq!(refused(sparse.int8()).kind(), "UnsupportedFormat");
    let folder = tempfile::tempdir().unwrap();
    let bad = Array::from_fn(3, 2, |i, j| if (i, j) == (2, 1) { f32::NAN } else { 1.0 });
    let error = refused(Features::npy(npy_of(folder.path(), "x.npy", &bad)).unwrap().int8());
    assert!(error.to_string().contains("features[2, 1]"), "{error}");
    let error = setting.planner().precision(Precision::Int8Features).plan().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("features in 8 bits"), "{error}");
    // The largest numbers there are do not become NaN without a word.
    let huge = Features::dense(Array::from_fn(4, 1, |i, _| if i % 2 == 0 { f32::MAX } else { -f32::MAX })).unwrap().int8().unwrap();
    assert_eq!(huge.rows(), 4);
}

//! What must hold whatever the data (section 10 of the spec).

use std::ops::ControlFlow;

use certus_contract::{Event, ignore_events};
use certus_gnn::{
    Activation, Error, FeatureStats, Features, Graph, GraphStats, Head, LayerSpec, MachineModel, MemoryBudget, Model, ModelSpec, Op, Order,
    Plan, Planner, Reduce, Reorder, Tier, Weights,
};
use certus_numeric::{Array, Csr};
use certus_testkit::same_bits;
use proptest::prelude::*;

use crate::support::{Net, OPS, Random, Setting, bits, features, is_empty, npy_of, on_disk, ops, run, same, spec, weights};

const REORDERS: [Option<Reorder>; 4] = [None, Some(Reorder::Degree), Some(Reorder::Bfs), Some(Reorder::ReverseCuthillMckee)];

/// The planner with random options of each kind; all must give the same bits.
pub(crate) fn varied<'a>(random: &mut Random, planner: Planner<'a>, folder: &std::path::Path) -> (Planner<'a>, String) {
    let tier = random.of(&[None, Some(Tier::Panels), Some(Tier::Spill), Some(Tier::Fused)]);
    let slice = random.of(&[None, Some(1), Some(2), Some(3), Some(5), Some(8), Some(12), Some(16), Some(1 << 20)]);
    let block = random.of(&[None, Some(1), Some(2), Some(5), Some(7), Some(1000), Some(usize::MAX)]);
    let threads = 1 + random.below(3);
    let reorder = random.of(&REORDERS);
    let mut planner = planner.threads(threads).spill_dir(folder);
    if let Some(reorder) = reorder {
        planner = planner.reorder(reorder);
    }
    if let Some(block) = block {
        planner = planner.row_block(block);
    }
    let with_slice = slice.map_or(planner.clone(), |slice| planner.clone().slice(slice));
    // Not every slice has every tier.
    let full = tier.map_or(with_slice.clone(), |tier| with_slice.clone().tier(tier));
    let planner = if full.schedule().is_ok() { full } else { with_slice };
    (planner, format!("{tier:?}, slice {slice:?}, block {block:?}, {threads} threads, {reorder:?}"))
}

/// The same of a graph on disk, read through buffers down to a single edge.
pub(crate) fn varied_on_disk<'a>(random: &mut Random, planner: Planner<'a>, folder: &std::path::Path) -> (Planner<'a>, String) {
    loop {
        let (planner, options) = varied(random, planner.clone(), folder);
        if !options.ends_with("None") {
            // It cannot be renumbered.
            continue;
        }
        let bytes = random.of(&[None, Some(0), Some(8), Some(16), Some(64), Some(usize::MAX)]);
        let planner = bytes.map_or(planner.clone(), |bytes| planner.clone().graph_buffer(bytes));
        return (planner, format!("{options}, on disk by {bytes:?} bytes"));
    }
}

#[track_caller]
fn schedules_agree(setting: &Setting, seed: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = on_disk(folder.path(), &setting.graph);
    let random = &mut Random(seed ^ 77);
    let model = format!("{:?} on {:?}", setting.model.spec(), setting.net);
    let first = run(setting.planner(), &model).output;
    let streamed = Features::npy(npy_of(folder.path(), "x.npy", &setting.x)).expect("features");
    let spill = tempfile::tempdir().expect("a folder");
    for k in 0..8 {
        let features = if k % 2 == 0 { &setting.features } else { &streamed };
        let (planner, options) = varied(random, Planner::new(&setting.model, &setting.graph, features), spill.path());
        let what = format!("{options}, streamed {}: {model}", k % 2 == 1);
        same(&first, &run(planner, &what).output, &what);
    }
    for k in 0..4 {
        let features = if k % 2 == 0 { &setting.features } else { &streamed };
        let (planner, options) = varied_on_disk(random, Planner::new(&setting.model, &file, features), spill.path());
        let what = format!("{options}, streamed {}: {model}", k % 2 == 1);
        same(&first, &run(planner, &what).output, &what);
    }
    assert!(is_empty(spill.path()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn each_layer_has_the_same_bits_on_every_schedule(seed in any::<u64>(), nodes in 1usize..40) {
        for op in OPS {
            schedules_agree(&Setting::random(seed, &[op], nodes), seed);
        }
    }

    #[test]
    fn each_stack_has_the_same_bits_on_every_schedule(seed in any::<u64>(), nodes in 1usize..40) {
        schedules_agree(&Setting::random(seed, &ops(seed), nodes), seed);
    }

    #[test]
    fn sparse_features_are_the_dense_ones(seed in any::<u64>(), nodes in 1usize..30) {
        let random = &mut Random(seed);
        let spec = spec(random, &ops(seed));
        let x = features(random, nodes, spec.in_channels(), false);
        let setting = Setting::new(Net::random(random, nodes, false), x, weights(random, &spec), spec);
        let sparse = Csr::from_dense(&setting.x.map(|&v| f64::from(v))).map(|&v| v as f32);
        let sparse = Features::sparse(sparse).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let what = format!("{:?} on {:?}", setting.model.spec(), setting.net);
        let dense_plan = setting.planner().plan().unwrap();
        let planner = Planner::new(&setting.model, &setting.graph, &sparse);
        let order = |layers: &[certus_gnn::PlannedLayer]| layers.iter().map(|layer| layer.order).collect::<Vec<_>>();
        let exact = order(&dense_plan.layers) == order(&planner.schedule().unwrap().layers);
        let dense = dense_plan.run().unwrap().output;
        let first = run(planner.clone(), &what).output;
        // The order of a linear map and a sum changes the last bits only.
        let divides = setting.model.spec().layers().iter().any(|l| l.l2_normalize || l.norm == Some(certus_gnn::Norm::Layer));
        if exact {
            same(&dense, &first, &what);
        } else if !divides {
            let largest = dense.as_slice().iter().fold(1.0f32, |a, v| a.max(v.abs()));
            for (a, b) in dense.as_slice().iter().zip(first.as_slice()) {
                prop_assert!((a - b).abs() <= 2e-5 * largest, "{what}: {a} and {b}");
            }
        }
        for _ in 0..4 {
            let (planner, options) = varied(random, planner.clone(), folder.path());
            same(&first, &run(planner, &what).output, &format!("{options}: {what}"));
        }
    }

    /// Property 2: the order changes the last bits alone, and each order has its own bits on every schedule.
    #[test]
    fn the_order_of_maps_and_sums_changes_the_last_bits_alone(seed in any::<u64>(), nodes in 1usize..30) {
        let random = &mut Random(seed);
        let op = random.of(&[Op::Gcn, Op::Sgc, Op::Sage, Op::Gin, Op::Graphconv]);
        let setting = Setting::random(seed, &[op, random.of(&OPS)], nodes);
        let what = format!("{:?} on {:?}", setting.model.spec(), setting.net);
        let folder = tempfile::tempdir().unwrap();
        let mut outputs = Vec::new();
        for order in [Order::CombineFirst, Order::AggregateFirst] {
            let planner = setting.planner().order(order);
            let schedule = planner.schedule().unwrap();
            for (layer, spec) in schedule.layers.iter().zip(setting.model.spec().layers()) {
                let extreme = matches!(spec.reduce(), Reduce::Max | Reduce::Min);
                match layer.op {
                    Op::Sage | Op::Graphconv if extreme => prop_assert_eq!(layer.order, Order::AggregateFirst),
                    Op::Gcn | Op::Sgc | Op::Sage | Op::Gin | Op::Graphconv => prop_assert_eq!(layer.order, order),
                    _ => prop_assert_eq!(layer.order, Order::CombineFirst),
                }
            }
            let first = run(planner.clone(), &what).output;
            for _ in 0..3 {
                let (planner, options) = varied(random, planner.clone(), folder.path());
                same(&first, &run(planner, &what).output, &format!("{order:?}, {options}: {what}"));
            }
            outputs.push(first);
        }
        let divides = setting.model.spec().layers().iter().any(|l| l.l2_normalize || l.norm == Some(certus_gnn::Norm::Layer));
        if !divides {
            let largest = outputs[0].as_slice().iter().fold(1.0f32, |a, v| a.max(v.abs()));
            for (a, b) in outputs[0].as_slice().iter().zip(outputs[1].as_slice()) {
                prop_assert!((a - b).abs() <= 1e-4 * largest, "{what}: {a} and {b}");
            }
        }
    }

    /// Property 3, with data.
    #[test]
    fn the_minimum_is_accepted_and_runs_and_one_byte_less_is_refused(seed in any::<u64>(), nodes in 1usize..60) {
        let random = &mut Random(seed);
        let setting = Setting::random(seed, &ops(seed), nodes);
        let folder = tempfile::tempdir().unwrap();
        let file = on_disk(folder.path(), &setting.graph);
        std::fs::remove_file(folder.path().join("graph.npz")).unwrap();
        let planner = if random.flip() { setting.planner() } else { Planner::new(&setting.model, &file, &setting.features) };
        let mut planner = planner.threads(1 + random.below(3));
        if random.flip() { planner = planner.spill_dir(folder.path()) }
        if random.flip() { planner = planner.owned_output() }
        if random.below(3) == 0 { planner = planner.slice(1 + random.below(9)) }
        if random.below(3) == 0 { planner = planner.row_block(1 + random.below(9)) }
        let schedule = planner.schedule().unwrap();
        let minimum = schedule.minimum;
        let solution = run(planner.clone().budget(MemoryBudget::Working(minimum)), "at the minimum");
        prop_assert_eq!(solution.facts.predicted_peak, minimum);
        same(&run(planner.clone(), "without a budget").output, &solution.output, "at the minimum");
        for less in [minimum - 1, minimum / 2, 1, 0] {
            match planner.clone().budget(MemoryBudget::Working(less)).plan() {
                Err(Error::BudgetTooSmall { budget, minimum: again, limiting_layer, .. }) => {
                    prop_assert_eq!((budget, again), (less, minimum));
                    prop_assert!(limiting_layer < setting.model.spec().layers().len());
                }
                other => prop_assert!(false, "{less} of {minimum} bytes: {:?}", other.map(|plan| plan.predicted_peak)),
            }
        }
        prop_assert!(is_empty(folder.path()));
    }

    /// Properties 3 and 4, by sizes alone: any size, any machine.
    #[test]
    fn plans_are_tight_and_monotone(seed in any::<u64>()) {
        let random = &mut Random(seed);
        let spec = spec(random, &ops(seed));
        let graph = GraphStats { nodes: 1 << random.below(32), edges: 1 << random.below(40), weighted: random.flip() };
        let columns = spec.in_channels();
        let features = random.of(&[
            FeatureStats::Dense { columns },
            FeatureStats::Sparse { columns, entries: 12345 },
            FeatureStats::Streamed { columns, entry_bytes: 2 },
        ]);
        let machine = MachineModel { disk: 10f64.powi(random.below(12) as i32), ..MachineModel::default() };
        let mut planner = Planner::from_stats(&spec, graph, features).threads(1 + random.below(8)).machine(machine);
        if random.flip() { planner = planner.allow_spill() }
        if random.flip() { planner = planner.owned_output() }
        let free = planner.schedule().unwrap();
        let minimum = free.minimum;
        prop_assert!(free.budget.is_none());
        prop_assert!(planner.clone().budget(MemoryBudget::Working(minimum - 1)).schedule().is_err());
        let mut seconds = f64::INFINITY;
        let mut budgets = free.frontier().iter().flat_map(|choice| [choice.peak - 1, choice.peak]).collect::<Vec<_>>();
        budgets.extend((0..24).map(|k| minimum + (free.predicted_peak - minimum.min(free.predicted_peak)) / 24 * k));
        budgets.extend([minimum, free.predicted_peak, u64::MAX]);
        budgets.retain(|&budget| budget >= minimum);
        budgets.sort_unstable();
        for budget in budgets {
            let schedule = planner.clone().budget(MemoryBudget::Working(budget)).schedule().unwrap();
            prop_assert!(schedule.predicted_peak <= budget);
            prop_assert_eq!(schedule.minimum, minimum);
            prop_assert!(schedule.seconds <= seconds, "{budget} bytes: {} after {seconds}", schedule.seconds);
            prop_assert_eq!(schedule.arena % 4, 0);
            seconds = schedule.seconds;
            // Nothing on the frontier within the budget is faster.
            let best = free.frontier().iter().filter(|c| c.peak <= budget).map(|c| c.seconds).fold(f64::INFINITY, f64::min);
            prop_assert!(seconds <= best * (1.0 + 1e-12), "{seconds} though the frontier has {best}");
        }
        prop_assert_eq!(seconds, free.seconds);
        prop_assert_eq!(free.frontier().iter().map(|choice| choice.peak).min(), Some(minimum));
        // No choice of the frontier is beaten by another.
        for a in free.frontier() {
            for b in free.frontier() {
                let beaten = b.peak <= a.peak && b.io <= a.io && b.seconds <= a.seconds && a != b;
                prop_assert!(!beaten, "{a:?} is beaten by {b:?}");
            }
        }
    }

    /// Property 7.
    #[test]
    fn renaming_nodes_renames_the_output(seed in any::<u64>(), nodes in 1usize..30) {
        let random = &mut Random(seed);
        let setting = Setting::random(seed, &ops(seed), nodes);
        let mut to = (0..nodes).collect::<Vec<_>>();
        for i in (1..nodes).rev() {
            to.swap(i, random.below(i + 1));
        }
        let mut x = setting.x.clone();
        for i in 0..nodes {
            x.row_mut(to[i]).copy_from_slice(setting.x.row(i));
        }
        let renamed = Setting::new(setting.net.renamed(&to), x, setting.weights.clone(), setting.model.spec().clone());
        let (a, b) = (run(setting.planner(), "a").output, run(renamed.planner(), "b").output);
        for i in 0..nodes {
            let equal = a.row(i).iter().zip(b.row(to[i])).all(|(a, b)| a.to_bits() == b.to_bits());
            prop_assert!(equal, "node {i}, now {}: {:?} and {:?}", to[i], a.row(i), b.row(to[i]));
        }
    }

    /// Property 11.
    #[test]
    fn some_nodes_alone_have_the_bits_of_the_whole(seed in any::<u64>(), nodes in 1usize..60) {
        let folder = tempfile::tempdir().unwrap();
        let random = &mut Random(seed ^ 5);
        let list = if random.flip() { ops(seed) } else { vec![random.of(&OPS)] };
        let setting = Setting::random(seed, &list, nodes);
        let what = format!("{:?} on {:?}", setting.model.spec(), setting.net);
        let streamed = Features::npy(npy_of(folder.path(), "x.npy", &setting.x)).unwrap();
        let sparse = Csr::from_dense(&setting.x.map(|&v| f64::from(v))).map(|&v| v as f32);
        let sparse = Features::sparse(sparse).unwrap();
        let spill = tempfile::tempdir().unwrap();
        for features in [&setting.features, &streamed, &sparse] {
            let whole = run(Planner::new(&setting.model, &setting.graph, features), &what).output;
            let mut ids = (0..1 + random.below(6)).map(|_| random.below(nodes) as u32).collect::<Vec<_>>();
            ids.push(ids[0]);
            let (planner, options) = varied(random, Planner::new(&setting.model, &setting.graph, features), spill.path());
            let what = format!("{ids:?}, {options}, {:?}: {what}", features.stats());
            let plan = planner.plan().unwrap();
            // Of a part again, by the numbers of the whole graph.
            let twice = |part: &Plan| Ok((part.run()?, part.run_nodes(&ids[..1], Plan::run)?.output));
            let (solution, again) = plan.run_nodes(&ids, twice).unwrap_or_else(|error| panic!("{what}: {error}"));
            prop_assert_eq!(solution.output.shape(), [ids.len(), whole.cols()]);
            for (k, &i) in ids.iter().enumerate() {
                let equal = solution.output.row(k).iter().zip(whole.row(i as usize)).all(|(a, b)| a.to_bits() == b.to_bits());
                prop_assert!(equal, "{what}: node {i}: {:?} and {:?}", solution.output.row(k), whole.row(i as usize));
            }
            let facts = solution.facts;
            // What a node that is asked for twice costs has a test of its own.
            let read = plan.run_nodes(&ids[..1], Plan::run).unwrap().facts;
            prop_assert_eq!(read.bytes_read, read.predicted_bytes_read, "{}", what);
            prop_assert_eq!(facts.bytes_written, facts.predicted_bytes_written, "{}", what);
            prop_assert!(facts.measured_peak <= facts.predicted_peak, "{what}");
            prop_assert_eq!(bits(&again), bits(&Array::matrix(1, whole.cols(), whole.row(ids[0] as usize).to_vec()).unwrap()));
            // Of a graph on disk too, whose part is in memory.
            let file = on_disk(folder.path(), &setting.graph);
            let disk = Planner::new(&setting.model, &file, features).graph_buffer(8).plan().unwrap();
            prop_assert_eq!(bits(&disk.run_nodes(&ids, Plan::run).unwrap().output), bits(&solution.output), "{}: on disk", what);
            // All nodes alone are the whole, and none are nothing.
            let all = (0..nodes as u32).collect::<Vec<_>>();
            same(&whole, &plan.run_nodes(&all, Plan::run).unwrap().output, &what);
            prop_assert_eq!(plan.run_nodes(&[], Plan::run).unwrap().output.len(), 0);
        }
        prop_assert!(is_empty(spill.path()));
    }

    /// Property 8; doubling is exact.
    #[test]
    fn propagation_is_linear(seed in any::<u64>(), nodes in 1usize..30) {
        for op in [Op::Sgc, Op::Appnp] {
            let random = &mut Random(seed);
            let mut layer = LayerSpec::new(op, "conv", 5, if op == Op::Appnp { 5 } else { random.of(&[1, 3, 5, 9]) });
            (layer.hops, layer.alpha, layer.bias) = (Some(random.below(5)), Some(0.125), false);
            let spec = ModelSpec::new(vec![layer]).unwrap();
            let tensors = weights(random, &spec);
            let net = Net::random(random, nodes, random.0.is_multiple_of(2));
            let (x, y) = (features(random, nodes, 5, false), features(random, nodes, 5, false));
            let combined = Array::from_fn(nodes, 5, |i, j| 0.5 * x.row(i)[j] - 2.0 * y.row(i)[j]);
            let twice = x.map(|v| 2.0 * v);
            let of = |x: &Array<f32>| run(Setting::new(net.clone(), x.clone(), tensors.clone(), spec.clone()).planner(), "linear").output;
            let (fx, fy, f, f2) = (of(&x), of(&y), of(&combined), of(&twice));
            prop_assert_eq!(bits(&fx.map(|v| 2.0 * v)), bits(&f2));
            let largest = fx.as_slice().iter().chain(fy.as_slice()).fold(1.0f32, |a, v| a.max(v.abs()));
            for k in 0..f.len() {
                let expected = 0.5 * fx.as_slice()[k] - 2.0 * fy.as_slice()[k];
                prop_assert!((f.as_slice()[k] - expected).abs() <= 2e-6 * largest, "{op:?}: {} for {expected}", f.as_slice()[k]);
            }
        }
    }

    /// Property 9: rows of attention sum to 1.
    #[test]
    fn attention_leaves_constants_alone(seed in any::<u64>(), nodes in 1usize..200) {
        for op in [Op::Gat, Op::Gatv2] {
            let random = &mut Random(seed);
            let mut layer = LayerSpec::new(op, "conv", 4, random.of(&[1, 3, 8, 17]));
            (layer.heads, layer.concat, layer.bias) = (1 + random.below(3), random.flip(), false);
            let spec = ModelSpec::new(vec![layer]).unwrap();
            let tensors = weights(random, &spec);
            let row = features(random, 1, 4, false);
            let x = Array::from_fn(nodes, 4, |_, j| row.row(0)[j]);
            // A hub with more neighbours than are held at a time.
            let mut net = Net::random(random, nodes, false);
            net.edges.extend((0..nodes as u32).flat_map(|j| [(j, 0), (j, 0)]));
            // Sums of so many terms in f32, each below 2 in magnitude; heads that are averaged may cancel.
            let rounding = 2.0 * (net.edges.len() + 10) as f32 * 2f32.powi(-24);
            let output = run(Setting::new(net, x, tensors, spec).planner(), "constant").output;
            for i in 1..nodes {
                for (a, b) in output.row(i).iter().zip(output.row(0)) {
                    prop_assert!((a - b).abs() <= rounding, "{op:?}, node {i}: {a} and {b}");
                }
            }
        }
    }

    /// Property 10.
    #[test]
    fn gcn_averages_on_a_regular_graph(seed in any::<u64>(), nodes in 1usize..30, degree in 0usize..7) {
        let random = &mut Random(seed);
        let net = Net {
            nodes,
            edges: (0..nodes).flat_map(|i| (1..=degree).map(move |k| (((i + k) % nodes) as u32, i as u32))).collect(),
            weights: None,
        };
        // A step around the ring may be a loop, which gcn drops.
        prop_assume!(degree < nodes);
        let mut layer = LayerSpec::new(Op::Gcn, "conv", 6, 6);
        layer.bias = false;
        let mut tensors = Weights::new();
        tensors.insert("conv.lin.weight", Array::from_fn(6, 6, |i, j| if i == j { 1.0 } else { 0.0 }));
        let x = features(random, nodes, 6, false);
        let output = run(Setting::new(net, x.clone(), tensors, ModelSpec::new(vec![layer]).unwrap()).planner(), "ring").output;
        for i in 0..nodes {
            for c in 0..6 {
                let mean = (0..=degree).map(|k| f64::from(x.row((i + k) % nodes)[c])).sum::<f64>() / (degree + 1) as f64;
                prop_assert!((f64::from(output.row(i)[c]) - mean).abs() <= 1e-6);
            }
        }
    }

    #[test]
    fn heads_and_sinks_agree(seed in any::<u64>(), nodes in 1usize..40) {
        let folder = tempfile::tempdir().unwrap();
        let random = &mut Random(seed);
        let setting = Setting::random(seed, &ops(seed), nodes);
        let (planner, _) = varied(random, setting.planner(), folder.path());
        let plan = planner.plan().unwrap();
        let logits = plan.run().unwrap().output;
        let columns = logits.cols();
        let (mut next, mut rows) = (0, Vec::new());
        plan.run_rows(Head::Logits, ignore_events, |first, block| {
            assert_eq!(first, next);
            assert!(!block.is_empty() && block.len() % columns == 0);
            next += block.len() / columns;
            rows.extend_from_slice(block);
            Ok(())
        }).unwrap();
        prop_assert_eq!(bits(&logits), bits(&Array::matrix(nodes, columns, rows).unwrap()));
        let path = folder.path().join("out.npy");
        plan.run_to_npy(&path, Head::Logits, ignore_events).unwrap();
        let file = certus_io::read_array(&path).unwrap();
        same(&logits, &file.map(|&v| v as f32), "the file");
        std::fs::remove_file(&path).unwrap();
        prop_assert!(is_empty(folder.path()));
        let classes = plan.run_classes(ignore_events).unwrap().output;
        let log = plan.run_with(Head::LogSoftmax, ignore_events).unwrap().output;
        let soft = plan.run_with(Head::Softmax, ignore_events).unwrap().output;
        for i in 0..nodes {
            let row = logits.row(i).iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let best = (0..columns).fold(0, |b, k| if row[k] > row[b] { k } else { b });
            prop_assert_eq!(classes.class[i] as usize, best);
            let next = (0..columns).filter(|&k| k != best).map(|k| row[k]).fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(f64::from(classes.margin[i]), f64::from((row[best] - next) as f32));
            let total = row.iter().map(|v| (v - row[best]).exp()).sum::<f64>();
            for k in 0..columns {
                let expected = row[k] - row[best] - total.ln();
                prop_assert!((f64::from(log.row(i)[k]) - expected).abs() <= 2e-6 * expected.abs().max(1.0));
                prop_assert!((f64::from(soft.row(i)[k]) - expected.exp()).abs() <= 2e-6);
            }
        }
    }
}

#[test]
fn pools_of_threads_do_not_matter() {
    for seed in 0..6 {
        let setting = Setting::random(seed, &ops(seed + 100), 50);
        same_bits(|| {
            (1..4)
                .flat_map(|threads| setting.planner().threads(threads).plan().unwrap().run().unwrap().output.into_vec())
                .collect::<Vec<_>>()
        });
    }
}

/// Every operation in the middle of a model, between layers that leave heads' panels behind and panels in front.
#[test]
fn each_pair_of_layers_has_the_same_bits_on_every_schedule() {
    for (a, first) in OPS.into_iter().enumerate() {
        for (b, second) in OPS.into_iter().enumerate() {
            schedules_agree(&Setting::random((100 * a + b) as u64, &[first, second], 17), (a + b) as u64);
        }
    }
}

/// Property 13, with a spilling run of four layers.
fn spilling() -> (Setting, tempfile::TempDir) {
    let mut setting = Setting::random(3, &[Op::Gcn, Op::Sage, Op::Gat, Op::Appnp], 40);
    setting.net.weights = None;
    (setting, tempfile::tempdir().expect("a folder"))
}

/// Files in the folder as the system sees them, those without a name too.
fn open_files(folder: &std::path::Path) -> usize {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).filter(|target| target.starts_with(folder)).count()
}

#[test]
fn the_spill_folder_is_empty_after_any_end() {
    let (setting, folder) = spilling();
    let planner = setting.planner().spill_dir(folder.path()).tier(Tier::Spill).slice(2);
    let plan = planner.clone().plan().unwrap();
    assert!(plan.run().unwrap().facts.bytes_written > 0);
    let clean = |what: &str| {
        assert!(is_empty(folder.path()), "{what}");
        assert_eq!(open_files(folder.path()), 0, "{what}");
    };
    clean("success");
    assert!(planner.clone().budget(MemoryBudget::Working(10)).plan().is_err());
    clean("refusal");
    let mut steps = 0;
    plan.run_with(Head::Logits, |event: &Event| {
        steps += 1;
        assert_eq!(event.done, steps);
        assert!(event.total.is_some_and(|total| event.done <= total));
        ControlFlow::Continue(())
    })
    .unwrap();
    for stop in 1..=steps {
        let stopped = plan.run_with(
            Head::Logits,
            |event: &Event| {
                if event.done == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        assert_eq!(stopped.err().map(|error| error.kind()), Some("Stopped"), "step {stop}");
        clean("a stopped observer");
    }
    let refused = plan.run_rows(Head::Logits, ignore_events, |_, _| Err(Error::Stopped { layer: 7 }));
    assert!(matches!(refused, Err(Error::Stopped { layer: 7 })));
    clean("a refusing callback");
    let caught = std::panic::catch_unwind(|| plan.run_rows(Head::Logits, ignore_events, |_, _| panic!("on purpose")));
    assert!(caught.is_err());
    clean("a panic in the callback");
    let caught = std::panic::catch_unwind(|| plan.run_with(Head::Logits, |_: &Event| panic!("on purpose")));
    assert!(caught.is_err());
    clean("a panic in the observer");
    let huge = Array::from_fn(40, setting.x.cols(), |_, _| 3e38f32);
    let huge = Features::dense(huge).unwrap();
    let planner = Planner::new(&setting.model, &setting.graph, &huge).spill_dir(folder.path()).tier(Tier::Spill).slice(2);
    let overflow = planner.plan().unwrap().run();
    assert_eq!(overflow.err().map(|error| error.kind()), Some("Overflow"));
    clean("an overflow");
    // And the plan can be run again.
    same(&run(setting.planner(), "in memory").output, &plan.run().unwrap().output, "again");
    clean("success again");
}

#[test]
fn a_file_that_cannot_be_completed_is_not_there() {
    let (setting, folder) = spilling();
    let plan = setting.planner().plan().unwrap();
    let path = folder.path().join("out.npy");
    let stopped = plan.run_to_npy(&path, Head::Logits, |_: &Event| ControlFlow::Break(()));
    assert_eq!(stopped.err().map(|error| error.kind()), Some("Stopped"));
    assert!(is_empty(folder.path()));
}

/// The counterexample of section 5 of the proofs: a planner that combines first for a maximum is wrong.
#[test]
fn a_maximum_does_not_commute_with_the_linear_map() {
    let mut layer = LayerSpec::new(Op::Sage, "conv", 2, 1);
    (layer.aggr, layer.root_weight, layer.bias) = (Some(Reduce::Max), false, false);
    let mut tensors = Weights::new();
    tensors.insert("conv.lin_l.weight", Array::matrix(1, 2, vec![1.0, 1.0]).unwrap());
    let model = Model::new(ModelSpec::new(vec![layer]).unwrap(), &tensors).unwrap();
    let graph = Graph::from_edges(3, [(0, 2), (1, 2)]).unwrap();
    for features in [
        Features::dense(Array::matrix(3, 2, vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap()).unwrap(),
        Features::sparse(Csr::new(3, 2, vec![0, 1, 2, 2], vec![0, 1], vec![1.0, 1.0]).unwrap()).unwrap(),
    ] {
        let output = run(Planner::new(&model, &graph, &features), "max").output;
        assert_eq!(output.as_slice(), [0.0, 0.0, 2.0]);
    }
}

/// Weights of edges multiply the messages of graphconv (3.7), whatever is done with them; PyTorch Geometric does so too.
#[test]
fn a_maximum_of_weighted_messages() {
    for (reduce, expected) in [(Reduce::Max, 3.0), (Reduce::Min, -4.0), (Reduce::Sum, -1.0), (Reduce::Mean, -0.5)] {
        let mut layer = LayerSpec::new(Op::Graphconv, "conv", 1, 1);
        (layer.aggr, layer.root_weight, layer.bias, layer.activation) = (Some(reduce), false, false, Activation::None);
        let mut tensors = Weights::new();
        tensors.insert("conv.lin_rel.weight", Array::matrix(1, 1, vec![1.0]).unwrap());
        let graph = Graph::from_weighted_edges(3, &[(0, 2), (1, 2)], &[3.0, -2.0]).unwrap();
        let features = Features::dense(Array::matrix(3, 1, vec![1.0, 2.0, 0.0]).unwrap()).unwrap();
        // Either that, or a refusal: never the weights ignored in silence.
        if let Ok(model) = Model::new(ModelSpec::new(vec![layer]).unwrap(), &tensors)
            && let Ok(plan) = Planner::new(&model, &graph, &features).plan()
        {
            assert_eq!(plan.run().unwrap().output.as_slice(), [0.0, 0.0, expected], "{reduce:?}");
        }
    }
}

/// Property 6 for a node that is asked for several times.
#[test]
fn a_node_that_is_asked_for_twice_is_read_as_predicted() {
    let (setting, folder) = spilling();
    let plan = setting.planner().spill_dir(folder.path()).tier(Tier::Spill).slice(2).plan().unwrap();
    for ids in [vec![3, 5], vec![3, 3, 3, 5]] {
        let solution = plan.run_nodes(&ids, Plan::run).unwrap();
        assert_eq!(solution.facts.bytes_read, solution.facts.predicted_bytes_read, "{ids:?}: {}", solution.certificate);
    }
}

#[test]
fn everything_may_be_sent_and_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<(Graph, Features, Model, ModelSpec)>();
    shared::<(Planner, certus_gnn::Plan, certus_gnn::Schedule, Weights)>();
    // One plan, run by two threads at once, with a spill folder.
    let (setting, folder) = spilling();
    let plan = setting.planner().spill_dir(folder.path()).tier(Tier::Spill).slice(2).plan().unwrap();
    let right = plan.run().unwrap().output;
    let (a, b) = rayon::join(|| plan.run().unwrap(), || plan.run().unwrap());
    same(&right, &a.output, "the first");
    same(&right, &b.output, "the second");
    assert_eq!((a.facts.bytes_read, b.facts.bytes_read), (plan.bytes_read, plan.bytes_read));
}

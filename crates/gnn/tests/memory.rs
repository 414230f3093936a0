//! Bytes that the allocator counts against bytes that the plan promises.

use certus_contract::ignore_events;
use certus_gnn::{
    Activation, FeatureStats, Features, Graph, GraphFile, GraphStats, Head, LayerSpec, MemoryBudget, Model, ModelSpec, Norm, Op, Plan,
    Planner, Precision, Reduce, Reorder, Tier,
};
use certus_testkit::memory::{alone, peak};

use crate::support::{Random, features, npy_of, npz_of, weights};

const NODES: usize = 20_000;

fn graph(random: &mut Random, nodes: usize) -> Graph {
    let node = |random: &mut Random| random.below(nodes) as u32;
    let edges = (0..5 * nodes).map(|k| if k % 16 == 0 { (node(random), 7) } else { (node(random), node(random)) });
    Graph::from_edges(nodes, edges.collect::<Vec<_>>()).expect("a graph")
}

fn stack(op: Op, norm: Option<Norm>) -> ModelSpec {
    let mut first = LayerSpec::new(op, "conv0", 12, if op == Op::Appnp { 12 } else { 16 });
    (first.hops, first.alpha, first.heads, first.norm) = (Some(2), Some(0.1), 1, norm);
    first.activation = Activation::Elu;
    if op == Op::Gat || op == Op::Gatv2 {
        (first.heads, first.out_channels) = (2, 8);
    }
    let mut second = LayerSpec::new(op, "conv1", first.width(), if op == Op::Appnp { 12 } else { 7 });
    (second.hops, second.alpha, second.heads, second.concat) = (Some(2), Some(0.1), first.heads, false);
    ModelSpec::new(vec![first, second]).expect("a model")
}

fn pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    // Its threads have begun.
    pool.broadcast(|_| ());
    pool
}

/// The peak of `run_rows` beyond what was held before, against the plan's.
#[track_caller]
fn measure(planner: Planner, pool: &rayon::ThreadPool, what: &str) {
    if let Some(excess) = excess(planner, pool, what) {
        panic!("{excess}");
    }
}

#[track_caller]
fn excess(planner: Planner, pool: &rayon::ThreadPool, what: &str) -> Option<String> {
    let plan = planner.plan().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut sum = 0.0;
    let (facts, bytes) = pool.install(|| {
        peak(|| {
            plan.run_rows(Head::LogSoftmax, ignore_events, |_, rows| {
                sum += rows[0];
                Ok(())
            })
        })
    });
    let facts = facts.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(sum.is_finite());
    assert!(bytes as u64 >= facts.measured_peak - facts.overhead, "{what}: {bytes} bytes held, but {facts:?}");
    let promised = facts.predicted_peak;
    (bytes as u64 > promised).then(|| format!("{what}: {bytes} bytes held, {promised} predicted"))
}

#[test]
fn no_tier_holds_more_than_its_plan_says() {
    alone(|| {
        let random = &mut Random(1);
        let graph = graph(random, NODES);
        let x = features(random, NODES, 12, false);
        let folder = tempfile::tempdir().expect("a folder");
        let streamed = Features::npy(npy_of(folder.path(), "x.npy", &x)).expect("features");
        let dense = Features::dense(x).expect("features");
        let pools = [pool(1), pool(3)];
        for op in [Op::Gcn, Op::Sgc, Op::Appnp, Op::Sage, Op::Gin, Op::Gat, Op::Gatv2, Op::Graphconv, Op::Tag, Op::Linear] {
            let spec = stack(op, if op == Op::Gcn { Some(Norm::Layer) } else { None });
            let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
            for (k, features) in [&dense, &streamed].into_iter().enumerate() {
                let (pool, threads) = (&pools[k], 1 + 2 * k);
                let planner = || Planner::new(&model, &graph, features).threads(threads).spill_dir(folder.path());
                for (tier, slice) in [(Tier::Fused, 16), (Tier::Panels, 4), (Tier::Panels, 1), (Tier::Spill, 4), (Tier::Spill, 16)] {
                    // Each block of rows is a call of the system.
                    let with = planner().tier(tier).slice(slice).row_block(256);
                    if with.schedule().is_ok() {
                        measure(with, pool, &format!("{op:?} {tier} {slice} {threads}"));
                    }
                }
                if op == Op::Gcn || op == Op::Gat {
                    let minimum = planner().schedule().expect("a plan").minimum;
                    measure(planner().budget(MemoryBudget::Working(minimum)), pool, &format!("{op:?} at {minimum} bytes"));
                }
            }
        }
    });
}

/// A graph on disk takes its buffers, and nothing that grows with it.
#[test]
fn a_graph_on_disk_takes_its_buffers_alone() {
    alone(|| {
        let random = &mut Random(6);
        let graph = graph(random, NODES);
        let weighted = graph.clone().with_weights((0..graph.edges()).map(|_| 1.5 + random.number()).collect()).expect("weights");
        let x = features(random, NODES, 12, false);
        let folder = tempfile::tempdir().expect("a folder");
        let streamed = Features::npy(npy_of(folder.path(), "x.npy", &x)).expect("features");
        let pools = [pool(1), pool(3)];
        for graph in [graph, weighted] {
            let path = npz_of(folder.path(), "graph.npz", &graph);
            let (file, bytes) = peak(|| GraphFile::open(&path));
            let file = file.expect("a graph");
            // Buffers of the readers of archives, and three of 16 KiB: the graph's arrays take more than 500 KiB.
            assert!(bytes <= 128 << 10, "{bytes} bytes to open a graph");
            for op in [Op::Gcn, Op::Appnp, Op::Sage, Op::Gin, Op::Gat, Op::Gatv2, Op::Graphconv, Op::Tag] {
                let spec = stack(op, None);
                let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
                for (pool, threads) in pools.iter().zip([1, 3]) {
                    let planner = || Planner::new(&model, &file, &streamed).threads(threads).spill_dir(folder.path());
                    for (tier, slice) in [(Tier::Fused, 16), (Tier::Panels, 4), (Tier::Spill, 4)] {
                        let with = planner().tier(tier).slice(slice).row_block(256);
                        if let Ok(schedule) = with.schedule() {
                            assert!(schedule.graph_on_disk && schedule.resident.graph <= 4096, "{:?}", schedule.resident);
                            measure(with, pool, &format!("{op:?} {tier} {slice} {threads} on disk"));
                        }
                    }
                    if op != Op::Gcn || threads == 3 {
                        continue;
                    }
                    // Each block of rows is a call of the system, and of one row at the minimum.
                    let minimum = planner().schedule().expect("a plan").minimum;
                    let in_all = minimum + planner().schedule().expect("a plan").resident.total();
                    measure(planner().budget(MemoryBudget::Total(in_all)), pool, &format!("{op:?} at {in_all} bytes in all"));
                    assert!(planner().budget(MemoryBudget::Total(in_all - 1)).plan().is_err());
                }
            }
        }
    });
}

/// The same of every precision.
#[test]
fn no_precision_holds_more_than_its_plan_says() {
    alone(|| {
        let random = &mut Random(7);
        let graph = graph(random, NODES);
        let dense = Features::dense(features(random, NODES, 12, false)).expect("features");
        let eight = dense.int8().expect("features");
        let folder = tempfile::tempdir().expect("a folder");
        let pool = pool(1);
        for op in [Op::Gcn, Op::Sage, Op::Tag] {
            let spec = stack(op, None);
            let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
            for precision in [Precision::F16, Precision::F16Unbounded, Precision::Int8Features] {
                for (tier, slice) in [(Tier::Panels, 4), (Tier::Spill, 4)] {
                    let features = if precision == Precision::Int8Features { &eight } else { &dense };
                    let planner = Planner::new(&model, &graph, features).precision(precision).spill_dir(folder.path());
                    measure(planner.tier(tier).slice(slice).row_block(256), &pool, &format!("{op:?} {precision:?} {tier}"));
                }
            }
        }
    });
}

/// Where panels are many and rows few, lists of panels are what takes memory.
#[test]
fn many_panels_stay_within_the_declared_bytes() {
    alone(|| {
        let random = &mut Random(2);
        let graph = graph(random, 30);
        let pools = [pool(1), pool(3)];
        let folder = tempfile::tempdir().expect("a folder");
        let x = features(random, 30, 900, false);
        let dense = Features::dense(x).expect("features");
        let mut all = Vec::new();
        for op in [Op::Gcn, Op::Sage, Op::Gin, Op::Gat, Op::Gatv2, Op::Graphconv, Op::Tag, Op::Appnp, Op::Linear] {
            let mut first = LayerSpec::new(op, "conv0", 900, 900);
            (first.hops, first.alpha, first.skip, first.norm) = (Some(2), Some(0.1), true, Some(Norm::Layer));
            let mut second = LayerSpec::new(Op::Sage, "conv1", 900, 901);
            second.aggr = Some(Reduce::Max);
            let spec = ModelSpec::new(vec![first, second]).expect("a model");
            let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
            for (pool, threads) in pools.iter().zip([1, 3]) {
                for tier in [Tier::Panels, Tier::Spill] {
                    let planner = Planner::new(&model, &graph, &dense).threads(threads).spill_dir(folder.path());
                    all.extend(excess(planner.tier(tier).slice(1).row_block(32), pool, &format!("{op:?} {tier} {threads}")));
                }
            }
        }
        assert!(all.is_empty(), "{all:#?}");
    });
}

/// The output that a run gives is counted where the planner was told of it; of classes there is no more than that.
#[test]
fn an_owned_output_is_counted() {
    alone(|| {
        let random = &mut Random(3);
        let graph = graph(random, NODES);
        let dense = Features::dense(features(random, NODES, 12, false)).expect("features");
        let spec = stack(Op::Gcn, None);
        let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
        let pool = pool(1);
        let plan = Planner::new(&model, &graph, &dense).owned_output().plan().expect("a plan");
        let (solution, bytes) = pool.install(|| peak(|| plan.run()));
        let facts = solution.expect("an answer").facts;
        assert!(bytes as u64 <= facts.predicted_peak, "{bytes} held, {} predicted", facts.predicted_peak);
        let (classes, bytes) = pool.install(|| peak(|| plan.run_classes(ignore_events)));
        assert!(bytes as u64 <= classes.expect("classes").facts.predicted_peak, "{bytes}");
        let plan = Planner::new(&model, &graph, &dense).plan().expect("a plan");
        let folder = tempfile::tempdir().expect("a folder");
        let (file, bytes) = pool.install(|| peak(|| plan.run_to_npy(folder.path().join("y.npy"), Head::Logits, ignore_events)));
        assert!(bytes as u64 <= file.expect("a file").facts.predicted_peak, "{bytes}");
        // Classes are held, too, whether the planner was told of an output or not.
        let (classes, bytes) = pool.install(|| peak(|| plan.run_classes(ignore_events)));
        let facts = classes.expect("classes").facts;
        assert!(bytes as u64 <= facts.predicted_peak && bytes as u64 > plan.schedule().arena, "{bytes}");
        assert_eq!(facts.predicted_peak, plan.schedule().predicted_peak + 8 * NODES as u64);
        // A node may be asked for many times.
        let plan = Planner::new(&model, &graph, &dense).owned_output().plan().expect("a plan");
        let many = |part: &Plan| {
            let (solution, bytes) = pool.install(|| peak(|| part.run()));
            assert!(bytes as u64 <= solution?.facts.predicted_peak, "{bytes}");
            Ok(part.schedule().predicted_peak - part.schedule().arena - part.schedule().overhead)
        };
        assert_eq!(plan.run_nodes(&[3; 50_000], many).expect("an answer"), 4 * 50_000 * 7);
    });
}

/// Rule 2 of the spec: what a run holds is within the budget that its certificate says was kept, whoever forgot to tell the planner.
#[test]
fn a_certified_run_holds_no_more_than_its_budget() {
    alone(|| {
        let random = &mut Random(3);
        let graph = graph(random, NODES);
        let dense = Features::dense(features(random, NODES, 12, false)).expect("features");
        let spec = stack(Op::Gcn, None);
        let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
        let pool = pool(1);
        let minimum = Planner::new(&model, &graph, &dense).schedule().expect("a plan").minimum;
        let plan = Planner::new(&model, &graph, &dense).budget(MemoryBudget::Working(minimum)).plan().expect("a plan");
        let (solution, bytes) = pool.install(|| peak(|| plan.run()));
        let facts = solution.expect("an answer").facts;
        assert!(bytes as u64 <= facts.predicted_peak, "{bytes} held by run(), {} certified", facts.predicted_peak);
    });
}

/// Section 4.5: the plan is among what the overhead declares; and planning allocates nothing that grows with the graph.
#[test]
fn a_plan_is_small() {
    alone(|| {
        let random = &mut Random(4);
        let graph = graph(random, 1000);
        let dense = Features::dense(features(random, 1000, 128, false)).expect("features");
        let mut layer = LayerSpec::new(Op::Appnp, "conv0", 128, 128);
        (layer.hops, layer.alpha) = (Some(10), Some(0.1));
        let spec = ModelSpec::new(vec![layer]).expect("a model");
        let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
        let planner = Planner::new(&model, &graph, &dense);
        let minimum = planner.schedule().expect("a plan").minimum;
        let planner = planner.budget(MemoryBudget::Working(minimum));
        let mut plan = None;
        let ((), while_planning) = peak(|| plan = Some(planner.plan().expect("a plan")));
        let plan = plan.expect("a plan");
        let (copy, kept) = peak(|| plan.clone());
        assert_eq!(copy.minimum, minimum);
        assert!(kept as u64 <= plan.overhead, "the plan takes {kept} bytes, {} are declared", plan.overhead);
        assert!(while_planning <= 1 << 20, "planning took {while_planning} bytes");
    });
}

/// The planner does `O(layers x candidates)` work, also for many steps of wide layers: it lists no step for each of their panels.
#[test]
fn planning_many_hops_of_a_wide_layer_takes_little() {
    alone(|| {
        let mut deep = LayerSpec::new(Op::Sgc, "conv", 1024, 1024);
        deep.hops = Some(64);
        let spec = ModelSpec::new(vec![deep]).expect("a model");
        let graph = GraphStats { nodes: 1000, edges: 5000, weighted: false };
        let planner = Planner::from_stats(&spec, graph, FeatureStats::Dense { columns: 1024 });
        let (schedule, bytes) = peak(|| planner.schedule());
        assert!(schedule.is_ok());
        assert!(bytes <= 4 << 20, "{bytes} bytes for a schedule");
    });
}

/// Section 4.7: the sets of a receptive field are counted.
#[test]
fn the_receptive_field_is_counted() {
    alone(|| {
        let random = &mut Random(5);
        let graph = graph(random, NODES);
        let dense = Features::dense(features(random, NODES, 12, false)).expect("features");
        let spec = stack(Op::Gcn, None);
        let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
        let pool = pool(1);
        let plan = Planner::new(&model, &graph, &dense).plan().expect("a plan");
        let ids = (0..4000).collect::<Vec<u32>>();
        let (facts, bytes) =
            pool.install(|| peak(|| plan.run_nodes(&ids, |part| part.run_rows(Head::Logits, ignore_events, |_, _| Ok(()))).expect("rows")));
        let counted = facts.predicted_peak + facts.resident.graph;
        assert!(bytes as u64 <= counted, "{bytes} bytes held, {counted} counted, the part of the graph included");
    });
}

/// A renumbered graph is counted, at least among what is in memory beside.
#[test]
fn a_renumbered_graph_is_counted() {
    alone(|| {
        let random = &mut Random(5);
        let graph = graph(random, NODES);
        let dense = Features::dense(features(random, NODES, 12, false)).expect("features");
        let spec = stack(Op::Gcn, None);
        let model = Model::new(spec.clone(), &weights(random, &spec)).expect("a model");
        let pool = pool(1);
        let planner = Planner::new(&model, &graph, &dense).reorder(Reorder::Degree);
        let (facts, bytes) = pool.install(|| {
            peak(|| {
                let plan = planner.plan().expect("a plan");
                plan.run_rows(Head::Logits, ignore_events, |_, _| Ok(())).expect("rows")
            })
        });
        let counted = facts.predicted_peak + facts.resident.graph - graph.stats().bytes();
        assert!(bytes as u64 <= counted, "{bytes} bytes held, {counted} counted beside the input");
    });
}

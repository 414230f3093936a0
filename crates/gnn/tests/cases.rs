//! Every reference case, at the tolerance that the folder's README states.

use certus_gnn::{
    FeatureStats, Features, Graph, GraphStats, Head, LayerSpec, MemoryBudget, Model, ModelSpec, Op, Plan, Planner, Tier, Weights,
    certificate, read_graph,
};
use certus_numeric::Array;
use certus_testkit::cases::{array, existing, external, json, numbers, shipped};
use serde_json::{Value, json};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// A layer of the index, as a model of one layer.
fn model(case: &Value, archive: &std::path::Path) -> Model {
    let name = case["case"].as_str().expect("a name");
    let mut layer = case["options"].clone();
    for key in ["op", "in_channels", "out_channels"] {
        layer[key] = case[key].clone();
    }
    let spec = ModelSpec::from_json(&json!({ "layers": [layer] }).to_string()).expect(name);
    let mut weights = Weights::new();
    let mut file = certus_io::Npz::open(archive).expect(name);
    let prefix = format!("{name}/param/");
    for tensor in file.names().map(str::to_owned).collect::<Vec<_>>() {
        if let Some(short) = tensor.strip_prefix(&prefix) {
            weights.insert(short, file.array::<f64>(&tensor).expect(name).map(|&v| v as f32));
        }
    }
    Model::new(spec, &weights).expect(name)
}

fn graph(case: &Value, archive: &std::path::Path) -> Graph {
    let nodes = array(archive, "num_nodes").as_slice()[0] as usize;
    let pairs = array(archive, "edge_index");
    let edges = (0..pairs.cols()).map(|k| (pairs.row(0)[k] as u32, pairs.row(1)[k] as u32)).collect::<Vec<_>>();
    match &case["edge_weight"] {
        Value::Bool(true) => {
            let weights = array(archive, "edge_weight").as_slice().iter().map(|&w| w as f32).collect::<Vec<_>>();
            Graph::from_weighted_edges(nodes, &edges, &weights).expect("a graph")
        }
        Value::String(_) => Graph::from_weighted_edges(nodes, &edges, &vec![1.0; edges.len()]).expect("a graph"),
        _ => Graph::from_edges(nodes, edges).expect("a graph"),
    }
}

#[test]
fn each_layer_is_that_of_pytorch_geometric_on_every_tier_and_slice() {
    let index = json(shipped(FOLDER, "layers/index.json"));
    let folder = tempfile::tempdir().expect("a folder");
    for case in index.as_array().expect("a list") {
        let name = format!("{} on {}", case["case"], case["graph"]);
        let archive = shipped(FOLDER, &format!("layers/{}.npz", case["graph"].as_str().expect("a graph")));
        let (model, graph) = (model(case, &archive), graph(case, &archive));
        let x = array(&archive, "x").map(|&v| v as f32);
        let features = Features::dense(x).expect("features");
        let expected = array(&archive, &format!("{}/out", case["case"].as_str().expect("a name")));
        let largest = expected.as_slice().iter().fold(1.0f64, |a, v| a.max(v.abs()));
        let mut first: Option<Array<f32>> = None;
        for (tier, slice) in [(None, None), (Some(Tier::Panels), Some(1)), (Some(Tier::Panels), Some(3)), (Some(Tier::Spill), Some(2))] {
            let mut planner = Planner::new(&model, &graph, &features).spill_dir(folder.path()).threads(2);
            if let (Some(tier), Some(slice)) = (tier, slice) {
                planner = planner.tier(tier).slice(slice).row_block(slice);
            }
            let solution = planner.plan().and_then(|plan| plan.run()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(solution.output.shape(), expected.shape(), "{name}");
            for (found, expected) in solution.output.as_slice().iter().zip(expected.as_slice()) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= 2e-5 * largest, "{name} {tier:?} {slice:?}: {found} and {expected}");
            }
            assert_eq!(solution.certificate.verdict(), certus_contract::Verdict::Holds, "{name}: {}", solution.certificate);
            match &first {
                None => first = Some(solution.output),
                Some(first) => assert!(bits(first) == bits(&solution.output), "{name} {tier:?} {slice:?}"),
            }
        }
    }
}

fn bits(array: &Array<f32>) -> Vec<u32> {
    array.as_slice().iter().map(|v| v.to_bits()).collect()
}

/// A trained model with its graph.
struct Trained {
    manifest: Value,
    model: Model,
    graph: Graph,
    features: Features,
    labels: Vec<f64>,
    test: Vec<f64>,
    logits: Array,
}

fn trained(folder: &std::path::Path, name: &str) -> Trained {
    let manifest = json(existing(folder.join(name)));
    let text = |key: &str| manifest[key].as_str().expect("a text").to_owned();
    let archive = existing(folder.join(format!("{}.npz", text("dataset"))));
    let (graph, features) = read_graph(&archive).expect("a graph");
    let weights = Weights::read(folder.join(text("weights"))).expect("weights");
    let spec = ModelSpec::from_json(&manifest.to_string()).expect("a model");
    Trained {
        model: Model::new(spec, &weights).expect("a model"),
        graph,
        features: features.expect("features"),
        labels: array(&archive, "y").into_vec(),
        test: array(&archive, "test_idx").into_vec(),
        logits: certus_io::read_array(folder.join(text("logits"))).expect("logits"),
        manifest,
    }
}

const MODELS: [&str; 10] = [
    "citeseer_gcn.json",
    "cora_appnp.json",
    "cora_gat.json",
    "cora_gatv2.json",
    "cora_gcn.json",
    "cora_gin.json",
    "cora_sage_max.json",
    "cora_sage_mean.json",
    "cora_sgc.json",
    "twitch_ptbr_sage3.json",
];

#[test]
fn trained_models_give_their_logits_and_their_accuracy() {
    let Some(folder) = external("gnn") else { return };
    for name in MODELS {
        let t = trained(&folder, name);
        let number = |key: &str| t.manifest[key].as_f64().expect("a number");
        let plan = Planner::new(&t.model, &t.graph, &t.features).plan().expect(name);
        let output = plan.run().expect(name).output;
        let tolerance = 1e-5 * number("logits_abs_max").max(1.0);
        for (found, expected) in output.as_slice().iter().zip(t.logits.as_slice()) {
            assert!((f64::from(*found) - expected).abs() <= tolerance, "{name}: {found} and {expected}");
        }
        let classes = plan.run_classes(certus_contract::ignore_events).expect(name).output;
        let correct = t.test.iter().filter(|&&i| f64::from(classes.class[i as usize]) == t.labels[i as usize]).count();
        let (expected, ties) = (number("test_correct"), number("nodes_with_gap_below_1e_4"));
        assert!((correct as f64 - expected).abs() <= ties, "{name}: {correct} correct, not {expected}");
    }
}

#[test]
fn stored_models_keep_to_the_budgets_of_the_cases() {
    let cases = json(shipped(FOLDER, "memory_cases.json"));
    let Some(folder) = external("gnn") else { return };
    let spill = tempfile::tempdir().expect("a folder");
    for case in cases["stored_models"].as_array().expect("a list") {
        let name = case["model"].as_str().expect("a name");
        let t = trained(&folder, name);
        let planner = || Planner::new(&t.model, &t.graph, &t.features);
        let bytes = |key: &str| case[key].as_u64();
        let unlimited = planner().plan().expect(name).run().expect(name).output;
        let run = |plan: Result<Plan, certus_gnn::Error>, what: &str| {
            // Rows are handed over: an output of the caller's is not in these budgets.
            let mut output = Vec::new();
            let facts = plan.and_then(|plan| {
                plan.run_rows(Head::Logits, certus_contract::ignore_events, |_, rows| {
                    output.extend(rows.iter().map(|v| v.to_bits()));
                    Ok(())
                })
            });
            let certificate = certificate(&facts.unwrap_or_else(|error| panic!("{name} {what}: {error}")));
            assert!(bits(&unlimited) == output, "{name} {what}");
            assert_eq!(certificate.verdict(), certus_contract::Verdict::Holds, "{name} {what}: {certificate}");
        };
        let with = |key: &str| bytes(key).map(MemoryBudget::Working);
        run(planner().budget(with("accept_ram").expect("bytes")).plan(), "in memory");
        if let Some(budget) = with("accept_spill") {
            run(planner().budget(budget).spill_dir(spill.path()).plan(), "with a spill folder");
        }
        for planner in [planner(), planner().spill_dir(spill.path())] {
            let refused = planner.clone().budget(with("reject").expect("bytes")).plan();
            let Err(certus_gnn::Error::BudgetTooSmall { minimum, .. }) = refused else { panic!("{name}: 4096 bytes are accepted") };
            run(planner.clone().budget(MemoryBudget::Working(minimum)).plan(), "at the minimum");
            let Err(certus_gnn::Error::BudgetTooSmall { minimum: again, .. }) = planner.budget(MemoryBudget::Working(minimum - 1)).plan()
            else {
                panic!("{name}: one byte below the minimum is accepted")
            };
            assert_eq!(minimum, again);
        }
        assert_eq!(Some(planner().schedule().expect(name).full_width_peak), bytes("two_activations"), "{name}");
        assert_eq!(std::fs::read_dir(spill.path()).expect("the folder").count(), 0, "{name}: the spill folder is not empty");
    }
}

#[test]
fn public_graphs_are_planned_within_the_bounds_from_their_sizes() {
    let cases = json(shipped(FOLDER, "memory_cases.json"));
    for case in cases["planner_only"].as_array().expect("a list") {
        let widths = numbers(&case["widths"]);
        let layer = |pair: &[f64]| LayerSpec::new(Op::Gcn, "conv", pair[0] as usize, pair[1] as usize);
        let spec = ModelSpec::new(widths.windows(2).map(layer).collect()).expect("a model");
        let bytes = |key: &str| case[key].as_u64().expect("bytes");
        let graph = GraphStats { nodes: bytes("n"), edges: bytes("m"), weighted: false };
        let features = FeatureStats::Streamed { columns: widths[0] as usize, entry_bytes: 4 };
        let planner = || Planner::from_stats(&spec, graph, features);
        let (memory, spill) = (planner().schedule().expect("a plan"), planner().allow_spill().schedule().expect("a plan"));
        assert!(memory.minimum <= bytes("max_minimum_ram_tier"), "{}: {}", case["graph"], memory.minimum);
        assert!(spill.minimum <= bytes("max_minimum_spill_tier"), "{}: {}", case["graph"], spill.minimum);
        assert_eq!(memory.undecomposed_peak, bytes("gather_scatter_bytes"), "{}", case["graph"]);
    }
}

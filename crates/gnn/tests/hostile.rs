//! Bad input: a typed error each, never a panic and never a silent NaN (section 9 of the spec).

use std::path::Path;

use certus_contract::{Verdict, ignore_events};
use certus_gnn::{
    Activation, Error, FeatureStats, Features, Graph, GraphFile, GraphStats, Head, LayerSpec, MachineModel, MemoryBudget, Model, ModelSpec,
    Norm, Op, Plan, Planner, Reduce, Reorder, Tier, WeightLayout, Weights, read_features, read_graph,
};
use certus_io::{NamedTensor, NpzWriter, write_npy, write_safetensors};
use certus_numeric::{Array, Csr};
use certus_testkit::hostile::{self, Fault};
use serde_json::{Value, json};

use crate::support::{Net, OPS, Random, Setting, bits, features, npy_file, npy_of, run, same, spec, weights};

#[track_caller]
fn refused<T>(result: Result<T, Error>, kind: &str, names: &[&str]) {
    match result {
        Ok(_) => panic!("accepted, but must be refused as {kind}"),
        Err(error) => {
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!error.hint().is_empty());
            for name in names {
                assert!(text.contains(name), "{text:?} does not name {name}");
            }
        }
    }
}

fn matrix(rows: usize, cols: usize) -> Array<f32> {
    Array::from_fn(rows, cols, |i, j| ((i * 7 + j * 3) % 5) as f32 / 4.0 - 0.4)
}

fn vector(length: usize) -> Array<f32> {
    Array::vector((0..length).map(|k| k as f32 / 8.0).collect())
}

fn one_layer(layer: LayerSpec, tensors: &[(&str, Array<f32>)]) -> Result<Model, Error> {
    Model::new(ModelSpec::new(vec![layer])?, &named(tensors))
}

fn named(tensors: &[(&str, Array<f32>)]) -> Weights {
    let mut all = Weights::new();
    for (name, tensor) in tensors {
        all.insert(format!("conv.{name}"), tensor.clone());
    }
    all
}

fn layer(op: Op, input: usize, out: usize) -> LayerSpec {
    let mut layer = LayerSpec::new(op, "conv", input, out);
    (layer.hops, layer.alpha) = (Some(2), Some(0.1));
    layer
}

/// A gcn of one layer with all weights there.
fn gcn(input: usize, out: usize) -> Model {
    one_layer(layer(Op::Gcn, input, out), &[("lin.weight", matrix(out, input)), ("bias", vector(out))]).expect("a model")
}

// ------------------------------------------------------------------------------------------------------------------- graphs

#[test]
fn bad_graphs_name_the_position() {
    refused(Graph::from_csr(2, vec![0, 1], vec![0]), "InvalidGraph", &["indptr", "n + 1 = 3"]);
    refused(Graph::from_csr(2, vec![], vec![]), "InvalidGraph", &["indptr"]);
    refused(Graph::from_csr(2, vec![1, 1, 1], vec![0]), "InvalidGraph", &["indptr[0]"]);
    refused(Graph::from_csr(3, vec![0, 2, 1, 2], vec![0, 1]), "InvalidGraph", &["indptr[2]", "falls from 2 to 1"]);
    refused(Graph::from_csr(2, vec![0, 1, 3], vec![0, 1]), "InvalidGraph", &["indptr[2]", "3"]);
    refused(Graph::from_csr(2, vec![0, u64::MAX, u64::MAX], vec![0]), "InvalidGraph", &["indptr"]);
    refused(Graph::from_csr(2, vec![0, 1, 3], vec![0, 1, 2]), "InvalidGraph", &["indices[2]", "2"]);
    refused(Graph::from_csr(0, vec![0], vec![0]), "InvalidGraph", &["indptr"]);
    refused(Graph::from_edges(3, [(0, 1), (1, 3)]), "InvalidGraph", &["edges[1]", "3"]);
    refused(Graph::from_edges(0, [(0, 0)]), "InvalidGraph", &["edges[0]"]);
    refused(Graph::from_edges(3, [(u32::MAX, 1)]), "InvalidGraph", &["edges[0]"]);
    refused(Graph::from_weighted_edges(3, &[(0, 1)], &[]), "InvalidGraph", &["edge_weight", "0 entries", "1 edges"]);
    refused(Graph::from_weighted_edges(3, &[(0, 1)], &[f32::NAN]), "NonFinite", &["edge_weight", "0"]);
    let graph = Graph::from_edges(2, [(0, 1), (1, 0)]).unwrap();
    refused(graph.clone().with_weights(vec![1.0]), "InvalidGraph", &["edge_weight"]);
    refused(graph.with_weights(vec![1.0, f32::INFINITY]), "NonFinite", &["edge_weight", "1"]);
}

#[test]
fn a_graph_of_absurdly_many_nodes_is_refused_before_anything_is_allocated() {
    refused(Graph::from_csr(1 << 32, vec![0], vec![]), "TooLarge", &["4294967296"]);
    refused(Graph::from_csr(usize::MAX, vec![0], vec![]), "TooLarge", &[]);
    for nodes in [usize::MAX, 1 << 62] {
        let found = std::panic::catch_unwind(|| Graph::from_edges(nodes, [(0, 1)]));
        refused(found.expect("from_edges panics"), "TooLarge", &[]);
        let found = std::panic::catch_unwind(|| Graph::from_weighted_edges(nodes, &[(0, 1)], &[1.0]));
        refused(found.expect("from_weighted_edges panics"), "TooLarge", &[]);
    }
}

struct Archive {
    folder: tempfile::TempDir,
}

impl Archive {
    fn of(nodes: i64, indptr: &[i64], indices: &[i64], more: &[(&str, &[f64])]) -> (Archive, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("graph.npz");
        let mut writer = NpzWriter::create(&path).expect("an archive").compressed();
        writer.add_scalar("num_nodes", nodes).expect("a number");
        writer.add_slice("indptr", &[indptr.len()], indptr).expect("an array");
        writer.add_slice("indices", &[indices.len()], indices).expect("an array");
        for (name, values) in more {
            match *name {
                "num_features" => writer.add_scalar(name, values[0] as i64).expect("a number"),
                "x_indptr" | "x_indices" => {
                    let integers = values.iter().map(|&v| v as i64).collect::<Vec<_>>();
                    writer.add_slice(name, &[values.len()], &integers).expect("an array");
                }
                _ => writer.add_slice(name, &[values.len()], values).expect("an array"),
            }
        }
        writer.finish().expect("an archive");
        (Archive { folder }, path)
    }
}

#[test]
fn bad_graph_files_are_refused() {
    let read = |nodes, indptr: &[i64], indices: &[i64], more: &[(&str, &[f64])]| {
        let (archive, path) = Archive::of(nodes, indptr, indices, more);
        let result = read_graph(path);
        drop(archive.folder);
        result
    };
    let x: [(&str, &[f64]); 4] =
        [("x_indptr", &[0.0, 1.0, 2.0]), ("x_indices", &[0.0, 2.0]), ("x_data", &[1.0, 2.0]), ("num_features", &[3.0])];
    let (graph, features) = read(2, &[0, 1, 2], &[1, 0], &x).unwrap();
    assert_eq!((graph.edges(), features.map(|f| f.columns())), (2, Some(3)));
    refused(read(2, &[0, 1, 3], &[1, 0], &[]), "InvalidGraph", &["indptr"]);
    refused(read(2, &[0, -1, 2], &[1, 0], &[]), "InvalidGraph", &["indptr[1]"]);
    refused(read(2, &[0, 1, 2], &[1, -7], &[]), "InvalidGraph", &["indices[1]", "-7"]);
    refused(read(2, &[0, 1, 2], &[1, 1 << 40], &[]), "InvalidGraph", &["indices[1]"]);
    refused(read(2, &[0, 1, 2], &[1, 0], &[("edge_weight", &[1.0])]), "InvalidGraph", &["edge_weight"]);
    refused(read(2, &[0, 1, 2], &[1, 0], &[("edge_weight", &[1.0, 1e300])]), "NonFinite", &["edge_weight"]);
    for nodes in [-1, i64::MAX, 3] {
        assert!(read(nodes, &[0, 1, 2], &[1, 0], &[]).is_err(), "{nodes} nodes");
    }
    let with = |k: usize, values: &'static [f64]| {
        let mut x = x;
        x[k].1 = values;
        read(2, &[0, 1, 2], &[1, 0], &x)
    };
    refused(with(0, &[0.0, 1.0, 3.0]), "InvalidSparsity", &[]);
    refused(with(1, &[0.0, 3.0]), "InvalidSparsity", &[]);
    refused(with(2, &[1.0, f64::NAN]), "NonFinite", &[]);
    refused(with(2, &[1.0, 1e300]), "NonFinite", &[]);
    assert!(with(3, &[-3.0]).is_err());
    assert!(with(0, &[0.0, -1.0, 2.0]).is_err());
    refused(read(2, &[0, 1, 2], &[1, 0], &x[..3]), "NotFound", &["num_features"]);
    refused(read_graph("/nowhere/at/all.npz"), "NotFound", &[]);
    let folder = tempfile::tempdir().unwrap();
    for bad in hostile::npz("num_nodes", &Array::zeros([2, 2])) {
        assert!(read_graph(bad.write(folder.path())).is_err(), "{}", bad.name);
    }
}

/// A folder of arrays in place of an archive, as a graph on disk.
fn opened(indptr: &[i64], indices: &[i64], weights: Option<&[f64]>) -> Result<GraphFile, Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write_npy(path("indptr.npy"), &Array::vector(indptr.to_vec())).expect("a file");
    write_npy(path("indices.npy"), &Array::vector(indices.to_vec())).expect("a file");
    if let Some(weights) = weights {
        write_npy(path("edge_weight.npy"), &Array::vector(weights.to_vec())).expect("a file");
    }
    GraphFile::open(folder.path())
}

#[test]
fn bad_graphs_on_disk_are_refused_by_position() {
    let graph = opened(&[0, 1, 3], &[1, 0, 1], Some(&[1.0, 2.0, 0.5])).unwrap();
    assert_eq!((graph.nodes(), graph.stats().edges, graph.has_loops(), graph.max_degree()), (2, 3, true, 2));
    assert_eq!(opened(&[0], &[], None).unwrap().nodes(), 0);
    refused(opened(&[], &[], None), "InvalidGraph", &["indptr", "0 entries"]);
    refused(opened(&[1, 1, 2], &[1, 0], None), "InvalidGraph", &["indptr[0]"]);
    refused(opened(&[0, 2, 1, 2], &[0, 1], None), "InvalidGraph", &["indptr[2]", "falls from 2 to 1"]);
    refused(opened(&[0, 1, 1], &[1, 0], None), "InvalidGraph", &["indptr[2]", "ends at 1", "2 edges"]);
    refused(opened(&[0, 1, 3], &[1, 0], None), "InvalidGraph", &["indptr[2]", "more than the 2 edges"]);
    refused(opened(&[0, -1, 2], &[1, 0], None), "InvalidGraph", &["indptr[1]", "-1 is negative"]);
    refused(opened(&[0, i64::MAX, 2], &[1, 0], None), "InvalidGraph", &["indptr[1]"]);
    refused(opened(&[0, 1, 2], &[1, 2], None), "InvalidGraph", &["indices[1]", "source 2 is outside 0..2"]);
    refused(opened(&[0, 1, 2], &[1, -7], None), "InvalidGraph", &["indices[1]", "-7"]);
    refused(opened(&[0, 1, 2], &[1, 1 << 32], None), "InvalidGraph", &["indices[1]"]);
    refused(opened(&[0, 1, 2], &[1, 0], Some(&[1.0])), "InvalidGraph", &["edge_weight", "1 entries"]);
    refused(opened(&[0, 1, 2], &[1, 0], Some(&[1.0, f64::NAN])), "NonFinite", &["edge_weight[1]"]);
    refused(opened(&[0, 1, 2], &[1, 0], Some(&[1.0, 1e300])), "NonFinite", &["edge_weight[1]"]);
    refused(GraphFile::open("/nowhere/at/all.npz"), "NotFound", &[]);
    refused(GraphFile::open(tempfile::tempdir().unwrap().path()), "NotFound", &["indptr.npy"]);
    // Far into long arrays.
    let (mut indptr, mut indices) = ((0..=5000).collect::<Vec<i64>>(), vec![0; 5000]);
    indices[4321] = 5000;
    refused(opened(&indptr, &indices, None), "InvalidGraph", &["indices[4321]"]);
    (indptr[4999], indices[4321]) = (7, 0);
    refused(opened(&indptr, &indices, None), "InvalidGraph", &["indptr[4999]", "falls from 4998 to 7"]);
}

#[test]
fn a_compressed_graph_is_not_read_in_place() {
    let (archive, path) = Archive::of(2, &[0, 1, 2], &[1, 0], &[]);
    refused(GraphFile::open(&path), "UnsupportedFormat", &["graph.npz:indptr", "compressed", "np.savez"]);
    drop(archive.folder);
    let folder = tempfile::tempdir().unwrap();
    for bad in hostile::npz("num_nodes", &Array::zeros([2, 2])) {
        assert!(GraphFile::open(bad.write(folder.path())).is_err(), "{}", bad.name);
    }
    for (name, values) in [("indptr", [0.0, 1.0, 2.0]), ("indices", [0.0, 1.0, 0.0])] {
        write_npy(folder.path().join("indptr.npy"), &Array::vector(vec![0i64, 1, 3])).unwrap();
        write_npy(folder.path().join("indices.npy"), &Array::vector(vec![0i64, 1, 0])).unwrap();
        write_npy(folder.path().join(format!("{name}.npy")), &Array::vector(values.to_vec())).unwrap();
        refused(GraphFile::open(folder.path()), "UnsupportedFormat", &[name, "float64", "whole numbers"]);
    }
    write_npy(folder.path().join("indices.npy"), &Array::matrix(1, 3, vec![0i64, 1, 0]).unwrap()).unwrap();
    write_npy(folder.path().join("indptr.npy"), &Array::vector(vec![0i64, 1, 3])).unwrap();
    refused(GraphFile::open(folder.path()), "DimensionMismatch", &["indices", "vector"]);
}

/// All types of whole numbers and either byte order give the same graph.
#[test]
fn every_form_of_npy_gives_the_same_graph() {
    let (model, x) = (gcn(2, 2), matrix(3, 2));
    let graph = Graph::from_edges(3, [(1, 0), (2, 0), (0, 2)]).unwrap().with_weights(vec![0.5, 2.0, 1.0]).unwrap();
    let features = Features::dense(x).unwrap();
    let expected = Planner::new(&model, &graph, &features).plan().unwrap().run().unwrap().output;
    let folder = tempfile::tempdir().unwrap();
    let ints = |values: &[u64], size: usize, big: bool| {
        let of = |v: &u64| if big { v.to_be_bytes()[8 - size..].to_vec() } else { v.to_le_bytes()[..size].to_vec() };
        values.iter().flat_map(of).collect::<Vec<u8>>()
    };
    let weights = graph.weights().unwrap();
    for (k, size) in [("i1", 1), ("u1", 1), ("i2", 2), ("u2", 2), ("i4", 4), ("u4", 4), ("i8", 8), ("u8", 8)] {
        for (order, big) in [("<", false), (">", true)] {
            let descr = format!("'{order}{k}'");
            let indices = graph.indices().iter().map(|&j| u64::from(j)).collect::<Vec<_>>();
            npy_file(folder.path(), "indptr.npy", &descr, false, "(4,)", &ints(graph.indptr(), size, big));
            npy_file(folder.path(), "indices.npy", &descr, false, "(3,)", &ints(&indices, size, big));
            let (descr, data) = match size {
                2 => ("<f2", [0x3800u16, 0x4000, 0x3c00].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()),
                4 => (">f4", weights.iter().flat_map(|v| v.to_be_bytes()).collect()),
                _ => ("<f8", weights.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect()),
            };
            npy_file(folder.path(), "edge_weight.npy", &format!("'{descr}'"), false, "(3,)", &data);
            let file = GraphFile::open(folder.path()).unwrap();
            let solution = Planner::new(&model, &file, &features).plan().unwrap().run().unwrap();
            assert!(solution.output == expected, "{order}{k}");
            assert_eq!(solution.facts.bytes_read, solution.facts.predicted_bytes_read, "{order}{k}");
        }
    }
}

#[test]
fn a_graph_that_changes_after_it_was_opened_is_an_error() {
    let (model, features) = (gcn(2, 2), Features::dense(matrix(4, 2)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, values: &[i64]| write_npy(path(name), &Array::vector(values.to_vec())).unwrap();
    let good = || {
        write("indptr.npy", &[0, 1, 2, 3, 4]);
        write("indices.npy", &[1, 2, 3, 0]);
        GraphFile::open(folder.path()).unwrap()
    };
    // In place, as another program might: the open files are these.
    let change = |name: &str, entry: usize, value: i64| {
        let mut bytes = std::fs::read(path(name)).unwrap();
        let at = bytes.len() - if name == "indptr.npy" { 40 } else { 32 } + 8 * entry;
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        std::fs::write(path(name), bytes).unwrap();
    };
    for (name, entry, value, wanted) in [
        ("indices.npy", 2, 4, "indices[2]"),
        ("indices.npy", 2, -1, "indices[2]"),
        ("indptr.npy", 3, 1, "indptr[3]"),
        ("indptr.npy", 3, 99, "indptr[3]"),
    ] {
        let file = good();
        change(name, entry, value);
        refused(Planner::new(&model, &file, &features).plan().unwrap().run(), "InvalidGraph", &[wanted]);
    }
    let file = good();
    let bytes = std::fs::read(path("indices.npy")).unwrap();
    std::fs::write(path("indices.npy"), &bytes[..bytes.len() - 9]).unwrap();
    refused(Planner::new(&model, &file, &features).plan().unwrap().run(), "Truncated", &["indices.npy"]);
    refused(GraphFile::open(folder.path()), "Truncated", &["indices.npy"]);
}

#[test]
fn a_graph_on_disk_cannot_be_renumbered() {
    let graph = opened(&[0, 1, 2], &[1, 0], None).unwrap();
    let (model, features) = (gcn(2, 2), Features::dense(matrix(2, 2)).unwrap());
    refused(Planner::new(&model, &graph, &features).reorder(Reorder::Bfs).plan(), "InvalidParameter", &["reorder", "on disk"]);
}

/// A negative degree is found in a graph on disk as well, in rows that come in pieces too.
#[test]
fn a_negative_degree_on_disk_is_refused_by_node() {
    let edges = 30_000;
    let (indptr, indices) = ([0, 1, edges], (0..edges).map(|k| k % 2).collect::<Vec<_>>());
    let mut weights = vec![1.0; edges as usize];
    let (model, features) = (gcn(2, 2), Features::dense(matrix(2, 2)).unwrap());
    let graph = opened(&indptr, &indices, Some(&weights)).unwrap();
    assert!(Planner::new(&model, &graph, &features).plan().is_ok());
    weights[20_000] = -1e6;
    let graph = opened(&indptr, &indices, Some(&weights)).unwrap();
    refused(Planner::new(&model, &graph, &features).plan(), "NonPositiveDegree", &["node 1"]);
}

// ------------------------------------------------------------------------------------------------------------------- models

fn json_of(change: impl Fn(&mut Value)) -> Result<ModelSpec, Error> {
    let mut file = json!({ "layers": [
        { "op": "gat", "prefix": "conv1", "in_channels": 4, "out_channels": 3, "heads": 2, "activation": "elu" },
        { "op": "sgc", "prefix": "conv2", "in_channels": 6, "out_channels": 6, "K": 2 },
        { "op": "appnp", "in_channels": 6, "out_channels": 6, "K": 2, "alpha": 0.1 } ] });
    change(&mut file);
    ModelSpec::from_json(&file.to_string())
}

#[test]
fn options_of_other_operations_are_refused_and_unknown_ones_are_named() {
    let file = |layer: &str| format!(r#"{{ "layers": [ {{ "prefix": "c", "in_channels": 2, "out_channels": 2, {layer} }} ] }}"#);
    for (layer, option) in [
        (r#""op": "gin", "aggr": "max""#, "aggr"),
        (r#""op": "gcn", "heads": 2"#, "heads"),
        (r#""op": "gcn", "l2_normalize": true"#, "l2_normalize"),
        (r#""op": "sage", "normalize": true"#, "normalize"),
        (r#""op": "gcn", "improved": true"#, "improved"),
    ] {
        refused(ModelSpec::from_json(&file(layer)), "InvalidOption", &["layer 0", option]);
    }
    for layer in [r#""op": "gcn", "heads": 1, "aggr": "add", "K": null"#, r#""op": "sage", "normalize": false, "out": 2"#] {
        assert!(ModelSpec::from_json(&file(layer)).unwrap().unknown_fields().is_empty(), "{layer}");
    }
    let misspelt = ModelSpec::from_json(&file(r#""op": "gcn", "activaton": "relu""#)).unwrap();
    assert_eq!(misspelt.unknown_fields(), ["layer 0 (gcn): activaton"]);
}

#[test]
fn bad_model_files_are_refused() {
    let spec = json_of(|_| {}).unwrap();
    assert_eq!(ModelSpec::from_json(&spec.to_json()).unwrap(), spec);
    for text in ["", "{", "[]", "null", "{}", r#"{"layers": 3}"#, r#"{"layers": [3]}"#, r#"{"layers": [{}]}"#, "\u{0}"] {
        refused(ModelSpec::from_json(text), "UnsupportedFormat", &["layers"]);
    }
    refused(ModelSpec::from_json(r#"{"layers": []}"#), "EmptyProblem", &["layers"]);
    refused(ModelSpec::new(vec![]), "EmptyProblem", &[]);
    let set = |layer: usize, key: &'static str, value: Value| json_of(move |file| file["layers"][layer][key] = value.clone());
    let without = |layer: usize, key: &'static str| {
        json_of(move |file| {
            file["layers"][layer].as_object_mut().map(|layer| layer.remove(key));
        })
    };
    refused(set(0, "op", json!("lstm")), "UnsupportedFormat", &["lstm"]);
    refused(set(0, "op", json!("GAT")), "UnsupportedFormat", &[]);
    refused(set(0, "activation", json!("gelu")), "UnsupportedFormat", &["gelu"]);
    refused(set(0, "norm", json!("group")), "UnsupportedFormat", &["group"]);
    refused(set(0, "aggr", json!("lstm")), "UnsupportedFormat", &["lstm"]);
    for value in [json!(-1), json!(1.5), json!("4"), json!(null), json!(1e300), json!(true)] {
        refused(set(0, "in_channels", value), "UnsupportedFormat", &[]);
    }
    for key in ["op", "in_channels", "out_channels"] {
        refused(without(0, key), "UnsupportedFormat", &[key]);
    }
    refused(without(1, "K"), "InvalidOption", &["layer 1", "sgc", "K"]);
    refused(without(2, "K"), "InvalidOption", &["layer 2", "appnp", "K"]);
    refused(without(2, "alpha"), "InvalidOption", &["layer 2", "alpha"]);
    for alpha in [2.0, -0.1, 1.0000001] {
        refused(set(2, "alpha", json!(alpha)), "InvalidOption", &["layer 2", "alpha"]);
    }
    refused(set(1, "K", json!(-1)), "UnsupportedFormat", &[]);
    refused(set(1, "K", json!(u64::MAX)), "InvalidOption", &["K"]);
    assert!(set(1, "K", json!(0)).is_ok() && set(2, "K", json!(0)).is_ok());
    refused(set(0, "heads", json!(0)), "InvalidOption", &["layer 0", "heads"]);
    refused(set(0, "heads", json!(u64::MAX)), "InvalidOption", &["heads"]);
    refused(set(0, "in_channels", json!(0)), "InvalidOption", &["in_channels"]);
    refused(set(0, "out_channels", json!(0)), "InvalidOption", &["out_channels"]);
    refused(set(0, "out_channels", json!(u64::MAX)), "InvalidOption", &["out_channels"]);
    refused(set(0, "out_channels", json!(1 << 24)), "InvalidOption", &["heads"]);
    refused(set(0, "heads", json!(3)), "DimensionMismatch", &["layer 1", "6", "9"]);
    refused(set(1, "in_channels", json!(7)), "DimensionMismatch", &["layer 1", "7", "6"]);
    refused(set(2, "out_channels", json!(7)), "InvalidOption", &["layer 2", "out_channels"]);
    refused(set(0, "skip", json!(true)), "InvalidOption", &["layer 0", "skip"]);
    // No number of f32.
    refused(set(0, "negative_slope", json!(1e300)), "InvalidOption", &["layer 0", "negative_slope", "finite"]);
    refused(set(0, "self_loop_weight", json!(1e300)), "InvalidOption", &["layer 0", "self_loop_weight"]);
}

#[test]
fn options_that_are_no_numbers_are_refused() {
    let with = |op: Op, change: fn(&mut LayerSpec)| {
        let mut layer = layer(op, 4, 4);
        change(&mut layer);
        ModelSpec::new(vec![layer])
    };
    refused(with(Op::Gat, |l| l.negative_slope = f32::NAN), "InvalidOption", &["negative_slope"]);
    refused(with(Op::Gatv2, |l| l.negative_slope = f32::NEG_INFINITY), "InvalidOption", &["negative_slope"]);
    refused(with(Op::Appnp, |l| l.alpha = Some(f32::NAN)), "InvalidOption", &["alpha"]);
    refused(with(Op::Gcn, |l| l.self_loop_weight = f32::NAN), "InvalidOption", &["self_loop_weight"]);
    refused(with(Op::Gin, |l| l.eps = f32::INFINITY), "InvalidOption", &["eps"]);
    refused(with(Op::Gin, |l| l.hidden = Some(vec![4, 0])), "InvalidOption", &["hidden"]);
    refused(with(Op::Gin, |l| l.hidden = Some(vec![usize::MAX])), "InvalidOption", &["hidden"]);
    refused(with(Op::Tag, |l| l.hops = None), "InvalidOption", &["K"]);
    refused(with(Op::Gat, |l| (l.heads, l.out_channels) = (usize::MAX, 2)), "InvalidOption", &["heads"]);
    refused(with(Op::Gat, |l| (l.heads, l.out_channels) = (1 << 20, 1 << 20)), "InvalidOption", &["heads"]);
}

// ------------------------------------------------------------------------------------------------------------------ weights

#[test]
fn missing_extra_and_misshapen_tensors_are_named() {
    let whole = || vec![("lin.weight", matrix(2, 3)), ("bias", vector(2))];
    let gcn = |tensors: &[(&str, Array<f32>)]| one_layer(layer(Op::Gcn, 3, 2), tensors);
    assert!(gcn(&whole()).is_ok());
    refused(gcn(&[]), "MissingTensor", &["conv.lin.weight", "(2, 3)", "none"]);
    refused(gcn(&whole()[..1]), "MissingTensor", &["conv.bias", "(2)", "conv.lin.weight"]);
    let with = |extra: (&'static str, Array<f32>)| [whole(), vec![extra]].concat();
    refused(gcn(&with(("unknown", vector(5)))), "UnusedTensor", &["conv.unknown", "(5)"]);
    refused(gcn(&with(("lin.bias", vector(2)))), "UnusedTensor", &["conv.lin.bias"]);
    refused(gcn(&[("lin.weight", matrix(2, 4)), whole()[1].clone()]), "ShapeMismatch", &["conv.lin.weight", "(2, 4)", "(2, 3)"]);
    refused(gcn(&[("lin.weight", vector(6)), whole()[1].clone()]), "ShapeMismatch", &["conv.lin.weight", "(6)"]);
    refused(gcn(&[("lin.weight", Array::zeros([2, 3, 1])), whole()[1].clone()]), "ShapeMismatch", &["(2, 3, 1)"]);
    refused(gcn(&[("lin.weight", Array::zeros([0, 0])), whole()[1].clone()]), "ShapeMismatch", &["(0, 0)"]);
    refused(gcn(&[whole()[0].clone(), ("bias", vector(3))]), "ShapeMismatch", &["conv.bias", "(3)", "(2)"]);
    let mut no_bias = layer(Op::Gcn, 3, 2);
    no_bias.bias = false;
    refused(one_layer(no_bias, &whole()), "UnusedTensor", &["conv.bias"]);
    refused(
        one_layer(
            layer(Op::Gin, 3, 2),
            &[
                ("nn.0.weight", matrix(2, 3)),
                ("nn.0.bias", vector(2)),
                ("nn.2.weight", matrix(2, 2)),
                ("nn.2.bias", vector(2)),
                ("eps", vector(2)),
            ],
        ),
        "ShapeMismatch",
        &["conv.eps", "(2)"],
    );
}

/// Every tensor of every operation: left out, and given another shape.
#[test]
fn every_tensor_of_every_operation_is_checked() {
    for op in OPS {
        for seed in 0..12 {
            let random = &mut Random(seed);
            let spec = spec(random, &[op]);
            let all = weights(random, &spec);
            for (name, tensor) in all.tensors() {
                let less = all.clone().renamed(|other| (other != name).then(|| other.to_owned()));
                let result = Model::new(spec.clone(), &less);
                // An epsilon that is no tensor is a number of the spec.
                assert!(result.is_err() || name.ends_with(".eps"), "{op:?}: without {name}");
                let mut other = all.clone();
                let shape = tensor.shape().iter().map(|extent| extent + 1).collect::<Vec<_>>();
                other.insert(name.clone(), Array::zeros(shape));
                refused(Model::new(spec.clone(), &other), "ShapeMismatch", &[name]);
            }
        }
    }
}

/// A tensor of attention has a row a head: one of as many numbers in other rows is another tensor.
#[test]
fn attention_vectors_of_another_shape_are_refused() {
    let mut layer = layer(Op::Gat, 4, 3);
    layer.heads = 2;
    let with = |shape: [usize; 3]| {
        let att = || vector(6).reshaped(shape).unwrap();
        one_layer(layer.clone(), &[("lin.weight", matrix(6, 4)), ("att_src", att()), ("att_dst", att()), ("bias", vector(6))])
    };
    assert!(with([1, 2, 3]).is_ok());
    refused(with([1, 3, 2]), "ShapeMismatch", &["conv.att_src", "(1, 3, 2)"]);
}

#[test]
fn a_bias_that_is_a_matrix_is_refused() {
    let bias = vector(6).reshaped([2, 3]).unwrap();
    refused(one_layer(layer(Op::Gcn, 3, 6), &[("lin.weight", matrix(6, 3)), ("bias", bias)]), "ShapeMismatch", &["conv.bias", "(2, 3)"]);
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut bad = matrix(2, 3);
        bad.row_mut(1)[2] = value;
        refused(one_layer(layer(Op::Gcn, 3, 2), &[("lin.weight", bad), ("bias", vector(2))]), "NonFinite", &["conv.lin.weight"]);
        let bias = Array::vector(vec![0.0, value]);
        refused(one_layer(layer(Op::Gcn, 3, 2), &[("lin.weight", matrix(2, 3)), ("bias", bias)]), "NonFinite", &["conv.bias"]);
    }
}

fn output(model: &Model) -> Array<f32> {
    let graph = Graph::from_edges(3, [(0, 1), (1, 2), (2, 2)]).expect("a graph");
    let features = Features::dense(matrix(3, model.spec().in_channels())).expect("features");
    run(Planner::new(model, &graph, &features), "a model").output
}

#[test]
fn the_layout_of_a_matrix_is_read_from_its_shape_or_asked_for() {
    let right = output(&gcn(3, 2));
    // Old versions and DGL: `weight`, (in, out).
    let turned = one_layer(layer(Op::Gcn, 3, 2), &[("weight", matrix(2, 3).transposed()), ("bias", vector(2))]).unwrap();
    same(&right, &output(&turned), "weight (in, out)");
    assert!(turned.notes().iter().any(|note| note.contains("conv.weight")), "{:?}", turned.notes());
    let outward = one_layer(layer(Op::Gcn, 3, 2), &[("weight", matrix(2, 3)), ("bias", vector(2))]).unwrap();
    same(&right, &output(&outward), "weight (out, in)");
    // Square: the name does not tell.
    let square = matrix(3, 3);
    let of = |layout: WeightLayout, name: &str, tensor: &Array<f32>| {
        let weights = named(&[(name, tensor.clone()), ("bias", vector(3))]).with_layout(layout);
        Model::new(ModelSpec::new(vec![layer(Op::Gcn, 3, 3)]).unwrap(), &weights)
    };
    refused(of(WeightLayout::Auto, "weight", &square), "InvalidParameter", &["conv.weight", "square", "WeightLayout"]);
    let right = output(&of(WeightLayout::Auto, "lin.weight", &square).unwrap());
    same(&right, &output(&of(WeightLayout::OutIn, "weight", &square).unwrap()), "as said: (out, in)");
    same(&right, &output(&of(WeightLayout::InOut, "weight", &square.transposed()).unwrap()), "as said: (in, out)");
    assert_ne!(bits(&right), bits(&output(&of(WeightLayout::InOut, "weight", &square).unwrap())));
    assert!(one_layer(layer(Op::Gcn, 1, 1), &[("weight", matrix(1, 1)), ("bias", vector(1))]).is_ok());
}

#[test]
fn old_names_of_attention_are_understood() {
    let mut gat = layer(Op::Gat, 4, 3);
    gat.heads = 2;
    let att = || vector(6).reshaped([1, 2, 3]).unwrap();
    let of = |names: [&str; 3], more: &[(&str, Array<f32>)]| {
        let tensors = [(names[0], matrix(6, 4)), (names[1], att()), (names[2], att().map(|v| 1.0 - v)), ("bias", vector(6))];
        one_layer(gat.clone(), &[&tensors, more].concat())
    };
    let right = output(&of(["lin.weight", "att_src", "att_dst"], &[]).unwrap());
    for (names, twin) in
        [(["lin_src.weight", "att_src", "att_dst"], "lin_dst.weight"), (["lin_l.weight", "att_l", "att_r"], "lin_r.weight")]
    {
        same(&right, &output(&of(names, &[]).unwrap()), names[0]);
        same(&right, &output(&of(names, &[(twin, matrix(6, 4))]).unwrap()), twin);
        let error = of(names, &[(twin, matrix(6, 4).map(|v| v + 0.1))]);
        refused(error, "UnsupportedOp", &[twin, names[0]]);
    }
    same(&right, &output(&of(["fc.weight", "attn_l", "attn_r"], &[]).unwrap()), "DGL");
}

#[test]
fn a_second_map_beside_shared_weights_must_be_the_same() {
    let mut shared = layer(Op::Gatv2, 4, 3);
    shared.share_weights = true;
    let whole = [("lin_l.weight", matrix(3, 4)), ("lin_l.bias", vector(3)), ("att", vector(3)), ("bias", vector(3))];
    let with = |more: &[(&str, Array<f32>)]| one_layer(shared.clone(), &[&whole, more].concat());
    let right = output(&with(&[]).unwrap());
    same(&right, &output(&with(&[("lin_r.weight", matrix(3, 4)), ("lin_r.bias", vector(3))]).unwrap()), "equal");
    assert!(with(&[("lin_r.weight", matrix(3, 4).map(|v| v + 1.0)), ("lin_r.bias", vector(3))]).is_err());
    assert!(with(&[("lin_r.weight", matrix(3, 4)), ("lin_r.bias", vector(3).map(|v| v - 1.0))]).is_err());
    assert!(with(&[("lin_r.weight", matrix(4, 3))]).is_err());
}

#[test]
fn counts_of_batches_are_ignored() {
    let mut normed = layer(Op::Gcn, 3, 2);
    normed.norm = Some(Norm::Batch);
    let mut weights = named(&[("lin.weight", matrix(2, 3)), ("bias", vector(2))]);
    for part in ["weight", "bias", "running_mean", "running_var"] {
        weights.insert(format!("conv_norm.{part}"), vector(2));
    }
    let spec = ModelSpec::new(vec![normed]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut tensors = weights.tensors().iter().map(|(name, t)| NamedTensor::new(name, t.clone())).collect::<Vec<_>>();
    tensors.push(NamedTensor::new("conv_norm.num_batches_tracked", Array::vector(vec![17i64])));
    write_safetensors(&path, &tensors).unwrap();
    assert!(Model::new(spec.clone(), &Weights::read(&path).unwrap()).is_ok());
    let mut negative = weights.clone();
    negative.insert("conv_norm.running_var", Array::vector(vec![1.0, -1.0]));
    refused(Model::new(spec.clone(), &negative), "InvalidParameter", &["running_var[1]"]);
    // Given by hand, too.
    weights.insert("conv_norm.num_batches_tracked", vector(1));
    Model::new(spec.clone(), &weights).expect("a count that was inserted");
}

#[test]
fn bad_files_of_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for bad in hostile::npz("conv.bias", &Array::from_fn(1, 2, |_, j| j as f64)) {
        let result = Weights::read(bad.write(folder.path()));
        if [Fault::Missing, Fault::Empty, Fault::Shape].contains(&bad.fault) {
            continue; // Well-formed archives; the model says what it misses.
        }
        bad.assert_kind(result.err().map_or("accepted", |error| error.kind()));
    }
    refused(Weights::read("/nowhere/at/all.npz"), "NotFound", &[]);
    let path = folder.path().join("w.safetensors");
    write_safetensors(&path, &[NamedTensor::new("conv.bias", Array::vector(vec![1.0, 1e300]))]).unwrap();
    refused(Weights::read(&path), "NonFinite", &["conv.bias", "1"]);
    write_safetensors(&path, &[NamedTensor::new("conv.bias", Array::vector(vec![1.0, 2.0]))]).unwrap();
    assert_eq!(Weights::read(&path).unwrap().notes().len(), 1);
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 4, 9, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(Weights::read(&path).is_err(), "{cut} bytes");
    }
    let text = folder.path().join("w.txt");
    std::fs::write(&text, "no weights").unwrap();
    refused(Weights::read(&text), "UnsupportedFormat", &[]);
}

// ----------------------------------------------------------------------------------------------------------------- features

#[test]
fn features_that_are_no_numbers_name_row_and_column() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = matrix(5, 3);
        x.row_mut(3)[1] = value;
        refused(Features::dense(x.clone()), "NonFinite", &["features", "3", "1"]);
        let sparse = Csr::new(4, 3, vec![0, 1, 1, 3, 3], vec![0, 0, 2], vec![1.0, 2.0, value]).unwrap();
        refused(Features::sparse(sparse), "NonFinite", &["features", "2"]);
        let folder = tempfile::tempdir().unwrap();
        let features = Features::npy(npy_of(folder.path(), "x.npy", &x)).unwrap();
        let (model, graph) = (gcn(3, 2), Graph::from_edges(5, [(0, 1), (3, 4), (3, 0)]).unwrap());
        let planner = Planner::new(&model, &graph, &features);
        for reorder in [None, Some(Reorder::Degree), Some(Reorder::Bfs), Some(Reorder::ReverseCuthillMckee)] {
            let planner = reorder.map_or(planner.clone(), |reorder| planner.clone().reorder(reorder));
            for (threads, block) in [(1, 1), (2, 4), (3, 2)] {
                let plan = planner.clone().threads(threads).row_block(block).plan().unwrap();
                refused(plan.run(), "NonFinite", &["features", "[3, 1]"]);
            }
            refused(planner.plan().unwrap().run_nodes(&[4], Plan::run), "NonFinite", &["[3, 1]"]);
        }
        // Node 2 does not depend on it.
        assert!(planner.clone().plan().unwrap().run_nodes(&[2], Plan::run).is_ok());
        assert!(planner.check_finite(false).plan().unwrap().run().is_ok());
    }
    refused(Features::dense(Array::zeros([2, 3, 4])), "DimensionMismatch", &["(2, 3, 4)"]);
    refused(Features::dense(vector(3)), "DimensionMismatch", &[]);
}

/// The same numbers in every form that a file may have them, on every tier.
#[test]
fn every_form_of_npy_gives_the_same_features() {
    let folder = tempfile::tempdir().unwrap();
    let x = Array::from_fn(11, 3, |i, j| (i as f32 - 5.0) * (j as f32 + 1.0));
    let (model, net) = (gcn(3, 2), Net::random(&mut Random(5), 11, false));
    let graph = net.graph();
    let dense = Features::dense(x.clone()).unwrap();
    let right = run(Planner::new(&model, &graph, &dense), "dense").output;
    let encode = |kind: &str, big: bool, fortran: bool| {
        let mut data = Vec::new();
        let order: Vec<(usize, usize)> = if fortran {
            (0..3).flat_map(|j| (0..11).map(move |i| (i, j))).collect()
        } else {
            (0..11).flat_map(|i| (0..3).map(move |j| (i, j))).collect()
        };
        for (i, j) in order {
            let v = x.row(i)[j];
            let mut bytes = match kind {
                "f2" => half_bits(v).to_le_bytes().to_vec(),
                "f4" => v.to_le_bytes().to_vec(),
                "f8" => f64::from(v).to_le_bytes().to_vec(),
                "i1" => (v as i8).to_le_bytes().to_vec(),
                _ => (v as i16).to_le_bytes().to_vec(),
            };
            if big {
                bytes.reverse();
            }
            data.extend(bytes);
        }
        data
    };
    for kind in ["f2", "f4", "f8", "i1", "i2"] {
        for big in [false, true] {
            for fortran in [false, true] {
                let descr = format!("'{}{kind}'", if big { '>' } else { '<' });
                let path = npy_file(folder.path(), "x.npy", &descr, fortran, "(11, 3)", &encode(kind, big, fortran));
                for features in [Features::npy(&path).unwrap(), read_features(&path).unwrap()] {
                    let what = format!("{descr}, fortran {fortran}");
                    let planner = Planner::new(&model, &graph, &features).threads(2);
                    same(&right, &run(planner.clone().row_block(4), &what).output, &what);
                    let spilled = planner.clone().tier(Tier::Spill).spill_dir(folder.path()).slice(1);
                    same(&right, &run(spilled, &what).output, &what);
                    same(&right, &run(planner.reorder(Reorder::Bfs), &what).output, &what);
                }
            }
        }
    }
}

/// f16 of a small integer.
fn half_bits(v: f32) -> u16 {
    if v == 0.0 {
        return 0;
    }
    let bits = v.to_bits();
    (((bits >> 16) & 0x8000) | (((bits >> 23) & 0xff) - 127 + 15) << 10 | ((bits >> 13) & 0x3ff)) as u16
}

#[test]
fn bad_npy_features_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = Array::from_fn(3, 4, |i, j| (i + j) as f64);
    for bad in hostile::npy(&good) {
        let result = Features::npy(bad.write(folder.path()));
        match bad.fault {
            // Seen when they are read, and against the graph.
            Fault::NonFinite | Fault::Empty => {}
            Fault::Shape if bad.name != "three_dimensions" => {}
            _ => bad.assert_kind(result.err().map_or("accepted", |error| error.kind())),
        }
    }
    for (name, descr) in [("i4.npy", "'<i4'"), ("i8.npy", "'<i8'"), ("c8.npy", "'<c8'")] {
        let result = Features::npy(npy_file(folder.path(), name, descr, false, "(1, 1)", &[0; 16]));
        refused(result, "UnsupportedFormat", &[]);
    }
    // Whole, but packed.
    let packed = folder.path().join("x.npy.gz");
    std::fs::write(&packed, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    refused(Features::npy(&packed), "UnsupportedFormat", &[]);
    refused(Features::npy(folder.path()), Features::npy(folder.path()).err().map_or("", |error| error.kind()), &[]);
    // A vector and one number are no features.
    refused(Features::npy(npy_file(folder.path(), "v.npy", "'<f4'", false, "(4,)", &[0; 16])), "DimensionMismatch", &[]);
    refused(Features::npy(npy_file(folder.path(), "s.npy", "'<f4'", false, "()", &[0; 4])), "DimensionMismatch", &[]);
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let path = npy_of(folder.path(), "x.npy", &matrix(200, 30));
    let features = Features::npy(&path).unwrap();
    let (model, graph) = (gcn(30, 2), Graph::from_edges(200, [(0, 1)]).unwrap());
    let plan = Planner::new(&model, &graph, &features).plan().unwrap();
    assert!(plan.run().is_ok());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(20_000).unwrap();
    refused(plan.run(), "Truncated", &["x.npy"]);
}

/// f64 beyond f32 in a file of features.
#[test]
fn features_beyond_f32_are_not_silently_infinite() {
    let folder = tempfile::tempdir().unwrap();
    let data = [1.0f64, 1e300].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let features = Features::npy(npy_file(folder.path(), "x.npy", "'<f8'", false, "(2, 1)", &data)).unwrap();
    let (model, graph) = (gcn(1, 2), Graph::from_edges(2, []).unwrap());
    refused(Planner::new(&model, &graph, &features).plan().unwrap().run(), "NonFinite", &["[1, 0] is 1e300"]);
}

#[test]
fn features_must_fit_graph_and_model() {
    let (model, graph) = (gcn(3, 2), Graph::from_edges(4, [(0, 1)]).unwrap());
    let plan = |rows, cols| Planner::new(&model, &graph, &Features::dense(matrix(rows, cols)).unwrap()).plan().map(|plan| plan.minimum);
    assert!(plan(4, 3).is_ok());
    refused(plan(5, 3), "DimensionMismatch", &["5 rows", "4"]);
    refused(plan(3, 3), "DimensionMismatch", &["3 rows"]);
    refused(plan(4, 2), "DimensionMismatch", &["2 columns", "3"]);
}

// -------------------------------------------------------------------------------------------------------- sizes and budgets

#[test]
fn empty_graphs_give_empty_outputs() {
    let spill = tempfile::tempdir().unwrap();
    for op in OPS {
        for seed in 0..6 {
            let random = &mut Random(seed);
            let spec = spec(random, &[op, Op::Gcn]);
            let columns = spec.in_channels();
            let model = Model::new(spec.clone(), &weights(random, &spec)).unwrap();
            let graph = Graph::from_edges(0, []).unwrap();
            let path = npy_file(spill.path(), "x.npy", "'<f4'", false, &format!("(0, {columns})"), &[]);
            for features in [
                Features::dense(Array::zeros([0, columns])).unwrap(),
                Features::sparse(Csr::new(0, columns, vec![0], vec![], vec![]).unwrap()).unwrap(),
                Features::npy(&path).unwrap(),
            ] {
                let planner = Planner::new(&model, &graph, &features).threads(2).spill_dir(spill.path());
                for planner in [planner.clone(), planner.clone().tier(Tier::Spill), planner.clone().reorder(Reorder::Bfs)] {
                    let solution = run(planner.clone(), "an empty graph");
                    assert_eq!(solution.output.shape(), [0, model.spec().out_channels()]);
                    assert_eq!(solution.certificate.verdict(), Verdict::Holds);
                    let minimum = planner.schedule().unwrap().minimum;
                    assert!(planner.clone().budget(MemoryBudget::Working(minimum)).plan().unwrap().run().is_ok());
                    assert!(planner.clone().budget(MemoryBudget::Working(minimum - 1)).plan().is_err());
                    let plan = planner.plan().unwrap();
                    assert_eq!(plan.run_classes(ignore_events).unwrap().output.class.len(), 0);
                    refused(plan.run_nodes(&[0], |_| Ok(())), "InvalidParameter", &[]);
                }
            }
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// No edges at all, and one node: section 3 says what comes out.
#[test]
fn graphs_without_edges_are_defined() {
    for nodes in [1, 5] {
        let net = Net { nodes, edges: vec![], weights: None };
        let x = matrix(nodes, 3);
        let graph = net.graph();
        let features = Features::dense(x.clone()).unwrap();
        // GCN: the own row; its degree is 1.
        let plain = Array::from_fn(3, 3, |i, j| if i == j { 1.0 } else { 0.0 });
        let mut own = layer(Op::Gcn, 3, 3);
        own.bias = false;
        let model = one_layer(own.clone(), &[("lin.weight", plain.clone())]).unwrap();
        same(&x.map(|v| v + 0.0), &run(Planner::new(&model, &graph, &features), "gcn").output, "gcn");
        // Without loops: 0. A loop of weight 0: degree 0, 0 too.
        own.add_self_loops = false;
        let model = one_layer(own.clone(), &[("lin.weight", plain.clone())]).unwrap();
        assert!(run(Planner::new(&model, &graph, &features), "gcn").output.as_slice().iter().all(|&v| v == 0.0));
        (own.add_self_loops, own.self_loop_weight) = (true, 0.0);
        let model = one_layer(own, &[("lin.weight", plain.clone())]).unwrap();
        assert!(run(Planner::new(&model, &graph, &features), "gcn").output.as_slice().iter().all(|&v| v == 0.0));
        // GAT with loops: the own row; without: the bias.
        let mut gat = layer(Op::Gat, 3, 3);
        let tensors = [("lin.weight", plain.clone()), ("att_src", vector(3)), ("att_dst", vector(3)), ("bias", vector(3))];
        let model = one_layer(gat.clone(), &tensors).unwrap();
        let output = run(Planner::new(&model, &graph, &features), "gat").output;
        assert!((0..nodes).all(|i| (0..3).all(|c| output.row(i)[c] == x.row(i)[c] + vector(3).as_slice()[c])));
        gat.add_self_loops = false;
        let model = one_layer(gat, &tensors).unwrap();
        let output = run(Planner::new(&model, &graph, &features), "gat").output;
        assert!((0..nodes).all(|i| output.row(i) == vector(3).as_slice()));
        // SAGE: whatever the aggregation, 0.
        for reduce in [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min] {
            let mut sage = layer(Op::Sage, 3, 3);
            (sage.aggr, sage.root_weight, sage.bias) = (Some(reduce), false, false);
            let model = one_layer(sage, &[("lin_l.weight", plain.clone())]).unwrap();
            assert!(run(Planner::new(&model, &graph, &features), "sage").output.as_slice().iter().all(|&v| v == 0.0));
        }
    }
}

#[test]
fn any_budget_below_the_minimum_is_refused_with_the_minimum() {
    let setting = Setting::random(1, &[Op::Sage, Op::Gat], 30);
    let minimum = setting.planner().schedule().unwrap().minimum;
    for budget in [MemoryBudget::Working(0), MemoryBudget::Total(0), MemoryBudget::Working(4096), MemoryBudget::Working(minimum - 1)] {
        let error = setting.planner().budget(budget).plan().map(|_| ());
        if let MemoryBudget::Working(_) = budget {
            let Err(Error::BudgetTooSmall { minimum: found, .. }) = &error else { panic!("{budget:?}: {error:?}") };
            assert_eq!(*found, minimum);
        }
        refused(error, "budget_too_small", &["bytes"]);
    }
}

/// Rule 3 of the spec, for a budget of everything: exactly the minimum that the refusal names, under the same options, succeeds.
#[test]
fn the_minimum_of_a_total_budget_is_one_of_the_total() {
    let setting = Setting::random(1, &[Op::Sage, Op::Gat], 30);
    let Err(Error::BudgetTooSmall { minimum, .. }) = setting.planner().budget(MemoryBudget::Total(5)).plan() else {
        panic!("5 bytes are enough")
    };
    let plan = setting.planner().budget(MemoryBudget::Total(minimum)).plan();
    assert!(plan.is_ok(), "{}", plan.err().map(|error| error.to_string()).unwrap_or_default());
    assert!(setting.planner().budget(MemoryBudget::Total(minimum - 1)).plan().is_err());
}

fn planned(spec: &ModelSpec, graph: GraphStats, features: FeatureStats, change: fn(Planner) -> Planner) -> Result<u64, Error> {
    let result = std::panic::catch_unwind(|| {
        let planner = change(Planner::from_stats(spec, graph, features));
        let working = planner.clone().budget(MemoryBudget::Working(u64::MAX)).schedule();
        let total = planner.clone().budget(MemoryBudget::Total(u64::MAX)).schedule();
        let plain = planner.schedule().map(|schedule| {
            assert!(!schedule.to_string().is_empty());
            schedule.minimum
        });
        assert_eq!(working.is_ok(), plain.is_ok());
        drop(total);
        plain
    });
    match result {
        Ok(result) => result,
        Err(_) => panic!("a schedule of {graph:?}, {features:?} panics"),
    }
}

#[test]
fn sizes_near_the_end_of_64_bits_are_refused_without_overflow() {
    let gcn = ModelSpec::new(vec![layer(Op::Gcn, 1, 1)]).unwrap();
    let dense = FeatureStats::Dense { columns: 1 };
    let of = |nodes, edges| GraphStats { nodes, edges, weighted: true };
    for nodes in [1 << 32, 1 << 40, u64::MAX - 1, u64::MAX] {
        refused(planned(&gcn, of(nodes, 1), dense, |planner| planner), "TooLarge", &[]);
    }
    // Eight bytes an edge, beyond what any file holds.
    for edges in [1 << 60, u64::MAX] {
        refused(planned(&gcn, of((1 << 32) - 1, edges), dense, |planner| planner), "TooLarge", &["the graph"]);
    }
    assert!(planned(&gcn, of((1 << 32) - 1, 1 << 59), dense, |planner| planner).is_ok());
    assert!(planned(&gcn, of((1 << 32) - 1, 1 << 59), FeatureStats::Sparse { columns: 1, entries: u64::MAX }, |planner| planner).is_ok());
    let wide = ModelSpec::new(vec![layer(Op::Gcn, 1 << 24, 1)]).unwrap();
    assert!(planned(&wide, of((1 << 32) - 1, 1 << 40), FeatureStats::Dense { columns: 1 << 24 }, |planner| planner).is_ok());
}

#[test]
fn sizes_in_bytes_do_not_overflow() {
    for nodes in [u64::MAX, 1 << 62] {
        let found = std::panic::catch_unwind(|| {
            GraphStats { nodes, edges: u64::MAX, weighted: true }.bytes();
            FeatureStats::Dense { columns: usize::MAX }.bytes(nodes);
            FeatureStats::Sparse { columns: 1, entries: u64::MAX }.bytes(nodes);
            FeatureStats::Streamed { columns: 1, entry_bytes: u64::MAX }.bytes(nodes);
        });
        assert!(found.is_ok(), "bytes() of {nodes} nodes overflows");
    }
}

#[test]
fn bytes_of_input_and_output_beyond_64_bits_are_refused() {
    let gcn = ModelSpec::new(vec![layer(Op::Gcn, 1, 1)]).unwrap();
    let graph = GraphStats { nodes: 1 << 31, edges: 1, weighted: false };
    refused(planned(&gcn, graph, FeatureStats::Streamed { columns: 1, entry_bytes: u64::MAX }, |planner| planner), "TooLarge", &[]);
}

#[test]
fn bytes_of_many_spilled_hops_beyond_64_bits_are_refused() {
    let mut deep = layer(Op::Sgc, 1, 1 << 16);
    deep.hops = Some(1 << 16);
    let sgc = ModelSpec::new(vec![deep]).unwrap();
    let graph = GraphStats { nodes: (1 << 32) - 1, edges: 1, weighted: false };
    refused(
        planned(&sgc, graph, FeatureStats::Dense { columns: 1 }, |planner| planner.allow_spill().tier(Tier::Spill).slice(1 << 16)),
        "TooLarge",
        &[],
    );
}

#[test]
fn any_number_of_threads_is_refused_or_planned() {
    let gcn = ModelSpec::new(vec![layer(Op::Gcn, 1, 1)]).unwrap();
    let graph = GraphStats { nodes: 10, edges: 1, weighted: false };
    assert!(planned(&gcn, graph, FeatureStats::Dense { columns: 1 }, |planner| planner.threads(0)).is_ok());
    assert!(planned(&gcn, graph, FeatureStats::Dense { columns: 1 }, |planner| planner.row_block(usize::MAX).slice(usize::MAX)).is_ok());
    refused(planned(&gcn, graph, FeatureStats::Dense { columns: 1 }, |planner| planner.threads(usize::MAX)), "TooLarge", &[]);
}

#[test]
fn odd_options_of_a_planner_are_refused_or_harmless() {
    let setting = Setting::random(2, &[Op::Gcn, Op::Gin], 20);
    refused(setting.planner().slice(0).plan(), "InvalidParameter", &["slice"]);
    refused(setting.planner().row_block(0).plan(), "InvalidParameter", &["row_block"]);
    refused(setting.planner().tier(Tier::Spill).plan(), "InvalidParameter", &["spill"]);
    refused(setting.planner().allow_spill().plan(), "InvalidParameter", &["spill folder"]);
    refused(
        Planner::from_stats(setting.model.spec(), setting.graph.stats(), setting.features.stats()).plan(),
        "InvalidParameter",
        &["sizes alone"],
    );
    for speed in [0.0, f64::NAN, -1.0, f64::INFINITY] {
        let machine = MachineModel { multiply_adds: speed, disk: speed, gather_memory: speed, ..MachineModel::default() };
        same(&run(setting.planner(), "").output, &run(setting.planner().machine(machine), "an odd machine").output, "an odd machine");
    }
}

/// A tier that no slice has: the tier that was asked for is named.
#[test]
fn a_tier_that_is_not_to_be_had_is_named() {
    let narrow = ModelSpec::new(vec![layer(Op::Gcn, 3, 1)]).unwrap();
    let planner = Planner::from_stats(&narrow, GraphStats { nodes: 9, edges: 9, weighted: false }, FeatureStats::Dense { columns: 3 });
    refused(planner.tier(Tier::Panels).schedule(), "InvalidParameter", &["panels"]);
}

// ------------------------------------------------------------------------------------------------------------ spill folders

#[test]
fn bad_spill_folders_are_refused_before_any_work() {
    let setting = Setting::random(2, &[Op::Gcn, Op::Gin], 20);
    let folder = tempfile::tempdir().unwrap();
    let spilling = |at: &Path| setting.planner().spill_dir(at).tier(Tier::Spill);
    refused(spilling(&folder.path().join("missing")).plan(), "NotFound", &["missing"]);
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    refused(spilling(&file).plan(), "InvalidParameter", &["file"]);
    refused(spilling(Path::new("")).plan(), spilling(Path::new("")).plan().err().map_or("", |error| error.kind()), &[]);
    // A folder that went away after planning.
    let gone = folder.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let plan = spilling(&gone).plan().unwrap();
    std::fs::remove_dir(&gone).unwrap();
    refused(plan.run(), "Io", &["gone"]);
    std::fs::create_dir(&gone).unwrap();
    assert!(plan.run().is_ok(), "the plan can be run again");
    // A folder in which nothing can be made, whoever asks.
    if Path::new("/proc/self").is_dir() {
        refused(spilling(Path::new("/proc/self")).plan().unwrap().run(), "Io", &["/proc/self"]);
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_of_files() {
    let setting = Setting::random(2, &[Op::Gcn], 20);
    let plan = setting.planner().plan().unwrap();
    let result = plan.run_to_npy("/nowhere/at/all.npy", Head::Logits, ignore_events);
    assert!(matches!(result, Err(Error::File(_) | Error::Io { .. } | Error::Input(_))), "{result:?}");
}

// -------------------------------------------------------------------------------------------------- numbers out of their range

/// Node 3 alone overflows, in one column.
fn overflowing() -> (Model, Graph, Array<f32>) {
    let mut linear = layer(Op::Linear, 2, 3);
    linear.bias = false;
    let weights = Array::matrix(3, 2, vec![1.0, 0.0, 0.0, 1.0, 1e10, 1e10]).unwrap();
    let model = one_layer(linear, &[("weight", weights)]).unwrap();
    let graph = Graph::from_edges(6, [(0, 3), (1, 3), (2, 3), (3, 5), (5, 5), (3, 1)]).unwrap();
    let mut x = matrix(6, 2);
    x.row_mut(3).copy_from_slice(&[3e30, 1.0]);
    (model, graph, x)
}

#[test]
fn an_overflow_names_layer_and_node() {
    let (model, graph, x) = overflowing();
    let features = Features::dense(x).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let planner = Planner::new(&model, &graph, &features).spill_dir(folder.path());
    for (threads, slice, tier) in [(1, 1, Tier::Panels), (2, 2, Tier::Panels), (3, 3, Tier::Fused), (2, 1, Tier::Spill)] {
        match planner.clone().threads(threads).slice(slice).tier(tier).plan().unwrap().run() {
            Err(Error::Overflow { layer: 0, node: 3 }) => {}
            other => panic!("{other:?}"),
        }
    }
    let output = planner.check_finite(false).plan().unwrap().run().unwrap().output;
    assert!(!output.row(3)[2].is_finite());
}

/// The node is one of the graph that was given, not of the renumbered one.
#[test]
fn an_overflow_names_the_node_by_its_own_number() {
    let (model, graph, x) = overflowing();
    let features = Features::dense(x).unwrap();
    for reorder in [Reorder::Degree, Reorder::Bfs, Reorder::ReverseCuthillMckee] {
        match Planner::new(&model, &graph, &features).reorder(reorder).plan().unwrap().run() {
            Err(Error::Overflow { layer: 0, node }) => assert_eq!(node, 3, "{reorder:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_overflow_among_some_nodes_names_the_node_by_its_own_number() {
    let (model, graph, x) = overflowing();
    let features = Features::dense(x).unwrap();
    let plan = Planner::new(&model, &graph, &features).plan().unwrap();
    match plan.run_nodes(&[4, 5, 3], Plan::run) {
        Err(Error::Overflow { layer: 0, node }) => assert_eq!(node, 3, "of some nodes"),
        other => panic!("{other:?}"),
    }
}

/// What each schedule of this model gives on these features.
#[track_caller]
fn outcomes(model: &Model, graph: &Graph, x: &Array<f32>) -> Vec<(String, Result<Vec<u32>, &'static str>)> {
    let folder = tempfile::tempdir().unwrap();
    let streamed = Features::npy(npy_of(folder.path(), "x.npy", x)).unwrap();
    let dense = Features::dense(x.clone()).unwrap();
    let mut all = Vec::new();
    for features in [&dense, &streamed] {
        for tier in [None, Some(Tier::Fused), Some(Tier::Panels), Some(Tier::Spill)] {
            let mut planner = Planner::new(model, graph, features).spill_dir(folder.path());
            if let Some(tier) = tier {
                planner = planner.tier(tier);
            }
            let Ok(plan) = planner.plan() else { continue };
            let result = plan.run().map(|solution| bits(&solution.output)).map_err(|error| error.kind());
            all.push((format!("{tier:?}, {:?}", features.stats()), result));
        }
    }
    all
}

/// Whether a run succeeds does not depend on the schedule either.
#[test]
fn an_overflow_on_the_way_is_one_on_every_schedule() {
    let graph = Graph::from_edges(3, [(0, 2), (1, 2)]).unwrap();
    for op in [Op::Sage, Op::Graphconv] {
        for activation in [Activation::Tanh, Activation::Sigmoid, Activation::Relu, Activation::Elu, Activation::None] {
            let mut one = layer(op, 1, 2);
            (one.aggr, one.root_weight, one.bias, one.activation) = (Some(Reduce::Sum), false, false, activation);
            let name = if op == Op::Sage { "lin_l.weight" } else { "lin_rel.weight" };
            let model = one_layer(one, &[(name, Array::matrix(2, 1, vec![-1e-3, -1e-3]).unwrap())]).unwrap();
            let x = Array::matrix(3, 1, vec![3e38, 3e38, 0.0]).unwrap();
            let all = outcomes(&model, &graph, &x);
            for (options, outcome) in &all {
                assert_eq!(outcome, &all[0].1, "{op:?}, {activation:?}: {options} against {}", all[0].0);
            }
        }
    }
}

/// A sum that leaves the range of f32 is infinite and wrong; a bounded activation must not hide it.
#[test]
fn an_activation_does_not_hide_an_overflow() {
    let graph = Graph::from_edges(5, [(0, 4), (1, 4), (2, 4), (3, 4)]).unwrap();
    // The true sum is 0.
    let x = Array::matrix(5, 1, vec![3e38, 3e38, -3e38, -3e38, 0.0]).unwrap();
    let features = Features::dense(x).unwrap();
    for (op, name) in [(Op::Sage, "lin_l.weight"), (Op::Graphconv, "lin_rel.weight"), (Op::Gcn, "lin.weight")] {
        for activation in [Activation::Tanh, Activation::Sigmoid] {
            let mut one = layer(op, 1, 1);
            (one.aggr, one.root_weight, one.bias, one.activation) = (Some(Reduce::Sum), false, false, activation);
            one.normalize = false;
            let model = one_layer(one, &[(name, Array::matrix(1, 1, vec![1.0]).unwrap())]).unwrap();
            let truth = if activation == Activation::Tanh { 0.0 } else { 0.5 };
            match Planner::new(&model, &graph, &features).plan().unwrap().run() {
                Ok(solution) => assert_eq!(solution.output.row(4)[0], truth, "{op:?}, {activation:?}: silently wrong"),
                Err(error) => assert_eq!(error.kind(), "Overflow"),
            }
        }
    }
}

/// Section 6: a score that is infinite is an error, of either sign: here that of one neighbour of two.
#[test]
fn infinite_scores_of_attention_are_errors() {
    let graph = Graph::from_edges(3, [(0, 2), (1, 2)]).unwrap();
    let features = Features::dense(Array::matrix(3, 1, vec![1e30, 1.0, 1.0]).unwrap()).unwrap();
    for (weight, op) in [(1e10, Op::Gat), (1e10, Op::Gatv2), (-1e10, Op::Gat), (-1e10, Op::Gatv2)] {
        let (mut one, scale) = (layer(op, 1, 1), Array::matrix(1, 1, vec![1.0]).unwrap());
        let (att, none) = (Array::vector(vec![weight]), Array::vector(vec![0.0]));
        (one.bias, one.negative_slope, one.add_self_loops) = (false, 1.0, false);
        let model = if op == Op::Gat {
            one_layer(one, &[("lin.weight", scale), ("att_src", att), ("att_dst", none)])
        } else {
            one_layer(one, &[("lin_l.weight", scale.clone()), ("lin_r.weight", scale), ("att", att)])
        };
        match Planner::new(&model.unwrap(), &graph, &features).plan().unwrap().run() {
            Err(Error::Overflow { layer: 0, node: 2 }) => {}
            other => panic!("{op:?}, {weight}: {:?}", other.map(|solution| solution.output)),
        }
    }
}

/// Of several nodes the first is named, whatever panel or thread comes to another before.
#[test]
fn a_node_that_overflows_is_named_on_every_schedule() {
    let mut one = layer(Op::Gcn, 2, 2);
    (one.normalize, one.bias) = (false, false);
    let unit = Array::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 0.0 });
    let model = one_layer(one, &[("lin.weight", unit)]).unwrap();
    // Column 1 overflows at node 2, column 0 at node 5.
    let graph = Graph::from_edges(6, [(0, 5), (0, 5), (1, 2), (1, 2)]).unwrap();
    let mut x = Array::zeros([6, 2]);
    (x.row_mut(0)[0], x.row_mut(1)[1]) = (3e38, 3e38);
    let features = Features::dense(x).unwrap();
    for (slice, threads) in [(2, 1), (2, 3), (1, 1), (1, 3)] {
        match Planner::new(&model, &graph, &features).slice(slice).threads(threads).plan().unwrap().run() {
            Err(Error::Overflow { layer: 0, node }) => assert!([2, 5].contains(&node), "{node}: slice {slice}, {threads} threads"),
            other => panic!("{other:?}"),
        }
    }
}

/// A row whose norm is beyond f32, though its entries are not: every entry of the answer is at most 1 and none is 0.
#[test]
fn the_norm_of_a_huge_row_is_no_infinity() {
    let mut sage = layer(Op::Sage, 2, 2);
    (sage.l2_normalize, sage.bias) = (true, false);
    let unit = Array::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 0.0 });
    let model = one_layer(sage, &[("lin_l.weight", unit.clone()), ("lin_r.weight", unit)]).unwrap();
    let graph = Graph::from_edges(2, []).unwrap();
    let features = Features::dense(Array::matrix(2, 2, vec![3e38, 3e38, 3.0, 4.0]).unwrap()).unwrap();
    let output = run(Planner::new(&model, &graph, &features), "a huge row").output;
    for (found, expected) in output.as_slice().iter().zip([0.5f32.sqrt(), 0.5f32.sqrt(), 0.6, 0.8]) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

#[test]
fn a_negative_degree_is_refused_by_node() {
    let graph = Graph::from_weighted_edges(4, &[(0, 1), (1, 2), (0, 2), (3, 3)], &[-1.0, 2.0, -4.5, -3.0]).unwrap();
    let features = Features::dense(matrix(4, 3)).unwrap();
    for op in [Op::Gcn, Op::Sgc, Op::Appnp, Op::Tag] {
        let random = &mut Random(1);
        let mut one = layer(op, 3, 3);
        let plan = |one: &LayerSpec, random: &mut Random| {
            let spec = ModelSpec::new(vec![one.clone()]).unwrap();
            let mut all = Weights::new();
            for (name, tensor) in weights(random, &spec).tensors() {
                all.insert(name.clone(), tensor.clone());
            }
            let model = Model::new(spec, &all).unwrap();
            Planner::new(&model, &graph, &features).plan().and_then(|plan| plan.run()).map(|solution| solution.output)
        };
        // Node 1: 1 - 1 = 0 with the added loop, -1 without. Node 2: -1.5 with the loop.
        one.add_self_loops = op != Op::Tag;
        let (node, degree) = if op == Op::Tag { ("node 1", "-1") } else { ("node 2", "-1.5") };
        refused(plan(&one, random), "NonPositiveDegree", &[node, degree]);
        one.normalize = false;
        assert!(plan(&one, random).is_ok(), "{op:?} without normalisation");
    }
    // An added loop of negative weight on an unweighted graph.
    let graph = Graph::from_edges(3, [(0, 1), (1, 0), (0, 2), (1, 2)]).unwrap();
    let features = Features::dense(matrix(3, 3)).unwrap();
    let mut one = layer(Op::Gcn, 3, 2);
    one.self_loop_weight = -1.0;
    let model = one_layer(one.clone(), &[("lin.weight", matrix(2, 3)), ("bias", vector(2))]).unwrap();
    // Degrees 0, 0 and 1: none is negative, and a zero gives a coefficient 0.
    let output = run(Planner::new(&model, &graph, &features), "zero degrees").output;
    assert_eq!(output.row(0), vector(2).as_slice());
    one.self_loop_weight = -1.5;
    let model = one_layer(one, &[("lin.weight", matrix(2, 3)), ("bias", vector(2))]).unwrap();
    refused(Planner::new(&model, &graph, &features).plan(), "NonPositiveDegree", &["node 0", "-0.5"]);
}

/// More neighbours than f32 can count one by one.
#[test]
fn the_mean_of_a_hub_divides_by_the_true_count() {
    const COUNT: usize = (1 << 24) + (1 << 22);
    let graph = Graph::from_csr(2, vec![0, COUNT as u64, COUNT as u64], vec![1; COUNT]).unwrap();
    let mut sage = layer(Op::Sage, 1, 1);
    (sage.root_weight, sage.bias) = (false, false);
    let model = one_layer(sage, &[("lin_l.weight", Array::matrix(1, 1, vec![1.0]).unwrap())]).unwrap();
    let of = |x: f32| {
        let features = Features::dense(Array::matrix(2, 1, vec![0.0, x]).unwrap()).unwrap();
        run(Planner::new(&model, &graph, &features), "a hub").output.row(0)[0]
    };
    // Zero neighbours cost nothing; of ones, the f32 sum stands still at 2^24, so the mean is 2^24 over the count.
    assert_eq!(of(0.0), 0.0);
    assert_eq!(of(1.0), (1 << 24) as f32 / COUNT as f32);
}

#[test]
fn nodes_that_are_not_there_are_refused() {
    let setting = Setting::random(3, &[Op::Gcn], 20);
    let plan = setting.planner().plan().unwrap();
    refused(plan.run_nodes(&[1, 20], Plan::run), "InvalidParameter", &["nodes[1]", "20"]);
    refused(plan.run_nodes(&[u32::MAX], Plan::run), "InvalidParameter", &["nodes[0]"]);
    assert_eq!(plan.run_nodes(&[19], Plan::run).unwrap().output.rows(), 1);
    // A budget below what the part needs.
    let tight = setting.planner().budget(MemoryBudget::Working(plan.minimum)).plan().unwrap();
    assert!(tight.run_nodes(&[0, 5], Plan::run).is_ok());
}

#[test]
fn weights_of_edges_that_no_layer_uses_are_told() {
    let random = &mut Random(4);
    let net = Net::random(random, 12, true);
    let spec = spec(random, &[Op::Gin, Op::Gcn]);
    let x = features(random, 12, spec.in_channels(), false);
    let all = weights(random, &spec);
    let setting = Setting::new(net, x, all, spec);
    let warnings = run(setting.planner(), "weights").warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with("IgnoredEdgeWeights: gin")), "{warnings:?}");
}

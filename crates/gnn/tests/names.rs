//! Names of tensors as libraries write them, and the parameters of norms.

use certus_gnn::{Activation, Error, Features, Graph, LayerSpec, Model, ModelSpec, Norm, Op, Planner, Weights};
use certus_numeric::Array;

fn matrix(rows: usize, cols: usize) -> Array<f32> {
    Array::from_fn(rows, cols, |i, j| ((i * 7 + j * 3) % 5) as f32 / 4.0 - 0.4)
}

fn vector(length: usize, first: f32) -> Array<f32> {
    Array::vector((0..length).map(|k| first + k as f32 / 8.0).collect())
}

fn bound(layer: &LayerSpec, tensors: &[(&str, Array<f32>)]) -> Result<Model, Error> {
    let mut weights = Weights::new();
    tensors.iter().for_each(|(name, tensor)| weights.insert(*name, tensor.clone()));
    Model::new(ModelSpec::new(vec![layer.clone()])?, &weights)
}

fn output(model: &Model) -> Array<f32> {
    let graph = Graph::from_edges(4, [(0, 1), (1, 2), (3, 2), (2, 0)]).unwrap();
    let features = Features::dense(Array::from_fn(4, 3, |i, j| (i as f32 - j as f32) / 3.0)).unwrap();
    Planner::new(model, &graph, &features).plan().unwrap().run().unwrap().output
}

fn normed(norm: Norm) -> LayerSpec {
    LayerSpec { norm: Some(norm), ..LayerSpec::new(Op::Linear, "c", 3, 3) }
}

const MAP: [&str; 2] = ["c.weight", "c.bias"];

#[test]
fn the_epsilon_of_norms_is_that_of_the_model_file() {
    let map = [(MAP[0], matrix(3, 3)), (MAP[1], vector(3, 0.1))];
    let plain = output(&bound(&LayerSpec::new(Op::Linear, "c", 3, 3), &map).unwrap());
    for eps in [1e-5, 1e-3, 0.5] {
        let mut tensors = map.to_vec();
        tensors.extend([("c_norm.weight", vector(3, 0.5)), ("c_norm.bias", vector(3, -0.2))]);
        let layer = LayerSpec { norm_eps: eps, ..normed(Norm::Layer) };
        let found = output(&bound(&layer, &tensors).unwrap());
        tensors.extend([("c_norm.running_mean", vector(3, 0.3)), ("c_norm.running_var", vector(3, 0.001))]);
        let batch = output(&bound(&LayerSpec { norm_eps: eps, ..normed(Norm::Batch) }, &tensors).unwrap());
        for i in 0..4 {
            let row = plain.row(i).iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let mean = row.iter().sum::<f64>() / 3.0;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 3.0;
            for (j, x) in row.iter().enumerate() {
                let (w, b, k) = (0.5 + j as f64 / 8.0, -0.2 + j as f64 / 8.0, j as f64 / 8.0);
                let expected = (x - mean) / (variance + eps).sqrt() * w + b;
                assert!((f64::from(found.row(i)[j]) - expected).abs() < 1e-5, "layer {eps}");
                let expected = (x - (0.3 + k)) / (0.001 + k + eps).sqrt() * w + b;
                assert!((f64::from(batch.row(i)[j]) - expected).abs() < 1e-4 * expected.abs().max(1.0), "batch {eps}");
            }
        }
    }
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = ModelSpec::new(vec![LayerSpec { norm_eps: wrong, ..normed(Norm::Layer) }]).unwrap_err();
        assert!(error.to_string().contains("norm_eps"), "{error}");
    }
}

#[test]
fn a_norm_without_parameters_is_one_only_where_the_file_says_so() {
    let map = [(MAP[0], matrix(3, 3)), (MAP[1], vector(3, 0.1))];
    let error = bound(&normed(Norm::Layer), &map).unwrap_err();
    assert!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor == "c_norm.weight"), "{error}");
    let free = LayerSpec { norm_affine: false, ..normed(Norm::Layer) };
    let mut tensors = map.to_vec();
    let found = output(&bound(&free, &tensors).unwrap());
    tensors.extend([("c_norm.weight", Array::vector(vec![1.0; 3])), ("c_norm.bias", Array::vector(vec![0.0; 3]))]);
    assert_eq!(output(&bound(&normed(Norm::Layer), &tensors).unwrap()), found);
    // Parameters that the file denies are not passed over.
    assert_eq!(bound(&free, &tensors).unwrap_err().kind(), "UnusedTensor");
    // Of batch norm the running statistics are needed all the same.
    let batch = LayerSpec { norm: Some(Norm::Batch), ..free };
    assert!(bound(&batch, &map).unwrap_err().to_string().contains("running_mean"));
}

#[test]
fn a_norm_may_have_a_name_of_its_own() {
    let layer = LayerSpec { norm_prefix: Some("norms.0".into()), ..normed(Norm::Layer) };
    for name in ["norms.0", "norms.0.module"] {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let tensors = [(MAP[0], matrix(3, 3)), (MAP[1], vector(3, 0.1)), (&*weight, vector(3, 1.0)), (&*bias, vector(3, 0.0))];
        bound(&layer, &tensors).unwrap();
    }
    let file = r#"{ "layers": [ { "op": "linear", "in_channels": 3, "out_channels": 3, "norm": "layer", "norm_prefix": "norms.0", "norm_affine": false } ] }"#;
    let spec = ModelSpec::from_json(file).unwrap();
    assert!(spec.unknown_fields().is_empty() && spec.layers()[0].norm_prefix.as_deref() == Some("norms.0"));
    assert_eq!(ModelSpec::from_json(&spec.to_json()).unwrap(), spec);
}

#[test]
fn gin_reads_a_sequential_and_an_mlp() {
    let layer = LayerSpec {
        mlp_norm: Some(Norm::Batch),
        hidden: Some(vec![4]),
        activation: Activation::Relu,
        ..LayerSpec::new(Op::Gin, "c", 3, 2)
    };
    let names = |all: [&'static str; 3]| {
        let [first, norm, second] = all;
        let mut tensors = vec![(format!("c.nn.{first}.weight"), matrix(4, 3)), (format!("c.nn.{first}.bias"), vector(4, 0.0))];
        tensors.extend([(format!("c.nn.{second}.weight"), matrix(2, 4)), (format!("c.nn.{second}.bias"), vector(2, 0.0))]);
        for (part, first) in [("weight", 1.0), ("bias", 0.2), ("running_mean", 0.1), ("running_var", 0.5)] {
            tensors.push((format!("c.nn.{norm}.{part}"), vector(4, first)));
        }
        tensors
    };
    let model = |tensors: &[(String, Array<f32>)]| {
        bound(&layer, &tensors.iter().map(|(name, tensor)| (&**name, tensor.clone())).collect::<Vec<_>>())
    };
    let sequential = output(&model(&names(["0", "1", "3"])).unwrap());
    for mlp in ["norms.0.module", "norms.0"] {
        assert_eq!(output(&model(&names(["lins.0", mlp, "lins.1"])).unwrap()), sequential);
    }
    // One linear map, or three, are another network.
    let mut three = names(["lins.0", "norms.0.module", "lins.1"]);
    three.push(("c.nn.lins.2.weight".into(), matrix(2, 2)));
    let error = model(&three).unwrap_err();
    assert_eq!(error.kind(), "InvalidOption");
    assert!(error.to_string().contains("hidden is [4] (2 linear maps)") && error.to_string().contains("c.nn.lins.2.weight"), "{error}");
    let error = model(&[("c.nn.weight".into(), matrix(2, 3))]).unwrap_err();
    assert!(error.kind() == "InvalidOption" && error.to_string().contains("a list of 0: the weights have 1 linear map ("), "{error}");
}

#[test]
fn gin_reads_networks_of_one_map_and_of_three() {
    let one = LayerSpec { hidden: Some(vec![]), ..LayerSpec::new(Op::Gin, "c", 3, 2) };
    let alone = |map: &'static str, bias: &'static str| output(&bound(&one, &[(map, matrix(2, 3)), (bias, vector(2, 0.1))]).unwrap());
    let first = alone("c.nn.weight", "c.nn.bias");
    assert_eq!(alone("c.nn.0.weight", "c.nn.0.bias"), first);
    assert_eq!(alone("c.nn.lins.0.weight", "c.nn.lins.0.bias"), first);
    let three = LayerSpec { mlp_norm: Some(Norm::Batch), hidden: Some(vec![4, 5]), ..LayerSpec::new(Op::Gin, "c", 3, 2) };
    let named = |maps: [&str; 3], norms: [&str; 2]| {
        let (mut tensors, widths) = (Vec::new(), [3, 4, 5, 2]);
        for (k, map) in maps.iter().enumerate() {
            tensors.push((format!("c.nn.{map}.weight"), matrix(widths[k + 1], widths[k])));
            tensors.push((format!("c.nn.{map}.bias"), vector(widths[k + 1], 0.1)));
        }
        for (k, norm) in norms.iter().enumerate() {
            for (part, first) in [("weight", 1.0), ("bias", 0.2), ("running_mean", 0.1), ("running_var", 0.5)] {
                tensors.push((format!("c.nn.{norm}.{part}"), vector(widths[k + 1], first)));
            }
        }
        output(&bound(&three, &tensors.iter().map(|(name, tensor)| (&**name, tensor.clone())).collect::<Vec<_>>()).unwrap())
    };
    let sequential = named(["0", "3", "6"], ["1", "4"]);
    assert_eq!(named(["lins.0", "lins.1", "lins.2"], ["norms.0.module", "norms.1.module"]), sequential);
    for (text, hidden) in [("4", vec![4]), ("[4, 5]", vec![4, 5]), ("[]", vec![])] {
        let file = format!(r#"{{ "layers": [ {{ "op": "gin", "in_channels": 3, "out_channels": 2, "hidden": {text} }} ] }}"#);
        let spec = ModelSpec::from_json(&file).unwrap();
        assert_eq!(spec.layers()[0].hidden, Some(hidden));
        assert_eq!(ModelSpec::from_json(&spec.to_json()).unwrap(), spec);
    }
}

#[test]
fn a_missing_tensor_names_the_most_similar_ones_first() {
    let mut tensors = (0..30).map(|k| (format!("a{k}.other"), vector(1, 0.0))).collect::<Vec<_>>();
    tensors.push(("model.c.weight".into(), matrix(3, 3)));
    let tensors = tensors.iter().map(|(name, tensor)| (&**name, tensor.clone())).collect::<Vec<_>>();
    let error = bound(&LayerSpec::new(Op::Linear, "c", 3, 3), &tensors).unwrap_err();
    assert!(error.to_string().contains("there is model.c.weight, "), "{error}");
}

#[test]
fn an_entry_that_is_not_finite_is_named_by_index_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let tensor = Array::from_fn(4, 16, |i, j| if (i, j) == (1, 2) { 1e300 } else { 1.0 });
    certus_io::write_safetensors(&path, &[certus_io::NamedTensor::new("w", tensor)]).unwrap();
    let error = Weights::read(&path).unwrap_err().to_string();
    assert!(error.contains("w[1, 2] is 1e300"), "{error}");
    let nan = Array::from_fn(3, 3, |i, j| if (i, j) == (2, 1) { f32::NAN } else { 1.0 });
    let error = bound(&LayerSpec::new(Op::Linear, "c", 3, 3), &[(MAP[0], nan), (MAP[1], vector(3, 0.1))]).unwrap_err();
    assert!(error.to_string().contains("[2, 1] is NaN"), "{error}");
}

#[test]
fn a_pickle_of_torch_is_told_from_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = [&b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00"[..], &[0; 16], b"model/data.pklFB", &[0; 99]].concat();
    let legacy = [&[0x80u8, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46][..], &[0; 99]].concat();
    for (name, bytes) in
        [("model.pt", &archive), ("model.npz", &archive), ("model.safetensors", &archive), ("old.pt", &legacy), ("old.npz", &legacy)]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = Weights::read(&path).unwrap_err();
        assert!(error.kind() == "UnsupportedFormat" && error.to_string().contains("PyTorch file"), "{name}: {error}");
    }
}

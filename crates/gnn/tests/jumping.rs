//! Jumping knowledge: the outputs of several layers joined.

use certus_gnn::{Activation, Features, Join, LayerSpec, MemoryBudget, Model, ModelSpec, Op, Plan, Planner, Precision, Tier, Weights};
use certus_numeric::Array;
use proptest::prelude::*;

use crate::properties::{varied, varied_on_disk};
use crate::support::{Net, OPS, Random, Setting, bits, features, is_empty, layer, on_disk, run, same, weights};

fn jk(mode: Join, input: usize, out: usize) -> LayerSpec {
    LayerSpec { mode: Some(mode), ..LayerSpec::new(Op::Jk, "jump", input, out) }
}

/// Layers, a join of them, and perhaps a linear map of that.
fn setting(random: &mut Random, nodes: usize) -> Setting {
    let mode = random.of(&[Join::Cat, Join::Max]);
    let width = random.of(&[1, 3, 4, 6, 16]);
    let (mut layers, mut input, mut total) = (Vec::new(), random.of(&[1, 5, 8]), 0);
    for k in 0..1 + random.below(4) {
        let op = random.of(&OPS);
        let mut next = layer(random, op, k, input);
        // A maximum needs equal widths; side by side equal ones are usual.
        if mode == Join::Max || random.flip() {
            next.out_channels = if next.op == Op::Appnp { input } else { width };
            if matches!(next.op, Op::Gat | Op::Gatv2) {
                next.concat = false;
            }
        }
        if mode == Join::Max && next.width() != width {
            next = LayerSpec::new(Op::Gcn, &format!("conv{k}"), input, width);
        }
        next.skip = next.width() == input && random.flip();
        (input, total) = (next.width(), total + next.width());
        layers.push(next);
    }
    let mut join = jk(mode, input, if mode == Join::Cat { total } else { input });
    join.activation = random.of(&[Activation::None, Activation::Relu]);
    let joined = join.out_channels;
    layers.push(join);
    if random.flip() {
        layers.push(LayerSpec::new(Op::Linear, "end", joined, 3));
    }
    let spec = ModelSpec::new(layers).expect("a model");
    let x = features(random, nodes, spec.in_channels(), true);
    let tensors = weights(random, &spec);
    Setting::new(Net::random(random, nodes, false), x, tensors, spec)
}

/// The part of a model up to some layer, or from one on.
fn part(setting: &Setting, layers: &[LayerSpec], x: &Array<f32>) -> Array<f32> {
    let mut tensors = Weights::new();
    for (name, tensor) in setting.weights.tensors() {
        let of =
            |layer: &LayerSpec| name.starts_with(&format!("{}.", layer.prefix)) || name.starts_with(&format!("{}_norm.", layer.prefix));
        if layers.iter().any(of) {
            tensors.insert(name.clone(), tensor.clone());
        }
    }
    let model = Model::new(ModelSpec::new(layers.to_vec()).expect("a part"), &tensors).expect("a part");
    let features = Features::dense(x.clone()).expect("features");
    run(Planner::new(&model, &setting.graph, &features), "a part").output
}

/// The definition: each layer by itself, joined by hand.
fn by_hand(setting: &Setting) -> Array<f32> {
    let layers = setting.model.spec().layers();
    let join = layers.iter().position(|layer| layer.op == Op::Jk).expect("a join");
    let outputs = (0..join).map(|k| part(setting, &layers[..=k], &setting.x)).collect::<Vec<_>>();
    let spec = &layers[join];
    let cell = |i: usize, j: usize| match spec.mode {
        Some(Join::Max) => outputs.iter().map(|h| h.row(i)[j]).reduce(|a, b| if b > a { b } else { a }).expect("a layer"),
        _ => outputs.iter().flat_map(|h| h.row(i)).nth(j).copied().expect("a column"),
    };
    let mut joined = Array::from_fn(setting.net.nodes, spec.out_channels, cell);
    if spec.activation == Activation::Relu {
        joined = joined.map(|&v| if v < 0.0 { 0.0 } else { v + 0.0 });
    }
    match layers.get(join + 1) {
        Some(_) => part(setting, &layers[join + 1..], &joined),
        None => joined,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn the_join_is_as_defined_on_every_schedule(seed in any::<u64>(), nodes in 1usize..30) {
        let random = &mut Random(seed);
        let setting = setting(random, nodes);
        let what = format!("{:?} on {:?}", setting.model.spec(), setting.net);
        let expected = by_hand(&setting);
        let folder = tempfile::tempdir().unwrap();
        let file = on_disk(folder.path(), &setting.graph);
        std::fs::remove_file(folder.path().join("graph.npz")).unwrap();
        same(&expected, &run(setting.planner(), &what).output, &what);
        for _ in 0..4 {
            let (planner, options) = varied(random, setting.planner(), folder.path());
            same(&expected, &run(planner, &format!("{options}: {what}")).output, &format!("{options}: {what}"));
        }
        let (planner, options) = varied_on_disk(random, Planner::new(&setting.model, &file, &setting.features), folder.path());
        same(&expected, &run(planner, &options).output, &format!("{options}: {what}"));
        // At the smallest budget, and for some nodes alone.
        let planner = setting.planner().spill_dir(folder.path());
        let minimum = planner.schedule().unwrap().minimum;
        let at = planner.clone().budget(MemoryBudget::Working(minimum));
        same(&expected, &run(at, "at the minimum").output, &what);
        prop_assert!(planner.clone().budget(MemoryBudget::Working(minimum - 1)).plan().is_err());
        let ids = [random.below(nodes) as u32, random.below(nodes) as u32];
        let some = planner.plan().unwrap().run_nodes(&ids, Plan::run).unwrap().output;
        for (k, &i) in ids.iter().enumerate() {
            let row = |array: &Array<f32>, i: usize| array.row(i).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(row(&some, k), row(&expected, i as usize), "{}: node {}", what, i);
        }
        prop_assert!(is_empty(folder.path()));
    }

    /// In half precision: one result on all schedules, within the bounds where there are some.
    #[test]
    fn half_precision_is_within_its_bounds(seed in any::<u64>(), nodes in 1usize..30) {
        let random = &mut Random(seed);
        let setting = setting(random, nodes);
        let folder = tempfile::tempdir().unwrap();
        let exact = run(setting.planner(), "exact").output;
        let half = |planner: Planner| planner.precision(Precision::F16).spill_dir(folder.path()).plan().unwrap().run();
        // Too large for 16 bits is an error of its own.
        let Ok(first) = half(setting.planner()) else { return Ok(()) };
        let spilled = half(setting.planner().tier(Tier::Spill).slice(2)).unwrap();
        prop_assert_eq!(bits(&first.output), bits(&spilled.output));
        prop_assert_eq!(first.facts.error_bound, spilled.facts.error_bound);
        if let Some(bound) = first.facts.error_bound {
            let apart = exact.as_slice().iter().zip(first.output.as_slice()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            prop_assert!(apart <= bound.largest, "{apart} apart, bound {}", bound.largest);
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let json = |last: &str| {
        let text = format!(
            r#"{{ "layers": [ {{ "op": "gcn", "prefix": "a", "in_channels": 5, "out_channels": 4 }},
                              {{ "op": "gcn", "prefix": "b", "in_channels": 4, "out_channels": 6 }}, {last} ] }}"#
        );
        ModelSpec::from_json(&text)
    };
    let good = json(r#"{ "op": "jk", "mode": "cat", "in_channels": 6, "out_channels": 10 }"#).unwrap();
    assert_eq!((good.out_channels(), ModelSpec::from_json(&good.to_json()).unwrap()), (10, good));
    for (last, named) in [
        (r#"{ "op": "jk", "mode": "cat", "in_channels": 6, "out_channels": 9 }"#, "10, the columns of the layers"),
        (r#"{ "op": "jk", "in_channels": 6, "out_channels": 10 }"#, "mode is missing"),
        (r#"{ "op": "jk", "mode": "max", "in_channels": 6, "out_channels": 6 }"#, "layer 0 (gcn): out_channels is 4"),
        (r#"{ "op": "jk", "mode": "lstm", "in_channels": 6, "out_channels": 6 }"#, "lstm"),
        (
            r#"{ "op": "jk", "mode": "cat", "in_channels": 6, "out_channels": 10 },
               { "op": "jk", "mode": "cat", "in_channels": 10, "out_channels": 20 }"#,
            "a second jk",
        ),
    ] {
        let error = json(last).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let first = ModelSpec::new(vec![jk(Join::Cat, 4, 4)]).unwrap_err().to_string();
    assert!(first.contains("in the first layer"), "{first}");
}

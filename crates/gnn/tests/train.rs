//! Training: gradients, the minimiser, the same bits, accuracies, and bad input.

use std::ops::ControlFlow;
use std::path::Path;

use certus_contract::{Basis, Status, Verdict, ignore_events};
use certus_gnn::synth::{Cleanup, hash_feature, sbm};
use certus_gnn::train::{ConvexFacts, Labels, Method, Score, Solution, Stop, TrainFacts, Trainer, Training, certificate, read_labels};
use certus_gnn::{Activation, Error, Features, Graph, LayerSpec, Model, ModelSpec, Norm, Op, Planner, Reduce, Weights, read_graph};
use certus_io::NpzWriter;
use certus_numeric::{Array, Csr, Seed};
use certus_testkit::cases::external;
use certus_testkit::certificates::must_fail_once;
use certus_testkit::same_bits;

use crate::support::{Net, Random, bits, evaluate, features, npy_of, weights};

fn layer(op: Op, prefix: &str, input: usize, out: usize) -> LayerSpec {
    LayerSpec { hops: (op == Op::Sgc).then_some(2), ..LayerSpec::new(op, prefix, input, out) }
}

fn relu(layer: LayerSpec) -> LayerSpec {
    LayerSpec { activation: Activation::Relu, ..layer }
}

/// A graph with loops, duplicates and isolated nodes, dense features, and labels of some nodes.
struct Small {
    net: Net,
    graph: Graph,
    x: Array<f32>,
    labels: Labels,
}

impl Small {
    fn new(seed: u64, nodes: usize, columns: usize, classes: usize, weighted: bool) -> Small {
        let random = &mut Random(seed);
        let net = Net::random(random, nodes, weighted);
        let x = features(random, nodes, columns, false);
        let labels = Labels {
            classes: (0..nodes).map(|_| random.below(classes) as i64).collect(),
            train: (0..nodes as u32).filter(|i| i % 3 != 0).collect(),
            validation: (0..nodes as u32).step_by(3).collect(),
            test: Vec::new(),
        };
        Small { graph: net.graph(), net, x, labels }
    }

    fn dense(&self) -> Features {
        Features::dense(self.x.clone()).expect("features")
    }

    fn sparse(&self) -> Features {
        let csr = Csr::from_dense(&self.x.map(|&v| f64::from(v))).map(|&v| v as f32);
        Features::sparse(csr).expect("features")
    }

    /// The loss by the definitions of the layers, in f64.
    fn loss(&self, spec: &ModelSpec, weights: &Weights, decay: f64) -> f64 {
        let output = evaluate(spec, weights, &self.net, &self.x).output;
        let of = |&node: &u32| {
            let row = &output[node as usize];
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = row.iter().map(|x| (x - largest).exp()).sum::<f64>();
            largest + sum.ln() - row[self.labels.classes[node as usize] as usize]
        };
        let square = weights.tensors().values().flat_map(|t| t.as_slice()).map(|&w| f64::from(w) * f64::from(w)).sum::<f64>();
        self.labels.train.iter().map(of).sum::<f64>() / self.labels.train.len() as f64 + 0.5 * decay * square
    }
}

/// Stacks of each kind of layer, from 5 columns to 3 classes.
fn stacks() -> Vec<(&'static str, Vec<LayerSpec>)> {
    let weighted_loops = LayerSpec { self_loop_weight: 2.0, ..layer(Op::Gcn, "a", 5, 3) };
    let no_loops = LayerSpec { add_self_loops: false, ..layer(Op::Gcn, "a", 5, 3) };
    let plain = LayerSpec { normalize: false, ..layer(Op::Gcn, "a", 5, 3) };
    let no_bias = LayerSpec { bias: false, ..layer(Op::Gcn, "a", 5, 3) };
    let rootless = LayerSpec { root_weight: false, ..layer(Op::Sage, "a", 5, 3) };
    let sum = LayerSpec { aggr: Some(Reduce::Sum), ..layer(Op::Sage, "a", 5, 3) };
    let still = LayerSpec { hops: Some(0), ..layer(Op::Sgc, "a", 5, 3) };
    let far = LayerSpec { hops: Some(3), ..layer(Op::Sgc, "a", 5, 3) };
    vec![
        ("gcn", vec![layer(Op::Gcn, "a", 5, 3)]),
        ("gcn, loops of weight 2", vec![weighted_loops]),
        ("gcn without loops", vec![no_loops]),
        ("gcn, not normalised", vec![plain]),
        ("gcn without bias", vec![no_bias]),
        ("sage", vec![layer(Op::Sage, "a", 5, 3)]),
        ("sage without root", vec![rootless]),
        ("sage sum", vec![sum]),
        ("sgc, K = 0", vec![still]),
        ("sgc, K = 3", vec![far]),
        ("linear", vec![layer(Op::Linear, "a", 5, 3)]),
        ("relu at the end", vec![relu(layer(Op::Linear, "a", 5, 3))]),
        ("gcn, gcn", vec![relu(layer(Op::Gcn, "a", 5, 7)), layer(Op::Gcn, "b", 7, 3)]),
        ("sage, sage", vec![relu(layer(Op::Sage, "a", 5, 8)), layer(Op::Sage, "b", 8, 3)]),
        ("linear, sgc, sage", vec![relu(layer(Op::Linear, "a", 5, 6)), relu(layer(Op::Sgc, "b", 6, 4)), layer(Op::Sage, "c", 4, 3)]),
        ("gcn, no relu, linear", vec![layer(Op::Gcn, "a", 5, 9), layer(Op::Linear, "b", 9, 3)]),
    ]
}

/// Each entry of the gradient, against differences of the loss by definition; the largest error over the largest entry.
fn gradient_error(small: &Small, spec: &ModelSpec, given: &Weights, found: &Weights, decay: f64) -> f64 {
    // Small enough that hardly any step crosses a kink of ReLU; its true length in f32 is taken.
    let step = 2f32.powi(-16);
    let (mut worst, mut largest) = (0.0f64, 0.0f64);
    for (name, tensor) in given.tensors() {
        for k in 0..tensor.len() {
            let at = |by: f32| {
                let (mut moved, mut all) = (tensor.clone(), given.clone());
                moved.as_mut_slice()[k] += by;
                let exact = f64::from(moved.as_slice()[k]);
                all.insert(name.clone(), moved);
                (small.loss(spec, &all, decay), exact)
            };
            let [(f1, x1), (f2, x2)] = [-step, step].map(at);
            let expected = (f2 - f1) / (x2 - x1);
            let claimed = f64::from(found.tensors()[name].as_slice()[k]);
            (worst, largest) = (worst.max((claimed - expected).abs()), largest.max(expected.abs()));
        }
    }
    assert!(largest > 1e-3, "no gradient to compare with");
    worst / largest
}

#[test]
fn gradients_are_those_of_differences_of_the_definitions() {
    let trainer = Trainer::default().with_weight_decay(0.01);
    for (name, layers) in stacks() {
        for (seed, weighted) in [(1, false), (2, true), (3, false)] {
            let small = Small::new(seed, 24, 5, 3, weighted);
            let spec = ModelSpec::new(layers.clone()).expect(name);
            let given = weights(&mut Random(seed + 10), &spec);
            for features in [small.dense(), small.sparse()] {
                let problem = Training::new(&spec, &small.graph, &features, &small.labels).expect(name);
                let (loss, found) = trainer.loss_and_gradient(&problem, &given).expect(name);
                let expected = small.loss(&spec, &given, 0.01);
                assert!((loss - expected).abs() <= 1e-6 * expected.abs(), "{name}: {loss} for {expected}");
                let error = gradient_error(&small, &spec, &given, &found, 0.01);
                assert!(error < 2e-5, "{name}, seed {seed}, weighted {weighted}: {error}");
            }
        }
    }
}

#[test]
fn a_wrong_gradient_is_seen() {
    let small = Small::new(1, 24, 5, 3, false);
    let spec = ModelSpec::new(vec![layer(Op::Gcn, "a", 5, 3)]).expect("a model");
    let (given, features) = (weights(&mut Random(11), &spec), small.dense());
    let problem = Training::new(&spec, &small.graph, &features, &small.labels).expect("a problem");
    let (_, found) = Trainer::default().with_weight_decay(0.01).loss_and_gradient(&problem, &given).expect("a gradient");
    for name in ["a.lin.weight", "a.bias"] {
        let mut wrong = found.clone();
        let mut tensor = wrong.tensors()[name].clone();
        tensor.as_mut_slice()[0] += 1e-3;
        wrong.insert(name, tensor);
        assert!(gradient_error(&small, &spec, &given, &wrong, 0.01) > 2e-5, "{name}");
    }
    // Another penalty is another gradient.
    assert!(gradient_error(&small, &spec, &given, &found, 0.0) > 2e-5);
}

/// Four communities whose members' words hardly differ, and a few labels.
struct Communities {
    graph: Graph,
    features: Features,
    labels: Labels,
}

const SIZE: usize = 100;
const WORDS: usize = 40;

fn communities() -> Communities {
    let graph = sbm(&[SIZE; 4], 0.08, 0.006, Cleanup::default(), Seed(3)).expect("a graph");
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for i in 0..4 * SIZE {
        let has = |j: &usize| hash_feature(Seed(4), i, *j) > if j / (WORDS / 4) == i / SIZE { 0.4 } else { 0.6 };
        indices.extend((0..WORDS).filter(has).map(|j| j as u32));
        indptr.push(indices.len());
    }
    let values = vec![1.0f32; indices.len()];
    let features = Features::sparse(Csr::new(4 * SIZE, WORDS, indptr, indices, values).expect("words")).expect("features");
    let of = |from: usize, to: usize| (0..4 * SIZE as u32).filter(|i| (from..to).contains(&(*i as usize % SIZE))).collect();
    let labels = Labels {
        classes: (0..4 * SIZE).map(|i| (i / SIZE) as i64).collect(),
        train: of(0, 10),
        validation: of(10, 25),
        test: of(25, SIZE),
    };
    Communities { graph, features, labels }
}

impl Communities {
    fn train(&self, spec: &ModelSpec, trainer: &Trainer) -> Solution {
        let problem = Training::new(spec, &self.graph, &self.features, &self.labels).expect("a problem");
        trainer.train(&problem).expect("training")
    }
}

fn sgc(input: usize, classes: usize) -> ModelSpec {
    ModelSpec::new(vec![layer(Op::Sgc, "conv1", input, classes)]).expect("a model")
}

fn two(op: Op, input: usize, classes: usize) -> ModelSpec {
    ModelSpec::new(vec![relu(layer(op, "conv1", input, 16)), layer(op, "conv2", 16, classes)]).expect("a model")
}

fn share(score: Score) -> f64 {
    score.share().expect("nodes")
}

fn vector(weights: &Weights) -> Vec<f32> {
    weights.tensors().values().flat_map(|tensor| tensor.as_slice()).copied().collect()
}

#[test]
fn communities_are_told_apart_by_every_kind_of_stack() {
    let data = communities();
    let linear = ModelSpec::new(vec![layer(Op::Linear, "a", WORDS, 4)]).expect("a model");
    let words_alone = share(data.train(&linear, &Trainer::default().with_weight_decay(0.01)).facts.test);
    for (spec, least) in [(sgc(WORDS, 4), 0.9), (two(Op::Gcn, WORDS, 4), 0.9), (two(Op::Sage, WORDS, 4), 0.8)] {
        let solution = data.train(&spec, &Trainer::default());
        let found = share(solution.facts.test);
        assert!(found > least && found > words_alone + 0.1, "{:?}: {found}, by words alone {words_alone}", spec.layers()[0].op);
        assert_eq!(solution.facts.parameters, vector(&solution.weights).len());
        // The scores are those of the ordinary inference.
        let model = Model::new(spec, &solution.weights).expect("a model");
        let classes = Planner::new(&model, &data.graph, &data.features).plan().and_then(|plan| plan.run_classes(ignore_events));
        let classes = classes.expect("a run").output.class;
        let right = data.labels.test.iter().filter(|&&i| i64::from(classes[i as usize]) == data.labels.classes[i as usize]).count();
        assert_eq!(solution.facts.test, Score { correct: right as u64, total: data.labels.test.len() as u64 });
    }
}

#[test]
fn sgc_ends_at_the_one_minimiser_from_any_start() {
    let data = communities();
    for decay in [1e-2, 1e-4] {
        let train = |seed: u64| data.train(&sgc(WORDS, 4), &Trainer::default().with_weight_decay(decay).with_seed(Seed(seed)));
        let (a, b) = (train(1), train(2));
        assert_ne!(a.trace[0].loss, b.trace[0].loss, "two seeds start at one place");
        let mut bounds = 0.0;
        for solution in [&a, &b] {
            assert_eq!((solution.stop, solution.status), (Stop::Gradient, Status::Converged));
            assert_eq!(solution.certificate.verdict(), Verdict::Holds, "{}", solution.certificate);
            let last = solution.trace[solution.trace.len() - 1];
            assert!(last.gradient_norm <= 1e-9, "{last:?}");
            // That of the weights in f32 is a rounding longer.
            assert!(solution.facts.gradient_norm < 1e-6, "{:?}", solution.facts);
            let convex = solution.facts.convex.expect("a convex loss");
            assert!(convex.distance_found <= convex.distance_bound && convex.gap_found <= convex.gap_bound);
            assert!(convex.distance_bound < 1e-2 * convex.distance_trivial, "{convex:?}");
            bounds += convex.distance_bound;
        }
        let apart = vector(&a.weights).iter().zip(vector(&b.weights)).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        assert!(apart <= bounds, "{apart} apart, bounds {bounds}");
        assert!(apart < 1e-4 * vector(&a.weights).iter().map(|w| f64::from(w * w)).sum::<f64>().sqrt());
    }
}

#[test]
fn the_bounds_hold_of_runs_that_end_early() {
    let data = communities();
    let train = |epochs: usize| data.train(&sgc(WORDS, 4), &Trainer::default().with_weight_decay(1e-3).with_epochs(epochs));
    let whole = train(2000);
    for epochs in [1, 3, 10, 20] {
        let early = train(epochs);
        assert_eq!((early.stop, early.status), (Stop::Epochs, Status::MaxIterations));
        let convex = early.facts.convex.expect("a convex loss");
        let apart = vector(&early.weights).iter().zip(vector(&whole.weights)).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        let rest = whole.facts.convex.expect("a convex loss").distance_bound;
        assert!(apart <= convex.distance_bound + rest, "{epochs}: {apart}, {convex:?}");
        assert!(early.facts.loss - whole.facts.loss <= convex.gap_bound, "{epochs}: {convex:?}");
        assert!(early.facts.loss > whole.facts.loss);
    }
}

#[test]
fn lbfgs_and_adam_minimise_one_function() {
    let data = communities();
    let spec = sgc(WORDS, 4);
    let exact = data.train(&spec, &Trainer::default().with_weight_decay(1e-2));
    let no_validation = Labels { validation: Vec::new(), ..data.labels.clone() };
    let problem = Training::new(&spec, &data.graph, &data.features, &no_validation).expect("a problem");
    let adam = Trainer::default().with_method(Method::Adam).with_weight_decay(1e-2).with_epochs(3000).with_learning_rate(0.03);
    let adam = adam.train(&problem).expect("training");
    assert!((adam.facts.loss - exact.facts.loss).abs() < 1e-5, "{} and {}", adam.facts.loss, exact.facts.loss);
    // The gradient of the stack at the minimiser of the regression.
    let (loss, gradient) = Trainer::default().with_weight_decay(1e-2).loss_and_gradient(&problem, &exact.weights).expect("a gradient");
    assert!((loss - exact.facts.loss).abs() < 1e-6);
    assert!(vector(&gradient).iter().all(|g| g.abs() < 1e-6));
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let data = communities();
    for (spec, trainer) in [
        (sgc(WORDS, 4), Trainer::default()),
        (two(Op::Gcn, WORDS, 4), Trainer::default().with_epochs(12)),
        (two(Op::Sage, WORDS, 4), Trainer::default().with_epochs(12).with_dropout(0.3)),
    ] {
        same_bits(|| {
            let solution = data.train(&spec, &trainer.clone().with_threads(rayon::current_num_threads()));
            let losses = solution.trace.iter().map(|progress| progress.loss.to_bits()).collect::<Vec<_>>();
            (bits(&Array::vector(vector(&solution.weights))), losses, solution.facts.gradient_norm.to_bits())
        });
    }
}

#[test]
fn dropout_and_seeds_change_what_is_learned() {
    let data = communities();
    let spec = two(Op::Gcn, WORDS, 4);
    let train = |trainer: Trainer| vector(&data.train(&spec, &trainer.with_epochs(5)).weights);
    let plain = train(Trainer::default().with_dropout(0.0));
    assert_eq!(plain, train(Trainer::default().with_dropout(0.0)));
    assert_ne!(plain, train(Trainer::default().with_dropout(0.5)));
    assert_ne!(plain, train(Trainer::default().with_dropout(0.0).with_seed(Seed(1))));
    assert_ne!(plain, train(Trainer::default().with_dropout(0.0).with_weight_decay(0.1)));
}

#[test]
fn the_best_epoch_is_kept_and_patience_ends_a_run() {
    let data = communities();
    let solution = data.train(&two(Op::Gcn, WORDS, 4), &Trainer::default().with_epochs(500).with_patience(10));
    assert_eq!((solution.stop, solution.status), (Stop::Patience, Status::Done));
    assert_eq!(solution.facts.epochs, solution.facts.best_epoch + 10);
    let accuracy = |k: usize| solution.trace[k].validation_accuracy.expect("validation nodes");
    let best = (0..solution.trace.len()).map(accuracy).fold(0.0, f64::max);
    assert_eq!(accuracy(solution.facts.best_epoch - 1), best);
    assert_eq!(share(solution.facts.validation), best);
    assert_eq!(solution.certificate.verdict(), Verdict::Vacuous, "{}", solution.certificate);
}

#[test]
fn an_observer_may_stop_and_gets_the_best_so_far() {
    let data = communities();
    let problem = |spec| Training::new(spec, &data.graph, &data.features, &data.labels).expect("a problem");
    let (regression, network) = (sgc(WORDS, 4), two(Op::Gcn, WORDS, 4));
    for (spec, phase) in [(&regression, "iterate"), (&network, "epoch")] {
        let mut seen = 0;
        let solution = Trainer::default().train_with(&problem(spec), |event| {
            seen += u64::from(event.phase == phase);
            if seen == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let solution = solution.expect("the best so far");
        assert_eq!((solution.stop, solution.status, solution.facts.epochs), (Stop::Observer, Status::Stopped, 4), "{phase}");
        assert!(solution.trace.len() >= 4);
    }
    let stopped = Trainer::default().train_with(&problem(&regression), |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Stopped { .. })));
}

#[test]
fn budgets_are_kept_or_refused_before_any_work() {
    let data = communities();
    let folder = tempfile::tempdir().expect("a folder");
    let spec = sgc(WORDS, 4);
    let problem = Training::new(&spec, &data.graph, &data.features, &data.labels).expect("a problem");
    let free = Trainer::default().train(&problem).expect("training");
    let untouched = |_: &certus_contract::Event| -> ControlFlow<()> { panic!("work before the refusal") };
    for trainer in [Trainer::default(), Trainer::default().with_spill_dir(folder.path())] {
        let refused = trainer.clone().with_budget(1).train_with(&problem, untouched);
        let Err(Error::BudgetTooSmall { minimum: inference, .. }) = refused else { panic!("one byte is accepted") };
        let refused = trainer.clone().with_budget(inference).train_with(&problem, untouched);
        let Err(Error::BudgetTooSmall { minimum, .. }) = refused else { panic!("the budget of inference is enough to propagate") };
        assert!(trainer.clone().with_budget(minimum - 1).train_with(&problem, untouched).is_err());
        let solution = trainer.with_budget(minimum).train(&problem).expect("the minimum is enough");
        assert_eq!(vector(&solution.weights), vector(&free.weights), "a budget changed the answer");
        let memory = solution.facts.memory.expect("propagation");
        assert!(memory.measured_peak <= minimum && memory.budget == Some(minimum));
        assert_eq!(solution.certificate.claims.len(), 2);
    }
    let spec = two(Op::Gcn, WORDS, 4);
    let problem = Training::new(&spec, &data.graph, &data.features, &data.labels).expect("a problem");
    let refused = Trainer::default().with_budget(100_000).train_with(&problem, untouched);
    let Err(Error::BudgetTooSmall { minimum, .. }) = refused else { panic!("Adam in 100 kB") };
    assert!(Trainer::default().with_budget(minimum).with_epochs(1).train(&problem).is_ok());
}

#[test]
fn adam_holds_no_more_than_was_predicted() {
    let nodes = 20_000;
    let graph = sbm(&[nodes / 2; 2], 0.001, 0.0001, Cleanup::default(), Seed(0)).expect("a graph");
    let labels = Labels {
        classes: (0..nodes as i64).map(|i| 2 * i / nodes as i64).collect(),
        train: (0..nodes as u32).step_by(10).collect(),
        validation: (1..nodes as u32).step_by(10).collect(),
        test: Vec::new(),
    };
    let x = Array::from_fn(nodes, 24, |i, j| hash_feature(Seed(1), i, j));
    let features = [Features::dense(x.clone()), Features::sparse(Csr::from_dense(&x.map(|&v| f64::from(v))).map(|&v| v as f32))];
    certus_testkit::memory::alone(|| {
        for features in features {
            let features = features.expect("features");
            // Hops between wide layers: a buffer more than one sum takes.
            let hops = vec![layer(Op::Linear, "conv1", 24, 128), layer(Op::Sgc, "conv2", 128, 128), layer(Op::Linear, "conv3", 128, 2)];
            for spec in [two(Op::Gcn, 24, 2), two(Op::Sage, 24, 2), ModelSpec::new(hops).expect("a model")] {
                for dropout in [0.0, 0.5] {
                    let problem = Training::new(&spec, &graph, &features, &labels).expect("a problem");
                    let trainer = Trainer::default().with_epochs(2).with_dropout(dropout);
                    let (solution, peak) = certus_testkit::memory::peak(|| trainer.train(&problem));
                    let predicted = solution.expect("training").facts.predicted_peak;
                    assert!(peak as u64 <= predicted, "{peak} bytes, {predicted} predicted: {spec:?}, dropout {dropout}");
                    assert!(predicted < 3 * peak as u64, "{peak} bytes, {predicted} predicted: {spec:?}, dropout {dropout}");
                }
            }
        }
    });
}

#[test]
fn features_may_be_dense_sparse_or_streamed() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(5, 40, 5, 3, true);
    let path = npy_of(folder.path(), "x.npy", &small.x);
    for layers in [
        vec![layer(Op::Sgc, "a", 5, 3)],
        vec![layer(Op::Linear, "a", 5, 3)],
        vec![relu(layer(Op::Gcn, "a", 5, 4)), layer(Op::Gcn, "b", 4, 3)],
    ] {
        let spec = ModelSpec::new(layers).expect("a model");
        let train = |features: Features, dropout: f64| {
            let problem = Training::new(&spec, &small.graph, &features, &small.labels).expect("a problem");
            let solution = Trainer::default().with_dropout(dropout).with_weight_decay(0.01).with_epochs(300).train(&problem);
            solution.expect("training").facts
        };
        let (dense, sparse) = (train(small.dense(), 0.0), train(small.sparse(), 0.0));
        let streamed = train(Features::npy(&path).expect("a file"), 0.0);
        assert_eq!(dense.loss, streamed.loss);
        assert!((dense.loss - sparse.loss).abs() < 1e-4, "{} and {}", dense.loss, sparse.loss);
    }
}

fn good() -> TrainFacts {
    TrainFacts {
        method: Method::Lbfgs,
        parameters: 10,
        epochs: 5,
        best_epoch: 5,
        weight_decay: 0.1,
        loss: 0.5,
        gradient_norm: 1e-6,
        convex: Some(ConvexFacts {
            modulus: 0.1,
            distance_bound: 1e-5,
            distance_found: 1e-7,
            distance_trivial: 4.0,
            gap_bound: 1e-11,
            gap_found: 1e-12,
        }),
        train: Score { correct: 1, total: 1 },
        validation: Score::default(),
        test: Score::default(),
        predicted_peak: 0,
        memory: None,
    }
}

fn convex(facts: &mut TrainFacts) -> &mut ConvexFacts {
    facts.convex.as_mut().expect("a convex loss")
}

#[test]
fn every_check_can_fail() {
    let exempt = must_fail_once(
        certificate,
        good(),
        &[
            ("strong_convexity", |facts| convex(facts).modulus = 0.0),
            ("distance_to_minimiser", |facts| convex(facts).distance_found = 1e-4),
            ("gap", |facts| convex(facts).gap_found = 1e-10),
        ],
    );
    assert!(exempt.is_empty(), "{exempt:?}");
    for check in &certificate(&good()).claims[0].guarantees {
        assert_eq!(check.basis, Basis::Bounded);
    }
}

#[test]
fn without_a_bound_nothing_is_claimed() {
    let mut facts = good();
    (facts.convex, facts.validation) = (None, Score { correct: 3, total: 4 });
    let found = certificate(&facts);
    assert_eq!(found.verdict(), Verdict::Vacuous);
    assert!(found.claims[0].guarantees.iter().all(|check| check.limit.is_none() && check.measured.is_some()));
    // A bound that is no better than what is known without a gradient is no news.
    let mut facts = good();
    (convex(&mut facts).distance_bound, convex(&mut facts).gap_bound) = (5.0, 0.6);
    assert_eq!(certificate(&facts).verdict(), Verdict::Vacuous);
    // Without a penalty there is no such theorem.
    let data = communities();
    let solution = data.train(&sgc(WORDS, 4), &Trainer::default().with_weight_decay(0.0).with_epochs(20));
    assert_eq!(solution.certificate.verdict(), Verdict::NotApplicable, "{}", solution.certificate);
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, kind: &str, names: &[&str]) {
    let Err(error) = result else { panic!("accepted, but must be refused as {kind}") };
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(!error.hint().is_empty());
    for name in names {
        assert!(text.contains(name), "{text:?} does not name {name}");
    }
}

#[test]
fn bad_problems_are_refused_with_their_place() {
    let small = Small::new(7, 12, 5, 3, false);
    let features = small.dense();
    let spec = sgc(5, 3);
    let with = |change: fn(&mut Labels), kind: &str, names: &[&str]| {
        let mut labels = small.labels.clone();
        change(&mut labels);
        refused(Training::new(&spec, &small.graph, &features, &labels), kind, names);
    };
    with(|labels| labels.train.clear(), "EmptyProblem", &["train_idx"]);
    with(|labels| labels.train[2] = 12, "InvalidSplit", &["train_idx[2]", "12 nodes"]);
    with(|labels| labels.train[1] = labels.train[0], "InvalidSplit", &["train_idx[1]", "twice"]);
    with(|labels| labels.validation.push(labels.train[0]), "InvalidSplit", &["val_idx[4]", "train_idx"]);
    with(|labels| labels.test.push(labels.validation[0]), "InvalidSplit", &["test_idx[0]", "val_idx"]);
    with(|labels| labels.classes[1] = 3, "InvalidLabel", &["node 1", "class 3", "0..3"]);
    with(|labels| labels.classes[0] = -1, "InvalidLabel", &["node 0", "val_idx", "-1"]);
    with(|labels| labels.classes[0] = i64::MIN, "InvalidLabel", &["node 0"]);
    with(|labels| labels.classes.push(0), "DimensionMismatch", &["13 rows", "12"]);
    // A node in no set needs no class.
    let mut labels = small.labels.clone();
    labels.classes[0] = -1;
    labels.validation.remove(0);
    assert!(Training::new(&spec, &small.graph, &features, &labels).is_ok());

    let empty = Graph::from_edges(0, []).expect("a graph");
    let none = Features::dense(Array::zeros([0, 5])).expect("features");
    refused(Training::new(&spec, &empty, &none, &Labels::default()), "EmptyProblem", &["train_idx"]);
    let narrow = sgc(4, 3);
    refused(Training::new(&narrow, &small.graph, &features, &small.labels), "DimensionMismatch", &["5 columns", "4"]);
    let short = Features::dense(Array::zeros([11, 5])).expect("features");
    refused(Training::new(&spec, &small.graph, &short, &small.labels), "DimensionMismatch", &["11 rows"]);
    let negative = Graph::from_weighted_edges(12, &[(0, 1)], &[-3.0]).expect("a graph");
    refused(Training::new(&spec, &negative, &features, &small.labels), "NonPositiveDegree", &["node 1"]);

    let gcn = layer(Op::Gcn, "a", 5, 3);
    for (layer, what) in [
        (LayerSpec { norm: Some(Norm::Batch), ..gcn.clone() }, "norm"),
        (LayerSpec { activation: Activation::Tanh, ..gcn.clone() }, "activation"),
        (layer(Op::Gat, "a", 5, 3), "gat"),
        (layer(Op::Gin, "a", 5, 3), "gin"),
        (LayerSpec { aggr: Some(Reduce::Max), ..layer(Op::Sage, "a", 5, 3) }, "aggr"),
        (LayerSpec { project: true, ..layer(Op::Sage, "a", 5, 3) }, "project"),
        (LayerSpec { out_channels: 5, skip: true, ..gcn }, "skip"),
    ] {
        let spec = ModelSpec::new(vec![layer]).expect("a model");
        refused(Training::new(&spec, &small.graph, &features, &small.labels), "Untrainable", &["layer 0", what]);
    }
    let twice = ModelSpec::new(vec![layer(Op::Gcn, "a", 5, 3), layer(Op::Gcn, "a", 3, 3)]).expect("a model");
    refused(Training::new(&twice, &small.graph, &features, &small.labels), "InvalidOption", &["layer 1", "prefix"]);
    let huge = ModelSpec::new(vec![layer(Op::Gcn, "a", 5, 1 << 24), layer(Op::Gcn, "b", 1 << 24, 1 << 24)]).expect("a model");
    refused(Training::new(&huge, &small.graph, &features, &small.labels), "TooLarge", &["weights"]);
}

#[test]
fn bad_options_are_refused() {
    let small = Small::new(7, 12, 5, 3, false);
    let (features, spec, network) = (small.dense(), sgc(5, 3), two(Op::Gcn, 5, 3));
    let problem = Training::new(&spec, &small.graph, &features, &small.labels).expect("a problem");
    let stack = Training::new(&network, &small.graph, &features, &small.labels).expect("a problem");
    let trainer = Trainer::default;
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        refused(trainer().with_learning_rate(bad).train(&stack), "InvalidParameter", &["learning rate"]);
        refused(trainer().with_weight_decay(bad).train(&problem), "InvalidParameter", &["weight decay"]);
        refused(trainer().with_tolerance(bad).train(&problem), "InvalidParameter", &["tolerance"]);
        refused(trainer().with_dropout(bad).train(&stack), "InvalidParameter", &["dropout"]);
    }
    refused(trainer().with_learning_rate(0.0).train(&stack), "InvalidParameter", &["learning rate"]);
    refused(trainer().with_dropout(1.0).train(&stack), "InvalidParameter", &["dropout"]);
    refused(trainer().with_epochs(0).train(&stack), "InvalidParameter", &["epochs"]);
    refused(trainer().with_patience(0).train(&stack), "InvalidParameter", &["patience"]);
    refused(trainer().with_method(Method::Lbfgs).train(&stack), "InvalidParameter", &["lbfgs"]);
    refused(trainer().with_method(Method::Lbfgs).with_dropout(0.5).train(&problem), "InvalidParameter", &["dropout"]);
    refused(trainer().with_spill_dir("/nowhere/at/all").train(&problem), "NotFound", &[]);
    let missing = trainer().loss_and_gradient(&problem, &Weights::new());
    refused(missing, "NotFound", &["conv1.lin.weight"]);
}

#[test]
fn odd_but_legal_problems_are_learned() {
    // No edges, one node, one class, a class without a sample, K = 0.
    let alone = Graph::from_edges(1, []).expect("a graph");
    let one = Features::dense(Array::from_fn(1, 2, |_, j| j as f32 + 1.0)).expect("features");
    let labels = Labels { classes: vec![0], train: vec![0], ..Labels::default() };
    for classes in [1, 3] {
        for layers in [
            vec![LayerSpec { hops: Some(0), ..layer(Op::Sgc, "a", 2, classes) }],
            vec![layer(Op::Sgc, "a", 2, classes)],
            vec![relu(layer(Op::Gcn, "a", 2, 3)), layer(Op::Sage, "b", 3, classes)],
        ] {
            let spec = ModelSpec::new(layers).expect("a model");
            let problem = Training::new(&spec, &alone, &one, &labels).expect("a problem");
            let solution = Trainer::default().with_weight_decay(0.01).train(&problem).expect("training");
            assert_eq!(solution.facts.train, Score { correct: 1, total: 1 }, "{spec:?}");
            assert_eq!(solution.warnings.iter().any(|w| w.starts_with("ClassWithoutSample: ")), classes > 1);
            assert!(solution.facts.validation.share().is_none());
        }
    }
    // Features of 0 teach the biases alone.
    let small = Small::new(9, 30, 5, 3, false);
    let zero = Features::dense(Array::zeros([30, 5])).expect("features");
    let spec = sgc(5, 3);
    let problem = Training::new(&spec, &small.graph, &zero, &small.labels).expect("a problem");
    let solution = Trainer::default().with_weight_decay(0.01).train(&problem).expect("training");
    assert!(vector(&solution.weights)[3..].iter().all(|w| w.abs() < 1e-5), "{:?}", solution.weights);
}

#[test]
fn what_leaves_the_finite_numbers_is_told() {
    let small = Small::new(11, 30, 5, 3, false);
    let huge = Features::dense(small.x.map(|&v| 3e38 * v)).expect("features");
    let (spec, network) = (sgc(5, 3), two(Op::Gcn, 5, 3));
    let problem = Training::new(&network, &small.graph, &huge, &small.labels).expect("a problem");
    refused(Trainer::default().train(&problem), "Overflow", &["layer 0"]);
    // Large features are no trouble for the regression, in f64: nothing but rounding.
    let large = Features::dense(small.x.map(|&v| 1e20 * v)).expect("features");
    let problem = Training::new(&spec, &small.graph, &large, &small.labels).expect("a problem");
    let solution = Trainer::default().train(&problem).expect("training");
    assert!(solution.facts.loss.is_finite() && solution.facts.gradient_norm.is_finite(), "{:?} {:?}", solution.facts, solution.status);
    assert!(matches!(solution.certificate.verdict(), Verdict::Holds | Verdict::Vacuous), "{}", solution.certificate);
    // Steps that are too long end the run, with the best weights before.
    let features = small.dense();
    let problem = Training::new(&network, &small.graph, &features, &small.labels).expect("a problem");
    let solution = Trainer::default().with_learning_rate(1e36).with_dropout(0.0).train(&problem).expect("the best so far");
    assert_eq!((solution.stop, solution.status), (Stop::Diverged, Status::Diverged));
    assert!(vector(&solution.weights).iter().all(|w| w.is_finite()));
    // The same without validation nodes, where the last weights would be the best: they must have a loss.
    let alone = Labels { validation: Vec::new(), ..small.labels.clone() };
    let problem = Training::new(&network, &small.graph, &features, &alone).expect("a problem");
    for (rate, dropout) in [(1e25, 0.0), (1e25, 0.5), (1e37, 0.0), (1e37, 0.5)] {
        let solution = Trainer::default().with_learning_rate(rate).with_dropout(dropout).train(&problem).expect("the best so far");
        assert_eq!((solution.stop, solution.status), (Stop::Diverged, Status::Diverged), "{rate} {dropout}");
        assert!(solution.facts.loss.is_finite() && solution.facts.gradient_norm.is_finite(), "{rate} {dropout}: {:?}", solution.facts);
    }
    let solution = Trainer::default().with_epochs(7).train(&problem).expect("training");
    assert_eq!((solution.stop, solution.facts.epochs, solution.facts.best_epoch), (Stop::Epochs, 7, 7));
    // In a file features are seen as they are read.
    let folder = tempfile::tempdir().expect("a folder");
    let mut x = small.x.clone();
    x.as_mut_slice()[7] = f32::NAN;
    let path = npy_of(folder.path(), "x.npy", &x);
    for spec in [&spec, &network] {
        let features = Features::npy(&path).expect("a file");
        let problem = Training::new(spec, &small.graph, &features, &small.labels).expect("a problem");
        refused(Trainer::default().train(&problem), "NonFinite", &["features"]);
    }
}

#[test]
fn labels_are_read_as_numbers_or_masks() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, add: &dyn Fn(&mut NpzWriter)| {
        let path = folder.path().join(name);
        let mut archive = NpzWriter::create(&path).expect("a file");
        add(&mut archive);
        archive.finish().expect("a file");
        path
    };
    let path = write("masks.npz", &|archive| {
        archive.add("y", &Array::vector(vec![0i32, 1, -1])).expect("y");
        archive.add("train_mask", &Array::vector(vec![true, false, false])).expect("a mask");
        archive.add("test_idx", &Array::vector(vec![1u8])).expect("numbers");
    });
    for (name, mask) in [("columns.npz", Array::from_fn(3, 2, |i, j| i == j)), ("short.npz", Array::vector(vec![true, false]))] {
        let path = write(name, &|archive| {
            archive.add("y", &Array::vector(vec![0i32, 1, -1])).expect("y");
            archive.add("train_mask", &mask).expect("a mask");
        });
        refused(read_labels(path), "DimensionMismatch", &["train_mask"]);
    }
    let labels = Labels { classes: vec![0, 1, -1], train: vec![0], validation: vec![], test: vec![1] };
    assert_eq!(read_labels(path).expect("labels"), labels);
    let path = write("none.npz", &|archive| archive.add("y", &Array::vector(vec![0i32])).expect("y"));
    refused(read_labels(path), "NotFound", &["train_idx"]);
    let path = write("negative.npz", &|archive| {
        archive.add("y", &Array::vector(vec![0i64])).expect("y");
        archive.add("train_idx", &Array::vector(vec![0i64, -1])).expect("numbers");
    });
    refused(read_labels(path), "InvalidParameter", &["train_idx[1]"]);
    refused(read_labels(folder.path().join("absent.npz")), "NotFound", &["absent.npz"]);
}

/// A set of the cases with the public split.
fn planetoid(folder: &Path, name: &str) -> Communities {
    let path = folder.join(format!("{name}.npz"));
    let (graph, features) = read_graph(&path).expect("a graph");
    Communities { graph, features: features.expect("features"), labels: read_labels(path).expect("labels") }
}

#[test]
fn cora_and_citeseer_reach_the_usual_accuracies() {
    let Some(folder) = external("gnn") else { return };
    for (name, classes, regression, network) in [("cora", 7, 0.80, 0.805), ("citeseer", 6, 0.66, 0.685)] {
        let data = planetoid(&folder, name);
        let columns = data.features.columns();
        let solution = data.train(&sgc(columns, classes), &Trainer::default());
        let found = share(solution.facts.test);
        assert_eq!(solution.status, Status::Converged);
        assert_eq!(solution.certificate.verdict(), Verdict::Holds, "{}", solution.certificate);
        assert!(found >= regression, "{name}: {found} by sgc");
        let solution = data.train(&two(Op::Gcn, columns, classes), &Trainer::default());
        let found = share(solution.facts.test);
        assert!(found >= network, "{name}: {found} by gcn");
    }
    let data = planetoid(&folder, "cora");
    let found = share(data.train(&two(Op::Sage, data.features.columns(), 7), &Trainer::default()).facts.test);
    assert!(found >= 0.78, "cora: {found} by sage");
}

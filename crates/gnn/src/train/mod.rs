//! Training: from a graph, features and some labels to weights that [`Plan`](crate::Plan) infers with.
//!
//! One linear layer without activation (sgc, gcn, linear) is multinomial logistic regression on propagated features: they are propagated
//! once, inside the memory budget, and L-BFGS finds the one minimiser. Stacks of gcn, sage (mean, sum), sgc and linear with ReLU are trained
//! by full-batch Adam, by the kernels of inference and the same on the reversed graph, with dropout and early stopping.
//!
//! ```
//! use certus_gnn::synth::{Cleanup, hash_feature, sbm};
//! use certus_gnn::train::{Labels, Trainer, Training};
//! use certus_gnn::{Features, Model, ModelSpec, Planner};
//! use certus_numeric::{Array, Seed};
//! // Two communities whose members' features hardly differ.
//! let graph = sbm(&[60, 60], 0.2, 0.02, Cleanup::default(), Seed(0))?;
//! let features = Features::dense(Array::from_fn(120, 2, |i, j| hash_feature(Seed(1), i, j) + if i / 60 == j { 0.3 } else { 0.0 }))?;
//! let labels = Labels {
//!     classes: (0..120).map(|i| i / 60).collect(),
//!     train: (0..120).step_by(10).collect(),
//!     test: (0..120).filter(|i| i % 10 != 0).collect(),
//!     ..Labels::default()
//! };
//! let spec = ModelSpec::from_json(r#"{ "layers": [ { "op": "sgc", "K": 2, "prefix": "conv", "in_channels": 2, "out_channels": 2 } ] }"#)?;
//! let solution = Trainer::default().train(&Training::new(&spec, &graph, &features, &labels)?)?;
//! assert!(solution.facts.test.correct > 90, "{:?}", solution.facts.test);
//! assert_eq!(solution.certificate.verdict(), certus_contract::Verdict::Holds, "{}", solution.certificate);
//!
//! let model = Model::new(spec, &solution.weights)?;
//! assert_eq!(Planner::new(&model, &graph, &features).plan()?.run()?.output.shape(), [120, 2]);
//! # Ok::<(), certus_gnn::Error>(())
//! ```
//!
//! The same bits for any number of threads: sums over nodes go by blocks of a size that only the number of nodes settles, and dropout is by
//! number. Cost of an epoch of Adam: about three times that of inference, and as much again for validation nodes; memory of all activations.
//!
//! Sources: Wu et al., Simplifying graph convolutional networks, 2019; Nocedal 1980; Kingma and Ba 2015; Glorot and Bengio 2010; Srivastava
//! et al., Dropout, 2014.

mod adam;
mod certificate;
mod dropout;
mod labels_file;
mod lbfgs;
mod logistic;
mod parameters;
mod problem;
mod regression;
mod reverse;
mod solution;
mod stack;
mod trainer;

pub use certificate::certificate;
pub use labels_file::read_labels;
pub use problem::{Labels, Training};
pub use solution::{ConvexFacts, Method, Progress, Score, Solution, Stop, TrainFacts};
pub use trainer::Trainer;

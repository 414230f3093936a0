//! Exact full-graph inference of trained graph neural networks inside a memory budget that is chosen beforehand.
//!
//! A graph, node features, trained weights and a number of bytes go in. A plan says before any work what it will hold at most, down to the
//! byte, and what the smallest budget would be; the run gives the numbers of ordinary inference, the same bits for every budget.
//!
//! ```
//! use certus_gnn::{Features, Graph, MemoryBudget, Model, ModelSpec, Planner, Weights};
//! use certus_numeric::Array;
//! let graph = Graph::from_edges(4, [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)])?;
//! let features = Features::dense(Array::from_fn(4, 3, |i, j| (i + j) as f32))?;
//! let spec = ModelSpec::from_json(r#"{ "layers": [ { "op": "gcn", "prefix": "conv", "in_channels": 3, "out_channels": 2 } ] }"#)?;
//! let mut weights = Weights::new();
//! weights.insert("conv.lin.weight", Array::from_fn(2, 3, |i, j| (i as f32 - j as f32) / 3.0));
//! weights.insert("conv.bias", Array::vector(vec![0.5, -0.5]));
//! let model = Model::new(spec, &weights)?;
//!
//! let planner = Planner::new(&model, &graph, &features).owned_output();
//! let minimum = planner.schedule()?.minimum;
//! let solution = planner.clone().budget(MemoryBudget::Working(minimum)).plan()?.run()?;
//! assert_eq!(solution.output.shape(), [4, 2]);
//! assert!(solution.facts.measured_peak <= minimum, "{}", solution.certificate);
//! assert!(planner.budget(MemoryBudget::Working(minimum - 1)).plan().is_err());
//! # Ok::<(), certus_gnn::Error>(())
//! ```
//!
//! # How
//! Aggregation over neighbours never mixes columns, whatever linear or element-wise reduction it is. So activations live in panels of s
//! columns; a linear map is applied in place, block of rows by block of rows; a panel is aggregated into the one spare panel and then becomes
//! the spare. A stack of layers needs one activation and one panel where ordinary inference holds two activations, and an implementation
//! with a message an edge holds many. With a spill folder a panel alone is in memory.
//!
//! Each number is one chain of operations in an order that no schedule changes: the result is the same to the bit for every slice, block,
//! number of threads, tier, numbering of nodes, and for some nodes alone ([`Plan::run_nodes`]).
//!
//! Cost: time `O(Σ m min(d, d') + n d d')`; memory as [`Schedule`] says, which the planner finds from sizes alone in under a millisecond.
//!
//! Sources: Zhou et al., optimizing memory efficiency of GNNs on edge platforms, RTAS 2021 (feature decomposition); Kipf and Welling 2017; Hamilton et al.
//! 2017; Veličković et al. 2018; Brody et al. 2022; Xu et al. 2019; Wu et al. 2019; Klicpera et al. 2019; Morris et al. 2019; Du et al. 2017.

mod certificate;
mod cost;
mod error;
mod features;
mod field;
mod graph;
mod graph_file;
mod int8;
mod kernels;
mod layer_file;
mod machine;
mod model;
mod plan;
mod pool;
mod recipes;
mod reorder;
mod run;
mod simd;
mod spec;
mod steps;
pub mod storage;
pub mod synth;
pub mod train;
mod weights;

pub use certificate::{ErrorFacts, MemoryFacts, certificate};
pub use error::Error;
pub use features::{FeatureStats, Features};
pub use graph::{Graph, GraphStats, GraphStore};
pub use graph_file::{open_graph, read_features, read_graph};
pub use machine::MachineModel;
pub use model::Model;
pub use plan::{Choice, MemoryBudget, Plan, PlannedLayer, Planner, Precision, Resident, Schedule, Tier, bytes_text};
pub use recipes::Order;
pub use reorder::Reorder;
pub use run::{Bounded, Classes, Head, Solution};
pub use simd::fused;
pub use spec::{Activation, Join, LayerSpec, ModelSpec, Norm, Op, Reduce};
pub use storage::GraphFile;
pub use weights::{WeightLayout, Weights};

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// And that of its guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/gnn.md")]
struct Guide;

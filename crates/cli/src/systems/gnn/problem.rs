//! The options that describe a model, its data and a budget.

use std::num::IntErrorKind;
use std::path::PathBuf;
use std::str::FromStr;

use certus_contract::InputError;
use certus_gnn::{
    FeatureStats, Features, Graph, GraphFile, GraphStats, MemoryBudget, Model, ModelSpec, Order, Planner, Precision, Schedule, Weights,
    open_graph, read_features, read_graph,
};
use certus_io::Source;

use crate::args::InFile;
use crate::context::Context;
use crate::error::CliError;
use crate::outputs::reason;
use crate::report::Report;

/// A number of bytes: `1000`, `64KiB`, `1.5MiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a number of bytes, such as 1000000, 64KiB, 1.5MiB or 2GiB".to_owned();
        let large = || "is too large: at most 2^64 - 1 bytes are possible".to_owned();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[digits.len()..];
        let digits = digits.trim();
        let unit = match unit {
            "" | "B" => 1u64,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        match digits.parse::<u64>() {
            Ok(count) => return count.checked_mul(unit).map(Bytes).ok_or_else(large),
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => return Err(large()),
            Err(_) => {}
        }
        // A fraction, of a unit.
        let plain = digits.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        let count = digits.parse::<f64>().ok().filter(|_| plain && unit > 1).ok_or_else(wrong)?;
        let bytes = count * unit as f64;
        if bytes < 2f64.powi(64) { Ok(Bytes(bytes as u64)) } else { Err(large()) }
    }
}

/// The sizes of a graph: `nodes=N,edges=M[,max-degree=D]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    nodes: u64,
    edges: u64,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut nodes, mut edges, mut most) = (None, None, None);
        for part in text.split(',') {
            let Some((name, value)) = part.split_once('=') else { return Err("must be nodes=N,edges=M[,max-degree=D]".into()) };
            let value = value.trim().parse::<u64>().map_err(|error| match error.kind() {
                IntErrorKind::PosOverflow => format!("{value} is too large: at most 2^64 - 1 is possible"),
                _ => format!("{value:?} is no whole number"),
            })?;
            let place = match name.trim() {
                "nodes" => &mut nodes,
                "edges" => &mut edges,
                // No buffer here depends on it: rows of any length are reduced as they come.
                "max-degree" => &mut most,
                other => return Err(format!("{other} is not known; it must be nodes=N,edges=M[,max-degree=D]")),
            };
            if place.replace(value).is_some() {
                return Err(format!("{} is given twice", name.trim()));
            }
        }
        let (Some(nodes), Some(edges)) = (nodes, edges) else { return Err("must have nodes=N and edges=M".into()) };
        if nodes == 0 && edges > 0 {
            return Err(format!("0 nodes cannot have {edges} edges"));
        }
        let mean = if nodes == 0 { 0 } else { edges.div_ceil(nodes) };
        match most {
            Some(most) if most > edges => Err(format!("max-degree {most} is above the {edges} edges")),
            Some(most) if most < mean => Err(format!("max-degree {most} is below {mean}, the edges over the nodes")),
            _ => Ok(Sizes { nodes, edges }),
        }
    }
}

/// What the activations are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PrecisionArg {
    /// 32 bits
    #[default]
    F32,
    /// 16 bits, with a bound on how far each logit is from that of a run in 32 bits
    F16,
    /// 16 bits without bounds: half the bytes
    F16Unbounded,
    /// 32 bits, of dense features that are kept in 8 bits, with a bound on how far each logit is from that of the features as they are
    Int8,
}

/// Whether the linear map or the aggregation of a layer comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OrderArg {
    /// That with fewer columns over edges
    #[default]
    Auto,
    /// The linear map
    CombineFirst,
    /// The aggregation
    AggregateFirst,
}

/// Options of the schedule.
#[derive(clap::Args)]
pub(super) struct ScheduleArgs {
    /// Bytes for activations and buffers: 1000000, 64KiB, 1.5MiB, 2GiB [default: enough for the fastest plan]
    #[arg(long, value_name = "BYTES")]
    budget: Option<Bytes>,
    /// A folder for activations that memory does not hold; it is empty again afterwards
    #[arg(long, value_name = "DIR")]
    pub(super) spill: Option<PathBuf>,
    /// Leave the graph on disk, and read its edges through small buffers whenever they are needed
    ///
    /// The graph is then an .npz that is not compressed (np.savez), or a folder with indptr.npy, indices.npy and perhaps edge_weight.npy.
    #[arg(long)]
    pub(super) graph_on_disk: bool,
    /// Map the file of --features into memory in place of reading it in blocks: its pages are the system's, and outside the budget
    ///
    /// An .npy file of float32 in C order, which must not change meanwhile. Linux only.
    #[arg(long)]
    pub(super) features_mapped: bool,
    /// What activations are kept in
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionArg,
    /// What comes first in layers where it makes no difference but in the last bits
    #[arg(long, value_enum, default_value_t)]
    order: OrderArg,
    /// Measure this machine first (0.1 s), for estimates of time that are its own; the choice of a schedule may then be another
    #[arg(long)]
    pub(super) calibrate: bool,
}

impl ScheduleArgs {
    /// Refuses a spill folder that is none, or that takes no files, before any work.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let Some(folder) = &self.spill else { return Ok(()) };
        let shown = folder.display();
        if !folder.exists() {
            let missing = InputError::not_found(format!("the folder {shown} of --spill"), [""; 0]);
            return Err(CliError::from(missing).with_hint("Create the folder first, or choose another."));
        }
        let refused = |why: &str| InputError::parameter("--spill", format!("{shown} ({why})"), "a folder that takes files");
        if !folder.is_dir() {
            return Err(refused("not a folder").into());
        }
        tempfile::tempfile_in(folder).map(drop).map_err(|error| refused(&reason(&error)).into())
    }

    pub(super) fn apply<'a>(&self, planner: Planner<'a>) -> Planner<'a> {
        let precision = match self.precision {
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::F16 => Precision::F16,
            PrecisionArg::F16Unbounded => Precision::F16Unbounded,
            PrecisionArg::Int8 => Precision::Int8Features,
        };
        let mut planner = planner.threads(rayon::current_num_threads()).precision(precision);
        if self.calibrate {
            planner = planner.machine(super::machine::measured());
        }
        planner = match self.order {
            OrderArg::Auto => planner,
            OrderArg::CombineFirst => planner.order(Order::CombineFirst),
            OrderArg::AggregateFirst => planner.order(Order::AggregateFirst),
        };
        if let Some(Bytes(budget)) = self.budget {
            planner = planner.budget(MemoryBudget::Working(budget));
        }
        if let Some(folder) = &self.spill {
            planner = planner.spill_dir(folder);
        }
        planner
    }
}

/// The files of a model and its data.
pub(super) struct Data {
    pub(super) model: Model,
    pub(super) graph: AnyGraph,
    pub(super) features: Features,
}

/// A graph in memory or on disk.
pub(super) enum AnyGraph {
    Memory(Graph),
    Disk(Box<GraphFile>),
}

/// Bytes of a model's description at most: a layer has a few hundred.
const LARGEST_MODEL: u64 = 64 << 20;

/// The model's description. Pipes and devices are refused as for arrays: they may have no end.
pub(super) fn read_spec(file: &InFile) -> Result<ModelSpec, CliError> {
    whole("--model", file)?;
    let path = file.path();
    let label = path.display().to_string();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => InputError::not_found(&label, [""; 0]),
        std::io::ErrorKind::InvalidData => InputError::unsupported(&label, "no text", "a JSON file"),
        _ => InputError::unsupported(&label, format!("not readable ({})", reason(&error)), "a readable JSON file"),
    };
    let metadata = path.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(InputError::unsupported(&label, "a folder", "a JSON file").into());
    }
    if !metadata.is_file() {
        return Err(InputError::unsupported(&label, "a pipe, socket or device", "a regular file").into());
    }
    if metadata.len() > LARGEST_MODEL {
        return Err(InputError::too_large(&label, format!("{} bytes", metadata.len()), format!("{LARGEST_MODEL} bytes")).into());
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    ModelSpec::from_json(&text).map_err(|error| {
        let field = error.kind() == "UnsupportedFormat";
        let error = CliError::from(error).in_file(path);
        if field { error.with_hint("Correct the model file; the guide lists the fields of a layer.") } else { error }
    })
}

/// Refuses `FILE:NAME` where a file is meant as a whole.
fn whole(option: &str, file: &InFile) -> Result<(), CliError> {
    match Source::from(file).array() {
        Some(name) => Err(InputError::parameter(option, file, format!("a file as a whole, without :{name}")).into()),
        None => Ok(()),
    }
}

/// A graph with its features: its own, or those of a file in their place.
pub(super) fn read_inputs(graph: &InFile, features: Option<&InFile>) -> Result<(Graph, Features), CliError> {
    let (graph, own) = read_graph(graph.path())?;
    Ok((graph, choose_features(features, own)?))
}

fn choose_features(given: Option<&InFile>, own: Option<Features>) -> Result<Features, CliError> {
    match (given, own) {
        (Some(file), _) => Ok(read_features(file)?),
        (None, Some(own)) => Ok(own),
        (None, None) => Err(CliError::new(
            "NotFound",
            "the graph's file has no features (x_indptr, x_indices, x_data, num_features), and --features is not given",
            "Give the features with --features FILE.npy or a SciPy sparse FILE.npz.",
        )),
    }
}

impl Data {
    pub(super) fn read(
        graph: &InFile,
        model: &InFile,
        weights: &InFile,
        features: Option<&InFile>,
        args: &ScheduleArgs,
        ctx: &Context,
    ) -> Result<Data, CliError> {
        args.check()?;
        whole("--graph", graph)?;
        whole("--weights", weights)?;
        let spec = read_spec(model)?;
        let weights = Weights::read(weights.path())?;
        let model = Model::new(spec, &weights)?;
        super::go_on(ctx)?;
        let (graph, own) = if args.graph_on_disk {
            let (graph, own) = open_graph(graph.path())?;
            (AnyGraph::Disk(Box::new(graph)), own)
        } else {
            let (graph, own) = read_graph(graph.path())?;
            (AnyGraph::Memory(graph), own)
        };
        super::go_on(ctx)?;
        let features = match (args.features_mapped, features) {
            (true, Some(file)) => {
                whole("--features", file)?;
                Features::mapped(file.path())?
            }
            (true, None) => {
                return Err(InputError::parameter("--features-mapped", "given without --features", "given with FILE.npy").into());
            }
            (false, features) => choose_features(features, own)?,
        };
        let features = if args.precision == PrecisionArg::Int8 { features.int8()? } else { features };
        super::go_on(ctx)?;
        Ok(Data { model, graph, features })
    }

    pub(super) fn planner(&self) -> Planner<'_> {
        match &self.graph {
            AnyGraph::Memory(graph) => Planner::new(&self.model, graph, &self.features),
            AnyGraph::Disk(graph) => Planner::new(&self.model, &**graph, &self.features),
        }
    }
}

/// A planner from sizes alone: features dense and streamed or mapped, or in memory in 8 bits.
pub(super) fn from_sizes<'a>(spec: &'a ModelSpec, sizes: Sizes, args: &ScheduleArgs) -> Planner<'a> {
    let graph = GraphStats { nodes: sizes.nodes, edges: sizes.edges, weighted: false };
    let columns = spec.in_channels();
    let features = match args.precision {
        PrecisionArg::Int8 => FeatureStats::Int8 { columns },
        _ if args.features_mapped => FeatureStats::Mapped { columns },
        _ => FeatureStats::Streamed { columns, entry_bytes: 4 },
    };
    let planner = args.apply(Planner::from_stats(spec, graph, features));
    let planner = if args.graph_on_disk { planner.graph_on_disk() } else { planner };
    if args.spill.is_some() { planner.allow_spill() } else { planner }
}

/// What both verbs report of a schedule.
pub(super) fn report(report: Report, schedule: &Schedule) -> Report {
    report
        .metric("predicted_peak", schedule.predicted_peak)
        .metric("minimum_budget", schedule.minimum)
        .metric("lower_bound", schedule.lower_bound)
        .metric("undecomposed_peak", schedule.undecomposed_peak)
        .metric("full_width_peak", schedule.full_width_peak)
        .metric("resident_bytes", schedule.resident.total())
        .metric("mapped_bytes", schedule.resident.mapped)
        .metric("overhead_bytes", schedule.overhead)
        .metric("tier", schedule.tier.to_string())
        .metric("graph_on_disk", schedule.graph_on_disk)
        .metric("slice", schedule.slice)
        .metric("row_block", schedule.row_block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        let read = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(read("1000"), Ok(1000));
        assert_eq!(read("64KiB"), Ok(65536));
        assert_eq!(read("1.5MiB"), Ok(1_572_864));
        assert_eq!(read("2GiB"), Ok(2 << 30));
        assert_eq!(read("10 MiB"), Ok(10 << 20));
        assert_eq!(read("16777215TiB"), Ok(16_777_215 << 40));
        for wrong in ["", " ", "-1", "1.5", "1.5B", "64kb", "1e3", "KiB", "nan", "infGiB", "+1.5KiB", "."] {
            assert!(read(wrong).is_err_and(|error| error.contains("must be")), "{wrong}");
        }
        for large in ["99999999999TiB", "18446744073709551616", "16777216TiB", "99999999999.5TiB"] {
            assert!(read(large).is_err_and(|error| error.contains("too large")), "{large}");
        }
    }
}

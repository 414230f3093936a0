//! `certus gnn synth`.

use std::ops::ControlFlow;
use std::path::Path;

use certus_contract::{Event, InputError, Status};
use certus_gnn::synth::{Cleanup, hash_feature_row, rmat_with, sbm_with};
use certus_gnn::{Error, Graph};
use certus_io::{NpyWriter, NpzWriter};
use certus_numeric::Array;

use crate::args::{self, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::{System, Verb};

/// The group of generators.
pub(super) fn group() -> System {
    System::new("synth", "Make a graph: the same for a seed on every machine").verb::<Rmat>("rmat").verb::<Sbm>("sbm")
}

/// What both generators take.
#[derive(clap::Args)]
struct Common {
    /// Edges lead one way only
    #[arg(long)]
    directed: bool,
    /// Loops stay
    #[arg(long)]
    keep_loops: bool,
    /// Equal edges stay
    #[arg(long)]
    keep_duplicates: bool,
    /// Nodes get random numbers
    #[arg(long)]
    permute: bool,
    /// Also make features of this many columns, uniform in [-1, 1)
    #[arg(long, value_name = "D", value_parser = args::count, requires = "features_out")]
    features: Option<usize>,
    /// Where they go: .npy
    #[arg(long, value_name = "FILE", value_parser = OutFile::array, requires = "features")]
    features_out: Option<OutFile>,
    /// Where the graph goes: .npz
    #[arg(long, value_name = "G.npz", value_parser = OutFile::archive)]
    out: OutFile,
}

impl Common {
    fn cleanup(&self) -> Cleanup {
        Cleanup { symmetrise: !self.directed, drop_loops: !self.keep_loops, coalesce: !self.keep_duplicates, permute: self.permute }
    }

    /// Refuses features of more columns than a model can have, or of more bytes than a file should.
    fn check(&self, nodes: u64) -> Result<(), CliError> {
        let Some(columns) = self.features else { return Ok(()) };
        if columns > MOST_COLUMNS {
            return Err(InputError::too_large("--features", columns.to_string(), format!("{MOST_COLUMNS} columns")).into());
        }
        let bytes = nodes.saturating_mul(4 * columns as u64);
        if bytes > MOST_BYTES {
            let found = format!("{bytes} bytes ({nodes} nodes x {columns} columns of 4)");
            return Err(InputError::too_large("--features", found, format!("{MOST_BYTES} bytes (1 TiB)")).into());
        }
        Ok(())
    }

    /// Writes what was made; nothing where it was stopped.
    fn report(&self, ctx: &Context, graph: Result<Graph, Error>, communities: Option<Vec<i64>>) -> Result<Report, CliError> {
        let graph = match graph {
            Ok(graph) => graph,
            Err(Error::StoppedDrawing) => return Ok(stopped()),
            Err(error) => return Err(error.into()),
        };
        let report = Report::new(Status::Done)
            .metric("nodes", graph.nodes())
            .metric("edges", graph.edges())
            .metric("max_degree", graph.max_degree());
        let report = match (self.features, &self.features_out) {
            (Some(columns), Some(out)) => {
                let staged = ctx.stage(out)?;
                let written = write_features(ctx, staged.path(), graph.nodes(), columns);
                match written.map_err(|error| staged.named(error))? {
                    ControlFlow::Continue(()) => report.staged(staged),
                    ControlFlow::Break(()) => return Ok(stopped()),
                }
            }
            _ => report,
        };
        Ok(report.file(&self.out, move |path| {
            let mut archive = NpzWriter::create(path)?;
            write_graph(&mut archive, &graph)?;
            if let Some(communities) = communities {
                archive.add("y", &Array::vector(communities))?;
            }
            Ok(archive.finish()?)
        }))
    }
}

/// Columns of features that a model can have.
const MOST_COLUMNS: usize = 1 << 24;
const MOST_BYTES: u64 = 1 << 40;

fn stopped() -> Report {
    Report::new(Status::Stopped).warnings(["Stopped: nothing was written"])
}

/// Features row by row, until it is stopped.
fn write_features(ctx: &Context, path: &Path, nodes: usize, columns: usize) -> Result<ControlFlow<()>, CliError> {
    let (seed, mut observer) = (ctx.seed(), ctx.observer());
    let mut writer = NpyWriter::<f32>::create(path, &[nodes, columns])?;
    let mut buffer = vec![0.0; columns.min(1 << 16)];
    let mut since = 0;
    for i in 0..nodes {
        for first in (0..columns).step_by(buffer.len()) {
            let part = buffer.len().min(columns - first);
            hash_feature_row(seed, i, first, &mut buffer[..part]);
            writer.push(&buffer[..part])?;
            since += part;
            if since >= 1 << 20 {
                since = 0;
                if observer(&Event::new("features", i as u64).of(nodes as u64)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    writer.finish()?;
    Ok(ControlFlow::Continue(()))
}

/// The arrays of a graph.
pub(super) fn write_graph(archive: &mut NpzWriter, graph: &Graph) -> Result<(), CliError> {
    archive.add_scalar("num_nodes", graph.nodes() as i64)?;
    archive.add("indptr", &Array::vector(graph.indptr().iter().map(|&p| p as i64).collect()))?;
    archive.add("indices", &Array::vector(graph.indices().iter().map(|&j| j as i32).collect()))?;
    Ok(())
}

/// A graph whose degrees follow a power law, by recursive quadrants
#[derive(clap::Args)]
struct Rmat {
    /// The graph has 2^SCALE nodes
    #[arg(long)]
    scale: u32,
    /// Draws of edges for each node
    #[arg(long, value_name = "N", default_value = "8", value_parser = args::count)]
    edge_factor: usize,
    /// Probability of the quadrant of low sources and low targets
    #[arg(long, default_value = "0.57", value_parser = args::non_negative)]
    a: f64,
    /// Probability of low sources and high targets
    #[arg(long, default_value = "0.19", value_parser = args::non_negative)]
    b: f64,
    /// Probability of high sources and low targets
    #[arg(long, default_value = "0.19", value_parser = args::non_negative)]
    c: f64,
    #[command(flatten)]
    common: Common,
}

impl Verb for Rmat {
    const EXAMPLES: &'static [&'static str] = &["certus gnn synth rmat --scale 12 --edge-factor 8 --out rmat.npz"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        self.common.check(1u64.checked_shl(self.scale).unwrap_or(u64::MAX))?;
        let probabilities = (self.a, self.b, self.c);
        let graph = rmat_with(self.scale, self.edge_factor, probabilities, self.common.cleanup(), ctx.seed(), ctx.observer());
        self.common.report(ctx, graph, None)
    }
}

/// A graph of communities, denser within than across; its file has each node's community as y
///
/// Each pair of nodes is an edge or not, independently (the stochastic block model); with --directed, each ordered pair.
#[derive(clap::Args)]
struct Sbm {
    /// Nodes of each community: 100,100,50
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', required = true, value_parser = args::count)]
    sizes: Vec<usize>,
    /// Probability of an edge between two nodes of one community
    #[arg(long, value_name = "P", value_parser = args::non_negative)]
    p_in: f64,
    /// Probability of an edge between two nodes of different ones
    #[arg(long, value_name = "P", value_parser = args::non_negative)]
    p_out: f64,
    #[command(flatten)]
    common: Common,
}

impl Verb for Sbm {
    const EXAMPLES: &'static [&'static str] =
        &["certus gnn synth sbm --sizes 200,200,100 --p-in 0.05 --p-out 0.005 --features 16 --features-out x.npy --out sbm.npz"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        self.common.check(self.sizes.iter().fold(0u64, |sum, &size| sum.saturating_add(size as u64)))?;
        let graph = sbm_with(&self.sizes, self.p_in, self.p_out, self.common.cleanup(), ctx.seed(), ctx.observer());
        let communities = (graph.is_ok() && !self.common.permute)
            .then(|| self.sizes.iter().enumerate().flat_map(|(k, &size)| std::iter::repeat_n(k as i64, size)).collect());
        self.common.report(ctx, graph, communities)
    }
}

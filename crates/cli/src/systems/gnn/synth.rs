//! `certus gnn synth`.

use certus_contract::{InputError, Status};
use certus_gnn::Graph;
use certus_gnn::synth::{Cleanup, hash_features, rmat, sbm};
use certus_io::{NpzWriter, write_npy};
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

    fn report(&self, ctx: &Context, graph: Graph, communities: Option<Vec<i64>>) -> Report {
        let report = Report::new(Status::Done)
            .metric("nodes", graph.nodes())
            .metric("edges", graph.edges())
            .metric("max_degree", graph.max_degree());
        let nodes = graph.nodes();
        let report = report.file(&self.out, move |path| {
            let mut archive = NpzWriter::create(path)?;
            write_graph(&mut archive, &graph)?;
            if let Some(communities) = communities {
                archive.add("y", &Array::vector(communities))?;
            }
            Ok(archive.finish()?)
        });
        match (self.features, &self.features_out) {
            (Some(columns), Some(out)) => {
                let seed = ctx.seed();
                report.file(out, move |path| Ok(write_npy(path, &hash_features(nodes, columns, seed))?))
            }
            _ => report,
        }
    }
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
        let graph = rmat(self.scale, self.edge_factor, (self.a, self.b, self.c), self.common.cleanup(), ctx.seed())?;
        Ok(self.common.report(ctx, graph, None))
    }
}

/// A graph of communities, denser within than across; its file has each node's community as y
#[derive(clap::Args)]
struct Sbm {
    /// Nodes of each community: 100,100,50
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', required = true, value_parser = args::count)]
    sizes: Vec<usize>,
    /// The share of pairs within a community that are drawn
    #[arg(long, value_name = "P", value_parser = args::non_negative)]
    p_in: f64,
    /// The share of the other pairs
    #[arg(long, value_name = "P", value_parser = args::non_negative)]
    p_out: f64,
    #[command(flatten)]
    common: Common,
}

impl Verb for Sbm {
    const EXAMPLES: &'static [&'static str] =
        &["certus gnn synth sbm --sizes 200,200,100 --p-in 0.05 --p-out 0.005 --features 16 --features-out x.npy --out sbm.npz"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        if self.sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)).is_none() {
            return Err(InputError::too_large("--sizes", "more", "the address space").into());
        }
        let graph = sbm(&self.sizes, self.p_in, self.p_out, self.common.cleanup(), ctx.seed())?;
        let communities = self.sizes.iter().enumerate().flat_map(|(k, &size)| std::iter::repeat_n(k as i64, size)).collect();
        let communities = (!self.common.permute).then_some(communities);
        Ok(self.common.report(ctx, graph, communities))
    }
}

//! `certus gnn import`: data sets as others publish them.

use std::fs;
use std::path::{Path, PathBuf};

use certus_contract::{InputError, Status};
use certus_gnn::Graph;
use certus_io::NpzWriter;
use certus_numeric::Array;

use super::pickle::{Numbers, Pickle, Sparse};
use super::synth::write_graph;
use crate::args::OutFile;
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::{System, Verb};

/// The group of importers.
pub(super) fn group() -> System {
    System::new("import", "Read a data set as others publish it").verb::<Planetoid>("planetoid")
}

/// The most nodes of the validation set.
const VALIDATION: usize = 500;

/// Read a data set in the raw files of Planetoid: ind.NAME.x, y, tx, ty, allx, ally, graph and test.index
///
/// The files are pickles of Python 2; nothing in them is executed. Edges lead both ways, without loops and duplicates. Training nodes are those of x, validation nodes the next 500 of allx (or as many as there are), test nodes those of test.index. Nodes that only the graph has get no features and label 0. Each row of features is divided by its sum, as is usual for these sets.
#[derive(clap::Args)]
struct Planetoid {
    /// The folder of the files
    dir: PathBuf,
    /// The data set: cora, citeseer, pubmed
    #[arg(long, value_parser = plain_name)]
    name: String,
    /// Features are not divided by the sum of their row
    #[arg(long)]
    features_as_stored: bool,
    /// Where the graph goes, with features, labels and split: .npz
    #[arg(long, value_name = "G.npz", value_parser = OutFile::archive)]
    out: OutFile,
}

fn plain_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !text.is_empty() && text.chars().all(fits) { Ok(text.to_owned()) } else { Err("must be letters, digits, '.', '_' or '-'".into()) }
}

impl Verb for Planetoid {
    const EXAMPLES: &'static [&'static str] = &["certus gnn import planetoid . --name tiny --out tiny.npz"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let mut data = DataSet::read(&Folder { dir: &self.dir, name: &self.name, ctx })?;
        if !self.features_as_stored {
            normalise(&mut data.features);
        }
        let report = Report::new(Status::Done)
            .metric("nodes", data.graph.nodes())
            .metric("edges", data.graph.edges())
            .metric("max_degree", data.graph.max_degree())
            .metric("features", data.features.cols)
            .metric("classes", data.classes)
            .metric("train", data.train)
            .metric("validation", data.validation)
            .metric("test", data.test.len())
            .metric("without_features", data.bare);
        Ok(report.file(&self.out, move |path| data.write(path)))
    }
}

struct Folder<'a> {
    dir: &'a Path,
    name: &'a str,
    ctx: &'a Context,
}

impl Folder<'_> {
    /// The file's name for messages, and its content.
    fn file(&self, part: &str) -> Result<(String, Vec<u8>), CliError> {
        super::go_on(self.ctx)?;
        let path = self.dir.join(format!("ind.{}.{part}", self.name));
        let name = path.display().to_string();
        if !path.is_file() {
            return Err(InputError::not_found(name, [""; 0]).into());
        }
        match fs::read(&path) {
            Ok(bytes) => Ok((name, bytes)),
            Err(source) => Err(certus_io::Error::Io { action: "read", path: name, source }.into()),
        }
    }

    fn sparse(&self, part: &str) -> Result<(String, Sparse), CliError> {
        let (name, bytes) = self.file(part)?;
        let matrix = Pickle::read(&name, &bytes)?.sparse()?;
        Ok((name, matrix))
    }

    /// A matrix with a row for each of `rows` nodes.
    fn labels(&self, part: &str, rows: usize) -> Result<(String, Vec<i32>, usize), CliError> {
        let (name, bytes) = self.file(part)?;
        let Numbers { shape, values } = Pickle::read(&name, &bytes)?.numbers()?;
        let &[found, classes] = &shape[..] else {
            return Err(InputError::shape(name, &shape, "two axes, nodes and classes,").into());
        };
        if found != rows {
            return Err(InputError::shape(name, &shape, format!("{rows} rows, as the features have,")).into());
        }
        if classes == 0 || i32::try_from(classes).is_err() {
            return Err(InputError::shape(name, &shape, "at least one column").into());
        }
        if let Some(k) = values.iter().position(|v| !v.is_finite()) {
            return Err(InputError::non_finite(name, &[k / classes, k % classes], values[k]).into());
        }
        // The first of the largest.
        let best = |row: &[f64]| (0..classes).fold(0, |best, j| if row[j] > row[best] { j } else { best }) as i32;
        Ok((name, values.chunks_exact(classes).map(best).collect(), classes))
    }

    fn test_index(&self) -> Result<(String, Vec<usize>), CliError> {
        let (name, bytes) = self.file("test.index")?;
        let mut nodes = Vec::new();
        for (k, line) in bytes.split(|&b| b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if !line.is_empty() {
                let node = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
                let found = || InputError::unsupported(&name, format!("no list of nodes in line {}", k + 1), "one whole number a line");
                nodes.push(node.ok_or_else(found)?);
            }
        }
        Ok((name, nodes))
    }
}

struct DataSet {
    graph: Graph,
    features: Sparse,
    labels: Vec<i32>,
    classes: usize,
    /// Nodes 0.. for training, and the next for validation.
    train: usize,
    validation: usize,
    /// Ascending.
    test: Vec<usize>,
    /// The number of nodes that neither allx nor tx has.
    bare: usize,
}

impl DataSet {
    fn read(folder: &Folder<'_>) -> Result<Self, CliError> {
        let (allx_name, allx) = folder.sparse("allx")?;
        let (tx_name, tx) = folder.sparse("tx")?;
        let (x_name, x) = folder.sparse("x")?;
        let known = allx.rows();
        for (name, other) in [(tx_name, &tx), (x_name.clone(), &x)] {
            if other.cols != allx.cols {
                let expected = format!("{} columns, as {allx_name} has,", allx.cols);
                return Err(InputError::shape(name, &[other.rows(), other.cols], expected).into());
            }
        }
        if x.rows() > known {
            let expected = format!("at most {known} rows, as {allx_name} has,");
            return Err(InputError::shape(x_name, &[x.rows(), x.cols], expected).into());
        }
        let (_, known_labels, classes) = folder.labels("ally", known)?;
        let of = |part: &str, rows: usize| match folder.labels(part, rows)? {
            (_, labels, found) if found == classes => Ok(labels),
            (name, labels, found) => {
                Err(CliError::from(InputError::shape(name, &[labels.len(), found], format!("{classes} columns, as ally has,"))))
            }
        };
        of("y", x.rows())?;
        let test_labels = of("ty", tx.rows())?;
        let (test_name, order) = folder.test_index()?;
        if order.len() != tx.rows() {
            let expected = format!("{}, the rows of tx", tx.rows());
            return Err(InputError::dimension(test_name, format!("{} nodes", order.len()), expected).into());
        }
        let mut test = order.clone();
        test.sort_unstable();
        if let Some(pair) = test.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InputError::unsupported(test_name, format!("a list with node {} twice", pair[0]), "every test node once").into());
        }
        if let Some(node) = test.first().filter(|&&node| node < known) {
            return Err(InputError::unsupported(test_name, format!("a list with node {node}, which allx has"), "a node after those").into());
        }
        let (graph_name, bytes) = folder.file("graph")?;
        let lists = Pickle::read(&graph_name, &bytes)?.adjacency()?;
        let nodes = test.last().map_or(known, |&last| last.saturating_add(1));
        // Nodes that only the graph has: each has a key there, which bounds their number.
        let bare = nodes - known - test.len();
        if nodes > i32::MAX as usize || bare > lists.len() {
            let found = format!("a list up to node {}", nodes - 1);
            return Err(InputError::unsupported(test_name, found, format!("a list of nodes that are in {graph_name}")).into());
        }
        let graph = symmetric(&graph_name, nodes, &lists)?;
        // Row k of tx belongs to node order[k]. A node without any gets no features.
        let mut place = vec![None; nodes - known];
        for (k, &node) in order.iter().enumerate() {
            place[node - known] = Some(k);
        }
        let mut features = Sparse { cols: allx.cols, indptr: vec![0], indices: Vec::new(), data: Vec::new() };
        let mut labels = known_labels;
        (0..known).for_each(|i| append_row(&mut features, &allx, Some(i)));
        for row in place {
            append_row(&mut features, &tx, row);
            labels.push(row.map_or(0, |k| test_labels[k]));
        }
        let train = x.rows();
        Ok(DataSet { graph, features, labels, classes, train, validation: VALIDATION.min(known - train), test, bare })
    }

    fn write(self, path: &Path) -> Result<(), CliError> {
        let mut archive = NpzWriter::create(path)?;
        write_graph(&mut archive, &self.graph)?;
        archive.add("x_indptr", &Array::vector(self.features.indptr.iter().map(|&p| p as i64).collect()))?;
        archive.add("x_indices", &Array::vector(self.features.indices.iter().map(|&j| j as i32).collect()))?;
        archive.add("x_data", &Array::vector(self.features.data))?;
        archive.add_scalar("num_features", self.features.cols as i64)?;
        archive.add("y", &Array::vector(self.labels))?;
        archive.add_scalar("num_classes", self.classes as i64)?;
        let range = |from: usize, to: usize| Array::vector((from as i32..to as i32).collect());
        archive.add("train_idx", &range(0, self.train))?;
        archive.add("val_idx", &range(self.train, self.train + self.validation))?;
        archive.add("test_idx", &Array::vector(self.test.iter().map(|&i| i as i32).collect()))?;
        Ok(archive.finish()?)
    }
}

/// One row more: row `i` of `from` with ascending columns, entries of one column added up and zeros left out; or an empty one.
fn append_row(to: &mut Sparse, from: &Sparse, i: Option<usize>) {
    if let Some(i) = i {
        let entries = from.indptr[i]..from.indptr[i + 1];
        let mut row = entries.map(|k| (from.indices[k], from.data[k])).collect::<Vec<_>>();
        row.sort_by_key(|entry| entry.0);
        row.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        for (j, value) in row.into_iter().filter(|entry| entry.1 != 0.0) {
            to.indices.push(j);
            to.data.push(value);
        }
    }
    to.indptr.push(to.indices.len());
}

/// Divides each row whose sum is above 0 by it.
fn normalise(matrix: &mut Sparse) {
    for ends in matrix.indptr.windows(2) {
        let row = &mut matrix.data[ends[0]..ends[1]];
        let sum = row.iter().map(|&v| f64::from(v)).sum::<f64>();
        if sum > 0.0 {
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / sum) as f32);
        }
    }
}

/// Both directions of every pair, without loops, each once, sources ascending.
fn symmetric(name: &str, nodes: usize, lists: &[(i64, Vec<i64>)]) -> Result<Graph, CliError> {
    let node = |number: i64| match u32::try_from(number) {
        Ok(node) if (node as usize) < nodes => Ok(u64::from(node)),
        _ => Err(InputError::unsupported(name, format!("a graph with node {number}"), format!("a graph of the nodes 0..{nodes}"))),
    };
    // Target and source as one number.
    let mut edges = Vec::new();
    for (i, neighbours) in lists {
        let i = node(*i)?;
        for &j in neighbours {
            let j = node(j)?;
            if i != j {
                edges.extend([i << 32 | j, j << 32 | i]);
            }
        }
    }
    edges.sort_unstable();
    edges.dedup();
    let mut indptr = vec![0u64; nodes + 1];
    for edge in &edges {
        indptr[(edge >> 32) as usize + 1] += 1;
    }
    for i in 0..nodes {
        indptr[i + 1] += indptr[i];
    }
    Ok(Graph::from_csr(nodes, indptr, edges.iter().map(|&edge| edge as u32).collect())?)
}

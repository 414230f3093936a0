//! The layers: which crate may depend on which, checked against `cargo metadata`.
//!
//! Normal and build dependencies count; development dependencies are free, but for `faer` and for the systems that must
//! never reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::workspace::{Failure, root};

/// One crate of ours and the crates of ours that it may use, names without `certus-`.
pub struct Layer {
    /// The crate.
    pub name: &'static str,
    /// What it may depend on.
    pub may_use: &'static [&'static str],
    /// Whether `faer` may stand anywhere below it.
    pub may_reach_faer: bool,
}

const fn layer(name: &'static str, may_use: &'static [&'static str], may_reach_faer: bool) -> Layer {
    Layer { name, may_use, may_reach_faer }
}

/// Stands for all crates of ours but `testkit`.
const ALL: &str = "*";

/// The table. Arrows point down only; what is absent is forbidden.
pub const LAYERS: &[Layer] = &[
    // foundation
    layer("contract", &[], false),
    layer("numeric", &["contract"], false),
    layer("linalg", &["contract", "numeric"], true),
    layer("newton", &["contract", "numeric", "linalg"], true),
    layer("halfspace", &["contract", "numeric"], false),
    layer("io", &["contract", "numeric"], false),
    layer("testkit", &["contract", "numeric", "io", "linalg", "newton"], true),
    // systems
    layer("regression", &["contract", "numeric", "linalg", "newton"], true),
    layer("attention", &["contract", "numeric", "linalg", "newton"], true),
    layer("tensor", &["contract", "numeric", "linalg", "newton"], true),
    layer("privacy", &["contract", "numeric", "linalg", "newton"], true),
    layer("networks", &["contract", "numeric", "linalg", "newton", "halfspace"], true),
    layer("quantum", &["contract", "numeric", "linalg", "newton", "halfspace"], true),
    layer("gnn", &["contract", "numeric", "io"], false),
    layer("gradientcoin", &["contract", "numeric"], false),
    layer("fed", &["contract", "numeric", "linalg", "newton", "regression"], true),
    layer("gradientcoin-sim", &["contract", "numeric", "linalg", "newton", "gradientcoin", "fed"], true),
    // faces
    layer("cli", &[ALL], true),
    layer("gradientcoin-node", &[ALL], true),
    layer("benches", &[ALL, "cli"], true),
    // tool
    layer("xtask", &[], false),
];

/// Crates that nobody may depend on: faces, but for the benches, which call the command's library.
const FACES: &[&str] = &["cli", "gradientcoin-node", "benches", "xtask"];

/// Crates whose manifest may name `faer`: the one that calls it, and the one that forbids its own threads in tests.
const NAMES_FAER: &[&str] = &["linalg", "testkit"];

/// A crate's dependencies as far as the layers see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// Crates of ours, normal and build dependencies, without `certus-`.
    pub ours: BTreeSet<String>,
    /// Whether its manifest names `faer`, in any kind of dependency.
    pub names_faer: bool,
    /// Whether `faer` stands below it without development dependencies.
    pub reaches_faer: bool,
}

/// Each crate of the workspace with its dependencies.
pub type Graph = BTreeMap<String, Edges>;

/// Checks the workspace and prints what breaks a rule.
///
/// # Errors
/// If `cargo metadata` fails.
pub fn run() -> Result<bool, Failure> {
    let metadata = MetadataCommand::new().current_dir(root()).exec()?;
    let graph = graph(&metadata);
    let mut broken = violations(&graph);
    broken.extend(picture(&fs::read_to_string(root().join("docs/architecture.md")).unwrap_or_default(), &graph));
    for sentence in &broken {
        println!("{sentence}");
    }
    println!(
        "layers: {} crates, {} dependencies, {} broken rules",
        graph.len(),
        graph.values().map(|e| e.ours.len()).sum::<usize>(),
        broken.len()
    );
    Ok(broken.is_empty())
}

/// The dependencies of the workspace's crates.
pub fn graph(metadata: &Metadata) -> Graph {
    let members: BTreeSet<_> = metadata.workspace_members.iter().collect();
    let packages = metadata.packages.iter().filter(|package| members.contains(&package.id));
    let ours: BTreeSet<&str> = packages.clone().map(|package| package.name.as_str()).collect();
    let below = below(metadata);
    packages
        .map(|package| {
            let used = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development && ours.contains(d.name.as_str()));
            let edges = Edges {
                ours: used.map(|d| short(&d.name)).collect(),
                names_faer: package.dependencies.iter().any(|d| d.name == "faer"),
                reaches_faer: below.get(&package.id.repr).is_some_and(|names| names.contains("faer")),
            };
            (short(&package.name), edges)
        })
        .collect()
}

/// For each package, the names of all packages below it, development dependencies left out.
fn below(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<&str, &str> = metadata.packages.iter().map(|p| (p.id.repr.as_str(), p.name.as_str())).collect();
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        let real = |d: &&cargo_metadata::NodeDep| d.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
        next.insert(&node.id.repr, node.deps.iter().filter(real).map(|d| d.pkg.repr.as_str()).collect());
    }
    let reach = |start: &str| {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![start]);
        while let Some(id) = stack.pop() {
            for &dependency in next.get(id).into_iter().flatten() {
                if seen.insert(dependency) {
                    stack.push(dependency);
                }
            }
        }
        seen.iter().filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect()
    };
    metadata.workspace_members.iter().map(|id| (id.repr.clone(), reach(&id.repr))).collect()
}

/// The package's name without `certus-`.
fn short(name: &str) -> String {
    name.strip_prefix("certus-").unwrap_or(name).to_owned()
}

/// A sentence for each rule that the workspace breaks.
pub fn violations(graph: &Graph) -> Vec<String> {
    graph.iter().flat_map(|(name, edges)| broken_by(name, edges)).collect()
}

fn broken_by(name: &str, edges: &Edges) -> Vec<String> {
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        return vec![format!("{name} is not in the table of layers (xtask/src/layers.rs)")];
    };
    let mut broken = Vec::new();
    for used in &edges.ours {
        if used == "testkit" {
            broken.push(format!("{name} depends on testkit, which is for development dependencies only"));
        } else if !allowed(layer, used) {
            broken.push(format!("{name} depends on {used}, and the layers do not have that"));
        }
    }
    if edges.names_faer && !NAMES_FAER.contains(&name) {
        broken.push(format!("{name} names faer; only linalg does (its views are re-exported there)"));
    }
    if edges.reaches_faer && !layer.may_reach_faer {
        broken.push(format!("{name} reaches faer, and must build without it"));
    }
    broken
}

fn allowed(layer: &Layer, used: &str) -> bool {
    layer.may_use.contains(&used) || (layer.may_use.contains(&ALL) && !FACES.contains(&used))
}

/// A sentence for each arrow of the drawn picture that is not real, and each real one that is not drawn.
///
/// The picture is a `mermaid` block with one arrow a line, `fed --> regression`. Faces use all that they like and are
/// drawn as one arrow, so only crates below them are compared. Without such a block there is nothing to compare.
pub fn picture(page: &str, graph: &Graph) -> Vec<String> {
    let Some((_, rest)) = page.split_once("```mermaid") else { return Vec::new() };
    let block = rest.split("```").next().unwrap_or_default();
    let arrows = block.lines().filter_map(|line| line.split_once("-->"));
    let drawn: BTreeSet<(String, String)> = arrows.map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned())).collect();
    let below_faces = |name: &String| !FACES.contains(&name.as_str());
    let real: BTreeSet<(String, String)> = graph
        .iter()
        .filter(|(name, _)| below_faces(name))
        .flat_map(|(name, edges)| edges.ours.iter().map(move |used| (name.clone(), used.clone())))
        .collect();
    let drawn_only = drawn.iter().filter(|(a, _)| below_faces(a)).filter(|arrow| !real.contains(arrow));
    let drawn_only = drawn_only.map(|(a, b)| format!("docs/architecture.md draws {a} --> {b}, which is not so"));
    let real_only = real.difference(&drawn).map(|(a, b)| format!("docs/architecture.md does not draw {a} --> {b}"));
    drawn_only.chain(real_only).collect()
}

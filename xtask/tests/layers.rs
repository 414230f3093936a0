//! The table of layers accepts the workspace and refuses every edge that it does not have.

use cargo_metadata::MetadataCommand;
use xtask::layers::{Edges, Graph, LAYERS, graph, picture, violations};

fn workspace() -> Graph {
    graph(&MetadataCommand::new().current_dir(xtask::workspace::root()).exec().unwrap())
}

fn edge(from: &str, to: &str) -> Graph {
    Graph::from([(from.into(), Edges { ours: [to.to_owned()].into(), ..Edges::default() })])
}

#[test]
fn the_workspace_keeps_to_the_layers() {
    let graph = workspace();
    assert!(graph.contains_key("numeric") && graph["numeric"].ours.contains("contract"), "metadata was not understood: {graph:?}");
    assert!(graph["linalg"].names_faer && graph["linalg"].reaches_faer);
    assert_eq!(violations(&graph), Vec::<String>::new());
}

#[test]
fn every_edge_that_the_table_does_not_have_is_refused() {
    let mut refused = 0;
    for from in LAYERS {
        for to in LAYERS.iter().filter(|to| to.name != from.name) {
            let face = ["cli", "benches", "gradientcoin-node"].contains(&from.name);
            let to_face = ["cli", "benches", "gradientcoin-node", "xtask"].contains(&to.name);
            let by_face = face && !to_face;
            let listed = from.may_use.contains(&to.name) || by_face;
            let broken = violations(&edge(from.name, to.name));
            if listed && to.name != "testkit" {
                assert_eq!(broken, Vec::<String>::new());
            } else {
                assert_eq!(broken.len(), 1, "{} -> {}", from.name, to.name);
                assert!(broken[0].starts_with(from.name) && broken[0].contains(to.name), "{}", broken[0]);
                refused += 1;
            }
        }
    }
    assert!(refused > 250, "{refused}");
}

#[test]
fn the_edges_that_matter_most_are_refused() {
    for (from, to) in
        [("contract", "numeric"), ("numeric", "linalg"), ("gnn", "linalg"), ("gradientcoin", "linalg"), ("regression", "attention")]
    {
        assert_eq!(violations(&edge(from, to)).len(), 1, "{from} -> {to}");
    }
    assert_eq!(violations(&edge("regression", "testkit")), ["regression depends on testkit, which is for development dependencies only"]);
    assert_eq!(violations(&edge("xtask", "contract")).len(), 1);
    assert_eq!(violations(&edge("cli", "benches")).len(), 1);
    assert_eq!(violations(&edge("mystery", "numeric")).len(), 1);
}

#[test]
fn faer_is_named_by_linalg_alone_and_never_reached_by_the_light_crates() {
    for layer in LAYERS {
        let graph = |edges: Edges| Graph::from([(layer.name.into(), edges)]);
        let named = violations(&graph(Edges { names_faer: true, ..Edges::default() }));
        assert_eq!(named.is_empty(), ["linalg", "testkit"].contains(&layer.name), "{}", layer.name);
        let reached = violations(&graph(Edges { reaches_faer: true, ..Edges::default() }));
        let light = ["contract", "numeric", "halfspace", "io", "gnn", "gradientcoin", "xtask"].contains(&layer.name);
        assert_eq!(reached.len(), usize::from(light), "{}", layer.name);
    }
}

#[test]
fn a_picture_with_a_wrong_or_a_missing_arrow_is_refused() {
    let graph = edge("fed", "regression");
    assert_eq!(picture("no picture", &graph), Vec::<String>::new());
    assert_eq!(picture("```mermaid\nflowchart TD\n  fed --> regression\n```", &graph), Vec::<String>::new());
    let broken = picture("```mermaid\n  fed --> tensor\n```", &graph);
    assert_eq!(
        broken,
        ["docs/architecture.md draws fed --> tensor, which is not so", "docs/architecture.md does not draw fed --> regression"]
    );
}

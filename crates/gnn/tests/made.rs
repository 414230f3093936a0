//! Made graphs: their distribution, and that they depend on the seed alone.

use std::ops::ControlFlow;

use certus_gnn::synth::{Cleanup, rmat, rmat_with, sbm, sbm_with};
use certus_gnn::{Error, Graph};
use certus_numeric::Seed;

const PLAIN: Cleanup = Cleanup { symmetrise: true, drop_loops: true, coalesce: true, permute: false };
const DIRECTED: Cleanup = Cleanup { symmetrise: false, ..PLAIN };

fn pairs(graph: &Graph) -> Vec<(u32, u32)> {
    (0..graph.nodes()).flat_map(|i| graph.sources(i).iter().map(move |&j| (j, i as u32))).collect()
}

#[test]
fn all_pairs_are_there_at_probability_one_and_none_at_zero() {
    for (cleanup, edges) in [(PLAIN, 100 * 99), (DIRECTED, 100 * 99)] {
        let all = sbm(&[60, 1, 39], 1.0, 1.0, cleanup, Seed(4)).unwrap();
        assert_eq!((all.edges(), all.has_loops()), (edges, false));
        assert!((0..100).all(|i| all.sources(i).len() == 99));
    }
    let within = sbm(&[60, 40], 1.0, 0.0, PLAIN, Seed(4)).unwrap();
    assert_eq!(within.edges(), 60 * 59 + 40 * 39);
    assert_eq!(sbm(&[60, 40], 0.0, 0.0, DIRECTED, Seed(4)).unwrap().edges(), 0);
    assert_eq!(sbm(&[], 0.5, 0.5, PLAIN, Seed(4)).unwrap().nodes(), 0);
    assert_eq!(sbm(&[60, 40], 1e-300, 1e-300, PLAIN, Seed(4)).unwrap().edges(), 0);
}

/// Counts of independent pairs, within seven standard deviations: a false alarm in 10^11.
#[test]
fn each_pair_is_an_edge_with_its_probability() {
    let sizes = [700, 500];
    for (p_in, p_out) in [(0.5, 0.01), (0.002, 0.3), (0.9, 0.9)] {
        for cleanup in [PLAIN, DIRECTED] {
            let graph = sbm(&sizes, p_in, p_out, cleanup, Seed(11)).unwrap();
            let found = pairs(&graph);
            let near = |count: usize, pairs: f64, p: f64| {
                // An undirected pair counts twice.
                let twice = if cleanup.symmetrise { 2.0 } else { 1.0 };
                let deviation = twice * (pairs / twice * p * (1.0 - p)).sqrt();
                assert!((count as f64 - p * pairs).abs() <= 7.0 * deviation, "{count} of {pairs} pairs at {p}");
            };
            let block = |a: bool, b: bool| found.iter().filter(|&&(i, j)| (i < 700, j < 700) == (a, b)).count();
            near(block(true, true), 700.0 * 699.0, p_in);
            near(block(false, false), 500.0 * 499.0, p_in);
            near(block(true, false) + block(false, true), 2.0 * 700.0 * 500.0, p_out);
            if cleanup.symmetrise {
                assert!(found.iter().all(|&(i, j)| graph.sources(i as usize).contains(&j)), "both ways");
            } else {
                near(block(true, false), 700.0 * 500.0, p_out);
                let back = found.iter().filter(|&&(i, j)| i < 700 && j < 700 && graph.sources(i as usize).contains(&j)).count();
                // Both directions of a pair are independent; pairs counted twice.
                let expected = 700.0 * 699.0 * p_in * p_in;
                assert!((back as f64 - expected).abs() <= 7.0 * 2.0 * expected.max(1.0).sqrt(), "{back}, expected {expected}");
            }
        }
    }
}

#[test]
fn neighbours_of_the_blocks_join_and_threads_do_not_matter() {
    let made = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let sizes = [3000, 2000, 1];
            (sbm(&sizes, 0.04, 0.003, PLAIN, Seed(3)).unwrap(), rmat(12, 20, (0.57, 0.19, 0.19), PLAIN, Seed(3)).unwrap())
        })
    };
    // Several blocks of 2^16 edges in a community.
    let (one, three) = (made(1), made(3));
    assert!(one == three && one.0.edges() > 500_000);
    assert_ne!(one.0, sbm(&[3000, 2000, 1], 0.04, 0.003, PLAIN, Seed(4)).unwrap());
}

/// Fixed once and for all machines.
#[test]
fn the_first_edges_are_known() {
    let sum =
        |graph: &Graph| pairs(graph).iter().fold(0u64, |h, &(i, j)| h.wrapping_mul(0x100_0000_01b3) ^ (u64::from(i) << 32 | u64::from(j)));
    let communities = sbm(&[40, 30], 0.2, 0.02, PLAIN, Seed(7)).unwrap();
    let quadrants = rmat(6, 3, (0.57, 0.19, 0.19), PLAIN, Seed(7)).unwrap();
    assert_eq!((communities.edges(), sum(&communities)), (530, 15_144_032_828_189_056_612));
    assert_eq!((quadrants.edges(), sum(&quadrants)), (242, 11_404_665_310_939_737_772));
}

#[test]
fn an_observer_stops_both_and_absurd_sizes_are_refused() {
    let mut seen = 0;
    let mut stop = |_: &certus_contract::Event| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = sbm_with(&[200, 200], 0.5, 0.5, PLAIN, Seed(0), &mut stop);
    assert!(matches!(stopped, Err(Error::StoppedDrawing)));
    let stopped = rmat_with(5, 4, (0.57, 0.19, 0.19), PLAIN, Seed(0), |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::StoppedDrawing)));
    let too_large = [
        rmat(4, 99_999_999_999, (0.57, 0.19, 0.19), PLAIN, Seed(0)),
        rmat(31, usize::MAX, (0.57, 0.19, 0.19), PLAIN, Seed(0)),
        sbm(&[1_000_000, 1_000_000], 1.0, 1.0, PLAIN, Seed(0)),
        sbm(&[4_000_000_000], 0.0, 0.0, PLAIN, Seed(0)),
        sbm(&[usize::MAX, usize::MAX], 0.0, 0.0, PLAIN, Seed(0)),
    ];
    for graph in too_large {
        assert_eq!(graph.map_err(|error| error.kind()).err(), Some("TooLarge"));
    }
}

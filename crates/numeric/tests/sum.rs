use certus_numeric::sum::{BLOCK, dot, max_abs, norm2, par_blocks, par_dot, sum};
use certus_numeric::{Seed, seed};
use proptest::prelude::*;

use crate::pools::same_on_all_pools;

fn numbers(n: usize) -> Vec<f64> {
    (0..n as u64).map(|i| seed::unit_interval(seed::hash64(Seed(3).key("numbers"), i)) - 0.3).collect()
}

/// The documented order, written plainly: eight lanes, folded by halves, then the rest.
fn eight_lanes(terms: &[f64]) -> f64 {
    let whole = terms.len() / 8 * 8;
    let lane = |k: usize| terms[..whole].iter().skip(k).step_by(8).fold(0.0, |sum, term| sum + term);
    let halves = [0, 1, 2, 3].map(|k| lane(k) + lane(k + 4));
    ((halves[0] + halves[2]) + (halves[1] + halves[3])) + terms[whole..].iter().fold(0.0, |sum, term| sum + term)
}

proptest! {
    #[test]
    fn the_order_is_the_documented_one(values in prop::collection::vec((-1e3..1e3, -1e3..1e3), 0..100)) {
        let (a, b): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        prop_assert_eq!(sum(&a).to_bits(), eight_lanes(&a).to_bits());
        let products = a.iter().zip(&b).map(|(x, y)| x * y).collect::<Vec<_>>();
        prop_assert_eq!(dot(&a, &b).to_bits(), eight_lanes(&products).to_bits());
        prop_assert_eq!(dot(&a, &b).to_bits(), dot(&b, &a).to_bits());
        prop_assert_eq!(par_dot(&a, &b).to_bits(), dot(&a, &b).to_bits());
    }

    #[test]
    fn sums_of_integers_are_exact(values in prop::collection::vec(-1000i32..1000, 0..300)) {
        let floats = values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        prop_assert_eq!(sum(&floats), f64::from(values.iter().sum::<i32>()));
        prop_assert_eq!(dot(&floats, &floats), values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>());
        prop_assert_eq!(max_abs(&floats), f64::from(values.iter().map(|v| v.abs()).max().unwrap_or(0)));
    }

    #[test]
    fn the_norm_scales_into_the_extremes(values in prop::collection::vec(-1.0..1.0, 1..50), exponent in -1000i32..1000) {
        let scale = 2f64.powi(exponent);
        let norm = norm2(&values);
        let scaled = norm2(&values.iter().map(|v| v * scale).collect::<Vec<_>>());
        prop_assert!((scaled / scale - norm).abs() <= 1e-14 * norm, "{} {}", scaled / scale, norm);
    }

    #[test]
    fn blocks_cover_the_range_in_order(n in 0usize..1000, block in 1usize..200) {
        let ranges = par_blocks(n, block, |range| range);
        prop_assert!(ranges.iter().all(|range| range.len() <= block && !range.is_empty()));
        prop_assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let values = numbers(5 * BLOCK + 77);
    let result = same_on_all_pools(|| [par_dot(&values, &values), norm2(&values)].map(f64::to_bits));
    let blocks = values.chunks(BLOCK).map(|block| dot(block, block)).fold(0.0, |sum, block| sum + block);
    assert_eq!(f64::from_bits(result[0]), blocks);
}

#[test]
fn the_norm_of_special_vectors_is_right() {
    assert_eq!(norm2(&[]), 0.0);
    assert_eq!(norm2(&[0.0, -0.0]), 0.0);
    assert_eq!(norm2(&[3e300, 4e300]), 5e300);
    assert_eq!(norm2(&[5e-324]), 5e-324);
    assert_eq!(norm2(&[f64::NEG_INFINITY, 1.0]), f64::INFINITY);
    assert!(norm2(&[1.0, f64::NAN, f64::INFINITY]).is_nan());
}

#[test]
fn the_largest_entry_shows_nan_wherever_it_stands() {
    for n in [1, 7, 8, 9, 40] {
        for k in 0..n {
            let mut values = vec![-1.0; n];
            values[k] = -5.0;
            assert_eq!(max_abs(&values), 5.0);
            values[k] = f64::NAN;
            assert!(max_abs(&values).is_nan());
        }
    }
}

#[test]
#[should_panic = "different lengths"]
fn a_dot_product_of_unequal_lengths_is_refused() {
    dot(&[1.0; 9], &[1.0; 8]);
}

use std::collections::HashSet;

use certus_numeric::Seed;
use certus_numeric::seed::{bounded, hash64, mix64, unit_interval};
use proptest::prelude::*;

/// Standard deviations that a count may be off. The chance of one count to be is 6e-15, of any of the at most 10^4 counts of a
/// test below 1e-10.
const SIGMA: f64 = 7.8;

fn words(mut rng: impl rand::Rng, n: usize) -> Vec<u64> {
    (0..n).map(|_| rng.next_u64()).collect()
}

/// Asserts that `count` of `n` fair coins is not astonishing.
fn assert_fair(count: u32, n: u32, what: &str) {
    let deviation = (f64::from(count) - 0.5 * f64::from(n)) / (0.25 * f64::from(n)).sqrt();
    assert!(deviation.abs() < SIGMA, "{what}: {count} of {n} ({deviation:.1} sigma)");
}

/// Published runs depend on these numbers: a change of any is a change of every seeded answer.
#[test]
fn the_streams_never_change() {
    let seed = Seed(7);
    assert_eq!(words(Seed(0).stream("rows"), 3), [11601990138727479327, 16762499880659282349, 16511345522780187500]);
    assert_eq!(words(seed.stream_at("rows", 5), 3), [11959824590221329365, 3559742871641041090, 10119253671544597156]);
    assert_eq!((seed.split("part"), seed.split_at("part", 1)), (Seed(1539595123084433926), Seed(17390070010167348642)));
    assert_eq!((seed.key("rows"), mix64(1), hash64(1, 2)), (5357468071643817892, 6238072747940578789, 17911839290282890590));
    assert_eq!((bounded(seed.key("rows"), 1000), unit_interval(seed.key("rows"))), (290, 0.29042892611489757));
}

#[test]
fn purposes_indices_and_seeds_have_streams_of_their_own() {
    let mut seen = HashSet::new();
    for seed in [0, 1, 2, 1 << 63, u64::MAX] {
        for purpose in ["", "a", "b", "ab", "ba", "rows", "signs", "row", "rows "] {
            for index in [0, 1, 2, 1 << 32, u64::MAX] {
                assert!(seen.insert(words(Seed(seed).stream_at(purpose, index), 2)), "{seed} {purpose} {index}");
            }
            assert_eq!(words(Seed(seed).stream(purpose), 9), words(Seed(seed).stream_at(purpose, 0), 9));
        }
    }
}

#[test]
fn parts_have_seeds_of_their_own() {
    let mut seen = HashSet::new();
    for seed in (0..50).map(Seed) {
        assert!(seen.insert(seed));
        for purpose in ["", "a", "b", "restart"] {
            assert!(seen.insert(seed.split(purpose)));
            assert!((0..50).all(|index| seen.insert(seed.split_at(purpose, index))));
        }
    }
}

proptest! {
    #[test]
    fn the_mix_is_a_bijection(x in any::<u64>()) {
        // Undone step by step: x ^= x >> k by repeating the shift, the products by the inverses modulo 2^64.
        let unshift = |y: u64, k: u32| (1..64u32.div_ceil(k)).fold(y, |x, _| y ^ (x >> k));
        let inverse = |a: u64| (0..6).fold(a, |x, _| x.wrapping_mul(2u64.wrapping_sub(a.wrapping_mul(x))));
        let y = unshift(mix64(x), 31).wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
        let y = unshift(y, 27).wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
        prop_assert_eq!(unshift(y, 30), x);
    }

    #[test]
    fn bounded_numbers_are_in_bounds(bits in any::<u64>(), bound in 1..=u64::MAX) {
        prop_assert!(bounded(bits, bound) < bound);
        prop_assert_eq!(bounded(u64::MAX, bound), bound - 1);
        prop_assert_eq!(bounded(0, bound), 0);
    }

    #[test]
    fn the_unit_interval_is_on_its_grid(bits in any::<u64>()) {
        let u = unit_interval(bits);
        prop_assert!((0.0..1.0).contains(&u));
        prop_assert_eq!((u * (1u64 << 53) as f64) as u64, bits >> 11);
    }
}

#[test]
fn each_bit_of_the_hash_is_fair_and_independent_of_its_neighbour() {
    const N: u32 = 1 << 15;
    let key = Seed(11).key("bits");
    let words = (0..=u64::from(N)).map(|i| hash64(key, i)).collect::<Vec<_>>();
    for bit in 0..64 {
        let count = |f: &dyn Fn(usize) -> u64| (0..N as usize).filter(|&i| f(i) >> bit & 1 == 1).count() as u32;
        assert_fair(count(&|i| words[i]), N, "ones");
        assert_fair(count(&|i| words[i] ^ words[i + 1]), N, "changes to the next index");
        assert_fair(count(&|i| words[i] ^ words[i].rotate_left(1)), N, "changes to the next bit");
        assert_fair(count(&|i| words[i] ^ hash64(key ^ 1, i as u64)), N, "changes to the next key");
    }
}

#[test]
fn each_input_bit_of_the_mix_changes_each_output_bit_half_of_the_time() {
    const N: u32 = 1 << 12;
    let inputs = words(Seed(12).stream("avalanche"), N as usize);
    for input in 0..64 {
        let mut changes = [0; 64];
        for &x in &inputs {
            let change = mix64(x) ^ mix64(x ^ 1 << input);
            for (output, count) in changes.iter_mut().enumerate() {
                *count += (change >> output & 1) as u32;
            }
        }
        for (output, count) in changes.into_iter().enumerate() {
            assert_fair(count, N, &format!("input bit {input}, output bit {output}"));
        }
    }
}

#[test]
fn bounded_numbers_are_uniform() {
    // Chi-square of 99 degrees of freedom: above 251 with chance below 1e-11 (Laurent and Massart 2000).
    const N: usize = 100_000;
    let key = Seed(13).key("bins");
    let mut bins = [0.0; 100];
    (0..N as u64).for_each(|i| bins[bounded(hash64(key, i), 100) as usize] += 1.0);
    let expected = N as f64 / 100.0;
    let chi_square = bins.iter().map(|count| (count - expected) * (count - expected) / expected).sum::<f64>();
    assert!(chi_square < 99.0 + 2.0 * (99.0 * 25.4f64).sqrt() + 2.0 * 25.4, "{chi_square}");
}

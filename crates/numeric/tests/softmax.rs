use certus_numeric::softmax::{Keep, RowSum, log_sum_exp, row_sum, softmax_row, softmax_row_with, softmax_rows, softmax_rows_with};
use certus_numeric::{Real, ScaledValue, Seed, seed};
use proptest::prelude::*;

use crate::pools::{bits, same_on_all_pools};

fn scores(n: usize, spread: f64) -> Vec<f64> {
    (0..n as u64).map(|i| spread * (seed::unit_interval(seed::hash64(Seed(5).key("scores"), i)) - 0.5)).collect()
}

/// The textbook, entry by entry.
fn plain(row: &[f64]) -> (Vec<f64>, f64) {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights = row.iter().map(|x| (x - max).exp()).collect::<Vec<_>>();
    let sum = weights.iter().sum::<f64>();
    (weights.iter().map(|w| w / sum).collect(), max + sum.ln())
}

fn weights<T: Real>(row: &[T], scale: T, keep: Keep) -> (Vec<T>, RowSum<T>) {
    let mut weights = row.to_vec();
    let sum = softmax_row_with(&mut weights, scale, keep);
    (weights, sum)
}

fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (k, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance * y.abs() + f64::MIN_POSITIVE, "entry {k}: {x:e}, not {y:e}");
    }
}

proptest! {
    #[test]
    fn it_agrees_with_the_textbook(row in prop::collection::vec(-30.0..30.0f64, 1..200)) {
        let (expected, expected_log) = plain(&row);
        let (weights, sum) = weights(&row, 1.0, Keep::All);
        assert_close(&weights, &expected, 1.2e-14);
        prop_assert!((sum.log_sum_exp() - expected_log).abs() <= 1e-14 * expected_log.abs().max(1.0));
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        prop_assert_eq!(row_sum(&row), sum);
        prop_assert_eq!(log_sum_exp(&row), sum.log_sum_exp());
    }

    #[test]
    fn f32_agrees_with_the_textbook(row in prop::collection::vec(-30.0..30.0f32, 1..200)) {
        let (expected, expected_log) = plain(&row.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let (weights, sum) = weights(&row, 1.0, Keep::All);
        for ((x, w), y) in row.iter().zip(&weights).zip(expected) {
            // The rounding of the difference to the maximum, and some ulp.
            let tolerance = 6e-8 * f64::from(sum.max - x) + 5e-7;
            prop_assert!((f64::from(*w) - y).abs() <= tolerance * y, "{} {}", w, y);
        }
        prop_assert!((f64::from(sum.log_sum_exp()) - expected_log).abs() <= 1e-6 * expected_log.abs().max(1.0));
        prop_assert_eq!(row_sum(&row), sum);
    }

    #[test]
    fn no_finite_row_gives_nan_or_infinity(row in prop::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 1..40), scale in 1e-300..1e3f64) {
        let (all, sum) = weights(&row, 1.0, Keep::All);
        prop_assert!(all.iter().all(|w| (0.0..=1.0).contains(w)));
        prop_assert!(sum.log_sum_exp().is_finite() && sum.sum >= 1.0 && sum.sum <= row.len() as f64);
        let (all, sum) = weights(&row, scale, Keep::All);
        prop_assert!(all.iter().all(|w| (0.0..=1.0).contains(w)) && sum.sum >= 1.0);
        let single = row.iter().map(|&x| (x as f32).clamp(f32::MIN, f32::MAX)).collect::<Vec<_>>();
        let (all, sum) = weights(&single, 1.0, Keep::All);
        prop_assert!(all.iter().all(|w| (0.0..=1.0).contains(w)) && sum.log_sum_exp().is_finite());
    }

    #[test]
    fn a_larger_score_has_no_smaller_weight(row in prop::collection::vec(-5.0..5.0f64, 2..60)) {
        let (weights, _) = weights(&row, 1.0, Keep::All);
        for i in 1..row.len() {
            // Scores that differ by more than the error of the exponential.
            if row[i - 1] > row[i] + 1e-14 {
                prop_assert!(weights[i - 1] >= weights[i]);
            }
        }
    }

    #[test]
    fn a_scale_is_a_scaled_row(row in prop::collection::vec(-30.0..30.0f64, 1..50), scale in 0.01..10.0f64) {
        let (expected, expected_log) = plain(&row.iter().map(|x| scale * x).collect::<Vec<_>>());
        let (weights, sum) = weights(&row, scale, Keep::All);
        assert_close(&weights, &expected, 1e-12);
        prop_assert!((sum.log_sum_exp() - expected_log).abs() <= 1e-13 * expected_log.abs().max(1.0));
    }

    #[test]
    fn a_mask_removes_entries_whatever_they_hold(entries in prop::collection::vec((-30.0..30.0f64, any::<bool>()), 1..100), under in prop::sample::select(vec![f64::NAN, f64::INFINITY, 1e308])) {
        let (mut row, mask): (Vec<f64>, Vec<bool>) = entries.into_iter().unzip();
        let kept = row.iter().zip(&mask).filter(|(_, keep)| **keep).map(|(x, _)| *x).collect::<Vec<_>>();
        let minus_infinity = row.iter().zip(&mask).map(|(x, keep)| if *keep { *x } else { f64::NEG_INFINITY }).collect::<Vec<_>>();
        for (x, _) in row.iter_mut().zip(&mask).filter(|(_, keep)| !**keep) {
            *x = under;
        }
        let (masked, sum) = weights(&row, 1.0, Keep::Where(&mask));
        prop_assert!(masked.iter().zip(&mask).all(|(w, keep)| *keep || w.to_bits() == 0));
        // Minus infinity is a mask, to the bit.
        prop_assert_eq!(weights(&minus_infinity, 1.0, Keep::All), (masked.clone(), sum));
        if kept.is_empty() {
            prop_assert_eq!(sum, RowSum::EMPTY);
        } else {
            let (expected, expected_log) = plain(&kept);
            assert_close(&masked.iter().zip(&mask).filter(|(_, keep)| **keep).map(|(w, _)| *w).collect::<Vec<_>>(), &expected, 1.2e-14);
            prop_assert!((sum.log_sum_exp() - expected_log).abs() <= 1e-13 * expected_log.abs().max(1.0));
        }
    }

    #[test]
    fn a_prefix_is_a_shorter_row(row in prop::collection::vec(-30.0..30.0f64, 0..80), first in 0usize..100) {
        let (masked, sum) = weights(&row, 0.5, Keep::First(first));
        let first = first.min(row.len());
        let (shorter, expected) = weights(&row[..first], 0.5, Keep::All);
        prop_assert_eq!(bits(&masked[..first]), bits(&shorter));
        prop_assert!(masked[first..].iter().all(|w| *w == 0.0));
        prop_assert_eq!(sum, expected);
    }

    #[test]
    fn a_shift_changes_nothing_but_the_maximum(row in prop::collection::vec(-1000i32..1000, 1..70), shift in -1_000_000i32..1_000_000) {
        // Integers, so that the shift is exact.
        let shifted = row.iter().map(|&x| f64::from(x) + f64::from(shift)).collect::<Vec<_>>();
        let row = row.into_iter().map(f64::from).collect::<Vec<_>>();
        let ((a, sum_a), (b, sum_b)) = (weights(&row, 1.0, Keep::All), weights(&shifted, 1.0, Keep::All));
        prop_assert_eq!(bits(&a), bits(&b));
        prop_assert_eq!((sum_a.sum, sum_a.max + f64::from(shift)), (sum_b.sum, sum_b.max));
    }
}

#[test]
fn a_row_without_entries_sums_to_nothing() {
    for row in [vec![], vec![f64::NEG_INFINITY; 3], vec![f64::NEG_INFINITY; 40]] {
        let (weights, sum) = weights(&row, 2.0, Keep::All);
        assert_eq!((weights, sum), (vec![0.0; row.len()], RowSum::EMPTY));
        assert_eq!((sum.log_sum_exp(), log_sum_exp(&row)), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        assert_eq!(sum.scaled(), ScaledValue::ZERO);
    }
    let mut row = [1f32, f32::NAN];
    assert_eq!(softmax_row_with(&mut row, 1.0, Keep::First(0)), RowSum::EMPTY);
    assert_eq!(row, [0.0; 2]);
}

#[test]
fn what_the_caller_must_not_give_shows_as_nan() {
    for bad in [f64::NAN, f64::INFINITY] {
        for n in [1, 5, 16, 40, 2000] {
            for k in [0, n / 2, n - 1] {
                let mut row = scores(n, 4.0);
                row[k] = bad;
                assert!(row_sum(&row).sum.is_nan() && log_sum_exp(&row).is_nan());
                let sum = softmax_row(&mut row);
                assert!(sum.sum.is_nan() && row.iter().all(|w| w.is_nan()), "{bad} at {k} of {n}");
            }
        }
    }
    assert!(softmax_row(&mut [f32::NAN; 3]).sum.is_nan());
}

#[test]
fn the_sum_of_a_long_f32_row_keeps_its_digits() {
    // One by one, f32 would be wrong in the third digit.
    let row = scores(3_000_000, 1.0).into_iter().map(|x| x as f32).collect::<Vec<_>>();
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exact = row.iter().map(|&x| f64::from(x - max).exp()).sum::<f64>();
    let sum = row_sum(&row);
    assert_eq!(sum.max, max);
    assert!((f64::from(sum.sum) / exact - 1.0).abs() < 3e-7, "{} {exact}", sum.sum);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for cols in [1, 7, 64, 1000, 40_000] {
        let data = scores(cols * (200_000 / cols), 20.0);
        let keep = |i: usize| if i.is_multiple_of(3) { Keep::All } else { Keep::First(i) };
        let run = || {
            let mut data = data.clone();
            let sums = softmax_rows_with(&mut data, cols, 0.5, keep);
            (bits(&data), bits(&sums.iter().map(|sum| sum.log_sum_exp()).collect::<Vec<_>>()))
        };
        let (parallel, _) = same_on_all_pools(run);
        let alone = data.chunks(cols).enumerate().flat_map(|(i, row)| weights(row, 0.5, keep(i)).0).collect::<Vec<_>>();
        assert_eq!(parallel, bits(&alone), "rows of {cols}");
    }
}

#[test]
fn rows_are_independent_in_f32_too() {
    let data = scores(100 * 37, 9.0).into_iter().map(|x| x as f32).collect::<Vec<_>>();
    let mut all = data.clone();
    let sums = softmax_rows(&mut all, 37);
    assert_eq!(sums.len(), 100);
    for (i, row) in data.chunks(37).enumerate() {
        assert_eq!((all[i * 37..(i + 1) * 37].to_vec(), sums[i]), weights(row, 1.0, Keep::All));
    }
    assert_eq!(softmax_rows::<f64>(&mut [], 5), []);
}

#[test]
fn the_sum_as_a_scaled_value_does_not_overflow() {
    let sum = row_sum(&[1e4, 1e4]);
    assert_eq!(sum.scaled(), ScaledValue::new(2.0, 1e4));
    assert_eq!(softmax_row(&mut [1e308, -1e308]), RowSum { max: 1e308, sum: 1.0 });
}

#[test]
#[should_panic = "another length"]
fn a_mask_of_another_length_is_refused() {
    softmax_row_with(&mut [1.0; 3], 1.0, Keep::Where(&[true; 2]));
}

#[test]
#[should_panic = "not finite and above 0"]
fn a_negative_scale_is_refused() {
    softmax_row_with(&mut [1.0; 3], -1.0, Keep::All);
}

#[test]
#[should_panic = "in rows of 3"]
fn ragged_rows_are_refused() {
    softmax_rows(&mut [1.0; 4], 3);
}

use certus_numeric::exp::{exp, exp_into, exp_slice};
use proptest::prelude::*;

/// (exact - nearest double) / ulp, for a table of exact values.
struct Reference {
    x: f64,
    nearest: f64,
    offset: f64,
}

fn table() -> Vec<Reference> {
    let line = |line: &str| {
        let mut fields = line.split(',');
        let mut bits = || f64::from_bits(u64::from_str_radix(fields.next().unwrap(), 16).unwrap());
        Reference { x: bits(), nearest: bits(), offset: fields.next().unwrap().parse().unwrap() }
    };
    include_str!("cases/exp.csv").lines().map(line).collect()
}

/// Steps from a to b along the floats above zero.
fn steps(a: f64, b: f64) -> i64 {
    b.to_bits() as i64 - a.to_bits() as i64
}

#[test]
fn the_error_in_f64_is_below_one_ulp_of_the_exact_value() {
    let table = table();
    assert!(table.len() > 1500);
    for Reference { x, nearest, offset } in table {
        let error = steps(nearest, exp(x)) as f64 - offset;
        // 0.9 without the half of an ulp that a subnormal adds.
        let limit = if nearest < f64::MIN_POSITIVE { 1.0 } else { 0.9 };
        assert!(error.abs() < limit, "e^{x:e} is off by {error} ulp");
    }
}

#[test]
fn the_error_in_f32_is_below_one_ulp_of_the_exact_value() {
    // Every 997th float; the exponential in f64 is exact for this purpose.
    for bits in (0..=u32::MAX).step_by(997) {
        let x = f32::from_bits(bits);
        let (y, exact) = (exp(x), f64::from(x).exp());
        if x.is_nan() {
            assert!(y.is_nan());
        } else if exact >= f64::from(f32::MAX) * (1.0 + 2f64.powi(-25)) {
            assert_eq!(y, f32::INFINITY, "e^{x:e}");
        } else {
            let ulp = 2f64.powi(exact.max(f64::from(f32::MIN_POSITIVE)).log2().floor() as i32 - 23);
            assert!((f64::from(y) - exact).abs() < 0.95 * ulp, "e^{x:e} is {y:e}, not {exact:e}");
        }
    }
}

#[test]
fn special_numbers_have_their_exact_values() {
    assert_eq!([0.0, -0.0, 5e-324].map(exp), [1.0; 3]);
    assert_eq!([f64::NEG_INFINITY, f64::MIN, -745.14, -1418.0, -1e4].map(exp), [0.0; 5]);
    assert_eq!([f64::INFINITY, f64::MAX, 709.79, 1e4].map(exp), [f64::INFINITY; 4]);
    assert_eq!(exp(-745.0), 5e-324);
    assert!(exp(f64::NAN).is_nan());
    assert_eq!([0.0, -0.0, 1e-45].map(exp::<f32>), [1.0; 3]);
    assert_eq!([f32::NEG_INFINITY, f32::MIN, -104.0, -176.0, -1e4].map(exp), [0.0; 5]);
    assert_eq!([f32::INFINITY, f32::MAX, 88.73, 1e4].map(exp), [f32::INFINITY; 4]);
    // The sign of zero and of results below the range.
    assert!(exp(f64::MIN).is_sign_positive() && exp(-1000f64).is_sign_positive() && exp(f32::MIN).is_sign_positive());
}

proptest! {
    #[test]
    fn it_is_one_step_from_the_standard_library(x in -745.0..709.7f64) {
        prop_assert!(steps(x.exp(), exp(x)).abs() <= 1);
    }

    #[test]
    fn bits_do_not_depend_on_position_or_length(values in prop::collection::vec(any::<f64>().prop_map(|x| x % 800.0), 0..80), from in 0usize..80) {
        let alone = values.iter().map(|&x| exp(x).to_bits()).collect::<Vec<_>>();
        let from = from.min(values.len());
        let mut tail = values[from..].to_vec();
        exp_slice(&mut tail);
        prop_assert_eq!(tail.iter().map(|y| y.to_bits()).collect::<Vec<_>>(), &alone[from..]);

        let single = values.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let alone = single.iter().map(|&x| exp(x).to_bits()).collect::<Vec<_>>();
        let mut tail = vec![0.0; single.len() - from];
        exp_into(&single[from..], &mut tail);
        prop_assert_eq!(tail.iter().map(|y| y.to_bits()).collect::<Vec<_>>(), &alone[from..]);
    }

    #[test]
    fn it_turns_sums_into_products(x in -300.0..300.0f64, y in -300.0..300.0f64) {
        // The rounding of x + y is magnified by the sum.
        let error = exp(x + y) / (exp(x) * exp(y)) - 1.0;
        prop_assert!(error.abs() < 1e-15 + 1.2e-16 * (x + y).abs(), "{}", error);
    }
}

#[test]
fn long_slices_are_written_whole() {
    let from = (0..5000).map(|k| f64::from(k) * 0.01 - 25.0).collect::<Vec<_>>();
    let mut to = vec![0.0; 5000];
    exp_into(&from, &mut to);
    assert!(from.iter().zip(&to).all(|(x, y)| exp(*x) == *y));
}

#[test]
#[should_panic = "another length"]
fn a_target_of_another_length_is_refused() {
    exp_into(&[1.0], &mut [0.0; 2]);
}

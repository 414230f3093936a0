use std::cmp::Ordering;

use certus_numeric::ScaledValue;
use proptest::prelude::*;

/// `fraction * 2^exponent` with a 64-bit exponent: no range to leave.
#[derive(Clone, Copy, Debug)]
struct Big {
    fraction: f64,
    exponent: i64,
}

impl Big {
    fn new(fraction: f64, exponent: i64) -> Big {
        if fraction == 0.0 {
            return Big { fraction: 0.0, exponent: 0 };
        }
        // Into [1, 2) by exact steps.
        let (mut fraction, mut exponent) = (fraction, exponent);
        while fraction.abs() >= 2.0 {
            (fraction, exponent) = (fraction * 0.5, exponent + 1);
        }
        while fraction.abs() < 1.0 {
            (fraction, exponent) = (fraction * 2.0, exponent - 1);
        }
        Big { fraction, exponent }
    }

    fn of(v: ScaledValue) -> Big {
        let n = (v.log_scale() / std::f64::consts::LN_2).round();
        // ln 2 in two parts, the first of 32 bits.
        let high = f64::from_bits(0x3fe6_2e42_fee0_0000);
        let rest = (v.log_scale() - n * high) - n * 1.908_214_929_270_587_7e-10;
        Big::new(v.mantissa(), n as i64).times(Big::new(rest.exp(), 0))
    }

    fn times(self, other: Big) -> Big {
        Big::new(self.fraction * other.fraction, self.exponent + other.exponent)
    }

    fn plus(self, other: Big) -> Big {
        let (large, small) =
            if self.fraction == 0.0 || (other.fraction != 0.0 && other.exponent > self.exponent) { (other, self) } else { (self, other) };
        let shift = (small.exponent - large.exponent).clamp(-1000, 0) as i32;
        let small = if small.fraction == 0.0 { 0.0 } else { small.fraction * 2f64.powi(shift) };
        Big::new(large.fraction + small, large.exponent)
    }

    /// Whether two numbers agree to `tolerance` of `size`.
    fn is_close(self, other: Big, size: Big, tolerance: f64) -> bool {
        let difference = self.plus(Big { fraction: -other.fraction, ..other });
        difference.fraction == 0.0 || ((difference.exponent - size.exponent).clamp(-1000, 1000) as i32) <= tolerance.log2() as i32
    }

    fn to_f64(self) -> f64 {
        let half = self.exponent.clamp(-2200, 2200) / 2;
        let rest = self.exponent.clamp(-2200, 2200) - half;
        self.fraction * 2f64.powi(half as i32) * 2f64.powi(rest as i32)
    }
}

/// Any finite mantissa, subnormals and extremes included, under a moderate scale.
fn value() -> impl Strategy<Value = ScaledValue> {
    let finite = any::<f64>().prop_filter("finite", |m| m.is_finite());
    let mantissa = prop_oneof![4 => -10.0..10.0f64, 2 => finite, 1 => Just(0.0), 1 => Just(5e-324), 1 => Just(-f64::MAX)];
    let scale = prop_oneof![Just(0.0), -2000.0..2000.0f64, -20.0..20.0f64, -1e6..1e6f64];
    (mantissa, scale).prop_map(|(mantissa, scale)| ScaledValue::new(mantissa, scale))
}

/// Any finite mantissa under any finite scale.
fn extreme() -> impl Strategy<Value = ScaledValue> {
    let finite = || any::<f64>().prop_filter("finite", |m| m.is_finite());
    let scale = prop_oneof![finite(), Just(f64::MAX), Just(f64::MIN)];
    (finite(), scale).prop_map(|(mantissa, scale)| ScaledValue::new(mantissa, scale))
}

/// What a scale of this size leaves certain of its exponential.
fn tolerance(values: &[ScaledValue]) -> f64 {
    values.iter().map(|v| v.log_scale().abs() + 800.0).fold(0.0, f64::max) * 2e-15
}

fn is_finite(v: ScaledValue) -> bool {
    v.mantissa().is_finite() && v.log_scale().is_finite()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn products_agree_with_big_exponents(a in value(), b in value()) {
        let expected = Big::of(a).times(Big::of(b));
        prop_assert!(Big::of(a * b).is_close(expected, expected, tolerance(&[a, b])), "{a:?} * {b:?} = {:?}", a * b);
        prop_assert_eq!(a * b, b * a);
    }

    #[test]
    fn sums_agree_with_big_exponents(a in value(), b in value()) {
        let (big_a, big_b) = (Big::of(a), Big::of(b));
        let size = if big_b.fraction == 0.0 || (big_a.fraction != 0.0 && big_a.exponent > big_b.exponent) { big_a } else { big_b };
        prop_assert!(Big::of(a + b).is_close(big_a.plus(big_b), size, tolerance(&[a, b])), "{a:?} + {b:?} = {:?}", a + b);
        prop_assert_eq!(a + ScaledValue::ZERO, a);
        prop_assert_eq!(a + ScaledValue::new(-a.mantissa(), a.log_scale()), ScaledValue::ZERO);
    }

    #[test]
    fn plain_numbers_agree_with_big_exponents(a in value(), b in value()) {
        let expected = Big::of(a).to_f64();
        match a.to_f64() {
            Some(v) => prop_assert!((v - expected).abs() <= tolerance(&[a]) * expected.abs() + 1e-323, "{v:e}, not {expected:e}"),
            None => prop_assert!(expected.abs() > 0.99 * f64::MAX),
        }
        if b.mantissa() != 0.0 {
            let inverse = Big::of(b);
            let expected = Big::of(a).times(Big::new(1.0 / inverse.fraction, -inverse.exponent)).to_f64();
            let ratio = a.ratio(b);
            prop_assert!(ratio == expected || (ratio / expected - 1.0).abs() < tolerance(&[a, b]) || (ratio - expected).abs() <= 1e-322, "{ratio:e}, not {expected:e}");
        }
    }

    #[test]
    fn finite_numbers_give_no_nan_and_no_infinity(a in extreme(), b in extreme(), c in value()) {
        for v in [a + b, a * b, a + c, c + a, a * c, c * c, a.normalised(), c.normalised()] {
            prop_assert!(is_finite(v), "{a:?} {b:?} {c:?}: {v:?}");
        }
        prop_assert!(!a.ratio(b).is_nan() || b.mantissa() == 0.0);
        prop_assert!(a.to_f64().is_none_or(f64::is_finite));
    }

    #[test]
    fn the_order_is_total_and_transitive(a in value(), b in value(), c in value(), factor in -3..3i32) {
        let order = |a: ScaledValue, b: ScaledValue| a.partial_cmp(&b).unwrap();
        prop_assert_eq!(order(a, b), order(b, a).reverse());
        prop_assert_eq!(order(a, a), Ordering::Equal);
        // Neighbours of a in other clothes are where an order by rounded logarithms would break.
        let neighbour = ScaledValue::new((a.mantissa() * (1.0 + f64::from(factor) * f64::EPSILON)).clamp(f64::MIN, f64::MAX), a.log_scale());
        let neighbours = [a, a.normalised(), neighbour, a * ScaledValue::exp(1e-16), b, c];
        for x in neighbours {
            for y in neighbours {
                for z in neighbours {
                    prop_assert!(order(x, y).is_gt() || order(y, z).is_gt() || order(x, z).is_le(), "{x:?} {y:?} {z:?}");
                }
            }
        }
    }

    #[test]
    fn the_order_is_that_of_the_numbers(a in value(), b in value()) {
        let (big_a, big_b) = (Big::of(a), Big::of(b));
        let size = if big_a.exponent > big_b.exponent { big_a } else { big_b };
        if !big_a.is_close(big_b, size, tolerance(&[a, b])) {
            let difference = big_a.plus(Big { fraction: -big_b.fraction, ..big_b });
            prop_assert_eq!(a.partial_cmp(&b), difference.fraction.partial_cmp(&0.0), "{:?} {:?}", a, b);
        }
    }

    #[test]
    fn plain_numbers_keep_their_order_and_value(a in any::<f64>(), step in -3i64..4) {
        let b = f64::from_bits(a.to_bits().wrapping_add_signed(step));
        let (a, b) = if a.is_finite() && b.is_finite() { (a, b) } else { (f64::MAX, f64::MIN) };
        prop_assert_eq!(ScaledValue::from(a).partial_cmp(&ScaledValue::from(b)), a.partial_cmp(&b));
        prop_assert_eq!(ScaledValue::from(a).to_f64(), Some(a));
        prop_assert!(ScaledValue::from(a).ln().to_bits() == a.ln().to_bits() || a <= 0.0);
    }
}

#[test]
fn the_larger_number_counts_whatever_its_scale() {
    // The larger scale belongs to the smaller number.
    let (a, b) = (ScaledValue::new(1e-300, 800.0), ScaledValue::new(1e300, 0.0));
    assert!(((a + b).ratio(b) - 1.0).abs() < 1e-12 && a < b);
    // Halves of a subnormal are not lost.
    let tiny = ScaledValue::from(5e-324);
    assert!(((tiny * tiny).ln() - 2.0 * 5e-324f64.ln()).abs() < 1e-12);
    let product = ScaledValue::from(1e-160) * ScaledValue::from(1.234e-160);
    assert!((product * ScaledValue::from(1e300)).ratio(ScaledValue::from(1.234e-20)) - 1.0 < 1e-12);
    assert!(((ScaledValue::from(f64::MAX) + ScaledValue::from(f64::MAX)).ratio(ScaledValue::from(f64::MAX)) - 2.0).abs() < 1e-12);
}

#[test]
fn numbers_at_the_ends_of_the_range_convert() {
    assert_eq!(ScaledValue::new(1.0, 710.0).to_f64(), None);
    assert_eq!(ScaledValue::new(1.0, -800.0).to_f64(), Some(0.0));
    let near = |v: Option<f64>, expected: f64| v.is_some_and(|v| (v / expected - 1.0).abs() < 1e-13);
    assert!(near(ScaledValue::new(1e-300, 1000.0).to_f64(), 1.970_071_114_017_047e134));
    assert!(near(ScaledValue::new(-1e300, -1000.0).to_f64(), -5.075_958_897_549_457e-135));
    // e^-740 alone is a subnormal of three digits.
    assert!(near(ScaledValue::new(1e10, -740.0).to_f64(), 4.188_739_880_048_05e-312));
    assert_eq!(ScaledValue::exp(f64::NEG_INFINITY), ScaledValue::ZERO);
    assert_eq!(ScaledValue::ZERO.ln(), f64::NEG_INFINITY);
    assert!(ScaledValue::ZERO.ratio(ScaledValue::ZERO).is_nan());
    assert_eq!(ScaledValue::exp(2000.0).ratio(ScaledValue::exp(1000.0)), f64::INFINITY);
    assert_eq!(ScaledValue::exp(1000.0).ratio(ScaledValue::ZERO), f64::INFINITY);
}

//! Gauss-Legendre rules.

use certus_numeric::quadrature::*;
use proptest::prelude::*;

fn rule(order: usize) -> GaussLegendre {
    GaussLegendre::new(order).expect("a valid order")
}

#[test]
fn nodes_and_weights_are_right_to_the_last_bit_or_two() {
    let (mut worst_node, mut worst_weight): (f64, f64) = (0.0, 0.0);
    for line in include_str!("cases/gauss_legendre.txt").lines().filter(|line| !line.starts_with('#')) {
        let row: Vec<f64> = line.split_whitespace().map(|v| v.parse().expect("a number")).collect();
        let (rule, k) = (rule(row[0] as usize), row[1] as usize);
        let relative = |value: f64, expected: f64| if value == expected { 0.0 } else { ((value - expected) / expected).abs() };
        worst_node = worst_node.max(relative(rule.nodes()[k], row[2]));
        worst_weight = worst_weight.max(relative(rule.weights()[k], row[3]));
    }
    println!("nodes {worst_node:.2e}, weights {worst_weight:.2e}");
    assert!(worst_node <= 1.2e-16 && worst_weight <= 2.3e-16, "{worst_node:e} {worst_weight:e}");
}

#[test]
fn every_order_integrates_powers_exactly() {
    for order in (1..=40).chain([63, 128, 256, 500, MAX_ORDER]) {
        let rule = rule(order);
        assert_eq!(rule.nodes().len(), order);
        assert!(rule.nodes().windows(2).all(|pair| pair[0] < pair[1]), "order {order}: ascending");
        for degree in [0, 1, order, 2 * order - 1] {
            let value = rule.integrate(|x| x.powi(degree as i32), 0.0, 1.0);
            let expected = 1.0 / (degree as f64 + 1.0);
            // x^degree is rounded by the power, and the sum gathers the rounding of its terms.
            let error = (4.0 + degree as f64 + 0.01 * order as f64) * 2.3e-16;
            assert!((value - expected).abs() <= error * expected, "order {order}, degree {degree}: {value}");
        }
        let missed = rule.integrate(|x| x.powi(2 * order as i32), -1.0, 1.0) - 2.0 / (2.0 * order as f64 + 1.0);
        assert!(order > 20 || missed < -1e-16, "order {order} is not exact for degree {}", 2 * order);
    }
}

#[test]
fn orders_out_of_range_are_errors() {
    assert_eq!(GaussLegendre::new(0).unwrap_err().kind(), "InvalidParameter");
    assert_eq!(GaussLegendre::new(MAX_ORDER + 1).unwrap_err().kind(), "InvalidParameter");
}

#[test]
fn panels_take_kinks_and_report_their_error() {
    let rule = rule(16);
    let kink = |x: f64| (x - 0.3).abs();
    let (whole, split) = (rule.integrate_panels(kink, &[0.0, 1.0]), rule.integrate_panels(kink, &[0.0, 0.3, 1.0]));
    let exact = 0.5 * (0.09 + 0.49);
    assert!((split.value - exact).abs() < 1e-16 && split.error < 1e-15, "{split:?}");
    assert!((whole.value - exact).abs() > 1e-6 && whole.error > (whole.value - exact).abs(), "{whole:?}");
    assert_eq!(rule.integrate_panels(kink, &[1.0]), Integral { value: 0.0, error: 0.0 });
    assert_eq!(self::rule(1).integrate_panels(kink, &[0.0, 1.0]).error, f64::INFINITY);
    assert_eq!(equal_panels(0.0, 0.3, 3), [0.0, 0.3 / 3.0, 0.3 * (2.0 / 3.0), 0.3]);
}

#[test]
fn the_ends_are_never_touched_and_may_be_singular() {
    let ends: Vec<f64> = std::iter::once(0.0).chain((0..=60).rev().map(|k| 0.25f64.powi(k))).collect();
    let integral = rule(24).integrate_panels(|x| 1.0 / x.sqrt(), &ends);
    assert!((integral.value - 2.0).abs() < 1e-13, "{integral:?}");
}

proptest! {
    #[test]
    fn integrals_add_up_and_turn_around(a in -5.0..5.0f64, b in -5.0..5.0f64, c in -5.0..5.0f64, order in 20usize..60) {
        let rule = rule(order);
        let f = |x: f64| (0.7 * x).sin() + x * x;
        let integral = |a, b| rule.integrate(f, a, b);
        prop_assert!((integral(a, b) + integral(b, c) - integral(a, c)).abs() < 1e-12);
        prop_assert!((integral(a, b) + integral(b, a)).abs() < 1e-12);
        let exact = |x: f64| -(0.7 * x).cos() / 0.7 + x * x * x / 3.0;
        prop_assert!((integral(a, b) - (exact(b) - exact(a))).abs() < 1e-12);
    }
}

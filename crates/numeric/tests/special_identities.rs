//! Identities between the special functions.

use certus_numeric::special::*;
use proptest::prelude::*;

/// A positive number, evenly spread over the powers of ten.
fn spread(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low..high).prop_map(|e| 10f64.powf(e))
}

/// A tail probability of any size.
fn tail() -> impl Strategy<Value = f64> {
    prop_oneof![spread(-300.0, -0.31), 1e-6..1.0f64]
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    a == b || (a - b).abs() <= relative * a.abs().max(b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn erf_is_odd_and_complements_erfc(x in -30.0..30.0f64) {
        prop_assert_eq!(erf(-x), -erf(x));
        prop_assert!((erf(x) + erfc(x) - 1.0).abs() < 1e-15);
        prop_assert!((erfc(x) + erfc(-x) - 2.0).abs() < 2e-15);
    }

    #[test]
    fn erfcx_is_bracketed_by_its_classical_bounds(x in spread(-5.0, 10.0)) {
        // 2/sqrt(pi) / (x + sqrt(x^2 + 2)) < erfcx(x) <= 2/sqrt(pi) / (x + sqrt(x^2 + 4/pi))
        let two_over_root_pi = std::f64::consts::FRAC_2_SQRT_PI;
        prop_assert!(erfcx(x) >= two_over_root_pi / (x + (x * x + 2.0).sqrt()) * (1.0 - 1e-15));
        prop_assert!(erfcx(x) <= two_over_root_pi / (x + (x * x + 4.0 / std::f64::consts::PI).sqrt()) * (1.0 + 1e-15));
    }

    #[test]
    fn tails_and_quantiles_of_the_normal_law_are_inverse(q in tail()) {
        let z = normal_quantile_upper(q);
        prop_assert_eq!(normal_quantile(q), if z == 0.0 { 0.0 } else { -z });
        // A unit in the last place of z moves the tail by z / mills(z) of them.
        prop_assert!(close(normal_sf(z), q, 1e-15 * (2.0 + z.abs() / mills(z).min(1e3))), "{} of {}", normal_sf(z), q);
        prop_assert!(close(ln_normal_sf(z), q.ln(), 1e-13) || q > 0.9);
    }

    #[test]
    fn mills_is_tail_over_density(x in -37.0..37.0f64) {
        prop_assert!(close(mills(x), normal_sf(x) / normal_pdf(x), 2e-15));
    }

    #[test]
    fn tails_fall(x in -37.0..37.0f64, step in spread(-12.0, 0.0)) {
        let y = x + step;
        prop_assert!(normal_sf(y) <= normal_sf(x) * (1.0 + 1e-15));
        prop_assert!(erfcx(y) <= erfcx(x) * (1.0 + 1e-15));
        prop_assert!(mills(y) <= mills(x) * (1.0 + 1e-15));
        prop_assert!(ln_normal_sf(y) <= ln_normal_sf(x) + 1e-15 * ln_normal_sf(x).abs());
    }

    #[test]
    fn gamma_recurs(x in 1e-3..100.0f64) {
        prop_assert!(close(gamma(x + 1.0), x * gamma(x), 2e-14 * (1.0 + x)));
        prop_assert!(close(gamma(x).ln(), ln_gamma(x), 1e-14) || (gamma(x).ln() - ln_gamma(x)).abs() < 1e-15);
        // gamma(x) gamma(-x) = -pi / (x sin(pi x)); near an integer the sine of the rounded angle has lost its digits.
        let sine = (std::f64::consts::PI * x).sin();
        prop_assume!(sine.abs() > 0.01);
        prop_assert!(close(gamma(x) * gamma(-x), -std::f64::consts::PI / (x * sine), 1e-11));
    }

    #[test]
    fn ln_beta_is_symmetric_and_recurs(a in spread(-3.0, 6.0), b in spread(-3.0, 6.0)) {
        prop_assert_eq!(ln_beta(a, b), ln_beta(b, a));
        // B(a + 1, b) = B(a, b) a / (a + b)
        let (left, right) = (ln_beta(a + 1.0, b), ln_beta(a, b) + (a / (a + b)).ln());
        prop_assert!((left - right).abs() < 1e-13 * (1.0 + left.abs()) * (1.0 + b.max(1.0).ln()), "{} {}", left, right);
    }

    #[test]
    fn incomplete_gamma_recurs(a in spread(-2.0, 4.0), f in -6.0..6.0f64) {
        // Q(a + 1, x) = Q(a, x) + x^a e^-x / gamma(a + 1), and the same with P and minus.
        let x = (a + f * a.sqrt()).max(0.01 * a);
        let term = (a * x.ln() - x - ln_gamma(a + 1.0)).exp();
        let error = 1e-14 * (1.0 + a * x.ln().abs() + x);
        prop_assert!((gamma_q(a + 1.0, x) - gamma_q(a, x) - term).abs() <= error * term + 1e-15);
        prop_assert!((gamma_p(a, x) - gamma_p(a + 1.0, x) - term).abs() <= error * term + 1e-15);
    }

    #[test]
    fn gamma_quantiles_invert_the_tails(a in spread(-1.0, 9.0), p in tail()) {
        for (x, back) in [(gamma_p_inv(a, p), gamma_p as fn(f64, f64) -> f64), (gamma_q_inv(a, p), gamma_q)] {
            if x < 1e-300 {
                continue;
            }
            let moved = (back(a, x.next_up()) - back(a, x.next_down())).abs();
            prop_assert!((back(a, x) - p).abs() <= 2e-14 * p + 4.0 * moved, "a = {}, p = {}: x = {}, back {}", a, p, x, back(a, x));
        }
    }

    #[test]
    fn beta_tails_are_mirrored(a in spread(-2.0, 7.0), b in spread(-2.0, 7.0), k in 1u32..1024) {
        // 1 - x is exact for these x.
        let x = f64::from(k) / 1024.0;
        prop_assert!(close(beta_inc(a, b, x), beta_inc_upper(b, a, 1.0 - x), 1e-14));
        prop_assert!((beta_inc(a, b, x) + beta_inc(b, a, 1.0 - x) - 1.0).abs() < 1e-14);
    }

    #[test]
    fn beta_quantiles_invert_the_tails(a in spread(-1.0, 7.0), b in spread(-1.0, 7.0), p in tail()) {
        let x = beta_quantile(p, a, b);
        if x > 1e-300 && x < 0.75 {
            let moved = (beta_inc(a, b, x.next_up()) - beta_inc(a, b, x.next_down())).abs();
            prop_assert!((beta_inc(a, b, x) - p).abs() <= 2e-14 * p + 4.0 * moved, "p = {}: x = {}", p, x);
        }
        // The mirrored quantile is the complement.
        prop_assert!((beta_quantile_upper(p, b, a) + x - 1.0).abs() < 1e-15);
    }

    #[test]
    fn tails_of_beta_and_gamma_are_monotone(a in spread(-2.0, 5.0), b in spread(-2.0, 5.0), x in 0.0..1.0f64, step in spread(-9.0, -1.0)) {
        let y = (x + step).min(1.0);
        prop_assert!(beta_inc(a, b, y) >= beta_inc(a, b, x) * (1.0 - 1e-14));
        prop_assert!(beta_inc_upper(a, b, y) <= beta_inc_upper(a, b, x) * (1.0 + 1e-14));
        let (x, y) = (2.0 * a * x, 2.0 * a * y);
        prop_assert!(gamma_p(a, y) >= gamma_p(a, x) * (1.0 - 1e-14));
        prop_assert!(gamma_q(a, y) <= gamma_q(a, x) * (1.0 + 1e-14));
    }

    #[test]
    fn beta_tail_of_integers_is_a_binomial_sum((n, k) in (1u64..40).prop_flat_map(|n| (Just(n), 0..n)), x in 0.01..0.99f64) {
        // P(Binomial(n, x) > k) = I_x(k + 1, n - k)
        let mut sum = 0.0;
        for j in k + 1..=n {
            let ln_choose = -ln_beta((j + 1) as f64, (n - j + 1) as f64) - ((n + 1) as f64).ln();
            sum += (ln_choose + j as f64 * x.ln() + (n - j) as f64 * (-x).ln_1p()).exp();
        }
        prop_assert!(close(beta_inc((k + 1) as f64, (n - k) as f64, x), sum, 1e-12));
    }

    #[test]
    fn owens_t_has_its_symmetries(h in -12.0..12.0f64, a in prop_oneof![-3.0..3.0f64, spread(-8.0, 8.0)]) {
        prop_assert_eq!(owens_t(h, -a), -owens_t(h, a));
        prop_assert_eq!(owens_t(-h, a), owens_t(h, a));
        // T(h, 1) = Q(h) (1 - Q(h)) / 2
        prop_assert!(close(owens_t(h, 1.0), 0.5 * normal_sf(h) * normal_cdf(h), 4e-15));
        // T(h, a) + T(a h, 1 / a) = (Q(h) + Q(a h)) / 2 - Q(h) Q(a h) for positive h and a
        let (h, a) = (h.abs(), a.abs());
        prop_assume!(a > 0.0);
        let (q, r) = (normal_sf(h), normal_sf(a * h));
        prop_assert!((owens_t(h, a) + owens_t(a * h, 1.0 / a) - (0.5 * (q + r) - q * r)).abs() < 2e-16);
    }

    #[test]
    fn lambert_w_inverts(w in prop_oneof![-0.999..1.0f64, 1.0..500.0f64, spread(-300.0, 0.0)]) {
        let x = w * w.exp();
        // dW / W = dx / x / (1 + W)
        prop_assert!(close(lambert_w0(x), w, 1e-15 * (2.0 + (2.0 + w.abs()) / (1.0 + w))), "{} {}", lambert_w0(x), w);
    }

    #[test]
    fn lower_lambert_w_inverts(w in -700.0..-1.001f64) {
        let x = w * w.exp();
        prop_assert!(close(lambert_wm1(x), w, 1e-15 * (2.0 + (2.0 + w.abs()) / (-1.0 - w))), "{} {}", lambert_wm1(x), w);
    }

    #[test]
    fn lambert_w_is_monotone_at_the_branch_point(k in 0u32..1_000_000, step in 1u32..1000) {
        let end = (-(-1f64).exp()).next_up();
        let at = |k: u32| end + f64::from(k) * 2f64.powi(-54);
        prop_assert!(lambert_w0(at(k + step)) > lambert_w0(at(k)));
        prop_assert!(lambert_wm1(at(k + step)) < lambert_wm1(at(k)));
    }

    #[test]
    fn student_tails_and_quantiles_are_inverse(freedom in spread(-0.5, 12.0), q in spread(-200.0, -0.31)) {
        let t = student_quantile_upper(q, freedom);
        let moved = (student_sf(t.next_up(), freedom) - student_sf(t.next_down(), freedom)).abs();
        // At 1e140 and beyond the tail goes by logarithms.
        let error = if t < 1e100 { 1e-13 } else { 1e-11 };
        prop_assert!(t > 1e300 || (student_sf(t, freedom) - q).abs() <= error * q + 8.0 * moved, "{} of {}", student_sf(t, freedom), q);
        prop_assert!(t > 1e300 || close(student_sf(-t, freedom), 1.0 - q, 1e-14));
    }

    #[test]
    fn sums_of_exponentials_agree_with_the_plain_form(a in -20.0..20.0f64, b in -20.0..20.0f64) {
        prop_assert!(close(ln_add_exp(a, b).exp(), a.exp() + b.exp(), 1e-14));
        prop_assert!((ln_1p_exp(a) - a.exp().ln_1p()).abs() < 1e-14);
        prop_assert!((ln_1p_minus(a.abs()) - (a.abs().ln_1p() - a.abs())).abs() < 1e-14);
        let (high, low) = (a.max(b), a.min(b));
        prop_assume!(high - low > 0.1);
        prop_assert!(close(ln_sub_exp(high, low).exp(), high.exp() - low.exp(), 1e-13));
    }
}

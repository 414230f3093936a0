//! Special functions at the ends of their domains, outside them, and of every kind of double.

use certus_numeric::special::*;
use proptest::prelude::*;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const TINY: f64 = 5e-324;

#[track_caller]
fn same(cases: &[(f64, f64)]) {
    for (i, (got, expected)) in cases.iter().enumerate() {
        assert!(got == expected || (got.is_nan() && expected.is_nan()), "case {i}: {got}, expected {expected}");
        if *expected == 0.0 {
            assert_eq!(got.is_sign_negative(), expected.is_sign_negative(), "case {i}: sign of zero");
        }
    }
}

#[test]
fn error_functions() {
    same(&[
        (erf(0.0), 0.0),
        (erf(-0.0), -0.0),
        (erf(INF), 1.0),
        (erf(-INF), -1.0),
        (erf(NAN), NAN),
        (erf(f64::MAX), 1.0),
        (erfc(0.0), 1.0),
        (erfc(INF), 0.0),
        (erfc(-INF), 2.0),
        (erfc(NAN), NAN),
        (erfc(27.3), 0.0),
        (erfcx(0.0), 1.0),
        (erfcx(INF), 0.0),
        (erfcx(-INF), INF),
        (erfcx(-27.0), INF),
        (erfcx(NAN), NAN),
    ]);
    assert!(erfc(27.0) > 0.0 && erfc(27.0) < f64::MIN_POSITIVE, "the subnormal numbers are used");
}

#[test]
fn normal_law() {
    same(&[
        (normal_pdf(INF), 0.0),
        (normal_pdf(NAN), NAN),
        (normal_cdf(INF), 1.0),
        (normal_cdf(-INF), 0.0),
        (normal_cdf(0.0), 0.5),
        (normal_cdf(NAN), NAN),
        (normal_sf(f64::MAX), 0.0),
        (ln_normal_sf(INF), -INF),
        (ln_normal_sf(-INF), -0.0),
        (ln_normal_sf(NAN), NAN),
        (mills(INF), 0.0),
        (mills(-INF), INF),
        (mills(NAN), NAN),
        (normal_quantile(0.0), -INF),
        (normal_quantile(1.0), INF),
        (normal_quantile(0.5), 0.0),
        (normal_quantile(-TINY), NAN),
        (normal_quantile(1.0 + f64::EPSILON), NAN),
        (normal_quantile(NAN), NAN),
        (normal_quantile_upper(0.0), INF),
    ]);
}

#[test]
fn gamma_and_beta() {
    same(&[
        (ln_gamma(0.0), INF),
        (ln_gamma(1.0), 0.0),
        (ln_gamma(2.0), 0.0),
        (ln_gamma(-3.0), INF),
        (ln_gamma(INF), INF),
        (ln_gamma(-INF), INF),
        (ln_gamma(f64::MAX), INF),
        (ln_gamma(NAN), NAN),
        (gamma(0.0), INF),
        (gamma(-0.0), -INF),
        (gamma(1.0), 1.0),
        (gamma(5.0), 24.0),
        (gamma(172.0), INF),
        (gamma(INF), INF),
        (gamma(-INF), NAN),
        (gamma(-2.0), NAN),
        (gamma(-200.5), -0.0),
        (gamma(NAN), NAN),
        (ln_beta(0.0, 1.0), INF),
        (ln_beta(INF, 1.0), -INF),
        (ln_beta(0.0, INF), NAN),
        (ln_beta(-1.0, 1.0), NAN),
        (ln_beta(1.0, NAN), NAN),
        (gamma_p(1.0, 0.0), 0.0),
        (gamma_q(1.0, 0.0), 1.0),
        (gamma_p(1.0, INF), 1.0),
        (gamma_q(0.0, 1.0), 0.0),
        (gamma_p(INF, 1.0), 0.0),
        (gamma_p(INF, INF), NAN),
        (gamma_p(-1.0, 1.0), NAN),
        (gamma_p(1.0, -1.0), NAN),
        (gamma_p(NAN, 1.0), NAN),
        (gamma_p_inv(2.0, 0.0), 0.0),
        (gamma_p_inv(2.0, 1.0), INF),
        (gamma_q_inv(2.0, 0.0), INF),
        (gamma_q_inv(2.0, 1.5), NAN),
        (gamma_q_inv(0.0, 0.5), NAN),
        (beta_inc(1.0, 1.0, 0.0), 0.0),
        (beta_inc(1.0, 1.0, 1.0), 1.0),
        (beta_inc_upper(3.0, 1.0, 1.0), 0.0),
        (beta_inc(0.0, 1.0, 0.5), NAN),
        (beta_inc(1.0, INF, 0.5), NAN),
        (beta_inc(1.0, 1.0, 1.5), NAN),
        (beta_inc(1.0, 1.0, NAN), NAN),
        (beta_quantile(0.0, 2.0, 3.0), 0.0),
        (beta_quantile(1.0, 2.0, 3.0), 1.0),
        (beta_quantile_upper(0.0, 2.0, 3.0), 1.0),
        (beta_quantile(1e-10, 0.01, 1.0), 0.0),
        (beta_quantile(0.5, -1.0, 1.0), NAN),
        (beta_quantile(NAN, 1.0, 1.0), NAN),
        (student_sf(0.0, 3.0), 0.5),
        (student_sf(INF, 3.0), 0.0),
        (student_sf(-INF, 3.0), 1.0),
        (student_sf(1.0, INF), normal_sf(1.0)),
        (student_sf(1.0, 0.0), NAN),
        (student_quantile_upper(0.5, 3.0), 0.0),
        (student_quantile_upper(0.0, 3.0), INF),
        (student_quantile_upper(1.0, 3.0), -INF),
        (student_quantile_upper(0.3, -1.0), NAN),
    ]);
}

#[test]
fn owens_t_and_lambert() {
    same(&[
        (owens_t(0.0, 0.0), 0.0),
        (owens_t(0.0, INF), 0.25),
        (owens_t(INF, INF), 0.0),
        (owens_t(1.0, INF), 0.5 * normal_sf(1.0)),
        (owens_t(1.0, -0.0), -0.0),
        (owens_t(NAN, 1.0), NAN),
        (owens_t(1.0, NAN), NAN),
        (lambert_w0(0.0), 0.0),
        (lambert_w0(-0.0), -0.0),
        (lambert_w0(INF), INF),
        (lambert_w0(-1.0), NAN),
        (lambert_w0(NAN), NAN),
        (lambert_w0(-(-1f64).exp()), -1.0),
        (lambert_wm1(-(-1f64).exp()), -1.0),
        (lambert_w0((-(-1f64).exp()).next_down()), NAN),
        (lambert_wm1(0.0), -INF),
        (lambert_wm1(1.0), NAN),
        (lambert_wm1(NAN), NAN),
        (lambert_w0(TINY), TINY),
    ]);
}

#[test]
fn sums_of_exponentials() {
    same(&[
        (ln_add_exp(-INF, -INF), -INF),
        (ln_add_exp(INF, -INF), INF),
        (ln_add_exp(INF, INF), INF),
        (ln_add_exp(NAN, INF), NAN),
        (ln_sub_exp(1.0, 1.0), -INF),
        (ln_sub_exp(1.0, 2.0), NAN),
        (ln_sub_exp(2.0, -INF), 2.0),
        (ln_1m_exp(0.0), -INF),
        (ln_1m_exp(-INF), -0.0),
        (ln_1m_exp(1.0), NAN),
        (ln_1p_exp(-INF), 0.0),
        (ln_1p_exp(INF), INF),
        (ln_1p_minus(0.0), 0.0),
        (ln_1p_minus(-1.0), -INF),
        (ln_1p_minus(-2.0), NAN),
        (ln_1p_minus(INF), -INF),
    ]);
    assert!((ln_1m_exp(-1e-300) - 1e-300f64.ln()).abs() < 1e-12);
    assert!((ln_sub_exp(1000.0, 999.0) - (1000.0 + (1.0 - (-1f64).exp()).ln())).abs() < 1e-12);
}

#[test]
fn the_laws_of_a_huge_shape_are_steps() {
    same(&[
        (gamma_p(1e100, 0.99e100), 0.0),
        (gamma_p(1e100, 1.01e100), 1.0),
        (gamma_q(1e100, 1e100), 0.5),
        (beta_inc(1e100, 1e100, 0.499), 0.0),
        (beta_inc(1e100, 1e100, 0.501), 1.0),
        (beta_inc(1e100, 1e100, 0.5), 0.5),
    ]);
}

/// Every double, with the tiny, the huge and the ordinary alike.
fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), -60.0..60.0f64, Just(0.0), Just(INF), Just(-INF), Just(NAN)]
}

/// A positive number of any size.
fn positive() -> impl Strategy<Value = f64> {
    (-323.0..308.0f64).prop_map(|e| 10f64.powf(e))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics_and_only_nan_makes_nan(x in any_double(), y in any_double(), z in any_double()) {
        for value in [erf(x), erfc(x), erfcx(x), normal_pdf(x), normal_cdf(x), normal_sf(x), ln_normal_sf(x), mills(x)] {
            prop_assert_eq!(value.is_nan(), x.is_nan());
        }
        prop_assert_eq!(owens_t(x, y).is_nan(), x.is_nan() || y.is_nan());
        prop_assert_eq!(ln_add_exp(x, y).is_nan(), x.is_nan() || y.is_nan());
        prop_assert_eq!(normal_quantile(x).is_nan(), !(0.0..=1.0).contains(&x));
        prop_assert_eq!(ln_gamma(x).is_nan(), x.is_nan());
        prop_assert_eq!(lambert_w0(x).is_nan(), x.is_nan() || x < -(-1f64).exp());
        // These may be NaN outside their domains, but must come back.
        for f in [ln_beta, gamma_p, gamma_q, gamma_p_inv, gamma_q_inv, student_sf, student_quantile_upper, ln_sub_exp] {
            f(x, y);
        }
        for f in [beta_inc, beta_inc_upper, beta_quantile, beta_quantile_upper] {
            f(x, y, z);
        }
        for f in [gamma, lambert_wm1, ln_1m_exp, ln_1p_exp, ln_1p_minus] {
            f(x);
        }
    }

    #[test]
    fn incomplete_functions_are_probabilities(a in positive(), b in positive(), x in 0.0..=1.0f64, y in positive()) {
        prop_assert!(!ln_beta(a, b).is_nan(), "ln_beta({}, {})", a, b);
        for (p, q) in [(gamma_p(a, y), gamma_q(a, y)), (beta_inc(a, b, x), beta_inc_upper(a, b, x))] {
            prop_assert!((0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q), "{} {} of a = {:e}, b = {:e}, x = {:e}, y = {:e}", p, q, a, b, x, y);
            prop_assert!((p + q - 1.0).abs() < 1e-13, "{} {} of a = {:e}, b = {:e}, x = {:e}, y = {:e}", p, q, a, b, x, y);
        }
        let p = student_sf(y, a);
        prop_assert!((0.0..=0.5).contains(&p), "student {} of t = {:e}, freedom = {:e}", p, y, a);
        prop_assert!(gamma_p_inv(a, x) >= 0.0 && gamma_q_inv(a, x) >= 0.0, "gamma quantiles of {:e} at {:e}", a, x);
        prop_assert!(!student_quantile_upper(x, a).is_nan(), "student quantile of {:e} at {:e}", a, x);
        if a.max(b) < 1e15 {
            for quantile in [beta_quantile(x, a, b), beta_quantile_upper(x, a, b)] {
                prop_assert!((0.0..=1.0).contains(&quantile), "beta quantile {} of {:e}, {:e} at {:e}", quantile, a, b, x);
            }
        }
    }
}

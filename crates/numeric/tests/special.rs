//! Special functions against tables made with mpmath to 22 digits, and their identities.

use certus_numeric::special::*;

/// The rows of a table of `cases/`.
fn rows(text: &str) -> Vec<Vec<f64>> {
    let row = |line: &str| line.split_whitespace().map(|v| v.parse().expect("a number")).collect();
    text.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

/// The largest error of `f` relative to the value in the last column of a table, in units of `allowed(row)`.
#[track_caller]
fn check(name: &str, text: &str, f: impl Fn(&[f64]) -> f64, allowed: impl Fn(&[f64], f64) -> f64) {
    let rows = rows(text);
    assert!(rows.len() >= 100, "{name}: a table of {} rows", rows.len());
    let (mut worst, mut worst_plain, mut at) = (0.0, 0.0, Vec::new());
    for row in &rows {
        let (arguments, expected) = (&row[..row.len() - 1], row[row.len() - 1]);
        let error = if expected == 0.0 { f(arguments).abs() } else { ((f(arguments) - expected) / expected).abs() };
        worst_plain = f64::max(worst_plain, error);
        let error = if error.is_nan() { f64::INFINITY } else { error / allowed(arguments, expected) };
        if error > worst {
            (worst, at) = (error, row.clone());
        }
    }
    println!("{name}: {} points, worst relative error {worst_plain:.2e}, {worst:.2e} of what is allowed, at {at:?}", rows.len());
    assert!(worst <= 1.0, "{name}: {worst} of the allowed error at {at:?}, got {}", f(&at[..at.len() - 1]));
}

/// A table with several values a row: keeps `arguments` columns and value number `value`.
fn column(text: &str, arguments: usize, value: usize) -> String {
    let keep = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let kept = [&fields[..arguments], &fields[arguments + value..][..1]].concat();
        kept.join(" ")
    };
    text.lines().filter(|line| !line.starts_with('#')).map(keep).collect::<Vec<_>>().join("\n")
}

const TOLERANCE: f64 = 2e-14;

macro_rules! one_argument {
    ($($name:ident $tolerance:expr;)*) => {$(
        #[test]
        fn $name() {
            let table = include_str!(concat!("cases/", stringify!($name), ".txt"));
            check(stringify!($name), table, |x| certus_numeric::special::$name(x[0]), |_, _| $tolerance);
        }
    )*};
}

one_argument! {
    erf 1e-15;
    erfc 1e-15;
    erfcx 1e-15;
    normal_pdf 1e-15;
    normal_sf 1e-15;
    ln_normal_sf 1e-15;
    mills 1e-15;
    normal_quantile_upper 1e-15;
    gamma 1e-15;
    lambert_w0 1e-15;
    lambert_wm1 1e-15;
}

#[test]
fn ln_gamma_to_its_own_size() {
    let size = |x: &[f64], value: f64| {
        let scale = if x[0] > 0.0 { value.abs() } else { 1f64.max(value.abs()).max((x[0] * x[0].abs().ln()).abs()) };
        2e-15 * scale / value.abs()
    };
    check("ln_gamma", include_str!("cases/ln_gamma.txt"), |x| ln_gamma(x[0]), size);
}

#[test]
fn ln_beta_near_its_zeros_too() {
    check("ln_beta", include_str!("cases/ln_beta.txt"), |x| ln_beta(x[0], x[1]), |_, value| 1e-15 + 1e-29 / value.abs());
}

#[test]
fn owens_t_relative() {
    check("owens_t", include_str!("cases/owens_t.txt"), |x| owens_t(x[0], x[1]), |_, _| 2e-15);
}

#[test]
fn incomplete_gamma_in_both_tails() {
    let table = concat!(include_str!("cases/gamma_inc.txt"), include_str!("cases/gamma_inc_large.txt"));
    check("gamma_p", &column(table, 2, 0), |x| gamma_p(x[0], x[1]), |_, _| TOLERANCE);
    check("gamma_q", &column(table, 2, 1), |x| gamma_q(x[0], x[1]), |_, _| TOLERANCE);
}

#[test]
fn incomplete_beta_in_both_tails() {
    let table = concat!(include_str!("cases/beta_inc.txt"), include_str!("cases/beta_inc_large.txt"));
    check("beta_inc", &column(table, 3, 0), |x| beta_inc(x[0], x[1], x[2]), |_, _| TOLERANCE);
    check("beta_inc_upper", &column(table, 3, 1), |x| beta_inc_upper(x[0], x[1], x[2]), |_, _| TOLERANCE);
}

#[test]
fn gamma_quantiles_to_their_condition() {
    let quantile = |row: &[f64]| if row[0] == 0.0 { gamma_p_inv(row[1], row[2]) } else { gamma_q_inv(row[1], row[2]) };
    check("gamma quantiles", include_str!("cases/gamma_quantile.txt"), quantile, |row, _| 1e-14 * (1.0 + row[3]));
}

#[test]
fn beta_quantiles_to_their_condition() {
    let table = include_str!("cases/beta_quantile.txt");
    let quantile =
        |row: &[f64]| if row[0] == 0.0 { beta_quantile(row[3], row[1], row[2]) } else { beta_quantile_upper(row[3], row[1], row[2]) };
    check("beta quantiles", table, quantile, |row, _| 1e-14 * (1.0 + row[4]));
}

#[test]
fn student_law() {
    let table = include_str!("cases/student.txt");
    let tail = rows(table).iter().map(|r| format!("{:e} {:e} {:e}\n", r[0], r[1], r[2])).collect::<String>();
    check("student_sf", &tail, |x| student_sf(x[1], x[0]), |_, _| TOLERANCE);
    check("student quantiles", table, |x| student_quantile_upper(x[2], x[0]), |x, _| TOLERANCE * (1.0 + x[3]));
}

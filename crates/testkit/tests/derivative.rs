use certus_testkit::derivative::{TOLERANCE, along, gradient, hessian, taylor, taylor_second};

const N: usize = 9;

/// Sum over i of exp(c_i x_i) plus the logarithm of 1 + |x|^2: every derivative is full.
fn f(x: &[f64]) -> f64 {
    x.iter().enumerate().map(|(i, x)| (rate(i) * x).exp()).sum::<f64>() + (1.0 + square(x)).ln()
}

fn rate(i: usize) -> f64 {
    0.3 + 0.2 * i as f64
}

fn square(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

fn df(x: &[f64]) -> Vec<f64> {
    x.iter().enumerate().map(|(i, &x_i)| rate(i) * (rate(i) * x_i).exp() + 2.0 * x_i / (1.0 + square(x))).collect()
}

fn hv(x: &[f64], v: &[f64]) -> Vec<f64> {
    let (s, xv) = (1.0 + square(x), x.iter().zip(v).map(|(x, v)| x * v).sum::<f64>());
    (0..N).map(|i| rate(i).powi(2) * (rate(i) * x[i]).exp() * v[i] + 2.0 * v[i] / s - 4.0 * x[i] * xv / (s * s)).collect()
}

fn point() -> Vec<f64> {
    (0..N).map(|i| (0.7 * i as f64).sin()).collect()
}

#[test]
fn right_derivatives_pass() {
    let x = point();
    assert!(gradient(f, &x, &df(&x), 1e-9).error < 1e-9);
    assert!(hessian(df, |v| hv(&x, v), &x, 1e-9).error < 1e-9);
    assert!(taylor(f, &x, &df(&x)) > 1.9);
    assert!(taylor_second(f, &x, &df(&x), |v| hv(&x, v)) > 2.9);
}

#[test]
fn every_entry_that_is_off_by_a_ten_thousandth_is_named() {
    let x = point();
    for entry in 0..N {
        let mut wrong = df(&x);
        wrong[entry] *= 1.0 + 1e-4;
        let caught = std::panic::catch_unwind(|| gradient(f, &x, &wrong, TOLERANCE)).unwrap_err();
        let message = caught.downcast::<String>().unwrap();
        assert!(message.starts_with(&format!("derivative {entry} is claimed")), "{message}");
        let caught = std::panic::catch_unwind(|| {
            let product = |v: &[f64]| {
                let mut product = hv(&x, v);
                product[entry] *= 1.0 + 1e-4;
                product
            };
            hessian(df, product, &x, TOLERANCE)
        });
        assert!(caught.unwrap_err().downcast::<String>().unwrap().starts_with(&format!("derivative {entry} is claimed")));
        assert!(std::panic::catch_unwind(|| taylor(f, &x, &wrong)).is_err());
    }
}

#[test]
#[should_panic(expected = "a derivative is wrong")]
fn a_hessian_that_is_off_by_a_hundredth_spoils_the_third_order() {
    let x = point();
    let product = |v: &[f64]| hv(&x, v).iter().map(|h| 1.01 * h).collect();
    taylor_second(f, &x, &df(&x), product);
}

#[test]
fn polynomials_of_low_degree_leave_no_remainder() {
    assert_eq!(taylor(|x| 3.0 * x[0] - x[1], &[1.0, 2.0], &[3.0, -1.0]), f64::INFINITY);
}

#[test]
fn zero_derivatives_are_told_from_wrong_ones() {
    gradient(|x| (x[0] - 1.0).powi(2) + 5.0, &[1.0, 3.0], &[0.0, 0.0], TOLERANCE);
    along(|x| vec![x[0] - x[1], 7.0], &[1.0, 1e6], &[1.0, 1.0], &[0.0, 0.0], TOLERANCE);
    along(|_| vec![0.0], &[1.0], &[1.0], &[0.0], TOLERANCE);
    assert!(std::panic::catch_unwind(|| gradient(|x| x[0] * x[0] + 5.0, &[0.0], &[1e-13], TOLERANCE)).is_ok());
    assert!(std::panic::catch_unwind(|| gradient(|x| x[0] * x[0] + 5.0, &[0.0], &[1e-4], TOLERANCE)).is_err());
}

#[test]
#[should_panic(expected = "differences give")]
fn a_derivative_that_is_nan_is_wrong() {
    gradient(|x| x[0] + x[1], &[1.0, 1.0], &[1.0, f64::NAN], TOLERANCE);
}

#[test]
#[should_panic(expected = "cannot tell")]
fn a_function_that_is_not_smooth_is_not_judged() {
    gradient(|x| x[0].cbrt(), &[0.0], &[1.0], TOLERANCE);
}

#[test]
fn a_function_that_overflows_at_large_steps_is_judged_at_small_ones() {
    gradient(|x| (100.0 * x[0]).exp(), &[7.0], &[100.0 * 700f64.exp()], TOLERANCE);
}

use certus_contract::Status;
use certus_linalg::operator::LinearOperator;
use certus_linalg::product::{gram, matvec};
use certus_linalg::{Error, Mat, Matrix};
use certus_newton::model::{Curvature, Dense, DenseSystem, Krylov, Lbfgs, LevenbergMarquardt, Model};
use certus_newton::{Minimiser, Objective, Stop};
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Array, ScaledValue};
use proptest::prelude::*;

/// `½ |exp(A x) - b|²`, by the rows of A.
struct Exponential {
    a: Array,
    b: Vec<f64>,
}

impl Exponential {
    fn new(seed: u64, n: usize, d: usize) -> Self {
        let entry = |k: usize| unit_interval(hash64(seed, k as u64)) - 0.5;
        let a = Array::from_fn(n, d, |i, j| entry(i * d + j));
        let x = (0..d).map(|j| 2.0 * entry(n * d + j)).collect::<Vec<_>>();
        let b = Matrix::from(&a).times(&x).iter().enumerate().map(|(i, z)| z.exp() + 0.1 * entry(2 * n * d + i)).collect();
        Exponential { a, b }
    }

    fn weighted(&self, weights: impl Fn(usize) -> f64) -> Mat<f64> {
        let d = self.a.cols();
        Mat::from_fn(d, d, |i, j| (0..self.a.rows()).map(|k| weights(k) * self.a.row(k)[i] * self.a.row(k)[j]).sum())
    }

    fn hessian(&self, u: &[f64]) -> Mat<f64> {
        self.weighted(|k| u[k] * (2.0 * u[k] - self.b[k]))
    }
}

impl Objective for Exponential {
    type Point = Vec<f64>;
    fn dimension(&self) -> usize {
        self.a.cols()
    }
    fn point(&self, x: &[f64]) -> Option<Vec<f64>> {
        let u = Matrix::from(&self.a).times(x).iter().map(|z| z.exp()).collect::<Vec<_>>();
        u.iter().all(|u| u.is_finite() && *u < 1e150).then_some(u)
    }
    fn loss(&self, u: &Vec<f64>) -> ScaledValue {
        u.iter().zip(&self.b).map(|(u, b)| 0.5 * (u - b).powi(2)).sum::<f64>().into()
    }
    fn gradient(&self, u: &Vec<f64>) -> Vec<f64> {
        let g = u.iter().zip(&self.b).map(|(u, b)| u * (u - b)).collect::<Vec<_>>();
        Matrix::from(&self.a).transpose_times(&g)
    }
}

struct Products;

impl Curvature<Exponential> for Products {
    fn update(&mut self, _: &Exponential, _: &Vec<f64>, _: &[f64]) -> Result<(), Error> {
        Ok(())
    }
    fn times(&self, objective: &Exponential, u: &Vec<f64>, v: &[f64]) -> Vec<f64> {
        matvec(objective.hessian(u).as_ref(), v)
    }
    fn precondition(&self, r: &[f64]) -> Vec<f64> {
        r.to_vec()
    }
}

fn run<M: Model<Exponential>>(problem: &Exponential, mut model: M, iterations: usize) -> (Vec<f64>, Stop) {
    let minimiser = Minimiser { max_iterations: iterations, ..Minimiser::default() };
    let found = minimiser.minimise(problem, &mut model, vec![0.0; problem.dimension()]).unwrap();
    assert!(found.trace.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12), "the loss never grows");
    (found.x, found.stop)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn all_models_find_one_minimum(seed in any::<u64>(), d in 1usize..6) {
        let problem = Exponential::new(seed, 8 * d + 5, d);
        let (x, stop) = run(&problem, Dense::new(vec![1.0; d], |p: &Exponential, u: &Vec<f64>| Ok(p.hessian(u))), 100);
        prop_assert_eq!(stop.status(), Status::Converged);
        let near = |other: &[f64], tolerance: f64| x.iter().zip(other).all(|(a, b)| (a - b).abs() < tolerance * (1.0 + a.abs()));
        let (krylov, stop) = run(&problem, Krylov::new(Products, 100), 200);
        prop_assert_eq!(stop.status(), Status::Converged);
        prop_assert!(near(&krylov, 1e-7));
        let gauss_newton = |p: &Exponential, u: &Vec<f64>| Ok(p.weighted(|k| u[k] * u[k]));
        let (damped, stop) = run(&problem, LevenbergMarquardt::new(DenseSystem::new(vec![1.0; d], gauss_newton), 1.0), 500);
        prop_assert_eq!(stop.status(), Status::Converged);
        prop_assert!(near(&damped, 1e-6));
        let (first_order, _) = run(&problem, Lbfgs::new(10), 2000);
        prop_assert!(near(&first_order, 1e-4));
    }

    #[test]
    fn steps_in_a_ball_minimise_the_model(seed in any::<u64>(), d in 1usize..7, radius in 1e-3f64..10.0, indefinite in any::<bool>()) {
        let entry = |k: usize| unit_interval(hash64(seed, k as u64)) - 0.5;
        let mut h = gram(Mat::from_fn(d + 2, d, |i, j| entry(i * d + j)).as_ref());
        if indefinite {
            (0..d).for_each(|i| h[(i, i)] -= 0.3);
        }
        let g = (0..d).map(|i| entry(1000 + i)).collect::<Vec<_>>();
        let problem = Exponential::new(1, 5, d);
        let point = problem.point(&vec![0.0; d]).unwrap();
        let mut model = Dense::new(vec![1.0; d], |_: &Exponential, _: &Vec<f64>| Ok(h.clone()));
        model.update(&problem, &point, &[], &g).unwrap();
        let step = model.step(&problem, &point, &g, radius).unwrap();
        let value = |s: &[f64]| s.iter().zip(&g).map(|(s, g)| s * g).sum::<f64>()
            + 0.5 * matvec(h.as_ref(), s).iter().zip(s).map(|(h, s)| h * s).sum::<f64>();
        let length = |s: &[f64]| s.iter().map(|s| s * s).sum::<f64>().sqrt();
        prop_assert!((step.decrease + value(&step.step)).abs() < 1e-10 * (1.0 + step.decrease));
        prop_assert!(length(&step.step) <= radius * (1.0 + 1e-8) && (step.length - length(&step.step)).abs() < 1e-9 * (1.0 + radius));
        // No other step within the ball does better.
        for k in 0..50 {
            let mut other = (0..d).map(|i| entry(2000 + k * d + i)).collect::<Vec<_>>();
            let scale = radius * unit_interval(hash64(seed, 7 + k as u64)) / length(&other);
            other.iter_mut().for_each(|s| *s *= scale);
            prop_assert!(value(&other) >= -step.decrease - 1e-9);
        }
        for factor in [0.9, 0.99] {
            let other = step.step.iter().map(|s| factor * s).collect::<Vec<_>>();
            prop_assert!(value(&other) >= -step.decrease - 1e-12);
        }
    }
}

/// `x² y² - x² - y² / 2`: a saddle of negative curvature at 0, without a gradient.
struct Saddle;

impl Objective for Saddle {
    type Point = [f64; 2];
    fn dimension(&self) -> usize {
        2
    }
    fn point(&self, x: &[f64]) -> Option<[f64; 2]> {
        Some([x[0], x[1]])
    }
    fn loss(&self, [x, y]: &[f64; 2]) -> ScaledValue {
        (10.0 + (x * x - 1.0).powi(2) + y * y).into()
    }
    fn gradient(&self, [x, y]: &[f64; 2]) -> Vec<f64> {
        vec![4.0 * x * (x * x - 1.0), 2.0 * y]
    }
}

#[test]
fn a_saddle_without_a_gradient_is_left() {
    let hessian = |_: &Saddle, [x, _]: &[f64; 2]| {
        Ok(Mat::from_fn(2, 2, |i, j| {
            if i != j {
                0.0
            } else if i == 0 {
                12.0 * x * x - 4.0
            } else {
                2.0
            }
        }))
    };
    let found = Minimiser::default().minimise(&Saddle, &mut Dense::new(vec![1.0; 2], hessian), vec![0.0, 0.0]).unwrap();
    assert_eq!(found.stop, Stop::Gradient);
    assert!((found.x[0] - 1.0).abs() < 1e-9 && found.x[1].abs() < 1e-12);
}

#[test]
fn the_unit_of_the_derivatives_does_not_matter() {
    struct Scaled(Exponential, f64);
    impl Objective for Scaled {
        type Point = Vec<f64>;
        fn dimension(&self) -> usize {
            self.0.dimension()
        }
        fn point(&self, x: &[f64]) -> Option<Vec<f64>> {
            self.0.point(x)
        }
        fn loss(&self, u: &Vec<f64>) -> ScaledValue {
            self.0.loss(u) * ScaledValue::exp(self.1)
        }
        fn log_unit(&self, _: &Vec<f64>) -> f64 {
            self.1
        }
        fn gradient(&self, u: &Vec<f64>) -> Vec<f64> {
            self.0.gradient(u)
        }
    }
    let minimum = |log_unit: f64| {
        let problem = Scaled(Exponential::new(5, 40, 4), log_unit);
        let mut model = Dense::new(vec![1.0; 4], |p: &Scaled, u: &Vec<f64>| Ok(p.0.hessian(u)));
        Minimiser::default().minimise(&problem, &mut model, vec![0.0; 4]).unwrap()
    };
    let (plain, huge) = (minimum(0.0), minimum(5000.0));
    assert_eq!(plain.x, huge.x);
    assert_eq!(huge.stop.status(), Status::Converged);
}

#[test]
fn every_reason_to_stop_is_told() {
    let problem = Exponential::new(3, 40, 3);
    let model = || Dense::new(vec![1.0; 3], |p: &Exponential, u: &Vec<f64>| Ok(p.hessian(u)));
    let stop = |minimiser: Minimiser, x: Vec<f64>| minimiser.minimise(&problem, &mut model(), x).unwrap().stop;
    assert_eq!(stop(Minimiser::default(), vec![0.0; 3]), Stop::Gradient);
    assert_eq!(stop(Minimiser { max_iterations: 1, ..Minimiser::default() }, vec![0.0; 3]), Stop::Iterations);
    assert_eq!(stop(Minimiser { gradient_tolerance: 0.0, ..Minimiser::default() }, vec![0.0; 3]), Stop::Decrease);
    assert_eq!(stop(Minimiser::default(), vec![f64::NAN; 3]), Stop::NoStart);
    let observer = |_: &certus_contract::Event| std::ops::ControlFlow::Break(());
    let stopped = Minimiser::default().minimise_with(&problem, &mut model(), vec![0.0; 3], observer).unwrap();
    assert_eq!((stopped.stop, stopped.iterations), (Stop::Observer, 1));
}

#[test]
fn an_approximate_hessian_contracts_the_energy_but_not_the_euclidean_error() {
    // H = diag(1, 1e4) and H + 0.1 H^(1/2) [[0, 1], [1, 0]] H^(1/2), which is right to a tenth.
    let (h, eps) = ([1.0, 1e4f64], 0.1);
    let off = eps * (h[0] * h[1]).sqrt();
    let determinant = h[0] * h[1] - off * off;
    // I - Ht⁻¹ H, and the same between the square roots of H.
    let euclidean = Mat::from_fn(2, 2, |i, j| {
        let inverse = if i == j { h[1 - i] / determinant } else { -off / determinant };
        f64::from(u8::from(i == j)) - inverse * h[j]
    });
    let energy = Mat::from_fn(2, 2, |i, j| h[i].sqrt() * euclidean[(i, j)] / h[j].sqrt());
    let norm = |m: &Mat<f64>| certus_linalg::factor::singular_values(m.as_ref()).unwrap()[0];
    assert!((norm(&euclidean) - 10.101).abs() < 1e-3 && (norm(&energy) - 0.1111).abs() < 1e-4);
}

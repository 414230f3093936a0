//! A fit that looks harmless and is not: a polynomial surface through noisy points, in powers of x and y.
//!
//! The powers are nearly dependent, the more the higher the degree. Plain LSMR needs more and more passes over the data and
//! at last runs out of them. With a sketch the number of passes stays the same, and the certificate says how many digits of
//! the coefficients are meant. Products of Chebyshev polynomials span the same space without the trouble.
//!
//! ```sh
//! cargo run -p certus-linalg --example ill_conditioned
//! ```
#![allow(clippy::disallowed_macros, reason = "an example prints what it finds")]

use certus_linalg::Error;
use certus_linalg::least_squares::{Certify, Method, Problem, Solution, Solver};
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Array, Seed};

const POINTS: u64 = 20_000;

fn main() -> Result<(), Error> {
    let points = points();
    let b = points.iter().map(|&[x, y, noise]| (4.0 * x * (1.0 + y)).sin() + 0.1 * noise).collect::<Vec<_>>();
    println!("{POINTS} points; passes over the data to a backward error of 1e-12, at most 1000\n");
    println!("degree  columns  basis      method  status          passes  backward error  forward bound  certificate");
    let mut last = None;
    for degree in [4, 6, 8] {
        let powers = surface(&points, degree, |x, k| x.powi(k as i32));
        let chebyshev = surface(&points, degree, |x, k| (k as f64 * (2.0 * x - 1.0).acos()).cos());
        for (basis, method, a) in
            [("powers", Method::Lsmr, &powers), ("powers", Method::Sketch, &powers), ("Chebyshev", Method::Lsmr, &chebyshev)]
        {
            let solution = Solver::default().with_method(method).with_certify(Certify::Full).solve(&Problem::new(a, &b)?)?;
            print!("{degree:6}  {:7}  {basis:9}  ", a.cols());
            print_row(method, &solution);
            if method == Method::Sketch {
                last = Some(solution);
            }
        }
    }
    if let Some(solution) = last {
        println!("\nOf the last solve by a sketch:\n\n{}", solution.certificate);
    }
    Ok(())
}

/// Places in the unit square, each with a number between -1 and 1 for the noise there.
fn points() -> Vec<[f64; 3]> {
    let keys = ["x", "y", "noise"].map(|purpose| Seed(1).key(purpose));
    let uniform = |key, i| unit_interval(hash64(key, i));
    (0..POINTS).map(|i| [uniform(keys[0], i), uniform(keys[1], i), 2.0 * uniform(keys[2], i) - 1.0]).collect()
}

/// One row a point; one column for each product of a function of x and one of y whose degrees add up to at most `degree`.
fn surface(points: &[[f64; 3]], degree: usize, function: impl Fn(f64, usize) -> f64) -> Array {
    let degrees = (0..=degree).flat_map(|i| (0..=degree - i).map(move |j| (i, j))).collect::<Vec<_>>();
    Array::from_fn(points.len(), degrees.len(), |row, column| {
        let ([x, y, _], (i, j)) = (points[row], degrees[column]);
        function(x, i) * function(y, j)
    })
}

fn print_row(method: Method, solution: &Solution) {
    let (facts, method) = (&solution.facts, format!("{method:?}").to_lowercase());
    let bound = facts.forward_bound.map_or_else(|| "none".to_owned(), |bound| format!("{bound:.1e}"));
    let (status, verdict) = (solution.status.to_string(), solution.certificate.verdict());
    println!("{method:6}  {status:14}  {:6}  {:14.1e}  {bound:>13}  {verdict}", facts.iterations, facts.backward_error);
}

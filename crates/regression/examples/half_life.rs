//! How fast does a drug leave the blood, how sure is the answer, and what would one more reading change?
//!
//! Six people, eleven readings each: concentration = exp(level of the person - rate * hours), with noise. A logarithm of the readings
//! would give the small ones, which are mostly noise, the same say as the large ones; the fit on the original scale does not.
//!
//! ```sh
//! cargo run -p certus-regression --example half_life
//! ```
#![allow(clippy::disallowed_macros, reason = "an example prints what it finds")]

use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Csr, Seed};
use certus_regression::{Error, Form, Link, Outcome, Problem, Sensitivity, Solver};

const PEOPLE: usize = 6;
const HOURS: [f64; 11] = [0.25, 0.5, 0.75, 1.0, 1.25, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
const RATE: f64 = 0.4;

fn main() -> Result<(), Error> {
    // One column a person, and one for the hours: sparse, two entries a row.
    let rows = PEOPLE * HOURS.len();
    let hours = |row: usize| HOURS[row % HOURS.len()];
    let indices = (0..rows).flat_map(|row| [(row / HOURS.len()) as u32, PEOPLE as u32]).collect();
    let values = (0..rows).flat_map(|row| [1.0, -hours(row)]).collect();
    let a = Csr::new(rows, PEOPLE + 1, (0..=rows).map(|row| 2 * row).collect(), indices, values)?;

    let noise = |row: usize| 0.04 * (2.0 * unit_interval(hash64(Seed(1).key("noise"), row as u64)) - 1.0);
    let level = |person: usize| 0.5 + 0.1 * person as f64;
    let b = (0..rows).map(|row| (level(row / HOURS.len()) - RATE * hours(row)).exp() + noise(row)).collect::<Vec<_>>();

    let problem = Problem::new(&a, &b, Link::Exp, Form::Plain)?;
    let fit = Solver::default().solve(&problem)?;
    let rate = fit.x[PEOPLE];
    println!("rate {rate:.4} an hour (the data were made with {RATE}): half-life {:.3} hours", 2f64.ln() / rate);
    match &fit.outcome {
        Outcome::ProvenLocalMinimum { radius } | Outcome::ProvenGlobalMinimum { radius } => {
            println!("a minimum of the loss lies within {radius:.1e} of this answer: proven, rounding included");
        }
        Outcome::NotProven { reason } => println!("nothing is proven: {reason}"),
    }

    // What the noise does to the answer, to first order.
    let residual_variance = 2.0 * fit.loss.to_f64().unwrap_or(f64::NAN) / (rows - PEOPLE - 1) as f64;
    let sensitivity = Sensitivity::new(&problem, &fit.x)?;
    let variance = sensitivity.covariance(residual_variance)?.row(PEOPLE)[PEOPLE];
    println!("standard error of the rate: {:.4}", variance.sqrt());

    // The first person's last reading was a tenth higher: how far does the rate move?
    let mut change = vec![0.0; rows];
    change[HOURS.len() - 1] = 0.1 * b[HOURS.len() - 1];
    let predicted = sensitivity.to_target(&change)?[PEOPLE];
    let moved = b.iter().zip(&change).map(|(b, c)| b + c).collect::<Vec<_>>();
    let refitted = Solver::default().solve(&problem.with_target(&moved)?)?.x[PEOPLE];
    println!(
        "with that reading a tenth higher the rate moves by {predicted:+.2e} by the derivative, {:+.2e} when fitted again",
        refitted - rate
    );

    println!("\n{}", fit.certificate);
    Ok(())
}

//! What limited-memory BFGS remembers: the last few steps, and what they did to the gradient.

use std::collections::VecDeque;

use crate::sum::{norm2, par_dot};

/// The last few steps and changes of the gradient, and the inverse Hessian that they suggest.
///
/// Cost of a product: 4 m d for m pairs kept; memory 2 m d. The same bits for any number of threads.
///
/// ```
/// use certus_numeric::lbfgs::History;
/// // Of a quadratic function in one dimension, one pair tells all: f'' = 8.
/// let mut history = History::new(5);
/// assert!(history.push(vec![0.5], vec![4.0]));
/// assert_eq!(history.product(&[16.0]), [2.0]);
/// ```
///
/// Source: Nocedal, Updating quasi-Newton matrices with limited storage, Math. Comp. 35 (1980).
#[derive(Clone, Debug)]
pub struct History {
    kept: usize,
    pairs: VecDeque<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

impl History {
    /// Nothing yet; later the last `kept` pairs.
    pub fn new(kept: usize) -> Self {
        History { kept, pairs: VecDeque::new() }
    }

    /// Whether there is no pair: products are the vector itself.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Takes in a step and by how much it changed the gradient. A pair without curvature (as far as rounding tells) is left out: false.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn push(&mut self, step: Vec<f64>, change: Vec<f64>) -> bool {
        let curvature = par_dot(&step, &change);
        // Not `<=`: NaN is left out too.
        let curved = curvature > 1e-10 * norm2(&step) * norm2(&change);
        if curved {
            self.pairs.push_back(Pair { step, change, curvature });
            if self.pairs.len() > self.kept {
                self.pairs.pop_front();
            }
        }
        curved
    }

    /// `B⁻¹ g` by the two-loop recursion, where B is the Hessian as the pairs tell it.
    ///
    /// # Panics
    /// If the length is not that of the pairs.
    pub fn product(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut weights = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let weight = par_dot(&pair.step, &q) / pair.curvature;
            q.iter_mut().zip(&pair.change).for_each(|(q, y)| *q -= weight * y);
            weights.push(weight);
        }
        if let Some(pair) = self.pairs.back() {
            let scale = pair.curvature / par_dot(&pair.change, &pair.change);
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for (pair, weight) in self.pairs.iter().zip(weights.into_iter().rev()) {
            let back = par_dot(&pair.change, &q) / pair.curvature;
            q.iter_mut().zip(&pair.step).for_each(|(q, s)| *q += (weight - back) * s);
        }
        q
    }
}

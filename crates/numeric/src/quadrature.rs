//! Gauss-Legendre quadrature, over one interval or over panels.

use crate::special::double_double::Dd;
use certus_contract::InputError;

/// The largest order of a rule: its nodes cost order^2 operations once.
pub const MAX_ORDER: usize = 2048;

/// The Gauss-Legendre rule of some order n: exact for polynomials of degree 2n - 1.
///
/// Nodes and weights are right to the last bit or the one before, for every order. Sums run over the nodes in ascending
/// order, panels in the order given: the same bits every time.
///
/// ```
/// use certus_numeric::quadrature::GaussLegendre;
/// let rule = GaussLegendre::new(20)?;
/// assert!((rule.integrate(f64::exp, 0.0, 1.0) - (1f64.exp() - 1.0)).abs() < 1e-15);
/// // A kink belongs at the end of a panel.
/// let integral = rule.integrate_panels(|x| (x - 0.3).abs(), &[0.0, 0.3, 1.0]);
/// assert!((integral.value - 0.29).abs() < 1e-15 && integral.error < 1e-15);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GaussLegendre {
    nodes: Vec<f64>,
    weights: Vec<f64>,
    /// A rule of about half the order, for the error estimate; empty for orders below 2.
    coarse: Vec<(f64, f64)>,
}

/// An integral and an estimate of its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Integral {
    /// The integral by the full rule.
    pub value: f64,
    /// The sum over the panels of |full rule - rule of half the order|: for smooth integrands far above the true error, and
    /// not a proven bound.
    pub error: f64,
}

impl GaussLegendre {
    /// The rule of this order.
    ///
    /// # Errors
    /// `InvalidParameter` unless 1 <= order <= [`MAX_ORDER`].
    pub fn new(order: usize) -> Result<Self, InputError> {
        if (1..=MAX_ORDER).contains(&order) {
            Ok(Self::with_order(order))
        } else {
            Err(InputError::parameter("order", order, format!("from 1 to {MAX_ORDER}")))
        }
    }

    /// The rule of a constant order, at least 1.
    pub(crate) fn with_order(order: usize) -> Self {
        let (nodes, weights) = nodes_and_weights(order);
        let coarse = if order < 2 {
            Vec::new()
        } else {
            let (x, w) = nodes_and_weights(order.div_ceil(2));
            x.into_iter().zip(w).collect()
        };
        GaussLegendre { nodes, weights, coarse }
    }

    /// The nodes in (-1, 1), ascending.
    pub fn nodes(&self) -> &[f64] {
        &self.nodes
    }

    /// The weights of the nodes: positive, with sum 2.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The integral of `f` from `a` to `b`: one value of `f` a node, never at the ends. Negative where b < a.
    pub fn integrate(&self, mut f: impl FnMut(f64) -> f64, a: f64, b: f64) -> f64 {
        let (centre, half) = (0.5 * a + 0.5 * b, 0.5 * b - 0.5 * a);
        half * self.nodes.iter().zip(&self.weights).map(|(x, w)| w * f(centre + half * x)).sum::<f64>()
    }

    /// The integral of `f` over the panels between neighbouring `ends`, panel by panel, and an estimate of its error.
    ///
    /// Put the ends where `f` or a derivative jumps, and closer where it changes fast. Half as many values of `f` again pay for
    /// the estimate; it is infinite for the rule of order 1, and 0 where there are less than two ends.
    pub fn integrate_panels(&self, mut f: impl FnMut(f64) -> f64, ends: &[f64]) -> Integral {
        let mut total = Integral { value: 0.0, error: 0.0 };
        for pair in ends.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let fine = self.integrate(&mut f, a, b);
            let (centre, half) = (0.5 * a + 0.5 * b, 0.5 * b - 0.5 * a);
            total.value += fine;
            total.error += if self.coarse.is_empty() {
                f64::INFINITY
            } else {
                (fine - half * self.coarse.iter().map(|(x, w)| w * f(centre + half * x)).sum::<f64>()).abs()
            };
        }
        total
    }
}

/// The ends of `count` equal panels of [a, b]: `count + 1` points, the first and last exactly `a` and `b`.
pub fn equal_panels(a: f64, b: f64, count: usize) -> Vec<f64> {
    let step = |k: usize| if k == count { b } else { a + (b - a) * (k as f64 / count as f64) };
    (0..=count).map(step).collect()
}

/// Roots of the Legendre polynomial by Newton's method, the last step and the weights in double-double arithmetic, where the
/// rounding of the recurrence does not show.
fn nodes_and_weights(order: usize) -> (Vec<f64>, Vec<f64>) {
    let n = order as f64;
    let mut nodes = vec![0.0; order];
    let mut weights = vec![0.0; order];
    for k in 0..order.div_ceil(2) {
        // Counted from the upper end (Tricomi's estimate).
        let theta = std::f64::consts::PI * (4.0 * k as f64 + 3.0) / (4.0 * n + 2.0);
        let mut x = if 2 * k + 1 == order { 0.0 } else { (1.0 - (n - 1.0) / (8.0 * n * n * n)) * theta.cos() };
        for _ in 0..10 {
            let (value, derivative) = legendre(order, x);
            let step = value / derivative;
            x -= step;
            if step.abs() < 1e-14 {
                break;
            }
        }
        let (value, derivative) = legendre_pair(order, Dd::from(x));
        let root = Dd::from(x) - value / derivative;
        let (_, derivative) = legendre_pair(order, root);
        let weight = (Dd::from(2.0) / ((Dd::from(1.0) - root * root) * derivative * derivative)).value();
        let root = if 2 * k + 1 == order { 0.0 } else { root.value() };
        (nodes[order - 1 - k], weights[order - 1 - k]) = (root, weight);
        (nodes[k], weights[k]) = (-root, weight);
    }
    (nodes, weights)
}

/// P_n(x) and its derivative.
fn legendre(order: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for j in 2..=order {
        let j = j as f64;
        (before, value) = (value, ((2.0 * j - 1.0) * x * value - (j - 1.0) * before) / j);
    }
    (value, order as f64 * (x * value - before) / (x * x - 1.0))
}

/// P_n(x) and its derivative, in pairs.
fn legendre_pair(order: usize, x: Dd) -> (Dd, Dd) {
    let (mut before, mut value) = (Dd::from(1.0), x);
    for j in 2..=order {
        let j = j as f64;
        let next = (Dd::from(2.0 * j - 1.0) * x * value - Dd::from(j - 1.0) * before) / Dd::from(j);
        (before, value) = (value, next);
    }
    (value, Dd::from(order as f64) * (x * value - before) / (x * x - Dd::from(1.0)))
}

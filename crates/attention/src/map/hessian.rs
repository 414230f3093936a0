//! The Hessian of a map problem as a matrix: `Σ (a aᵀ) ⊗ N`, N the curvature of a row's logits seen through the keys.

use certus_linalg::Mat;
use certus_linalg::product::Destination;
use certus_linalg::view::rows_of;

use super::pass::Point;
use super::problem::Problem;
use crate::blocks::{Block, accumulate, add};
use crate::scores::{product, rows, shaped};
use crate::symmetric::{KEYS, PARTIAL, distinct, expand, squares};

#[derive(Default)]
struct Scratch {
    left: Vec<f64>,
    map: Vec<f64>,
    p: Vec<f64>,
    g: Vec<f64>,
    nu: Vec<f64>,
    of_keys: Vec<f64>,
    n: Vec<f64>,
    means: Vec<f64>,
    slopes: Vec<f64>,
    queries: Vec<f64>,
}

impl Problem<'_> {
    /// The Hessian at a point, in its unit, regularisers included. Cost: n m d2² / 2 + n d1² d2² / 4 multiply-adds.
    pub(crate) fn hessian(&self, point: &Point) -> Mat<f64> {
        let scores = &self.scores;
        let (of_queries, width) = (distinct(scores.d1), distinct(scores.d2));
        let of_block = |sum: &mut Vec<f64>, scratch: &mut Scratch, k: usize, block: &Block| {
            let (count, seen) = (block.rows.len(), block.seen);
            if seen == 0 {
                return;
            }
            let Scratch { left, map, p, g, nu, of_keys, n, means, slopes, queries } = scratch;
            let head = &scores.sequences[block.sequence].heads[0];
            let f = self.map_of(point, k, left, map);
            let (p, g, nu) = (shaped(p, 1, seen), shaped(g, count, seen), shaped(nu, count, seen));
            let of_rows = block.rows.clone().enumerate();
            let forms = of_rows.map(|(r, i)| {
                let of = r * seen..(r + 1) * seen;
                self.row_form(point, block.sequence, i, &f[of.clone()], p, Some((&mut g[of.clone()], &mut nu[of])))
            });
            let forms = forms.collect::<Vec<_>>();
            let n = shaped(n, count, width);
            n.fill(0.0);
            for first in (0..seen).step_by(KEYS) {
                let keys = first..seen.min(first + KEYS);
                let products = shaped(of_keys, keys.len(), width);
                squares(&head.a2.as_slice()[keys.start * scores.d2..keys.end * scores.d2], scores.d2, products);
                let of_block = rows_of(g, count, seen).subcols(first, keys.len());
                product(n, Destination::Add, 1.0, of_block, rows_of(products, keys.len(), width));
            }
            let (means, slopes) = (shaped(means, count, scores.d2), shaped(slopes, count, scores.d2));
            product(means, Destination::Replace, 1.0, rows_of(f, count, seen), rows(head.a2, 0..seen));
            product(slopes, Destination::Replace, 1.0, rows_of(nu, count, seen), rows(head.a2, 0..seen));
            for (r, n) in n.chunks_exact_mut(width).enumerate() {
                let (z, v) = (&means[r * scores.d2..(r + 1) * scores.d2], &slopes[r * scores.d2..(r + 1) * scores.d2]);
                let mut at = 0;
                for a in 0..scores.d2 {
                    for b in a..scores.d2 {
                        n[at] = forms[r].kappa * (n[at] - z[a] * v[b] - v[a] * z[b] + forms[r].gamma * z[a] * z[b]);
                        at += 1;
                    }
                }
            }
            let queries = scores.sequences[block.sequence].squares(0, block.rows.clone(), queries);
            product(
                sum,
                Destination::Add,
                scores.scale * scores.scale,
                rows_of(queries, count, of_queries).transpose(),
                rows_of(n, count, width),
            );
        };
        let size = of_queries * width;
        let zero = || vec![0.0; size];
        let mut sum = accumulate(&scores.blocks, (PARTIAL / size).max(2), zero, of_block, |total, part| add(total, &part));
        let unit = if self.is_regularised() { (-point.log_unit).exp() } else { 0.0 };
        if scores.logit_reg > 0.0 {
            scores.add_metric(0, unit * scores.logit_reg, &mut sum);
        }
        let mut hessian = expand(&sum, scores.d1, scores.d2);
        (0..scores.of_x()).for_each(|j| hessian[(j, j)] += unit * scores.ridge);
        hessian
    }
}

//! Loss, gradient and products with the Hessian of a layer, in passes over blocks of rows.
//!
//! Of row i with attention f over the values h_j (rows of H = A3 Y), residual c and q = H c: the gradient in its logits is
//! `2 f o (q - <f, q>)`, and `<f, q> = <c, Hᵀ f>` needs no pass over the keys.

use certus_linalg::Error;
use certus_linalg::product::{Destination, matmul_here, matmul_into};
use certus_linalg::view::rows_of;
use certus_linalg::{MatMut, MatRef};
use certus_numeric::sum::{dot, par_dot};

use super::problem::Problem;
use super::values::ValuesSystem;
use crate::blocks::{Block, PARTS, accumulate, add};
use crate::rank_one;
use crate::scores::{product, rows, shaped};

/// What is kept of a point (X, Y).
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) x: Vec<f64>,
    /// Heads one below the other, each d3 x dv.
    pub(crate) y: Vec<f64>,
    /// For each sequence the heads' `F A3`, side by side.
    pub(crate) z: Vec<Vec<f64>>,
    /// For each sequence the residual.
    pub(crate) c: Vec<Vec<f64>>,
    /// For each sequence and head `A3 Y`.
    pub(crate) h: Vec<Vec<Vec<f64>>>,
    /// For each block the heads' attention maps, where they are few enough to keep.
    pub(crate) maps: Option<Vec<Vec<f64>>>,
    /// The whole loss.
    pub(crate) loss: f64,
    /// What Y was solved with, where it was.
    pub(crate) values: Option<ValuesSystem>,
}

/// Which curvature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Curvature {
    /// The Hessian.
    #[default]
    Exact,
    /// Its part without second derivatives of the outputs: positive semidefinite.
    GaussNewton,
}

/// Entries of attention maps that are kept for later passes at the same point.
const KEPT: usize = 1 << 24;

#[derive(Default)]
struct Scratch {
    left: Vec<f64>,
    map: Vec<f64>,
    /// The change of each head's map.
    changes: Vec<Vec<f64>>,
    q: Vec<f64>,
    dq: Vec<f64>,
    dz: Vec<f64>,
    dc: Vec<f64>,
    out: Vec<f64>,
}

/// What a visit of all maps gives.
struct Visited {
    /// For each sequence the heads' `F A3`, side by side.
    z: Vec<Vec<f64>>,
    /// For each block the heads' maps, if they were to be kept.
    maps: Option<Vec<Vec<f64>>>,
    /// What the visitor added up.
    sum: Vec<f64>,
}

impl Problem<'_> {
    /// Whether the maps of a point are few enough to be kept.
    pub(crate) fn keeps_maps(&self) -> bool {
        self.scores.entries() * self.scores.heads <= KEPT
    }

    /// The maps of a block's heads, one after the other.
    fn attend(&self, x: &[f64], block: &Block, left: &mut Vec<f64>, maps: &mut [f64]) {
        let (sequence, size) = (&self.scores.sequences[block.sequence], block.rows.len() * block.seen);
        for (h, map) in maps.chunks_exact_mut(size).enumerate() {
            let x = self.scores.head(x, h);
            sequence.heads[h].map(x, self.scores.scale, &sequence.visible, block.rows.clone(), block.seen, left, map);
        }
    }

    /// The outputs `F A3` of a block's heads, side by side, from their maps.
    fn outputs_of(&self, block: &Block, maps: &[f64]) -> Vec<f64> {
        let (width, count, seen) = (self.rows_of_y(), block.rows.len(), block.seen);
        let mut z = vec![0.0; count * width];
        for (h, values) in self.outputs[block.sequence].values.iter().enumerate().filter(|_| seen > 0) {
            let z = MatMut::from_row_major_slice_mut(&mut z, count, width).subcols_mut(h * self.d3, self.d3);
            let map = rows_of(&maps[h * count * seen..(h + 1) * count * seen], count, seen);
            matmul_here(z, Destination::Replace, 1.0, map, rows(values, 0..seen));
        }
        z
    }

    /// Calls `visit` with each block, its maps, and their outputs; it may add to a vector of this length.
    fn visit_maps(
        &self,
        x: &[f64],
        keep: bool,
        length: usize,
        visit: impl Fn(&mut [f64], &mut Scratch, &Block, &[f64], &[f64]) + Sync,
    ) -> Visited {
        type Done = (Vec<(Vec<f64>, Vec<f64>)>, Vec<f64>);
        let of_block = |(done, sum): &mut Done, scratch: &mut Scratch, _: usize, block: &Block| {
            let size = self.scores.heads * block.rows.len() * block.seen;
            let (mut maps, mut left) = (std::mem::take(&mut scratch.map), std::mem::take(&mut scratch.left));
            maps.resize(size, 0.0);
            if size > 0 {
                self.attend(x, block, &mut left, &mut maps);
            }
            let z = self.outputs_of(block, &maps);
            scratch.left = left;
            visit(sum, scratch, block, &maps, &z);
            if keep {
                done.push((z, maps));
            } else {
                done.push((z, Vec::new()));
                scratch.map = maps;
            }
        };
        let merge = |total: &mut Done, part: Done| {
            total.0.extend(part.0);
            add(&mut total.1, &part.1);
        };
        let zero = || (Vec::new(), vec![0.0; length]);
        let (done, sum) = accumulate(&self.scores.blocks, PARTS, zero, of_block, merge);
        let mut z = self.outputs.iter().map(|s| Vec::with_capacity(s.target.rows() * self.rows_of_y())).collect::<Vec<_>>();
        let mut maps = Vec::with_capacity(if keep { done.len() } else { 0 });
        for (block, (of_block, map)) in self.scores.blocks.iter().zip(done) {
            z[block.sequence].extend(of_block);
            if keep {
                maps.push(map);
            }
        }
        Visited { z, maps: keep.then_some(maps), sum }
    }

    /// Evaluates at X and Y together with the gradient in X, in one pass. `None` where the loss is not finite.
    ///
    /// Cost: n m (2 d2 + d3 + dv) multiply-adds and n m exponentials.
    pub(crate) fn point_and_gradient(&self, x: &[f64], y: &[f64], keep: bool) -> Option<(Point, Vec<f64>)> {
        let (h, width) = (self.seen_values(y), self.rows_of_y());
        let visit = |sum: &mut [f64], scratch: &mut Scratch, block: &Block, maps: &[f64], z: &[f64]| {
            let target = &self.outputs[block.sequence].target.as_slice()[block.rows.start * self.dv..block.rows.end * self.dv];
            let mut c = target.iter().map(|b| -b).collect::<Vec<_>>();
            product(&mut c, Destination::Add, 1.0, rows_of(z, block.rows.len(), width), rows_of(y, width, self.dv));
            self.add_gradient(sum, scratch, block, maps, z, &c, y, &h[block.sequence]);
        };
        let Visited { z, maps, sum: mut gradient } = self.visit_maps(x, keep && self.keeps_maps(), self.scores.of_x(), visit);
        let point = self.with_loss(x, y.to_vec(), z, maps, None, Some(h))?;
        add(&mut gradient, &self.scores.pull(&self.scores.shift(x)));
        Some((point, gradient))
    }

    /// Evaluates at X and Y, or at the best Y for X. `None` where the loss is not finite.
    ///
    /// Cost: n m (d2 + d3) multiply-adds and n m exponentials.
    pub(crate) fn point(&self, x: &[f64], y: Option<&[f64]>, keep: bool) -> Result<Option<Point>, Error> {
        let Visited { z, maps, .. } = self.visit_maps(x, keep && self.keeps_maps(), 0, |_, _, _, _, _| ());
        if !z.iter().flatten().all(|v| v.is_finite()) {
            return Ok(None);
        }
        let (y, values) = match y {
            Some(y) => (y.to_vec(), None),
            None => {
                let system = ValuesSystem::new(self, &z)?;
                (system.solve(&self.right_side(&z), self.dv), Some(system))
            }
        };
        Ok(self.with_loss(x, y, z, maps, values, None))
    }

    /// The point with its residuals and loss; `None` where that is not finite.
    fn with_loss(
        &self,
        x: &[f64],
        y: Vec<f64>,
        z: Vec<Vec<f64>>,
        maps: Option<Vec<Vec<f64>>>,
        values: Option<ValuesSystem>,
        h: Option<Vec<Vec<Vec<f64>>>>,
    ) -> Option<Point> {
        let width = self.rows_of_y();
        let mut c = Vec::with_capacity(z.len());
        for (outputs, z) in self.outputs.iter().zip(&z) {
            let n = outputs.target.rows();
            let mut residual = outputs.target.as_slice().iter().map(|b| -b).collect::<Vec<_>>();
            let (z, y) = (rows_of(z, n, width), rows_of(&y, width, self.dv));
            matmul_into(MatMut::from_row_major_slice_mut(&mut residual, n, self.dv), Destination::Add, 1.0, z, y);
            c.push(residual);
        }
        let data = c.iter().map(|c| par_dot(c, c)).sum::<f64>();
        let of_y = y.iter().zip(&self.y0).map(|(y, y0)| y - y0).collect::<Vec<_>>();
        let of_x = self.scores.shift(x);
        let loss = data + 0.5 * (dot(&of_x, &self.scores.pull(&of_x)) + dot(&of_y, &self.pull_y(&of_y)));
        let h = h.unwrap_or_else(|| self.seen_values(&y));
        loss.is_finite().then(|| Point { x: x.to_vec(), y, z, c, h, maps, loss, values })
    }

    /// `A3 Y` of each sequence and head.
    fn seen_values(&self, y: &[f64]) -> Vec<Vec<Vec<f64>>> {
        let of = |a3: &certus_numeric::Array, y: &[f64]| {
            let mut h = vec![0.0; a3.rows() * self.dv];
            let into = MatMut::from_row_major_slice_mut(&mut h, a3.rows(), self.dv);
            matmul_into(into, Destination::Replace, 1.0, rows(a3, 0..a3.rows()), rows_of(y, self.d3, self.dv));
            h
        };
        let heads =
            |s: &super::problem::Outputs<'_>| s.values.iter().zip(y.chunks_exact(self.d3 * self.dv)).map(|(a3, y)| of(a3, y)).collect();
        self.outputs.iter().map(heads).collect()
    }

    /// `2 Zᵀ B` and the regulariser's part.
    fn right_side(&self, z: &[Vec<f64>]) -> Vec<f64> {
        let mut right = self.pull_y(&self.y0);
        for (outputs, z) in self.outputs.iter().zip(z) {
            self.add_crossed(&mut right, z, outputs.target.as_slice());
        }
        right
    }

    /// `sum += 2 Zᵀ C` for one sequence.
    fn add_crossed(&self, sum: &mut [f64], z: &[f64], c: &[f64]) {
        let (width, dv) = (self.rows_of_y(), self.dv);
        let n = c.len() / dv;
        let sum = MatMut::from_row_major_slice_mut(sum, width, dv);
        matmul_into(sum, Destination::Add, 2.0, rows_of(z, n, width).transpose(), rows_of(c, n, dv));
    }

    /// The gradient in Y. Cost: n d3 dv multiply-adds.
    pub(crate) fn gradient_y(&self, point: &Point) -> Vec<f64> {
        let shift = point.y.iter().zip(&self.y0).map(|(y, y0)| y - y0).collect::<Vec<_>>();
        let mut gradient = self.pull_y(&shift);
        for (z, c) in point.z.iter().zip(&point.c) {
            self.add_crossed(&mut gradient, z, c);
        }
        gradient
    }

    /// The maps of block k, heads one after the other: as they were kept, or computed into `maps`.
    pub(crate) fn maps_of<'m>(&self, point: &'m Point, k: usize, left: &mut Vec<f64>, maps: &'m mut Vec<f64>) -> &'m [f64] {
        if let Some(kept) = &point.maps {
            return &kept[k];
        }
        let block = &self.scores.blocks[k];
        let maps = shaped(maps, self.scores.heads * block.rows.len(), block.seen);
        self.attend(&point.x, block, left, maps);
        maps
    }

    /// The gradient in X. Cost: n m (dv + d2) multiply-adds, and n m d2 where the maps were not kept.
    pub(crate) fn gradient_x(&self, point: &Point) -> Vec<f64> {
        let width = self.rows_of_y();
        let of_block = |sum: &mut Vec<f64>, scratch: &mut Scratch, k: usize, block: &Block| {
            if block.seen == 0 {
                return;
            }
            let c = &point.c[block.sequence][block.rows.start * self.dv..block.rows.end * self.dv];
            let z = &point.z[block.sequence][block.rows.start * width..block.rows.end * width];
            let mut computed = std::mem::take(&mut scratch.map);
            let maps = self.maps_of(point, k, &mut scratch.left, &mut computed);
            self.add_gradient(sum, scratch, block, maps, z, c, &point.y, &point.h[block.sequence]);
            scratch.map = computed;
        };
        let zero = || vec![0.0; self.scores.of_x()];
        let mut gradient = accumulate(&self.scores.blocks, PARTS, zero, of_block, |total, part| add(total, &part));
        add(&mut gradient, &self.scores.pull(&self.scores.shift(&point.x)));
        gradient
    }

    /// What a block's rows add to the gradient in X, from the maps of the heads, their outputs, the residuals, and Y with `A3 Y`.
    fn add_gradient(
        &self,
        sum: &mut [f64],
        scratch: &mut Scratch,
        block: &Block,
        maps: &[f64],
        z: &[f64],
        c: &[f64],
        y: &[f64],
        h: &[Vec<f64>],
    ) {
        let (sequence, count, seen, width) = (&self.scores.sequences[block.sequence], block.rows.len(), block.seen, self.rows_of_y());
        if seen == 0 {
            return;
        }
        for (k, (map, values)) in maps.chunks_exact(count * seen).zip(h).enumerate() {
            let out = shaped(&mut scratch.out, count, self.dv);
            let z = rows_of(z, count, width).subcols(k * self.d3, self.d3);
            product(out, Destination::Replace, 1.0, z, self.head_of_y(y, k));
            let q = shaped(&mut scratch.q, count, seen);
            let values = rows_of(&values[..seen * self.dv], seen, self.dv);
            product(q, Destination::Replace, 1.0, rows_of(c, count, self.dv), values.transpose());
            let rows = q.chunks_exact_mut(seen).zip(map.chunks_exact(seen));
            for ((q, f), (c, out)) in rows.zip(c.chunks_exact(self.dv).zip(out.chunks_exact(self.dv))) {
                let mean = dot(c, out);
                q.iter_mut().zip(f).for_each(|(q, f)| *q = f * (*q - mean));
            }
            let sum = &mut sum[k * self.scores.of_head()..(k + 1) * self.scores.of_head()];
            sequence.heads[k].pull_back(q, 2.0 * self.scores.scale, block.rows.clone(), seen, &mut scratch.left, sum);
        }
    }

    pub(crate) fn head_of_y<'y>(&self, y: &'y [f64], h: usize) -> MatRef<'y, f64> {
        let of_head = self.d3 * self.dv;
        rows_of(&y[h * of_head..(h + 1) * of_head], self.d3, self.dv)
    }

    /// For each query and key of block k `2 v f`: f the attention, v the variance of the values under it. For one head.
    pub(crate) fn spread_weights(&self, point: &Point, k: usize, scratch: &mut rank_one::Scratch, weights: &mut Vec<f64>) {
        let block = &self.scores.blocks[k];
        let (count, seen) = (block.rows.len(), block.seen);
        let weights = shaped(weights, count, seen);
        if seen == 0 {
            return;
        }
        let rank_one::Scratch { left, map, row, .. } = scratch;
        weights.copy_from_slice(self.maps_of(point, k, left, map));
        let h = &point.h[block.sequence][0][..seen * self.dv];
        // The variance of a row's values is that of the values less any centre: less their mean, it does not cancel.
        let mut centre = vec![0.0; self.dv];
        h.chunks_exact(self.dv).for_each(|h| centre.iter_mut().zip(h).for_each(|(c, h)| *c += h / seen as f64));
        let from_centre = |h: &[f64]| h.iter().zip(&centre).map(|(h, c)| (h - c).powi(2)).sum::<f64>();
        let (squares, out) = (h.chunks_exact(self.dv).map(from_centre).collect::<Vec<_>>(), shaped(row, count, self.dv));
        let z = &point.z[block.sequence][block.rows.start * self.d3..block.rows.end * self.d3];
        product(out, Destination::Replace, 1.0, rows_of(z, count, self.d3), self.head_of_y(&point.y, 0));
        for (weights, out) in weights.chunks_exact_mut(seen).zip(out.chunks_exact(self.dv)) {
            let factor = 2.0 * (dot(weights, &squares) - from_centre(out)).max(0.0);
            weights.iter_mut().for_each(|w| *w *= factor);
        }
    }

    /// The part in Y of the product of the Hessian with a direction of X. Cost: n m (d2 + d3) multiply-adds.
    pub(crate) fn cross(&self, point: &Point, dx: &[f64], curvature: Curvature) -> Vec<f64> {
        self.products(point, dx, None, curvature, false).1
    }

    /// The product of the Hessian with a direction of X and one of Y (none: zero). Cost: about two gradients.
    pub(crate) fn hessian_times(&self, point: &Point, dx: &[f64], dy: Option<&[f64]>, curvature: Curvature) -> (Vec<f64>, Vec<f64>) {
        let (mut x, mut y) = self.products(point, dx, dy, curvature, true);
        add(&mut x, &self.scores.pull(dx));
        if let Some(dy) = dy {
            add(&mut y, &self.pull_y(dy));
        }
        (x, y)
    }

    /// The same without regularisers; the part in X only where it is wanted.
    fn products(&self, point: &Point, dx: &[f64], dy: Option<&[f64]>, curvature: Curvature, with_x: bool) -> (Vec<f64>, Vec<f64>) {
        let (width, exact) = (self.rows_of_y(), curvature == Curvature::Exact);
        let dh = dy.filter(|_| with_x && exact).map(|dy| self.seen_values(dy));
        let of_block = |(sum_x, sum_y): &mut (Vec<f64>, Vec<f64>), scratch: &mut Scratch, k: usize, block: &Block| {
            let (s, sequence, count, seen) = (block.sequence, &self.scores.sequences[block.sequence], block.rows.len(), block.seen);
            if seen == 0 {
                return;
            }
            let outputs = &self.outputs[s];
            let Scratch { left, map, changes, q, dq, dz, dc, out } = scratch;
            let size = count * seen;
            let maps = self.maps_of(point, k, left, map);
            changes.resize_with(self.scores.heads, Vec::new);
            let c = &point.c[s][block.rows.start * self.dv..block.rows.end * self.dv];
            let z = &point.z[s][block.rows.start * width..block.rows.end * width];
            let (dz, dc) = (shaped(dz, count, width), shaped(dc, count, self.dv));
            dc.fill(0.0);
            // How the maps change, and the outputs with them.
            for h in 0..self.scores.heads {
                let f = &maps[h * size..(h + 1) * size];
                let change = shaped(&mut changes[h], count, seen);
                let head = &sequence.heads[h];
                head.logits(self.scores.head(dx, h), self.scores.scale, block.rows.clone(), seen, q, change);
                for (change, f) in change.chunks_exact_mut(seen).zip(f.chunks_exact(seen)) {
                    let mean = dot(f, change);
                    change.iter_mut().zip(f).for_each(|(s, f)| *s = f * (*s - mean));
                }
                let of_head = MatMut::from_row_major_slice_mut(dz, count, width).subcols_mut(h * self.d3, self.d3);
                let (change, values) = (rows_of(change, count, seen), rows(outputs.values[h], 0..seen));
                matmul_here(of_head, Destination::Replace, 1.0, change, values);
            }
            product(dc, Destination::Add, 1.0, rows_of(dz, count, width), rows_of(&point.y, width, self.dv));
            if let Some(dy) = dy {
                product(dc, Destination::Add, 1.0, rows_of(z, count, width), rows_of(dy, width, self.dv));
            }
            product(sum_y, Destination::Add, 2.0, rows_of(z, count, width).transpose(), rows_of(dc, count, self.dv));
            if exact {
                product(sum_y, Destination::Add, 2.0, rows_of(dz, count, width).transpose(), rows_of(c, count, self.dv));
            }
            if !with_x {
                return;
            }
            for h in 0..self.scores.heads {
                let f = &maps[h * size..(h + 1) * size];
                let values = rows_of(&point.h[s][h][..seen * self.dv], seen, self.dv);
                let (q, dq) = (shaped(q, count, seen), shaped(dq, count, seen));
                product(dq, Destination::Replace, 1.0, rows_of(dc, count, self.dv), values.transpose());
                if let Some(dh) = &dh {
                    let dh = rows_of(&dh[s][h][..seen * self.dv], seen, self.dv);
                    product(dq, Destination::Add, 1.0, rows_of(c, count, self.dv), dh.transpose());
                }
                // This head's outputs, and their changes with the map and with Y.
                let out = shaped(out, 3 * count, self.dv);
                let (now, rest) = out.split_at_mut(count * self.dv);
                let (by_map, by_values) = rest.split_at_mut(count * self.dv);
                let (of_head, of_change) =
                    (rows_of(z, count, width).subcols(h * self.d3, self.d3), rows_of(dz, count, width).subcols(h * self.d3, self.d3));
                product(now, Destination::Replace, 1.0, of_head, self.head_of_y(&point.y, h));
                product(by_map, Destination::Replace, 1.0, of_change, self.head_of_y(&point.y, h));
                match dy {
                    Some(dy) => product(by_values, Destination::Replace, 1.0, of_head, self.head_of_y(dy, h)),
                    None => by_values.fill(0.0),
                }
                if exact {
                    product(q, Destination::Replace, 1.0, rows_of(c, count, self.dv), values.transpose());
                }
                for i in 0..count {
                    let (of, keys) = (i * self.dv..(i + 1) * self.dv, i * seen..(i + 1) * seen);
                    let (c, dc, now, by_map, by_values) =
                        (&c[of.clone()], &dc[of.clone()], &now[of.clone()], &by_map[of.clone()], &by_values[of]);
                    let (f, change, dq) = (&f[keys.clone()], &changes[h][keys.clone()], &mut dq[keys.clone()]);
                    if exact {
                        let (mean, change_of_mean) = (dot(c, now), dot(c, by_map) + dot(dc, now) + dot(c, by_values));
                        let q = &q[keys];
                        for (((dq, q), f), change) in dq.iter_mut().zip(q).zip(f).zip(change) {
                            *dq = change * (q - mean) + f * (*dq - change_of_mean);
                        }
                    } else {
                        let mean = dot(dc, now);
                        dq.iter_mut().zip(f).for_each(|(dq, f)| *dq = f * (*dq - mean));
                    }
                }
                let sum = &mut sum_x[h * self.scores.of_head()..(h + 1) * self.scores.of_head()];
                sequence.heads[h].pull_back(dq, 2.0 * self.scores.scale, block.rows.clone(), seen, left, sum);
            }
        };
        let zero = || (vec![0.0; if with_x { self.scores.of_x() } else { 0 }], vec![0.0; self.of_y()]);
        accumulate(&self.scores.blocks, PARTS, zero, of_block, |total, part| {
            add(&mut total.0, &part.0);
            add(&mut total.1, &part.1);
        })
    }
}

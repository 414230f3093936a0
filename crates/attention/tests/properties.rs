//! What must hold whatever the data: derivatives, identities, invariances, and radii that contain the true minimum.

use certus_attention::layer::{self, Curvature, Params};
use certus_attention::map::{self, Form};
use certus_attention::{Certify, Kantorovich, Method, bounds};
use certus_contract::Verdict;
use certus_linalg::factor::{generalized_symmetric_eigen, symmetric_eigen};
use certus_linalg::view::view;
use certus_numeric::Array;
use certus_numeric::seed::hash64;
use certus_testkit::derivative::{self, TOLERANCE};
use certus_testkit::same_bits;
use proptest::prelude::*;

use crate::support::{
    Case, FORMS, Layer, LayerSequence, Map, MapSequence, Masked, apply, assert_layer, assert_map, difference, distributions, dot,
    eigenvalues, flat, like, logits, matrix, moved, norm, softmax, spectral, times, unflat, vector, warns,
};

/// A layer of random sizes with one or two sequences, masks, and regularisers.
fn some_layer(seed: u64, heads: usize) -> Layer {
    let pick = |k: u64, least: usize, most: usize| least + (hash64(seed, 1000 + k) % (most - least + 1) as u64) as usize;
    let [d1, d2, d3, dv] = [pick(0, 1, 3), pick(1, 1, 3), pick(2, 1, 3), pick(3, 1, 2)];
    let sequence = |s: u64| {
        let (n, m) = (pick(10 + s, 1, 6), pick(20 + s, 1, 6));
        let of = |h: u64| {
            let seed = hash64(seed, 100 * s + 10 * h);
            [matrix(seed, n, d1), matrix(seed ^ 1, m, d2), matrix(seed ^ 2, m, d3)]
        };
        LayerSequence {
            heads: (0..heads as u64).map(of).collect(),
            target: matrix(hash64(seed, 7 + s), n, dv),
            mask: Masked::of_kind(hash64(seed, 30 + s), seed, n, m),
        }
    };
    let mut layer = Layer::new((0..1 + seed % 2).map(sequence).collect());
    layer.scale = 0.7;
    if hash64(seed, 40).is_multiple_of(2) {
        layer.logit_reg = (0.1, 0.2);
        layer.ridge = (0.05, 0.3);
        layer.reference = Some(layer.params(seed ^ 77, 0.5));
    }
    layer
}

/// A map problem of random sizes.
fn some_map(seed: u64, form: Form) -> Map {
    let pick = |k: u64, least: usize, most: usize| least + (hash64(seed, 1000 + k) % (most - least + 1) as u64) as usize;
    let [d1, d2] = [pick(0, 1, 3), pick(1, 1, 3)];
    let sequence = |s: u64| {
        let (n, m) = (pick(10 + s, 1, 6), pick(20 + s, 1, 6));
        let mask = Masked::of_kind(hash64(seed, 30 + s), seed, n, m);
        let target = match form {
            Form::CrossEntropy => distributions(hash64(seed, 7 + s), n, m, &mask),
            _ => matrix(hash64(seed, 7 + s), n, m),
        };
        MapSequence { a1: matrix(hash64(seed, 100 * s), n, d1), a2: matrix(hash64(seed, 100 * s + 1), m, d2), target, mask }
    };
    let mut map = Map::new((0..1 + seed % 2).map(sequence).collect(), form);
    map.scale = 0.7;
    if hash64(seed, 40).is_multiple_of(2) {
        (map.logit_reg, map.ridge) = (0.1, 0.05);
        map.reference = Some(map.point(seed ^ 77, 0.5));
    }
    map
}

/// Loss, gradient and Hessian of a map problem as plain numbers.
fn map_at(problem: &map::Problem<'_>, x: &Array) -> (f64, Array, Array) {
    let evaluation = problem.evaluate(x).unwrap();
    assert_eq!(evaluation.log_scale, 0.0);
    (evaluation.loss.to_f64().unwrap(), evaluation.gradient.clone(), evaluation.hessian().unwrap())
}

fn small(found: f64, size: f64, what: &str) -> Result<(), TestCaseError> {
    prop_assert!(found.abs() <= size, "{what}: {found:e}, at most {size:e}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_layers_loss_is_as_defined_and_its_derivatives_are_those_of_the_loss(seed in any::<u64>()) {
        for heads in [1, 2] {
            let layer = some_layer(seed, heads);
            let (problem, at) = (layer.problem(), layer.params(seed ^ 5, 1.0));
            let evaluation = problem.linearise(&at).unwrap();
            let defined = layer.defined_loss(&at);
            prop_assert!((evaluation.loss - defined).abs() <= 1e-12 * defined.max(1.0), "{} for {defined}", evaluation.loss);
            let point = flat(&at);
            derivative::gradient(|v| problem.evaluate(&unflat(&at, v)).unwrap().loss, &point, &flat(&evaluation.gradient), TOLERANCE);
            let gradient = |v: &[f64]| flat(&problem.evaluate(&unflat(&at, v)).unwrap().gradient);
            let product = |v: &[f64]| flat(&evaluation.hessian_times(&unflat(&at, v), Curvature::Exact).unwrap());
            derivative::hessian(gradient, product, &point, TOLERANCE);
        }
    }

    #[test]
    fn a_layers_hessian_is_symmetric_and_its_products_are_those_of_the_matrix(seed in any::<u64>()) {
        for heads in [1, 2] {
            let layer = some_layer(seed, heads);
            let (problem, at) = (layer.problem(), layer.params(seed ^ 5, 1.5));
            // Kept maps and maps that are computed again.
            for evaluation in [problem.linearise(&at).unwrap(), problem.evaluate(&at).unwrap()] {
                for curvature in [Curvature::Exact, Curvature::GaussNewton] {
                    let (u, v) = (layer.params(seed ^ 8, 1.0), layer.params(seed ^ 9, 1.0));
                    let [hu, hv] = [&u, &v].map(|w| flat(&evaluation.hessian_times(w, curvature).unwrap()));
                    let size = norm(&hu) * norm(&flat(&v)) + norm(&hv) * norm(&flat(&u));
                    small(dot(&hu, &flat(&v)) - dot(&hv, &flat(&u)), 1e-13 * size, "<Hu, v> - <u, Hv>")?;
                    if curvature == Curvature::GaussNewton {
                        prop_assert!(dot(&hu, &flat(&u)) >= -1e-13 * size);
                    }
                    if heads == 1 {
                        let hessian = evaluation.hessian(curvature).unwrap();
                        let largest = norm(hessian.as_slice());
                        small(norm(&moved(hessian.as_slice(), -1.0, hessian.transposed().as_slice())), 1e-13 * largest, "H - Hᵀ")?;
                        small(norm(&moved(&apply(&hessian, &flat(&u)), -1.0, &hu)), 1e-12 * largest * norm(&flat(&u)), "H u")?;
                        if curvature == Curvature::GaussNewton {
                            prop_assert!(eigenvalues(&hessian)[0] >= -1e-13 * largest);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn where_nothing_is_left_over_gauss_newton_is_the_hessian(seed in any::<u64>()) {
        let mut layer = some_layer(seed, 1);
        let at = layer.params(seed ^ 5, 1.0);
        layer.reference = Some(at.clone());
        for s in 0..layer.sequences.len() {
            layer.sequences[s].target = layer.outputs(s, &at);
        }
        let problem = layer.problem();
        let evaluation = problem.evaluate(&at).unwrap();
        small(evaluation.loss, 1e-28, "the loss")?;
        small(norm(&flat(&evaluation.gradient)), 1e-13, "the gradient")?;
        let [exact, gauss] = [Curvature::Exact, Curvature::GaussNewton].map(|c| evaluation.hessian(c).unwrap());
        prop_assert!(difference(gauss.as_slice(), exact.as_slice()) < 1e-12);
    }

    #[test]
    fn a_maps_loss_is_as_defined_and_its_derivatives_are_those_of_the_loss(seed in any::<u64>()) {
        for form in FORMS {
            let map = some_map(seed, form);
            let (problem, x) = (map.problem(), map.point(seed ^ 5, 1.5));
            let (loss, gradient, hessian) = map_at(&problem, &x);
            let defined = map.defined_loss(&x);
            prop_assert!((loss - defined).abs() <= 1e-12 * defined.abs().max(1.0), "{form:?}: {loss} for {defined}");
            let value = |v: &[f64]| problem.evaluate(&like(&x, v.to_vec())).unwrap().loss.to_f64().unwrap();
            derivative::gradient(value, x.as_slice(), gradient.as_slice(), TOLERANCE);
            let slope = |v: &[f64]| problem.evaluate(&like(&x, v.to_vec())).unwrap().gradient.into_vec();
            derivative::hessian(slope, |v| apply(&hessian, v), x.as_slice(), TOLERANCE);
            let largest = norm(hessian.as_slice()).max(1e-300);
            small(norm(&moved(hessian.as_slice(), -1.0, hessian.transposed().as_slice())), 1e-13 * largest, "H - Hᵀ")?;
            let direction = map.point(seed ^ 8, 1.0);
            let product = problem.evaluate(&x).unwrap().hessian_times(&direction).unwrap();
            let expected = apply(&hessian, direction.as_slice());
            small(norm(&moved(product.as_slice(), -1.0, &expected)), 1e-12 * largest * norm(direction.as_slice()), "H d")?;
            if form == Form::CrossEntropy {
                prop_assert!(eigenvalues(&hessian)[0] >= -1e-14 * largest, "cross-entropy is not convex");
            }
        }
    }

    /// In one pass, in units that grow with the rows, or in two from kept maps.
    #[test]
    fn a_map_evaluated_in_one_pass_or_in_two_is_the_same(seed in any::<u64>(), size in 0.1f64..300.0) {
        for form in FORMS {
            let mut map = some_map(seed, form);
            map.block_rows = Some(1 + (seed % 3) as usize);
            let problem = map.problem();
            let x = map.point(seed ^ 5, size);
            let (one, two) = (problem.evaluate(&x).unwrap(), problem.linearise(&x).unwrap());
            prop_assert_eq!(one.loss, two.loss);
            prop_assert_eq!(one.log_scale, two.log_scale);
            let (one, two) = (one.gradient.as_slice(), two.gradient.as_slice());
            small(norm(&moved(one, -1.0, two)), 1e-13 * (1.0 + norm(two)), "the change of the gradient")?;
        }
    }

    #[test]
    fn the_rescaled_loss_is_the_normalised_one_with_the_squares_of_the_rows_sums(seed in any::<u64>(), size in 0.1f64..30.0) {
        let map = Map { reference: None, logit_reg: 0.0, ridge: 0.0, ..some_map(seed, Form::Rescaled) };
        let x = map.point(seed ^ 5, size);
        let mut expected = 0.0;
        for s in &map.sequences {
            let all = logits(&s.a1, &x, &s.a2, map.scale);
            for i in 0..all.rows() {
                let alpha = (0..all.cols()).filter(|&j| s.mask.sees(i, j)).map(|j| all.row(i)[j].exp()).sum::<f64>();
                let row = |a: &Array| Array::matrix(1, a.cols(), a.row(i).to_vec()).unwrap();
                let mask = Masked::Dense(Array::from_fn(1, all.cols(), |_, j| s.mask.sees(i, j)));
                let one = MapSequence { a1: row(&s.a1), a2: s.a2.clone(), target: row(&s.target), mask };
                let one = Map { scale: map.scale, ..Map::new(vec![one], Form::Normalised) };
                expected += alpha * alpha * one.problem().evaluate(&x).unwrap().loss.to_f64().unwrap();
            }
        }
        let found = map.problem().evaluate(&x).unwrap().loss.to_f64().unwrap();
        prop_assert!((found - expected).abs() <= 1e-11 * expected, "{found} for {expected}");
    }

    #[test]
    fn the_normalised_loss_is_flat_where_the_map_is_the_target(seed in any::<u64>()) {
        let mut map = Map { reference: None, logit_reg: 0.0, ridge: 0.0, ..some_map(seed, Form::Normalised) };
        let x = map.point(seed ^ 5, 2.0);
        for s in &mut map.sequences {
            s.target = softmax(&logits(&s.a1, &x, &s.a2, map.scale), &s.mask);
        }
        for form in FORMS {
            let map = Map { form, ..map.clone() };
            let evaluation = map.problem().evaluate(&x).unwrap().gradient.clone();
            let weight = if form == Form::Rescaled { 1e4 } else { 1.0 };
            small(norm(evaluation.as_slice()), 1e-14 * weight, "the gradient")?;
        }
    }

    /// A2 w is the same for all keys: X + v wᵀ shifts each row of logits.
    #[test]
    fn shifts_of_a_row_of_logits_are_not_seen(seed in any::<u64>(), shift in -50.0f64..50.0) {
        let mut layer = Layer::random(seed, [6, 5, 3, 3, 2, 2]).with_mask(Masked::of_kind(seed, seed, 6, 5));
        let a2 = &mut layer.sequences[0].heads[0][1];
        (0..5).for_each(|j| a2.row_mut(j)[2] = 1.0 - a2.row(j)[0]);
        let (w, v) = ([1.0, 0.0, 1.0], vector(seed ^ 3, 3));
        let gauge = Array::from_fn(3, 3, |a, b| v[a] * w[b]);
        let at = layer.params(seed ^ 5, 1.0);
        let moved_at = Params { x: like(&at.x, moved(at.x.as_slice(), shift, gauge.as_slice())), y: at.y.clone() };
        let problem = layer.problem();
        let (here, there) = (problem.linearise(&at).unwrap(), problem.evaluate(&moved_at).unwrap());
        small(here.loss - there.loss, 1e-12 * here.loss, "the loss")?;
        let size = norm(&flat(&here.gradient)).max(1.0);
        small(norm(&moved(&flat(&here.gradient), -1.0, &flat(&there.gradient))), 1e-11 * size, "the gradient")?;
        small(dot(here.gradient.x.as_slice(), gauge.as_slice()), 1e-13 * size, "the gradient along a gauge direction")?;
        let direction = Params { x: gauge.clone(), y: at.y.map(|_| 0.0) };
        for curvature in [Curvature::Exact, Curvature::GaussNewton] {
            small(norm(&flat(&here.hessian_times(&direction, curvature).unwrap())), 1e-13 * size, "the curvature along it")?;
        }
        let solution = problem.certify(&at, Certify::Full).unwrap();
        assert_layer(&solution, "gauge");
        prop_assert!(solution.facts.constant_in_keys && (!solution.facts.moves || warns(&solution.warnings, "GaugeDirections")));
        for form in [Form::Normalised, Form::CrossEntropy] {
            let LayerSequence { heads, mask, .. } = &layer.sequences[0];
            let target = distributions(seed ^ 6, 6, 5, mask);
            let map = Map::new(vec![MapSequence { a1: heads[0][0].clone(), a2: heads[0][1].clone(), target, mask: mask.clone() }], form);
            let problem = map.problem();
            let (loss, gradient, hessian) = map_at(&problem, &at.x);
            let (other, other_gradient, _) = map_at(&problem, &moved_at.x);
            // In cross-entropy the shift cancels between two large terms.
            small(loss - other, 1e-13 * (1.0 + shift.abs()) * 10.0, "the loss")?;
            small(norm(&moved(gradient.as_slice(), -1.0, other_gradient.as_slice())), 1e-11, "the gradient")?;
            small(dot(gradient.as_slice(), gauge.as_slice()), 1e-13, "the gradient along a gauge direction")?;
            small(norm(&apply(&hessian, gauge.as_slice())), 1e-12, "the curvature along it")?;
        }
    }

    #[test]
    fn the_order_of_keys_and_of_queries_is_not_seen(seed in any::<u64>()) {
        let (n, m) = (5, 6);
        let layer = Layer::random(seed, [n, m, 2, 3, 2, 2]).with_mask(Masked::Dense(Masked::of_kind(4, seed, n, m).dense(n, m)));
        let order = |len: usize, k: u64| {
            let mut order = (0..len).collect::<Vec<_>>();
            order.sort_by_key(|&i| hash64(seed ^ k, i as u64));
            order
        };
        let (keys, queries) = (order(m, 1), order(n, 2));
        let rows = |a: &Array, order: &[usize]| Array::from_fn(a.rows(), a.cols(), |i, j| a.row(order[i])[j]);
        let LayerSequence { heads, target, mask } = &layer.sequences[0];
        let [a1, a2, a3] = &heads[0];
        let mask = Masked::Dense(Array::from_fn(n, m, |i, j| mask.sees(queries[i], keys[j])));
        let heads = vec![[rows(a1, &queries), rows(a2, &keys), rows(a3, &keys)]];
        let other = Layer::new(vec![LayerSequence { heads, target: rows(target, &queries), mask: mask.clone() }]);
        let at = layer.params(seed ^ 5, 1.5);
        let (one, two) = (layer.problem(), other.problem());
        let (one, two) = (one.evaluate(&at).unwrap(), two.evaluate(&at).unwrap());
        prop_assert!(difference(&[two.loss], &[one.loss]) < 1e-13);
        prop_assert!(difference(&flat(&two.gradient), &flat(&one.gradient)) < 1e-12);
        let [h1, h2] = [one.hessian(Curvature::Exact).unwrap(), two.hessian(Curvature::Exact).unwrap()];
        prop_assert!(difference(h2.as_slice(), h1.as_slice()) < 1e-12);
        for form in FORMS {
            let target = distributions(seed ^ 6, n, m, &layer.sequences[0].mask);
            let permuted = Array::from_fn(n, m, |i, j| target.row(queries[i])[keys[j]]);
            let one = MapSequence { a1: a1.clone(), a2: a2.clone(), target, mask: layer.sequences[0].mask.clone() };
            let two = MapSequence { a1: rows(a1, &queries), a2: rows(a2, &keys), target: permuted, mask: mask.clone() };
            let (one, two) = (Map::new(vec![one], form), Map::new(vec![two], form));
            let (l1, g1, h1) = map_at(&one.problem(), &at.x);
            let (l2, g2, h2) = map_at(&two.problem(), &at.x);
            prop_assert!(difference(&[l2], &[l1]) < 1e-13);
            prop_assert!(difference(g2.as_slice(), g1.as_slice()) < 1e-12 && difference(h2.as_slice(), h1.as_slice()) < 1e-12);
        }
    }

    #[test]
    fn the_size_of_a_block_changes_rounding_only(seed in any::<u64>(), kind in 0u64..5) {
        let (n, m) = (23, 19);
        let mask = Masked::of_kind(kind, seed, n, m);
        let mut layer = Layer::random(seed, [n, m, 2, 3, 2, 2]).with_mask(mask.clone());
        let (at, direction) = (layer.params(seed ^ 5, 1.0), layer.params(seed ^ 8, 1.0));
        let mut all = Vec::new();
        for rows in [None, Some(1), Some(2), Some(7), Some(23), Some(1000)] {
            layer.block_rows = rows;
            let problem = layer.problem();
            let evaluation = problem.linearise(&at).unwrap();
            let product = flat(&evaluation.hessian_times(&direction, Curvature::Exact).unwrap());
            // A product alone has the same bits.
            prop_assert_eq!(&flat(&problem.hessian_product(&at, &direction, Curvature::Exact).unwrap()), &product);
            let hessian = evaluation.hessian(Curvature::Exact).unwrap().into_vec();
            all.push([vec![evaluation.loss], flat(&evaluation.gradient), product, hessian, evaluation.row_beta().unwrap()]);
        }
        for form in FORMS {
            let mut map = Map::random(seed, form, [n, m, 2, 3], mask.clone());
            let mut found = Vec::new();
            for rows in [None, Some(1), Some(2), Some(7), Some(23), Some(1000)] {
                map.block_rows = rows;
                let problem = map.problem();
                let (loss, gradient, hessian) = map_at(&problem, &at.x);
                let product = problem.evaluate(&at.x).unwrap().hessian_times(&direction.x).unwrap();
                found.push([vec![loss], gradient.into_vec(), product.into_vec(), hessian.into_vec()]);
            }
            for other in &found[1..] {
                for (a, b) in other.iter().zip(&found[0]) {
                    small(norm(&moved(a, -1.0, b)), 1e-12 * norm(b).max(1e-2), "a block's size")?;
                }
            }
        }
        for other in &all[1..] {
            for (a, b) in other.iter().zip(&all[0]) {
                small(norm(&moved(a, -1.0, b)), 1e-12 * norm(b).max(1e-2), "a block's size")?;
            }
        }
    }

    #[test]
    fn several_sequences_are_the_sum_and_a_block_diagonal_mask_is_two(seed in any::<u64>()) {
        let one = Layer::random(seed, [4, 3, 2, 3, 2, 2]).with_mask(Masked::Causal);
        let two = Layer::random(seed ^ 0xabc, [3, 5, 2, 3, 2, 2]).with_mask(Masked::Lengths(vec![5, 0, 2]));
        let both = Layer::new([one.sequences.clone(), two.sequences.clone()].concat());
        let stacked = |a: &Array, b: &Array| Array::matrix(a.rows() + b.rows(), a.cols(), [a.as_slice(), b.as_slice()].concat()).unwrap();
        let (first, second) = (&one.sequences[0], &two.sequences[0]);
        let mask = Array::from_fn(7, 8, |i, j| match (i < 4, j < 3) {
            (true, true) => first.mask.sees(i, j),
            (false, false) => second.mask.sees(i - 4, j - 3),
            _ => false,
        });
        let heads = [0, 1, 2].map(|k| stacked(&first.heads[0][k], &second.heads[0][k]));
        let target = stacked(&first.target, &second.target);
        let joined = Layer::new(vec![LayerSequence { heads: vec![heads.clone()], target, mask: Masked::Dense(mask.clone()) }]);
        let at = one.params(seed ^ 5, 1.0);
        let of = |layer: &Layer| {
            let problem = layer.problem();
            let evaluation = problem.evaluate(&at).unwrap();
            let [exact, gauss] = [Curvature::Exact, Curvature::GaussNewton].map(|c| evaluation.hessian(c).unwrap().into_vec());
            [vec![evaluation.loss], flat(&evaluation.gradient), exact, gauss]
        };
        let (a, b, sum, whole) = (of(&one), of(&two), of(&both), of(&joined));
        for k in 0..4 {
            prop_assert!(difference(&sum[k], &moved(&a[k], 1.0, &b[k])) < 1e-12);
            prop_assert!(difference(&whole[k], &sum[k]) < 1e-12);
        }
        for form in FORMS {
            let map_of = |s: &LayerSequence, target: Array| {
                let [a1, a2, _] = s.heads[0].clone();
                MapSequence { a1, a2, target, mask: s.mask.clone() }
            };
            let targets = [distributions(seed ^ 1, 4, 3, &first.mask), distributions(seed ^ 2, 3, 5, &second.mask)];
            let target = Array::from_fn(7, 8, |i, j| match (i < 4, j < 3) {
                (true, true) => targets[0].row(i)[j],
                (false, false) => targets[1].row(i - 4)[j - 3],
                _ => 0.0,
            });
            let (a, b) = (map_of(first, targets[0].clone()), map_of(second, targets[1].clone()));
            let whole = MapSequence { a1: heads[0].clone(), a2: heads[1].clone(), target, mask: Masked::Dense(mask.clone()) };
            let of = |sequences: Vec<MapSequence>| {
                let map = Map::new(sequences, form);
                let (loss, gradient, hessian) = map_at(&map.problem(), &at.x);
                [vec![loss], gradient.into_vec(), hessian.into_vec()]
            };
            let (one, two, both, whole) = (of(vec![a.clone()]), of(vec![b.clone()]), of(vec![a, b]), of(vec![whole]));
            for k in 0..3 {
                prop_assert!(difference(&both[k], &moved(&one[k], 1.0, &two[k])) < 1e-12);
                prop_assert!(difference(&whole[k], &both[k]) < 1e-12);
            }
        }
    }

    #[test]
    fn other_coordinates_of_queries_and_keys_change_nothing(seed in any::<u64>()) {
        let near_identity = |seed: u64, d: usize| {
            let change = matrix(seed, d, d);
            Array::from_fn(d, d, |i, j| if i == j { 1.0 } else { 0.0 } + 0.4 * change.row(i)[j])
        };
        let (t1, t2) = (near_identity(seed ^ 1, 2), near_identity(seed ^ 2, 3));
        // A1 = A1' T1 and A2 = A2' T2ᵀ, so that X' = T1 X T2.
        let mut other = Layer::random(seed, [9, 8, 2, 3, 2, 2]).with_mask(Masked::of_kind(seed, seed, 9, 8));
        other.logit_reg = (0.02, 0.02);
        let mut layer = other.clone();
        let [a1, a2, _] = &mut layer.sequences[0].heads[0];
        (*a1, *a2) = (times(a1, &t1), times(a2, &t2.transposed()));
        let at = layer.params(seed ^ 5, 1.0);
        let there = Params { x: times(&times(&t1, &at.x), &t2), y: at.y.clone() };
        let (one, two) = (layer.problem(), other.problem());
        let (here, away) = (one.evaluate(&at).unwrap(), two.evaluate(&there).unwrap());
        prop_assert!(difference(&[away.loss], &[here.loss]) < 1e-12);
        let back = times(&times(&t1.transposed(), &away.gradient.x), &t2.transposed());
        prop_assert!(difference(back.as_slice(), here.gradient.x.as_slice()) < 1e-11);
        // The iterates go over into each other, but for the tiny multiple of the identity.
        let solver = layer::Solver::default().with_method(Method::DenseNewton).with_max_iterations(3);
        let fits = [solver.clone().with_start(at).solve(&one).unwrap(), solver.with_start(there).solve(&two).unwrap()];
        let count = fits[0].trace.len().min(fits[1].trace.len());
        prop_assert!(difference(&fits[1].trace[..count], &fits[0].trace[..count]) < 1e-5, "{:?} {:?}", fits[0].trace, fits[1].trace);
    }

    #[test]
    fn masks_of_each_kind_are_their_matrices(seed in any::<u64>(), n in 1usize..8, m in 1usize..8) {
        for kind in 0..4 {
            let mask = Masked::of_kind(kind, seed, n, m);
            let dense = Masked::Dense(mask.dense(n, m));
            let layers = [mask.clone(), dense.clone()].map(|mask| Layer::random(seed, [n, m, 2, 2, 2, 2]).with_mask(mask));
            let at = layers[0].params(seed ^ 5, 1.0);
            let [a, b] = [0, 1].map(|k| {
                let problem = layers[k].problem();
                let evaluation = problem.evaluate(&at).unwrap();
                let facts = problem.certify(&at, Certify::Full).unwrap().facts;
                prop_assert_eq!(facts.dead_rows, (0..n).filter(|&i| (0..m).all(|j| !mask.sees(i, j))).count());
                prop_assert_eq!(facts.moves, (0..n).any(|i| (0..m).filter(|&j| mask.sees(i, j)).count() > 1));
                let beta = evaluation.row_beta().unwrap();
                Ok([vec![evaluation.loss], flat(&evaluation.gradient), evaluation.hessian(Curvature::Exact).unwrap().into_vec(), beta])
            });
            let (a, b): ([Vec<f64>; 4], [Vec<f64>; 4]) = (a?, b?);
            for k in 0..4 {
                let size = norm(&b[k]).max(1.0);
                small(norm(&moved(&a[k], -1.0, &b[k])), 1e-12 * size, "a mask and its matrix")?;
            }
            for form in FORMS {
                let [one, two] = [mask.clone(), dense.clone()].map(|mask| Map::random(seed, form, [n, m, 2, 2], mask));
                let (l1, g1, h1) = map_at(&one.problem(), &at.x);
                let (l2, g2, h2) = map_at(&two.problem(), &at.x);
                let gap = |a: &Array, b: &Array| norm(&moved(a.as_slice(), -1.0, b.as_slice())) / norm(b.as_slice()).max(1.0);
                prop_assert!((l1 - l2).abs() <= 1e-13 * l1.abs().max(1.0) && gap(&g1, &g2) < 1e-13 && gap(&h1, &h2) < 1e-13, "{form:?}");
            }
        }
    }

    #[test]
    fn several_heads_of_which_one_counts_are_one_head(seed in any::<u64>()) {
        let one = some_layer(seed, 1);
        let at = one.params(seed ^ 5, 1.0);
        let problem = one.problem();
        let expected = problem.evaluate(&at).unwrap();
        // A second head without values, which shares keys and values with the first.
        let mut two = one.clone();
        for s in &mut two.sequences {
            let second = [s.heads[0][0].map(|v| v + 0.5), s.heads[0][1].clone(), s.heads[0][2].clone()];
            s.heads.push(second);
        }
        two.reference = one.reference.as_ref().map(|r| doubled(r, 0.0));
        let both = doubled(&at, 0.0);
        let problem = two.problem();
        let found = problem.evaluate(&both).unwrap();
        let of_reg = two.defined_loss(&both) - one.defined_loss(&at);
        small(found.loss - expected.loss - of_reg, 1e-12 * found.loss.max(1.0), "the loss")?;
        if one.reference.is_none() {
            let half = found.gradient.x.len() / 2;
            // Where no row moves, both are rounding.
            let change = norm(&moved(&found.gradient.x.as_slice()[..half], -1.0, expected.gradient.x.as_slice()));
            small(change, 1e-13 * (1.0 + found.loss), "the change of the gradient")?;
            small(norm(&found.gradient.x.as_slice()[half..]), 1e-14, "the gradient of a head without values")?;
        }
    }
}

/// Parameters of two heads: the first as given, the second a multiple of it.
fn doubled(params: &Params, factor: f64) -> Params {
    let both = |a: &Array| {
        let data = [a.as_slice().to_vec(), a.as_slice().iter().map(|v| factor * v).collect()].concat();
        Array::new([2, a.rows(), a.cols()], data).unwrap()
    };
    Params { x: both(&params.x), y: both(&params.y) }
}

/// One row as a layer whose Hessian in X is that of the row's loss in its logits: one query of 1, and the keys' unit vectors.
fn row_layer(values: &Array, target: &[f64]) -> Layer {
    let m = values.rows();
    let heads = vec![[Array::identity(1), Array::identity(m), values.clone()]];
    Layer::new(vec![LayerSequence { heads, target: Array::matrix(1, target.len(), target.to_vec()).unwrap(), mask: Masked::All }])
}

/// The Hessian of a row's loss in its logits, by the text's formula; f, p and c with it.
fn row_hessian(s: &[f64], values: &Array, target: &[f64]) -> (Array, Vec<f64>, Vec<f64>, Vec<f64>) {
    let m = s.len();
    let f = softmax(&Array::matrix(1, m, s.to_vec()).unwrap(), &Masked::All).into_vec();
    let c = moved(&apply(&values.transposed(), &f), -1.0, target);
    let q = apply(values, &c);
    let mean = dot(&f, &q);
    let p = f.iter().zip(&q).map(|(f, q)| f * (q - mean)).collect::<Vec<_>>();
    let sigma = Array::from_fn(m, m, |i, j| if i == j { f[i] } else { 0.0 } - f[i] * f[j]);
    let half = times(&sigma, values);
    let square = times(&half, &half.transposed());
    let hessian = Array::from_fn(m, m, |i, j| 2.0 * square.row(i)[j] + 2.0 * (if i == j { p[i] } else { 0.0 } - f[i] * p[j] - p[i] * f[j]));
    (hessian, f, p, c)
}

fn diameter(values: &Array) -> f64 {
    let pairs = (0..values.rows()).flat_map(|j| (0..j).map(move |k| (j, k)));
    pairs.map(|(j, k)| norm(&moved(values.row(j), -1.0, values.row(k)))).fold(0.0, f64::max)
}

fn top_left(a: &Array, d: usize) -> Array {
    Array::from_fn(d, d, |i, j| a.row(i)[j])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_curvature_of_a_row_is_bounded_and_changes_as_slowly_as_stated(
        seed in any::<u64>(), m in 2usize..7, dv in 1usize..4, size in 0.1f64..6.0, apart in 1e-4f64..2.0, far in 0.0f64..20.0,
    ) {
        let (values, target) = (matrix(seed, m, dv), vector(seed ^ 1, dv).iter().map(|v| far * v).collect::<Vec<_>>());
        let layer = row_layer(&values, &target);
        let problem = layer.problem();
        let y = Array::identity(dv);
        let s = vector(seed ^ 2, m).iter().map(|v| size * v).collect::<Vec<_>>();
        let other = moved(&s, apart, &vector(seed ^ 3, m));
        let at = |s: &[f64]| {
            let at = Params { x: Array::matrix(1, m, s.to_vec()).unwrap(), y: y.clone() };
            let evaluation = problem.evaluate(&at).unwrap();
            (top_left(&evaluation.hessian(Curvature::Exact).unwrap(), m), evaluation.row_beta().unwrap()[0])
        };
        let ((here, beta), (there, _)) = (at(&s), at(&other));
        let (expected, f, p, c) = row_hessian(&s, &values, &target);
        let scale = norm(expected.as_slice()).max(1e-3 * (1.0 + far));
        small(norm(&moved(here.as_slice(), -1.0, expected.as_slice())), 1e-12 * scale, "the row's Hessian")?;
        small(norm(&apply(&here, &vec![1.0; m])), 1e-12 * scale.max(1e-2), "M 1")?;
        let least = eigenvalues(&expected)[0];
        for bound in [beta, bounds::row_beta(&f, &p, |_| true)] {
            prop_assert!(least >= -bound - 1e-15 * scale, "{least} below -{bound}");
        }
        let residual = (0..m).map(|j| norm(&moved(values.row(j), -1.0, &target))).fold(0.0, f64::max);
        let d = diameter(&values);
        let k = bounds::lipschitz(d, residual);
        let change = spectral(&like(&here, moved(here.as_slice(), -1.0, there.as_slice())));
        let step = moved(&other, -1.0, &s);
        let mean = step.iter().sum::<f64>() / m as f64;
        let length = norm(&step.iter().map(|v| v - mean).collect::<Vec<_>>());
        prop_assert!(change <= k * length + 1e-13 * scale, "{change} for {} at K {k}", k * length);
        // The local constant.
        let local = bounds::lipschitz(d, residual.min(norm(&c) + d * length / 8f64.sqrt()));
        prop_assert!(change <= local * length + 1e-13 * scale, "{change} for {} at local K {local}", local * length);
        // What convexity everywhere would need is enough here.
        let solution = problem.certify(&Params { x: Array::matrix(1, m, s.clone()).unwrap(), y: y.clone() }, Certify::Full).unwrap();
        let (sufficient, everywhere) = (solution.facts.convex_here.unwrap(), solution.facts.convex_everywhere.unwrap());
        prop_assert!(least >= -sufficient - 1e-15 * scale && least >= -everywhere && everywhere >= 0.3849 * residual * d * 0.9999);
    }

    #[test]
    fn the_curvature_of_a_row_of_each_map_form_is_bounded(seed in any::<u64>(), m in 2usize..7, size in 0.1f64..6.0, apart in 1e-4f64..2.0) {
        for form in FORMS {
            let mask = Masked::All;
            let target = if form == Form::CrossEntropy { distributions(seed, 1, m, &mask) } else { matrix(seed, 1, m) };
            let map = Map::new(vec![MapSequence { a1: Array::identity(1), a2: Array::identity(m), target: target.clone(), mask }], form);
            let problem = map.problem();
            let s = matrix(seed ^ 2, 1, m).map(|v| size * v);
            let (_, _, here) = map_at(&problem, &s);
            let scale = norm(here.as_slice());
            let beta = problem.certify(&s, Certify::Full).unwrap().facts.convex_here.unwrap();
            let least = eigenvalues(&here)[0];
            prop_assert!(least >= -beta - 1e-14 * scale.max(1e-2), "{form:?}: {least} below -{beta}");
            if form == Form::CrossEntropy {
                prop_assert_eq!(beta, 0.0);
            }
            let other = like(&s, moved(s.as_slice(), apart, &vector(seed ^ 3, m)));
            let (_, _, there) = map_at(&problem, &other);
            let change = spectral(&like(&here, moved(here.as_slice(), -1.0, there.as_slice())));
            let step = moved(other.as_slice(), -1.0, s.as_slice());
            let mean = step.iter().sum::<f64>() / m as f64;
            let length = norm(&step.iter().map(|v| v - mean).collect::<Vec<_>>());
            let unit = |j: usize| (0..m).map(|k| f64::from(u8::from(k == j))).collect::<Vec<_>>();
            let k = match form {
                Form::Normalised => {
                    let residual = (0..m).map(|j| norm(&moved(&unit(j), -1.0, target.row(0)))).fold(0.0, f64::max);
                    bounds::lipschitz(2f64.sqrt(), residual)
                }
                Form::CrossEntropy => 2f64.sqrt() / 27f64.sqrt(),
                Form::Rescaled => continue,
            };
            prop_assert!(change <= k * length + 1e-13 * scale, "{form:?}: {change} for {}", k * length);
        }
    }

    /// Theorem 8: maps move by at most half as much as their logits.
    #[test]
    fn a_map_moves_by_half_of_its_logits_at_most(seed in any::<u64>(), size in 0.1f64..8.0, apart in 1e-3f64..4.0) {
        let mask = Masked::of_kind(seed, seed, 5, 6);
        let mut map = Map::random(seed, Form::Normalised, [5, 6, 2, 3], mask.clone());
        let x = map.point(seed ^ 5, size);
        let change = map.point(seed ^ 6, apart);
        let s = &mut map.sequences[0];
        s.target = softmax(&logits(&s.a1, &x, &s.a2, 1.0), &mask);
        let there = like(&x, moved(x.as_slice(), 1.0, change.as_slice()));
        let distance = map.problem().evaluate(&there).unwrap().loss.to_f64().unwrap().sqrt();
        let of_logits = logits(&map.sequences[0].a1, &change, &map.sequences[0].a2, 1.0);
        let seen = (0..5).flat_map(|i| (0..6).map(move |j| (i, j))).filter(|&(i, j)| mask.sees(i, j));
        let length = seen.map(|(i, j)| of_logits.row(i)[j].powi(2)).sum::<f64>().sqrt();
        prop_assert!(distance <= 0.5 * length + 1e-14, "{distance} for logits {length} apart");
    }
}

#[test]
fn the_lipschitz_constant_is_nearly_reached_by_two_keys_far_from_their_target() {
    // One value of 1 and one of 0, a target far away: K is R D / sqrt 2 to leading order, reached at f = (1/2, 1/2).
    let values = Array::matrix(2, 1, vec![1.0, 0.0]).unwrap();
    let layer = row_layer(&values, &[1e6]);
    let problem = layer.problem();
    let at = |t: f64| {
        let at = Params { x: Array::matrix(1, 2, vec![t, -t]).unwrap(), y: Array::identity(1) };
        top_left(&problem.evaluate(&at).unwrap().hessian(Curvature::Exact).unwrap(), 2)
    };
    let (a, b) = (at(-1e-3), at(1e-3));
    let rate = spectral(&like(&a, moved(a.as_slice(), -1.0, b.as_slice()))) / (2e-3 * 2f64.sqrt());
    let k = bounds::lipschitz(1.0, 1e6);
    assert!(rate <= k && rate > 0.9999 * k, "{rate} for {k}");
}

#[test]
fn stability_in_context_is_that_of_the_reference() {
    let case = Case::open("incontext");
    let [a1, a2, x] = ["A1", "A2", "X"].map(|name| case.array(name));
    let [ex, e1, e2] = ["EX", "E1", "E2"].map(|name| case.array(name));
    let target = softmax(&logits(&a1, &x, &a2, 1.0), &Masked::All);
    let rows = case.array("rows");
    for r in 0..rows.rows() {
        let row = rows.row(r);
        let t = row[0];
        let tolerance = if t >= 1e-3 { 1e-10 } else { 1e-6 };
        let of = |a1: Array, a2: Array, x: Array| {
            let map = Map::new(vec![MapSequence { a1, a2, target: target.clone(), mask: Masked::All }], Form::Normalised);
            map.problem().evaluate(&x).unwrap().loss.to_f64().unwrap().sqrt()
        };
        let shift = |a: &Array, e: &Array| like(a, moved(a.as_slice(), t, e.as_slice()));
        let (by_x, by_inputs) = (of(a1.clone(), a2.clone(), shift(&x, &ex)), of(shift(&a1, &e1), shift(&a2, &e2), x.clone()));
        assert!((by_x / row[1] - 1.0).abs() < tolerance && (by_inputs / row[3] - 1.0).abs() < tolerance, "{t}: {by_x} {by_inputs}");
        assert!(by_x <= 0.5 * row[2] && by_inputs <= 0.5 * row[4]);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (heads, kind) in [(1, 1), (2, 0), (1, 4)] {
        let (n, m) = (203, 151);
        let of = |h: u64| [matrix(h, n, 4), matrix(h ^ 1, m, 5), matrix(h ^ 2, m, 3)];
        let mask = Masked::of_kind(kind, 3, n, m);
        let sequence = LayerSequence { heads: (0..heads).map(|h| of(10 * h)).collect(), target: matrix(77, n, 2), mask };
        let mut layer = Layer::new(vec![sequence]);
        layer.logit_reg = (1e-3, 1e-3);
        let (problem, at, direction) = (layer.problem(), layer.params(1, 1.0), layer.params(2, 1.0));
        same_bits(|| {
            let evaluation = problem.linearise(&at).unwrap();
            let product = flat(&evaluation.hessian_times(&direction, Curvature::Exact).unwrap());
            let hessian = if heads == 1 { evaluation.hessian(Curvature::Exact).unwrap() } else { Array::zeros([1, 1]) };
            (evaluation.loss, flat(&evaluation.gradient), product, hessian)
        });
        for method in [Method::Krylov, Method::DenseNewton, Method::Lbfgs] {
            if heads > 1 && method == Method::DenseNewton {
                continue;
            }
            same_bits(|| {
                let solver = layer::Solver::default().with_method(method).with_max_iterations(3).with_certify(Certify::Full);
                let fit = solver.with_start(at.clone()).solve(&problem).unwrap();
                let k = fit.facts.kantorovich.unwrap_or_default();
                ((fit.loss, flat(&fit.params), fit.trace), (k.mu, k.eta, k.h, k.lipschitz, k.logit_distance), fit.facts.convex_here)
            });
        }
    }
    for form in FORMS {
        let mut map = Map::random(5, form, [203, 151, 4, 5], Masked::Window(20, 3));
        map.logit_reg = 1e-3;
        let (problem, x, direction) = (map.problem(), map.point(1, 1.0), map.point(2, 1.0));
        same_bits(|| {
            let evaluation = problem.evaluate(&x).unwrap();
            let product = evaluation.hessian_times(&direction).unwrap();
            (evaluation.loss, evaluation.gradient.clone(), product, evaluation.hessian().unwrap())
        });
        for method in [Method::Krylov, Method::DenseNewton, Method::Lbfgs] {
            same_bits(|| {
                let fit = map::Solver::default().with_method(method).with_max_iterations(3).with_certify(Certify::Full);
                let fit = fit.solve(&problem).unwrap();
                let k = fit.facts.kantorovich.unwrap_or_default();
                ((fit.loss, fit.x, fit.trace), (k.mu, k.eta, k.h, k.lipschitz, k.logit_distance), fit.facts.convex_here)
            });
        }
    }
}

#[test]
fn what_the_model_made_is_found_again_from_nearby() {
    for seed in 0..6 {
        let mut layer = Layer::random(seed, [40, 12, 2, 3, 3, 2]).with_mask(Masked::of_kind(seed % 2, seed, 40, 12));
        let truth = layer.params(seed ^ 5, 1.5);
        layer.sequences[0].target = layer.outputs(0, &truth);
        let problem = layer.problem();
        let size = dot(layer.sequences[0].target.as_slice(), layer.sequences[0].target.as_slice());
        let start = unflat(&truth, &moved(&flat(&truth), 0.03, &vector(seed ^ 9, flat(&truth).len())));
        for method in [Method::DenseNewton, Method::Krylov] {
            let solver = layer::Solver::default().with_method(method).with_gradient_tolerance(1e-11).with_start(start.clone());
            let fit = solver.solve(&problem).unwrap();
            assert_layer(&fit, "recovery");
            assert!(fit.loss <= 1e-18 * size, "seed {seed} {method:?}: {:e} of {size}", fit.loss);
            let off = difference(&flat(&fit.params), &flat(&truth));
            assert!(off < 1e-6, "seed {seed} {method:?}: {off:e}");
            assert_eq!(fit.certificate.verdict(), Verdict::Holds, "{}", fit.certificate);
        }
        // A map: only X.
        for form in [Form::Normalised, Form::CrossEntropy] {
            let [a1, a2, _] = layer.sequences[0].heads[0].clone();
            let mask = layer.sequences[0].mask.clone();
            let target = softmax(&logits(&a1, &truth.x, &a2, 1.0), &mask);
            let map = Map::new(vec![MapSequence { a1, a2, target, mask }], form);
            let solver = map::Solver::default().with_gradient_tolerance(1e-11).with_start(start.x.clone());
            let fit = solver.solve(&map.problem()).unwrap();
            assert_map(&fit, "recovery");
            assert!(difference(fit.x.as_slice(), truth.x.as_slice()) < 1e-7, "{form:?}");
        }
    }
}

#[test]
fn a_fit_is_never_worse_than_its_start_and_its_losses_fall() {
    for seed in 0..12 {
        for heads in [1, 2] {
            let layer = some_layer(seed, heads);
            let problem = layer.problem();
            let start = layer.params(seed ^ 5, 1.0 + seed as f64);
            for method in [Method::Auto, Method::DenseNewton, Method::Krylov, Method::Lbfgs] {
                if heads > 1 && method == Method::DenseNewton {
                    continue;
                }
                let solver = layer::Solver::default().with_method(method).with_start(start.clone()).with_max_iterations(20);
                let label = format!("seed {seed}, {heads} heads, {method:?}");
                let fits = [solver.solve(&problem).unwrap(), solver.fit_values(&problem).unwrap(), solver.fit_scores(&problem).unwrap()];
                let defined = layer.defined_loss(&start);
                for fit in &fits {
                    assert_layer(fit, &label);
                    assert!(fit.loss <= defined * (1.0 + 1e-12), "{label}");
                    assert!((fit.facts.loss_start - defined).abs() <= 1e-12 * defined, "{label}");
                    let again = layer.defined_loss(&fit.params);
                    assert!(
                        (fit.loss - again).abs() <= 1e-11 * again + 1e-14 * again.sqrt() + 1e-28,
                        "{label}: {} is not the loss {again}",
                        fit.loss
                    );
                    assert!((fit.trace[0] / defined - 1.0).abs() < 1e-10 && fit.trace.len() >= 2, "{label}");
                }
                assert_eq!(fits[1].params.x, start.x, "{label}");
                // The best Y: no slope is left in Y.
                let slope = norm(problem.evaluate(&fits[1].params).unwrap().gradient.y.as_slice());
                let before = norm(problem.evaluate(&start).unwrap().gradient.y.as_slice());
                assert!(slope <= 1e-10 * before.max(1.0), "{label}: a slope of {slope:e} in Y");
                assert_eq!(fits[2].params.y, start.y, "{label}");
            }
        }
        for form in FORMS {
            let mut map = some_map(seed, form);
            if form == Form::Rescaled && map.ridge == 0.0 {
                map.ridge = 1e-2;
            }
            let problem = map.problem();
            let start = map.point(seed ^ 5, 1.0 + seed as f64);
            for method in [Method::Auto, Method::DenseNewton, Method::Krylov, Method::Lbfgs] {
                let solver = map::Solver::default().with_method(method).with_start(start.clone()).with_max_iterations(20);
                let fit = solver.solve(&problem).unwrap();
                let label = format!("seed {seed}, {form:?}, {method:?}");
                assert_map(&fit, &label);
                let (defined, end) = (map.defined_loss(&start), fit.loss.to_f64().unwrap());
                assert!((fit.loss_start.to_f64().unwrap() - defined).abs() <= 1e-11 * defined.abs() + 1e-14, "{label}");
                assert!((map.defined_loss(&fit.x) - end).abs() <= 1e-11 * end.abs() + 1e-14, "{label}");
            }
        }
    }
}

#[test]
fn the_normalised_fit_from_the_convex_one_is_no_worse_than_from_zero() {
    for name in ["norm", "norm_causal"] {
        let case = Case::open(name);
        let (a1, a2, b) = (case.array("A1"), case.array("A2"), case.array("B"));
        let mask = case.mask();
        let mut sequence = map::Sequence::new(&a1, &a2, &b);
        if let Some(mask) = &mask {
            sequence = sequence.with_mask(certus_attention::Mask::Dense(mask));
        }
        let problem = map::Problem::new(vec![sequence], Form::Normalised).unwrap().with_scale(case.number("tau")).unwrap();
        for problem in [problem.clone(), problem.with_logit_reg(case.number("lx")).unwrap()] {
            let solver = map::Solver::default().with_gradient_tolerance(1e-9).with_max_iterations(200);
            let (zero, convex) = (solver.solve(&problem).unwrap(), solver.clone().with_convex_start().solve(&problem).unwrap());
            assert_map(&zero, name);
            assert!(convex.loss.ratio(zero.loss) <= 1.0 + 1e-9, "{name}: {:?} for {:?}", convex.loss, zero.loss);
        }
    }
}

/// A minimum in X near a point, by Newton steps of least norm: not the library's solver. `None` where they do not settle.
fn settle(x: &Array, derivatives: impl Fn(&Array) -> (Vec<f64>, Array)) -> Option<Array> {
    let mut x = x.clone();
    let mut last = f64::INFINITY;
    for _ in 0..60 {
        let (gradient, hessian) = derivatives(&x);
        let eigen = symmetric_eigen(view(&hessian)).ok()?;
        let largest = eigen.values.iter().fold(0.0f64, |l, v| l.max(v.abs()));
        let mut step = vec![0.0; gradient.len()];
        for (k, value) in eigen.values.iter().enumerate().filter(|(_, v)| v.abs() > 1e-11 * largest) {
            let v = eigen.vectors.col(k).iter().copied().collect::<Vec<_>>();
            step = moved(&step, -dot(&v, &gradient) / value, &v);
        }
        x = like(&x, moved(x.as_slice(), 1.0, &step));
        let length = norm(&step);
        if !length.is_finite() {
            return None;
        }
        if length >= 0.5 * last && length < 1e-12 {
            return Some(x);
        }
        last = length;
    }
    None
}

/// What the test promises of a point against the minimum near it, and how good its numbers are: whether it fired.
fn check_promise(k: &Kantorovich, hessian: &Array, metric: &Array, distance: f64, gap: f64, size: f64, label: &str) -> bool {
    let (Some(radius), Some(bound), Some(h)) = (k.logit_radius, k.gap, k.h) else {
        return false;
    };
    assert!(distance <= radius * (1.0 + 1e-9) + 1e-13, "{label}: the minimum is {distance:e} away, beyond {radius:e}: {k:?}");
    assert!(gap <= bound + 1e-14 * size, "{label}: the loss is {gap:e} above the minimum, more than {bound:e}: {k:?}");
    assert!(h <= 0.5);
    // mu is below the true one, if that can be computed.
    if let Ok(eigen) = generalized_symmetric_eigen(view(metric), view(hessian)) {
        let mu = k.mu.expect("mu");
        let true_mu = 1.0 / eigen.values.last().copied().unwrap();
        assert!(mu <= true_mu * (1.0 + 1e-9), "{label}: mu {mu:e} above {true_mu:e}");
        if !k.directions_left_out {
            assert!(mu >= 0.05 * true_mu, "{label}: mu {mu:e} far below {true_mu:e}");
        }
    }
    true
}

/// The logit metric, by the definition.
fn metric(pairs: &[(&Array, &Array)], scale: f64) -> Array {
    let (d1, d2) = (pairs[0].0.cols(), pairs[0].1.cols());
    let mut sum = Array::zeros([d1 * d2, d1 * d2]);
    for (a1, a2) in pairs {
        let (g1, g2) = (times(&a1.transposed(), a1), times(&a2.transposed(), a2));
        for i in 0..d1 * d2 {
            for j in 0..d1 * d2 {
                sum.row_mut(i)[j] += scale * scale * g1.row(i / d2)[j / d2] * g2.row(i % d2)[j % d2];
            }
        }
    }
    sum
}

#[test]
fn the_radius_contains_the_minimum_and_the_gap_the_loss_above_it_for_layers() {
    let mut fired = 0;
    for seed in 0..60u64 {
        let mut layer = Layer::random(seed, [7, 5, 2, 2, 2, 2]).with_mask(Masked::of_kind(seed, seed, 7, 5));
        if seed.is_multiple_of(4) {
            let more = Layer::random(seed ^ 0xfff, [4, 6, 2, 2, 2, 2]).sequences.remove(0);
            layer.sequences.push(more);
        }
        layer.scale = 0.8;
        layer.logit_reg = ([0.0, 1e-2, 0.3][(seed % 3) as usize], 0.0);
        layer.ridge = ([0.0, 1e-2][(seed / 3 % 2) as usize], 1e-3);
        let problem = layer.problem();
        let start = layer.params(seed ^ 5, 0.5);
        let fit = layer::Solver::default().with_start(start).with_gradient_tolerance(1e-6).solve(&problem).unwrap();
        assert_layer(&fit, &format!("seed {seed}"));
        let y = fit.params.y.clone();
        let derivatives = |x: &Array| {
            let evaluation = problem.evaluate(&Params { x: x.clone(), y: y.clone() }).unwrap();
            (evaluation.gradient.x.into_vec(), top_left(&evaluation_hessian(&problem, x, &y), 4))
        };
        let pairs = layer.sequences.iter().map(|s| (&s.heads[0][0], &s.heads[0][1])).collect::<Vec<_>>();
        let metric = metric(&pairs, layer.scale);
        for (k, size) in [0.0, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0].into_iter().enumerate() {
            let x = like(&fit.params.x, moved(fit.params.x.as_slice(), size, &vector(seed ^ (100 + k as u64), 4)));
            let at = Params { x: x.clone(), y: y.clone() };
            let label = format!("seed {seed}, moved by {size:e}");
            let certified = problem.certify(&at, Certify::Full).unwrap();
            assert_layer(&certified, &label);
            let found = certified.facts.kantorovich.expect("a test");
            if found.logit_radius.is_none() {
                assert_ne!(certified.certificate.verdict(), Verdict::Holds, "{label}");
                continue;
            }
            let minimum = settle(&x, derivatives).unwrap_or_else(|| panic!("{label}: Newton's steps must converge: {found:?}"));
            let distance = layer.logit_length(&like(&x, moved(x.as_slice(), -1.0, minimum.as_slice())));
            let gap = certified.loss - layer.defined_loss(&Params { x: minimum.clone(), y: y.clone() });
            let hessian = top_left(&evaluation_hessian(&problem, &x, &y), 4);
            fired += u32::from(check_promise(&found, &hessian, &metric, distance, gap, certified.loss, &label));
            // The library's own fit of the scores goes there too.
            let solver = layer::Solver::default().with_start(at).with_gradient_tolerance(1e-13);
            let scores = solver.fit_scores(&problem).unwrap();
            let off = layer.logit_length(&like(&x, moved(scores.params.x.as_slice(), -1.0, minimum.as_slice())));
            assert!(off <= 1e-5, "{label}: fit_scores ends {off:e} away");
        }
    }
    assert!(fired > 150, "the test fired {fired} times of 420");
}

fn evaluation_hessian(problem: &layer::Problem<'_>, x: &Array, y: &Array) -> Array {
    problem.evaluate(&Params { x: x.clone(), y: y.clone() }).unwrap().hessian(Curvature::Exact).unwrap()
}

#[test]
fn the_radius_contains_the_minimum_and_the_gap_the_loss_above_it_for_maps() {
    for form in FORMS {
        let mut fired = 0;
        for seed in 0..40u64 {
            let mut map = Map::random(seed, form, [7, 5, 2, 2], Masked::of_kind(seed, seed, 7, 5));
            map.scale = 0.8;
            map.logit_reg = [1e-3, 1e-2, 0.3][(seed % 3) as usize];
            map.ridge = [0.0, 1e-2][(seed / 3 % 2) as usize];
            let problem = map.problem();
            let fit = map::Solver::default().with_gradient_tolerance(1e-6).solve(&problem).unwrap();
            assert_map(&fit, &format!("{form:?}, seed {seed}"));
            let metric = metric(&[(&map.sequences[0].a1, &map.sequences[0].a2)], map.scale);
            let derivatives = |x: &Array| {
                let (_, gradient, hessian) = map_at(&problem, x);
                (gradient.into_vec(), hessian)
            };
            for (k, size) in [0.0, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0].into_iter().enumerate() {
                let x = like(&fit.x, moved(fit.x.as_slice(), size, &vector(seed ^ (100 + k as u64), 4)));
                let label = format!("{form:?}, seed {seed}, moved by {size:e}");
                let certified = problem.certify(&x, Certify::Full).unwrap();
                assert_map(&certified, &label);
                let found = certified.facts.kantorovich.expect("a test");
                if found.logit_radius.is_none() {
                    assert_ne!(certified.certificate.verdict(), Verdict::Holds, "{label}");
                    continue;
                }
                let minimum = settle(&x, derivatives).unwrap_or_else(|| panic!("{label}: Newton's steps must converge: {found:?}"));
                let distance = map.logit_length(&like(&x, moved(x.as_slice(), -1.0, minimum.as_slice())));
                let loss = certified.loss.to_f64().unwrap();
                let gap = loss - map.defined_loss(&minimum);
                let (_, _, hessian) = map_at(&problem, &x);
                fired += u32::from(check_promise(&found, &hessian, &metric, distance, gap, loss.max(1.0), &label));
            }
        }
        assert!(fired > 100, "{form:?}: the test fired {fired} times of 280");
    }
}

#[test]
fn a_real_head_is_certified_where_it_is_fitted_and_not_beside() {
    let case = Case::open("real/refit_head");
    let (a1, a2, a3, b) = (case.array("A1"), case.array("A2"), case.array("A3"), case.array("B"));
    let identity = Params { x: Array::identity(32), y: Array::identity(32) };
    let problem = layer::Problem::new(vec![layer::Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_scale(case.number("tau")).unwrap();
    let problem = problem.with_logit_reg(case.number("lx"), case.number("ly")).unwrap().with_reference(&identity).unwrap();
    let fit = layer::Solver::default().with_gradient_tolerance(1e-6).with_certify(Certify::Full).solve(&problem).unwrap();
    assert_layer(&fit, "a real head");
    assert!((fit.loss / case.number("reg_loss_star") - 1.0).abs() < 1e-8, "{} for {}", fit.loss, case.number("reg_loss_star"));
    assert!(fit.status.reached() && fit.facts.iterations <= 10, "{} iterations, {}", fit.facts.iterations, fit.status);
    assert_eq!(fit.certificate.verdict(), Verdict::Holds, "{}", fit.certificate);
    assert!(warns(&fit.warnings, "Overfitting"));
    let tight = layer::Solver::default().with_gradient_tolerance(1e-10).with_start(fit.params.clone()).solve(&problem).unwrap();
    assert!(tight.facts.kantorovich.unwrap().h.unwrap() < 0.1, "{:?}", tight.facts.kantorovich);
    let beside = Params {
        x: like(&fit.params.x, moved(fit.params.x.as_slice(), 1e-4, &vector(1, 1024).iter().map(|v| v.signum()).collect::<Vec<_>>())),
        y: fit.params.y.clone(),
    };
    let certified = problem.certify(&beside, Certify::Full).unwrap();
    assert_layer(&certified, "beside a real head");
    assert_eq!(certified.certificate.verdict(), Verdict::NotApplicable, "{}", certified.certificate);
    // beta at the start and at the minimiser, as the text has them.
    let at_start = problem.certify(&identity, Certify::Full).unwrap().facts.convex_here.unwrap();
    assert!(
        (at_start - 0.53).abs() < 0.01 && (fit.facts.convex_here.unwrap() - 0.040).abs() < 0.004,
        "{at_start} {:?}",
        fit.facts.convex_here
    );
}

/// Head h of a capture of k heads, n x 32.
fn captured(case: &Case, name: &str, h: usize) -> Array {
    case.heads(name).swap_remove(h)
}

#[test]
fn the_captures_of_a_real_transformer_are_what_the_layer_computes() {
    let case = Case::open("real/harbour_L3");
    let (ctx, scale) = (case.array("ctx"), 1.0 / 32f64.sqrt());
    let identity = Params { x: Array::identity(32), y: Array::identity(32) };
    for h in [0, 5, 11] {
        let [q, k, v, probs] = ["q", "k", "v", "probs"].map(|name| captured(&case, name, h));
        let out = Array::from_fn(ctx.rows(), 32, |i, j| ctx.row(i)[32 * h + j]);
        let by_hand = times(&probs, &v);
        assert!(by_hand.as_slice().iter().zip(out.as_slice()).all(|(a, b)| (a - b).abs() < 2e-5), "probs v is not ctx");
        let problem = layer::Problem::new(vec![layer::Sequence::new(&q, &k, &v, &out)]).unwrap().with_scale(scale).unwrap();
        let loss = problem.evaluate(&identity).unwrap().loss;
        assert!(loss <= out.len() as f64 * 4e-10, "head {h}: {loss:e}");
        let map = map::Problem::new(vec![map::Sequence::new(&q, &k, &probs)], Form::Normalised).unwrap().with_scale(scale).unwrap();
        let loss = map.evaluate(&identity.x).unwrap().loss.to_f64().unwrap();
        assert!(loss <= probs.len() as f64 * 4e-10, "head {h}: {loss:e}");
        let all = logits(&q, &identity.x, &k, scale);
        assert!(all.as_slice().iter().all(|s| (-16.0..=12.0).contains(s)));
    }
    // From the weights: q, and the same map in the coordinates of the model.
    let (weights, hidden) = (Case::open("real/weights_L3"), case.array("hidden"));
    let (wq, bq) = (weights.array("wq"), weights.array("bq"));
    let (all, q) = (times(&hidden, &wq), captured(&case, "q", 2));
    for i in 0..q.rows() {
        for j in 0..32 {
            assert!((all.row(i)[64 + j] + bq.as_slice()[64 + j] - q.row(i)[j]).abs() < 1e-4, "hidden wq + bq is not q at {i}, {j}");
        }
    }
}

#[test]
fn hidden_states_after_a_layer_norm_have_gauge_directions() {
    let case = Case::open("real/harbour_L3");
    let (hidden, q) = (case.array("hidden"), captured(&case, "q", 0));
    // Fewer columns than tokens, so that the constant is no accident: of the whole, its 63 tokens span everything.
    let target = distributions(1, 63, 63, &Masked::All);
    let problem = map::Problem::new(vec![map::Sequence::new(&q, &hidden, &target)], Form::Normalised).unwrap();
    let zero = Array::zeros([32, 384]);
    let solution = map::Solver { start: Some(zero), ..map::Solver::default() }.with_max_iterations(1).solve(&problem).unwrap();
    assert_map(&solution, "hidden");
    assert!(solution.facts.constant_in_keys && warns(&solution.warnings, "GaugeDirections"), "{:?}", solution.warnings);
    // Projected keys have none.
    let keys = captured(&case, "k", 0);
    let problem = map::Problem::new(vec![map::Sequence::new(&q, &keys, &target)], Form::Normalised).unwrap();
    let solution = map::Solver::default().with_max_iterations(1).solve(&problem).unwrap();
    assert!(!solution.facts.constant_in_keys && !warns(&solution.warnings, "GaugeDirections"), "{:?}", solution.warnings);
}

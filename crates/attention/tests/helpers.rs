//! What stands on the fits: stability, recovery, absorption, hold-outs, and what a head is worth.

use certus_attention::absorb::{HeadWeights, Rotary, Side, absorb};
use certus_attention::layer::{Accumulator, Head, Params, Problem, Sequence, Solver};
use certus_attention::map::{self, Form};
use certus_attention::merge::merge_heads;
use certus_attention::recover::{Projections, Recovery, output, round_columns};
use certus_attention::stability::{Attention, measure};
use certus_attention::{Certify, Error, Mask, Method, Split};
use certus_contract::Verdict;
use certus_linalg::product::matmul;
use certus_linalg::view::{to_array, view};
use certus_numeric::Array;

use crate::support::{Case, matrix};

fn plus(a: &Array, factor: f64, b: &Array) -> Array {
    Array::from_fn(a.rows(), a.cols(), |i, j| a.row(i)[j] + factor * b.row(i)[j])
}

#[test]
fn changes_of_a_map_are_those_of_the_reference_case() {
    let case = Case::open("incontext");
    let (a1, a2, x) = (case.array("A1"), case.array("A2"), case.array("X"));
    let before = Attention { a1: &a1, a2: &a2, x: &x };
    let rows = case.array("rows");
    for row in (0..rows.rows()).map(|i| rows.row(i)) {
        let t = row[0];
        let tolerance = if t >= 1e-3 { 1e-10 } else { 1e-6 };
        let (new_x, new_a1, new_a2) = (plus(&x, t, &case.array("EX")), plus(&a1, t, &case.array("E1")), plus(&a2, t, &case.array("E2")));
        let by_x = measure(&before, &Attention { x: &new_x, ..before }, 1.0, Mask::None).unwrap();
        let by_inputs = measure(&before, &Attention { a1: &new_a1, a2: &new_a2, x: &x }, 1.0, Mask::None).unwrap();
        for (found, expected) in [(&by_x, &row[1..3]), (&by_inputs, &row[3..5])] {
            assert!((found.map_change / expected[0] - 1.0).abs() < tolerance && (found.logit_change / expected[1] - 1.0).abs() < tolerance);
            assert!(found.map_change <= found.half_logit_change && found.half_logit_change <= found.half_norm_product * (1.0 + 1e-12));
        }
    }
}

#[test]
fn the_bound_of_a_half_is_reached_by_two_keys() {
    let (a1, a2) = (Array::matrix(1, 1, vec![1.0]).unwrap(), Array::matrix(2, 1, vec![1.0, -1.0]).unwrap());
    let x = |v: f64| Array::matrix(1, 1, vec![v]).unwrap();
    let (zero, near) = (x(0.0), x(1e-4));
    let found = measure(&Attention { a1: &a1, a2: &a2, x: &zero }, &Attention { a1: &a1, a2: &a2, x: &near }, 1.0, Mask::None).unwrap();
    assert!((found.map_change / found.logit_change - 0.5).abs() < 1e-8, "{found:?}");
}

#[test]
fn a_head_that_is_dropped_costs_what_refitting_the_others_does() {
    let heads = (0..3).map(|h| [matrix(10 + h, 9, 3), matrix(20 + h, 7, 2), matrix(30 + h, 7, 2)]).collect::<Vec<_>>();
    let (target, x) = (matrix(5, 9, 4), matrix(6, 9, 2));
    let problem = |kept: &[usize]| {
        let heads = kept.iter().map(|&h| Head { a1: &heads[h][0], a2: &heads[h][1], a3: &heads[h][2] }).collect();
        Problem::new(vec![Sequence::of_heads(heads, &target)]).unwrap().with_logit_reg(0.0, 0.3).unwrap().with_ridge(0.0, 0.1).unwrap()
    };
    let of = |kept: &[usize]| {
        let mut all = Array::zeros(if kept.len() == 1 { vec![3, 2] } else { vec![kept.len(), 3, 2] });
        all.as_mut_slice().chunks_mut(6).zip(kept).for_each(|(into, &h)| into.copy_from_slice(&x.as_slice()[6 * h..6 * (h + 1)]));
        all
    };
    let best = |kept: &[usize]| {
        let problem = problem(kept);
        let start = Params { x: of(kept), y: problem.reference().y };
        Solver::default().with_start(start).fit_values(&problem).unwrap().loss
    };
    let costs = problem(&[0, 1, 2]).head_drop_cost(&of(&[0, 1, 2])).unwrap();
    for (h, others) in [[1, 2], [0, 2], [0, 1]].into_iter().enumerate() {
        let grown = best(&others) - best(&[0, 1, 2]);
        assert!((costs[h] / grown - 1.0).abs() < 1e-9, "head {h}: {} and {grown}", costs[h]);
    }
}

#[test]
fn a_recovered_head_gives_less_error_and_what_was_set_aside_is_not_fitted() {
    let case = Case::open("real/harbour_L3");
    let [q, k, v] = ["q", "k", "v"].map(|name| case.heads(name).swap_remove(3));
    let rounded = [round_columns(&q, 3).unwrap(), round_columns(&k, 3).unwrap(), round_columns(&v, 3).unwrap()];
    let head = Projections { q: &q, k: &k, v: &v };
    let [rq, rk, rv] = &rounded;
    let rounded = Projections { q: rq, k: rk, v: rv };
    let whole = Recovery::default().recover(&head, &rounded).unwrap();
    assert!(whole.errors.fitted < whole.errors.values_only && whole.errors.values_only < whole.errors.rounded && whole.holdout.is_none());
    let split = Recovery { holdout: Some(0.3), mask: Mask::Causal, ..Recovery::default() }.recover(&head, &rounded).unwrap();
    let aside = split.holdout.unwrap();
    assert!(split.errors.fitted < aside.fitted && aside.rounded > 0.0);
    // The output is that of the capture.
    let ctx = case.array("ctx");
    let given = output(&head, 1.0 / 32f64.sqrt(), Mask::None).unwrap();
    let off =
        (0..63).flat_map(|i| (0..32).map(move |j| (i, j))).fold(0.0f64, |w, (i, j)| w.max((given.row(i)[j] - ctx.row(i)[96 + j]).abs()));
    assert!(off < 2e-5, "{off}");
}

#[test]
fn a_split_keeps_every_query_once() {
    let (a1, a2, a3, b) = (matrix(1, 10, 2), matrix(2, 10, 2), matrix(3, 10, 2), matrix(4, 10, 2));
    let sequences = [Sequence::new(&a1, &a2, &a3, &b).with_mask(Mask::Causal)];
    let split = Split::new(&sequences, 0.25).unwrap();
    let at = Params { x: matrix(5, 2, 2), y: matrix(6, 2, 2) };
    let loss = |sequences: Vec<Sequence<'_>>| Problem::new(sequences).unwrap().data_loss(&at).unwrap();
    let (kept, aside, whole) = (loss(split.kept()), loss(split.set_aside()), loss(sequences.to_vec()));
    assert!(((kept + aside) / whole - 1.0).abs() < 1e-12);
    assert_eq!(Problem::new(split.set_aside()).unwrap().queries(), 3);
    for fraction in [0.0, 1.0, f64::NAN, -0.5] {
        assert_eq!(Error::from(Split::new(&sequences, fraction).unwrap_err()).kind(), "InvalidParameter");
    }
}

#[test]
fn absorbed_weights_give_the_same_and_rotations_refuse() {
    let (hidden, wq, wk, wv, wo) = (matrix(1, 12, 6), matrix(2, 6, 4), matrix(3, 6, 4), matrix(4, 6, 4), matrix(5, 4, 6));
    let head = HeadWeights { wq, bq: vec![0.1, -0.2, 0.3, 0.0], wk, bk: vec![0.5, 0.0, -0.1, 0.2], wo };
    let fit = Params { x: matrix(6, 4, 4), y: matrix(7, 4, 4) };
    let times = |a: &Array, b: &Array| to_array(matmul(view(a), view(b)).as_ref());
    let project = |w: &Array, b: &[f64]| {
        let p = times(&hidden, w);
        Array::from_fn(p.rows(), p.cols(), |i, j| p.row(i)[j] + b[j])
    };
    let v = times(&hidden, &wv);
    let give = |head: &HeadWeights, fit: Option<&Params>| {
        let (q, k) = (project(&head.wq, &head.bq), project(&head.wk, &head.bk));
        let identity = Params { x: Array::identity(4), y: Array::identity(4) };
        let zero = Array::zeros([12, 4]);
        let problem = Problem::new(vec![Sequence::new(&q, &k, &v, &zero)]).unwrap().with_scale(0.5).unwrap();
        times(&problem.outputs(fit.unwrap_or(&identity)).unwrap().remove(0), &head.wo)
    };
    let expected = give(&head, Some(&fit));
    for into in [Side::Query, Side::Key] {
        let found = give(&absorb(&head, &fit, into, Rotary::None).unwrap(), None);
        assert!(found.as_slice().iter().zip(expected.as_slice()).all(|(a, b)| (a - b).abs() < 1e-12));
        for rotary in [Rotary::Neighbours, Rotary::Halves] {
            let error = absorb(&head, &fit, into, rotary).unwrap_err();
            assert_eq!(error.kind(), "NotAbsorbable");
        }
    }
    // Scaled rotations of the pairs (0, 2) and (1, 3) commute with the one, and not with the other.
    let pairs = Array::matrix(4, 4, vec![2.0, 0.0, 1.0, 0.0, 0.0, 3.0, 0.0, -1.0, -1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 0.0, 3.0]).unwrap();
    let fit = Params { x: pairs, y: Array::identity(4) };
    assert!(absorb(&head, &fit, Side::Query, Rotary::Halves).is_ok());
    assert_eq!(absorb(&head, &fit, Side::Query, Rotary::Neighbours).unwrap_err().kind(), "NotAbsorbable");
    let narrow = Params { x: Array::identity(3), y: Array::identity(4) };
    assert_eq!(absorb(&head, &narrow, Side::Query, Rotary::None).unwrap_err().kind(), "DimensionMismatch");
}

#[test]
fn a_sampled_hessian_preconditions_and_the_answer_is_the_same() {
    let (a1, a2, a3, b) = (matrix(1, 600, 4), matrix(2, 20, 4), matrix(3, 20, 3), matrix(4, 600, 3));
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_logit_reg(0.05, 0.05).unwrap();
    let solve = |method| Solver::default().with_method(method).with_gradient_tolerance(1e-10).solve(&problem).unwrap();
    let (sketched, exact) = (solve(Method::Sketched), solve(Method::DenseNewton));
    assert!((sketched.loss / exact.loss - 1.0).abs() < 1e-12, "{} {}", sketched.loss, exact.loss);
}

#[test]
fn shards_add_up_to_the_whole() {
    let inputs = (0..3).map(|s| [matrix(s, 6, 2), matrix(10 + s, 5, 2), matrix(20 + s, 5, 2), matrix(30 + s, 6, 3)]).collect::<Vec<_>>();
    let sequences = inputs.iter().map(|[a1, a2, a3, b]| Sequence::new(a1, a2, a3, b)).collect::<Vec<_>>();
    let at = Params { x: matrix(5, 2, 2), y: matrix(6, 2, 3) };
    let of = |sequences: &[Sequence<'_>]| {
        let problem = Problem::new(sequences.to_vec()).unwrap();
        Accumulator::new(&problem.evaluate(&at).unwrap(), true).unwrap()
    };
    let whole = of(&sequences);
    let mut sum = of(&sequences[..1]);
    sum.merge(&of(&sequences[1..])).unwrap();
    assert!((sum.loss / whole.loss - 1.0).abs() < 1e-13);
    for (a, b) in [
        (&sum.gradient.x, &whole.gradient.x),
        (&sum.gradient.y, &whole.gradient.y),
        (sum.hessian.as_ref().unwrap(), whole.hessian.as_ref().unwrap()),
    ] {
        assert!(a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| (a - b).abs() < 1e-12));
    }
    let without = Accumulator { hessian: None, ..whole };
    assert_eq!(sum.merge(&without).unwrap_err().kind(), "DimensionMismatch");
}

#[test]
fn regularisers_are_chosen_by_what_was_set_aside() {
    let case = Case::open("real/refit_head");
    let (a1, a2, a3, b) = (case.array("A1"), case.array("A2"), case.array("A3"), case.array("B"));
    let sequences = [Sequence::new(&a1, &a2, &a3, &b)];
    let split = Split::new(&sequences, 0.25).unwrap();
    let identity = Params { x: Array::identity(32), y: Array::identity(32) };
    let build = |sequences| Problem::new(sequences)?.with_scale(case.number("tau"))?.with_reference(&identity);
    let grid = [(1e-3, 1e-3), (1e-1, 1e-1), (1.0, 1.0), (100.0, 100.0)];
    let found = Solver::default().with_gradient_tolerance(1e-6).select_logit_reg(&split, &grid, build).unwrap().unwrap();
    let least = found.losses.iter().copied().fold(f64::INFINITY, f64::min);
    let chosen = grid.iter().position(|weights| *weights == found.weights).unwrap();
    assert_eq!(found.losses[chosen], least);
    assert!(chosen != 0 && chosen != 3, "{found:?}");
}

#[test]
fn two_heads_merged_are_better_than_the_better_one_alone() {
    let case = Case::open("real/harbour_L3");
    let [q, k, v] = ["q", "k", "v"].map(|name| case.heads(name));
    let narrow = |a: &Array| Array::from_fn(30, 8, |i, j| a.row(i)[j]);
    let heads = [0, 1].map(|h| [narrow(&q[h]), narrow(&k[h]), narrow(&v[h])]);
    let of = |h: usize| Projections { q: &heads[h][0], k: &heads[h][1], v: &heads[h][2] };
    let solver = Solver::default().with_gradient_tolerance(1e-6);
    let merged = merge_heads(&of(0), &of(1), 0.35, Mask::None, (1e-2, 1e-2), &solver).unwrap();
    assert!(merged.error < 0.3 && merged.solution.loss < merged.solution.facts.loss_start, "{}", merged.error);
    // A head that gives nothing is no loss.
    let zero = Array::zeros([30, 8]);
    let nothing = Projections { v: &zero, ..of(1) };
    assert!(merge_heads(&of(0), &nothing, 0.35, Mask::None, (1e-2, 1e-2), &solver).unwrap().error < 1e-12);
}

/// From a point where the test holds, whole Newton steps converge, each with about twice the digits of the one before.
#[test]
fn the_plain_iteration_converges_from_where_it_is_proven_to() {
    let (a1, a2, a3, b) = (matrix(1, 40, 3), matrix(2, 12, 3), matrix(3, 12, 2), matrix(4, 40, 2));
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_logit_reg(0.1, 0.1).unwrap();
    let solver = Solver::default().with_gradient_tolerance(1e-12);
    let best = solver.solve(&problem).unwrap();
    let near = Params { x: plus(&best.params.x, 1e-3, &matrix(7, 3, 3)), y: best.params.y.clone() };
    let plain = solver.clone().with_method(Method::Plain).with_start(near).solve(&problem).unwrap();
    assert!(plain.status.reached() && plain.facts.iterations <= 4, "{:?}", plain.facts);
    assert!((plain.loss / best.loss - 1.0).abs() < 1e-13);
    // From far away it may get nowhere, and says so.
    let far = Params { x: plus(&best.params.x, 30.0, &matrix(8, 3, 3)), y: best.params.y.clone() };
    let lost = solver.with_method(Method::Plain).with_start(far).solve(&problem).unwrap();
    assert!(lost.loss.is_finite() && (lost.status.reached() || lost.loss >= best.loss * (1.0 - 1e-12)));
}

fn column(values: &[f64]) -> Array {
    Array::matrix(values.len(), 1, values.to_vec()).unwrap()
}

/// A Hessian that overflows where loss and gradient do not.
#[test]
fn an_overflowing_hessian_is_no_endless_step() {
    let (a1, a2, a3) = (column(&[1e-10, -1e-10]), column(&[0.0, 1e10]), column(&[0.0, 1.0]));
    let target = column(&[1e150, 1e150 * (1.0 + 1e-13)]);
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &target)]).unwrap();
    for method in [Method::Auto, Method::DenseNewton, Method::Plain, Method::Krylov] {
        match Solver::default().with_method(method).solve(&problem) {
            Ok(fit) => assert!(fit.loss.is_finite(), "{method:?}"),
            Err(error) => assert!(!error.kind().is_empty(), "{method:?}"),
        }
    }
}

/// The metric of two sequences may be singular though the sums of their Gram matrices are not.
#[test]
fn a_singular_metric_of_several_sequences_violates_nothing() {
    let rows = |values: &[[f64; 2]]| Array::from_fn(values.len(), 2, |i, j| values[i][j]);
    let [a1, a2] = [rows(&[[1.0, 0.0], [2.0, 0.0]]), rows(&[[1.0, 0.0], [-1.0, 0.0]])];
    let [b1, b2] = [rows(&[[0.0, 1.0], [0.0, 2.0]]), rows(&[[0.0, 1.0], [0.0, -1.0]])];
    let target = Array::from_fn(2, 2, |_, _| 0.5);
    for form in [Form::CrossEntropy, Form::Normalised] {
        let sequences = vec![map::Sequence::new(&a1, &a2, &target), map::Sequence::new(&b1, &b2, &target)];
        let problem = map::Problem::new(sequences, form).unwrap().with_logit_reg(0.1).unwrap();
        for certify in [Certify::Cheap, Certify::Full] {
            let certificate = problem.certify(&matrix(1, 2, 2), certify).unwrap().certificate;
            assert!(certificate.verdict() != Verdict::Violated, "{certificate}");
        }
    }
}

#[test]
fn what_takes_too_much_memory_or_does_not_fit_is_refused() {
    let (a1, a2, a3, b) = (matrix(1, 5, 40), matrix(2, 6, 40), matrix(3, 6, 3), matrix(4, 5, 3));
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap();
    for method in [Method::DenseNewton, Method::Sketched, Method::Plain] {
        let error = Solver { max_bytes: 1 << 20, method, ..Solver::default() }.solve(&problem).unwrap_err();
        assert_eq!(error.kind(), "TooLarge", "{method:?}");
    }
    assert!(Solver { max_bytes: 1 << 20, ..Solver::default() }.solve(&problem).is_ok());
    let (q, short) = (matrix(1, 4, 2), matrix(2, 3, 2));
    let (first, second) = (Projections { q: &q, k: &q, v: &q }, Projections { q: &q, k: &short, v: &short });
    let error = merge_heads(&first, &second, 1.0, Mask::None, (0.1, 0.1), &Solver::default()).unwrap_err();
    assert_eq!(error.kind(), "DimensionMismatch");
    let head = HeadWeights { wq: matrix(1, 3, 2), bq: vec![0.0; 2], wk: matrix(2, 3, 2), bk: vec![0.0; 2], wo: matrix(3, 2, 3) };
    let nan = Params { x: Array::from_fn(2, 2, |_, _| f64::NAN), y: Array::identity(2) };
    assert_eq!(absorb(&head, &nan, Side::Key, Rotary::Halves).unwrap_err().kind(), "NonFinite");
}

/// The gap that is measured is what the loss falls by.
#[test]
fn the_measured_gap_is_that_of_the_loss() {
    let (a1, a2, a3, b) = (matrix(1, 30, 3), matrix(2, 12, 3), matrix(3, 12, 2), matrix(4, 30, 2));
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_logit_reg(0.3, 0.3).unwrap();
    let best = Solver::default().with_gradient_tolerance(1e-12).solve(&problem).unwrap();
    let moved = Params { x: plus(&best.params.x, 1e-4, &matrix(7, 3, 3)), y: best.params.y.clone() };
    let below = Solver::default().with_gradient_tolerance(1e-13).with_start(moved.clone()).fit_scores(&problem).unwrap();
    let found = problem.certify(&moved, Certify::Full).unwrap();
    let (test, gap) = (found.facts.kantorovich.unwrap(), found.loss - below.loss);
    assert!((test.loss_gap.unwrap() / gap - 1.0).abs() < 1e-3 && test.gap.unwrap() >= gap, "{test:?} {gap:e}");
}

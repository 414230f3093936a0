//! Bad inputs get a typed error that names the array; degenerate ones finite answers and a warning, never a panic.

use certus_attention::layer::{self, Curvature, Params};
use certus_attention::map::{self, Form};
use certus_attention::{Certify, Error, Mask, Method, Sketch};
use certus_contract::{InputError, Position, Status};
use certus_numeric::{Array, Seed};
use certus_testkit::hostile;

use crate::support::{
    FORMS, Layer, LayerSequence, Map, MapSequence, Masked, apply, assert_layer, assert_map, distributions, dot, flat, like, matrix, moved,
    warns,
};

const METHODS: [Method; 4] = [Method::Auto, Method::DenseNewton, Method::Krylov, Method::Lbfgs];

/// An input error of this kind that names one of these.
#[track_caller]
fn refused<T>(result: Result<T, Error>, kind: &str, names: &[&str], label: &str) -> InputError {
    let Err(error) = result else { panic!("{label}: taken, but must be refused as {kind}") };
    let Error::Input(input) = error else { panic!("{label}: refused as {}: {error}", error.kind()) };
    assert_eq!(input.kind(), kind, "{label}: {input}");
    let text = input.to_string();
    assert!(names.iter().any(|name| text.starts_with(name)), "{label}: {text:?} must begin with one of {names:?}");
    assert!(!input.hint().is_empty());
    input
}

#[track_caller]
fn assert_typed(error: &Error, label: &str) {
    let kinds =
        ["EmptyProblem", "DimensionMismatch", "NonFinite", "InvalidParameter", "NotStochastic", "UnboundedRescaled", "NonFiniteMatrix"];
    assert!(kinds.contains(&error.kind()), "{label}: an error of kind {}: {error}", error.kind());
    assert!(!error.to_string().is_empty() && !error.hint().is_empty(), "{label}");
}

fn good_layer() -> Layer {
    Layer::random(1, [5, 4, 2, 3, 2, 2])
}

fn good_map(form: Form) -> Map {
    Map::random(1, form, [5, 4, 2, 3], Masked::All)
}

#[test]
fn bad_arrays_of_a_layer_are_refused_by_name_and_position() {
    let names = ["a1", "a2", "a3", "target"];
    let good = good_layer();
    let array_of = |layer: &Layer, which: usize| {
        let s = &layer.sequences[0];
        if which == 3 { s.target.clone() } else { s.heads[0][which].clone() }
    };
    let with = |mut layer: Layer, s: usize, which: usize, array: Array| {
        let s = &mut layer.sequences[s];
        if which == 3 {
            s.target = array
        } else {
            s.heads[0][which] = array
        }
        layer
    };
    for which in 0..4 {
        for (fault, array, kind) in hostile::arrays(&array_of(&good, which)) {
            let label = format!("{} {fault}", names[which]);
            let layer = with(good.clone(), 0, which, array);
            // Of two arrays that disagree either may be named; a column more than others need is nobody's fault.
            let partner = ["target", "a3", "a2", "a1"][which];
            let allowed = if fault == "one_row_more" { vec![names[which], partner] } else { vec![names[which]] };
            if fault == "one_column_more" {
                layer.try_problem().unwrap();
                continue;
            }
            let error = refused(layer.try_problem(), kind, &allowed, &label);
            if let InputError::NonFinite { position, .. } = error {
                let place = layer.sequences[0].heads[0].iter().chain([&layer.sequences[0].target]).nth(which).unwrap();
                let k = place.as_slice().iter().position(|v| !v.is_finite()).unwrap();
                assert_eq!(position, Position::Entry(vec![k / place.cols(), k % place.cols()]), "{label}");
            }
        }
        // In a second sequence, the columns must be those of the first.
        let two = Layer::new([good.sequences.clone(), good.sequences.clone()].concat());
        for (fault, array, kind) in hostile::arrays(&array_of(&good, which)) {
            let named = [which, [3, 2, 1, 0][which]].map(|k| format!("{} of sequence 1", names[k]));
            let allowed = if fault == "one_row_more" { vec![&*named[0], &*named[1]] } else { vec![&*named[0]] };
            refused(with(two.clone(), 1, which, array).try_problem(), kind, &allowed, &format!("{} {fault}", named[0]));
        }
    }
    // A second head.
    for which in 0..3 {
        for (fault, array, kind) in hostile::arrays(&array_of(&good, which)) {
            let mut layer = good.clone();
            let head = layer.sequences[0].heads[0].clone();
            layer.sequences[0].heads.push(head);
            layer.sequences[0].heads[1][which] = array;
            refused(layer.try_problem(), kind, &[&format!("{} of head 1", names[which])], &format!("head 1, {} {fault}", names[which]));
        }
    }
}

#[test]
fn bad_arrays_of_a_map_are_refused_by_name_and_position() {
    for form in FORMS {
        let good = good_map(form);
        for which in 0..3 {
            let name = ["a1", "a2", "target"][which];
            let pick = |s: &MapSequence| [&s.a1, &s.a2, &s.target][which].clone();
            for (fault, array, kind) in hostile::arrays(&pick(&good.sequences[0])) {
                let put = |map: &mut Map, s: usize| {
                    let s = &mut map.sequences[s];
                    *[&mut s.a1, &mut s.a2, &mut s.target][which] = array.clone();
                };
                let mut one = good.clone();
                put(&mut one, 0);
                if fault == "one_column_more" && which < 2 {
                    one.try_problem().unwrap();
                } else {
                    let label = format!("{form:?} {name} {fault}");
                    let allowed = if fault == "one_row_more" { vec![name, "target"] } else { vec![name] };
                    let error = refused(one.try_problem(), kind, &allowed, &label);
                    assert!(
                        fault != "nan_first"
                            || matches!(&error, InputError::NonFinite { position, .. } if *position == Position::Entry(vec![0, 0]))
                    );
                }
                let mut two = Map::new([good.sequences.clone(), good.sequences.clone()].concat(), form);
                put(&mut two, 1);
                let (named, other) = (format!("{name} of sequence 1"), "target of sequence 1");
                let allowed = if fault == "one_row_more" { vec![&*named, other] } else { vec![&*named] };
                refused(two.try_problem(), kind, &allowed, &format!("{form:?} {named} {fault}"));
            }
        }
    }
}

#[test]
fn nothing_to_fit_is_refused() {
    refused(layer::Problem::new(vec![]), "EmptyProblem", &["sequences"], "no sequences");
    let target = matrix(1, 3, 2);
    refused(layer::Problem::new(vec![layer::Sequence::of_heads(vec![], &target)]), "EmptyProblem", &["sequences", "heads"], "no heads");
    let (a1, a2, a3) = (matrix(2, 3, 2), matrix(3, 3, 2), matrix(4, 3, 2));
    let one = layer::Sequence::new(&a1, &a2, &a3, &target);
    let none = layer::Sequence::of_heads(vec![], &target);
    refused(layer::Problem::new(vec![one, none]), "DimensionMismatch", &["a1 of sequence 1", "heads"], "no heads in the second");
    for form in FORMS {
        refused(map::Problem::new(vec![], form), "EmptyProblem", &["sequences"], "no sequences");
    }
}

#[test]
fn bad_parameters_are_refused() {
    let (layer, map) = (good_layer(), good_map(Form::Normalised));
    let (layer, map) = (layer.problem(), map.problem());
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -5e-324] {
        let label = format!("{value}");
        let kind = "InvalidParameter";
        refused(layer.clone().with_scale(value), kind, &["scale"], &label);
        refused(map.clone().with_scale(value), kind, &["scale"], &label);
        refused(layer.clone().with_logit_reg(value, 0.0), kind, &["logit-reg-x"], &label);
        refused(layer.clone().with_logit_reg(0.0, value), kind, &["logit-reg-y"], &label);
        refused(layer.clone().with_ridge(value, 0.0), kind, &["ridge-x"], &label);
        refused(layer.clone().with_ridge(0.0, value), kind, &["ridge-y"], &label);
        refused(map.clone().with_logit_reg(value), kind, &["logit-reg-x"], &label);
        refused(map.clone().with_ridge(value), kind, &["ridge-x"], &label);
    }
    for value in [0.0, -0.0] {
        refused(layer.clone().with_scale(value), "InvalidParameter", &["scale"], "zero");
        refused(map.clone().with_scale(value), "InvalidParameter", &["scale"], "zero");
    }
    refused(layer.clone().with_block_rows(0), "InvalidParameter", &["block rows"], "zero");
    refused(map.clone().with_block_rows(0), "InvalidParameter", &["block rows"], "zero");
    for gtol in [0.0, -1.0, 1.0, 2.0, f64::NAN, f64::INFINITY] {
        refused(layer::Solver::default().with_gradient_tolerance(gtol).solve(&layer), "InvalidParameter", &["gtol"], "gtol");
        refused(layer::Solver::default().with_gradient_tolerance(gtol).fit_scores(&layer), "InvalidParameter", &["gtol"], "gtol");
        refused(layer::Solver::default().with_gradient_tolerance(gtol).fit_values(&layer), "InvalidParameter", &["gtol"], "gtol");
        refused(map::Solver::default().with_gradient_tolerance(gtol).solve(&map), "InvalidParameter", &["gtol"], "gtol");
    }
    refused(layer::Solver::default().with_max_iterations(0).solve(&layer), "InvalidParameter", &["max-iter"], "max-iter");
    refused(map::Solver::default().with_max_iterations(0).solve(&map), "InvalidParameter", &["max-iter"], "max-iter");
    let mut two = good_layer();
    let head = two.sequences[0].heads[0].clone();
    two.sequences[0].heads.push(head);
    let two = two.problem();
    let sketched = layer::Solver::default().with_method(Method::Sketched);
    refused(sketched.solve(&two), "InvalidParameter", &["method"], "a sketch for two heads");
    let evaluation = two.evaluate(&two.reference()).unwrap();
    refused(evaluation.sketched_hessian(Sketch::Auto, Seed(0)), "InvalidParameter", &["heads"], "a sketched matrix for two heads");
    refused(evaluation.row_beta(), "InvalidParameter", &["heads"], "row bounds for two heads");
}

#[test]
fn bad_points_are_refused() {
    let (layer, map) = (good_layer(), good_map(Form::Normalised));
    let (problem, of_map) = (layer.problem(), map.problem());
    let at = layer.params(1, 0.5);
    let evaluation = problem.evaluate(&at).unwrap();
    for (is_y, name) in [(false, "x"), (true, "y")] {
        let good = if is_y { &at.y } else { &at.x };
        for (fault, array, kind) in hostile::arrays(good) {
            let kind = if kind == "EmptyProblem" { "DimensionMismatch" } else { kind };
            let bad = if is_y { Params { x: at.x.clone(), y: array.clone() } } else { Params { x: array.clone(), y: at.y.clone() } };
            let label = format!("{name} {fault}");
            refused(problem.evaluate(&bad), kind, &[name], &label);
            refused(problem.linearise(&bad), kind, &[name], &label);
            refused(problem.certify(&bad, Certify::Cheap), kind, &[name], &label);
            refused(problem.clone().with_reference(&bad), kind, &[&format!("{name}-ref")], &label);
            let solver = layer::Solver::default().with_start(bad.clone());
            refused(solver.solve(&problem), kind, &[&format!("{name}0")], &label);
            refused(solver.fit_scores(&problem), kind, &[&format!("{name}0")], &label);
            refused(solver.fit_values(&problem), kind, &[&format!("{name}0")], &label);
            refused(evaluation.hessian_times(&bad, Curvature::Exact), kind, &[&format!("direction-{name}")], &label);
            if !is_y {
                refused(of_map.evaluate(&array), kind, &["x"], &label);
                refused(of_map.certify(&array, Certify::Cheap), kind, &["x"], &label);
                refused(of_map.clone().with_reference(&array), kind, &["x-ref"], &label);
                refused(map::Solver::default().with_start(array.clone()).solve(&of_map), kind, &["x0"], &label);
                refused(of_map.evaluate(&at.x).unwrap().hessian_times(&array), kind, &["direction-x"], &label);
            }
        }
    }
}

#[test]
fn bad_masks_are_refused() {
    let layer = good_layer();
    let s = &layer.sequences[0];
    let [a1, a2, a3] = &s.heads[0];
    let target = matrix(4, 5, 4);
    let both = |mask: Mask<'_>, kind: &str, name: &str| {
        let sequence = layer::Sequence::new(a1, a2, a3, &s.target).with_mask(mask);
        refused(layer::Problem::new(vec![sequence]), kind, &[name], "a mask of a layer");
        let sequence = map::Sequence::new(a1, a2, &target).with_mask(mask);
        refused(map::Problem::new(vec![sequence], Form::Normalised), kind, &[name], "a mask of a map");
    };
    both(Mask::Lengths(&[4, 4, 5, 4, 4]), "InvalidParameter", "mask[2]");
    both(Mask::Lengths(&[4, 4, 4, 4]), "DimensionMismatch", "mask");
    both(Mask::Lengths(&[4, 4, 4, 4, 4, 4]), "DimensionMismatch", "mask");
    both(Mask::Lengths(&[]), "DimensionMismatch", "mask");
    for shape in [[4, 5], [5, 5], [6, 4], [0, 0]] {
        both(Mask::Dense(&Array::from_fn(shape[0], shape[1], |_, _| true)), "DimensionMismatch", "mask");
    }
    let flat = Array::new([20], vec![true; 20]).unwrap();
    both(Mask::Dense(&flat), "DimensionMismatch", "mask");
    // The widest windows overflow nothing.
    let mask = Mask::Window { back: usize::MAX, ahead: usize::MAX };
    let all = layer.problem().evaluate(&layer.params(1, 1.0)).unwrap().loss;
    let problem = layer::Problem::new(vec![layer::Sequence::new(a1, a2, a3, &s.target).with_mask(mask)]).unwrap();
    let windowed = problem.evaluate(&layer.params(1, 1.0)).unwrap().loss;
    assert!((windowed - all).abs() <= 1e-14 * all);
}

#[test]
fn rows_that_are_no_distributions_are_refused_for_cross_entropy() {
    let good = good_map(Form::CrossEntropy);
    let with = |i: usize, j: usize, value: f64| {
        let mut map = good.clone();
        map.sequences[0].target.row_mut(i)[j] = value;
        map
    };
    for map in [with(2, 1, 0.9), with(2, 3, -0.1), with(2, 0, 1e300)] {
        let error = map.try_problem().unwrap_err();
        assert!(matches!(error, Error::NotStochastic { sequence: 0, row: 2, .. }), "{error}");
        assert_eq!(error.kind(), "NotStochastic");
        let normalised = Map { form: Form::Normalised, ..map.clone() };
        normalised.problem();
        assert_eq!(normalised.problem().with_form(Form::CrossEntropy).unwrap_err().kind(), "NotStochastic");
        if map.sequences[0].target.row(2)[0] < 1e100 {
            assert_eq!(map::Solver::default().with_convex_start().solve(&normalised.problem()).unwrap_err().kind(), "NotStochastic");
        }
    }
    // Within the tolerance of 1e-6 it is fine, also a little below zero.
    let row = good.sequences[0].target.row(1)[1];
    with(1, 1, row + 0.5e-6).problem();
    // What is hidden does not count towards the sum, so a full row is none over fewer keys.
    let mut hidden = good.clone();
    hidden.sequences[0].mask = Masked::Lengths(vec![4, 4, 4, 2, 4]);
    assert!(matches!(hidden.try_problem().unwrap_err(), Error::NotStochastic { row: 3, .. }));
    // A row that sees no key needs none.
    hidden.sequences[0].mask = Masked::Lengths(vec![4, 4, 4, 0, 4]);
    hidden.problem();
    // The second sequence is named.
    let mut two = Map::new([good.sequences.clone(), good.sequences.clone()].concat(), Form::CrossEntropy);
    two.sequences[1].target.row_mut(4)[0] += 0.5;
    assert!(matches!(two.try_problem().unwrap_err(), Error::NotStochastic { sequence: 1, row: 4, .. }));
}

#[test]
fn a_rescaled_loss_that_nothing_holds_is_refused() {
    let mut map = good_map(Form::Rescaled);
    let s = &mut map.sequences[0];
    (0..5).for_each(|i| s.a1.row_mut(i)[0] = 2.0);
    (0..4).for_each(|j| s.a2.row_mut(j)[1] = -3.0);
    let error = map::Solver::default().solve(&map.problem()).unwrap_err();
    assert_eq!(error, Error::UnboundedRescaled);
    assert_eq!(error.kind(), "UnboundedRescaled");
    assert_eq!(map::Solver::default().with_convex_start().solve(&map.problem()).unwrap_err(), Error::UnboundedRescaled);
    for (logit_reg, ridge) in [(1e-3, 0.0), (0.0, 1e-3)] {
        let fit = map::Solver::default().solve(&Map { logit_reg, ridge, ..map.clone() }.problem()).unwrap();
        assert_map(&fit, "a rescaled loss with a regulariser");
    }
    // A constant on one side only, or in another form, is no such case.
    map::Solver::default().with_max_iterations(5).solve(&Map { form: Form::Normalised, ..map.clone() }.problem()).unwrap();
    let mut one = map.clone();
    one.sequences[0].a1 = matrix(9, 5, 2);
    map::Solver::default().with_max_iterations(5).solve(&one.problem()).unwrap();
    // In the span, though no column: two columns that add up to a constant.
    let mut span = map.clone();
    (0..5).for_each(|i| span.sequences[0].a1.row_mut(i)[1] = 0.1 * i as f64);
    (0..5).for_each(|i| span.sequences[0].a1.row_mut(i)[0] = 1.0 - 0.3 * i as f64);
    assert_eq!(map::Solver::default().solve(&span.problem()).unwrap_err(), Error::UnboundedRescaled);
    // Evaluating is always possible: the example of the text, a shift of all logits.
    let problem = map.problem();
    let logs = [0.0, -2.0, -20.0].map(|shift| {
        let mut x = Array::zeros([2, 3]);
        x.row_mut(0)[1] = shift / (2.0 * -3.0);
        problem.evaluate(&x).unwrap().loss.ln()
    });
    assert!((logs[1] - logs[0] + 4.0).abs() < 1e-10 && (logs[2] - logs[0] + 40.0).abs() < 1e-10, "{logs:?}");
}

/// Evaluates, fits and certifies at many points: finite answers or typed errors.
#[track_caller]
fn survives(layer: &Layer, label: &str) {
    let problem = match layer.try_problem() {
        Ok(problem) => problem,
        Err(error) => return assert_typed(&error, label),
    };
    for size in [0.0, 1.0, 1e3, 1e5] {
        let at = layer.params(3, size);
        let label = format!("{label}, point of size {size:e}");
        match problem.linearise(&at) {
            Ok(evaluation) => {
                assert!(evaluation.loss.is_finite(), "{label}: the loss is {}", evaluation.loss);
                assert!(flat(&evaluation.gradient).iter().all(|v| v.is_finite()), "{label}: {:?}", evaluation.gradient);
                for curvature in [Curvature::Exact, Curvature::GaussNewton] {
                    match evaluation.hessian_times(&layer.params(4, 1.0), curvature) {
                        Ok(product) => assert!(flat(&product).iter().all(|v| v.is_finite()), "{label}: a product is {product:?}"),
                        Err(error) => assert_typed(&error, &label),
                    }
                    match evaluation.hessian(curvature) {
                        Ok(hessian) => assert!(hessian.as_slice().iter().all(|v| v.is_finite()), "{label}: the Hessian is {hessian:?}"),
                        Err(error) => assert_typed(&error, &label),
                    }
                }
                if layer.sequences.len() * layer.sequences[0].heads.len() == 1 {
                    assert!(evaluation.row_beta().unwrap().iter().all(|v| v.is_finite() && *v >= 0.0), "{label}: beta");
                }
            }
            Err(error) => assert_typed(&error, &label),
        }
        match problem.certify(&at, Certify::Full) {
            Ok(solution) => assert_layer(&solution, &label),
            Err(error) => assert_typed(&error, &label),
        }
    }
    for method in METHODS {
        if layer.sequences[0].heads.len() > 1 && method == Method::DenseNewton {
            continue;
        }
        for size in [0.0, 0.7] {
            let solver = layer::Solver::default().with_method(method).with_max_iterations(15).with_certify(Certify::Full);
            let solver = solver.with_start(layer.params(5, size));
            for (name, fit) in
                [("solve", solver.solve(&problem)), ("scores", solver.fit_scores(&problem)), ("values", solver.fit_values(&problem))]
            {
                let label = format!("{label}, {name} by {method:?} from size {size}");
                match fit {
                    Ok(solution) => assert_layer(&solution, &label),
                    Err(error) => assert_typed(&error, &label),
                }
            }
        }
    }
}

/// As [`survives`].
#[track_caller]
fn survives_map(map: &Map, label: &str) {
    for form in FORMS {
        let map = Map { form, ..map.clone() };
        let label = format!("{form:?}: {label}");
        let problem = match map.try_problem() {
            Ok(problem) => problem,
            Err(error) => {
                assert_typed(&error, &label);
                continue;
            }
        };
        for size in [0.0, 1.0, 1e3, 1e5] {
            let x = map.point(3, size);
            let label = format!("{label}, point of size {size:e}");
            match problem.evaluate(&x) {
                Ok(evaluation) => {
                    assert!(
                        evaluation.loss.mantissa().is_finite() && evaluation.loss.log_scale().is_finite(),
                        "{label}: {:?}",
                        evaluation.loss
                    );
                    assert!(evaluation.log_scale.is_finite());
                    assert!(evaluation.gradient.as_slice().iter().all(|v| v.is_finite()), "{label}: {:?}", evaluation.gradient);
                    for derivative in [evaluation.hessian_times(&map.point(4, 1.0)), evaluation.hessian()] {
                        match derivative {
                            Ok(derivative) => assert!(derivative.as_slice().iter().all(|v| v.is_finite()), "{label}: {derivative:?}"),
                            Err(error) => assert_typed(&error, &label),
                        }
                    }
                }
                Err(error) => assert_typed(&error, &label),
            }
            match problem.certify(&x, Certify::Full) {
                Ok(solution) => assert_map(&solution, &label),
                Err(error) => assert_typed(&error, &label),
            }
        }
        for method in METHODS {
            for (size, convex) in [(0.0, false), (0.7, true)] {
                let solver = map::Solver::default().with_method(method).with_max_iterations(15).with_certify(Certify::Full);
                let solver = map::Solver { convex_start: convex, ..solver.with_start(map.point(5, size)) };
                let label = format!("{label}, by {method:?} from size {size}");
                match solver.solve(&problem) {
                    Ok(mut solution) => {
                        if convex {
                            // The convex start itself may be above the start that was given.
                            solution.trace.remove(0);
                        }
                        assert_map(&solution, &label);
                    }
                    Err(error) => assert_typed(&error, &label),
                }
            }
        }
    }
}

#[test]
fn degenerate_layers_are_survived() {
    let layer = |sizes: [usize; 6]| Layer::random(2, sizes);
    for (label, sizes) in [
        ("m = 1", [5, 1, 2, 3, 2, 2]),
        ("n = 1", [1, 4, 2, 3, 2, 2]),
        ("all one", [1, 1, 1, 1, 1, 1]),
        ("n < d1", [2, 6, 4, 2, 2, 2]),
        ("m < d2", [6, 2, 2, 4, 2, 2]),
        ("m < d3", [6, 2, 2, 2, 4, 2]),
        ("n < d3", [2, 6, 2, 2, 4, 2]),
        ("all below their dimensions", [2, 2, 4, 4, 4, 3]),
    ] {
        survives(&layer(sizes), label);
        for logit_reg in [1e-3, 1.0] {
            survives(&Layer { logit_reg: (logit_reg, logit_reg), ..layer(sizes) }, &format!("{label}, logit regulariser {logit_reg}"));
        }
        survives(&Layer { ridge: (1e-3, 1e-3), ..layer(sizes) }, &format!("{label}, ridge"));
    }
    let good = good_layer();
    survives(&good.clone().with_mask(Masked::Lengths(vec![0; 5])), "all rows masked");
    survives(&good.clone().with_mask(Masked::Lengths(vec![4, 0, 4, 1, 2])), "one dead row");
    survives(&good.clone().with_mask(Masked::Lengths(vec![1; 5])), "one key each");
    survives(&good.clone().with_mask(Masked::Dense(Array::from_fn(5, 4, |_, j| j == 3))), "the last key alone");
    survives(&Layer { block_rows: Some(2), ..good.clone().with_mask(Masked::Lengths(vec![0, 0, 3, 0, 4])) }, "a block of dead rows");
    let edit = |which: usize, f: &dyn Fn(usize, usize, f64) -> f64| {
        let mut layer = good.clone();
        let s = &mut layer.sequences[0];
        let array = if which == 3 { &mut s.target } else { &mut s.heads[0][which] };
        *array = Array::from_fn(array.rows(), array.cols(), |i, j| f(i, j, array.row(i)[j]));
        layer
    };
    for (which, name) in ["a1", "a2", "a3", "target"].into_iter().enumerate() {
        survives(&edit(which, &|_, _, _| 0.0), &format!("{name} is zero"));
        survives(&edit(which, &|_, _, _| 1.0), &format!("{name} is one"));
        survives(&edit(which, &|i, _, v| if i % 2 == 0 { 0.0 } else { v }), &format!("zero rows of {name}"));
        survives(&edit(which, &|i, j, _| (i / 2 * 7 + j) as f64 / 10.0), &format!("duplicate rows of {name}"));
        survives(&edit(which, &|i, _, _| i as f64 - 1.5), &format!("equal columns of {name}"));
        survives(&edit(which, &|_, j, v| if j == 0 { 0.0 } else { v }), &format!("a zero column of {name}"));
        survives(&edit(which, &|_, j, v| if j == 0 { 1e-9 * v } else { v }), &format!("a tiny column of {name}"));
        for scale in [1e-300, 1e-200, 1e-100, 1e-8, 1e8, 1e30] {
            survives(&edit(which, &|_, _, v| scale * v), &format!("{name} times {scale:e}"));
        }
    }
    for scale in [1e-100, 1e-20, 1e20] {
        let mut layer = good.clone();
        let s = &mut layer.sequences[0];
        s.heads[0] = s.heads[0].clone().map(|a| a.map(|v| scale * v));
        survives(&layer, &format!("all inputs times {scale:e}"));
        s_target(&mut layer, scale);
        survives(&layer, &format!("all inputs and targets times {scale:e}"));
        survives(&Layer { scale, ..good.clone() }, &format!("scale {scale:e}"));
        survives(&Layer { logit_reg: (scale, scale), ..good.clone() }, &format!("logit regulariser {scale:e}"));
        survives(&Layer { ridge: (scale, scale), ..good.clone() }, &format!("ridge {scale:e}"));
        survives(&Layer { reference: Some(good.params(1, scale)), ridge: (1.0, 1.0), ..good.clone() }, &format!("reference {scale:e}"));
    }
    let mut heads = good.clone();
    let [a1, a2, a3] = heads.sequences[0].heads[0].clone();
    heads.sequences[0].heads.push([a1, a2, a3]);
    survives(&heads, "twice the same head");
    survives(&heads.with_mask(Masked::Lengths(vec![4, 0, 4, 1, 2])), "two heads and a dead row");
}

fn s_target(layer: &mut Layer, scale: f64) {
    let s: &mut LayerSequence = &mut layer.sequences[0];
    s.target = s.target.map(|v| scale * v);
}

#[test]
fn degenerate_maps_are_survived() {
    let map = |sizes: [usize; 4]| Map::random(2, Form::Normalised, sizes, Masked::All);
    for (label, sizes) in
        [("m = 1", [5, 1, 2, 3]), ("n = 1", [1, 4, 2, 3]), ("all one", [1, 1, 1, 1]), ("n < d1", [2, 6, 4, 2]), ("m < d2", [6, 2, 2, 4])]
    {
        survives_map(&map(sizes), label);
        survives_map(&Map { logit_reg: 1e-3, ..map(sizes) }, &format!("{label}, logit regulariser"));
        survives_map(&Map { ridge: 1e-3, ..map(sizes) }, &format!("{label}, ridge"));
    }
    for (label, mask) in [
        ("all rows masked", Masked::Lengths(vec![0; 5])),
        ("one dead row", Masked::Lengths(vec![4, 0, 4, 1, 2])),
        ("one key each", Masked::Lengths(vec![1; 5])),
        ("the last key alone", Masked::Dense(Array::from_fn(5, 4, |_, j| j == 3))),
    ] {
        let map = Map::random(2, Form::Normalised, [5, 4, 2, 3], mask);
        survives_map(&map, label);
        survives_map(&Map { logit_reg: 1e-3, ..map.clone() }, &format!("{label}, logit regulariser"));
        survives_map(&Map { block_rows: Some(1), ridge: 1e-3, ..map }, &format!("{label}, blocks of one row"));
    }
    let good = good_map(Form::Normalised);
    let edit = |which: usize, f: &dyn Fn(usize, usize, f64) -> f64| {
        let mut map = Map { ridge: 1e-3, ..good.clone() };
        let s = &mut map.sequences[0];
        let array = [&mut s.a1, &mut s.a2, &mut s.target].into_iter().nth(which).unwrap();
        *array = Array::from_fn(array.rows(), array.cols(), |i, j| f(i, j, array.row(i)[j]));
        map
    };
    for (which, name) in ["a1", "a2", "target"].into_iter().enumerate() {
        survives_map(&edit(which, &|_, _, _| 0.0), &format!("{name} is zero"));
        survives_map(&edit(which, &|_, _, _| 0.25), &format!("{name} is a quarter"));
        survives_map(&edit(which, &|i, _, v| if i % 2 == 0 { 0.0 } else { v }), &format!("zero rows of {name}"));
        survives_map(&edit(which, &|i, j, _| (i / 2 * 7 + j) as f64 / 10.0), &format!("duplicate rows of {name}"));
        survives_map(&edit(which, &|i, _, _| i as f64 - 1.5), &format!("equal columns of {name}"));
        for scale in [1e-300, 1e-200, 1e-100, 1e-8, 1e8, 1e30] {
            survives_map(&edit(which, &|_, _, v| scale * v), &format!("{name} times {scale:e}"));
        }
    }
    survives_map(&edit(2, &|_, j, _| f64::from(u8::from(j == 1))), "the same one-hot row for all");
    for scale in [1e-100, 1e-20, 1e20] {
        survives_map(&Map { scale, ..good.clone() }, &format!("scale {scale:e}"));
        survives_map(&Map { logit_reg: scale, ..good.clone() }, &format!("logit regulariser {scale:e}"));
        survives_map(&Map { ridge: scale, ..good.clone() }, &format!("ridge {scale:e}"));
        survives_map(&Map { reference: Some(good.point(1, scale)), ridge: 1.0, ..good.clone() }, &format!("reference {scale:e}"));
    }
}

/// Where squares of the inputs overflow, derivatives do though the loss does not.
#[test]
fn huge_inputs_are_survived() {
    for scale in [1e100, 1e200, 1e300] {
        for which in 0..3 {
            let (mut layer, mut map) = (good_layer(), good_map(Form::Normalised));
            let (s, of_map) = (&mut layer.sequences[0], &mut map.sequences[0]);
            s.heads[0][which] = s.heads[0][which].map(|v| scale * v);
            let array = [&mut of_map.a1, &mut of_map.a2, &mut of_map.target].into_iter().nth(which).unwrap();
            *array = array.map(|v| scale * v);
            survives(&layer, &format!("array {which} times {scale:e}"));
            survives_map(&map, &format!("array {which} times {scale:e}"));
        }
        let mut layer = good_layer();
        s_target(&mut layer, scale);
        survives(&layer, &format!("target times {scale:e}"));
    }
}

#[test]
fn what_is_odd_is_said() {
    let solve = |layer: &Layer| {
        let start = layer.params(5, 0.7);
        let fit = layer::Solver::default().with_start(start.clone()).solve(&layer.problem()).unwrap();
        assert_layer(&fit, "odd");
        (fit, start)
    };
    // One key: the attention is 1, X is as it was, and its slope an exact zero.
    for layer in [Layer::random(2, [5, 1, 2, 3, 2, 2]), good_layer().with_mask(Masked::Lengths(vec![1; 5]))] {
        let (fit, start) = solve(&layer);
        assert!(warns(&fit.warnings, "ScoresNotIdentifiable") && !fit.facts.moves, "{:?}", fit.warnings);
        assert_eq!(fit.params.x, start.x);
        let evaluation = layer.problem().evaluate(&start).unwrap().gradient.x.clone();
        assert!(evaluation.as_slice().iter().all(|g| g.abs() < 1e-15), "{evaluation:?}");
    }
    // No key at all: the loss is that of zero outputs.
    let dead = good_layer().with_mask(Masked::Lengths(vec![0; 5]));
    let (fit, _) = solve(&dead);
    let target = dead.sequences[0].target.as_slice();
    assert!((fit.loss - dot(target, target)).abs() <= 1e-14 * fit.loss && fit.facts.dead_rows == 5);
    assert!(
        warns(&fit.warnings, "DeadRows") && warns(&fit.warnings, "ScoresNotIdentifiable") && warns(&fit.warnings, "ValuesNotIdentifiable")
    );
    assert!(fit.params.y.as_slice().iter().all(|v| *v == 0.0), "the shortest Y is zero: {:?}", fit.params.y);
    let (fit, _) = solve(&good_layer().with_mask(Masked::Lengths(vec![4, 0, 4, 1, 2])));
    assert!(warns(&fit.warnings, "DeadRows") && fit.facts.dead_rows == 1);
    // Equal columns of a3: the shortest Y of many.
    let mut layer = Layer::random(2, [30, 6, 2, 2, 2, 2]);
    (0..6).for_each(|j| layer.sequences[0].heads[0][2].row_mut(j)[1] = layer.sequences[0].heads[0][2].row(j)[0]);
    let (fit, _) = solve(&layer);
    assert!(warns(&fit.warnings, "ValuesNotIdentifiable") && fit.facts.values_singular, "{:?}", fit.warnings);
    let y = &fit.params.y;
    assert!((0..2).all(|l| (y.row(0)[l] - y.row(1)[l]).abs() < 1e-10), "not the shortest: {y:?}");
    // Few targets.
    assert!(warns(&solve(&good_layer()).0.warnings, "Overfitting"));
    assert!(!warns(&solve(&Layer::random(2, [200, 6, 2, 2, 2, 2])).0.warnings, "Overfitting"));
    // A zero target: Y is zero, and so is the loss.
    let mut zero = good_layer();
    zero.sequences[0].target = zero.sequences[0].target.map(|_| 0.0);
    let (fit, _) = solve(&zero);
    assert!(fit.loss == 0.0 && fit.status.reached(), "{} {}", fit.loss, fit.status);
}

/// a3 with columns of very different size: Y is well determined, column by column.
#[test]
fn the_best_y_is_no_worse_than_the_starts_where_columns_differ_in_size() {
    for exponent in [-4, -6, -8, -9, -10] {
        let mut layer = Layer::random(3, [30, 8, 2, 2, 3, 2]);
        let factor = 10f64.powi(exponent);
        (0..8).for_each(|j| layer.sequences[0].heads[0][2].row_mut(j)[1] *= factor);
        let mut truth = layer.params(4, 1.0);
        truth.y.row_mut(1).iter_mut().for_each(|v| *v /= factor);
        layer.sequences[0].target = layer.outputs(0, &truth);
        let problem = layer.problem();
        let fit = layer::Solver::default().with_start(truth.clone()).fit_values(&problem).unwrap();
        let size = dot(layer.sequences[0].target.as_slice(), layer.sequences[0].target.as_slice());
        assert!(fit.loss <= 1e-20 * size, "columns {factor:e}: a loss of {:e} from a start of {:e}", fit.loss, fit.facts.loss_start);
    }
}

/// Columns that depend on each other and are small beside another: what they give is not taken for rounding.
#[test]
fn small_columns_that_depend_on_each_other_are_fitted() {
    for exponent in [-6, -8, -10] {
        let mut layer = Layer::random(3, [30, 8, 2, 2, 3, 2]);
        let factor = 10f64.powi(exponent);
        for j in 0..8 {
            let row = layer.sequences[0].heads[0][2].row_mut(j);
            (row[1], row[2]) = (factor * row[1], 2.0 * factor * row[1]);
        }
        let mut truth = layer.params(4, 1.0);
        (1..3).for_each(|k| truth.y.row_mut(k).iter_mut().for_each(|v| *v /= factor));
        layer.sequences[0].target = layer.outputs(0, &truth);
        let zero = Params { y: truth.y.map(|_| 0.0), x: truth.x.clone() };
        let fit = layer::Solver::default().with_start(zero).fit_values(&layer.problem()).unwrap();
        assert!(fit.facts.values_singular);
        let size = dot(layer.sequences[0].target.as_slice(), layer.sequences[0].target.as_slice());
        assert!(fit.loss <= 1e-20 * size, "columns {factor:e}: a loss of {:e} of {size:e}", fit.loss);
    }
}

/// Two columns that nearly agree, and a target along their difference: Y is cut off, and its slope is no rounding.
#[test]
fn a_slope_in_y_is_no_convergence() {
    let a3 = Array::from_fn(3, 2, |i, j| 1.0 + if (i, j) == (1, 1) { 1e-9 } else { 0.0 });
    let target = Array::matrix(3, 1, vec![-0.5, 1.0, -0.5]).unwrap();
    let mask = Masked::Dense(Array::from_fn(3, 3, |i, j| i == j));
    let layer = Layer::new(vec![LayerSequence { heads: vec![[matrix(1, 3, 1), matrix(2, 3, 1), a3]], target, mask }]);
    let fit = layer::Solver::default().with_gradient_tolerance(1e-12).solve(&layer.problem()).unwrap();
    assert!(fit.facts.gradient.1 > 1e-10 && !fit.status.reached(), "{:?} {:?}", fit.facts.gradient, fit.status);
    assert!(layer::Solver::default().solve(&layer.problem()).unwrap().status.reached());
}

#[test]
fn huge_logits_give_one_hot_rows() {
    for size in [1e3, 1e5] {
        let values = matrix(7, 3, 2);
        let heads = vec![[Array::identity(1), Array::identity(3), values.clone()]];
        let target = matrix(8, 1, 2);
        let layer = Layer::new(vec![LayerSequence { heads, target: target.clone(), mask: Masked::All }]);
        let (problem, y) = (layer.problem(), Array::identity(2));
        for (best, logits) in [(0, [size, 0.0, -size]), (2, [-size, 0.0, size]), (1, [-2.0 * size, -size, -2.0 * size])] {
            let at = Params { x: Array::matrix(1, 3, logits.to_vec()).unwrap(), y: y.clone() };
            let evaluation = problem.evaluate(&at).unwrap();
            let residual = moved(values.row(best), -1.0, target.row(0));
            assert!((evaluation.loss - dot(&residual, &residual)).abs() <= 1e-15 * evaluation.loss, "a row is not one-hot");
            assert!(evaluation.gradient.x.as_slice().iter().all(|g| g.abs() < 1e-15), "{:?}", evaluation.gradient.x);
            let hessian = evaluation.hessian(Curvature::Exact).unwrap();
            let of_x = hessian.row(0)[..3].iter().chain(&hessian.row(1)[..3]).chain(&hessian.row(2)[..3]);
            assert!(of_x.into_iter().all(|h| h.abs() < 1e-15));
            let exact = map::Problem::new(vec![], Form::Normalised);
            assert!(exact.is_err());
            let mut one_hot = Array::zeros([1, 3]);
            one_hot.row_mut(0)[best] = 1.0;
            for form in FORMS {
                let s = MapSequence { a1: Array::identity(1), a2: Array::identity(3), target: one_hot.clone(), mask: Masked::All };
                let map = Map::new(vec![s], form);
                let problem = map.problem();
                let evaluation = problem.evaluate(&at.x).unwrap();
                assert!(evaluation.gradient.as_slice().iter().all(|g| *g == 0.0), "{form:?}: {:?}", evaluation.gradient);
                assert!(evaluation.loss.mantissa() == 0.0, "{form:?}: {:?}", evaluation.loss);
            }
        }
    }
}

#[test]
fn the_rescaled_loss_is_carried_beyond_the_range_of_numbers() {
    let s = MapSequence { a1: Array::identity(1), a2: Array::identity(3), target: distributions(3, 1, 3, &Masked::All), mask: Masked::All };
    let map = Map::new(vec![s], Form::Rescaled);
    let problem = map.problem();
    let base = Array::matrix(1, 3, vec![0.3, -0.2, 0.5]).unwrap();
    let here = problem.evaluate(&base).unwrap();
    for shift in [1e3, -1e3, 1e5, -1e5, 250.0, -250.0] {
        let x = base.map(|v| v + shift);
        let there = problem.evaluate(&x).unwrap();
        let rounding = 1e-14 * shift.abs().max(1.0) * 10.0;
        assert!((there.loss.ln() - here.loss.ln() - 2.0 * shift).abs() < rounding, "{shift}: {:?}", there.loss);
        assert_eq!(there.loss.to_f64().is_none(), shift > 400.0, "{shift}");
        let top = |a: &[f64]| a.iter().fold(0.0f64, |top, v| top.max(v.abs()));
        let ratio = |a: &[f64], b: &[f64]| (top(a) / top(b)).ln();
        let log = ratio(there.gradient.as_slice(), here.gradient.as_slice()) + there.log_scale - here.log_scale;
        assert!((log - 2.0 * shift).abs() < rounding, "{shift}: the gradient's scale is {log}");
        let [a, b] = [&there, &here].map(|e| e.hessian().unwrap());
        let log = ratio(a.as_slice(), b.as_slice()) + there.log_scale - here.log_scale;
        assert!((log - 2.0 * shift).abs() < rounding, "{shift}: the Hessian's scale is {log}");
        let product = there.hessian_times(&like(&x, vec![1.0, 2.0, -1.0])).unwrap();
        let expected = apply(&a, &[1.0, 2.0, -1.0]);
        assert!(top(&moved(product.as_slice(), -1.0, &expected)) <= 1e-12 * top(&expected));
        assert_map(&problem.certify(&x, Certify::Full).unwrap(), "far out");
        // A fit from there, held by a ridge.
        let held = Map { ridge: 1e-3, ..map.clone() };
        let fit = map::Solver::default().with_start(x).solve(&held.problem()).unwrap();
        assert_map(&fit, "a fit from far out");
        assert!(fit.loss <= fit.loss_start);
    }
}

#[test]
fn a_fit_ends_as_it_says() {
    let layer = Layer::random(4, [30, 8, 3, 3, 2, 2]);
    let problem = layer.problem();
    let start = layer.params(5, 1.0);
    let one = layer::Solver::default().with_start(start.clone()).with_max_iterations(1).solve(&problem).unwrap();
    assert_eq!((one.status, one.facts.iterations), (Status::MaxIterations, 1));
    let seen = std::cell::Cell::new(0);
    let stopped = layer::Solver::default().with_start(start).solve_with(&problem, |event| {
        assert!(event.value.is_none_or(f64::is_finite));
        seen.set(seen.get() + 1);
        std::ops::ControlFlow::Break(())
    });
    let stopped = stopped.unwrap();
    assert_layer(&stopped, "stopped");
    assert_eq!((stopped.status, seen.get()), (Status::Stopped, 1));
    let map = Map::random(4, Form::Normalised, [30, 8, 3, 3], Masked::All);
    for convex_start in [false, true] {
        let solver = map::Solver { convex_start, ..map::Solver::default() };
        let stopped = solver.solve_with(&map.problem(), |_| std::ops::ControlFlow::Break(())).unwrap();
        assert_map(&stopped, "stopped");
        assert_eq!(stopped.status, Status::Stopped, "convex start: {convex_start}");
        assert_eq!((stopped.facts.iterations, stopped.trace.len()), (1, 2), "convex start: {convex_start}");
    }
    // A convex start's steps count as well, and are in the trace.
    let mut phases = Vec::new();
    let solver = map::Solver::default().with_convex_start();
    let fit = solver.solve_with(&map.problem(), |event| {
        phases.push(event.phase);
        std::ops::ControlFlow::Continue(())
    });
    let fit = fit.unwrap();
    let warm = phases.iter().filter(|phase| **phase == "convex start").count();
    assert!(warm > 0 && fit.facts.iterations > warm, "{phases:?}");
    assert!(fit.trace.len() == 1 + fit.facts.iterations && fit.facts.other_steps >= warm, "{phases:?} {:?}", fit.trace);
    // Stopped in the second of its steps: there, or where it began, whichever is better.
    let mut left = 2;
    let stopped = solver.solve_with(&map.problem(), |_| {
        left -= 1;
        if left == 0 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    });
    let stopped = stopped.unwrap();
    assert_eq!((stopped.status, left, stopped.facts.iterations), (Status::Stopped, 0, 2));
    assert!(stopped.loss <= stopped.loss_start);
}

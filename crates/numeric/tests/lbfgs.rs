use certus_numeric::lbfgs::History;

#[test]
fn products_solve_a_quadratic_once_its_pairs_span_the_space() {
    // Along its axes the pairs of a diagonal quadratic tell all of it.
    let curvatures = [1.0, 4.0, 0.25];
    let mut history = History::new(3);
    assert!(history.is_empty());
    assert_eq!(history.product(&[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    for (k, c) in curvatures.iter().enumerate() {
        let unit = |size: f64| (0..3).map(|j| if j == k { size } else { 0.0 }).collect::<Vec<_>>();
        assert!(history.push(unit(0.5), unit(0.5 * c)));
    }
    assert_eq!(history.product(&[1.0, 1.0, 1.0]), [1.0, 0.25, 4.0]);
}

#[test]
fn pairs_without_curvature_are_left_out_and_old_ones_forgotten() {
    let mut history = History::new(1);
    for (step, change) in [(1.0, -1.0), (1.0, 0.0), (0.0, 0.0), (1.0, f64::NAN)] {
        assert!(!history.push(vec![step], vec![change]));
    }
    assert!(history.is_empty());
    assert!(history.push(vec![1.0], vec![2.0]) && history.push(vec![1.0], vec![8.0]));
    assert_eq!(history.product(&[8.0]), [1.0]);
}

use certus_contract::{InputError, Position};
use certus_numeric::Array;
use proptest::prelude::*;

fn matrix() -> impl Strategy<Value = Array> {
    (0usize..40, 0usize..40).prop_flat_map(|(rows, cols)| {
        prop::collection::vec(-1e3..1e3, rows * cols).prop_map(move |data| Array::matrix(rows, cols, data).unwrap())
    })
}

proptest! {
    #[test]
    fn transposing_twice_gives_the_matrix_back(a in matrix()) {
        prop_assert_eq!(a.transposed().transposed(), a);
    }

    #[test]
    fn transposing_exchanges_indices(a in matrix()) {
        let t = a.transposed();
        prop_assert_eq!(t.shape(), [a.cols(), a.rows()]);
        for i in 0..a.rows() {
            for j in 0..a.cols() {
                prop_assert_eq!(a.row(i)[j], t.row(j)[i]);
            }
        }
    }

    #[test]
    fn rows_are_the_data_in_order(a in matrix()) {
        let rows = (0..a.rows()).flat_map(|i| a.row(i).to_vec()).collect::<Vec<_>>();
        prop_assert_eq!(rows, a.as_slice());
        let (rows, cols) = (a.rows(), a.cols());
        prop_assert_eq!(&Array::from_fn(rows, cols, |i, j| a.row(i)[j]), &a);
        prop_assert_eq!(&a.clone().reshaped([a.len()]).unwrap().reshaped([rows, cols]).unwrap(), &a);
    }

    #[test]
    fn any_shape_is_answered(shape in prop::collection::vec(prop_oneof![0usize..4, Just(1 << 40), Just(usize::MAX)], 0..5), len in 0usize..20) {
        match Array::new(shape.clone(), vec![0.0; len]) {
            Ok(a) => {
                prop_assert_eq!(a.shape(), &shape[..]);
                prop_assert_eq!(a.len(), len);
                prop_assert_eq!(a.rows().checked_mul(a.cols()), Some(len));
            }
            Err(InputError::DimensionMismatch { array, .. }) => prop_assert_eq!(array, "data"),
            Err(error) => prop_assert_eq!(error.kind(), "TooLarge"),
        }
    }

    #[test]
    fn the_first_non_finite_entry_is_named(rows in 1usize..9, cols in 1usize..9, at in any::<prop::sample::Index>(), bad in prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY])) {
        let mut a = Array::zeros([rows, cols]);
        prop_assert_eq!(a.require_finite("a"), Ok(()));
        let k = at.index(rows * cols);
        a.as_mut_slice()[k..].fill(bad);
        let error = a.require_finite("a").unwrap_err();
        let InputError::NonFinite { array, position, .. } = &error else { panic!("{error}") };
        prop_assert_eq!((array.as_str(), position), ("a", &Position::Entry(vec![k / cols, k % cols])));
    }
}

#[test]
fn an_extent_of_zero_does_not_hide_an_overflow() {
    assert_eq!(Array::new([0, usize::MAX, 2], Vec::<f64>::new()).unwrap_err().kind(), "TooLarge");
    assert_eq!(Array::new([usize::MAX, 2, 0], Vec::<f64>::new()).unwrap_err().kind(), "TooLarge");
    assert_eq!(Array::new([0, 7], Vec::<f64>::new()).unwrap().cols(), 7);
}

#[test]
fn a_wrong_shape_is_refused_with_both_sizes() {
    let error = Array::matrix(2, 3, vec![0.0; 5]).unwrap_err();
    assert!(
        matches!(&error, InputError::DimensionMismatch { found, expected, .. } if found.contains('5') && expected.contains('6')),
        "{error}"
    );
    let cube = Array::<f64>::zeros([2, 2, 2]);
    assert_eq!(cube.require_matrix("cube").unwrap_err().kind(), "DimensionMismatch");
    assert_eq!(cube.require_vector("cube").unwrap_err().kind(), "DimensionMismatch");
    assert_eq!(Array::<f64>::zeros([2, 3]).require_matrix("a"), Ok((2, 3)));
    for shape in [vec![3], vec![3, 1], vec![1, 3]] {
        assert_eq!(Array::<f64>::zeros(shape).require_vector("b"), Ok(3));
    }
}

#[test]
fn an_array_of_no_dimensions_is_one_number() {
    let scalar = Array::new([], vec![5.0]).unwrap();
    assert_eq!((scalar.ndim(), scalar.rows(), scalar.cols(), scalar.row(0)), (0, 1, 1, &[5.0][..]));
}

#[test]
fn the_identity_has_ones_on_its_diagonal() {
    let identity = Array::identity(3);
    assert_eq!(identity.as_slice(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(identity.map(|v| *v as i32).row(1), [0, 1, 0]);
}

use std::collections::BTreeMap;

use certus_contract::{InputError, Position};
use certus_numeric::sparse::Duplicates;
use certus_numeric::{Array, Coo, Csr};
use proptest::prelude::*;

/// Small matrices with many zeros; empty rows and columns are common.
fn dense() -> impl Strategy<Value = Array> {
    (0usize..12, 0usize..12).prop_flat_map(|(rows, cols)| {
        prop::collection::vec(prop_oneof![3 => Just(0.0), 1 => -9.0..9.0f64], rows * cols)
            .prop_map(move |data| Array::matrix(rows, cols, data).unwrap())
    })
}

/// A shape and entries in it, in any order, with duplicates.
fn coo() -> impl Strategy<Value = Coo> {
    prop::collection::vec(1u32..5, 1..4).prop_flat_map(|shape| {
        let index = shape.iter().map(|&extent| 0..extent).collect::<Vec<_>>();
        prop::collection::vec((index, -9i32..9), 0..40).prop_map(move |entries| {
            let (indices, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
            let shape = shape.iter().map(|&extent| extent as usize).collect::<Vec<_>>();
            Coo::new(shape, indices.concat(), values.into_iter().map(f64::from).collect()).unwrap()
        })
    })
}

fn entries(coo: &Coo) -> impl Iterator<Item = (Vec<u32>, f64)> {
    (0..coo.nnz()).map(|k| (coo.index(k).to_vec(), coo.values()[k]))
}

/// Array, position and text of an error about sparsity.
fn sparsity(error: InputError) -> (String, Position, String) {
    match error {
        InputError::InvalidSparsity { array, position, problem } => (array, position, problem),
        other => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn compressing_and_expanding_gives_the_matrix_back(a in dense()) {
        let csr = Csr::from_dense(&a);
        prop_assert_eq!(csr.nnz(), a.as_slice().iter().filter(|v| **v != 0.0).count());
        prop_assert_eq!(csr.to_dense(), a);
        let (indptr, indices, values) = (csr.indptr().to_vec(), csr.indices().to_vec(), csr.values().to_vec());
        prop_assert_eq!(Csr::new(csr.rows(), csr.cols(), indptr, indices, values), Ok(csr));
    }

    #[test]
    fn transposing_is_that_of_the_dense_matrix(a in dense()) {
        let csr = Csr::from_dense(&a);
        prop_assert_eq!(csr.transposed().to_dense(), a.transposed());
        prop_assert_eq!(csr.transposed().transposed(), csr);
    }

    #[test]
    fn coordinates_and_rows_hold_the_same_matrix(a in dense(), seed in any::<u64>()) {
        let csr = Csr::from_dense(&a);
        let mut order = (0..csr.nnz()).collect::<Vec<_>>();
        order.sort_by_key(|&k| certus_numeric::seed::hash64(seed, k as u64));
        let row_of = |k: usize| csr.indptr().partition_point(|&start| start <= k) as u32 - 1;
        let indices = order.iter().flat_map(|&k| [row_of(k), csr.indices()[k]]).collect();
        let values = order.iter().map(|&k| csr.values()[k]).collect();
        let coo = Coo::new([a.rows(), a.cols()], indices, values).unwrap();
        prop_assert_eq!(coo.to_csr(Duplicates::Error), Ok(csr));
    }

    #[test]
    fn duplicates_are_treated_as_asked(coo in coo()) {
        let mut sums = BTreeMap::new();
        let mut last = BTreeMap::new();
        for (index, value) in entries(&coo) {
            *sums.entry(index.clone()).or_insert(0.0) += value;
            last.insert(index, value);
        }
        let merged = coo.nnz() - sums.len();
        for (rule, expected) in [(Duplicates::Sum, &sums), (Duplicates::Last, &last)] {
            let (sorted, count) = coo.sorted(rule).unwrap();
            prop_assert_eq!(count, merged);
            prop_assert_eq!(sorted.shape(), coo.shape());
            // A map iterates in ascending order, so this checks the order too.
            prop_assert_eq!(entries(&sorted).collect::<Vec<_>>(), expected.iter().map(|(i, v)| (i.clone(), *v)).collect::<Vec<_>>());
        }
        match coo.sorted(Duplicates::Error) {
            Ok((sorted, 0)) => prop_assert_eq!((merged, sorted.nnz()), (0, coo.nnz())),
            Ok((_, count)) => prop_assert!(false, "{} merged under Error", count),
            Err(error) => {
                let (array, position, _) = sparsity(error);
                let Position::Entry(index) = position else { panic!("{position:?}") };
                let index = index.into_iter().map(|i| i as u32).collect::<Vec<_>>();
                prop_assert_eq!(array, "indices");
                prop_assert!(entries(&coo).filter(|(i, _)| *i == index).count() > 1);
            }
        }
    }

    #[test]
    fn any_arrays_are_answered(rows in 0usize..5, cols in 0usize..5, indptr in prop::collection::vec(0usize..6, 0..7), indices in prop::collection::vec(0u32..6, 0..6), values in 0usize..6) {
        if let Ok(csr) = Csr::new(rows, cols, indptr, indices, vec![1.0; values]) {
            // What is accepted can be used.
            prop_assert_eq!(csr.to_dense().as_slice().iter().sum::<f64>(), values as f64);
            prop_assert_eq!(csr.transposed().transposed(), csr);
        }
    }

    #[test]
    fn any_coordinates_are_answered(shape in prop::collection::vec(0usize..4, 0..4), indices in prop::collection::vec(0u32..4, 0..12), values in 0usize..6) {
        if let Ok(coo) = Coo::new(shape, indices, vec![1.0; values]) {
            let (sorted, merged) = coo.sorted(Duplicates::Sum).unwrap();
            prop_assert_eq!(sorted.nnz() + merged, values);
            prop_assert_eq!(sorted.values().iter().sum::<f64>(), values as f64);
        }
    }

    #[test]
    fn the_first_non_finite_entry_is_named(a in dense(), at in any::<prop::sample::Index>()) {
        let mut csr = Csr::from_dense(&a);
        prop_assert_eq!(csr.require_finite("a"), Ok(()));
        if csr.nnz() == 0 {
            return Ok(());
        }
        let k = at.index(csr.nnz());
        csr.values_mut()[k..].fill(f64::NAN);
        let InputError::NonFinite { array, position: Position::Entry(index), .. } = csr.require_finite("a").unwrap_err() else { panic!() };
        let first = (0..a.rows()).flat_map(|i| (0..a.cols()).map(move |j| (i, j))).filter(|&(i, j)| a.row(i)[j] != 0.0).nth(k).unwrap();
        prop_assert_eq!((array.as_str(), index), ("a", vec![first.0, first.1]));
    }
}

#[test]
fn each_contradiction_is_named_with_its_place() {
    let check = |indptr: &[usize], indices: &[u32], values: usize, array: &str, position: Position, text: &str| {
        let found = sparsity(Csr::new(2, 3, indptr.to_vec(), indices.to_vec(), vec![0.0; values]).unwrap_err());
        assert_eq!((found.0.as_str(), found.1), (array, position), "{}", found.2);
        assert!(found.2.contains(text), "{}", found.2);
    };
    check(&[0, 1], &[0], 1, "indptr", Position::Whole, "rows + 1 = 3");
    check(&[0, 1, 2], &[0], 2, "indices", Position::Whole, "2 values");
    check(&[1, 1, 2], &[0, 1], 2, "indptr", Position::Whole, "from 1 to 2");
    check(&[0, 1, 1], &[0, 1], 2, "indptr", Position::Whole, "must run from 0 to 2");
    check(&[0, 3, 2], &[0, 1], 2, "indptr", Position::Row(1), "falls from 3 to 2");
    check(&[0, 1, 2], &[0, 3], 2, "indices", Position::Row(1), "column 3 is outside 0..3");
    check(&[0, 0, 2], &[1, 1], 2, "indices", Position::Row(1), "column 1 follows column 1");
    check(&[0, 2, 2], &[2, 0], 2, "indices", Position::Row(0), "column 0 follows column 2");
}

#[test]
fn coordinates_outside_the_shape_are_named() {
    let (array, _, problem) = sparsity(Coo::new([2, 3], vec![0, 0, 1, 3], vec![1.0, 2.0]).unwrap_err());
    assert!(array == "indices" && problem.contains("entry 1 has index 3 in dimension 1, outside 0..3"), "{problem}");
    let (array, _, problem) = sparsity(Coo::new([2, 3], vec![0, 0, 1], vec![1.0, 2.0]).unwrap_err());
    assert!(array == "indices" && problem.contains("3 numbers") && problem.contains("need 4"), "{problem}");
    let cube = Coo::new([2, 2, 2], vec![0, 0, 0], vec![1.0]).unwrap();
    assert_eq!(cube.to_csr(Duplicates::Sum).unwrap_err().kind(), "DimensionMismatch");
}

#[cfg(target_pointer_width = "64")]
#[test]
fn extents_beyond_32_bits_are_refused_before_memory_is_asked_for() {
    let beyond = (1usize << 32) + 1;
    assert_eq!(Csr::<f64>::new(beyond, 1, vec![0], vec![], vec![]).unwrap_err().kind(), "TooLarge");
    assert_eq!(Csr::<f64>::new(usize::MAX, 1, vec![0], vec![], vec![]).unwrap_err().kind(), "TooLarge");
    assert_eq!(Csr::<f64>::new(0, beyond, vec![0], vec![], vec![]).unwrap_err().kind(), "TooLarge");
    assert_eq!(Coo::<f64>::new([1, beyond], vec![], vec![]).unwrap_err().kind(), "TooLarge");
    assert!(Csr::<f64>::new(0, beyond - 1, vec![0], vec![], vec![]).is_ok());
}

#[test]
fn an_explicit_zero_stays() {
    let a = Csr::new(1, 2, vec![0, 1], vec![1], vec![0.0]).unwrap();
    assert_eq!((a.nnz(), a.transposed().nnz(), a.map(|v| v + 1.0).values()), (1, 1, &[1.0][..]));
    let (sorted, merged) = Coo::new([2], vec![1, 1], vec![2.0, -2.0]).unwrap().sorted(Duplicates::Sum).unwrap();
    assert_eq!((sorted.values(), merged), (&[0.0][..], 1));
}

use certus_numeric::{Array, Csr, ScaledValue, sum};
use certus_testkit::{Bits, same_bits};
use rayon::prelude::*;

fn values() -> Vec<f64> {
    (1..40_000).map(|i| 1.0 / f64::from(i)).collect()
}

#[test]
fn an_ordered_sum_passes_and_is_given_back() {
    let values = values();
    let ones = vec![1.0; values.len()];
    assert_eq!(same_bits(|| sum::par_dot(&values, &ones)), sum::par_dot(&values, &ones));
    assert_eq!(same_bits(|| rayon::current_num_threads().min(1)), 1);
}

#[test]
#[should_panic(expected = "give different bits: answer.1[3] is")]
fn a_sum_split_by_the_number_of_threads_is_found() {
    let values = values();
    same_bits(|| {
        let block = values.len().div_ceil(rayon::current_num_threads());
        let split = values.par_chunks(block).map(|block| block.iter().sum::<f64>()).collect::<Vec<_>>().iter().sum::<f64>();
        ("sum", [1.0, f64::NAN, -0.0, split])
    });
}

fn differ<T: Bits + ?Sized>(a: &T, b: &T, place: &str) {
    assert_eq!(a.difference(a), None);
    assert_eq!(b.difference(b), None);
    let found = a.difference(b).unwrap();
    assert!(found.starts_with(place), "{found}");
}

#[test]
fn the_first_place_that_differs_is_named() {
    differ(&0.0, &-0.0, " is 0.0 (bits 0x0) against -0.0 (bits 0x8000000000000000)");
    differ(&f32::NAN, &-f32::NAN, " is NaN");
    differ(&3usize, &4, " is 3 against 4");
    differ(&vec![1.0], &vec![1.0, 2.0], " has length 1 against 2");
    differ(&[1.0, 2.0, 3.0][..], &[1.0, 2.5, 3.5][..], "[1] is 2.0");
    differ(&Some(1u8), &None, " is Some(1) against None");
    differ(&Ok::<f64, &str>(1.0), &Err("singular"), " is Ok(1.0) against Err");
    differ(&(1u8, "a", [true, false]), &(1u8, "a", [true, true]), ".2[1] is false against true");
    differ(&Array::vector(vec![1.0, 2.0]), &Array::vector(vec![1.0, 3.0]), "[1] is 2.0");
    differ(&Array::vector(vec![1.0, 2.0]), &Array::identity(1), " has shape [2] against [1, 1]");
    let csr = |column, value| Csr::new(1, 3, vec![0, 1], vec![column], vec![value]).unwrap();
    differ(&csr(0, 1.0), &csr(0, 2.0), " values[0] is 1.0");
    differ(&csr(0, 1.0), &csr(1, 1.0), " indices[0] is 0");
    differ(&csr(0, 1.0), &Csr::from_dense(&Array::zeros([1, 4])), " (rows, columns).1 is 3 against 4");
    // Equal numbers of other bits.
    differ(&ScaledValue::new(2.0, 0.0), &ScaledValue::exp(2f64.ln()), ".0 is 2.0");
}

//! Input errors: each says what was wrong, where, and what would be right.

use certus_contract::{InputError, Position, require_finite, require_length, require_positive};
use proptest::prelude::*;

/// Constructor, kind, message, hint.
fn table() -> Vec<(InputError, &'static str, &'static str, &'static str)> {
    vec![
        (InputError::empty("a", &[0, 3]), "EmptyProblem", "a is empty (shape (0, 3))", "Give at least one row, column and entry."),
        (
            InputError::dimension("b", "length 3", "length 4 (the rows of a)"),
            "DimensionMismatch",
            "b has length 3, but length 4 (the rows of a) is needed",
            "Reshape or transpose it to length 4 (the rows of a), or check that the right file was given.",
        ),
        (
            InputError::shape("b", &[5], "a matrix (two dimensions)"),
            "DimensionMismatch",
            "b has shape (5,), but a matrix (two dimensions) is needed",
            "Reshape or transpose it to a matrix (two dimensions), or check that the right file was given.",
        ),
        (
            InputError::non_finite("a.npy", &[2, 0], f64::NEG_INFINITY),
            "NonFinite",
            "a.npy[2, 0] is -inf, but every entry must be finite",
            "Remove, impute or mask such entries before the call.",
        ),
        (
            InputError::non_finite("scale", &[], f64::NAN),
            "NonFinite",
            "scale is NaN, but every entry must be finite",
            "Remove, impute or mask such entries before the call.",
        ),
        (
            InputError::parameter("tol", -1.0, "finite and above 0"),
            "InvalidParameter",
            "tol is -1, but must be finite and above 0",
            "Set tol to a value that is finite and above 0.",
        ),
        (
            InputError::sparsity("indptr", Position::Row(7), "it falls from 3 to 2"),
            "InvalidSparsity",
            "indptr (row 7): it falls from 3 to 2",
            "Write the array again from a consistent sparse matrix (in SciPy: check_format(), sum_duplicates()).",
        ),
        (
            InputError::unsupported("a.npy", "of type complex128", "f32 or f64"),
            "UnsupportedFormat",
            "a.npy is of type complex128, but f32 or f64 is supported",
            "Convert it to f32 or f64.",
        ),
        (
            InputError::truncated("a.npy", "80 bytes of data", "12 bytes"),
            "Truncated",
            "a.npy is cut short: 80 bytes of data expected, 12 bytes found",
            "Write or download the file again; it is incomplete.",
        ),
        (InputError::not_found("a.npy", [""; 0]), "NotFound", "a.npy is not found", "Check the path and the name of the array."),
        (InputError::not_found("z", ["x", "y"]), "NotFound", "z is not found (there is x, y)", "Check the path and the name of the array."),
        (
            InputError::too_large("a", "8e15 bytes", "16 GiB (the memory)"),
            "TooLarge",
            "a is too large: 8e15 bytes, at most 16 GiB (the memory) is possible",
            "Reduce the size to at most 16 GiB (the memory), or split the work.",
        ),
    ]
}

#[test]
fn kind_message_and_hint_of_each_constructor() {
    for (error, kind, message, hint) in table() {
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint(), hint);
        assert_eq!(error.clone(), error);
    }
}

#[test]
fn positions_read_as_users_count() {
    let table = [
        (Position::Whole, ""),
        (Position::Entry(vec![3]), "[3]"),
        (Position::Entry(vec![1, 0, 2]), "[1, 0, 2]"),
        (Position::Row(4), " (row 4)"),
        (Position::Line(1), " (line 1)"),
        (Position::Byte(128), " (byte 128)"),
    ];
    for (position, text) in table {
        assert_eq!(position.to_string(), text);
    }
}

#[test]
fn empty_text_is_shown_as_such() {
    assert_eq!(InputError::not_found("", [""; 0]).to_string(), "\"\" is not found");
    assert_eq!(InputError::parameter("method", "", "qr or sketch").to_string(), "method is \"\", but must be qr or sketch");
    assert_eq!(InputError::not_found("x\n\u{1b}[2J", [""; 0]).to_string(), "x\\n\\u{1b}[2J is not found");
    assert_eq!(InputError::not_found("x", [" "]).to_string(), "x is not found (there is \" \")");
}

#[test]
fn extreme_parameters_are_short() {
    assert_eq!(InputError::parameter("tol", -1e300, "above 0").to_string(), "tol is -1e300, but must be above 0");
    assert_eq!(InputError::parameter("tol", 5e-324, "above 1").to_string(), "tol is 5e-324, but must be above 1");
    assert_eq!(InputError::parameter("n", u64::MAX, "below 10").to_string(), "n is 18446744073709551615, but must be below 10");
}

#[test]
fn long_lists_of_names_are_cut() {
    let message = InputError::not_found("x", (0..1000).map(|i| format!("layer{i}"))).to_string();
    assert!(message.ends_with("layer10, layer11, 988 more)"), "{message}");
}

fn is_one_sentence(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control) && text.chars().count() < 4 * 4000
}

proptest! {
    #[test]
    fn whatever_a_file_holds_the_message_stays_one_sentence(a in any::<String>(), b in any::<String>(), c in any::<String>(), long in 0usize..2000) {
        let a = format!("{a}{}", "x".repeat(long));
        let position = Position::Entry(vec![1]);
        let errors = [
            InputError::empty(&*a, &[]),
            InputError::dimension(&*a, &*b, &*c),
            InputError::shape(&*a, &[0], &*b),
            InputError::non_finite(&*a, &[1], f64::NAN),
            InputError::parameter(&*a, &b, &*c),
            InputError::sparsity(&*a, position, &*b),
            InputError::unsupported(&*a, &*b, &*c),
            InputError::truncated(&*a, &*b, &*c),
            InputError::not_found(&*a, [&b, &c]),
            InputError::too_large(&*a, &*b, &*c),
        ];
        for error in errors {
            let message = error.to_string();
            prop_assert!(is_one_sentence(&message), "{message:?}");
            prop_assert!(!error.hint().is_empty() && error.hint().ends_with('.'), "{:?}", error.hint());
            prop_assert!(!error.kind().is_empty());
        }
    }

    #[test]
    fn the_first_entry_that_is_not_finite_is_found(
        shape in prop::collection::vec(1usize..5, 0..5),
        place in any::<prop::sample::Index>(),
        later in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ) {
        let entries = shape.iter().product::<usize>();
        let mut values = vec![f64::MAX; entries];
        prop_assert_eq!(require_finite("a", &shape, &values), Ok(()));
        let (first, second) = (place.index(entries), later.index(entries));
        values[first] = value;
        values[second.max(first)] = value;
        // Rank of each index in C order, counted independently: the last runs fastest.
        let mut index = vec![0; shape.len()];
        for _ in 0..first {
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        prop_assert_eq!(require_finite("a", &shape, &values), Err(InputError::non_finite("a", &index, value)));
    }

    #[test]
    fn only_finite_numbers_above_zero_are_positive(value in prop::num::f64::ANY) {
        prop_assert_eq!(require_positive("p", value).is_ok(), value > 0.0 && value < f64::INFINITY);
    }
}

#[test]
fn requirements_name_what_they_refuse() {
    assert_eq!(require_finite("a", &[0, 3], &[]), Ok(()));
    assert_eq!(require_length("b", 4, 4, "the rows of a"), Ok(()));
    assert_eq!(
        require_length("b", 3, 4, "the rows of a").unwrap_err().to_string(),
        "b has length 3, but length 4 (the rows of a) is needed"
    );
    for value in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(require_positive("ridge", value), Err(InputError::parameter("ridge", value, "finite and above 0")));
    }
}

use std::collections::HashSet;
use std::path::Path;

use certus_contract::InputError;
use certus_numeric::Array;
use certus_testkit::hostile::{Bad, Fault, arrays, csr, mtx, npy, npy_bytes, npz};

fn good() -> Array {
    Array::from_fn(3, 2, |i, j| 1.0 + (2 * i + j) as f64)
}

fn all() -> Vec<Bad> {
    [npy(&good()), npz("a", &good()), csr(), mtx()].concat()
}

#[test]
fn a_sound_file_is_what_numpy_writes() {
    let bytes = npy_bytes(&good());
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }";
    let padding = " ".repeat(128 - 10 - header.len() - 1);
    let expected = [b"\x93NUMPY\x01\x00\x76\x00", format!("{header}{padding}\n").as_bytes(), &1f64.to_le_bytes()].concat();
    assert_eq!(bytes[..136], expected);
    assert_eq!(bytes.len(), 128 + 6 * 8);
    assert!(npy_bytes(&Array::vector(vec![0.0])).windows(14).any(|text| text == b"'shape': (1,),"));
}

#[test]
fn every_file_is_bad_in_a_way_of_its_own() {
    let sound = npy_bytes(&good());
    assert!(npy(&good()).iter().all(|bad| bad.bytes.as_ref() != Some(&sound)));
    let (mut names, mut contents) = (HashSet::new(), HashSet::new());
    for bad in all() {
        assert!(names.insert((bad.extension, bad.name)) || bad.extension == "npz", "{} stands twice", bad.name);
        assert!(contents.insert((bad.extension, bad.bytes.clone())) || bad.bytes.is_none(), "{} is like another", bad.name);
        assert!(!bad.kinds.is_empty());
        // A hostile file is small: what is absurd stands in its header.
        assert!(bad.bytes.map_or(0, |bytes| bytes.len()) < 10_000);
    }
    use Fault::*;
    for fault in [Missing, Truncated, Format, Type, NonFinite, Empty, Shape, Absurd, Negative, Sparsity] {
        assert!(all().iter().any(|bad| bad.fault == fault), "{fault:?}");
    }
}

#[test]
fn files_are_written_and_missing_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    for bad in all() {
        let path = bad.write(folder.path());
        assert_eq!(path.exists(), bad.bytes.is_some(), "{}", path.display());
        if let Some(bytes) = bad.bytes {
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// What a system does that wants a 3 x 2 matrix of finite numbers.
fn read(bad: &Bad, path: &Path) -> Result<(), certus_io::Error> {
    let matrix = match (bad.extension, path.parent().is_some_and(|folder| folder.ends_with("csr"))) {
        ("npz", false) => certus_io::read_matrix(certus_io::Source::named(path, "a"))?,
        _ => certus_io::read_matrix(path)?,
    };
    let shape = [matrix.rows(), matrix.cols()];
    if shape.contains(&0) {
        return Err(InputError::empty("a", &shape).into());
    }
    matrix.require_finite("a")?;
    let wanted = if bad.fault == Fault::Shape { [3, 2] } else { shape };
    if shape == wanted { Ok(()) } else { Err(InputError::shape("a", &shape, "shape (3, 2)").into()) }
}

#[test]
fn the_readers_of_the_workspace_refuse_every_file_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    for (format, files) in [("npy", npy(&good())), ("npz", npz("a", &good())), ("csr", csr()), ("mtx", mtx())] {
        let folder = folder.path().join(format);
        std::fs::create_dir(&folder).unwrap();
        for bad in files {
            let error = read(&bad, &bad.write(&folder)).expect_err(bad.name);
            bad.assert_kind(error.kind());
            assert!(!error.to_string().contains('\n') && error.to_string().len() < 400, "{error}");
        }
        std::fs::write(folder.join("good.npy"), npy_bytes(&good())).unwrap();
        assert_eq!(certus_io::read_array(folder.join("good.npy")).unwrap(), good());
    }
}

#[test]
fn hostile_arrays_are_refused_as_they_say() {
    for (name, array, kind) in arrays(&good()) {
        let empty = if array.is_empty() { Err(InputError::empty("a", array.shape())) } else { Ok(()) };
        let same_shape = || if array.shape() == [3, 2] { Ok(()) } else { Err(InputError::shape("a", array.shape(), "shape (3, 2)")) };
        let refused = empty.and_then(|()| same_shape()).and_then(|()| array.require_finite("a")).unwrap_err();
        assert_eq!(refused.kind(), kind, "{name}");
    }
}

#[test]
#[should_panic(expected = "missing.npy was refused as Truncated, but must be as [\"NotFound\"]")]
fn the_wrong_kind_is_found() {
    npy(&good())[0].assert_kind("Truncated");
}

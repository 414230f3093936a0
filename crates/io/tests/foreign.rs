//! Files that NumPy, SciPy and safetensors wrote.

use certus_io::{
    AnyArray, Complex, Dtype, Error, Matrix, Npz, Safetensors, TnsOptions, read, read_array, read_as, read_coo, read_mask, read_matrix,
    read_text, read_vector,
};
use certus_numeric::Array;

use crate::support::{case, member, refused};

const REALS: [f64; 6] = [0.0, 0.5, -1.5, 3.0, 10000.0, f64::INFINITY];
const UNSIGNED: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 100.0];
const SIGNED: [f64; 6] = [0.0, 1.0, 2.0, 3.0, -4.0, 100.0];
const BOOLS: [f64; 6] = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];

fn halves() -> Vec<Complex<f64>> {
    (0..6).map(|k| Complex::new(f64::from(k), -0.5 * f64::from(k))).collect()
}

/// The same numbers read as `f64`, and as the type that the file has.
fn check(array: impl Fn() -> Result<AnyArray, Error>, dtype: Dtype) {
    let found = array().unwrap();
    assert_eq!((found.dtype(), found.shape()), (dtype, &[2, 3][..]));
    let expected = match dtype {
        Dtype::Bool => BOOLS,
        Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64 => SIGNED,
        Dtype::UInt8 | Dtype::UInt16 | Dtype::UInt32 | Dtype::UInt64 => UNSIGNED,
        Dtype::Float16 | Dtype::BFloat16 | Dtype::Float32 | Dtype::Float64 => REALS,
        _ => {
            assert_eq!(array().unwrap().into_array::<Complex<f64>>().unwrap().into_vec(), halves());
            refused(found.into_array::<f64>(), "UnsupportedFormat", &["complex", "real numbers", "float64"]);
            return;
        }
    };
    assert_eq!(found.into_array::<f64>().unwrap().as_slice(), expected);
    let single = array().unwrap().into_array::<f32>().unwrap();
    assert_eq!(single.as_slice(), expected.map(|x| x as f32));
    let mask = array().unwrap().into_array::<bool>().unwrap();
    assert_eq!(mask.as_slice(), expected.map(|x| x != 0.0));
    if expected == SIGNED || expected == UNSIGNED {
        assert_eq!(array().unwrap().into_array::<i8>().unwrap().as_slice(), expected.map(|x| x as i8));
        assert_eq!(array().unwrap().into_array::<i64>().unwrap().as_slice(), expected.map(|x| x as i64));
    }
    if expected == SIGNED {
        refused(array().unwrap().into_array::<u16>(), "UnsupportedFormat", &["[1, 1] is -4", "uint16"]);
    }
    if expected == REALS {
        refused(array().unwrap().into_array::<i32>(), "UnsupportedFormat", &["[0, 1] is 0.5", "int32"]);
    }
}

#[test]
fn every_type_order_and_byte_order_of_npy() {
    let types = [
        ("b1", Dtype::Bool),
        ("i1", Dtype::Int8),
        ("i2", Dtype::Int16),
        ("i4", Dtype::Int32),
        ("i8", Dtype::Int64),
        ("u1", Dtype::UInt8),
        ("u2", Dtype::UInt16),
        ("u4", Dtype::UInt32),
        ("u8", Dtype::UInt64),
        ("f2", Dtype::Float16),
        ("f4", Dtype::Float32),
        ("f8", Dtype::Float64),
        ("c8", Dtype::Complex64),
        ("c16", Dtype::Complex128),
    ];
    for (code, dtype) in types {
        for bytes in ["little", "big"] {
            for order in ["c", "fortran"] {
                let path = case(&format!("{code}_{bytes}_{order}.npy"));
                if dtype.size() > 1 || bytes == "little" {
                    check(|| read(&path), dtype);
                }
            }
        }
    }
}

#[test]
fn fortran_order_in_many_dimensions() {
    let three = read_array(case("fortran3.npy")).unwrap();
    assert_eq!(three.shape(), [2, 3, 4]);
    assert!(three.as_slice().iter().copied().eq((0..24).map(f64::from)));
    let four = read_as::<i16>(case("fortran4.npy")).unwrap();
    assert_eq!(four.shape(), [2, 3, 4, 5]);
    assert!(four.as_slice().iter().copied().eq(0..120));
}

#[test]
fn versions_and_edges_of_npy() {
    for version in 1..=3 {
        assert_eq!(read_vector(case(&format!("version{version}.npy"))).unwrap(), [0.0, 1.0, 2.0, 3.0]);
    }
    let scalar = read_array(case("scalar.npy")).unwrap();
    assert_eq!((scalar.shape(), scalar.as_slice()), (&[][..], &[2.5][..]));
    assert_eq!(read_array(case("empty.npy")).unwrap().shape(), [0, 3]);
    assert_eq!(read_text(case("strings.npy")).unwrap(), ["axe", "", "Ωμέγα", "end"]);
    assert_eq!(read_text(case("strings_big.npy")).unwrap(), ["axe", "", "Ωμέγα", "end"]);
    assert_eq!(read_text(case("bytes.npy")).unwrap(), ["csr", "x"]);
    refused(read_array(case("strings.npy")), "UnsupportedFormat", &["strings.npy", "str", "real numbers"]);
    refused(read_text(case("scalar.npy")), "UnsupportedFormat", &["scalar.npy", "float64", "strings"]);
}

#[test]
fn integers_are_never_rounded() {
    let path = case("huge_integer.npy");
    refused(read_array(&path), "UnsupportedFormat", &["huge_integer.npy[1, 0] is 9007199254740993 (int64)", "float64"]);
    assert_eq!(read_as::<i64>(&path).unwrap().as_slice(), [1, 1 << 53, (1 << 53) + 1, 3]);
}

#[test]
fn other_types_are_refused_by_name() {
    for (name, what) in [("object", "object"), ("structured", "structured"), ("date", "date"), ("long_double", "long double")] {
        refused(read(case(&format!("{name}.npy"))), "UnsupportedFormat", &[&format!("{name}.npy"), what]);
    }
}

#[test]
fn archives_stored_and_deflated() {
    for file in ["stored.npz", "deflated.npz"] {
        let mut npz = Npz::open(case(file)).unwrap();
        assert_eq!(npz.names().take(4).collect::<Vec<_>>(), ["x", "labels", "alpha", "names"]);
        assert_eq!(npz.array::<f64>("x").unwrap(), Array::from_fn(2, 3, |i, j| (3 * i + j) as f64));
        assert_eq!(npz.array::<u8>("labels").unwrap().as_slice(), [2, 0, 1]);
        assert_eq!(npz.scalar::<f32>("alpha").unwrap(), 0.25);
        assert_eq!(npz.read("names").unwrap().into_text().unwrap(), ["a", "bc"]);
        let header = npz.header("labels").unwrap();
        assert_eq!((header.dtype, header.shape), (Dtype::Int64, vec![3]));
        refused(npz.scalar::<f64>("x"), "DimensionMismatch", &[&format!("{file}:x"), "(2, 3)", "a single number"]);
        refused(npz.read("y"), "NotFound", &[&format!("{file}:y"), "x, labels, alpha, names"]);
        refused(read(case(file)), "InvalidParameter", &[file, ":NAME", "x, labels, alpha, names"]);
        assert_eq!(read_vector(member(file, "labels")).unwrap(), [2.0, 0.0, 1.0]);
        assert_eq!(read_vector(member(file, "labels.npy")).unwrap(), [2.0, 0.0, 1.0]);
    }
    assert_eq!(read_mask(case("single.npz")).unwrap().as_slice(), [false, true, true]);
    assert_eq!(read_matrix(member("nested.npz", "conv/lin.weight")).unwrap(), Matrix::Dense(Array::identity(2)));
}

fn small() -> Array {
    Array::matrix(3, 4, vec![0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.5, 0.0]).unwrap()
}

#[test]
fn scipy_matrices_become_canonical_rows() {
    for name in ["csr", "csc", "coo", "array", "64", "messy", "messy_csc"] {
        let Matrix::Sparse(csr) = read_matrix(case(&format!("sparse_{name}.npz"))).unwrap() else { panic!("{name} is sparse") };
        assert_eq!(csr.to_dense(), small(), "{name}");
        assert_eq!(csr.indices(), [1, 3, 0, 2], "{name}");
    }
    let Matrix::Sparse(doubled) = read_matrix(case("sparse_int.npz")).unwrap() else { panic!("it is sparse") };
    assert_eq!(doubled.to_dense(), small().map(|x| 2.0 * x));
    for name in ["bsr", "dia"] {
        let path = case(&format!("sparse_{name}.npz"));
        refused(read_matrix(path), "UnsupportedFormat", &[&format!("sparse_{name}.npz"), name, "csr, csc or coo"]);
    }
    refused(read_array(case("sparse_csr.npz")), "UnsupportedFormat", &["sparse_csr.npz", "sparse", "dense"]);
}

#[test]
fn scipy_tensors_by_coordinates() {
    let tensor = read_coo(case("sparse_coo3.npz"), &TnsOptions::default()).unwrap();
    assert_eq!(tensor.shape(), [2, 3, 4]);
    assert_eq!((tensor.index(0), tensor.index(1), tensor.values()), (&[0, 2, 3][..], &[1, 0, 1][..], &[1.5, 2.5][..]));
    refused(read_matrix(case("sparse_coo3.npz")), "DimensionMismatch", &["sparse_coo3.npz", "(2, 3, 4)", "matrix"]);
    assert_eq!(read_coo(case("sparse_csc.npz"), &TnsOptions::default()).unwrap().values(), [1.0, 2.0, 3.0, 4.5]);
}

#[test]
fn matrix_market_by_scipy() {
    let sparse = |name: &str| match read_matrix(case(name)).unwrap() {
        Matrix::Sparse(csr) => csr.to_dense(),
        Matrix::Dense(_) => panic!("{name} is sparse"),
    };
    assert_eq!(sparse("real.mtx"), small());
    assert_eq!(sparse("integer.mtx"), small().map(|x| 2.0 * x));
    assert_eq!(sparse("pattern.mtx"), small().map(|x| if *x == 0.0 { 0.0 } else { 1.0 }));
    assert_eq!(read_array(case("array.mtx")).unwrap(), small());
    let square = Array::matrix(3, 3, vec![1.0, 2.0, 0.0, 2.0, 0.0, 3.0, 0.0, 3.0, 5.0]).unwrap();
    let skew = Array::matrix(3, 3, vec![0.0, 2.0, 0.0, -2.0, 0.0, 3.0, 0.0, -3.0, 0.0]).unwrap();
    assert_eq!(sparse("symmetric.mtx"), square);
    assert_eq!(sparse("skew.mtx"), skew);
    assert_eq!(read_array(case("array_symmetric.mtx")).unwrap(), square);
    assert_eq!(read_array(case("array_skew.mtx")).unwrap(), skew);
    refused(read_matrix(case("complex.mtx")), "UnsupportedFormat", &["complex.mtx (line 1)", "'complex'", "real, integer"]);
}

#[test]
fn every_type_of_safetensors() {
    let types = [
        ("f64", Dtype::Float64),
        ("f32", Dtype::Float32),
        ("f16", Dtype::Float16),
        ("i64", Dtype::Int64),
        ("i32", Dtype::Int32),
        ("i16", Dtype::Int16),
        ("i8", Dtype::Int8),
        ("u64", Dtype::UInt64),
        ("u32", Dtype::UInt32),
        ("u16", Dtype::UInt16),
        ("u8", Dtype::UInt8),
        ("bool", Dtype::Bool),
        ("c64", Dtype::Complex64),
    ];
    let mut file = Safetensors::open(case("types.safetensors")).unwrap();
    assert_eq!(file.names().len(), types.len());
    for (name, dtype) in types {
        assert!(file.contains(name));
        check(|| read(member("types.safetensors", name)), dtype);
    }
    refused(file.read("none"), "NotFound", &["types.safetensors:none", "f64"]);
    refused(read(case("types.safetensors")), "InvalidParameter", &["types.safetensors", ":NAME"]);
    assert_eq!(read_vector(case("bfloat16.safetensors")).unwrap(), [0.0, 0.5, -1.5, 3.0]);
}

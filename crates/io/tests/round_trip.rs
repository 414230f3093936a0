//! What is written is read back to the same bits, and other libraries agree.

use certus_io::{
    Complex, Element, Matrix, NamedTensor, Npz, NpzWriter, Safetensors, Source, TnsOptions, read_array, read_as, read_coo, read_matrix,
    write_csr, write_mtx, write_npy, write_safetensors, write_tns,
};
use certus_numeric::{Array, Coo, Csr};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::folder;

fn bits<T: Element>(values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|v| v.push_le(&mut bytes));
    bytes
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    vec(0usize..5, 0..4)
}

fn arrays<T: Element + Arbitrary>() -> impl Strategy<Value = Array<T>> {
    shape().prop_flat_map(|shape| {
        let count = shape.iter().product::<usize>();
        vec(any::<T>(), count).prop_map(move |values| Array::new(shape.clone(), values).unwrap())
    })
}

/// Through `.npy`, `.npz` stored and deflated, and `.safetensors`.
fn through_all<T: Element>(array: &Array<T>) {
    let folder = folder();
    let same = |read: Array<T>| {
        assert_eq!(read.shape(), array.shape());
        assert_eq!(bits(read.as_slice()), bits(array.as_slice()));
    };
    let npy = folder.path().join("a.npy");
    write_npy(&npy, array).unwrap();
    same(read_as(&npy).unwrap());

    let npz = folder.path().join("a.npz");
    let mut writer = NpzWriter::create(&npz).unwrap();
    writer.add("stored", array).unwrap();
    let mut writer = writer.compressed();
    writer.add("deflated", array).unwrap();
    writer.finish().unwrap();
    let mut archive = Npz::open(&npz).unwrap();
    same(archive.array("stored").unwrap());
    same(archive.array("deflated").unwrap());

    if T::DTYPE != certus_io::Dtype::Complex128 {
        let tensors = folder.path().join("a.safetensors");
        write_safetensors(&tensors, &[NamedTensor::new("b", array.clone()), NamedTensor::new("a", array.clone())]).unwrap();
        let mut file = Safetensors::open(&tensors).unwrap();
        same(file.array("a").unwrap());
        same(file.array("b").unwrap());
    }
}

macro_rules! every_type {
    ($($name:ident: $t:ty),*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(24))]
            $(
                #[test]
                fn $name(array in arrays::<$t>()) {
                    through_all(&array);
                }
            )*
        }
    };
}
every_type!(
    type_f64: f64, type_f32: f32, type_i8: i8, type_i16: i16, type_i32: i32, type_i64: i64,
    type_u8: u8, type_u16: u16, type_u32: u32, type_u64: u64, type_bool: bool
);

/// An `.npy` file as NumPy would write it in this order and byte order.
fn foreign_npy<T: Element>(array: &Array<T>, fortran: bool, big: bool) -> Vec<u8> {
    let mut code = match T::DTYPE {
        certus_io::Dtype::Float64 => "<f8",
        certus_io::Dtype::Float32 => "<f4",
        certus_io::Dtype::Int16 => "<i2",
        certus_io::Dtype::UInt64 => "<u8",
        other => panic!("{other} is not tested here"),
    }
    .to_owned();
    if big {
        code = code.replace('<', ">");
    }
    let extents = array.shape().iter().map(|n| format!("{n},")).collect::<String>();
    let order = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{code}', 'fortran_order': {order}, 'shape': ({extents}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    let shape = array.shape();
    for k in 0..array.len() {
        // Entry `k` of the file, and its place in C order.
        let mut flat = k;
        let mut place = k;
        if fortran {
            place = 0;
            let mut stride = array.len();
            for &n in shape {
                let index = flat % n;
                flat /= n;
                stride /= n;
                place += index * stride;
            }
        }
        let mut word = Vec::new();
        array.as_slice()[place].push_le(&mut word);
        if big {
            word.reverse();
        }
        bytes.extend(word);
    }
    bytes
}

fn foreign_orders<T: Element>(array: &Array<T>) {
    for (fortran, big) in [(false, false), (false, true), (true, false), (true, true)] {
        let source = Source::memory("a.npy", foreign_npy(array, fortran, big));
        let read = read_as::<T>(source).unwrap();
        assert_eq!(read.shape(), array.shape());
        assert_eq!(bits(read.as_slice()), bits(array.as_slice()), "fortran {fortran}, big endian {big}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn orders_f64(array in arrays::<f64>()) { foreign_orders(&array); }
    #[test]
    fn orders_f32(array in arrays::<f32>()) { foreign_orders(&array); }
    #[test]
    fn orders_i16(array in arrays::<i16>()) { foreign_orders(&array); }
    #[test]
    fn orders_u64(array in arrays::<u64>()) { foreign_orders(&array); }

    #[test]
    fn complex_numbers(parts in vec(any::<(f64, f64)>(), 0..9), singles in vec(any::<(f32, f32)>(), 0..9)) {
        through_all(&Array::vector(parts.into_iter().map(|(re, im)| Complex::new(re, im)).collect()));
        through_all(&Array::vector(singles.into_iter().map(|(re, im)| Complex::new(re, im)).collect()));
    }

    #[test]
    fn sparse_matrices(
        (rows, cols, entries) in (1usize..7, 1usize..7).prop_flat_map(|(rows, cols)| {
            (Just(rows), Just(cols), vec((0..rows as u32, 0..cols as u32, -1e300..1e300f64), 0..20))
        })
    ) {
        let indices = entries.iter().flat_map(|&(i, j, _)| [i, j]).collect();
        let coo = Coo::new([rows, cols], indices, entries.iter().map(|e| e.2).collect()).unwrap();
        let csr = coo.to_csr(certus_numeric::sparse::Duplicates::Sum).unwrap();
        let folder = folder();
        let (npz, mtx, tns) = (folder.path().join("a.npz"), folder.path().join("a.mtx"), folder.path().join("a.tns"));
        write_csr(&npz, &csr).unwrap();
        prop_assert_eq!(&read_matrix(&npz).unwrap(), &Matrix::Sparse(csr.clone()));
        let matrix = Matrix::Sparse(csr);
        write_mtx(&mtx, &matrix).unwrap();
        prop_assert_eq!(&read_matrix(&mtx).unwrap(), &matrix);
        write_tns(&tns, &coo).unwrap();
        let options = TnsOptions { shape: Some(vec![rows, cols]), ..TnsOptions::default() };
        prop_assert_eq!(&read_coo(&tns, &options).unwrap(), &coo);
    }

    #[test]
    fn dense_matrices_as_text(rows in 0usize..5, cols in 0usize..5, seed in any::<[f64; 25]>()) {
        let dense = Array::from_fn(rows, cols, |i, j| seed[5 * i + j]);
        let folder = folder();
        let path = folder.path().join("a.mtx");
        write_mtx(&path, &Matrix::Dense(dense.clone())).unwrap();
        let read = read_array(&path).unwrap();
        prop_assert_eq!(read.shape(), dense.shape());
        for (a, b) in read.as_slice().iter().zip(dense.as_slice()) {
            prop_assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
        }
    }
}

#[test]
fn npyz_reads_what_we_write() {
    let folder = folder();
    let path = folder.path().join("a.npy");
    let array = Array::from_fn(3, 2, |i, j| (10 * i + j) as i32);
    write_npy(&path, &array).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!((bytes.len() - 6 * 4) % 64, 0, "NumPy aligns the data to 64 bytes");
    let npy = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!((npy.shape(), npy.order()), (&[3, 2][..], npyz::Order::C));
    assert_eq!(npy.into_vec::<i32>().unwrap(), array.as_slice());
}

#[test]
fn the_same_arrays_give_the_same_archive() {
    let folder = folder();
    let write = |name: &str| {
        let path = folder.path().join(name);
        let mut writer = NpzWriter::create(&path).unwrap().compressed();
        writer.add("a", &Array::<f64>::zeros([40, 40])).unwrap();
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    };
    let bytes = write("one.npz");
    assert_eq!(bytes, write("two.npz"));
    assert!(bytes.len() < 40 * 40, "zeros compress");
}

#[test]
fn a_name_cannot_be_given_twice() {
    let folder = folder();
    let mut writer = NpzWriter::create(folder.path().join("a.npz")).unwrap();
    writer.add_scalar("x", 1.0).unwrap();
    crate::support::refused(writer.add_scalar("x", 2.0), "InvalidParameter", &["a.npz", "x", "new"]);
    let one = || NamedTensor::new("x", Array::vector(vec![1.0]));
    let twice = write_safetensors(folder.path().join("a.safetensors"), &[one(), one()]);
    crate::support::refused(twice, "InvalidParameter", &["a.safetensors", "x"]);
    let complex = NamedTensor::new("z", Array::vector(vec![Complex::new(1.0, 2.0)]));
    let refused = write_safetensors(folder.path().join("a.safetensors"), &[complex]);
    crate::support::refused(refused, "UnsupportedFormat", &["a.safetensors:z", "complex128"]);
}

#[test]
fn csr_with_wide_indices() {
    let csr = Csr::new(2, 1 << 32, vec![0, 1, 2], vec![u32::MAX, 0], vec![1.0, 2.0]).unwrap();
    let folder = folder();
    let path = folder.path().join("wide.npz");
    write_csr(&path, &csr).unwrap();
    assert_eq!(Npz::open(&path).unwrap().header("indices").unwrap().dtype, certus_io::Dtype::Int64);
    // A file of some hundred bytes may not claim that many columns.
    crate::support::refused(read_matrix(&path), "TooLarge", &["wide.npz", "2 x 4294967296"]);
}

//! Arrays read by blocks of rows.

use certus_io::{NpyRows, NpyWriter, NpzWriter, Source, read_array, write_npy};
use certus_numeric::Array;

use crate::support::{case, folder, member, refused};

#[test]
fn blocks_are_the_array() {
    let folder = folder();
    let path = folder.path().join("a.npy");
    let array = Array::from_fn(10, 3, |i, j| (3 * i + j) as f32);
    write_npy(&path, &array).unwrap();
    for block in [1, 3, 10, 100] {
        let rows = NpyRows::open(&path).unwrap();
        assert_eq!((rows.rows(), rows.cols(), rows.shape()), (10, 3, &[10, 3][..]));
        let blocks = rows.blocks::<f32>(block).collect::<Result<Vec<_>, _>>().unwrap();
        assert!(blocks.iter().all(|b| b.rows() <= block && b.cols() == 3));
        assert_eq!(blocks.iter().flat_map(|b| b.as_slice().to_vec()).collect::<Vec<_>>(), array.as_slice());
    }
    let mut rows = NpyRows::open(&path).unwrap();
    rows.seek(9).unwrap();
    let mut out = vec![7.0; 4];
    assert_eq!(rows.read_into::<f64>(5, &mut out).unwrap(), 1);
    assert_eq!((out.as_slice(), rows.position()), (&[27.0, 28.0, 29.0][..], 10));
    assert_eq!(rows.read_into::<f64>(5, &mut out).unwrap(), 0);
    assert!(out.is_empty());
    refused(rows.seek(11), "InvalidParameter", &["11", "10", "a.npy"]);
}

#[test]
fn stored_members_of_archives_and_any_type() {
    let folder = folder();
    let path = folder.path().join("a.npz");
    let mut writer = NpzWriter::create(&path).unwrap();
    writer.add("first", &Array::vector(vec![1_i64, 2])).unwrap();
    writer.add("x", &Array::from_fn(4, 2, |i, j| (2 * i + j) as i16)).unwrap();
    let mut writer = writer.compressed();
    writer.add("packed", &Array::vector(vec![1.0])).unwrap();
    writer.finish().unwrap();
    let mut rows = NpyRows::open(Source::named(&path, "x")).unwrap();
    rows.seek(3).unwrap();
    assert_eq!(rows.next_block::<f64>(9).unwrap().unwrap().as_slice(), [6.0, 7.0]);
    refused(NpyRows::open(Source::named(&path, "packed")), "UnsupportedFormat", &["a.npz:packed", "compressed"]);
    refused(NpyRows::open(&path), "InvalidParameter", &["a.npz", "first, x, packed"]);
    let mut labels = NpyRows::open(member("stored.npz", "labels")).unwrap();
    assert_eq!(labels.next_block::<u8>(9).unwrap().unwrap().as_slice(), [2, 0, 1]);
}

#[test]
fn what_cannot_be_read_by_rows_says_so() {
    refused(NpyRows::open(case("f8_little_fortran.npy")), "UnsupportedFormat", &["f8_little_fortran.npy", "Fortran", "C order"]);
    refused(NpyRows::open(case("strings.npy")), "UnsupportedFormat", &["strings.npy", "str"]);
    refused(NpyRows::open(case("real.mtx")), "UnsupportedFormat", &["real.mtx"]);
    let mut big = NpyRows::open(case("f8_big_c.npy")).unwrap();
    assert_eq!(big.next_block::<f64>(1).unwrap().unwrap().as_slice(), [0.0, 0.5, -1.5]);
    // The entry is named by its place in the whole array.
    let mut integers = NpyRows::open(case("huge_integer.npy")).unwrap();
    integers.seek(1).unwrap();
    refused(integers.next_block::<f64>(1), "UnsupportedFormat", &["huge_integer.npy[1, 0] is 9007199254740993"]);
}

#[test]
fn a_short_file_is_refused_when_it_is_opened() {
    let bytes = std::fs::read(case("f8_little_c.npy")).unwrap();
    let short = Source::memory("short.npy", &bytes[..bytes.len() - 1]);
    refused(NpyRows::open(short), "Truncated", &["short.npy", "48 bytes", "47"]);
}

#[test]
fn scalars_and_empty_arrays_have_rows_too() {
    let mut scalar = NpyRows::open(case("scalar.npy")).unwrap();
    assert_eq!(scalar.rows(), 1);
    assert_eq!(scalar.next_block::<f64>(2).unwrap().unwrap().as_slice(), [2.5]);
    assert_eq!(scalar.next_block::<f64>(2).unwrap(), None);
    assert_eq!(NpyRows::open(case("empty.npy")).unwrap().next_block::<f64>(2).unwrap(), None);
}

#[test]
fn memory_is_that_of_a_block() {
    let folder = folder();
    let path = folder.path().join("large.npy");
    let mut bytes_written = 0;
    let written = allocation_counter::measure(|| {
        let mut writer = NpyWriter::<f32>::create(&path, &[20_000, 100]).unwrap();
        for i in 0..20_000 {
            writer.push(&[i as f32; 100]).unwrap();
            bytes_written += 400;
        }
        writer.finish().unwrap();
    });
    assert!(written.bytes_max < 1 << 20, "{} bytes to write {bytes_written}", written.bytes_max);
    let mut sum = 0.0;
    let read = allocation_counter::measure(|| {
        let mut rows = NpyRows::open(&path).unwrap();
        let mut block = Vec::new();
        while rows.read_into::<f64>(500, &mut block).unwrap() > 0 {
            sum += block.iter().sum::<f64>();
        }
    });
    assert_eq!(sum, 100.0 * 19_999.0 * 20_000.0 / 2.0);
    assert!(read.bytes_max < 4 << 20, "{} bytes", read.bytes_max);
    assert_eq!(read_array(&path).unwrap().row(7)[99], 7.0);
}

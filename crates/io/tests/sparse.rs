//! Sparse files that contradict themselves, and the rules of text formats.

use certus_io::{FREE_EXTENT, Matrix, NpzWriter, Source, TnsOptions, read_coo, read_matrix, read_tensor, read_tns};
use certus_numeric::Array;
use certus_numeric::sparse::Duplicates;

use crate::support::{case, folder, refused};

fn mtx(text: &str) -> Result<Matrix, certus_io::Error> {
    read_matrix(Source::memory("a.mtx", text.as_bytes()))
}

fn dense(text: &str) -> Array {
    match mtx(text).unwrap() {
        Matrix::Dense(dense) => dense,
        Matrix::Sparse(sparse) => sparse.to_dense(),
    }
}

const REAL: &str = "%%MatrixMarket matrix coordinate real general\n";

#[test]
fn matrix_market_as_people_write_it() {
    let expected = Array::matrix(2, 2, vec![0.0, 5.0, -1e-3, 0.0]).unwrap();
    assert_eq!(dense(&format!("{REAL}% note\n\n2 2 2\n\n1 2 5\n 2\t1  -1E-03  \n")), expected);
    assert_eq!(dense("%%matrixmarket MATRIX Coordinate Real General\r\n2 2 2\r\n1 2 5.0d0\r\n2 1 -1.0D-3\r\n"), expected);
    // Duplicates are added up, an upper half is as good as a lower one, and `array` may list several values a line.
    assert_eq!(dense(&format!("{REAL}2 2 3\n1 2 2\n2 1 -1e-3\n1 2 3")), expected);
    let symmetric = dense("%%MatrixMarket matrix coordinate integer symmetric\n2 2 2\n1 2 7\n2 2 1\n");
    assert_eq!(symmetric.as_slice(), [0.0, 7.0, 7.0, 1.0]);
    assert_eq!(dense("%%MatrixMarket matrix array real general\n2 2\n0 -1e-3\n5 0\n"), expected);
    assert_eq!(dense(&format!("{REAL}3 0 0\n")).shape(), [3, 0]);
}

#[test]
fn matrix_market_that_is_wrong() {
    let sized = |rest: &str| mtx(&format!("{REAL}{rest}"));
    refused(mtx("1 1 1\n"), "UnsupportedFormat", &["a.mtx (line 1)", "%%MatrixMarket"]);
    refused(mtx("%%MatrixMarket vector coordinate real general\n"), "UnsupportedFormat", &["a.mtx (line 1)"]);
    refused(mtx("%%MatrixMarket matrix array pattern general\n"), "UnsupportedFormat", &["a.mtx (line 1)", "'pattern'"]);
    refused(mtx("%%MatrixMarket matrix coordinate complex hermitian\n"), "UnsupportedFormat", &["(line 1)", "'complex'"]);
    refused(mtx("%%MatrixMarket matrix coordinate real hermitian\n"), "UnsupportedFormat", &["(line 1)", "'hermitian'"]);
    refused(sized(""), "Truncated", &["a.mtx", "line of sizes"]);
    refused(sized("2 2\n"), "UnsupportedFormat", &["a.mtx (line 2)", "'2 2'", "three numbers"]);
    refused(sized("2 -2 1\n"), "UnsupportedFormat", &["a.mtx (line 2)", "'-2'"]);
    refused(sized("2 2 2\n1 1 1\n"), "Truncated", &["a.mtx", "2 entries", "1 found"]);
    refused(sized("2 2 1\n1 1 1\n% more\n2 2 1\n"), "InvalidSparsity", &["a.mtx (line 5)", "beyond the 1"]);
    refused(sized("2 2 1\n0 1 1\n"), "InvalidSparsity", &["a.mtx (line 3)", "index 0 is outside 1..=2"]);
    refused(sized("2 2 1\n1 3 1\n"), "InvalidSparsity", &["a.mtx (line 3)", "index 3 is outside 1..=2"]);
    refused(sized("2 2 1\n1 1.5 1\n"), "UnsupportedFormat", &["a.mtx (line 3)", "'1.5'"]);
    refused(sized("2 2 1\n1 1\n"), "UnsupportedFormat", &["a.mtx (line 3)", "'1 1'", "row, column and value"]);
    refused(sized("2 2 1\n1 1 1 1\n"), "UnsupportedFormat", &["a.mtx (line 3)", "row, column and value"]);
    refused(sized("2 2 1\n1 1 one\n"), "UnsupportedFormat", &["a.mtx (line 3)", "'one'", "a number"]);
    let big = format!("{} 1 0\n", FREE_EXTENT + 1);
    refused(sized(&big), "TooLarge", &["a.mtx (line 2)", "4194305 x 1", "bytes"]);
    refused(sized(&format!("1 1 1\n{}", "1".repeat(70_000))), "TooLarge", &["a.mtx (line 3)", "65536 bytes"]);
    let integer = mtx("%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 9007199254740993\n");
    refused(integer, "UnsupportedFormat", &["a.mtx (line 3)", "9007199254740993", "float64"]);
    let symmetric = |rest: &str| mtx(&format!("%%MatrixMarket matrix coordinate real symmetric\n{rest}"));
    refused(symmetric("2 3 0\n"), "DimensionMismatch", &["a.mtx (line 2)", "2 x 3", "square"]);
    refused(symmetric("2 2 2\n1 2 1\n2 1 1\n"), "InvalidSparsity", &["a.mtx (line 4)", "one half"]);
    let skew = mtx("%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n1 1 4\n");
    refused(skew, "InvalidSparsity", &["a.mtx (line 3)", "diagonal"]);
    let array = |rest: &str| mtx(&format!("%%MatrixMarket matrix array real general\n{rest}"));
    refused(array("2 2\n1\n2\n3\n"), "Truncated", &["a.mtx", "4 values", "3 found"]);
    refused(array("1 1\n1\n2\n"), "DimensionMismatch", &["a.mtx (line 4)", "1 values"]);
    refused(array("1000000 1000000\n1\n"), "TooLarge", &["a.mtx (line 2)", "1000000 x 1000000"]);
    refused(array("18446744073709551615 2\n1\n"), "TooLarge", &["a.mtx (line 2)"]);
}

fn tns(text: &str, options: &TnsOptions) -> Result<certus_numeric::Coo, certus_io::Error> {
    read_tns(Source::memory("a.tns", text.as_bytes()), options)
}

#[test]
fn frostt_as_people_write_it() {
    let text = "# comment\n1 2 3 1.5\n\n2 1 1 -2e3 # inline\n1 2 3 4\n";
    let one = tns(text, &TnsOptions::default()).unwrap();
    assert_eq!((one.shape(), one.index(0), one.values()), (&[2, 2, 3][..], &[0, 1, 2][..], &[1.5, -2000.0, 4.0][..]));
    assert_eq!(one.sorted(Duplicates::Sum).unwrap().1, 1, "duplicates are left to the caller");
    let zero = tns(text, &TnsOptions { zero_based: true, shape: None }).unwrap();
    assert_eq!((zero.shape(), zero.index(0)), (&[3, 3, 4][..], &[1, 2, 3][..]));
    let given = tns(text, &TnsOptions { zero_based: false, shape: Some(vec![5, 5, 5]) }).unwrap();
    assert_eq!(given.shape(), [5, 5, 5]);
    let nothing = TnsOptions { zero_based: false, shape: Some(vec![2, 2]) };
    assert_eq!(tns("# none\n", &nothing).unwrap().nnz(), 0);
    let matrix = read_coo(case("real.mtx"), &TnsOptions::default()).unwrap();
    assert_eq!((matrix.shape(), matrix.nnz()), (&[3, 4][..], 4));
    assert_eq!(read_tensor(case("fortran3.npy"), &TnsOptions::default()).unwrap().shape(), [2, 3, 4]);
}

#[test]
fn frostt_that_is_wrong() {
    let one = TnsOptions::default();
    refused(tns("", &one), "EmptyProblem", &["a.tns"]);
    refused(tns("1 1 1\n0 1 1\n", &one), "InvalidSparsity", &["a.tns (line 2)", "index 0", "count from 1"]);
    refused(tns("-1 1 1\n", &one), "InvalidSparsity", &["a.tns (line 1)", "index -1"]);
    refused(tns("4294967297 1 1\n", &one), "InvalidSparsity", &["a.tns (line 1)", "index 4294967297"]);
    refused(tns("1 1 1 1\n1 1 1\n", &one), "DimensionMismatch", &["a.tns (line 2)", "3 numbers", "3 indices, then a value"]);
    refused(tns("5\n", &one), "DimensionMismatch", &["a.tns (line 1)", "one index or more"]);
    refused(tns("1 x 1\n", &one), "UnsupportedFormat", &["a.tns (line 1)", "'x'"]);
    refused(tns("1 1 y\n", &one), "UnsupportedFormat", &["a.tns (line 1)", "'y'", "a number"]);
    refused(tns("1 1 \u{1}\u{fffd}\n", &one), "UnsupportedFormat", &["a.tns (line 1)", "\\u{1}"]);
    let given = TnsOptions { zero_based: true, shape: Some(vec![2, 2]) };
    refused(tns("2 0 1\n", &given), "InvalidSparsity", &["a.tns (line 1)", "index 2 is outside 0..=1", "count from 0"]);
    refused(tns("1 1 1 1\n", &given), "DimensionMismatch", &["a.tns (line 1)", "2 indices, then a value"]);
    refused(tns(&"1 ".repeat(70), &one), "DimensionMismatch", &["a.tns (line 1)", "at most 64 indices"]);
    refused(read_matrix("a.tns"), "UnsupportedFormat", &["a.tns", "text"]);
}

/// A SciPy archive with these parts, written array by array.
fn scipy(format: &str, shape: &[i64], indptr: &[i64], indices: &[i64], data: &[f64]) -> Result<Matrix, certus_io::Error> {
    let folder = folder();
    let path = folder.path().join("a.npz");
    let mut writer = NpzWriter::create(&path).unwrap();
    let (pointers, columns) = if format == "coo" { ("row", "col") } else { ("indptr", "indices") };
    writer.add_slice(pointers, &[indptr.len()], indptr).unwrap();
    writer.add_slice(columns, &[indices.len()], indices).unwrap();
    writer.add_slice("data", &[data.len()], data).unwrap();
    writer.add_slice("shape", &[shape.len()], shape).unwrap();
    writer.add_slice("format", &[], &[0u8]).unwrap();
    writer.finish().unwrap();
    // Only text can name the format, and only SciPy writes it; put it in the place of the number, header and all.
    let bytes = std::fs::read(&path).unwrap();
    let text = format!("{{'descr': '|S3', 'fortran_order': False, 'shape': (), }}\n{format}");
    let members = ["indptr", "indices", "row", "col", "data", "shape"];
    read_matrix(Source::memory("a.npz", with_format(&bytes, &members, &text)))
}

fn with_format(archive: &[u8], members: &[&str], text: &str) -> Vec<u8> {
    use std::io::{Cursor, Read as _, Write as _};
    let mut old = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in members {
        let mut bytes = Vec::new();
        match old.by_name(&format!("{name}.npy")) {
            Ok(mut member) => member.read_to_end(&mut bytes).unwrap(),
            Err(_) => continue,
        };
        new.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(&bytes).unwrap();
    }
    new.start_file("format.npy", zip::write::SimpleFileOptions::default()).unwrap();
    new.write_all(b"\x93NUMPY\x01\x00").unwrap();
    new.write_all(&((text.len() - 3) as u16).to_le_bytes()).unwrap();
    new.write_all(text.as_bytes()).unwrap();
    new.finish().unwrap().into_inner()
}

#[test]
fn scipy_archives_that_are_wrong() {
    let good = scipy("csr", &[2, 3], &[0, 1, 2], &[2, 0], &[1.0, 2.0]).unwrap();
    assert_eq!((good.rows(), good.cols(), good.stored()), (2, 3, 2));
    // Room after the last row means nothing.
    assert_eq!(scipy("csr", &[1, 3], &[0, 1], &[2, 9], &[1.0, 7.0]).unwrap().stored(), 1);
    let csr = |shape: &[i64], indptr: &[i64], indices: &[i64], data: &[f64]| scipy("csr", shape, indptr, indices, data);
    refused(csr(&[2, 3], &[0, 2], &[2, 0], &[1.0, 2.0]), "InvalidSparsity", &["a.npz:indptr", "2 entries", "2 + 1"]);
    refused(csr(&[1, 3], &[1, 2], &[2, 0], &[1.0, 2.0]), "InvalidSparsity", &["a.npz:indptr[0]", "begins with 1"]);
    refused(csr(&[2, 3], &[0, 2, 1], &[2, 0], &[1.0, 2.0]), "InvalidSparsity", &["a.npz:indptr[2]", "falls from 2 to 1"]);
    refused(csr(&[1, 3], &[0, 5], &[2, 0], &[1.0, 2.0]), "InvalidSparsity", &["a.npz:indptr[1]", "ends with 5"]);
    refused(csr(&[1, 3], &[0, 2], &[2, 3], &[1.0, 2.0]), "InvalidSparsity", &["a.npz:indices[1]", "index 3 is outside 0..3"]);
    refused(csr(&[1, 3], &[0, 2], &[2, -1], &[1.0, 2.0]), "InvalidSparsity", &["a.npz:indices[1]", "index -1"]);
    refused(csr(&[1, 3], &[0, 2], &[2], &[1.0, 2.0]), "InvalidSparsity", &["a.npz:indices", "1 entries", "2 values"]);
    refused(csr(&[1 << 40, 1], &[0, 0], &[], &[]), "TooLarge", &["a.npz", "1099511627776 x 1"]);
    refused(csr(&[-1, 1], &[0, 0], &[], &[]), "InvalidSparsity", &["a.npz:shape[0]", "index -1"]);
    refused(csr(&[1], &[0, 0], &[], &[]), "DimensionMismatch", &["a.npz", "shape (1,)", "matrix"]);
    refused(scipy("csc", &[1 << 32, 1], &[0, 0], &[], &[]), "TooLarge", &["a.npz", "4294967296 x 1"]);
    refused(scipy("coo", &[2, 3], &[0, 1], &[2], &[1.0, 2.0]), "DimensionMismatch", &["a.npz", "[2, 1] entries"]);
    refused(scipy("coo", &[2, 3], &[0, 2], &[2, 0], &[1.0, 2.0]), "InvalidSparsity", &["a.npz[1]", "index 2 is outside 0..2"]);
    refused(scipy("xyz", &[2, 3], &[0], &[0], &[1.0]), "UnsupportedFormat", &["a.npz", "xyz", "csr, csc or coo"]);
    assert_eq!(scipy("coo", &[2, 3], &[], &[], &[]).unwrap().stored(), 0);
}

#[test]
fn an_empty_file_of_many_rows_stays_small() {
    let rows = FREE_EXTENT as i64;
    let text = format!("{REAL}{rows} {rows} 0\n");
    let memory = allocation_counter::measure(|| assert_eq!(mtx(&text).unwrap().stored(), 0));
    assert!(memory.bytes_max > 8 * rows as u64 && memory.bytes_max < 128 << 20, "{} bytes", memory.bytes_max);
    let memory = allocation_counter::measure(|| {
        assert_eq!(scipy("coo", &[rows, 1], &[], &[], &[]).unwrap().rows(), FREE_EXTENT);
        assert_eq!(scipy("csc", &[rows, 1], &[0, 0], &[], &[]).unwrap().rows(), FREE_EXTENT);
        refused(scipy("csc", &[rows + 1, 1], &[0, 0], &[], &[]), "TooLarge", &["a.npz", "4194305 x 1"]);
        refused(scipy("coo", &[rows + 1, 1], &[], &[], &[]), "TooLarge", &["a.npz", "4194305 x 1"]);
    });
    assert!(memory.bytes_max < 128 << 20, "{} bytes", memory.bytes_max);
}

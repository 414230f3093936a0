//! Files and arrays that must be refused, each by its kind of input error.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use certus_numeric::Array;
use zip::write::SimpleFileOptions;

/// What is wrong with a file, for tests that leave some faults out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file or array is not there.
    Missing,
    /// It ends early.
    Truncated,
    /// It is not of the format that its name says, or damaged.
    Format,
    /// Its entries are of a type that holds no real numbers.
    Type,
    /// An entry is NaN or infinite.
    NonFinite,
    /// It has no entries.
    Empty,
    /// Its shape is not the expected one.
    Shape,
    /// Its header promises more than any machine holds.
    Absurd,
    /// A size in its header is negative.
    Negative,
    /// Its index arrays contradict each other.
    Sparsity,
}

/// A file that must be refused.
#[derive(Clone, Debug)]
pub struct Bad {
    /// What is wrong, in `snake_case`; unique among its format.
    pub name: &'static str,
    /// What is wrong, by group.
    pub fault: Fault,
    /// How the file ends: `"npy"`.
    pub extension: &'static str,
    /// Its contents; `None` for a file that is not there.
    pub bytes: Option<Vec<u8>>,
    /// The kinds of input error that say it rightly.
    pub kinds: &'static [&'static str],
}

impl Bad {
    /// Writes the file into `folder` and gives its path; a missing one is not written.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.{}", self.name, self.extension));
        if let Some(bytes) = &self.bytes {
            std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        path
    }

    /// Asserts that this `kind` of input error says rightly what is wrong.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn assert_kind(&self, kind: &str) {
        assert!(self.kinds.contains(&kind), "{}.{} was refused as {kind}, but must be as {:?}", self.name, self.extension, self.kinds);
    }
}

const CUT: &[&str] = &["Truncated"];
const NO_FORMAT: &[&str] = &["UnsupportedFormat"];
const DAMAGED: &[&str] = &["Truncated", "UnsupportedFormat"];
const HUGE: &[&str] = &["TooLarge", "Truncated"];
const NEGATIVE: &[&str] = &["UnsupportedFormat", "DimensionMismatch", "InvalidParameter"];
const INDEX: &[&str] = &["InvalidSparsity"];

/// Arrays of the same kind as `good` (a matrix) that must be refused: name, array, kind of input error.
pub fn arrays(good: &Array) -> Vec<(&'static str, Array, &'static str)> {
    let (rows, cols) = (good.rows(), good.cols());
    let with = |place: usize, value: f64| {
        let mut array = good.clone();
        array.as_mut_slice()[place] = value;
        array
    };
    vec![
        ("nan_first", with(0, f64::NAN), "NonFinite"),
        ("nan_last", with(good.len() - 1, f64::NAN), "NonFinite"),
        ("infinite", with(good.len() / 2, f64::INFINITY), "NonFinite"),
        ("minus_infinite", with(good.len() / 2, f64::NEG_INFINITY), "NonFinite"),
        ("no_rows", Array::zeros([0, cols]), "EmptyProblem"),
        ("no_columns", Array::zeros([rows, 0]), "EmptyProblem"),
        ("one_row_more", Array::zeros([rows + 1, cols]), "DimensionMismatch"),
        ("one_column_more", Array::zeros([rows, cols + 1]), "DimensionMismatch"),
        ("three_dimensions", Array::zeros([rows, cols, 2]), "DimensionMismatch"),
    ]
}

/// `.npy` files that must be refused where `good` (a matrix of f64) is welcome. Those of [`Fault::Shape`] are well-formed.
pub fn npy(good: &Array) -> Vec<Bad> {
    let bytes = npy_bytes(good);
    let data = &bytes[bytes.len() - 8 * good.len()..];
    let shape = shape_text(good.shape());
    let mut bad = Vec::new();
    let mut add = |name, fault, bytes, kinds| bad.push(Bad { name, fault, extension: "npy", bytes, kinds });
    let header =
        |descr: &str, shape: &str| Some(npy_of(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"), data));
    add("missing", Fault::Missing, None, &["NotFound"]);
    add("no_bytes", Fault::Truncated, Some(Vec::new()), DAMAGED);
    add("cut_in_magic", Fault::Truncated, Some(bytes[..4].to_vec()), DAMAGED);
    add("cut_in_header", Fault::Truncated, Some(bytes[..40].to_vec()), DAMAGED);
    add("cut_in_data", Fault::Truncated, Some(bytes[..bytes.len() - 3].to_vec()), CUT);
    add("header_alone", Fault::Truncated, Some(bytes[..bytes.len() - data.len()].to_vec()), CUT);
    add("text", Fault::Format, Some(b"1.0 2.0 3.0\n".to_vec()), NO_FORMAT);
    add("version_9", Fault::Format, Some([&bytes[..6], &[9], &bytes[7..]].concat()), NO_FORMAT);
    add("header_of_noise", Fault::Format, Some(npy_of("\u{1}{{{'''((((", data)), NO_FORMAT);
    add("header_without_shape", Fault::Format, Some(npy_of("{'descr': '<f8', 'fortran_order': False, }", data)), NO_FORMAT);
    add("no_type", Fault::Type, header("'<q9'", &shape), NO_FORMAT);
    add("texts", Fault::Type, header("'<U2'", &shape), NO_FORMAT);
    add("objects", Fault::Type, header("'|O'", &shape), NO_FORMAT);
    add("records", Fault::Type, header("[('x', '<f4'), ('y', '<f4')]", &shape), NO_FORMAT);
    add("dates", Fault::Type, header("'<M8[s]'", &shape), NO_FORMAT);
    add("absurd_shape", Fault::Absurd, header("'<f8'", "(1000000000000, 1000000)"), HUGE);
    add("overflowing_shape", Fault::Absurd, header("'<f8'", "(4294967296, 4294967296, 4294967296)"), HUGE);
    add("number_of_40_digits", Fault::Absurd, header("'<f8'", &format!("({}, 1)", "9".repeat(40))), &["TooLarge", "UnsupportedFormat"]);
    add(
        "absurd_header_length",
        Fault::Absurd,
        Some([b"\x93NUMPY\x02\x00\xff\xff\xff\xff", data].concat()),
        &["TooLarge", "Truncated", "UnsupportedFormat"],
    );
    add("negative_shape", Fault::Negative, header("'<f8'", "(-3, 2)"), NEGATIVE);
    for (name, array, kind) in arrays(good) {
        let (fault, kinds): (_, &[&str]) = match kind {
            "NonFinite" => (Fault::NonFinite, &["NonFinite"]),
            "EmptyProblem" => (Fault::Empty, &["EmptyProblem", "DimensionMismatch"]),
            _ => (Fault::Shape, &["DimensionMismatch"]),
        };
        add(name, fault, Some(npy_bytes(&array)), kinds);
    }
    bad
}

/// `.npz` files that must be refused where one with `good` (a matrix of f64) under the name `member` is welcome: hostile
/// archives, and archives of the hostile `.npy` files.
///
/// # Panics
/// If the archives cannot be made.
pub fn npz(member: &str, good: &Array) -> Vec<Bad> {
    let bytes = npy_bytes(good);
    let sound = archive(&[(member, &bytes)]);
    let mut damaged = sound.clone();
    // The data follow the name in the stored member; its checksum no longer fits.
    damaged[30 + member.len() + 4 + bytes.len() - 2] ^= 0x40;
    let mut bad = Vec::new();
    let mut add = |name, fault, bytes, kinds| bad.push(Bad { name, fault, extension: "npz", bytes, kinds });
    add("missing", Fault::Missing, None, &["NotFound"]);
    add("no_bytes", Fault::Truncated, Some(Vec::new()), DAMAGED);
    add("no_archive", Fault::Format, Some(b"PK, but no archive\n".to_vec()), DAMAGED);
    add("half_an_archive", Fault::Truncated, Some(sound[..sound.len() / 2].to_vec()), DAMAGED);
    add("no_directory", Fault::Truncated, Some(sound[..sound.len() - 22].to_vec()), DAMAGED);
    add("checksum", Fault::Format, Some(damaged), DAMAGED);
    add("no_members", Fault::Missing, Some(archive(&[])), &["NotFound"]);
    add("another_name", Fault::Missing, Some(archive(&[("unexpected", &bytes)])), &["NotFound"]);
    for inner in npy(good).into_iter().filter(|inner| !["missing", "no_bytes"].contains(&inner.name)) {
        let bytes = inner.bytes.as_deref().map(|bytes| archive(&[(member, bytes)]));
        bad.push(Bad { extension: "npz", bytes, ..inner });
    }
    bad
}

/// SciPy `.npz` files that must be refused where a CSR matrix is welcome.
///
/// # Panics
/// If the archives cannot be made.
pub fn csr() -> Vec<Bad> {
    let of = |indptr: &[i64], indices: &[i64], data: &[f64], shape: &[i64]| {
        let integers = |v: &[i64]| npy_raw("<i8", &[v.len()], v.iter().flat_map(|v| v.to_le_bytes()).collect());
        let data = npy_raw("<f8", &[data.len()], data.iter().flat_map(|v| v.to_le_bytes()).collect());
        let format = npy_raw("|S3", &[], b"csr".to_vec());
        let (indptr, indices, shape) = (integers(indptr), integers(indices), integers(shape));
        Some(archive(&[("indices", &indices), ("indptr", &indptr), ("format", &format), ("shape", &shape), ("data", &data)]))
    };
    let mut bad = Vec::new();
    let mut add = |name, fault, bytes, kinds| bad.push(Bad { name, fault, extension: "npz", bytes, kinds });
    add("indptr_falls", Fault::Sparsity, of(&[0, 2, 1], &[0, 1], &[1.0, 2.0], &[2, 3]), INDEX);
    add("indptr_too_short", Fault::Sparsity, of(&[0, 2], &[0, 1], &[1.0, 2.0], &[2, 3]), INDEX);
    add("indptr_beyond_data", Fault::Sparsity, of(&[0, 1, 9], &[0, 1], &[1.0, 2.0], &[2, 3]), INDEX);
    add("indptr_negative", Fault::Negative, of(&[0, -1, 2], &[0, 1], &[1.0, 2.0], &[2, 3]), INDEX);
    add("column_outside", Fault::Sparsity, of(&[0, 1, 2], &[0, 3], &[1.0, 2.0], &[2, 3]), INDEX);
    add("column_negative", Fault::Negative, of(&[0, 1, 2], &[0, -1], &[1.0, 2.0], &[2, 3]), INDEX);
    add("column_beyond_32_bits", Fault::Absurd, of(&[0, 1, 2], &[0, 1 << 40], &[1.0, 2.0], &[2, 3]), &["InvalidSparsity", "TooLarge"]);
    add("fewer_values", Fault::Sparsity, of(&[0, 1, 2], &[0, 1], &[1.0], &[2, 3]), INDEX);
    add(
        "shape_negative",
        Fault::Negative,
        of(&[0, 1, 2], &[0, 1], &[1.0, 2.0], &[2, -3]),
        &["InvalidSparsity", "UnsupportedFormat", "TooLarge"],
    );
    add("shape_absurd", Fault::Absurd, of(&[0, 1, 2], &[0, 1], &[1.0, 2.0], &[1 << 62, 3]), &["InvalidSparsity", "TooLarge"]);
    add("value_nan", Fault::NonFinite, of(&[0, 1, 2], &[0, 1], &[1.0, f64::NAN], &[2, 3]), &["NonFinite"]);
    add("no_rows", Fault::Empty, of(&[0], &[], &[], &[0, 3]), &["EmptyProblem", "DimensionMismatch"]);
    bad
}

/// MatrixMarket files that must be refused where a sparse matrix is welcome.
pub fn mtx() -> Vec<Bad> {
    let mut bad = Vec::new();
    let mut add = |name, fault, kinds, text: &str| {
        bad.push(Bad { name, fault, extension: "mtx", bytes: Some(text.replace('|', "\n").into_bytes()), kinds });
    };
    let damaged: &[&str] = &["UnsupportedFormat", "Truncated", "InvalidSparsity"];
    add("no_bytes", Fault::Truncated, DAMAGED, "");
    add("no_banner", Fault::Format, NO_FORMAT, "2 2 1|1 1 5.0|");
    add("banner_alone", Fault::Truncated, DAMAGED, "%%MatrixMarket matrix coordinate real general|");
    add("unknown_field", Fault::Type, NO_FORMAT, "%%MatrixMarket matrix coordinate quaternion general|2 2 1|1 1 5.0|");
    add("fewer_entries", Fault::Truncated, damaged, "%%MatrixMarket matrix coordinate real general|2 2 2|1 1 5.0|");
    add("more_entries", Fault::Format, damaged, "%%MatrixMarket matrix coordinate real general|2 2 1|1 1 5.0|2 2 6.0|");
    add("word", Fault::Format, damaged, "%%MatrixMarket matrix coordinate real general|2 2 1|1 1 five|");
    add("index_0", Fault::Sparsity, INDEX, "%%MatrixMarket matrix coordinate real general|2 2 1|0 1 5.0|");
    add("index_outside", Fault::Sparsity, INDEX, "%%MatrixMarket matrix coordinate real general|2 2 1|1 3 5.0|");
    add("negative_size", Fault::Negative, damaged, "%%MatrixMarket matrix coordinate real general|-2 2 1|1 1 5.0|");
    add("nan", Fault::NonFinite, &["NonFinite"], "%%MatrixMarket matrix coordinate real general|2 2 1|1 1 nan|");
    add(
        "absurd",
        Fault::Absurd,
        HUGE,
        "%%MatrixMarket matrix coordinate real general|1000000000000 1000000000000 1000000000000000|1 1 5.0|",
    );
    bad
}

/// A sound `.npy` file of this array, in C order.
pub fn npy_bytes(array: &Array) -> Vec<u8> {
    npy_raw("<f8", array.shape(), array.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn npy_raw(descr: &str, shape: &[usize], data: Vec<u8>) -> Vec<u8> {
    npy_of(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {}, }}", shape_text(shape)), &data)
}

fn shape_text(shape: &[usize]) -> String {
    let extents = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 { format!("({extents},)") } else { format!("({extents})") }
}

/// Version 1.0: magic, length of the header, the header padded to a multiple of 64 bytes, data.
fn npy_of(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let header = format!("{header:width$}\n", width = padded - 1);
    [b"\x93NUMPY\x01\x00", &(padded as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// An archive of stored members, as `numpy.savez` makes it.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members {
        writer.start_file(format!("{name}.npy"), options).expect("a member");
        writer.write_all(bytes).expect("its bytes");
    }
    writer.finish().expect("an archive").into_inner()
}

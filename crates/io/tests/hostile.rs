//! Bad files: each is refused with the right kind, and the message names file and place.

use std::io::{Cursor, Write as _};

use certus_io::{Error, Npz, Safetensors, Source, read, read_array, read_as, read_mask, read_matrix, read_vector};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::{case, folder, refused};

/// An `.npy` file with this dictionary and this data.
fn npy(dictionary: &str, data: &[u8]) -> Source {
    Source::memory("bad.npy", npy_bytes(dictionary, data))
}

fn npy_bytes(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dictionary.len() as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

fn shaped(shape: &str, data: &[u8]) -> Source {
    npy(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n"), data)
}

#[test]
fn files_that_are_none() {
    let folder = folder();
    refused(read(folder.path().join("none.npy")), "NotFound", &["none.npy"]);
    refused(read(folder.path().join("none.npz:x").to_str().unwrap()), "NotFound", &["none.npz"]);
    std::fs::create_dir(folder.path().join("folder.npy")).unwrap();
    refused(read(folder.path().join("folder.npy")), "UnsupportedFormat", &["folder.npy", "a folder"]);
    refused(read(folder.path().join("folder.npy/x.npy")), "NotFound", &["x.npy"]);
    refused(read("nul\0.npy"), "NotFound", &[".npy"]);
    refused(read(format!("{}.npy", "long".repeat(100))), "NotFound", &["longlong", "not found"]);
    refused(read("data.csv"), "UnsupportedFormat", &["data.csv", "of type .csv", ".npy, .npz"]);
    refused(read("data"), "UnsupportedFormat", &["data", "without an extension"]);
    refused(read(""), "UnsupportedFormat", &["without an extension"]);
    for name in ["a.npy", "a.npz", "a.mtx"] {
        refused(read_matrix(Source::memory(name, [])), "UnsupportedFormat", &[name, "empty"]);
    }
    refused(read_matrix(Source::memory("a.safetensors", [])), "Truncated", &["a.safetensors", "header"]);
    refused(read_vector(Source::named("a.npy", "x")), "UnsupportedFormat", &["a.npy", "'x'", "FILE.npz:NAME"]);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_text_devices_and_permissions() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder();
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.npy"));
    refused(read(&odd), "NotFound", &[".npy"]);
    std::fs::copy(case("scalar.npy"), &odd).unwrap();
    assert_eq!(read_array(&odd).unwrap().as_slice(), [2.5]);
    let device = folder.path().join("zero.npy");
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    refused(read(&device), "UnsupportedFormat", &["zero.npy", "device", "regular file"]);
    let looped = folder.path().join("loop.npy");
    std::os::unix::fs::symlink(&looped, &looped).unwrap();
    refused(read(&looped), "Io", &["cannot read", "loop.npy"]);
}

#[test]
fn another_format_under_this_name() {
    let zip = std::fs::read(case("stored.npz")).unwrap();
    let npy = std::fs::read(case("scalar.npy")).unwrap();
    refused(read(Source::memory("a.npy", zip)), "UnsupportedFormat", &["a.npy", "zip archive", ".npz"]);
    refused(read(Source::memory("a.npz", npy.clone())), "UnsupportedFormat", &["a.npz", "single .npy"]);
    refused(read(Source::memory("a.npz:x", *b"hello, world")), "UnsupportedFormat", &["a.npz", "no zip archive"]);
    refused(read(Source::memory("a.npy", *b"hello, world")), "UnsupportedFormat", &["a.npy", "'hello, wor'"]);
    refused(read_matrix(Source::memory("a.mtx", npy)), "UnsupportedFormat", &["a.mtx (line 1)", "%%MatrixMarket"]);
}

#[test]
fn every_file_cut_at_every_byte() {
    for name in ["f8_little_c.npy", "c16_big_fortran.npy", "strings.npy", "version2.npy", "single.npz", "deflated.npz", "types.safetensors"]
    {
        let bytes = std::fs::read(case(name)).unwrap();
        for cut in 0..bytes.len() {
            let source = Source::memory(name, &bytes[..cut]);
            let source = if name == "deflated.npz" { source.with_array("x") } else { source };
            let source = if name == "types.safetensors" { source.with_array("f64") } else { source };
            let error = read(source).err().unwrap_or_else(|| panic!("{name} cut at {cut} was accepted"));
            assert!(matches!(error.kind(), "Truncated" | "UnsupportedFormat" | "DimensionMismatch"), "{error}");
            assert!(error.to_string().contains(name), "{error}");
            // Once the header is whole, what is missing is counted.
            if name.ends_with(".npy") && cut >= bytes.len() - 48 && name != "version2.npy" {
                assert_eq!(error.kind(), "Truncated", "{name} cut at {cut}: {error}");
            }
        }
    }
    for name in ["real.mtx", "symmetric.mtx", "array.mtx"] {
        let bytes = std::fs::read(case(name)).unwrap();
        // The last digits may be missing without anyone seeing it, so cut before the last line.
        let last = bytes[..bytes.len() - 1].iter().rposition(|&b| b == b'\n').unwrap();
        for cut in 0..last {
            assert!(read_matrix(Source::memory(name, &bytes[..cut])).is_err(), "{name} cut at {cut} was accepted");
        }
    }
}

#[test]
fn headers_of_npy() {
    let head = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)";
    let one = 1f64.to_le_bytes();
    // What NumPy accepts besides its own form.
    for good in [
        format!("{head}}}"),
        format!("{head}, }}\n"),
        "{\"shape\":(1L,),\"fortran_order\":True,\"descr\":\"<f8\"}   ".to_owned(),
        "  {'descr': '=f8', 'fortran_order': False, 'shape': (1,)}".to_owned(),
    ] {
        assert_eq!(read_vector(npy(&good, &one)).unwrap(), [1.0], "{good}");
    }
    let bad = [
        ("", "byte 10"),
        ("{}", "an end"),
        ("[1, 2]", "byte 10"),
        ("{'descr': '<f8', 'fortran_order': False}", "an end"),
        ("{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}", "True or False"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': [1]}", "'[1]}'"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "'-1,)}' in the place of an extent"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1.5,)}", "'.5,)}'"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)", "''"),
        ("{'descr': '<f8, 'fortran_order': False, 'shape': (1,)}", "byte"),
        ("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "'descr' twice"),
        ("{'descr': '<f8', 'colour': 'red', 'fortran_order': False, 'shape': (1,)}", "'colour'"),
        ("{'descr': <f8, 'fortran_order': False, 'shape': (1,)}", "in the place of a string"),
    ];
    for (dictionary, what) in bad {
        refused(read(npy(dictionary, &one)), "UnsupportedFormat", &["bad.npy", "(byte ", what]);
    }
    let nested = format!("{{'descr': {}", "(".repeat(60_000));
    refused(read(npy(&nested, &[])), "UnsupportedFormat", &["bad.npy"]);
    for (descr, what) in [
        ("|O", "object"),
        ("|V8", "raw bytes"),
        ("<M8[D]", "date"),
        ("<f16", "long double"),
        ("<i16", "unknown"),
        ("f8", "unknown"),
        ("", "unknown"),
        ("<", "unknown"),
        ("<fé", "unknown"),
    ] {
        let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}\n");
        refused(read(npy(&dictionary, &one)), "UnsupportedFormat", &["bad.npy", what]);
    }
    let mut version = npy_bytes(head, &[]);
    version[6] = 9;
    refused(read(Source::memory("bad.npy", version)), "UnsupportedFormat", &["bad.npy", "version 9.0"]);
    let mut long = npy_bytes("", &[]);
    long[6] = 2;
    long.truncate(8);
    long.extend(u32::MAX.to_le_bytes());
    refused(read(Source::memory("bad.npy", long)), "TooLarge", &["bad.npy", "4294967295"]);
}

#[test]
fn shapes_of_npy() {
    refused(read(shaped("(3,)", &[0; 8])), "Truncated", &["bad.npy", "24 bytes", "8"]);
    refused(read(shaped("(1,)", &[0; 9])), "DimensionMismatch", &["bad.npy", "more data", "8 bytes"]);
    refused(read(shaped("(1000000000, 1000000)", &[0; 8])), "Truncated", &["bad.npy", "8000000000000000 bytes"]);
    refused(read(shaped("(4294967296, 4294967296)", &[])), "TooLarge", &["bad.npy", "4294967296"]);
    refused(read(shaped("(0, 4294967296, 4294967296)", &[])), "TooLarge", &["bad.npy"]);
    refused(read(shaped("(99999999999999999999999,)", &[])), "TooLarge", &["bad.npy", "extent"]);
    refused(read(shaped(&format!("({})", "1,".repeat(65)), &[0; 8])), "TooLarge", &["bad.npy", "64 dimensions"]);
    assert_eq!(read_array(shaped("(0, 5)", &[])).unwrap().shape(), [0, 5]);
    assert_eq!(read_array(shaped("()", &[0; 8])).unwrap().shape(), [0; 0]);
    refused(read_matrix(shaped("(1,)", &[0; 8])), "DimensionMismatch", &["bad.npy", "shape (1,)", "matrix"]);
    refused(read_vector(shaped("(2, 2)", &[0; 32])), "DimensionMismatch", &["bad.npy", "shape (2, 2)", "vector"]);
}

#[test]
fn values_that_do_not_fit() {
    let many = [1.0, f64::NAN, 1e300].map(f64::to_le_bytes).concat();
    assert!(read_vector(shaped("(3,)", &many)).unwrap()[1].is_nan(), "NaN is the caller's affair");
    refused(read_as::<i64>(shaped("(3,)", &many)), "UnsupportedFormat", &["bad.npy[1] is NaN", "int64"]);
    refused(read_mask(shaped("(3,)", &many)), "UnsupportedFormat", &["bad.npy[1] is NaN"]);
    refused(read_as::<f32>(shaped("(1, 3)", &many)), "UnsupportedFormat", &["bad.npy[0, 2] is 1e300", "float32"]);
    let unsigned = |value: u64| npy("{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", &value.to_le_bytes());
    for value in [u64::MAX, (1 << 53) + 1] {
        refused(read_vector(unsigned(value)), "UnsupportedFormat", &[&format!("bad.npy[0] is {value} (uint64)"), "float64"]);
    }
    assert_eq!(read_vector(unsigned(1 << 63)).unwrap(), [2f64.powi(63)]);
    refused(read_as::<i64>(unsigned(1 << 63)), "UnsupportedFormat", &["9223372036854775808", "int64"]);
    let text = npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", &0xd800u32.to_le_bytes());
    refused(read(text), "UnsupportedFormat", &["bad.npy[0]", "not valid text"]);
    let empty = npy("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }", &[]);
    refused(read(empty), "UnsupportedFormat", &["bad.npy", "width 0"]);
    let wide = npy("{'descr': '|S999999999', 'fortran_order': False, 'shape': (1,), }", &[]);
    refused(read(wide), "TooLarge", &["bad.npy", "999999999"]);
}

fn archive(members: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn archives() {
    let good = std::fs::read(case("scalar.npy")).unwrap();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let none = archive(&[("notes.txt", b"no array".to_vec())], method);
        refused(read(Source::memory("a.npz", none)), "UnsupportedFormat", &["a.npz", "without arrays"]);
        let short = archive(&[("x.npy", good[..good.len() - 1].to_vec())], method);
        refused(read(Source::memory("a.npz", short)), "Truncated", &["a.npz:x", "8 bytes", "7"]);
        let long = archive(&[("x.npy", [&good[..], b"!"].concat())], method);
        refused(read(Source::memory("a.npz", long)), "DimensionMismatch", &["a.npz:x", "more data"]);
        let absurd = npy_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }\n", &[]);
        let absurd = archive(&[("x.npy", absurd)], method);
        refused(read(Source::memory("a.npz", absurd)), "Truncated", &["a.npz:x", "8000000000000 bytes"]);
    }
    let many = (0..1000).map(|k| (format!("array{k}.npy"), good.clone())).collect::<Vec<_>>();
    let many = many.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect::<Vec<_>>();
    let many = archive(&many, CompressionMethod::Stored);
    refused(read(Source::memory("a.npz:none", &many[..])), "NotFound", &["a.npz:none", "array0, array1", "988 more"]);
    refused(read(Source::memory("a.npz", many)), "InvalidParameter", &["a.npz:NAME", "array0, array1", "988 more"]);

    // One flipped bit of the data is caught by the checksum.
    let mut flipped = archive(&[("x.npy", good.clone())], CompressionMethod::Stored);
    let at = flipped.windows(8).position(|w| w == 2.5f64.to_le_bytes()).unwrap();
    flipped[at] ^= 1;
    refused(read(Source::memory("a.npz", flipped)), "UnsupportedFormat", &["a.npz:x", "damaged", "checksum"]);

    // The writer does not write two members of one name, so the second is renamed in the bytes.
    let mut twice = archive(&[("x.npy", good.clone()), ("y.npy", good)], CompressionMethod::Stored);
    for k in 0..twice.len() - 5 {
        if twice[k..].starts_with(b"y.npy") {
            twice[k] = b'x';
        }
    }
    refused(Npz::open(Source::memory("a.npz", twice)), "UnsupportedFormat", &["a.npz", "two arrays of one name"]);
}

#[test]
fn a_bomb_stops_where_its_header_says() {
    // 64 MiB of zeros in some KiB, behind a header that claims one number.
    let mut bytes = npy_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n", &[]);
    bytes.resize(64 << 20, 0);
    let bomb = archive(&[("x.npy", bytes)], CompressionMethod::Deflated);
    assert!(bomb.len() < 100 << 10);
    let mut result = Ok(());
    let memory = allocation_counter::measure(|| result = read(Source::memory("bomb.npz", &bomb[..])).map(drop));
    refused(result, "DimensionMismatch", &["bomb.npz:x", "more data"]);
    assert!(memory.bytes_max < 2 << 20, "{} bytes", memory.bytes_max);
}

fn tensors(header: &str, data: &[u8]) -> Result<Safetensors, Error> {
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    Safetensors::open(Source::memory("a.safetensors", bytes))
}

#[test]
fn safetensors() {
    let ok = r#"{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#;
    assert_eq!(tensors(ok, &[0; 8]).unwrap().array::<f64>("x").unwrap().as_slice(), [0.0]);
    refused(tensors(ok, &[0; 7]), "Truncated", &["a.safetensors", "8 bytes", "7"]);
    refused(tensors(ok, &[0; 9]), "DimensionMismatch", &["a.safetensors", "9 bytes"]);
    for bad in [
        "",
        "[]",
        "{\"x\":",
        r#"{"x":{"dtype":"F99","shape":[1],"data_offsets":[0,8]}}"#,
        r#"{"x":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}}"#,
        r#"{"x":{"dtype":"F64","shape":[1],"data_offsets":[8,0]}}"#,
        r#"{"x":{"dtype":"F64","shape":[1],"data_offsets":[8,16]}}"#,
        r#"{"x":{"dtype":"F64","shape":[-1],"data_offsets":[0,8]}}"#,
        r#"{"x":{"dtype":"F64","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#,
        "\u{fffd}",
    ] {
        refused(tensors(bad, &[0; 8]), "UnsupportedFormat", &["a.safetensors", "bad header"]);
    }
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    refused(tensors(&deep, &[]), "UnsupportedFormat", &["a.safetensors", "bad header"]);
    let narrow = r#"{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#;
    refused(tensors(narrow, &[0]).unwrap().read("x"), "UnsupportedFormat", &["a.safetensors:x", "F8_E4M3"]);
    let huge = Source::memory("a.safetensors", [u64::MAX.to_le_bytes(), [b'{'; 8]].concat());
    refused(Safetensors::open(huge), "Truncated", &["a.safetensors", "18446744073709551615"]);
    refused(read(Source::memory("a.safetensors", [&2u64.to_le_bytes()[..], b"{}"].concat())), "UnsupportedFormat", &["without tensors"]);
}

#[test]
fn the_greediest_files_stay_within_the_promise() {
    // Strings of one byte: each becomes a `String`.
    let count = (1 << 18) + 1;
    for order in ["False", "True"] {
        let dictionary = format!("{{'descr': '|S1', 'fortran_order': {order}, 'shape': ({count}, 2), }}\n");
        let bytes = npy_bytes(&dictionary, &vec![b'x'; 2 * count]);
        let zipped = archive(&[("x.npy", bytes.clone())], CompressionMethod::Deflated);
        for (name, file) in [("a.npy", bytes.clone()), ("a.npz", zipped)] {
            let source = Source::memory(name, file);
            let memory = allocation_counter::measure(|| assert_eq!(read(&source).unwrap().shape(), [count, 2]));
            assert!(memory.bytes_max <= 96 * bytes.len() as u64, "{name}: {} bytes for {}", memory.bytes_max, bytes.len());
        }
    }
    // A JSON header of many short numbers.
    let shape = "0,".repeat(1 << 19);
    let header = format!("{{\"x\":{{\"dtype\":\"U8\",\"shape\":[{shape}0],\"data_offsets\":[0,0]}}}}");
    let memory = allocation_counter::measure(|| {
        refused(tensors(&header, &[]).unwrap().read("x"), "TooLarge", &["a.safetensors:x", "524289 dimensions"]);
    });
    assert!(memory.bytes_max <= 96 * header.len() as u64, "{} bytes for {}", memory.bytes_max, header.len());
}

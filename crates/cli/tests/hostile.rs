//! Bad input of every kind: exit code 2, one sentence, no file.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{examples, listing, run, run_json};

/// An `.npy` file by its header and data.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn vector(values: &[f64]) -> Vec<u8> {
    npy("<f8", &format!("({},)", values.len()), &doubles(values))
}

fn matrix(rows: usize, cols: usize, values: &[f64]) -> Vec<u8> {
    npy("<f8", &format!("({rows}, {cols})"), &doubles(values))
}

/// Refused with one of these kinds, with nothing written.
fn refused(dir: &Path, line: &str, kinds: &[&str]) -> Value {
    let before = listing(dir);
    let (code, value) = run_json(dir, line);
    let error = value["error"].clone();
    assert_eq!(code, 2, "{line}: {value}");
    assert_eq!(value.as_object().unwrap().len(), 1, "{line}: {value}");
    assert!(kinds.contains(&error["kind"].as_str().unwrap()), "{line}: {error}");
    let message = error["message"].as_str().unwrap();
    assert!(!message.is_empty() && !message.contains('\n') && message.len() < 400, "{line}: {message}");
    assert!(!error["hint"].as_str().unwrap().is_empty(), "{line}");
    assert_eq!(listing(dir), before, "{line}: no file may remain");

    let output = run(dir, line);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{line}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: ") && !text.contains("panicked"), "{line}: {text}");
    error
}

/// A folder of good and bad files.
fn folder() -> tempfile::TempDir {
    let dir = examples();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    let good = vector(&[1.0, 2.0, 3.0, 4.0]);
    write("four.npy", &good);
    write("tall.npy", &matrix(4, 2, &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1.0]));
    write("negative.npy", &vector(&[1.0, 2.0, -3.0, 4.0]));
    write("short.npy", &vector(&[1.0, 2.0, 3.0]));
    write("cut.npy", &good[..good.len() - 5]);
    write("header.npy", &good[..20]);
    write("nothing.npy", b"");
    write("junk.npy", b"this is no array, but long enough to be read as the beginning of one; it is text and nothing else at all");
    write("text.npy", &npy("<U1", "(4,)", &[b'a'; 16]));
    write("complex.npy", &npy("<c16", "(4,)", &[0; 64]));
    write("nan.npy", &vector(&[1.0, f64::NAN, 3.0, 4.0]));
    write("infinite.npy", &vector(&[1.0, f64::NEG_INFINITY, 3.0, 4.0]));
    write("nanmatrix.npy", &matrix(4, 2, &[1.0, 0.0, 0.0, f64::NAN, 1.0, 1.0, 2.0, 1.0]));
    write("empty.npy", &vector(&[]));
    write("nocolumns.npy", &matrix(4, 0, &[]));
    write("absurd.npy", &npy("<f8", "(1000000000000, 1000000)", &[0; 64]));
    write("overflow.npy", &npy("<f8", "(4611686018427387904, 8)", &[0; 64]));
    write("cube.npy", &npy("<f8", "(2, 2, 2)", &doubles(&[1.0; 8])));
    write("unknown.csv", b"1,2\n");
    write("broken.mtx", b"%%MatrixMarket matrix coordinate real general\n4 2 2\n1 1 1.0\n9 9 1.0\n");
    write("huge.mtx", b"%%MatrixMarket matrix coordinate real general\n4000000000 4000000000 1\n1 1 1.0\n");
    let archive = fs::read(dir.path().join("diabetes.npz")).unwrap();
    write("cut.npz", &archive[..archive.len() / 2]);
    fs::create_dir(dir.path().join("folder.npy")).unwrap();
    dir
}

#[test]
fn bad_files_are_refused() {
    let dir = folder();
    let anywhere: [(&str, &[&str]); 11] = [
        ("missing.npy", &["NotFound"]),
        ("nothing.npy", &["Truncated", "UnsupportedFormat"]),
        ("header.npy", &["Truncated", "UnsupportedFormat"]),
        ("junk.npy", &["UnsupportedFormat"]),
        ("text.npy", &["UnsupportedFormat"]),
        ("complex.npy", &["UnsupportedFormat"]),
        ("absurd.npy", &["Truncated", "TooLarge"]),
        ("overflow.npy", &["Truncated", "TooLarge"]),
        ("unknown.csv", &["UnsupportedFormat"]),
        ("folder.npy", &["NotFound", "UnsupportedFormat", "Io"]),
        ("cut.npz", &["UnsupportedFormat", "Truncated"]),
    ];
    let vectors: [(&str, &[&str]); 6] = [
        ("cut.npy", &["Truncated"]),
        ("short.npy", &["DimensionMismatch"]),
        ("nan.npy", &["NonFinite"]),
        ("infinite.npy", &["NonFinite"]),
        ("empty.npy", &["DimensionMismatch", "EmptyProblem"]),
        ("cube.npy", &["DimensionMismatch"]),
    ];
    let matrices: [(&str, &[&str]); 8] = [
        ("nanmatrix.npy", &["NonFinite"]),
        ("nocolumns.npy", &["EmptyProblem"]),
        ("four.npy", &["DimensionMismatch"]),
        ("cube.npy", &["DimensionMismatch"]),
        ("broken.mtx", &["InvalidSparsity"]),
        ("huge.mtx", &["TooLarge", "DimensionMismatch"]),
        ("diabetes.npz:nothing", &["NotFound"]),
        ("diabetes.npz", &["InvalidParameter", "NotFound"]),
    ];
    for (file, kinds) in anywhere.iter().chain(&vectors) {
        refused(dir.path(), &format!("certus linalg leverage --a tall.npy --weights {file} --out tau.npy"), kinds);
        refused(dir.path(), &format!("certus linalg least-squares --a tall.npy --b {file} --out x.npy"), kinds);
    }
    for (file, kinds) in anywhere.iter().chain(&matrices) {
        refused(dir.path(), &format!("certus linalg least-squares --a {file} --b four.npy --out x.npy"), kinds);
        refused(dir.path(), &format!("certus linalg leverage --a {file} --out tau.npy"), kinds);
    }
}

#[test]
fn bad_options_are_refused() {
    let dir = folder();
    let cases = [
        ("--out x.npy --tol 0", "InvalidParameter"),
        ("--out x.npy --tol -1", "InvalidParameter"),
        ("--out x.npy --tol nan", "InvalidParameter"),
        ("--out x.npy --method magic", "InvalidParameter"),
        ("--out x.npy --threads 0", "InvalidParameter"),
        ("--out x.npy --threads 99999999999999999999", "InvalidParameter"),
        ("--out x.npy --seed -1", "InvalidParameter"),
        ("--out x.npy --unknown", "Usage"),
        ("", "Usage"),
        ("--out x.csv", "InvalidParameter"),
        ("--out tall.npy", "InvalidParameter"),
        ("--out folder.npy", "InvalidParameter"),
        ("--out nowhere/x.npy", "NotFound"),
        ("--out /proc/x.npy", "InvalidParameter"),
    ];
    for (options, kind) in cases {
        refused(dir.path(), &format!("certus linalg least-squares --a tall.npy --b four.npy {options}"), &[kind]);
    }
    let cases = [
        ("--out tau.npy --weights negative.npy", "InvalidParameter"),
        ("--out tau.npy --approximate --epsilon 0", "InvalidParameter"),
        ("--out tau.npy --approximate --epsilon 1", "InvalidParameter"),
        ("--out tau.npy --epsilon 0.3", "Usage"),
    ];
    for (options, kind) in cases {
        refused(dir.path(), &format!("certus linalg leverage --a tall.npy {options}"), &[kind]);
    }
}

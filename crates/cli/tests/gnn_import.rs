//! `certus gnn import planetoid`: made-up data sets whose arrays are known, and hostile ones.

use std::fs;
use std::path::Path;

use certus_io::{Element, Npz, Source};
use serde_json::Value;

use crate::support::{examples, listing, run_json};

const LINE: &str = "certus gnn import planetoid . --name tiny --out tiny.npz";

fn array<T: Element>(dir: &Path, name: &str) -> Vec<T> {
    Npz::open(Source::file(dir.join("tiny.npz"))).unwrap().array::<T>(name).unwrap().into_vec()
}

#[test]
fn rows_go_to_their_nodes_and_edges_both_ways() {
    let dir = examples();
    let (code, value) = run_json(dir.path(), LINE);
    assert_eq!(code, 0, "{value}");
    let metric = |name: &str| value["metrics"][name].as_u64().unwrap();
    let metrics = ["nodes", "edges", "features", "classes", "train", "validation", "test", "without_features"].map(metric);
    assert_eq!(metrics, [10, 18, 4, 3, 2, 4, 3, 1]);
    let dir = dir.path();
    // Node 3 has a loop, 0 and 1 an edge three times; node 8 is isolated.
    assert_eq!(array::<i64>(dir, "indptr"), [0, 3, 4, 7, 9, 11, 12, 13, 16, 16, 18]);
    assert_eq!(array::<i32>(dir, "indices"), [1, 2, 6, 0, 0, 3, 7, 2, 4, 3, 9, 7, 0, 2, 5, 9, 4, 7]);
    // Test nodes are 6, 9, 7 in the order of tx.
    assert_eq!(array::<i64>(dir, "x_indptr"), [0, 2, 4, 5, 6, 8, 9, 10, 11, 11, 13]);
    assert_eq!(array::<i32>(dir, "x_indices"), [0, 3, 0, 1, 1, 2, 1, 2, 3, 0, 1, 2, 3]);
    assert_eq!(array::<f32>(dir, "x_data"), [0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 0.25, 0.75, 1.0, 1.0, 1.0, 0.5, 0.5]);
    assert_eq!(array::<i32>(dir, "y"), [0, 0, 1, 2, 2, 1, 0, 1, 0, 2]);
    assert_eq!(array::<i32>(dir, "train_idx"), [0, 1]);
    assert_eq!(array::<i32>(dir, "val_idx"), [2, 3, 4, 5]);
    assert_eq!(array::<i32>(dir, "test_idx"), [6, 7, 9]);
    assert_eq!([array::<i64>(dir, "num_nodes"), array(dir, "num_features"), array(dir, "num_classes")], [[10], [4], [3]]);
    run_json(dir, &format!("{LINE} --features-as-stored"));
    assert_eq!(array::<f32>(dir, "x_data"), [1.0, 1.0, 0.5, 0.5, 1.0, 1.0, 0.25, 0.75, 1.0, 1.0, 1.0, 0.5, 0.5]);
}

fn text(s: &[u8]) -> Vec<u8> {
    [b"U", &[s.len() as u8][..], s].concat()
}

fn int(v: i32) -> Vec<u8> {
    [b"J", &v.to_le_bytes()[..]].concat()
}

/// An array as protocol 2 writes it, with any expression of its data.
fn ndarray(shape: &[i32], dtype: &str, order: &str, fortran: bool, data: &[u8]) -> Vec<u8> {
    let shape = shape.iter().flat_map(|&n| int(n)).collect::<Vec<_>>();
    [
        &b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01("[..],
        &shape,
        b"tcnumpy\ndtype\n",
        &text(dtype.as_bytes()),
        b"K\x00K\x01\x87R(K\x03",
        &text(order.as_bytes()),
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
        if fortran { b"\x88" } else { b"\x89" },
        data,
        b"tb",
    ]
    .concat()
}

fn pickle(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

fn csr(rows: i32, cols: i32, indptr: &[i32], indices: &[i32], data: &[f32]) -> Vec<u8> {
    let ints = |v: &[i32]| ndarray(&[v.len() as i32], "i4", "<", false, &text(&v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
    let data = ndarray(&[data.len() as i32], "f4", "<", false, &text(&data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
    let parts = [
        &b"cscipy.sparse.csr\ncsr_matrix\n)\x81}("[..],
        &text(b"_shape"),
        &int(rows),
        &int(cols),
        b"\x86",
        &text(b"indptr"),
        &ints(indptr),
        &text(b"indices"),
        &ints(indices),
        &text(b"data"),
        &data,
        b"ub",
    ];
    pickle(&parts.concat())
}

fn put(dir: &Path, part: &str, bytes: &[u8]) {
    fs::write(dir.join(format!("ind.tiny.{part}")), bytes).unwrap();
}

#[test]
fn other_ways_to_write_the_same_are_read() {
    let dir = examples();
    run_json(dir.path(), LINE);
    let expected = fs::read(dir.path().join("tiny.npz")).unwrap();
    let doubles = |order: fn(f64) -> [u8; 8]| [1.0, 1.0, 0.0, 0.0, 0.0, 0.0].iter().flat_map(|&v| order(v)).collect::<Vec<_>>();
    // y is [[1, 0, 0], [1, 0, 0]]; columns first it begins with both ones.
    let escaped = |data: &[u8]| {
        let hex = data.iter().map(|b| format!("\\x{b:02x}")).collect::<String>();
        format!("S'{hex}'\n").into_bytes()
    };
    let encoded = |data: &[u8]| {
        let utf8 = data.iter().map(|&b| char::from(b)).collect::<String>();
        let count = (utf8.len() as u32).to_le_bytes();
        [&b"c_codecs\nencode\nX"[..], &count, utf8.as_bytes(), b"U\x06latin1\x86R"].concat()
    };
    let protocol_0 =
        b"(dp0\nI0\n(lp1\nI1\naI2\naI6\nasI1\n(lsI2\n(I3\nI7\nlsI3\n(I3\nI4\nlsL4L\n(L9L\nlsI5\n(I7\nlsI6\n(lsI7\n(I9\nlsI8\n(lsI9\n(ls.";
    let variants = [
        ("y", pickle(&ndarray(&[2, 3], "f8", "<", true, &text(&doubles(f64::to_le_bytes))))),
        ("y", pickle(&ndarray(&[2, 3], "f8", ">", true, &text(&doubles(f64::to_be_bytes))))),
        ("y", pickle(&ndarray(&[2, 3], "b1", "|", false, &escaped(&[1, 0, 0, 1, 0, 0])))),
        ("y", pickle(&ndarray(&[2, 3], "u1", "|", false, &encoded(&[200, 0, 0, 255, 0, 0])))),
        ("x", csr(2, 4, &[0, 2, 4], &[3, 0, 1, 0], &[1.0, 1.0, 0.5, 0.5])),
        // Columns in another order, twice, and zeros.
        ("tx", csr(3, 4, &[0, 2, 5, 6], &[3, 0, 3, 2, 3, 1], &[0.0, 1.0, 0.25, 0.5, 0.25, 1.0])),
        ("graph", protocol_0.to_vec()),
    ];
    for (part, bytes) in variants {
        put(dir.path(), part, &bytes);
        let (code, value) = run_json(dir.path(), LINE);
        assert_eq!(code, 0, "{part}: {value}");
        assert_eq!(fs::read(dir.path().join("tiny.npz")).unwrap(), expected, "{part}");
    }
}

/// With one file replaced the import is refused with this kind, naming the file, and nothing is written.
fn refused(dir: &Path, part: &str, bytes: &[u8], kind: &str) -> String {
    let path = dir.join(format!("ind.tiny.{part}"));
    let good = fs::read(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let before = listing(dir);
    let (code, value) = run_json(dir, LINE);
    assert_eq!((code, value["error"]["kind"].as_str()), (2, Some(kind)), "{part}: {value}");
    assert_eq!(listing(dir), before, "{part}");
    fs::write(&path, good).unwrap();
    let message = value["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("ind.tiny.") && message.len() < 400, "{part}: {message}");
    message
}

#[test]
fn every_cut_is_refused() {
    let dir = examples();
    for part in ["x", "graph", "ty"] {
        let whole = fs::read(dir.path().join(format!("ind.tiny.{part}"))).unwrap();
        for end in (0..whole.len()).step_by(13).chain([whole.len() - 1]) {
            refused(dir.path(), part, &whole[..end], "Truncated");
        }
    }
}

#[test]
fn no_byte_makes_the_reader_panic() {
    let dir = examples();
    for part in ["x", "graph", "y"] {
        let whole = fs::read(dir.path().join(format!("ind.tiny.{part}"))).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x5a;
            put(dir.path(), part, &bytes);
            let (code, value) = run_json(dir.path(), LINE);
            assert!(code == 0 || code == 2, "{part} at {at}: {value}");
        }
        put(dir.path(), part, &whole);
    }
}

#[test]
fn programs_and_absurd_lengths_are_refused() {
    let dir = examples();
    let dir = dir.path();
    let message = refused(dir, "graph", b"cposix\nsystem\n(S'true'\ntR.", "UnsupportedFormat");
    assert!(message.contains("posix.system") && message.contains("byte 0"), "{message}");
    let message = refused(dir, "graph", b"\x80\x02P1\n.", "UnsupportedFormat");
    assert!(message.contains("'P'") && message.contains("byte 2"), "{message}");
    let message = refused(dir, "graph", b"\x80\x05}.", "UnsupportedFormat");
    assert!(message.contains("protocol 5"), "{message}");
    refused(dir, "y", &pickle(b"T\xff\xff\xff\x7f"), "Truncated");
    refused(dir, "y", &pickle(b"X\xff\xff\xff\xffa"), "Truncated");
    refused(dir, "y", &pickle(&ndarray(&[i32::MAX, i32::MAX], "f8", "<", false, &text(&[0; 8]))), "Truncated");
    refused(dir, "y", &pickle(&ndarray(&[i32::MAX, 0], "f8", "<", false, &text(b""))), "DimensionMismatch");
    refused(dir, "y", &pickle(&ndarray(&[2, 3], "O8", "|", false, &text(&[0; 48]))), "UnsupportedFormat");
    refused(dir, "y", &pickle(&ndarray(&[-1], "u1", "|", false, &text(b""))), "UnsupportedFormat");
    for body in [&b""[..], b"0", b"t", b"e", b"u", b"(a", b"h\x07", b"NNs", b"}(Nu", b"]b", b"NR", b")N\x81", b"K\x01", b"]q\x00h\x00a"] {
        refused(dir, "y", &pickle(body), "UnsupportedFormat");
        refused(dir, "x", &pickle(body), "UnsupportedFormat");
    }
    // A list of itself, and one list for very many keys.
    refused(dir, "graph", &pickle(b"}K\x00]q\x00h\x00as"), "UnsupportedFormat");
    let list = [&b"]q\x00("[..], &b"K\x01".repeat(2000), b"e0}("].concat();
    refused(dir, "graph", &pickle(&[list, b"K\x01h\x00".repeat(2000), b"u".to_vec()].concat()), "UnsupportedFormat");
}

#[test]
fn files_that_contradict_each_other_are_refused() {
    let dir = examples();
    let dir = dir.path();
    refused(dir, "x", &csr(2, 4, &[0, 2, 4], &[3, 0, 4, 0], &[1.0; 4]), "InvalidSparsity");
    refused(dir, "x", &csr(2, 4, &[0, 2, 4], &[3, 0, -1, 0], &[1.0; 4]), "InvalidSparsity");
    refused(dir, "x", &csr(2, 4, &[0, 5, 4], &[3, 0, 1, 0], &[1.0; 4]), "InvalidSparsity");
    refused(dir, "x", &csr(2, 4, &[0, 2, 3], &[3, 0, 1, 0], &[1.0; 4]), "InvalidSparsity");
    refused(dir, "x", &csr(i32::MAX, 4, &[0, 2, 4], &[3, 0, 1, 0], &[1.0; 4]), "InvalidSparsity");
    refused(dir, "x", &csr(2, 4, &[0, 2, 4], &[3, 0, 1, 0], &[1.0; 3]), "InvalidSparsity");
    refused(dir, "x", &csr(2, 4, &[0, 2, 4], &[3, 0, 1, 0], &[1.0, f32::NAN, 1.0, 1.0]), "NonFinite");
    refused(dir, "x", &csr(2, 5, &[0, 2, 4], &[3, 0, 1, 0], &[1.0; 4]), "DimensionMismatch");
    refused(dir, "x", &csr(7, 4, &[0; 8], &[], &[]), "DimensionMismatch");
    refused(dir, "y", &pickle(&ndarray(&[3, 3], "u1", "|", false, &text(&[0; 9]))), "DimensionMismatch");
    refused(dir, "y", &pickle(&ndarray(&[2, 4], "u1", "|", false, &text(&[0; 8]))), "DimensionMismatch");
    refused(dir, "graph", &pickle(b"}(K\x00]K\x0aaK\x08]u"), "UnsupportedFormat");
    refused(dir, "graph", &pickle(b"}(J\xff\xff\xff\xff]K\x08]u"), "UnsupportedFormat");
    refused(dir, "graph", &pickle(b"}"), "UnsupportedFormat");
    for (text, kind) in [
        ("6\n9\n", "DimensionMismatch"),
        ("6\n9\n6\n", "UnsupportedFormat"),
        ("6\n9\n5\n", "UnsupportedFormat"),
        ("6\n9\nx\n", "UnsupportedFormat"),
        ("6\n9\n-7\n", "UnsupportedFormat"),
        ("6\n9\n99999999999\n", "UnsupportedFormat"),
        ("6\n9\n18446744073709551615\n", "UnsupportedFormat"),
    ] {
        refused(dir, "test.index", text.as_bytes(), kind);
    }
}

#[test]
fn missing_files_and_names_that_lead_elsewhere_are_refused() {
    let dir = examples();
    let error = |line: &str, code: i32| {
        let (found, value) = run_json(dir.path(), line);
        assert_eq!(found, code, "{line}: {value}");
        value["error"].clone()
    };
    let kind = |error: &Value| error["kind"].as_str().unwrap().to_owned();
    assert_eq!(kind(&error("certus gnn import planetoid nowhere --name tiny --out g.npz", 2)), "NotFound");
    assert_eq!(kind(&error("certus gnn import planetoid . --name cora --out g.npz", 2)), "NotFound");
    error("certus gnn import planetoid . --name ../tiny --out g.npz", 2);
    error("certus gnn import planetoid . --name tiny --out g.npy", 2);
    fs::remove_file(dir.path().join("ind.tiny.graph")).unwrap();
    let missing = error(LINE, 2);
    assert_eq!(kind(&missing), "NotFound");
    assert!(missing["message"].as_str().unwrap().contains("ind.tiny.graph"), "{missing}");
    assert!(!dir.path().join("g.npz").exists() && !dir.path().join("tiny.npz").exists());
}

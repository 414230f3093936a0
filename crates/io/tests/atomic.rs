//! Files appear whole or not at all.

use std::fs;
use std::io::Write as _;

use certus_io::{AtomicFile, NpyWriter, NpzWriter, read_vector, write_npy};
use certus_numeric::Array;

use crate::support::{folder, refused};

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    let folder = folder();
    let path = folder.path().join("a.npy");
    let mut writer = NpyWriter::create(&path, &[3]).unwrap();
    writer.push(&[1.0, 2.0]).unwrap();
    refused(writer.push(&[3.0, 4.0]), "DimensionMismatch", &["a.npy", "4 entries written", "3 (shape [3])"]);
    refused(writer.finish(), "DimensionMismatch", &["a.npy", "2 entries written"]);
    let mut archive = NpzWriter::create(folder.path().join("a.npz")).unwrap();
    archive.add_scalar("x", 1.0).unwrap();
    drop(archive);
    let mut file = AtomicFile::create(folder.path().join("a.txt")).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_stood_there_stays_until_the_end() {
    let folder = folder();
    let path = folder.path().join("a.npy");
    write_npy(&path, &Array::vector(vec![1.0])).unwrap();
    let mut writer = NpyWriter::create(&path, &[2]).unwrap();
    writer.push(&[5.0, 6.0]).unwrap();
    assert_eq!(read_vector(&path).unwrap(), [1.0]);
    writer.finish().unwrap();
    assert_eq!(read_vector(&path).unwrap(), [5.0, 6.0]);
    assert_eq!(names(folder.path()), ["a.npy"]);
}

#[test]
fn impossible_places_are_refused_at_once() {
    let folder = folder();
    refused(NpyWriter::<f64>::create(folder.path(), &[1]), "Io", &["write", "folder"]);
    refused(NpzWriter::create(folder.path().join("none/a.npz")), "Io", &["cannot write", "none/a.npz: its folder does not exist"]);
    refused(AtomicFile::create(""), "Io", &["cannot write"]);
    refused(NpyWriter::<f64>::create(folder.path().join("a.npy"), &[usize::MAX, 2]), "TooLarge", &["a.npy", "shape"]);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[cfg(unix)]
#[test]
fn devices_are_not_replaced_links_are_followed_and_others_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    refused(AtomicFile::create("/dev/null"), "Io", &["/dev/null", "regular file"]);
    let folder = folder();
    let (path, link) = (folder.path().join("a.npy"), folder.path().join("link.npy"));
    write_npy(&path, &Array::vector(vec![1.0])).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    write_npy(&link, &Array::vector(vec![2.0])).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read_vector(&path).unwrap(), [2.0]);
    // A plain file made beside it shows what the user's mask leaves.
    let plain = folder.path().join("plain");
    fs::write(&plain, b"").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}

//! Features in a file that is mapped into memory.
#![cfg(target_os = "linux")]

use certus_gnn::{Features, MemoryBudget, Planner};
use certus_testkit::memory::{alone, peak};

use crate::support::{OPS, Random, Setting, features, npy_file, npy_of, run, same};

#[test]
fn mapped_features_give_the_same_bits_and_are_counted_apart() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, op) in OPS.into_iter().enumerate() {
        let setting = Setting::random(seed as u64 + 40, &[op], 30);
        let path = npy_of(folder.path(), "x.npy", &setting.x);
        let (mapped, streamed) = (Features::mapped(&path).unwrap(), Features::npy(&path).unwrap());
        let dense = Features::dense(setting.x.clone()).unwrap();
        let planner = |features| Planner::new(&setting.model, &setting.graph, features).spill_dir(folder.path());
        let whole = run(planner(&dense), "dense");
        for features in [&mapped, &streamed] {
            same(&whole.output, &run(planner(features), "a file").output, op.name());
            let least = planner(features).schedule().unwrap().minimum;
            let tight = run(planner(features).budget(MemoryBudget::Working(least)), "the least");
            same(&whole.output, &tight.output, op.name());
        }
        let facts = run(planner(&mapped), "mapped").facts;
        assert_eq!((facts.resident.features, facts.resident.mapped), (0, 4 * setting.x.len() as u64));
        assert_eq!(
            (facts.bytes_read, facts.predicted_peak),
            (whole.facts.bytes_read, whole.facts.predicted_peak),
            "as of features in memory"
        );
        assert_eq!(whole.facts.resident.mapped, 0);
        let shown = planner(&mapped).schedule().unwrap().to_string();
        assert!(shown.contains("mapped from a file"), "{shown}");
    }
}

#[test]
fn a_map_takes_no_memory_of_the_heap() {
    let folder = tempfile::tempdir().unwrap();
    let path = npy_of(folder.path(), "x.npy", &features(&mut Random(3), 20_000, 50, false));
    alone(|| {
        let (found, held) = peak(|| Features::mapped(&path).unwrap());
        assert!(held < 128 << 10 && found.rows() == 20_000 && found.columns() == 50, "{held}");
    });
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path: &std::path::Path| Features::mapped(path).map_err(|error| (error.kind().to_owned(), error.to_string())).unwrap_err();
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let data = bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let file = |descr: &str, fortran: bool, shape: &str, data: &[u8]| npy_file(folder.path(), "bad.npy", descr, fortran, shape, data);
    let wrong = kind(&file("'<f8'", false, "(3, 1)", &data));
    assert!(wrong.0 == "UnsupportedFormat" && wrong.1.contains("float64"), "{wrong:?}");
    assert!(kind(&file("'>f4'", false, "(3, 2)", &data)).1.contains("byte order"));
    assert!(kind(&file("'<f4'", true, "(3, 2)", &data)).1.contains("column by column"));
    assert_eq!(kind(&file("'<f4'", false, "(6,)", &data)).0, "DimensionMismatch");
    assert_eq!(kind(&file("'<f4'", false, "(4, 2)", &data)).0, "Truncated");
    assert_eq!(kind(&folder.path().join("none.npy")).0, "NotFound");
    let infinite = kind(&file("'<f4'", false, "(3, 2)", &bytes(&[1.0, 2.0, 3.0, 4.0, f32::INFINITY, 6.0])));
    assert!(infinite.0 == "NonFinite" && infinite.1.contains("[2, 0]"), "{infinite:?}");
    for shape in ["(0, 2)", "(3, 0)"] {
        let none = Features::mapped(file("'<f4'", false, shape, &[])).unwrap();
        assert_eq!(none.rows() * none.columns(), 0);
    }
}

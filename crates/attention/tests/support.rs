//! What several tests use.

use certus_io::Npz;
use certus_numeric::Array;
use certus_testkit::cases::shipped;

/// One reference case: an archive of arrays.
pub(crate) struct Case(std::cell::RefCell<Npz>);

impl Case {
    pub(crate) fn open(name: &str) -> Case {
        let path = shipped(env!("CARGO_MANIFEST_DIR"), &format!("{name}.npz"));
        Case(std::cell::RefCell::new(Npz::open(certus_io::Source::file(path)).expect("a case")))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.borrow().contains(name)
    }

    pub(crate) fn array(&self, name: &str) -> Array {
        self.0.borrow_mut().array::<f64>(name).expect(name)
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.0.borrow_mut().scalar::<f64>(name).expect(name)
    }

    pub(crate) fn mask(&self) -> Option<Array<bool>> {
        self.has("mask").then(|| self.0.borrow_mut().array::<bool>("mask").expect("mask"))
    }

    /// The heads of a three-way array.
    pub(crate) fn heads(&self, name: &str) -> Vec<Array> {
        let array = self.array(name);
        let [heads, rows, cols] = array.shape() else { panic!("{name} has no heads") };
        let (heads, rows, cols) = (*heads, *rows, *cols);
        array.as_slice().chunks(rows * cols).take(heads).map(|head| Array::matrix(rows, cols, head.to_vec()).expect("a head")).collect()
    }
}

/// The largest difference relative to the largest entry.
pub(crate) fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-300f64, |l, v| l.max(v.abs()));
    found.iter().zip(expected).fold(0.0f64, |d, (a, b)| d.max((a - b).abs())) / largest
}

//! What a verb found, and its JSON form: the same envelope for all verbs.

use std::path::{Path, PathBuf};

use certus_contract::{Certificate, Status};
use certus_io::Element;
use certus_numeric::Array;
use serde_json::{Map, Value, json};

use crate::args::OutFile;
use crate::arrays::{self, Named};
use crate::error::{CliError, Exit};
use crate::outputs::{Outputs, Staged};

/// What a verb found. Everything is printed and written by the frame.
///
/// A number that is NaN or infinite becomes `null`, here and in the JSON.
pub struct Report {
    pub(crate) status: Status,
    pub(crate) metrics: Map<String, Value>,
    pub(crate) fields: Map<String, Value>,
    pub(crate) warnings: Vec<String>,
    pub(crate) trace: Vec<Value>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) notes: Vec<String>,
    pub(crate) silent_about_seed_and_time: bool,
    unreached: bool,
    contents: Vec<(OutFile, Content)>,
}

/// Writes an output to the path that it is given.
type Writer = Box<dyn FnOnce(&Path) -> Result<(), CliError> + Send>;

/// What goes into an output.
enum Content {
    Written(Writer),
    Arrays(Named),
    Staged(Staged),
}

impl Report {
    /// A report with nothing in it but how the run ended.
    pub fn new(status: Status) -> Self {
        Report {
            status,
            metrics: Map::new(),
            fields: Map::new(),
            warnings: Vec::new(),
            trace: Vec::new(),
            certificate: None,
            notes: Vec::new(),
            silent_about_seed_and_time: false,
            unreached: false,
            contents: Vec::new(),
        }
    }

    /// One more quantity: a number, an `Option` of one (`None` is `null`), a text, an array.
    pub fn metric(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.metrics.insert(name.to_owned(), value.into());
        self
    }

    /// A field of the system's own beside `metrics`: `outcome`, `cuts`, `mismatches`.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        debug_assert!(!ENVELOPE.contains(&name), "{name} is a field of the envelope");
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Warnings, each starting with its name: `RankDeficient: ...`.
    pub fn warnings(mut self, warnings: impl IntoIterator<Item = impl ToString>) -> Self {
        self.warnings.extend(warnings.into_iter().map(|w| w.to_string()));
        self
    }

    /// The course of the iteration, one value (or object) a step.
    pub fn trace(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.trace.extend(values.into_iter().map(Into::into));
        self
    }

    /// The certificate.
    pub fn certificate(self, certificate: Certificate) -> Self {
        Report { certificate: Some(certificate), ..self }
    }

    /// A line for people, after the report; not in the JSON.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// The same report with `seed` and `seconds` null: for results that must not tell them.
    pub fn silent_about_seed_and_time(self) -> Self {
        Report { silent_about_seed_and_time: true, ..self }
    }

    /// One array of an output: the only one of an `.npy`, or one of several, by name, of an `.npz`.
    ///
    /// Give the arrays of an archive one after the other to the same `out`.
    pub fn array<T: Element>(mut self, out: &OutFile, name: &str, array: Array<T>) -> Self {
        let named = (name.to_owned(), Box::new(array) as _);
        match self.contents.iter_mut().find(|(other, _)| other == out) {
            Some((_, Content::Arrays(arrays))) => arrays.push(named),
            _ => self.contents.push((out.clone(), Content::Arrays(vec![named]))),
        }
        self
    }

    /// The same report with exit code 3 whatever the status: what was checked is not so.
    pub fn unreached(self) -> Self {
        Report { unreached: true, ..self }
    }

    /// An output that `write` writes to the path that it is given, once all is well.
    pub fn file(mut self, out: &OutFile, write: impl FnOnce(&Path) -> Result<(), CliError> + Send + 'static) -> Self {
        self.contents.push((out.clone(), Content::Written(Box::new(write))));
        self
    }

    /// An output that the verb has written already, to a temporary file of [`Context::stage`](crate::Context::stage).
    pub fn staged(mut self, staged: Staged) -> Self {
        self.contents.push((staged.out.clone(), Content::Staged(staged)));
        self
    }

    /// Writes all outputs, and gives them their names together.
    pub(crate) fn write(&mut self, outputs: &Outputs) -> Result<Written, CliError> {
        let mut staged = Vec::new();
        let mut written = Vec::new();
        for (out, content) in self.contents.drain(..) {
            written.push((outputs.option(&out).unwrap_or("out").to_owned(), out.path().to_owned()));
            staged.push(match content {
                Content::Staged(file) => file,
                Content::Arrays(named) => {
                    let file = outputs.stage(&out)?;
                    arrays::write(&out, &named, file.path()).map_err(|error| file.named(error))?;
                    file
                }
                Content::Written(write) => {
                    let file = outputs.stage(&out)?;
                    write(file.path()).map_err(|error| file.named(error))?;
                    file
                }
            });
        }
        outputs.commit(staged)?;
        Ok(written)
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        if self.status.reached() && !self.unreached { Exit::Done } else { Exit::NotReached }
    }
}

/// Names and paths of what was written.
pub(crate) type Written = Vec<(String, PathBuf)>;

/// The fields that every verb's JSON has.
pub const ENVELOPE: [&str; 9] = ["command", "status", "seed", "seconds", "metrics", "warnings", "trace", "outputs", "certificate"];

/// A report together with what the frame knows of its run.
pub(crate) struct Finished {
    pub(crate) command: String,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) report: Report,
    pub(crate) written: Written,
}

impl Finished {
    /// The object that `--json` prints.
    pub(crate) fn to_json(&self) -> Result<Value, serde_json::Error> {
        let report = &self.report;
        let (seed, seconds) = if report.silent_about_seed_and_time { (None, None) } else { (Some(self.seed), Some(self.seconds)) };
        let outputs = self.written.iter().map(|(name, path)| (name.clone(), path.display().to_string().into())).collect::<Map<_, _>>();
        let mut object = Map::new();
        object.insert("command".into(), self.command.clone().into());
        object.insert("status".into(), report.status.to_string().into());
        object.insert("seed".into(), seed.into());
        object.insert("seconds".into(), seconds.into());
        object.insert("metrics".into(), report.metrics.clone().into());
        object.extend(report.fields.clone());
        object.insert("warnings".into(), report.warnings.clone().into());
        object.insert("trace".into(), report.trace.clone().into());
        object.insert("outputs".into(), outputs.into());
        object.insert("certificate".into(), report.certificate.as_ref().map_or(Ok(json!(null)), serde_json::to_value)?);
        Ok(object.into())
    }
}

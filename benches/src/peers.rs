//! Peers: the same work in what users run today, in Python environments of their own.
//!
//! A call writes the request into a folder that also holds the arrays as `.npy` files, starts `peers/NAME.py` there with the
//! number of threads in its environment, and reads one line of JSON. A peer that is absent, fails or takes too long is
//! [`Skipped`], with the reason: no experiment depends on one.

mod exchange;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use exchange::Exchange;

use crate::measure::{median, spread};
use crate::results::{Experiment, Skipped, Timing};

/// A Python environment that `cargo xtask peers` prepares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// NumPy, SciPy, scikit-learn, JAX and most others.
    Main,
    /// PyTorch and PyTorch Geometric.
    Torch,
    /// neural-tangents on its old JAX.
    Ntk,
}

impl Python {
    /// Its folder.
    pub fn name(self) -> &'static str {
        match self {
            Python::Main => "main",
            Python::Torch => "torch",
            Python::Ntk => "ntk",
        }
    }
}

/// Where the environments and the scripts are.
#[derive(Clone, Debug)]
pub struct Peers {
    environments: PathBuf,
    scripts: PathBuf,
    limit: Duration,
}

/// One piece of work for a peer.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The name in tables: `"SciPy lsmr"`.
    pub name: &'a str,
    /// Where it runs.
    pub python: Python,
    /// The script in `peers/`, without its ending.
    pub script: &'a str,
    /// The function in it.
    pub function: &'a str,
    /// Threads that it may use.
    pub threads: usize,
    /// Counted runs, after one that warms up.
    pub runs: usize,
    /// Named arguments beside the arrays.
    pub arguments: Map<String, Value>,
}

impl<'a> Call<'a> {
    /// A call of `function` in `peers/script.py`, in the main environment, on one thread, three runs.
    pub fn new(name: &'a str, script: &'a str, function: &'a str) -> Self {
        Call { name, python: Python::Main, script, function, threads: 1, runs: 3, arguments: Map::new() }
    }

    /// The same call in another environment.
    pub fn python(self, python: Python) -> Self {
        Call { python, ..self }
    }

    /// The same call on so many threads.
    pub fn threads(self, threads: usize) -> Self {
        Call { threads, ..self }
    }

    /// The same call with so many counted runs.
    pub fn runs(self, runs: usize) -> Self {
        Call { runs, ..self }
    }

    /// The same call with one more argument.
    pub fn argument(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }
}

#[derive(Serialize)]
struct Request<'a> {
    function: &'a str,
    runs: usize,
    threads: usize,
    arguments: &'a Map<String, Value>,
}

/// What a peer said.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Wall seconds of each counted run.
    pub wall: Vec<f64>,
    /// Processor seconds of each counted run.
    pub cpu: Vec<f64>,
    /// Wall seconds of the run that warmed up (JAX compiles in it).
    pub first: f64,
    /// Peak resident memory of one run above that before it, in bytes, where the system tells.
    pub peak_bytes: Option<u64>,
    /// Libraries with versions and kernels.
    pub libraries: Vec<(String, String)>,
    /// Numbers that the function returned.
    pub metrics: Map<String, Value>,
    /// Arrays that the function returned: name and file.
    pub arrays: Vec<String>,
}

impl Answer {
    /// As a row of a table of times.
    pub fn timing(&self, call: &Call) -> Timing {
        Timing {
            name: call.name.into(),
            threads: call.threads,
            wall: spread(&self.wall),
            cpu_seconds: median(&self.cpu),
            first_seconds: Some(self.first),
            peak_bytes: self.peak_bytes,
            note: String::new(),
        }
    }

    /// A number that the function returned, NaN if it did not.
    pub fn metric(&self, name: &str) -> f64 {
        self.metrics.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }
}

impl Peers {
    /// Peers whose environments lie in `root/.peers` and whose scripts lie in `root/benches/peers`. A call that takes
    /// longer than `limit` is ended and skipped.
    pub fn new(root: &Path, limit: Duration) -> Self {
        Peers { environments: root.join(".peers"), scripts: root.join("benches/peers"), limit }
    }

    /// Runs a call on the arrays of `exchange`. Notes its libraries in the experiment, or that it was skipped.
    pub fn run(&self, call: &Call, exchange: &Exchange, experiment: &mut Experiment) -> Option<Answer> {
        match self.answer(call, exchange) {
            Ok(answer) => {
                for library in &answer.libraries {
                    if !experiment.environment.peers.contains(library) {
                        experiment.environment.peers.push(library.clone());
                    }
                }
                Some(answer)
            }
            Err(reason) => {
                experiment.skipped.push(Skipped { peer: call.name.into(), reason });
                None
            }
        }
    }

    fn answer(&self, call: &Call, exchange: &Exchange) -> Result<Answer, String> {
        let python = self.environments.join(call.python.name()).join("bin/python");
        if !python.exists() {
            return Err(format!("no environment \"{0}\": cargo xtask peers --only {0}", call.python.name()));
        }
        let request = Request { function: call.function, runs: call.runs, threads: call.threads, arguments: &call.arguments };
        let request = serde_json::to_string(&request).map_err(|error| error.to_string())?;
        let threads = call.threads.to_string();
        let xla = format!("--xla_cpu_multi_thread_eigen={} intra_op_parallelism_threads={threads}", call.threads > 1);
        let script = self.scripts.join(call.script).with_extension("py");
        let child = duct::cmd!(python, "-B", script)
            .dir(exchange.path())
            .stdin_bytes(request)
            .env("OMP_NUM_THREADS", &threads)
            .env("OPENBLAS_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            .env("NUMEXPR_NUM_THREADS", &threads)
            .env("XLA_FLAGS", xla)
            .env("FLWR_TELEMETRY_ENABLED", "0")
            .env("RAY_USAGE_STATS_ENABLED", "0")
            .env_remove("OPENBLAS_CORETYPE")
            .env_remove("OPENBLAS_L2_SIZE")
            .env_remove("PYTHONPATH")
            .env_remove("PYTHONHOME")
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .start()
            .map_err(|error| error.to_string())?;
        let output = child.wait_timeout(self.limit).map_err(|error| error.to_string())?;
        let Some(output) = output else {
            child.kill().map_err(|error| error.to_string())?;
            return Err(format!("took longer than {} s", self.limit.as_secs()));
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().lines().last().unwrap_or_default().to_owned();
        if !output.status.success() {
            return Err(format!("{}: {}", output.status, text(&output.stderr)));
        }
        // Libraries may print as they load: the answer is the last line.
        serde_json::from_str(&text(&output.stdout)).map_err(|error| format!("its answer is not understood: {error}"))
    }
}

//! What machine, compiler and profile a measurement belongs to.

use std::fs;

use crate::results::Environment;

/// Describes this process: its machine, its compiler, its profile, and how many threads it may use.
pub fn describe(threads: usize, seed: u64) -> Environment {
    Environment {
        cpu: cpu(),
        threads,
        cores: cores(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        rustc: env!("CERTUS_RUSTC").to_owned(),
        profile: env!("CERTUS_PROFILE").to_owned(),
        seed,
        peers: Vec::new(),
    }
}

/// Threads that this process may run at the same time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// The processor's name as Linux gives it; elsewhere the architecture.
fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

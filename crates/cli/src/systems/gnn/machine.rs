//! The speeds of the machine that the command runs on.

use std::fs;
use std::time::Instant;

use certus_gnn::MachineModel;

use super::problem::Bytes;

/// Measured with the sizes of the caches that the system names, or the usual ones.
pub(super) fn measured() -> MachineModel {
    let machine = MachineModel::default();
    let (l2, l3) = (cache(2).unwrap_or(machine.l2), cache(3));
    let start = Instant::now();
    machine.with_caches(l2, l3.unwrap_or(machine.l3.max(l2))).calibrate(|| start.elapsed())
}

/// Bytes of the first processor's cache of this level, where Linux says so.
fn cache(level: u8) -> Option<u64> {
    let folder = "/sys/devices/system/cpu/cpu0/cache";
    let read = |index: u8, name: &str| fs::read_to_string(format!("{folder}/index{index}/{name}")).ok();
    let index = (0..8).find(|&index| {
        let of_instructions = read(index, "type").is_some_and(|kind| kind.trim() == "Instruction");
        read(index, "level").is_some_and(|found| found.trim() == level.to_string()) && !of_instructions
    })?;
    // As 512K, or 32768K.
    let size = read(index, "size")?.trim().replace('K', "KiB").replace('M', "MiB");
    size.parse::<Bytes>().ok().map(|Bytes(bytes)| bytes).filter(|bytes| *bytes > 0)
}

//! Valid files, ways to spoil them, and a reader of everything: shared by the tests and the soak.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use certus_io::{Complex, Error, NpyRows, Npz, Safetensors, Source, TnsOptions};
use certus_io::{read, read_as, read_coo, read_mask, read_matrix, read_tensor, read_text, read_vector};
use certus_numeric::Seed;
use certus_numeric::seed::hash64;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// What the crate promises: memory at the peak is at most `FACTOR` times the unpacked bytes, and `CONSTANT`.
const FACTOR: u64 = 96;
const CONSTANT: u64 = 128 << 20;
/// What deflate makes of one byte at most.
const DEFLATE_RATIO: u64 = 1032;
/// No small file may take longer, on a busy machine.
const SLOWEST: Duration = Duration::from_secs(5);

/// Numbers by their index in a stream.
struct Draw {
    key: u64,
    next: u64,
}

impl Draw {
    fn word(&mut self) -> u64 {
        self.next += 1;
        hash64(self.key, self.next)
    }

    /// Below `n`, or 0.
    fn below(&mut self, n: usize) -> usize {
        (self.word() % n.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What a run saw.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Files tried.
    pub(crate) tried: u64,
    /// Reads that gave an array.
    pub(crate) accepted: u64,
    /// Reads that were refused, by kind.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// The largest memory in bytes.
    pub(crate) peak: u64,
    /// The longest time for one file.
    pub(crate) slowest: Duration,
}

/// Valid files of every format: those shipped with the tests, and some text.
fn valid_files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of cases").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if [".npy", ".npz", ".mtx", ".safetensors"].iter().any(|end| name.ends_with(end)) {
            files.push((name, std::fs::read(entry.path()).expect("a case")));
        }
    }
    files.push(("three.tns".into(), b"# head relation tail\n1 4 3 1.0\n1 4 4 -2.5e3\n7 1 1 0.5 # last\n".to_vec()));
    files.push(("one.tns".into(), b"1 1.0\n2 nan\n".to_vec()));
    files.sort();
    assert!(files.len() > 80, "the cases are missing");
    files
}

/// Spoils `bytes` in one to four ways.
fn mutated(draw: &mut Draw, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..1 + draw.below(4) {
        let at = draw.below(out.len());
        match draw.below(12) {
            0 | 1 if !out.is_empty() => out[at] ^= 1 << draw.below(8),
            2 if !out.is_empty() => out[at] = *draw.pick(&[0, 1, 0x7f, 0x80, 0xff, b'\n', b'(', b'{', b'[', b'\'', b',', b' ', b'-']),
            3 => out.truncate(at),
            4 => {
                out.truncate(at);
                out.extend(&other[draw.below(other.len())..]);
            }
            5 => {
                let end = (at + draw.below(64)).min(out.len());
                let piece = out[at..end].to_vec();
                let to = draw.below(out.len());
                out.splice(to..to, piece);
            }
            6 => {
                let end = (at + 1 + draw.below(16)).min(out.len());
                out.drain(at.min(end)..end);
            }
            7 | 8 => edit_number(draw, &mut out),
            9 => edit_length(draw, &mut out),
            10 => edit_zip_record(draw, &mut out),
            _ => {
                let noise = (0..draw.below(12)).map(|_| draw.word() as u8).collect::<Vec<_>>();
                out.splice(at..at, noise);
            }
        }
    }
    out
}

/// Replaces a number in text, as headers have them, by an absurd one.
fn edit_number(draw: &mut Draw, out: &mut Vec<u8>) {
    const ABSURD: [&str; 14] = [
        "0",
        "1",
        "-1",
        "2",
        "7",
        "255",
        "65536",
        "4194304",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615",
        "99999999999999999999999",
        "1e400",
    ];
    let starts = (0..out.len()).filter(|&k| out[k].is_ascii_digit() && (k == 0 || !out[k - 1].is_ascii_digit())).collect::<Vec<_>>();
    if starts.is_empty() {
        return;
    }
    let start = *draw.pick(&starts);
    let end = (start..out.len()).find(|&k| !out[k].is_ascii_digit()).unwrap_or(out.len());
    out.splice(start..end, draw.pick(&ABSURD).bytes());
}

/// Replaces a binary field of 2, 4 or 8 bytes by an absurd number, or by its neighbour.
fn edit_length(draw: &mut Draw, out: &mut [u8]) {
    let width = *draw.pick(&[2, 4, 8]);
    if out.len() < width {
        return;
    }
    // Lengths stand at the beginning (`.npy`, safetensors) and at the end (zip).
    let span = out.len() - width + 1;
    let at = match draw.below(3) {
        0 => draw.below(span.min(16)),
        1 => span - 1 - draw.below(span.min(128)),
        _ => draw.below(span),
    };
    let mut word = [0; 8];
    word[..width].copy_from_slice(&out[at..at + width]);
    let now = u64::from_le_bytes(word);
    let new = *draw.pick(&[
        0,
        1,
        u64::MAX,
        u64::MAX >> 1,
        1 << 31,
        0xffff_ffff,
        0xffff,
        1 << 40,
        now.wrapping_add(1),
        now.wrapping_sub(1),
        now << 8,
    ]);
    out[at..at + width].copy_from_slice(&new.to_le_bytes()[..width]);
}

/// Changes a field of one of a zip archive's records.
fn edit_zip_record(draw: &mut Draw, out: &mut [u8]) {
    let records = (0..out.len().saturating_sub(4)).filter(|&k| out[k..].starts_with(b"PK") && out[k + 2] < 9).collect::<Vec<_>>();
    if records.is_empty() {
        return;
    }
    let field = *draw.pick(&records) + 4 + draw.below(42);
    let value = *draw.pick(&[0, 1, 2, 8, 9, 12, 0x7f, 0xff]);
    for k in field..(field + 1 + draw.below(4)).min(out.len()) {
        out[k] = value;
    }
}

/// The same archive with one member spoiled and packed again, so that the damage gets past the checksums.
fn repacked(draw: &mut Draw, archive: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut zip = ZipArchive::new(Cursor::new(archive)).ok()?;
    let chosen = draw.below(zip.len());
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for k in 0..zip.len() {
        let mut member = zip.by_index(k).ok()?;
        let name = member.name().ok()?.into_owned();
        let method = if draw.below(2) == 0 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).ok()?;
        if k == chosen {
            bytes = mutated(draw, &bytes, other);
        }
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).ok()?;
        writer.write_all(&bytes).ok()?;
    }
    Some(writer.finish().ok()?.into_inner())
}

/// Reads a file in every way there is.
fn read_everything(name: &str, bytes: &[u8], report: &mut Report) {
    let source = Source::memory(name, bytes);
    let stem = &name[..name.len() - 4];
    let mut note = |result: Result<(), Error>| match result {
        Ok(()) => report.accepted += 1,
        Err(error) => {
            assert!(error.to_string().len() < 2000 && !error.hint().is_empty(), "an endless message");
            assert!(error.to_string().contains(stem), "no file name in '{error}'");
            // Bytes in memory cannot fail to be read, so each fault is one of the content.
            assert_ne!(error.kind(), "Io", "{error}");
            *report.refused.entry(error.kind()).or_default() += 1;
        }
    };
    let options = TnsOptions::default();
    note(read(&source).map(drop));
    note(read_matrix(&source).map(drop));
    note(read_tensor(&source, &options).map(drop));
    note(read_coo(&source, &TnsOptions { zero_based: true, shape: Some(vec![14, 55, 14]) }).map(drop));
    note(read_vector(&source).map(drop));
    note(read_mask(&source).map(drop));
    note(read_as::<i32>(&source).map(drop));
    note(read_as::<Complex<f64>>(&source).map(drop));
    note(read_text(&source).map(drop));
    if let Ok(mut npz) = Npz::open(&source) {
        for name in npz.names().take(8).map(str::to_owned).collect::<Vec<_>>() {
            note(npz.header(&name).map(drop));
            note(npz.array::<f64>(&name).map(drop));
            note(rows(source.clone().with_array(name)));
        }
    }
    if let Ok(mut file) = Safetensors::open(&source) {
        for name in file.names().take(16).map(str::to_owned).collect::<Vec<_>>() {
            note(file.array::<f32>(&name).map(drop));
        }
    }
    note(rows(source));
}

/// Reads by rows: some from the middle, then all.
fn rows(source: Source) -> Result<(), Error> {
    let mut rows = NpyRows::open(source)?;
    rows.seek(rows.rows() / 2)?;
    rows.next_block::<f64>(1)?;
    rows.seek(0)?;
    rows.blocks::<f32>(1 << 20).take(100).try_for_each(|block| block.map(drop))
}

/// Tries `iterations` spoiled files. Panics at the first broken promise, with what is needed to see it again.
pub(crate) fn run(iterations: u64, seed: u64) -> Report {
    let files = valid_files();
    let mut report = Report::default();
    let seen = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 12345]))).bytes_max;
    assert_eq!(seen, 12345, "the allocator counts");
    for iteration in 0..iterations {
        let mut draw = Draw { key: Seed(seed).split_at("files", iteration).0, next: 0 };
        let (name, valid) = draw.pick(&files);
        let other = &draw.pick(&files).1;
        let repack = name.ends_with(".npz") && draw.below(2) == 0;
        let spoiled = match repack {
            true => repacked(&mut draw, valid, other).unwrap_or_default(),
            false => mutated(&mut draw, valid, other),
        };
        let begin = Instant::now();
        let mut outcome = Ok(());
        let memory = allocation_counter::measure(|| {
            outcome = catch_unwind(AssertUnwindSafe(|| read_everything(name, &spoiled, &mut report)));
        });
        let (peak, time) = (memory.bytes_max, begin.elapsed());
        let unpacked = spoiled.len() as u64 * if name.ends_with(".npz") { DEFLATE_RATIO } else { 1 };
        let place = format!("seed {seed}, iteration {iteration}, from {name}");
        assert!(outcome.is_ok(), "a panic: {place}");
        assert!(peak <= FACTOR * unpacked + CONSTANT, "{peak} bytes for a file of {}: {place}", spoiled.len());
        assert!(time <= SLOWEST, "{time:?}: {place}");
        report.tried += 1;
        report.peak = report.peak.max(peak);
        report.slowest = report.slowest.max(time);
    }
    report
}

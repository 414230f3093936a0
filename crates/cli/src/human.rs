//! A finished run as text for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use certus_contract::{Certificate, Verdict};
use serde_json::Value;

use crate::error::{CliError, Exit};
use crate::report::Finished;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const CARE: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes the report: how it ended, metrics, further fields, warnings, files, certificate, notes.
pub(crate) fn print(finished: &Finished, out: &mut dyn Write) -> io::Result<()> {
    let report = &finished.report;
    let style = if report.exit() == Exit::Done { GOOD } else { CARE };
    write!(out, "{BOLD}{}{BOLD:#}: {style}{}{style:#}", finished.command, report.status)?;
    if report.silent_about_seed_and_time {
        writeln!(out)?;
    } else {
        writeln!(out, " {DIM}in {}{DIM:#}", seconds(finished.seconds))?;
    }
    let rows = report.metrics.iter().chain(&report.fields).collect::<Vec<_>>();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        writeln!(out, "  {name:width$}  {}", plain(&text(value)))?;
    }
    for warning in &report.warnings {
        writeln!(out, "{CARE}warning{CARE:#}: {}", plain(warning))?;
    }
    for (name, path) in &finished.written {
        writeln!(out, "wrote {} {DIM}({name}){DIM:#}", plain(&path.display().to_string()))?;
    }
    if let Some(certificate) = &report.certificate {
        writeln!(out)?;
        print_certificate(certificate, out)?;
    }
    report.notes.iter().try_for_each(|note| writeln!(out, "{note}"))
}

/// Writes an error: what was wrong, and what to do about it.
pub(crate) fn print_error(error: &CliError, err: &mut dyn Write) -> io::Result<()> {
    writeln!(err, "{BAD}error{BAD:#}: {}", plain(error.message()))?;
    if error.hint().is_empty() { Ok(()) } else { writeln!(err, "  {DIM}hint{DIM:#}: {}", plain(error.hint())) }
}

/// Writes the certificate's own table, with the verdicts coloured.
fn print_certificate(certificate: &Certificate, out: &mut dyn Write) -> io::Result<()> {
    let text = certificate.to_string();
    let mut verdicts = certificate.claims.iter().map(|claim| (claim.verdict(), format!("{}: ", claim.theorem))).peekable();
    for (k, line) in text.lines().enumerate() {
        let (verdict, start) = match verdicts.peek() {
            _ if k == 0 => (certificate.verdict(), "certificate: ".to_owned()),
            Some((_, start)) if line.starts_with(start.as_str()) => match verdicts.next() {
                Some(claim) => claim,
                None => continue,
            },
            _ => {
                writeln!(out, "{}", plain(line))?;
                continue;
            }
        };
        let style = colour(verdict);
        let word = verdict.to_string();
        match line.strip_prefix(start.as_str()).and_then(|rest| rest.strip_prefix(word.as_str())) {
            Some(rest) => writeln!(out, "{start}{style}{word}{style:#}{rest}")?,
            None => writeln!(out, "{}", plain(line))?,
        }
    }
    Ok(())
}

fn colour(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Holds => GOOD,
        Verdict::Vacuous | Verdict::NotApplicable => CARE,
        Verdict::Violated => BAD,
    }
}

/// A time to three digits in the unit that suits it.
fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{s:.0} s"),
    }
}

/// A value in a few words: the JSON has it in full.
fn text(value: &Value) -> String {
    const SHOWN: usize = 60;
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Number(n) if n.is_f64() => n.as_f64().map_or_else(|| n.to_string(), number),
        Value::Array(values) => {
            let list = format!("[{}]", values.iter().take(SHOWN).map(text).collect::<Vec<_>>().join(", "));
            if list.len() > SHOWN { format!("{} values", values.len()) } else { list }
        }
        Value::Object(fields) => format!("{} fields", fields.len()),
        other => other.to_string(),
    }
}

/// A number to six digits.
fn number(v: f64) -> String {
    if v == 0.0 || (1e-3..1e6).contains(&v.abs()) {
        let decimals = (5 - v.abs().max(1e-3).log10().floor() as i32).clamp(0, 8) as usize;
        let text = format!("{v:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{v:.5e}")
    }
}

/// The text without characters that would command a terminal: names in files are not to be trusted.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

//! Certificates as aligned text, at most [`WIDTH`] columns wide unless a single word or name is longer.

use std::fmt;

use crate::certificate::{Certificate, Claim};
use crate::check::Check;

/// Columns that the text keeps to.
const WIDTH: usize = 100;

/// How far names and statements stand in.
const INDENT: usize = 9;

/// A number in few characters: whole numbers below 1e9 in full, five significant digits near 1, else with an exponent.
/// `-` was not measured or is not known, `none` does not exist (NaN).
fn number(value: Option<f64>) -> String {
    let Some(v) = value else { return "-".into() };
    let size = v.abs();
    if v.is_nan() {
        "none".into()
    } else if v == 0.0 {
        "0".into()
    } else if v.is_infinite() || (size < 1e9 && v.fract() == 0.0) {
        format!("{v}")
    } else if (1e-3..1e5).contains(&size) {
        let digits = (4.0 - size.log10().floor()).max(0.0) as usize;
        short(&format!("{v:.digits$}")).to_owned()
    } else {
        let text = format!("{v:.3e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        format!("{}e{exponent}", short(mantissa))
    }
}

/// A decimal without the zeros at its end.
fn short(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

/// Every digit that tells this number from its neighbours.
fn exact_number(value: Option<f64>) -> String {
    match value {
        Some(v) if v.is_finite() => format!("{v:?}"),
        other => number(other),
    }
}

struct Row<'a> {
    mark: &'static str,
    name: &'a str,
    measured: String,
    relation: String,
    limit: String,
    trivial: String,
    basis: String,
    statement: &'a str,
}

impl<'a> Row<'a> {
    fn assumption(check: &'a Check) -> Self {
        let mark = match check.holds() {
            Some(_) => Row::seen(check),
            None if check.is_met_as_assumption() => "yes",
            None => "?",
        };
        Row::new(mark, check)
    }

    fn guarantee(check: &'a Check) -> Self {
        Row::new(Row::seen(check), check)
    }

    fn seen(check: &Check) -> &'static str {
        match check.holds() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        }
    }

    fn new(mark: &'static str, check: &'a Check) -> Self {
        let (mut measured, mut limit) = (number(check.measured), number(check.limit));
        if measured == limit && check.measured != check.limit {
            (measured, limit) = (exact_number(check.measured), exact_number(check.limit));
        }
        let said = check.measured.is_some() || check.limit.is_some();
        Row {
            mark,
            name: &check.name,
            measured,
            relation: if said { check.relation.to_string() } else { String::new() },
            limit,
            trivial: number(check.trivial),
            basis: check.basis.to_string(),
            statement: &check.statement,
        }
    }
}

/// The widths of the columns, the same in all claims of a certificate.
struct Columns {
    name: usize,
    measured: usize,
    limit: usize,
    /// `None`: no check has a trivial value, so the column is left out.
    trivial: Option<usize>,
}

impl Columns {
    fn of(claims: &[Claim]) -> Self {
        let rows =
            claims.iter().flat_map(|claim| claim.assumptions.iter().chain(&claim.guarantees)).map(Row::guarantee).collect::<Vec<_>>();
        let width = |heading: &str, of: fn(&Row<'_>) -> usize| rows.iter().map(of).fold(heading.len(), usize::max);
        let known = rows.iter().any(|row| row.trivial != "-");
        Columns {
            name: rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0),
            measured: width("measured", |r| r.measured.len()),
            limit: width("limit", |r| r.limit.len()),
            trivial: known.then(|| width("trivial", |r| r.trivial.len())),
        }
    }

    /// One line: measured, relation, limit, trivial and basis below their headings.
    fn line(&self, start: &str, measured: &str, relation: &str, limit: &str, trivial: &str, basis: &str) -> String {
        let (first, m, l) = (INDENT + self.name, self.measured, self.limit);
        let mut line = format!("{start:first$}  {measured:>m$}  {relation:2}  {limit:>l$}");
        if let Some(width) = self.trivial {
            line += &format!("  {trivial:>width$}");
        }
        line += &format!("  {basis}");
        line.trim_end().to_owned() + "\n"
    }

    fn head(&self, title: &str) -> String {
        self.line(title, "measured", "", "limit", "trivial", "basis")
    }

    fn row(&self, row: &Row<'_>) -> String {
        let start = format!("    {:3}  {}", row.mark, row.name);
        self.line(&start, &row.measured, &row.relation, &row.limit, &row.trivial, &row.basis) + &wrapped(row.statement, INDENT)
    }

    fn claim(&self, claim: &Claim, with_headings: bool) -> String {
        let mut text = wrapped(&format!("{}: {} ({})", claim.theorem, claim.verdict(), claim.basis()), 0);
        text += &wrapped(&claim.source, 2);
        let mut with_headings = with_headings;
        let assumptions = claim.assumptions.iter().map(Row::assumption).collect::<Vec<_>>();
        let guarantees = claim.guarantees.iter().map(Row::guarantee).collect::<Vec<_>>();
        for (title, rows) in [("  assumes", assumptions), ("  promises", guarantees)] {
            if rows.is_empty() {
                continue;
            }
            text += &if std::mem::take(&mut with_headings) { self.head(title) } else { format!("{title}\n") };
            for row in &rows {
                text += &self.row(row);
            }
        }
        text
    }
}

/// `text` in lines of at most [`WIDTH`] columns, broken at spaces, each `indent` columns in; nothing for an empty text.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column == 0 || column + 1 + length > WIDTH {
            if column > 0 {
                out.push('\n');
            }
            out += &" ".repeat(indent);
            column = indent + length;
        } else {
            out.push(' ');
            column += 1 + length;
        }
        out += word;
    }
    if column > 0 {
        out.push('\n');
    }
    out
}

impl fmt::Display for Claim {
    /// Theorem, verdict and basis; source; then one row a check with its statement below. `yes`: met; `NO`: fails;
    /// `-`: not measured; `?`: an assumption that was neither measured nor answered for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Columns::of(std::slice::from_ref(self)).claim(self, true).trim_end_matches('\n'))
    }
}

impl fmt::Display for Certificate {
    /// The verdict, then the claims as [`Claim`] shows them, with columns aligned over all of them and headings once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = Columns::of(&self.claims);
        let mut text = format!("certificate: {}\n", self.verdict());
        let mut with_headings = true;
        for claim in &self.claims {
            text.push('\n');
            text += &columns.claim(claim, with_headings);
            with_headings &= claim.assumptions.is_empty() && claim.guarantees.is_empty();
        }
        f.write_str(text.trim_end_matches('\n'))
    }
}

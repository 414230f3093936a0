//! Certificates as aligned text.

use std::fmt::{self, Write as _};

use crate::certificate::{Certificate, Claim};
use crate::check::Check;

/// A number in at most 10 characters: plain where that is short, else with an exponent.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(v) if v.is_nan() => "none".into(),
        Some(v) if v == 0.0 || v.is_infinite() => format!("{v}"),
        Some(v) if (1e-3..1e5).contains(&v.abs()) => {
            let text = format!("{v:.5}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Some(v) => format!("{v:.3e}"),
    }
}

struct Row<'a> {
    role: &'static str,
    check: &'a Check,
    measured: String,
    limit: String,
    trivial: String,
    basis: String,
}

impl Row<'_> {
    fn mark(&self) -> &'static str {
        match (self.check.holds(), self.role) {
            (Some(true), _) => "yes",
            (Some(false), _) => "NO",
            (None, "assumes") if self.check.is_met_as_assumption() => "yes",
            (None, _) => "-",
        }
    }
}

fn rows(claim: &Claim) -> Vec<Row<'_>> {
    let row = |role, check: &'_ Check| (role, number(check.measured), number(check.limit), number(check.trivial), check.basis.to_string());
    claim
        .assumptions
        .iter()
        .map(|check| ("assumes", check))
        .chain(claim.guarantees.iter().map(|check| ("promises", check)))
        .map(|(role, check)| {
            let (role, measured, limit, trivial, basis) = row(role, check);
            Row { role, check, measured, limit, trivial, basis }
        })
        .collect()
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Certificate { claims: vec![self.clone()] }.fmt_claims(f)
    }
}

impl Certificate {
    fn fmt_claims(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.claims.iter().map(rows).collect::<Vec<_>>();
        let width = |of: fn(&Row<'_>) -> usize| all.iter().flatten().map(of).max().unwrap_or(0);
        let name = width(|r| r.check.name.chars().count());
        let measured = width(|r| r.measured.len()).max("measured".len());
        let limit = width(|r| r.limit.len()).max("limit".len());
        let trivial = width(|r| r.trivial.len()).max("trivial".len());
        let basis = width(|r| r.basis.len()).max("basis".len());
        let mut text = String::new();
        for (claim, rows) in self.claims.iter().zip(&all) {
            writeln!(text, "{}: {} ({})", claim.theorem, claim.verdict(), claim.basis())?;
            writeln!(text, "  {}", claim.source)?;
            if !rows.is_empty() {
                writeln!(
                    text,
                    "  {:8}  {:name$}  {:>measured$}  {:2}  {:>limit$}  {:>trivial$}  {:4}  {:basis$}  statement",
                    "", "", "measured", "", "limit", "trivial", "met", "basis"
                )?;
            }
            for r in rows {
                writeln!(
                    text,
                    "  {:8}  {:name$}  {:>measured$}  {:2}  {:>limit$}  {:>trivial$}  {:4}  {:basis$}  {}",
                    r.role,
                    r.check.name,
                    r.measured,
                    r.check.relation,
                    r.limit,
                    r.trivial,
                    r.mark(),
                    r.basis,
                    r.check.statement
                )?;
            }
        }
        f.write_str(text.trim_end_matches('\n'))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "certificate: {}", self.verdict())?;
        self.fmt_claims(f)
    }
}

//! The parts of an experiment's section that are tables: claims, times, memory, certificates, environment.

use maud::{Markup, html};
use serde_json::Value;

use super::format::{bytes, number, ratio, seconds};
use crate::results::{Certified, ClaimLine, Comparison, Environment, Experiment, Memory, Outcome, Peer, Table, Timing};

/// One column of a table.
pub(super) struct Column<'a> {
    pub(super) label: &'a str,
    /// `"r"` for numbers, `"wide"` for bars, or nothing.
    pub(super) class: &'a str,
}

/// A table whose rows become cards on a narrow page. The first cell of a row is its heading; `class` tells rows apart.
pub(super) fn table(caption: Markup, columns: &[Column], rows: Vec<(&str, Vec<Markup>)>) -> Markup {
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" { @for column in columns { th scope="col" role="columnheader" class=[class(column.class)] { (column.label) } } }
            }
            tbody role="rowgroup" {
                @for (row_class, cells) in rows {
                    tr role="row" class=[class(row_class)] {
                        @for (k, (cell, column)) in cells.into_iter().zip(columns).enumerate() {
                            @if k == 0 { th scope="row" role="rowheader" { (cell) } }
                            @else if cell.0.is_empty() { td role="cell" {} }
                            @else { td role="cell" class=[class(column.class)] data-label=(column.label) { div { (cell) } } }
                        }
                    }
                }
            }
        }
    }
}

fn class(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

fn columns<'a, const N: usize>(columns: [(&'a str, &'a str); N]) -> [Column<'a>; N] {
    columns.map(|(label, class)| Column { label, class })
}

/// Text in which no number is cut at its minus sign (`1e-12`, `2^-52`), and a bound not at all (`at most 1e-12`).
pub(super) fn prose(text: &str) -> Markup {
    let number = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    if text.len() <= 16 && number(text) {
        return html! { span.nowrap { (text) } };
    }
    let whole = |word: &str| word.len() <= 12 && word.contains('-') && number(word);
    html! {
        @for (k, word) in text.split(' ').enumerate() {
            @if k > 0 { " " }
            @if whole(word) { span.nowrap { (word) } } @else { (word) }
        }
    }
}

/// An outcome as a coloured word with a sign.
pub(super) fn pill(outcome: Outcome) -> Markup {
    let sign = match outcome {
        Outcome::Met => "✓",
        Outcome::Missed => "△",
        Outcome::Failed => "✗",
        Outcome::Open => "○",
    };
    html! { span class=(format!("pill {}", outcome.word())) { (sign) " " (outcome.word()) } }
}

pub(super) fn claims(experiment: &Experiment) -> Markup {
    let columns = columns([("claim", ""), ("expected", ""), ("measured", ""), ("outcome", "")]);
    let cells = |claim: &ClaimLine| vec![prose(&claim.text), prose(&claim.expected), prose(&claim.measured), pill(claim.outcome)];
    let rows = experiment.claims.iter().map(|claim| ("", cells(claim)));
    table(html! { "What was expected" }, &columns, rows.collect())
}

/// Times of one piece of work: ours, then the peers' with their ratios as bars.
pub(super) fn comparison(comparison: &Comparison) -> Markup {
    let ours = &comparison.ours;
    let columns = columns([
        ("who", ""),
        ("threads", "r"),
        ("wall, median ± MAD", "r"),
        ("cpu", "r"),
        ("peak memory", "r"),
        ("their wall / ours", "wide"),
        ("answers", ""),
    ]);
    let ratios: Vec<f64> = comparison.peers.iter().map(|peer| peer.ratio(ours)).filter(|r| r.is_finite() && *r > 0.0).collect();
    let range = (ratios.iter().copied().fold(0.8, f64::min) * 0.95, ratios.iter().copied().fold(1.25, f64::max) * 1.05);
    let mut rows = vec![("ours", [times(ours), vec![html! { "1×" }, html! {}]].concat())];
    for peer in &comparison.peers {
        let value = peer.ratio(ours);
        rows.push(("", [times(&peer.timing), vec![html! { span.num { (ratio(value)) } (bar(value, range)) }, answers(peer)]].concat()));
    }
    let caption = html! {
        (comparison.work)
        span.sub { "Bars to the right of the line: we are faster. The scale is logarithmic." }
    };
    table(caption, &columns, rows)
}

fn times(timing: &Timing) -> Vec<Markup> {
    let spread = &timing.wall;
    let name = html! {
        (timing.name)
        @if !timing.note.is_empty() { span.sub { (prose(&timing.note)) } }
        @if timing.is_disturbed() { span.sub { "disturbed: cpu and wall time differ by more than a fifth" } }
        @if let Some(first) = timing.first_seconds.filter(|first| *first > 3.0 * spread.median && *first > 0.05) {
            span.sub { "first call " (seconds(first)) }
        }
    };
    let wall = html! {
        @if spread.runs == 1 {
            (seconds(spread.median))
            br;
            span.muted.small { "one run" }
        } @else {
            span.nowrap { (seconds(spread.median)) " " span.muted { "± " (seconds(spread.mad)) } }
            br;
            span.muted.small.nowrap { (seconds(spread.min)) " to " (seconds(spread.max)) ", " (spread.runs) " runs" }
        }
    };
    vec![
        name,
        html! { (timing.threads) },
        wall,
        html! { (seconds(timing.cpu_seconds)) },
        html! { (timing.peak_bytes.map_or("–".into(), bytes)) },
    ]
}

fn answers(peer: &Peer) -> Markup {
    match &peer.agreement {
        None => html! { span.muted { "not compared" } },
        Some(agreement) => {
            let (word, class, relation) = if agreement.holds() { ("✓ agrees", "met", "≤") } else { ("✗ differs", "failed", ">") };
            let size = format!("{} {relation} {}", number(Some(agreement.difference)), number(Some(agreement.tolerance)));
            html! { span class=(format!("pill {class}")) { (word) } span.sub { (agreement.quantity) " " span.nowrap { (size) } } }
        }
    }
}

/// A bar from 1 to `value` on a logarithmic scale over `range`.
fn bar(value: f64, range: (f64, f64)) -> Markup {
    if !(value.is_finite() && value > 0.0) {
        return html! {};
    }
    let place = |v: f64| 100.0 * (v / range.0).ln() / (range.1 / range.0).ln();
    let (from, to) = if value >= 1.0 { (place(1.0), place(value)) } else { (place(value), place(1.0)) };
    html! {
        div.bar aria-hidden="true" {
            i class=[(value < 1.0).then_some("slow")] style=(format!("--from:{from:.2}%;--to:{to:.2}%")) {}
            b style=(format!("--at:{:.2}%", place(1.0))) {}
        }
    }
}

/// Peak memory against what was promised, as bars of one scale.
pub(super) fn memory(memory: &[Memory]) -> Markup {
    let columns =
        columns([("work", ""), ("peak", "r"), ("promised at most", "r"), ("peak, and the promise as a line", "wide"), ("outcome", "")]);
    let promised = |m: &Memory| m.claimed.as_ref().map_or(0, |promise| promise.bytes);
    let largest = memory.iter().map(|m| m.peak_bytes.max(promised(m))).max().unwrap_or(1).max(1) as f64;
    let place = |bytes: u64| format!("{:.2}%", 98.0 * bytes as f64 / largest);
    let rows = memory.iter().map(|m| {
        let promise = html! {
            @match &m.claimed {
                Some(promise) => { (bytes(promise.bytes)) span.sub { (promise.formula) } }
                None => "–",
            }
        };
        let bar = html! {
            div.bar aria-hidden="true" {
                i class=[(m.outcome() == Outcome::Missed).then_some("slow")] style=(format!("--from:0%;--to:{}", place(m.peak_bytes))) {}
                @if m.claimed.is_some() { b style=(format!("--at:{}", place(promised(m)))) {} }
            }
        };
        ("", vec![html! { (m.work) }, html! { (bytes(m.peak_bytes)) }, promise, bar, pill(m.outcome())])
    });
    table(html! { "Memory" span.sub { "Counted by the allocator, above what was in use before." } }, &columns, rows.collect())
}

pub(super) fn plain(plain: &Table) -> Markup {
    let numeric = |column: usize| {
        plain
            .rows
            .iter()
            .filter_map(|row| row.get(column))
            .all(|text| text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit() || "+-–.".contains(c)))
    };
    let columns: Vec<Column> =
        plain.columns.iter().enumerate().map(|(k, label)| Column { label, class: if k > 0 && numeric(k) { "r" } else { "" } }).collect();
    let rows = plain.rows.iter().map(|row| ("", row.iter().map(|text| html! { (text) }).collect()));
    table(html! { (plain.title) }, &columns, rows.collect())
}

/// A certificate: its verdict in the head, one table a claim inside.
pub(super) fn certificate(certified: &Certified) -> Markup {
    let verdict = certified.verdict();
    let claims = certified.certificate["claims"].as_array().map(Vec::as_slice).unwrap_or_default();
    html! {
        details open[verdict == "violated"] {
            summary { "Certificate of " (certified.answer) (verdict_pill(verdict)) }
            div.inside { @for claim in claims { (claim_table(claim)) } }
        }
    }
}

fn verdict_pill(verdict: &str) -> Markup {
    let outcome = match verdict {
        "holds" => "met",
        "violated" => "failed",
        _ => "open",
    };
    html! { span class=(format!("pill {outcome}")) { (verdict.replace('_', " ")) } }
}

fn claim_table(claim: &Value) -> Markup {
    let columns =
        columns([("check", ""), ("statement", ""), ("measured", "r"), ("limit", "r"), ("trivial", "r"), ("holds", ""), ("basis", "")]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = |role: &'static str| {
        let checks = claim[role].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        checks.map(move |check| {
            let taken = role == "assumptions" && matches!(check["basis"].as_str(), Some("enforced" | "declared"));
            let holds = match check["holds"].as_bool() {
                Some(true) => "yes",
                Some(false) => "NO",
                None if taken => "yes",
                None => "–",
            };
            let limit = match check["limit"].as_f64() {
                Some(limit) => format!("{} {}", text(&check["relation"]), number(Some(limit))),
                None => "–".into(),
            };
            let name = html! { (text(&check["name"])) span.sub { (role.trim_end_matches('s')) } };
            let measured = number(check["measured"].as_f64());
            let cells = [measured, limit, number(check["trivial"].as_f64()), holds.into(), basis(&check["basis"])];
            ("", [vec![name, prose(&text(&check["statement"]))], cells.map(|cell| html! { (cell) }).to_vec()].concat())
        })
    };
    let caption = html! {
        (text(&claim["theorem"])) (verdict_pill(&text(&claim["verdict"])))
        span.sub { (text(&claim["source"])) "; basis: " (basis(&claim["basis"])) }
    };
    html! { div.claim { (table(caption, &columns, rows("assumptions").chain(rows("guarantees")).collect())) } }
}

/// `"exact"`, or `{"with_confidence": 0.99}` in words.
fn basis(value: &Value) -> String {
    match (value.as_str(), value["with_confidence"].as_f64()) {
        (Some(name), _) => name.into(),
        (None, Some(p)) => format!("confidence {p}"),
        (None, None) => "–".into(),
    }
}

pub(super) fn environment(environment: &Environment) -> Markup {
    let fact = |name: &str, value: String| html! { @if !value.is_empty() { div { dt { (name) } dd { (value) } } } };
    html! {
        dl.facts {
            (fact("processor", environment.cpu.clone()))
            (fact("threads", format!("{} of {}", environment.threads, environment.cores)))
            (fact("system", environment.system.clone()))
            (fact("compiler", environment.rustc.clone()))
            (fact("profile", environment.profile.clone()))
            (fact("seed", environment.seed.to_string()))
            @for (name, version) in &environment.peers { (fact(name, version.clone())) }
        }
    }
}

//! The page: a summary first, then one section an experiment.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format::{headline, ratio, seconds};
use super::{figures, parts};
use crate::results::{Environment, Experiment, Outcome, Results};

const STYLE: &str = include_str!("style.css");

/// The whole report as one HTML file. The same results give the same bytes.
pub fn render(results: &Results) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Certus: experiments" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.top { (top(results)) }
                main {
                    (summary(results))
                    @for experiment in &results.experiments { (section(experiment)) }
                }
                footer {
                    p {
                        "Times are medians of repeated runs after a warm-up, with the median absolute deviation (MAD). A ratio is a peer's median over ours "
                        "on the same inputs in the same run: above 1 we are faster. A wrong answer fails, however fast."
                    }
                }
            }
        }
    };
    page.into_string()
}

fn top(results: &Results) -> Markup {
    let count = |outcome: Outcome| results.experiments.iter().filter(|experiment| experiment.outcome() == outcome).count();
    html! {
        p.brand { "Certus" }
        h1 { "What was claimed, and what was measured" }
        @if let Some(environment) = results.experiments.first().map(|experiment| &experiment.environment) {
            p.muted { (machine(environment)) }
        }
        ul.tally {
            @for outcome in [Outcome::Met, Outcome::Missed, Outcome::Failed, Outcome::Open] {
                @if count(outcome) > 0 { li { (parts::pill(outcome)) " " span.num { (count(outcome)) } } }
            }
        }
        @if results.quick {
            p.notice { strong { "A quick run. " } "Sizes are small, and the build may be unoptimised: it shows that everything works, and says little about speed." }
        }
    }
}

fn machine(environment: &Environment) -> String {
    let threads = if environment.threads == 1 { "1 thread".into() } else { format!("{} threads", environment.threads) };
    format!("{}, {threads}, {}, profile {}", environment.cpu, environment.rustc, environment.profile)
}

fn summary(results: &Results) -> Markup {
    let columns = [("experiment", ""), ("outcome", ""), ("result", ""), ("time", "r")].map(|(label, class)| parts::Column { label, class });
    let rows = results.experiments.iter().map(|experiment| {
        let name = html! { a href=(format!("#{}", anchor(experiment))) { (experiment.title) } span.q { (experiment.question) } };
        (
            "",
            vec![
                name,
                parts::pill(experiment.outcome()),
                html! { (headline(experiment)) },
                html! { span.nowrap { (seconds(experiment.seconds)) } },
            ],
        )
    });
    html! { div #summary { (parts::table(html! { "Summary" }, &columns, rows.collect())) } }
}

/// An experiment's name as a fragment: letters, digits and underscores only.
fn anchor(experiment: &Experiment) -> String {
    experiment.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn section(experiment: &Experiment) -> Markup {
    let failures = experiment.failures();
    html! {
        section.experiment id=(anchor(experiment)) {
            div.heading { h2 { (experiment.title) } (parts::pill(experiment.outcome())) }
            p.lead { (experiment.question) }
            (result(experiment))
            @if !failures.is_empty() { div.notice.failed { ul { @for failure in &failures { li { (failure) } } } } }
            div.stackgap {
                @if !experiment.claims.is_empty() { (parts::claims(experiment)) }
                @for comparison in &experiment.comparisons { (parts::comparison(comparison)) }
            }
            @if !experiment.plots.is_empty() || !experiment.scalings.is_empty() {
                div.figures {
                    @for plot in &experiment.plots { (figures::plot(plot)) }
                    @for scaling in &experiment.scalings { (figures::scaling(scaling)) }
                }
            }
            div.tables {
                @if !experiment.memory.is_empty() { (parts::memory(&experiment.memory)) }
                @for table in &experiment.tables { (parts::plain(table)) }
            }
            @if !experiment.certificates.is_empty() {
                h3 { "Certificates" }
                @for certified in &experiment.certificates { (parts::certificate(certified)) }
            }
            @if !experiment.notes.is_empty() || !experiment.skipped.is_empty() {
                h3 { "Remarks" }
                ul {
                    @for note in &experiment.notes { li { (parts::prose(note)) } }
                    @for skipped in &experiment.skipped { li { strong { (skipped.peer) } " was skipped: " (skipped.reason) } }
                }
            }
            h3 { "Environment" }
            (parts::environment(&experiment.environment))
            p.small { a href="#summary" { "Back to the summary" } }
        }
    }
}

/// The result in large letters.
fn result(experiment: &Experiment) -> Markup {
    if let Some(words) = &experiment.headline {
        return html! { p.headline { (words) } };
    }
    let Some((comparison, peer, value)) = experiment.headline_ratio() else { return html! {} };
    let (word, value) = if value >= 1.0 { ("faster", value) } else { ("slower", 1.0 / value) };
    html! { p.headline { (ratio(value)) " " (word) " than " (peer.timing.name) " " small { (comparison.work) "; the strongest peer, medians of wall time" } } }
}

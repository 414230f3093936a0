//! Numbers as people read them: three digits and a unit.

use crate::results::Experiment;

/// A time.
pub(super) fn seconds(value: f64) -> String {
    match value {
        v if !v.is_finite() => "–".into(),
        v if v >= 99.95 => format!("{v:.0} s"),
        v if v >= 0.9995 => format!("{} s", digits(v)),
        v if v >= 0.9995e-3 => format!("{} ms", digits(v * 1e3)),
        v if v >= 0.9995e-6 => format!("{} µs", digits(v * 1e6)),
        v => format!("{} ns", digits(v * 1e9)),
    }
}

/// An amount of memory.
pub(super) fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        v if v < 1024.0 => format!("{v} B"),
        v if v < 1023.95 * 1024.0 => format!("{} KiB", digits(v / 1024.0)),
        v if v < 1023.95 * 1_048_576.0 => format!("{} MiB", digits(v / 1_048_576.0)),
        v => format!("{} GiB", digits(v / 1_073_741_824.0)),
    }
}

/// A ratio: `5.2×`.
pub(super) fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{}×", digits(value)) } else { "–".into() }
}

/// A quantity of any size: plain where that is short, else with an exponent.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(v) if v.is_nan() => "none".into(),
        Some(0.0) => "0".into(),
        Some(v) if (1e-3..1e5).contains(&v.abs()) => {
            let text = format!("{v:.5}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Some(v) => format!("{v:.2e}").replace(".00e", "e"),
    }
}

/// Three digits.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.0095 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

/// A power of ten: `10⁻³`.
pub(super) fn power(exponent: i32) -> String {
    let superscript = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁰' as u32 + (digit as u32 - '0' as u32)).unwrap_or(digit),
    };
    format!("10{}", exponent.to_string().chars().map(superscript).collect::<String>())
}

/// The result of an experiment in a few words.
pub(super) fn headline(experiment: &Experiment) -> String {
    match (&experiment.headline, experiment.headline_ratio()) {
        (Some(words), _) => words.clone(),
        (None, Some((comparison, peer, value))) => {
            let (word, value) = if value >= 1.0 { ("faster", value) } else { ("slower", 1.0 / value) };
            format!("{} {word} than {} ({})", ratio(value), peer.timing.name, comparison.work)
        }
        (None, None) => String::new(),
    }
}

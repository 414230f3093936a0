//! clap's usage errors as [`CliError`]s, for `--json`.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::CliError;

/// The one-sentence form of a usage error.
pub(crate) fn explain(error: &clap::Error) -> CliError {
    let without_value = matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty());
    let kind = match error.kind() {
        ErrorKind::ValueValidation => "InvalidParameter",
        ErrorKind::InvalidValue if !without_value => "InvalidParameter",
        _ => "Usage",
    };
    let text = error.render().to_string();
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a system and a verb are needed".to_owned(),
        _ => first_paragraph(&text),
    };
    CliError::new(kind, message, hint(&text))
}

fn first_paragraph(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect::<Vec<_>>();
    let paragraph = lines.join(" ");
    paragraph.strip_prefix("error: ").unwrap_or(&paragraph).to_owned()
}

fn hint(text: &str) -> String {
    let line_after = |prefix: &str| text.lines().find_map(|line| line.trim().strip_prefix(prefix));
    match (line_after("tip: "), line_after("Usage: ")) {
        (Some(tip), _) => format!("Note: {tip}."),
        (None, Some(usage)) => format!("Usage: {usage}"),
        (None, None) => "Add --help to see what is possible.".into(),
    }
}

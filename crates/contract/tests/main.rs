//! The contract's rules: verdicts, bases, relations, JSON, text, input errors, statuses.

mod bases;
mod events;
mod input_errors;
#[cfg(feature = "serde")]
mod json;
mod text;
mod verdicts;

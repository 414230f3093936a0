//! What every Certus system keeps with its callers.
//!
//! * In: a bad input is an [`InputError`] that says what was wrong, where, and what would be right.
//! * During: a running solver shows an [`Event`] to its observer, which may stop it ([`ControlFlow`](std::ops::ControlFlow)).
//! * Out: an answer has a [`Status`] and a [`Certificate`]: the theorem's assumptions evaluated on the user's data, the
//!   bound that it promises, and what was measured.
//!
//! ```
//! use certus_contract::{Certificate, Check, Claim, Verdict};
//!
//! let claim = Claim::new("Pythagoras", "Elements, book I, proposition 47")
//!     .assumes(Check::le("right_angle", "|cos of the angle| <= 1e-15", 0.0, 1e-15))
//!     .guarantees(Check::le("hypotenuse", "c <= sqrt(a^2 + b^2)", 5.0, 5.0));
//! let certificate = Certificate::new([claim]);
//! assert_eq!(certificate.verdict(), Verdict::Holds);
//! println!("{certificate}");
//! ```
//!
//! The crate depends on nothing else of Certus. Feature `serde` (default): `Serialize` and `Deserialize` in the form that
//! the `certus` command prints. Numbers are `f64`; a quantity that does not exist is `null`, never NaN.
#![forbid(unsafe_code)]

mod certificate;
mod check;
mod display;
mod event;
mod input_error;
#[cfg(feature = "serde")]
mod json;

pub use certificate::{Certificate, Claim, Verdict};
pub use check::{Basis, Check, Relation};
pub use event::{Event, Observer, Status, ignore_events};
pub use input_error::{InputError, Position, require_finite, require_length, require_positive};

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Keeps the code of the guide compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/certificates.md")]
struct Guide;

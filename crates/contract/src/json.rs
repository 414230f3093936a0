//! The JSON form of checks, claims and certificates: derived facts (`holds`, `verdict`, `basis`) are written beside the
//! data, and a number that JSON cannot hold is `null`.

use std::borrow::Cow;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::certificate::{Certificate, Claim, Verdict};
use crate::check::{Basis, Check, Relation};

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

/// A probability, `null` where it does not exist.
pub(crate) mod probability {
    use super::{Deserialize, Deserializer, Serialize, Serializer, finite};

    pub(crate) fn serialize<S: Serializer>(p: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        finite(Some(*p)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("Check", 8)?;
        s.serialize_field("name", &self.name)?;
        s.serialize_field("statement", &self.statement)?;
        s.serialize_field("measured", &finite(self.measured))?;
        s.serialize_field("relation", &self.relation)?;
        s.serialize_field("limit", &finite(self.limit))?;
        s.serialize_field("trivial", &finite(self.trivial))?;
        s.serialize_field("holds", &self.holds())?;
        s.serialize_field("basis", &self.basis)?;
        s.end()
    }
}

impl Check {
    /// Makes a guarantee say nothing, where a `null` can be the reason.
    fn hide_information(&mut self) {
        match (self.limit, self.trivial) {
            (None, _) if self.is_informative() => self.limit = Some(f64::INFINITY),
            (Some(_), None) => self.trivial = Some(f64::NAN),
            _ => {}
        }
    }
}

#[derive(Deserialize)]
struct CheckData {
    name: Cow<'static, str>,
    statement: Cow<'static, str>,
    measured: Option<f64>,
    relation: Relation,
    limit: Option<f64>,
    trivial: Option<f64>,
    holds: Option<bool>,
    basis: Basis,
}

impl<'de> Deserialize<'de> for Check {
    /// A `null` that stands for NaN or infinity is recovered from `holds`, as far as the verdict needs it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let d = CheckData::deserialize(deserializer)?;
        let upper = matches!(d.relation, Relation::Le | Relation::Lt);
        let large = if upper { f64::INFINITY } else { f64::NEG_INFINITY };
        let (measured, limit) = match (d.holds, d.measured, d.limit) {
            (Some(false), None, limit) => (Some(f64::NAN), limit),
            (Some(false), measured, None) => (measured, Some(f64::NAN)),
            (Some(true), Some(measured), None) => (Some(measured), Some(large)),
            // Equal to a number that JSON cannot hold: both are the same infinity.
            (Some(true), None, None) if d.relation == Relation::Eq => (Some(large), Some(large)),
            (Some(true), None, limit) => (Some(-large), Some(limit.unwrap_or(large))),
            (_, measured, limit) => (measured, limit),
        };
        Ok(Check { name: d.name, statement: d.statement, measured, relation: d.relation, limit, trivial: d.trivial, basis: d.basis })
    }
}

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("Claim", 6)?;
        s.serialize_field("theorem", &self.theorem)?;
        s.serialize_field("source", &self.source)?;
        s.serialize_field("verdict", &self.verdict())?;
        s.serialize_field("basis", &self.basis())?;
        s.serialize_field("assumptions", &self.assumptions)?;
        s.serialize_field("guarantees", &self.guarantees)?;
        s.end()
    }
}

impl<'de> Deserialize<'de> for Claim {
    /// The verdict follows from the checks, and is read only to recover what a `null` hid: a guarantee that said nothing
    /// because its limit or trivial value was infinite or NaN must not seem to say something.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Data {
            theorem: Cow<'static, str>,
            source: Cow<'static, str>,
            verdict: Option<Verdict>,
            assumptions: Vec<Check>,
            guarantees: Vec<Check>,
        }
        let d = Data::deserialize(deserializer)?;
        let mut claim = Claim { theorem: d.theorem, source: d.source, assumptions: d.assumptions, guarantees: d.guarantees };
        if d.verdict == Some(Verdict::Vacuous) && claim.verdict() == Verdict::Holds {
            claim.guarantees.iter_mut().for_each(Check::hide_information);
        }
        Ok(claim)
    }
}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("Certificate", 2)?;
        s.serialize_field("verdict", &self.verdict())?;
        s.serialize_field("claims", &self.claims)?;
        s.end()
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Data {
            claims: Vec<Claim>,
        }
        Ok(Certificate { claims: Data::deserialize(deserializer)?.claims })
    }
}

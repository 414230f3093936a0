//! One measured quantity against one limit.

use std::borrow::Cow;
use std::fmt;

/// How a quantity is known.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Basis {
    /// Computed exactly, up to the rounding of a backward stable evaluation.
    Exact,
    /// Rounded outwards: the true quantity is on the safe side.
    Bounded,
    /// True with this probability over the algorithm's own randomness, in (0, 1).
    WithConfidence(#[cfg_attr(feature = "serde", serde(with = "crate::json::probability"))] f64),
    /// An estimate without a proven error.
    Estimated,
    /// The algorithm makes it so (by clipping, projecting or refusing).
    Enforced,
    /// The caller says so; it was not measured.
    Declared,
    /// Supported by theory or experience that is not a proof.
    Conjectured,
}

impl Basis {
    /// Whether a violated guarantee on this basis can only be a bug in the code or in the theorem, not bad luck.
    pub fn is_certain(self) -> bool {
        matches!(self, Basis::Exact | Basis::Bounded | Basis::Enforced)
    }

    /// The weaker of two: exact, enforced, bounded, with confidence (the lower is weaker), estimated, declared, conjectured.
    pub fn weaker(self, other: Basis) -> Basis {
        if self.weakness() >= other.weakness() { self } else { other }
    }

    fn weakness(self) -> (u8, f64) {
        match self {
            Basis::Exact => (0, 0.0),
            Basis::Enforced => (1, 0.0),
            Basis::Bounded => (2, 0.0),
            // A probability that does not exist promises nothing: the weakest of its kind.
            Basis::WithConfidence(p) => (3, if p.is_nan() { f64::INFINITY } else { -p }),
            Basis::Estimated => (4, 0.0),
            Basis::Declared => (5, 0.0),
            Basis::Conjectured => (6, 0.0),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Basis::Exact => f.pad("exact"),
            Basis::Bounded => f.pad("bounded"),
            Basis::WithConfidence(p) => f.pad(&format!("confidence {p}")),
            Basis::Estimated => f.pad("estimated"),
            Basis::Enforced => f.pad("enforced"),
            Basis::Declared => f.pad("declared"),
            Basis::Conjectured => f.pad("conjectured"),
        }
    }
}

/// How the measured quantity must stand to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Relation {
    /// At most.
    #[cfg_attr(feature = "serde", serde(rename = "<="))]
    Le,
    /// Below.
    #[cfg_attr(feature = "serde", serde(rename = "<"))]
    Lt,
    /// At least.
    #[cfg_attr(feature = "serde", serde(rename = ">="))]
    Ge,
    /// Above.
    #[cfg_attr(feature = "serde", serde(rename = ">"))]
    Gt,
    /// Equal, to the bit.
    #[cfg_attr(feature = "serde", serde(rename = "="))]
    Eq,
}

impl Relation {
    /// Whether `left` stands so to `right`; false if either is NaN.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Relation::Le => left <= right,
            Relation::Lt => left < right,
            Relation::Ge => left >= right,
            Relation::Gt => left > right,
            Relation::Eq => left == right,
        }
    }

    /// Whether a bound by `limit` says more than one by `trivial`; false if either is NaN.
    fn sharper(self, limit: f64, trivial: f64) -> bool {
        match self {
            Relation::Le | Relation::Lt => limit < trivial,
            Relation::Ge | Relation::Gt => limit > trivial,
            Relation::Eq => limit.partial_cmp(&trivial).is_some_and(|order| order.is_ne()),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Relation::Le => "<=",
            Relation::Lt => "<",
            Relation::Ge => ">=",
            Relation::Gt => ">",
            Relation::Eq => "=",
        })
    }
}

/// One measured quantity against one limit: an assumption of a theorem, or one of its guarantees.
///
/// ```
/// use certus_contract::{Basis, Check};
/// let check = Check::le("distortion", "largest relative change of a norm <= epsilon", 0.21, 0.5).trivial(1.0).basis(Basis::Estimated);
/// assert_eq!(check.holds(), Some(true));
/// assert!(check.is_informative());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// A short name in `snake_case`, unique in its claim.
    pub name: Cow<'static, str>,
    /// The statement in words and symbols, readable without the paper.
    pub statement: Cow<'static, str>,
    /// What was measured; `None` if it was not, NaN if it does not exist.
    pub measured: Option<f64>,
    /// How the measured quantity must stand to the limit.
    pub relation: Relation,
    /// The limit; `None` if nothing is proven here.
    pub limit: Option<f64>,
    /// The value of the limit that would say nothing, where it is known: a bound of 2 on a distance of distributions.
    pub trivial: Option<f64>,
    /// How the quantities are known.
    pub basis: Basis,
}

impl Check {
    /// A check with basis [`Basis::Exact`] and no known trivial value.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        statement: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<f64>>,
        relation: Relation,
        limit: impl Into<Option<f64>>,
    ) -> Self {
        Check {
            name: name.into(),
            statement: statement.into(),
            measured: measured.into(),
            relation,
            limit: limit.into(),
            trivial: None,
            basis: Basis::Exact,
        }
    }

    /// `measured <= limit`.
    pub fn le(
        name: impl Into<Cow<'static, str>>,
        statement: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<f64>>,
        limit: impl Into<Option<f64>>,
    ) -> Self {
        Check::new(name, statement, measured, Relation::Le, limit)
    }

    /// `measured < limit`.
    pub fn lt(
        name: impl Into<Cow<'static, str>>,
        statement: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<f64>>,
        limit: impl Into<Option<f64>>,
    ) -> Self {
        Check::new(name, statement, measured, Relation::Lt, limit)
    }

    /// `measured >= limit`.
    pub fn ge(
        name: impl Into<Cow<'static, str>>,
        statement: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<f64>>,
        limit: impl Into<Option<f64>>,
    ) -> Self {
        Check::new(name, statement, measured, Relation::Ge, limit)
    }

    /// `measured > limit`.
    pub fn gt(
        name: impl Into<Cow<'static, str>>,
        statement: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<f64>>,
        limit: impl Into<Option<f64>>,
    ) -> Self {
        Check::new(name, statement, measured, Relation::Gt, limit)
    }

    /// `measured == limit`, to the bit.
    pub fn eq(
        name: impl Into<Cow<'static, str>>,
        statement: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<f64>>,
        limit: impl Into<Option<f64>>,
    ) -> Self {
        Check::new(name, statement, measured, Relation::Eq, limit)
    }

    /// An assumption that the algorithm makes true; nothing is measured.
    pub fn enforced(name: impl Into<Cow<'static, str>>, statement: impl Into<Cow<'static, str>>) -> Self {
        Check::new(name, statement, None, Relation::Eq, None).basis(Basis::Enforced)
    }

    /// An assumption that the caller answers for; nothing is measured.
    pub fn declared(name: impl Into<Cow<'static, str>>, statement: impl Into<Cow<'static, str>>) -> Self {
        Check::new(name, statement, None, Relation::Eq, None).basis(Basis::Declared)
    }

    /// The same check, with the value of the limit that would say nothing.
    pub fn trivial(self, trivial: impl Into<Option<f64>>) -> Self {
        Check { trivial: trivial.into(), ..self }
    }

    /// The same check on another basis.
    pub fn basis(self, basis: Basis) -> Self {
        Check { basis, ..self }
    }

    /// The same check with basis [`Basis::Bounded`]: rounded outwards.
    pub fn bounded(self) -> Self {
        self.basis(Basis::Bounded)
    }

    /// The same check with basis [`Basis::Estimated`].
    pub fn estimated(self) -> Self {
        self.basis(Basis::Estimated)
    }

    /// Whether the measured quantity stands so to the limit; `None` if it was not measured or there is no limit.
    /// A NaN on either side is `Some(false)`.
    pub fn holds(&self) -> Option<bool> {
        match (self.measured, self.limit) {
            (Some(measured), Some(limit)) => Some(self.relation.holds(measured, limit)),
            (Some(lonely), None) | (None, Some(lonely)) if lonely.is_nan() => Some(false),
            _ => None,
        }
    }

    /// Whether the check, as an assumption, is met: it holds, or it was not measured and is enforced or declared.
    pub fn is_met_as_assumption(&self) -> bool {
        self.holds().unwrap_or(matches!(self.basis, Basis::Enforced | Basis::Declared))
    }

    /// Whether the check, as a guarantee, was seen to fail. What was not measured was not seen to fail.
    pub fn is_violated(&self) -> bool {
        self.holds() == Some(false)
    }

    /// Whether the check, as a guarantee, says more than nothing: it has a limit, and one that is better than the trivial
    /// value where that is known. An infinite limit says nothing.
    pub fn is_informative(&self) -> bool {
        match (self.limit, self.trivial) {
            (Some(limit), Some(trivial)) => limit.is_finite() && self.relation.sharper(limit, trivial),
            (Some(limit), None) => limit.is_finite(),
            (None, _) => self.basis == Basis::Enforced && self.measured.is_none(),
        }
    }
}

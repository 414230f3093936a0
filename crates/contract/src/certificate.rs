//! Claims and certificates, and the rules of their verdicts.

use std::borrow::Cow;
use std::fmt;

use crate::check::{Basis, Check};

/// What may be believed of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Verdict {
    /// The theorem applies, nothing measured contradicts it, and it says more than nothing.
    Holds,
    /// The theorem applies, but no bound is better than its trivial value.
    Vacuous,
    /// An assumption fails, so the theorem promises nothing here.
    NotApplicable,
    /// The assumptions hold and a guarantee does not: a bug in code or theorem, or bad luck where the basis is not certain.
    Violated,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Holds => "holds",
            Verdict::Vacuous => "vacuous",
            Verdict::NotApplicable => "not_applicable",
            Verdict::Violated => "violated",
        })
    }
}

/// One theorem, evaluated on the user's data.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Its name: `"Newton-Kantorovich"`.
    pub theorem: Cow<'static, str>,
    /// Where it is proven.
    pub source: Cow<'static, str>,
    /// What it needs.
    pub assumptions: Vec<Check>,
    /// What it promises.
    pub guarantees: Vec<Check>,
}

impl Claim {
    /// A claim with no checks yet.
    pub fn new(theorem: impl Into<Cow<'static, str>>, source: impl Into<Cow<'static, str>>) -> Self {
        Claim { theorem: theorem.into(), source: source.into(), assumptions: Vec::new(), guarantees: Vec::new() }
    }

    /// The same claim with one more assumption.
    pub fn assumes(mut self, check: Check) -> Self {
        self.assumptions.push(check);
        self
    }

    /// The same claim with one more guarantee.
    pub fn guarantees(mut self, check: Check) -> Self {
        self.guarantees.push(check);
        self
    }

    /// The verdict by the rules of [`Verdict`].
    ///
    /// An assumption that was not measured is met only if it is enforced or declared. A guarantee that was not measured
    /// cannot be violated: it is what the theorem promises.
    pub fn verdict(&self) -> Verdict {
        if !self.assumptions.iter().all(Check::is_met_as_assumption) {
            Verdict::NotApplicable
        } else if self.guarantees.iter().any(Check::is_violated) {
            Verdict::Violated
        } else if self.guarantees.iter().any(Check::is_informative) {
            Verdict::Holds
        } else {
            Verdict::Vacuous
        }
    }

    /// The weakest basis of all its checks: what the verdict rests on.
    pub fn basis(&self) -> Basis {
        self.assumptions.iter().chain(&self.guarantees).fold(Basis::Exact, |basis, check| basis.weaker(check.basis))
    }
}

/// The claims that come with an answer. The first is the principal one: what a user most wants to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    /// The principal claim, then the others.
    pub claims: Vec<Claim>,
}

impl Certificate {
    /// A certificate of these claims, the principal one first.
    pub fn new(claims: impl IntoIterator<Item = Claim>) -> Self {
        Certificate { claims: claims.into_iter().collect() }
    }

    /// The principal claim.
    pub fn principal(&self) -> Option<&Claim> {
        self.claims.first()
    }

    /// [`Verdict::Violated`] if any claim is, else the principal claim's; [`Verdict::NotApplicable`] if there is no claim.
    pub fn verdict(&self) -> Verdict {
        if self.claims.iter().any(|claim| claim.verdict() == Verdict::Violated) {
            return Verdict::Violated;
        }
        self.principal().map_or(Verdict::NotApplicable, Claim::verdict)
    }
}

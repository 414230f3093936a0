//! The JSON form: keys, order, nulls, and verdicts that survive the round trip.

use certus_contract::{Basis, Certificate, Check, Claim, Relation, Verdict};
use proptest::prelude::*;

use crate::verdicts::{assumptions, expected, guarantees};

fn json(certificate: &Certificate) -> String {
    serde_json::to_string(certificate).unwrap()
}

fn read(json: &str) -> Certificate {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_shape_is_the_documented_one() {
    let claim = Claim::new("Theorem", "Book, p. 1")
        .assumes(Check::lt("small", "x < 1", 0.5, 1.0).bounded())
        .assumes(Check::enforced("clipped", "|x| <= 1"))
        .guarantees(Check::ge("large", "y >= 2", 1e300, f64::INFINITY).trivial(0.25).basis(Basis::WithConfidence(0.99)))
        .guarantees(Check::eq("same", "z = 0", f64::NAN, -0.0));
    let expected = concat!(
        r#"{"verdict":"violated","claims":[{"theorem":"Theorem","source":"Book, p. 1","verdict":"violated","basis":{"with_confidence":0.99},"#,
        r#""assumptions":[{"name":"small","statement":"x < 1","measured":0.5,"relation":"<","limit":1.0,"trivial":null,"holds":true,"basis":"bounded"},"#,
        r#"{"name":"clipped","statement":"|x| <= 1","measured":null,"relation":"=","limit":null,"trivial":null,"holds":null,"basis":"enforced"}],"#,
        r#""guarantees":[{"name":"large","statement":"y >= 2","measured":1e+300,"relation":">=","limit":null,"trivial":0.25,"holds":false,"basis":{"with_confidence":0.99}},"#,
        r#"{"name":"same","statement":"z = 0","measured":null,"relation":"=","limit":-0.0,"trivial":null,"holds":false,"basis":"exact"}]}]}"#,
    );
    assert_eq!(json(&Certificate::new([claim])), expected);
    assert_eq!(json(&Certificate::default()), r#"{"verdict":"not_applicable","claims":[]}"#);
}

#[test]
fn relations_bases_and_verdicts_have_their_names() {
    let text = |value: serde_json::Value| value.to_string();
    for (relation, name) in [(Relation::Le, "<="), (Relation::Lt, "<"), (Relation::Ge, ">="), (Relation::Gt, ">"), (Relation::Eq, "=")] {
        assert_eq!(text(serde_json::to_value(relation).unwrap()), format!("{name:?}"));
        assert_eq!(relation.to_string(), name);
    }
    for basis in [Basis::Exact, Basis::Bounded, Basis::Estimated, Basis::Enforced, Basis::Declared, Basis::Conjectured] {
        assert_eq!(text(serde_json::to_value(basis).unwrap()), format!("\"{basis}\""));
    }
    for verdict in [Verdict::Holds, Verdict::Vacuous, Verdict::NotApplicable, Verdict::Violated] {
        assert_eq!(text(serde_json::to_value(verdict).unwrap()), format!("\"{verdict}\""));
    }
}

#[test]
fn every_combination_keeps_its_verdict() {
    let guarantees = guarantees();
    for (a, need) in &assumptions() {
        for (g, promise) in &guarantees {
            let certificate = Certificate::new([Claim::new("T", "S").assumes(a.clone()).guarantees(g.clone())]);
            let json = json(&certificate);
            let back = read(&json);
            assert_eq!(back.verdict(), expected(&[*need], &[*promise]), "{json}");
            assert_eq!(serde_json::to_string(&back).unwrap(), json);
        }
    }
}

#[test]
fn a_file_of_another_program_may_leave_out_what_follows_from_the_rest() {
    let text = r#"{"claims":[{"theorem":"T","source":"S","assumptions":[],"guarantees":[
        {"name":"n","statement":"s","measured":1,"relation":"<=","limit":2,"basis":"exact"}]}]}"#;
    assert_eq!(read(text).verdict(), Verdict::Holds);
}

#[test]
fn a_verdict_in_a_file_cannot_make_a_failed_check_hold() {
    let failed = Certificate::new([Claim::new("T", "S").guarantees(Check::le("n", "s", 3.0, 2.0))]);
    let forged = json(&failed).replace("violated", "holds").replace("false", "true");
    assert_eq!(read(&forged).verdict(), Verdict::Violated);
}

#[test]
fn unknown_relations_and_bases_are_refused() {
    let good = json(&Certificate::new([Claim::new("T", "S").guarantees(Check::le("n", "s", 3.0, 2.0))]));
    for bad in [good.replace("<=", "=<"), good.replace("exact", "certain"), good.replace("\"claims\"", "\"claim\"")] {
        assert!(serde_json::from_str::<Certificate>(&bad).is_err(), "{bad}");
    }
}

fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(f64::INFINITY)),
        1 => Just(Some(f64::NEG_INFINITY)),
        3 => prop::sample::select(vec![0.0, -0.0, 1.0, 2.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324]).prop_map(Some),
        3 => any::<f64>().prop_map(Some),
    ]
}

fn check() -> impl Strategy<Value = Check> {
    let relation = prop::sample::select(vec![Relation::Le, Relation::Lt, Relation::Ge, Relation::Gt, Relation::Eq]);
    let basis = prop_oneof![
        prop::sample::select(vec![Basis::Exact, Basis::Bounded, Basis::Estimated, Basis::Enforced, Basis::Declared, Basis::Conjectured]),
        any::<f64>().prop_map(Basis::WithConfidence),
    ];
    let name = "[a-z_]{1,12}";
    (name, any::<String>(), value(), relation, value(), value(), basis).prop_map(
        |(name, statement, measured, relation, limit, trivial, basis)| {
            Check::new(name, statement, measured, relation, limit).trivial(trivial).basis(basis)
        },
    )
}

fn claim() -> impl Strategy<Value = Claim> {
    let checks = || prop::collection::vec(check(), 0..3);
    (any::<String>(), any::<String>(), checks(), checks()).prop_map(|(theorem, source, assumptions, guarantees)| Claim {
        theorem: theorem.into(),
        source: source.into(),
        assumptions,
        guarantees,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn writing_and_reading_loses_no_verdict_and_no_finite_number(claims in prop::collection::vec(claim(), 0..4)) {
        let certificate = Certificate::new(claims);
        let text = json(&certificate);
        let back = read(&text);
        prop_assert_eq!(back.verdict(), certificate.verdict());
        prop_assert_eq!(back.claims.len(), certificate.claims.len());
        for (b, c) in back.claims.iter().zip(&certificate.claims) {
            prop_assert_eq!(b.verdict(), c.verdict());
            for (b, c) in b.assumptions.iter().chain(&b.guarantees).zip(c.assumptions.iter().chain(&c.guarantees)) {
                prop_assert_eq!(b.holds(), c.holds());
                prop_assert_eq!((&b.name, &b.statement, b.relation), (&c.name, &c.statement, c.relation));
                for (b, c) in [(b.measured, c.measured), (b.limit, c.limit), (b.trivial, c.trivial)] {
                    if let Some(c) = c.filter(|c| c.is_finite()) {
                        prop_assert_eq!(b.map(f64::to_bits), Some(c.to_bits()));
                    }
                }
            }
        }
        prop_assert_eq!(json(&back), text);
    }
}

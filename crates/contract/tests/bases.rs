//! The order of bases, and the relations at their ends.

use certus_contract::{Basis, Check, Claim, Relation};

use crate::verdicts::BASES;

/// Strongest first.
const ORDER: [Basis; 10] = [
    Basis::Exact,
    Basis::Enforced,
    Basis::Bounded,
    Basis::WithConfidence(1.0 - 1e-15),
    Basis::WithConfidence(0.99),
    Basis::WithConfidence(0.5),
    Basis::WithConfidence(f64::NAN),
    Basis::Estimated,
    Basis::Declared,
    Basis::Conjectured,
];

#[test]
fn of_two_bases_the_weaker_one_counts_in_either_order() {
    for i in 0..ORDER.len() {
        for j in i..ORDER.len() {
            // By text, since NaN is not equal to itself.
            let weaker = ORDER[j].to_string();
            assert_eq!(ORDER[i].weaker(ORDER[j]).to_string(), weaker, "{} and {}", ORDER[i], ORDER[j]);
            assert_eq!(ORDER[j].weaker(ORDER[i]).to_string(), weaker, "{} and {}", ORDER[j], ORDER[i]);
        }
    }
}

#[test]
fn a_claim_rests_on_the_weakest_basis_of_its_assumptions_and_guarantees() {
    let check = |basis| Check::le("c", "c <= 2", 1.0, 2.0).basis(basis);
    assert_eq!(Claim::new("T", "S").basis(), Basis::Exact);
    for (i, &a) in ORDER.iter().enumerate() {
        for (j, &g) in ORDER.iter().enumerate() {
            let claim = Claim::new("T", "S").assumes(check(a)).guarantees(check(Basis::Exact)).guarantees(check(g));
            assert_eq!(claim.basis().to_string(), ORDER[i.max(j)].to_string());
        }
    }
}

#[test]
fn only_exact_bounded_and_enforced_are_certain() {
    for basis in BASES {
        assert_eq!(basis.is_certain(), ["exact", "bounded", "enforced"].contains(&basis.to_string().as_str()), "{basis}");
    }
}

#[test]
fn relations_at_equal_ends_infinities_and_nan() {
    const INF: f64 = f64::INFINITY;
    //                    left  right  <=     <      >=     >      =
    let table = [
        (1.0, 2.0, [true, true, false, false, false]),
        (2.0, 1.0, [false, false, true, true, false]),
        (2.0, 2.0, [true, false, true, false, true]),
        (0.0, -0.0, [true, false, true, false, true]),
        (INF, INF, [true, false, true, false, true]),
        (-INF, -INF, [true, false, true, false, true]),
        (-INF, INF, [true, true, false, false, false]),
        (1.0, INF, [true, true, false, false, false]),
        (1.0, -INF, [false, false, true, true, false]),
        (1.0, 1.0 + f64::EPSILON, [true, true, false, false, false]),
        (f64::NAN, 1.0, [false; 5]),
        (1.0, f64::NAN, [false; 5]),
        (f64::NAN, f64::NAN, [false; 5]),
    ];
    for (left, right, expected) in table {
        let relations = [Relation::Le, Relation::Lt, Relation::Ge, Relation::Gt, Relation::Eq];
        assert_eq!(relations.map(|relation| relation.holds(left, right)), expected, "{left} {right}");
    }
}

#[test]
fn a_limit_is_informative_on_the_better_side_of_its_trivial_value() {
    //           limit  trivial   <=     <      >=     >      =
    let table = [
        (1.0, 2.0, [true, true, false, false, true]),
        (2.0, 1.0, [false, false, true, true, true]),
        (2.0, 2.0, [false; 5]),
        (1.0, f64::NAN, [false; 5]),
        (1.0, f64::INFINITY, [true, true, false, false, true]),
        (1.0, f64::NEG_INFINITY, [false, false, true, true, true]),
        (f64::INFINITY, 1.0, [false; 5]),
        (f64::NEG_INFINITY, 1.0, [false; 5]),
        (f64::NAN, 1.0, [false; 5]),
    ];
    for (limit, trivial, expected) in table {
        let make = [Check::le, Check::lt, Check::ge, Check::gt, Check::eq];
        let informative = make.map(|make| make("c", "s", Some(1.0), Some(limit)).trivial(trivial).is_informative());
        assert_eq!(informative, expected, "{limit} {trivial}");
    }
}

#[test]
fn constructors_set_what_their_names_say() {
    let check = Check::le("name", "statement", 1.0, 2.0);
    assert_eq!((check.relation, check.basis, check.trivial), (Relation::Le, Basis::Exact, None));
    assert_eq!(Check::lt("c", "s", 1.0, 2.0).relation, Relation::Lt);
    assert_eq!(Check::ge("c", "s", 1.0, 2.0).relation, Relation::Ge);
    assert_eq!(Check::gt("c", "s", 1.0, 2.0).relation, Relation::Gt);
    assert_eq!(Check::eq("c", "s", 1.0, 2.0).relation, Relation::Eq);
    assert_eq!(check.clone().bounded().basis, Basis::Bounded);
    assert_eq!(check.clone().estimated().basis, Basis::Estimated);
    assert_eq!(check.trivial(None).trivial, None);
    for (check, basis) in [(Check::enforced("c", "s"), Basis::Enforced), (Check::declared("c", "s"), Basis::Declared)] {
        assert_eq!((check.measured, check.limit, check.basis, check.holds()), (None, None, basis, None));
        assert!(check.is_met_as_assumption());
    }
}

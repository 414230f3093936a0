//! The text of a certificate: aligned, and readable in 100 columns.

use certus_contract::{Basis, Certificate, Check, Claim};
use proptest::prelude::*;

fn least_squares() -> Certificate {
    Certificate::new([
        Claim::new("Forward error of least squares", "Wedin 1973; Higham, Accuracy and Stability, thm. 20.1")
            .assumes(Check::gt("full_rank", "smallest singular value of A > 0 beyond rounding", 0.0314159265, 1.2e-14).bounded())
            .assumes(Check::lt("perturbation", "condition number times backward error < 1", 4.2e-11, 1.0).estimated())
            .guarantees(Check::le("forward_error", "relative distance to the exact solution <= its bound", None, 3.1e-9).trivial(1.0)),
        Claim::new("Subspace embedding", "Cohen, Nelson and Woodruff 2016, with the failure probability that was asked for")
            .assumes(Check::enforced("oblivious", "the sketch was drawn without looking at A"))
            .assumes(Check::ge("sketch_rows", "rows of the sketch >= what the theorem asks for", 2048.0, 1_048_576.0))
            .guarantees(
                Check::le(
                    "distortion",
                    "largest relative change of the norm of a vector in the column space of A under the sketch, measured on an orthonormal basis, <= epsilon",
                    0.5000001,
                    0.5,
                )
                .trivial(1.0)
                .basis(Basis::WithConfidence(0.999)),
            ),
    ])
}

#[test]
fn a_certificate_of_two_claims() {
    let expected = "\
certificate: holds

Forward error of least squares: holds (estimated)
  Wedin 1973; Higham, Accuracy and Stability, thm. 20.1
  assumes                measured        limit  trivial  basis
    yes  full_rank       0.031416  >   1.2e-14        -  bounded
         smallest singular value of A > 0 beyond rounding
    yes  perturbation     4.2e-11  <         1        -  estimated
         condition number times backward error < 1
  promises
    -    forward_error          -  <=   3.1e-9        1  exact
         relative distance to the exact solution <= its bound

Subspace embedding: not_applicable (confidence 0.999)
  Cohen, Nelson and Woodruff 2016, with the failure probability that was asked for
  assumes
    yes  oblivious              -            -        -  enforced
         the sketch was drawn without looking at A
    NO   sketch_rows         2048  >=  1048576        -  exact
         rows of the sketch >= what the theorem asks for
  promises
    NO   distortion     0.5000001  <=      0.5        1  confidence 0.999
         largest relative change of the norm of a vector in the column space of A under the sketch,
         measured on an orthonormal basis, <= epsilon";
    let text = least_squares().to_string();
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_claim_alone_leaves_out_the_trivial_column_where_nothing_is_trivial() {
    let claim = Claim::new("Pythagoras", "")
        .assumes(Check::le("right_angle", "|cos| <= 1e-15", f64::NAN, 1e-15))
        .assumes(Check::le("flat", "the plane is flat", None, 0.0))
        .guarantees(Check::eq("hypotenuse", "c^2 = a^2 + b^2", 25.0, 25.0));
    let expected = "\
Pythagoras: not_applicable (exact)
  assumes             measured      limit  basis
    NO   right_angle      none  <=  1e-15  exact
         |cos| <= 1e-15
    ?    flat                -  <=      0  exact
         the plane is flat
  promises
    yes  hypotenuse         25  =      25  exact
         c^2 = a^2 + b^2";
    assert_eq!(claim.to_string(), expected, "\n{claim}");
}

#[test]
fn certificates_and_claims_without_checks_are_short() {
    assert_eq!(Certificate::default().to_string(), "certificate: not_applicable");
    assert_eq!(Claim::new("T", "S").to_string(), "T: vacuous (exact)\n  S");
}

#[test]
fn numbers_are_short_and_whole_ones_are_full() {
    let table = [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-65536.0, "-65536"),
        (999_999_999.0, "999999999"),
        (1e9, "1e9"),
        (2f64.sqrt(), "1.4142"),
        (-0.001234567, "-0.0012346"),
        (0.000999, "9.99e-4"),
        (12345.678, "12346"),
        (99999.96, "100000"),
        (-1.23456e-100, "-1.235e-100"),
        (f64::MAX, "1.798e308"),
        (5e-324, "4.941e-324"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "none"),
    ];
    for (value, text) in table {
        let claim = Claim::new("T", "").guarantees(Check::le("c", "", value, None)).to_string();
        let row = claim.lines().last().unwrap();
        assert_eq!(row.split_whitespace().nth(2), Some(text), "{row}");
    }
}

#[test]
fn numbers_that_look_alike_are_shown_in_full_when_they_differ() {
    let check = |measured, limit| Claim::new("T", "S").guarantees(Check::le("c", "c <= 1", measured, limit)).to_string();
    assert!(check(1.0 + 1e-9, 1.0).contains(" 1.000000001  <=    1.0"), "{}", check(1.0 + 1e-9, 1.0));
    assert!(check(1.0, 1.0).contains(" 1  <=      1"), "{}", check(1.0, 1.0));
}

/// The column where each heading ends (numbers are set right) or starts (bases are set left).
fn columns(line: &str) -> (usize, usize, usize, usize) {
    let end = |word: &str| line.find(word).unwrap() + word.len();
    (end("measured"), end("limit"), end("trivial"), line.find("basis").unwrap())
}

proptest! {
    #[test]
    fn columns_are_aligned_and_lines_fit(
        checks in prop::collection::vec(("[a-z_]{1,30}", prop::collection::vec("[a-z<=]{1,20}", 1..40), any::<f64>(), any::<f64>()), 1..6),
        theorem in "[A-Z][a-z]{1,8}( [a-z]{1,8}){0,30}",
    ) {
        let claim = checks.iter().fold(Claim::new(theorem, "S"), |claim, (name, words, measured, limit)| {
            let check = Check::le(name.clone(), words.join(" "), *measured, *limit).trivial(1.0);
            claim.assumes(check.clone()).guarantees(check)
        });
        let text = Certificate::new([claim.clone(), claim]).to_string();
        let heading = text.lines().find(|line| line.starts_with("  assumes ")).unwrap();
        prop_assert_eq!(text.matches("measured ").count(), 1, "{}", text);
        let (measured, limit, trivial, basis) = columns(heading);
        let rows = text.lines().filter(|line| line.starts_with("    yes  ") || line.starts_with("    NO   ")).collect::<Vec<_>>();
        prop_assert_eq!(rows.len(), 4 * checks.len());
        for row in rows {
            for end in [measured, limit, trivial] {
                prop_assert!(!row[end - 1..end].trim().is_empty() && row[end..=end].trim().is_empty(), "{}\n{}", heading, row);
            }
            prop_assert_eq!(&row[basis..], "exact");
        }
        prop_assert!(text.lines().all(|line| line.len() <= 100 && line.trim_end() == line), "{}", text);
    }
}

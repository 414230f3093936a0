//! The report of two rich experiments: well formed, self-contained, escaped, deterministic, and complete.

use std::path::Path;

use xtask::report::{read, render, summary};
use xtask::results::{Experiment, Outcome, Results, SCHEMA};

fn sample() -> Results {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/results.json")).unwrap()
}

/// Elements without an end tag.
const VOID: [&str; 4] = ["meta", "br", "link", "hr"];

/// The names of all elements in order, if each is closed in its turn.
fn elements(page: &str) -> Vec<String> {
    let (mut names, mut open) = (Vec::new(), Vec::new());
    // The style sheet is the one place where `>` is no end of a tag.
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let page = format!("{}<style>{}", &page[..style.start], &page[style.end..]);
    for piece in page.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag without its end");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap().to_owned();
        if let Some(end) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(end), "closed out of turn");
        } else if !name.starts_with('!') {
            names.push(name.clone());
            if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
    }
    assert_eq!(open, Vec::<String>::new(), "never closed");
    names
}

#[test]
fn every_element_is_closed_in_its_turn() {
    let names = elements(&render(&sample()));
    assert_eq!(names.iter().filter(|name| *name == "svg").count(), 6);
    assert!(names.iter().filter(|name| *name == "table").count() > 8);
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    let page = render(&sample());
    for word in ["http:", "https:", "url(", "@import", "<script", "<link", "<img", " src=", "onload"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn no_colour_of_a_drawing_escapes_the_palette() {
    let page = render(&sample());
    let (_, body) = page.split_once("</style>").unwrap();
    assert!(!body.contains("=\"#0") && !body.contains("=\"#F"), "a fixed colour would not follow dark and light");
    for class in ["class=\"f0\"", "class=\"s0\"", "class=\"s1\"", "class=\"s-grid\"", "class=\"f-muted\""] {
        assert!(body.contains(class), "{class}");
    }
}

#[test]
fn text_is_escaped_everywhere() {
    let nasty = "<b>&\"'</b>";
    let mut results = sample();
    let experiment = &mut results.experiments[0];
    experiment.title = nasty.into();
    experiment.question = nasty.into();
    experiment.notes.push(nasty.into());
    experiment.failure = Some(nasty.into());
    experiment.plots[0].title = nasty.into();
    experiment.plots[0].x.label = nasty.into();
    experiment.plots[0].curves[0].name = nasty.into();
    experiment.comparisons[0].peers[0].timing.name = nasty.into();
    experiment.certificates[0].answer = nasty.into();
    experiment.tables[0].rows[0][1] = nasty.into();
    let page = render(&results);
    assert!(!page.contains("<b>&"), "unescaped");
    elements(&page);
}

#[test]
fn the_same_results_give_the_same_bytes() {
    assert_eq!(render(&sample()), render(&sample()));
}

#[test]
fn every_picture_has_words_and_every_table_heads() {
    let page = render(&sample());
    assert_eq!(page.matches("<svg ").count(), page.matches("role=\"img\" aria-label=\"").count());
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
    assert!(page.contains("scope=\"col\"") && page.contains("scope=\"row\"") && page.contains("lang=\"en\""));
}

#[test]
fn figures_and_failures_of_the_sample_are_on_the_page() {
    let page = render(&sample());
    for text in
        ["5.62×", "7.30×", "fitted: exponent 1.24 (1.17 to 1.31)", "Faster than the claimed 1.00", "Newton–Kantorovich", "not applicable"]
    {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("our answer differs from SciPy L-BFGS-B"));
    let text = summary(&sample());
    assert!(text.contains("sketching") && text.contains("missed") && text.contains("failed"), "{text}");
}

#[test]
fn a_wrong_answer_a_violated_certificate_and_an_early_end_fail() {
    let good = sample().experiments.remove(0);
    assert_eq!(good.outcome(), Outcome::Missed);
    let spoilt = |spoil: fn(&mut Experiment)| {
        let mut experiment = good.clone();
        spoil(&mut experiment);
        experiment.outcome()
    };
    assert_eq!(spoilt(|e| e.certificates[0].certificate["verdict"] = "violated".into()), Outcome::Failed);
    assert_eq!(spoilt(|e| e.failure = Some("out of memory".into())), Outcome::Failed);
    assert_eq!(spoilt(|e| e.comparisons[0].peers[0].agreement.as_mut().unwrap().difference = 1.0), Outcome::Failed);
    assert_eq!(spoilt(|e| e.comparisons[0].peers[0].agreement.as_mut().unwrap().difference = f64::NAN), Outcome::Failed);
    assert_eq!(spoilt(|e| e.claims[0].outcome = Outcome::Failed), Outcome::Failed);
}

#[test]
fn numbers_that_do_not_exist_survive_the_file_and_the_page() {
    let mut results = sample();
    let experiment = &mut results.experiments[0];
    experiment.comparisons[0].ours.cpu_seconds = f64::NAN;
    experiment.plots[0].curves[0].points[0].y = f64::NAN;
    experiment.plots[1].curves[0].points.clear();
    experiment.scalings[0].points.clear();
    experiment.scalings[1].fit = None;
    let text = serde_json::to_string(&results).unwrap();
    let again: Results = serde_json::from_str(&text).unwrap();
    assert!(again.experiments[0].comparisons[0].ours.cpu_seconds.is_nan());
    let page = render(&again);
    elements(&page);
    assert!(!page.contains("NaN") && !page.contains("could not be drawn"));
}

#[test]
fn no_number_is_cut_and_a_single_run_has_no_spread() {
    let mut results = sample();
    let experiment = &mut results.experiments[0];
    experiment.claims[0].expected = "at most 1e-12".into();
    experiment.notes.push("Everybody runs to a backward error of 1e-12.".into());
    experiment.comparisons[0].ours.wall.runs = 1;
    let page = render(&results);
    assert!(page.contains("<span class=\"nowrap\">at most 1e-12</span>"));
    assert!(page.contains("error of <span class=\"nowrap\">1e-12.</span>"));
    assert!(page.contains("one run") && !page.contains("1 runs"));
}

#[test]
fn a_slope_above_a_claim_that_its_interval_reaches_says_so() {
    let mut results = sample();
    let scaling = &mut results.experiments[0].scalings[0];
    let fit = scaling.fit.as_mut().unwrap();
    (fit.slope, fit.low, fit.high) = (1.13, 0.92, 1.33);
    scaling.claimed = Some(1.1);
    assert!(render(&results).contains("The claim is at most 1.10, which the interval does not exclude."));
}

#[test]
fn an_empty_experiment_and_no_experiment_render() {
    let empty = Results { schema: SCHEMA, quick: true, experiments: vec![Experiment { name: "empty".into(), ..Experiment::default() }] };
    elements(&render(&empty));
    elements(&render(&Results { experiments: Vec::new(), ..empty }));
}

#[test]
fn another_schema_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    std::fs::write(&path, r#"{"schema": 999, "quick": false, "experiments": []}"#).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("bench"));
    assert!(read(&folder.path().join("absent.json")).unwrap_err().to_string().contains("bench"));
}

//! What is odd about a problem or its fit, but no failure.

use crate::facts::Facts;

/// Targets for each unknown below which a fit is likely to follow its noise.
const TARGETS: usize = 4;

/// Each starts with its name.
pub(crate) fn warnings(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let mut warn = |name: &str, text: String| found.push(format!("{name}: {text}"));
    if facts.targets < TARGETS * facts.unknowns {
        warn(
            "Overfitting",
            format!(
                "{} numbers are fitted to {} targets, fewer than {TARGETS} each: use a hold-out, and regularisers",
                facts.unknowns, facts.targets
            ),
        );
    }
    if facts.dead_rows > 0 {
        warn("DeadRows", format!("{} of {} queries see no key: their output is 0 whatever X and Y are", facts.dead_rows, facts.queries));
    }
    let moves = facts.moves;
    if !moves {
        warn("ScoresNotIdentifiable", "no query sees more than one key: the loss does not depend on X".into());
    }
    if facts.constant_in_keys && moves {
        warn(
            "GaugeDirections",
            "a combination of the columns of a2 is the same for all keys: the attention does not see some directions of X".into(),
        );
    }
    if facts.values_singular {
        warn(
            "ValuesNotIdentifiable",
            "other Y give the same outputs: of those, Y is the shortest, each row times the size of what it is multiplied with".into(),
        );
    }
    found
}

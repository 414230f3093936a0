//! The model file in its own words: what each field of a layer may hold.

use certus_contract::InputError;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::spec::{LayerSpec, Op};

type Fields = Map<String, Value>;

/// What a field holds.
enum Kind {
    /// A whole number from 0 on.
    Count,
    Number,
    Flag,
    Text,
    OneOf(&'static str),
    /// A count, or a list of some.
    Counts,
}

/// No list: every operation uses the field.
const ALL: &[Op] = &[];

/// A field of a layer, what it holds, whether null stands for its default, and the operations that use it.
const FIELDS: [(&str, Kind, bool, &[Op]); 29] = [
    ("op", Kind::OneOf("gcn, sage, gat, gatv2, gin, sgc, appnp, graphconv, tag, linear, jk"), false, ALL),
    ("in_channels", Kind::Count, false, ALL),
    ("out_channels", Kind::Count, false, ALL),
    ("prefix", Kind::Text, false, ALL),
    ("K", Kind::Count, true, &[Op::Sgc, Op::Appnp, Op::Tag]),
    ("alpha", Kind::Number, true, &[Op::Appnp]),
    ("heads", Kind::Count, false, &[Op::Gat, Op::Gatv2]),
    ("concat", Kind::Flag, false, &[Op::Gat, Op::Gatv2]),
    ("negative_slope", Kind::Number, false, &[Op::Gat, Op::Gatv2]),
    ("share_weights", Kind::Flag, false, &[Op::Gatv2]),
    ("add_self_loops", Kind::Flag, false, ALL),
    ("self_loop_weight", Kind::Number, false, &[Op::Gcn, Op::Sgc, Op::Appnp]),
    ("normalize", Kind::Flag, false, ALL),
    ("aggr", Kind::OneOf("mean, sum, add, max, min"), true, &[Op::Sage, Op::Graphconv]),
    ("root_weight", Kind::Flag, false, &[Op::Sage, Op::Graphconv]),
    ("project", Kind::Flag, false, &[Op::Sage]),
    ("l2_normalize", Kind::Flag, false, &[Op::Sage]),
    ("eps", Kind::Number, false, &[Op::Gin]),
    ("train_eps", Kind::Flag, false, &[Op::Gin]),
    ("hidden", Kind::Counts, true, &[Op::Gin]),
    ("mlp_norm", Kind::OneOf("batch, layer"), true, &[Op::Gin]),
    ("mode", Kind::OneOf("cat, max"), true, &[Op::Jk]),
    ("bias", Kind::Flag, false, ALL),
    ("norm", Kind::OneOf("batch, layer"), true, ALL),
    ("norm_prefix", Kind::Text, true, ALL),
    ("norm_eps", Kind::Number, false, ALL),
    ("norm_affine", Kind::Flag, false, ALL),
    ("activation", Kind::OneOf("none, identity, relu, elu, leakyrelu, leaky_relu, tanh, sigmoid"), true, ALL),
    ("skip", Kind::Flag, false, ALL),
];

/// Fields without which there is no layer.
const NEEDED: [&str; 3] = ["op", "in_channels", "out_channels"];

impl Kind {
    fn takes(&self, value: &Value) -> bool {
        match self {
            Kind::Count => value.is_u64(),
            Kind::Number => value.is_number(),
            Kind::Flag => value.is_boolean(),
            Kind::Text => value.is_string(),
            Kind::Counts => value.is_u64() || value.as_array().is_some_and(|list| list.iter().all(Value::is_u64)),
            Kind::OneOf(names) => value.as_str().is_some_and(|text| names.split(", ").any(|name| name == text)),
        }
    }

    fn words(&self) -> String {
        match self {
            Kind::Count => "a whole number from 0 on".into(),
            Kind::Number => "a number".into(),
            Kind::Flag => "true or false".into(),
            Kind::Text => "text in quotes".into(),
            Kind::Counts => "a whole number from 0 on, or a list of some".into(),
            Kind::OneOf(names) => format!("one of {names}"),
        }
    }
}

/// Those that say what is known anyway.
const NOTES: [&str; 3] = ["in", "out", "name"];

/// The layers of a model file, each with fields of the right kinds; where null stands for a default, the field is left out.
///
/// # Errors
/// `UnsupportedFormat`, naming layer and field.
pub(crate) fn layers(text: &str) -> Result<Vec<Fields>, Error> {
    let refuse = |found: String| Error::from(InputError::unsupported("the model file", found, "a JSON object with a list `layers`"));
    let file = serde_json::from_str::<Value>(text).map_err(|error| refuse(format!("no JSON ({error})")))?;
    let Value::Object(mut file) = file else { return Err(refuse(kind_of(&file).into())) };
    let layers = match file.remove("layers") {
        Some(Value::Array(layers)) => layers,
        Some(other) => return Err(refuse(format!("an object whose `layers` is {}", kind_of(&other)))),
        None => return Err(refuse("an object without `layers`".into())),
    };
    layers.into_iter().enumerate().map(|(k, layer)| read(k, layer)).collect()
}

fn read(k: usize, layer: Value) -> Result<Fields, Error> {
    let Value::Object(mut fields) = layer else {
        return Err(InputError::unsupported(format!("layers[{k}]"), kind_of(&layer), "an object of fields").into());
    };
    let op = fields.get("op").and_then(Value::as_str).map(|op| format!(" ({op})")).unwrap_or_default();
    let refuse = |field: &str, found: String, kind: &Kind| {
        Error::from(InputError::unsupported(format!("{field} of layers[{k}]{op}"), found, kind.words()))
    };
    for (field, kind, nullable, _) in &FIELDS {
        match fields.get(*field) {
            None if NEEDED.contains(field) => return Err(refuse(field, "missing".into(), kind)),
            Some(Value::Null) if *nullable => drop(fields.remove(*field)),
            Some(value) if !kind.takes(value) => return Err(refuse(field, value.to_string(), kind)),
            _ => {}
        }
    }
    Ok(fields)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A layer from its object: refused with an option that its operation does not have, unless it has that option's default; and the fields
/// that are unknown.
pub(crate) fn layer(k: usize, fields: Fields) -> Result<(LayerSpec, Vec<String>), Error> {
    let layer = serde_json::from_value::<LayerSpec>(Value::Object(fields.clone()))
        .map_err(|error| not_understood(&format!("layer {k}: {error}")))?;
    let op = layer.op;
    let refuse = |option: &'static str, expected: &str| Error::InvalidOption {
        layer: k,
        op: op.name().into(),
        option,
        value: fields[option].to_string(),
        expected: expected.into(),
    };
    let is_true = |field: &str| fields.get(field).and_then(Value::as_bool) == Some(true);
    if op == Op::Sage && is_true("normalize") {
        return Err(refuse("normalize", "left out for sage: rows divided by their norm are l2_normalize here"));
    }
    if is_true("improved") {
        return Err(refuse("improved", "left out: a loop of weight 2 is self_loop_weight 2"));
    }
    let plain = LayerSpec::new(op, &layer.prefix, layer.in_channels, layer.out_channels);
    let defaults = serde_json::to_value(plain).unwrap_or_default();
    for (option, ..) in FIELDS.iter().filter(|(.., ops)| !ops.is_empty() && !ops.contains(&op)) {
        let Some(given) = fields.get(*option).filter(|given| !given.is_null()) else { continue };
        // A sum is what the others make anyway; and one head is that, however many are put together.
        let harmless = match *option {
            "aggr" => matches!(given.as_str(), Some("sum" | "add")),
            "concat" => true,
            _ => Some(given) == defaults.get(*option) || given.as_f64().zip(defaults[*option].as_f64()).is_some_and(|(a, b)| a == b),
        };
        if !harmless {
            return Err(refuse(option, &format!("left out: {} has no such option", op.name())));
        }
    }
    let known = |field: &String| FIELDS.iter().any(|(name, ..)| name == field) || NOTES.contains(&field.as_str()) || field == "improved";
    let unknown = fields.keys().filter(|field| !known(field)).map(|field| format!("layer {k} ({}): {field}", op.name())).collect();
    Ok((layer, unknown))
}

fn not_understood(error: &str) -> Error {
    InputError::unsupported("the model file", format!("not understood ({error})"), "a JSON object with `layers`").into()
}

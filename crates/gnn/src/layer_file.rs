//! The model file in its own words: what each field of a layer may hold.

use certus_contract::InputError;
use serde_json::{Map, Value};

use crate::error::Error;

type Fields = Map<String, Value>;

/// What a field holds.
enum Kind {
    /// A whole number from 0 on.
    Count,
    Number,
    Flag,
    Text,
    OneOf(&'static str),
}

/// A field of a layer, what it holds, and whether null stands for its default.
const FIELDS: [(&str, Kind, bool); 29] = [
    ("op", Kind::OneOf("gcn, sage, gat, gatv2, gin, sgc, appnp, graphconv, tag, linear, jk"), false),
    ("in_channels", Kind::Count, false),
    ("out_channels", Kind::Count, false),
    ("prefix", Kind::Text, false),
    ("K", Kind::Count, true),
    ("alpha", Kind::Number, true),
    ("heads", Kind::Count, false),
    ("concat", Kind::Flag, false),
    ("negative_slope", Kind::Number, false),
    ("share_weights", Kind::Flag, false),
    ("add_self_loops", Kind::Flag, false),
    ("self_loop_weight", Kind::Number, false),
    ("normalize", Kind::Flag, false),
    ("aggr", Kind::OneOf("mean, sum, add, max, min"), true),
    ("root_weight", Kind::Flag, false),
    ("project", Kind::Flag, false),
    ("l2_normalize", Kind::Flag, false),
    ("eps", Kind::Number, false),
    ("train_eps", Kind::Flag, false),
    ("hidden", Kind::Count, true),
    ("mlp_norm", Kind::OneOf("batch, layer"), true),
    ("mode", Kind::OneOf("cat, max"), true),
    ("bias", Kind::Flag, false),
    ("norm", Kind::OneOf("batch, layer"), true),
    ("norm_prefix", Kind::Text, true),
    ("norm_eps", Kind::Number, false),
    ("norm_affine", Kind::Flag, false),
    ("activation", Kind::OneOf("none, identity, relu, elu, leakyrelu, leaky_relu, tanh, sigmoid"), true),
    ("skip", Kind::Flag, false),
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
            Kind::OneOf(names) => value.as_str().is_some_and(|text| names.split(", ").any(|name| name == text)),
        }
    }

    fn words(&self) -> String {
        match self {
            Kind::Count => "a whole number from 0 on".into(),
            Kind::Number => "a number".into(),
            Kind::Flag => "true or false".into(),
            Kind::Text => "text in quotes".into(),
            Kind::OneOf(names) => format!("one of {names}"),
        }
    }
}

/// Whether a layer may have a field of this name.
pub(crate) fn knows(field: &str) -> bool {
    FIELDS.iter().any(|(name, ..)| *name == field)
}

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
    for (field, kind, nullable) in &FIELDS {
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

//! The options that describe a problem, and the data behind them.

use std::str::FromStr;

use certus_attention::layer::{self, Head, Params};
use certus_attention::{Mask, map};
use certus_contract::InputError;
use certus_io::{read_array, read_mask};
use certus_numeric::Array;

use crate::args::{self, InFile};
use crate::error::CliError;

/// What is fitted, but for the values.
#[derive(clap::Args)]
pub(super) struct ProblemArgs {
    /// The queries A1, n x d1; with several heads, heads x n x d1. Repeat for several sequences
    #[arg(long, value_name = "FILE", required = true)]
    a1: Vec<InFile>,
    /// The keys A2, m x d2; one for each --a1
    #[arg(long, value_name = "FILE", required = true)]
    a2: Vec<InFile>,
    /// The target: what the outputs should be (fit, n x dv), or the attention itself (map, n x m); one for each --a1
    #[arg(long, value_name = "FILE", required = true)]
    target: Vec<InFile>,
    /// tau, the factor of the logits
    #[arg(long, value_name = "T", default_value = "1", value_parser = args::positive)]
    scale: f64,
    /// Which keys a query sees: all, those up to its own place, or an n x m file (0 = hidden); a file for each --a1
    #[arg(long, value_name = "none|causal|FILE", default_value = "none")]
    mask: Vec<MaskArg>,
    /// The weight of half the squared change of the logits from those of --x-ref
    #[arg(long, value_name = "L", default_value = "0", value_parser = args::non_negative)]
    logit_reg_x: f64,
    /// The weight of half the squared distance of X from --x-ref
    #[arg(long, value_name = "L", default_value = "0", value_parser = args::non_negative)]
    ridge_x: f64,
    /// X towards which the regularisers pull [default: 0]
    #[arg(long, value_name = "FILE")]
    x_ref: Option<InFile>,
}

/// What concerns the values.
#[derive(clap::Args)]
pub(super) struct ValuesArgs {
    /// The values A3, m x d3; one for each --a1
    #[arg(long, value_name = "FILE")]
    a3: Vec<InFile>,
    /// The weight of half the squared change of A3 Y from that of --y-ref
    #[arg(long, value_name = "L", default_value = "0", value_parser = args::non_negative)]
    logit_reg_y: f64,
    /// The weight of half the squared distance of Y from --y-ref
    #[arg(long, value_name = "L", default_value = "0", value_parser = args::non_negative)]
    ridge_y: f64,
    /// Y towards which the regularisers pull [default: 0]
    #[arg(long, value_name = "FILE")]
    y_ref: Option<InFile>,
}

/// A mask as it is given.
#[derive(Clone)]
pub(super) enum MaskArg {
    None,
    Causal,
    File(InFile),
}

impl FromStr for MaskArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(MaskArg::None),
            "causal" => Ok(MaskArg::Causal),
            _ => text.parse().map(MaskArg::File),
        }
    }
}

/// A mask that was read.
pub(super) enum MaskData {
    None,
    Causal,
    Dense(Array<bool>),
}

impl MaskArg {
    pub(super) fn read(&self) -> Result<MaskData, CliError> {
        Ok(match self {
            MaskArg::None => MaskData::None,
            MaskArg::Causal => MaskData::Causal,
            MaskArg::File(file) => MaskData::Dense(read_mask(file)?),
        })
    }
}

impl MaskData {
    pub(super) fn mask(&self) -> Mask<'_> {
        match self {
            MaskData::None => Mask::None,
            MaskData::Causal => Mask::Causal,
            MaskData::Dense(mask) => Mask::Dense(mask),
        }
    }
}

/// The arrays of one sequence, by heads.
struct SequenceData {
    a1: Vec<Array>,
    a2: Vec<Array>,
    a3: Vec<Array>,
    target: Array,
    mask: MaskData,
}

/// The data of a problem.
pub(super) struct Data {
    sequences: Vec<SequenceData>,
    x_ref: Option<Array>,
    y_ref: Option<Array>,
}

/// The heads of an array: of three ways, or one of two.
fn heads(array: Array, name: &str) -> Result<Vec<Array>, InputError> {
    match *array.shape() {
        [_, _] => Ok(vec![array]),
        [0, ..] => Err(InputError::empty(name, array.shape())),
        [_, rows, cols] if rows * cols > 0 => {
            array.as_slice().chunks_exact(rows * cols).map(|head| Array::matrix(rows, cols, head.to_vec())).collect()
        }
        [_, _, _] => Err(InputError::empty(name, array.shape())),
        _ => Err(InputError::shape(name, array.shape(), "rows x columns, or heads x rows x columns")),
    }
}

fn counts(name: &str, found: usize, expected: usize) -> Result<(), InputError> {
    if found == expected {
        return Ok(());
    }
    Err(InputError::dimension(name, format!("{found} files"), format!("{expected}, one for each --a1")))
}

impl ValuesArgs {
    /// The first option that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("a3", !self.a3.is_empty()),
            ("logit-reg-y", self.logit_reg_y != 0.0),
            ("ridge-y", self.ridge_y != 0.0),
            ("y-ref", self.y_ref.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }
}

impl ProblemArgs {
    /// Reads all files; `values` for a fit.
    pub(super) fn read(&self, values: Option<&ValuesArgs>) -> Result<Data, CliError> {
        let count = self.a1.len();
        counts("--a2", self.a2.len(), count)?;
        counts("--target", self.target.len(), count)?;
        if let Some(values) = values {
            counts("--a3", values.a3.len(), count)?;
        }
        if self.mask.len() > 1 {
            counts("--mask", self.mask.len(), count)?;
        }
        let array = |file: &Option<InFile>| file.as_ref().map(read_array).transpose();
        let (x_ref, y_ref) = (array(&self.x_ref)?, values.map_or(Ok(None), |values| array(&values.y_ref))?);
        let sequence = |s: usize| -> Result<SequenceData, CliError> {
            let mask = self.mask.get(s).or(self.mask.first()).unwrap_or(&MaskArg::None);
            Ok(SequenceData {
                mask: mask.read()?,
                a1: heads(read_array(&self.a1[s])?, "a1")?,
                a2: heads(read_array(&self.a2[s])?, "a2")?,
                a3: values.map_or(Ok(Vec::new()), |values| -> Result<_, CliError> { Ok(heads(read_array(&values.a3[s])?, "a3")?) })?,
                target: read_array(&self.target[s])?,
            })
        };
        Ok(Data { sequences: (0..count).map(sequence).collect::<Result<_, _>>()?, x_ref, y_ref })
    }

    /// The sequences of a layer.
    pub(super) fn sequences<'d>(&self, data: &'d Data) -> Result<Vec<layer::Sequence<'d>>, CliError> {
        let of = |s: &'d SequenceData| {
            for (name, count) in [("a2", s.a2.len()), ("a3", s.a3.len())] {
                if count != s.a1.len() {
                    return Err(InputError::dimension(name, format!("{count} heads"), format!("{} heads, as a1", s.a1.len())).into());
                }
            }
            let heads = (0..s.a1.len()).map(|h| Head { a1: &s.a1[h], a2: &s.a2[h], a3: &s.a3[h] }).collect();
            Ok(layer::Sequence::of_heads(heads, &s.target).with_mask(s.mask.mask()))
        };
        data.sequences.iter().map(of).collect()
    }

    /// The layer problem on some sequences.
    pub(super) fn layer<'d>(
        &self,
        sequences: Vec<layer::Sequence<'d>>,
        values: &ValuesArgs,
        data: &Data,
    ) -> Result<layer::Problem<'d>, CliError> {
        let problem = layer::Problem::new(sequences)?.with_scale(self.scale)?;
        let problem = problem.with_logit_reg(self.logit_reg_x, values.logit_reg_y)?.with_ridge(self.ridge_x, values.ridge_y)?;
        let zero = problem.reference();
        let reference = Params { x: data.x_ref.clone().unwrap_or(zero.x), y: data.y_ref.clone().unwrap_or(zero.y) };
        Ok(problem.with_reference(&reference)?)
    }

    /// The sequences of a map.
    pub(super) fn map_sequences<'d>(&self, data: &'d Data) -> Result<Vec<map::Sequence<'d>>, CliError> {
        let of = |s: &'d SequenceData| -> Result<_, CliError> {
            for (name, arrays) in [("a1", &s.a1), ("a2", &s.a2)] {
                if arrays.len() > 1 {
                    return Err(InputError::dimension(name, format!("{} heads", arrays.len()), "one: a map belongs to a head").into());
                }
            }
            Ok(map::Sequence::new(&s.a1[0], &s.a2[0], &s.target).with_mask(s.mask.mask()))
        };
        data.sequences.iter().map(of).collect()
    }

    /// The map problem on some sequences.
    pub(super) fn map<'d>(&self, form: map::Form, sequences: Vec<map::Sequence<'d>>, data: &Data) -> Result<map::Problem<'d>, CliError> {
        let problem = map::Problem::new(sequences, form)?.with_scale(self.scale)?;
        let problem = problem.with_logit_reg(self.logit_reg_x)?.with_ridge(self.ridge_x)?;
        Ok(match &data.x_ref {
            Some(x_ref) => problem.with_reference(x_ref)?,
            None => problem,
        })
    }
}

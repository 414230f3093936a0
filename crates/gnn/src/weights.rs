//! Named tensors, from files as PyTorch Geometric and DGL write them.

use std::collections::BTreeMap;
use std::path::Path;

use certus_contract::InputError;
use certus_io::{Dtype, Format, Npz, Safetensors, Source};
use certus_numeric::Array;

use crate::error::{Error, index_of, not_finite};

/// How a matrix of weights is stored where its shape does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightLayout {
    /// By the name: `lin.weight` is (out, in), a bare `weight` of gcn (in, out) unless it is square, which is refused.
    #[default]
    Auto,
    /// (out, in), as PyTorch's `Linear`.
    OutIn,
    /// (in, out), as DGL and old versions of PyTorch Geometric.
    InOut,
}

/// Named tensors in f32.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Array<f32>>,
    layout: WeightLayout,
    notes: Vec<String>,
}

impl Weights {
    /// No tensors yet.
    pub fn new() -> Self {
        Weights::default()
    }

    /// One more tensor, by its full name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Array<f32>) {
        self.tensors.insert(name.into(), tensor);
    }

    /// The tensors of a `.safetensors` or `.npz` file; other float types become f32, which a note tells.
    ///
    /// # Errors
    /// `NotFound`, `Truncated`, `UnsupportedFormat` and so on for a bad file; `NonFinite` for an entry that is NaN or infinite, in f32 too.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let source = Source::file(path.as_ref());
        if crate::storage::is_pytorch(path.as_ref()) {
            let supported = "the tensors in a .safetensors file (safetensors.torch.save_file) or .npz (numpy.savez)";
            return Err(InputError::unsupported(path.as_ref().display().to_string(), "a pickled PyTorch file", supported).into());
        }
        let mut weights = Weights::new();
        match source.format()? {
            Format::Safetensors => {
                let mut file = Safetensors::open(source)?;
                for name in file.names().map(str::to_owned).collect::<Vec<_>>() {
                    weights.take(&name, file.read(&name)?)?;
                }
            }
            Format::Npz => {
                let mut file = Npz::open(source)?;
                for name in file.names().map(str::to_owned).collect::<Vec<_>>() {
                    weights.take(&name, file.read(&name)?)?;
                }
            }
            _ => {
                let label = path.as_ref().display().to_string();
                return Err(InputError::unsupported(label, "neither", "a .safetensors or .npz file of named tensors").into());
            }
        }
        Ok(weights)
    }

    fn take(&mut self, name: &str, array: certus_io::AnyArray) -> Result<(), Error> {
        // Counts of batches are no parameters.
        if name.ends_with("num_batches_tracked") {
            return Ok(());
        }
        let dtype = array.dtype();
        if !matches!(dtype, Dtype::Float32) {
            self.notes.push(format!("{name}: {dtype} rounded to f32"));
        }
        let wide = array.into_array::<f64>()?;
        let tensor = wide.map(|&v| v as f32);
        if let Some(k) = tensor.as_slice().iter().position(|v| !v.is_finite()) {
            return Err(not_finite(name, &index_of(k, wide.shape()), wide.as_slice()[k]).into());
        }
        self.insert(name, tensor);
        Ok(())
    }

    /// The same tensors under other names; `None` drops one.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = self.tensors.into_iter().filter_map(|(name, tensor)| Some((rename(&name)?, tensor))).collect();
        Weights { tensors, ..self }
    }

    /// The same tensors, with matrices stored as said.
    pub fn with_layout(self, layout: WeightLayout) -> Self {
        Weights { layout, ..self }
    }

    /// What happened to tensors on reading.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Array<f32>> {
        &self.tensors
    }

    pub(crate) fn layout(&self) -> WeightLayout {
        self.layout
    }
}

//! A reader of the pickles that hold arrays: numbers, strings, lists, dictionaries, NumPy's arrays and SciPy's csr_matrix, of protocols
//! 0 to 2.
//!
//! A pickle is a program. Nothing of it is executed here: a class outside the few of [`Class`] and an instruction outside the few of
//! [`Reader::step`] are refused by name. Strings stay in the file's bytes and containers are referred to by number, so that memory is
//! bounded by a multiple of the file's length whatever the pickle repeats, and nothing recurses.

mod reader;

use certus_contract::{InputError, Position};

use reader::Reader;

/// What an instruction leaves on the stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    Class(Class),
    /// The number of an [`Object`].
    Object(usize),
}

/// A string: where it stands in the file, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Text {
    start: usize,
    end: usize,
    coding: Coding,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Coding {
    Plain,
    /// As Python writes literals, quotes included.
    Literal,
    /// UTF-8 whose characters are bytes.
    Latin1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Csr,
    Array,
    Dtype,
    Reconstruct,
    DefaultDict,
    List,
    /// `object`, and the function that makes one: how protocols 0 and 1 write instances.
    Plain,
    Instance,
    /// How Python 3 writes bytes.
    Encode,
}

#[derive(Debug)]
enum Object {
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// Name, byte order.
    Dtype(Value, Value),
    Array(Value),
    Csr(Value),
}

const CLASSES: &str = "a pickle of numpy arrays, scipy's csr_matrix, numbers, lists and dictionaries";

/// What a pickle's bytes build.
pub(super) struct Pickle<'a> {
    file: &'a str,
    bytes: &'a [u8],
    objects: Vec<Object>,
    root: Value,
}

/// A numeric array of one or two axes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    /// In C order. Every integer of at most 32 bits is exact.
    pub(super) values: Vec<f64>,
}

/// SciPy's csr_matrix, as stored: indices of a row may repeat and have any order, but are within the columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sparse {
    pub(super) cols: usize,
    pub(super) indptr: Vec<usize>,
    pub(super) indices: Vec<u32>,
    pub(super) data: Vec<f32>,
}

impl Sparse {
    pub(super) fn rows(&self) -> usize {
        self.indptr.len() - 1
    }
}

impl<'a> Pickle<'a> {
    /// Reads up to the pickle's end; bytes after it are ignored, as Python does.
    pub(super) fn read(file: &'a str, bytes: &'a [u8]) -> Result<Self, InputError> {
        let mut reader = Reader { file, bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: Default::default(), objects: Vec::new() };
        let root = loop {
            if let Some(root) = reader.step()? {
                break root;
            }
        };
        Ok(Pickle { file, bytes, objects: reader.objects, root })
    }

    fn wrong(&self, found: impl Into<String>, expected: impl Into<String>) -> InputError {
        InputError::unsupported(self.file, found, expected)
    }

    fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(id) => self.objects.get(id),
            _ => None,
        }
    }

    fn string(&self, value: Value) -> Option<Vec<u8>> {
        let Value::Text(text) = value else { return None };
        let raw = &self.bytes[text.start..text.end];
        match text.coding {
            Coding::Plain => Some(raw.to_vec()),
            Coding::Latin1 => std::str::from_utf8(raw).ok()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect(),
            Coding::Literal => unescaped(raw),
        }
    }

    fn is(&self, value: Value, text: &str) -> bool {
        self.string(value).is_some_and(|found| found == text.as_bytes())
    }

    /// A dictionary from numbers to lists of numbers.
    pub(super) fn adjacency(&self) -> Result<Vec<(i64, Vec<i64>)>, InputError> {
        const EXPECTED: &str = "a dictionary of lists of whole numbers";
        let Some(Object::Dict(entries)) = self.object(self.root) else { return Err(self.wrong("no dictionary", EXPECTED)) };
        let number = |value| match value {
            Value::Int(v) => Ok(v),
            _ => Err(self.wrong("a dictionary of something else than whole numbers", EXPECTED)),
        };
        let mut total = 0usize;
        let mut lists = Vec::with_capacity(entries.len());
        for &(key, list) in entries {
            let key = number(key)?;
            let Some(Object::List(items)) = self.object(list) else {
                return Err(self.wrong(format!("a dictionary with no list for {key}"), EXPECTED));
            };
            // Lists may be shared: what they sum up to is not bounded by the file unless it is checked.
            total = total.saturating_add(items.len());
            if total > self.bytes.len() {
                return Err(self.wrong("a dictionary that repeats its lists", EXPECTED));
            }
            lists.push((key, items.iter().map(|&v| number(v)).collect::<Result<Vec<_>, _>>()?));
        }
        Ok(lists)
    }

    /// The pickle as an array.
    pub(super) fn numbers(&self) -> Result<Numbers, InputError> {
        self.numbers_of(self.root, "the pickle")
    }

    fn numbers_of(&self, value: Value, what: &str) -> Result<Numbers, InputError> {
        const EXPECTED: &str = "an array of 1 or 2 axes of booleans, integers or floats";
        let wrong = |found: String| self.wrong(found, EXPECTED);
        let state = match self.object(value) {
            Some(&Object::Array(state)) => state,
            _ => return Err(wrong(format!("a pickle in which {what} is no array"))),
        };
        let Some(Object::Tuple(state)) = self.object(state) else { return Err(wrong(format!("a pickle in which {what} has no state"))) };
        let &[_, shape, dtype, fortran, data] = &state[..] else {
            return Err(wrong(format!("a pickle in which {what} has a state of {} parts", state.len())));
        };
        let Some(Object::Tuple(shape)) = self.object(shape) else { return Err(wrong(format!("a pickle in which {what} has no shape"))) };
        let size = |&v: &Value| match v {
            Value::Int(v) => usize::try_from(v).ok(),
            _ => None,
        };
        let shape = shape.iter().map(size).collect::<Option<Vec<_>>>().filter(|shape| (1..=2).contains(&shape.len()));
        let shape = shape.ok_or_else(|| wrong(format!("a pickle in which {what} has another shape")))?;
        let Some(&Object::Dtype(name, order)) = self.object(dtype) else {
            return Err(wrong(format!("a pickle in which {what} has no type")));
        };
        let name = self.string(name).unwrap_or_default();
        let (width, decode) = decoder(&name).ok_or_else(|| {
            wrong(format!("a pickle in which {what} has the type {:?}", String::from_utf8_lossy(&name[..name.len().min(20)])))
        })?;
        let data = self.string(data).ok_or_else(|| wrong(format!("a pickle in which {what} has no data")))?;
        let bytes = shape.iter().try_fold(width, |product, &n| product.checked_mul(n));
        if bytes != Some(data.len()) {
            return Err(InputError::truncated(
                self.file,
                format!("{what} of shape {shape:?}, {width} bytes each,"),
                format!("{} bytes", data.len()),
            ));
        }
        let big = self.is(order, ">");
        let mut values = Vec::with_capacity(data.len() / width);
        for entry in data.chunks_exact(width) {
            let mut low = [0u8; 8];
            low[..width].copy_from_slice(entry);
            if big {
                low[..width].reverse();
            }
            values.push(decode(low));
        }
        if matches!(fortran, Value::Bool(true) | Value::Int(1))
            && let &[rows, cols] = &shape[..]
        {
            values = (0..values.len()).map(|k| values[k / cols + k % cols * rows]).collect();
        }
        Ok(Numbers { shape, values })
    }

    /// The pickle as a csr_matrix.
    pub(super) fn sparse(&self) -> Result<Sparse, InputError> {
        const EXPECTED: &str = "a csr_matrix with its shape, indptr, indices and data";
        let state = match self.object(self.root) {
            Some(&Object::Csr(state)) => state,
            _ => return Err(self.wrong("no csr_matrix", EXPECTED)),
        };
        let Some(Object::Dict(entries)) = self.object(state) else { return Err(self.wrong("a csr_matrix without state", EXPECTED)) };
        let find = |name: &str| entries.iter().find(|(key, _)| self.is(*key, name)).map(|&(_, value)| value);
        let shape = match find("_shape").or_else(|| find("shape")).and_then(|value| self.object(value)) {
            Some(Object::Tuple(shape)) => &shape[..],
            _ => return Err(self.wrong("a csr_matrix without shape", EXPECTED)),
        };
        let (rows, cols) = match shape {
            &[Value::Int(rows), Value::Int(cols)] if rows >= 0 && cols >= 0 => (rows, cols),
            _ => return Err(self.wrong("a csr_matrix with another shape", EXPECTED)),
        };
        if cols > i64::from(i32::MAX) {
            return Err(InputError::too_large(format!("{}: columns", self.file), cols.to_string(), "2147483647 (32-bit indices)"));
        }
        let part = |name: &str| {
            let value = find(name).ok_or_else(|| self.wrong(format!("a csr_matrix without {name}"), EXPECTED))?;
            let array = self.numbers_of(value, name)?;
            if array.shape.len() == 1 {
                Ok(array.values)
            } else {
                Err(self.wrong(format!("a csr_matrix whose {name} has two axes"), EXPECTED))
            }
        };
        let (indptr, indices, data) = (part("indptr")?, part("indices")?, part("data")?);
        let invalid = |array: &str, k: usize, problem: String| {
            InputError::sparsity(format!("{}: {array}", self.file), Position::Entry(vec![k]), problem)
        };
        if indptr.len() as i64 != rows.saturating_add(1) {
            return Err(invalid("indptr", 0, format!("it has {} entries, but the {rows} rows need one more than that", indptr.len())));
        }
        if data.len() != indices.len() {
            return Err(invalid("data", 0, format!("it has {} entries, but there are {} indices", data.len(), indices.len())));
        }
        let mut before = 0.0;
        for (k, &p) in indptr.iter().enumerate() {
            if p < before || p > indices.len() as f64 || p.fract() != 0.0 || (k == 0 && p != 0.0) {
                return Err(invalid("indptr", k, format!("{p} is no place from {before} to {}", indices.len())));
            }
            before = p;
        }
        if before != indices.len() as f64 {
            return Err(invalid("indptr", indptr.len() - 1, format!("it ends at {before}, but there are {} indices", indices.len())));
        }
        if let Some(k) = indices.iter().position(|&j| !(j >= 0.0 && j < cols as f64 && j.fract() == 0.0)) {
            return Err(invalid("indices", k, format!("column {} is outside 0..{cols}", indices[k])));
        }
        if let Some(k) = data.iter().position(|&v| !(v as f32).is_finite()) {
            return Err(InputError::non_finite(format!("{}: data", self.file), &[k], data[k]));
        }
        Ok(Sparse {
            cols: cols as usize,
            indptr: indptr.into_iter().map(|p| p as usize).collect(),
            indices: indices.into_iter().map(|j| j as u32).collect(),
            data: data.into_iter().map(|v| v as f32).collect(),
        })
    }
}

type Decode = fn([u8; 8]) -> f64;

/// The width and the reader of a NumPy type's little-endian bytes, filled up with zeros.
fn decoder(name: &[u8]) -> Option<(usize, Decode)> {
    Some(match name {
        b"b1" | b"u1" => (1, |b| f64::from(b[0])),
        b"i1" => (1, |b| f64::from(b[0] as i8)),
        b"u2" => (2, |b| f64::from(u16::from_le_bytes([b[0], b[1]]))),
        b"i2" => (2, |b| f64::from(i16::from_le_bytes([b[0], b[1]]))),
        b"u4" => (4, |b| u64::from_le_bytes(b) as f64),
        b"i4" => (4, |b| f64::from(u64::from_le_bytes(b) as u32 as i32)),
        b"u8" => (8, |b| u64::from_le_bytes(b) as f64),
        b"i8" => (8, |b| i64::from_le_bytes(b) as f64),
        b"f4" => (4, |b| f64::from(f32::from_bits(u64::from_le_bytes(b) as u32))),
        b"f8" => (8, |b| f64::from_bits(u64::from_le_bytes(b))),
        _ => return None,
    })
}

/// The bytes of a Python literal.
fn unescaped(raw: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = raw.split_first()?;
    let (&last, inner) = rest.split_last()?;
    if quote != last || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let hex = |digit: &u8| char::from(*digit).to_digit(16);
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match *bytes.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => (16 * hex(bytes.next()?)? + hex(bytes.next()?)?) as u8,
            same @ (b'\\' | b'\'' | b'"') => same,
            _ => return None,
        });
    }
    Some(out)
}

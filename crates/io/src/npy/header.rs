//! The header of an `.npy` file.
//!
//! It is parsed here and not by the `npyz` crate, because a hostile header must cost nothing: `npyz` 0.9 allocates the
//! header's declared length (up to 4 GiB) before reading it, multiplies extents without a check for overflow, and parses
//! nested literals by recursion without a limit, so that a few thousand brackets overflow the stack. What NumPy writes is
//! one flat dictionary of three known keys, and only that is accepted.

use std::io::Read;

use certus_contract::{InputError, Position};

use crate::dtype::Dtype;
use crate::error::{Error, Result, quoted};
use crate::stream::{entries, read_full};

const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy pads headers to a multiple of this many bytes.
const ALIGNMENT: usize = 64;

/// The longest header that is read. A header of a supported type has about a hundred bytes; this leaves room for shapes
/// of some thousand dimensions.
const LONGEST: usize = 1 << 16;

/// The most dimensions an array may have: NumPy's own limit.
pub(crate) const MOST_DIMENSIONS: usize = 64;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// The type of the entries.
    pub dtype: Dtype,
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// Whether the first index runs fastest in the file.
    pub fortran_order: bool,
    /// Whether numbers are stored with their highest byte first.
    pub big_endian: bool,
    /// The number of bytes before the data.
    pub(crate) len: u64,
}

impl NpyHeader {
    /// The number of entries.
    pub fn entries(&self) -> usize {
        self.shape.iter().product()
    }

    /// The number of bytes of data.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries() as u64 * self.dtype.size() as u64
    }

    /// Reads it from the beginning of a file; the reader then stands at the data.
    pub(crate) fn read(label: &str, reader: &mut dyn Read) -> Result<Self> {
        let mut start = [0; 12];
        let got = read_full(reader, &mut start[..10]).map_err(|error| Error::reading(label, error))?;
        if !start[..got].starts_with(&MAGIC[..got.min(MAGIC.len())]) || got == 0 {
            return Err(Error::unsupported(label, not_npy(&start[..got]), "an .npy file"));
        }
        if got < 10 {
            return Err(Error::truncated(label, "a header", format!("{got} bytes")));
        }
        let (before, length) = match (start[6], start[7]) {
            (1, 0) => (10, usize::from(u16::from_le_bytes([start[8], start[9]]))),
            (2 | 3, 0) => {
                if read_full(reader, &mut start[10..]).map_err(|error| Error::reading(label, error))? < 2 {
                    return Err(Error::truncated(label, "a header", "fewer than 12 bytes"));
                }
                (12, u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize)
            }
            (major, minor) => {
                let found = format!("an .npy file of version {major}.{minor}");
                return Err(Error::unsupported(label, found, "version 1.0, 2.0 or 3.0"));
            }
        };
        if length > LONGEST {
            return Err(InputError::too_large(label, format!("a header of {length} bytes"), format!("{LONGEST} bytes")).into());
        }
        let mut text = vec![0; length];
        let got = read_full(reader, &mut text).map_err(|error| Error::reading(label, error))?;
        if got < length {
            return Err(Error::truncated(label, format!("a header of {length} bytes"), format!("{got}")));
        }
        let mut header = Parser { label, text: &text, at: 0, before }.dictionary()?;
        header.len = (before + length) as u64;
        entries(label, &header.shape, header.dtype.size())?;
        Ok(header)
    }
}

/// The bytes of a header that NumPy would write: C order, little endian, version 1 (or 2 if it is long).
pub(crate) fn encode(descr: &str, shape: &[usize]) -> Vec<u8> {
    let extents = match shape {
        [n] => format!("{n},"),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    let short = dictionary.len() + 1 + ALIGNMENT < usize::from(u16::MAX);
    let before = if short { 10 } else { 12 };
    let total = (before + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
    let length = total - before;
    let mut bytes = MAGIC.to_vec();
    if short {
        bytes.extend([1, 0]);
        bytes.extend((length as u16).to_le_bytes());
    } else {
        bytes.extend([2, 0]);
        bytes.extend((length as u32).to_le_bytes());
    }
    bytes.extend(dictionary.as_bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// NumPy's name of a type, little endian.
pub(crate) fn descr(dtype: Dtype) -> String {
    match dtype {
        Dtype::Bool => "|b1".into(),
        Dtype::Int8 => "|i1".into(),
        Dtype::UInt8 => "|u1".into(),
        Dtype::Int16 => "<i2".into(),
        Dtype::Int32 => "<i4".into(),
        Dtype::Int64 => "<i8".into(),
        Dtype::UInt16 => "<u2".into(),
        Dtype::UInt32 => "<u4".into(),
        Dtype::UInt64 => "<u8".into(),
        Dtype::Float16 => "<f2".into(),
        Dtype::BFloat16 | Dtype::Float32 => "<f4".into(),
        Dtype::Float64 => "<f8".into(),
        Dtype::Complex64 => "<c8".into(),
        Dtype::Complex128 => "<c16".into(),
        Dtype::Str(n) => format!("<U{n}"),
        Dtype::Bytes(n) => format!("|S{n}"),
    }
}

fn not_npy(start: &[u8]) -> String {
    match start {
        [] => "an empty file".into(),
        [b'P', b'K', ..] => "a zip archive (perhaps an .npz)".into(),
        _ => format!("a file that begins with '{}'", quoted(start)),
    }
}

fn dtype(label: &str, text: &str) -> Result<(Dtype, bool)> {
    const SUPPORTED: &str = "float16/32/64, int8 to int64, uint8 to uint64, bool, complex64/128 or str";
    let refuse = |what: &str| Err(Error::unsupported(label, format!("of type {what} ('{}')", quoted(text.as_bytes())), SUPPORTED));
    let big_endian = text.starts_with('>');
    let Some(code) = text.strip_prefix(['<', '>', '|', '=']) else { return refuse("unknown to NumPy") };
    let width = code.get(1..).filter(|_| code.starts_with(['S', 'U'])).and_then(|n| n.parse::<usize>().ok());
    let dtype = match (code, width) {
        ("b1", _) => Dtype::Bool,
        ("i1", _) => Dtype::Int8,
        ("i2", _) => Dtype::Int16,
        ("i4", _) => Dtype::Int32,
        ("i8", _) => Dtype::Int64,
        ("u1", _) => Dtype::UInt8,
        ("u2", _) => Dtype::UInt16,
        ("u4", _) => Dtype::UInt32,
        ("u8", _) => Dtype::UInt64,
        ("f2", _) => Dtype::Float16,
        ("f4", _) => Dtype::Float32,
        ("f8", _) => Dtype::Float64,
        ("c8", _) => Dtype::Complex64,
        ("c16", _) => Dtype::Complex128,
        // A string is read into memory item by item.
        (_, Some(n)) if n <= 1 << 20 => {
            if code.starts_with('S') {
                Dtype::Bytes(n)
            } else {
                Dtype::Str(n)
            }
        }
        (_, Some(n)) => return Err(InputError::too_large(label, format!("strings of {n} characters"), "2^20 characters").into()),
        _ => {
            return refuse(match code.as_bytes().first() {
                Some(b'O') => "object",
                Some(b'V') => "raw bytes",
                Some(b'M' | b'm') => "date or time",
                Some(b'f' | b'c') if code.ends_with(['2', '6']) => "long double",
                _ => "unknown",
            });
        }
    };
    Ok((dtype, big_endian))
}

/// A cursor in the text of a header.
struct Parser<'a> {
    label: &'a str,
    text: &'a [u8],
    at: usize,
    /// Bytes of the file before the text.
    before: usize,
}

impl Parser<'_> {
    fn dictionary(mut self) -> Result<NpyHeader> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.skip(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            let repeated = match key.as_str() {
                "descr" if self.peek() == Some(b'[') => {
                    return Err(Error::unsupported(self.label, "a structured array", "an array of plain numbers"));
                }
                "descr" => descr.replace(self.string()?).is_some(),
                "fortran_order" => order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(self.bad(&format!("the unknown key '{}'", quoted(key.as_bytes())))),
            };
            if repeated {
                return Err(self.bad(&format!("the key '{key}' twice")));
            }
            if !self.skip(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        match (descr, order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                let (dtype, big_endian) = dtype(self.label, &descr)?;
                Ok(NpyHeader { dtype, shape, fortran_order, big_endian, len: 0 })
            }
            _ => Err(self.bad("an end before 'descr', 'fortran_order' and 'shape' were all given")),
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let blanks = self.text[self.at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.at += blanks;
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.skip(byte) { Ok(()) } else { Err(self.bad(&format!("'{}'", quoted(&self.text[self.at..])))) }
    }

    fn string(&mut self) -> Result<String> {
        let quote = self.peek().filter(|q| matches!(q, b'\'' | b'"'));
        let rest = &self.text[(self.at + 1).min(self.text.len())..];
        let end = quote.and_then(|quote| rest.iter().position(|&b| b == quote));
        match end.and_then(|end| std::str::from_utf8(&rest[..end]).ok()) {
            Some(text) => {
                self.at += text.len() + 2;
                Ok(text.to_owned())
            }
            None => Err(self.bad(&format!("'{}' in the place of a string", quoted(&self.text[self.at..])))),
        }
    }

    fn boolean(&mut self) -> Result<bool> {
        self.peek();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.bad(&format!("'{}' in the place of True or False", quoted(&self.text[self.at..]))))
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        self.expect(b'(')?;
        let mut shape = Vec::new();
        while !self.skip(b')') {
            shape.push(self.extent()?);
            if shape.len() > MOST_DIMENSIONS {
                return Err(InputError::too_large(self.label, "more dimensions", format!("{MOST_DIMENSIONS} dimensions")).into());
            }
            if !self.skip(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn extent(&mut self) -> Result<usize> {
        self.peek();
        let rest = &self.text[self.at..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Err(self.bad(&format!("'{}' in the place of an extent (0, 1, 2, ...)", quoted(rest))));
        }
        let text = String::from_utf8_lossy(&rest[..digits]).into_owned();
        let extent = text.parse::<usize>().map_err(|_| {
            let found = format!("an extent of {}", quoted(text.as_bytes()));
            Error::from(InputError::too_large(self.label, found, format!("{} (the address space)", usize::MAX)))
        })?;
        self.at += digits;
        // Python 2 wrote long integers as 3L.
        self.at += usize::from(self.text.get(self.at) == Some(&b'L'));
        Ok(extent)
    }

    fn bad(&self, found: &str) -> Error {
        let place = Position::Byte((self.before + self.at) as u64);
        Error::unsupported(format!("{}{place}", self.label), format!("an .npy header with {found}"), "what NumPy writes")
    }
}

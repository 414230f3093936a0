//! The few instructions of a pickle that build arrays: what is on the stack, what is remembered, and what was made.

use std::collections::HashMap;

use certus_contract::InputError;

use super::{CLASSES, Class, Coding, Object, Text, Value};

pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) stack: Vec<Value>,
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u64, Value>,
    pub(super) objects: Vec<Object>,
}

impl<'a> Reader<'a> {
    pub(super) fn refused(&self, at: usize, what: impl std::fmt::Display) -> InputError {
        InputError::unsupported(self.file, format!("{what} (byte {at})"), CLASSES)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], InputError> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            let expected = format!("{count} more bytes at byte {}", self.at);
            return Err(InputError::truncated(self.file, expected, rest.len().to_string()));
        }
        self.at += count;
        Ok(&rest[..count])
    }

    pub(super) fn unsigned(&mut self, width: usize) -> Result<u64, InputError> {
        let mut low = [0; 8];
        low[..width].copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(low))
    }

    pub(super) fn text(&mut self, count: u64, coding: Coding) -> Result<Value, InputError> {
        let start = self.at;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))?;
        Ok(Value::Text(Text { start, end: self.at, coding }))
    }

    /// Text up to the end of the line.
    pub(super) fn line(&mut self) -> Result<&'a [u8], InputError> {
        let rest = &self.bytes[self.at..];
        match rest.iter().position(|&b| b == b'\n') {
            Some(end) => {
                self.at += end + 1;
                Ok(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
            }
            None => Err(InputError::truncated(self.file, format!("the end of the line at byte {}", self.at), "the end of the file")),
        }
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, InputError> {
        let at = self.at;
        let line = self.line()?;
        let text = std::str::from_utf8(line).ok().map(|text| text.strip_suffix('L').unwrap_or(text));
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.refused(at, "a pickle with a number that is none"))
    }

    pub(super) fn pop(&mut self) -> Result<Value, InputError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(value) if self.stack.len() >= floor => Ok(value),
            _ => Err(self.refused(self.at, "a pickle that takes from an empty stack")),
        }
    }

    pub(super) fn pops<const N: usize>(&mut self) -> Result<[Value; N], InputError> {
        let mut values = [Value::None; N];
        for value in values.iter_mut().rev() {
            *value = self.pop()?;
        }
        Ok(values)
    }

    pub(super) fn since_mark(&mut self) -> Result<Vec<Value>, InputError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.refused(self.at, "a pickle that misses a mark")),
        }
    }

    pub(super) fn push(&mut self, object: Object) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    pub(super) fn top(&self) -> Result<Value, InputError> {
        self.stack.last().copied().ok_or_else(|| self.refused(self.at, "a pickle that looks at an empty stack"))
    }

    pub(super) fn extend_list(&mut self, items: Vec<Value>) -> Result<(), InputError> {
        if let Value::Object(id) = self.top()?
            && let Object::List(list) = &mut self.objects[id]
        {
            list.extend(items);
            return Ok(());
        }
        Err(self.refused(self.at, "a pickle that appends to what is no list"))
    }

    pub(super) fn extend_dict(&mut self, items: &[Value]) -> Result<(), InputError> {
        if items.len() % 2 == 1 {
            return Err(self.refused(self.at, "a pickle with a key that has no value"));
        }
        if let Value::Object(id) = self.top()?
            && let Object::Dict(dict) = &mut self.objects[id]
        {
            dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            return Ok(());
        }
        Err(self.refused(self.at, "a pickle that sets a key of what is no dictionary"))
    }

    pub(super) fn remember(&mut self, key: u64) -> Result<(), InputError> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, key: u64) -> Result<(), InputError> {
        match self.memo.get(&key) {
            Some(&value) => {
                self.stack.push(value);
                Ok(())
            }
            None => Err(self.refused(self.at, format!("a pickle that recalls {key}, which it never stored"))),
        }
    }

    pub(super) fn class(&mut self) -> Result<Value, InputError> {
        let at = self.at - 1;
        let (module, name) = (self.line()?, self.line()?);
        Ok(Value::Class(match (module, name) {
            (b"scipy.sparse.csr" | b"scipy.sparse._csr", b"csr_matrix") => Class::Csr,
            (b"numpy", b"ndarray") => Class::Array,
            (b"numpy", b"dtype") => Class::Dtype,
            (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => Class::Reconstruct,
            (b"collections", b"defaultdict") => Class::DefaultDict,
            (b"__builtin__" | b"builtins", b"list") => Class::List,
            (b"__builtin__" | b"builtins", b"object") => Class::Plain,
            (b"copy_reg" | b"copyreg", b"_reconstructor") => Class::Instance,
            (b"_codecs", b"encode") => Class::Encode,
            _ => {
                let short = |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
                return Err(self.refused(at, format!("a pickle of the class {}.{}", short(module), short(name))));
            }
        }))
    }

    /// What a call of one of the known classes and functions gives, without calling anything.
    pub(super) fn reduce(&mut self) -> Result<(), InputError> {
        let [callee, arguments] = self.pops()?;
        let arguments = match arguments {
            Value::Object(id) => match &self.objects[id] {
                Object::Tuple(values) => values.get(..values.len().min(4)).map(<[Value]>::to_vec),
                _ => None,
            },
            _ => None,
        };
        match (callee, arguments.as_deref()) {
            (Value::Class(Class::Reconstruct), Some([Value::Class(Class::Array), ..])) => self.push(Object::Array(Value::None)),
            (Value::Class(Class::Dtype), Some([name, ..])) => self.push(Object::Dtype(*name, Value::None)),
            (Value::Class(Class::DefaultDict), Some([Value::Class(Class::List)] | [])) => self.push(Object::Dict(Vec::new())),
            (Value::Class(Class::Csr), Some([])) | (Value::Class(Class::Instance), Some([Value::Class(Class::Csr), ..])) => {
                self.push(Object::Csr(Value::None));
            }
            (Value::Class(Class::Encode), Some([Value::Text(text), ..])) => {
                self.stack.push(Value::Text(Text { coding: Coding::Latin1, ..*text }));
            }
            (Value::Class(class), _) => return Err(self.refused(self.at - 1, format!("a pickle with an unusual call of {class:?}"))),
            _ => return Err(self.refused(self.at - 1, "a pickle that calls what is no class")),
        }
        Ok(())
    }

    /// Gives the object on the stack its state.
    pub(super) fn build(&mut self) -> Result<(), InputError> {
        let state = self.pop()?;
        let order = match state {
            Value::Object(id) => match &self.objects[id] {
                Object::Tuple(parts) => parts.get(1).copied(),
                _ => None,
            },
            _ => None,
        };
        if let Value::Object(id) = self.top()? {
            match (&mut self.objects[id], order) {
                (Object::Array(own) | Object::Csr(own), _) => {
                    *own = state;
                    return Ok(());
                }
                (Object::Dtype(_, own), Some(order)) => {
                    *own = order;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(self.refused(self.at - 1, "a pickle that gives a state to what has none"))
    }

    /// Follows one instruction; the pickle's value at its end.
    pub(super) fn step(&mut self) -> Result<Option<Value>, InputError> {
        let start = self.at;
        match self.take(1)?[0] {
            0x80 => match self.take(1)?[0] {
                0..=2 => {}
                newer => return Err(InputError::unsupported(self.file, format!("a pickle of protocol {newer}"), "protocol 0, 1 or 2")),
            },
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => {
                let value = self.unsigned(1)?;
                self.stack.push(Value::Int(value as i64));
            }
            b'M' => {
                let value = self.unsigned(2)?;
                self.stack.push(Value::Int(value as i64));
            }
            b'J' => {
                let value = self.unsigned(4)?;
                self.stack.push(Value::Int(i64::from(value as u32 as i32)));
            }
            b'I' => {
                let flag = self.bytes[self.at..].get(..3);
                let value = match flag {
                    Some(b"00\n") => Value::Bool(false),
                    Some(b"01\n") => Value::Bool(true),
                    _ => Value::Int(self.parsed()?),
                };
                if let Value::Bool(_) = value {
                    self.take(3)?;
                }
                self.stack.push(value);
            }
            b'L' => {
                let value = self.parsed()?;
                self.stack.push(Value::Int(value));
            }
            0x8a => {
                let width = self.take(1)?[0] as usize;
                let bytes = self.take(width)?;
                if width > 8 {
                    return Err(self.refused(start, "a pickle with an integer of more than 64 bits"));
                }
                let sign = if bytes.last().is_some_and(|&b| b >= 0x80) { 0xff } else { 0 };
                let mut wide = [sign; 8];
                wide[..width].copy_from_slice(bytes);
                self.stack.push(Value::Int(i64::from_le_bytes(wide)));
            }
            b'F' => {
                let value = self.parsed()?;
                self.stack.push(Value::Float(value));
            }
            b'G' => {
                let bits = self.unsigned(8)?.swap_bytes();
                self.stack.push(Value::Float(f64::from_bits(bits)));
            }
            b'U' => {
                let count = self.unsigned(1)?;
                let text = self.text(count, Coding::Plain)?;
                self.stack.push(text);
            }
            // A length with a sign, of which no Python writes a negative one: then it is far beyond the file's end.
            b'T' | b'X' => {
                let count = self.unsigned(4)?;
                let text = self.text(count, Coding::Plain)?;
                self.stack.push(text);
            }
            b'S' => {
                let start = self.at;
                let end = start + self.line()?.len();
                self.stack.push(Value::Text(Text { start, end, coding: Coding::Literal }));
            }
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85 => {
                let values = self.pops::<1>()?;
                self.push(Object::Tuple(values.to_vec()));
            }
            0x86 => {
                let values = self.pops::<2>()?;
                self.push(Object::Tuple(values.to_vec()));
            }
            0x87 => {
                let values = self.pops::<3>()?;
                self.push(Object::Tuple(values.to_vec()));
            }
            b't' => {
                let values = self.since_mark()?;
                self.push(Object::Tuple(values));
            }
            b']' => self.push(Object::List(Vec::new())),
            b'l' => {
                let values = self.since_mark()?;
                self.push(Object::List(values));
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let values = self.since_mark()?;
                self.push(Object::Dict(Vec::new()));
                self.extend_dict(&values)?;
            }
            b'a' => {
                let value = self.pop()?;
                self.extend_list(vec![value])?;
            }
            b'e' => {
                let values = self.since_mark()?;
                self.extend_list(values)?;
            }
            b's' => {
                let pair = self.pops::<2>()?;
                self.extend_dict(&pair)?;
            }
            b'u' => {
                let values = self.since_mark()?;
                self.extend_dict(&values)?;
            }
            b'q' => {
                let key = self.unsigned(1)?;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.unsigned(4)?;
                self.remember(key)?;
            }
            b'p' => {
                let key = self.parsed()?;
                self.remember(key)?;
            }
            b'h' => {
                let key = self.unsigned(1)?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.unsigned(4)?;
                self.recall(key)?;
            }
            b'g' => {
                let key = self.parsed()?;
                self.recall(key)?;
            }
            b'c' => {
                let class = self.class()?;
                self.stack.push(class);
            }
            // A new instance by class and arguments: the same as a call here.
            b'R' | 0x81 => self.reduce()?,
            b'b' => self.build()?,
            other => {
                let code = if other.is_ascii_graphic() { format!("{:?}", char::from(other)) } else { format!("0x{other:02x}") };
                return Err(self.refused(start, format!("no pickle of these, for it has the instruction {code}")));
            }
        }
        Ok(None)
    }
}

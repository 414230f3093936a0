//! Lines and words of text files.

use std::io::{BufRead, Read as _};

use certus_contract::{InputError, Position};

use crate::error::{Error, Result, quoted};
use crate::stream::Stream;

/// The longest line that is read.
const LONGEST: u64 = 1 << 16;

/// The lines of a text file that say something: blank ones and comments are passed over.
pub(crate) struct Lines {
    pub(crate) label: String,
    stream: Stream,
    comment: u8,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(crate) fn new(label: String, stream: Stream, comment: u8) -> Self {
        Lines { label, stream, comment, line: Vec::new(), number: 0 }
    }

    /// The number of bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.stream.len()
    }

    /// The next line of any kind, without its end; false at the end of the file.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        let got = (&mut self.stream).take(LONGEST + 1).read_until(b'\n', &mut self.line);
        let got = got.map_err(|error| Error::reading(&self.label, error))?;
        self.number += u64::from(got > 0);
        if got as u64 > LONGEST {
            return Err(
                InputError::too_large(self.here(), format!("a line of more than {LONGEST} bytes"), format!("{LONGEST} bytes")).into()
            );
        }
        Ok(got > 0)
    }

    /// The next line with words on it; false at the end of the file.
    pub(crate) fn next(&mut self) -> Result<bool> {
        while self.advance()? {
            if let Some(cut) = self.line.iter().position(|&b| b == self.comment) {
                self.line.truncate(cut);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The words of the line.
    pub(crate) fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
    }

    pub(crate) fn line(&self) -> &[u8] {
        self.line.trim_ascii()
    }

    pub(crate) fn position(&self) -> Position {
        Position::Line(self.number)
    }

    /// The file and the line, for messages.
    pub(crate) fn here(&self) -> String {
        format!("{}{}", self.label, self.position())
    }

    /// What stands on the line is not `expected`.
    pub(crate) fn bad(&self, found: &[u8], expected: &str) -> Error {
        Error::unsupported(self.here(), format!("'{}'", quoted(found)), expected)
    }

    pub(crate) fn whole(&self, word: &[u8]) -> Result<u64> {
        let number = std::str::from_utf8(word).ok().and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| self.bad(word, "a whole number (0, 1, 2, ...)"))
    }

    /// A 1-based (or 0-based) index below `extent`, as a 0-based one.
    pub(crate) fn index(&self, word: &[u8], base: u64, extent: Option<u64>) -> Result<u32> {
        let given = match std::str::from_utf8(word).ok().and_then(|text| text.parse::<i128>().ok()) {
            Some(given) => given,
            None => return Err(self.bad(word, "an index (a whole number)")),
        };
        let limit = extent.unwrap_or(1 << 32);
        let index = given - i128::from(base);
        match u32::try_from(index) {
            Ok(index) if u64::from(index) < limit => Ok(index),
            _ => {
                let last = i128::from(limit) + i128::from(base) - 1;
                let problem = format!("index {given} is outside {base}..={last} (indices count from {base})");
                Err(InputError::sparsity(&self.label, self.position(), problem).into())
            }
        }
    }

    pub(crate) fn real(&self, word: &[u8]) -> Result<f64> {
        let Ok(text) = std::str::from_utf8(word) else { return Err(self.bad(word, "a number")) };
        let parsed = text.parse::<f64>().ok();
        // Fortran writes 1.0D+00.
        let parsed = parsed.or_else(|| text.replace(['d', 'D'], "e").parse().ok());
        parsed.ok_or_else(|| self.bad(word, "a number"))
    }

    /// A whole number that `f64` holds exactly.
    pub(crate) fn integer(&self, word: &[u8]) -> Result<f64> {
        let number = std::str::from_utf8(word).ok().and_then(|text| text.parse::<i128>().ok());
        let number = number.ok_or_else(|| self.bad(word, "a whole number"))?;
        let value = number as f64;
        if value as i128 == number { Ok(value) } else { Err(self.bad(word, "a whole number that float64 holds")) }
    }
}

//! MatrixMarket: matrices as text (<https://math.nist.gov/MatrixMarket/formats.html>).

use std::io::Write;
use std::path::Path;

use certus_contract::InputError;
use certus_numeric::{Array, Csr};

use crate::atomic::AtomicFile;
use crate::compressed::{from_entries, require_extents};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::source::Source;
use crate::text::Lines;

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Real,
    Integer,
    Pattern,
}

#[derive(Clone, Copy, PartialEq)]
enum Symmetry {
    General,
    Symmetric,
    Skew,
}

/// Reads a `.mtx` file: `coordinate` as a sparse matrix, `array` as a dense one.
///
/// Fields `real`, `integer` and `pattern` (every listed entry is 1); `general`, `symmetric` and `skew-symmetric`, whose
/// other half is filled in. Duplicate coordinates are added up, as SciPy does.
///
/// # Errors
/// With the line: `UnsupportedFormat` for `complex`, `hermitian`, and words that are not what the banner says;
/// `InvalidSparsity` for an index outside the shape and for surplus entries; `Truncated` for missing ones;
/// `DimensionMismatch` for a symmetric matrix that is not square; `TooLarge` for extents out of proportion to the file.
pub fn read_mtx(source: impl Into<Source>) -> Result<Matrix> {
    let source = source.into();
    let mut lines = Lines::new(source.label(), source.open()?, b'%');
    let (coordinate, field, symmetry) = banner(&mut lines)?;
    let size = match lines.next()? {
        true => lines.words().map(|word| lines.whole(word)).collect::<Result<Vec<_>>>()?,
        false => return Err(Error::truncated(&lines.label, "a line of sizes", "the end of the file")),
    };
    let (rows, cols, count) = match (coordinate, &size[..]) {
        (true, &[rows, cols, count]) => (rows, cols, count),
        (false, &[rows, cols]) => (rows, cols, rows.saturating_mul(cols)),
        (true, _) => return Err(lines.bad(lines.line(), "rows, columns and entries (three numbers)")),
        (false, _) => return Err(lines.bad(lines.line(), "rows and columns (two numbers)")),
    };
    if symmetry != Symmetry::General && rows != cols {
        return Err(InputError::dimension(lines.here(), format!("{rows} x {cols} entries"), "a square matrix (it is symmetric)").into());
    }
    if coordinate {
        Ok(Matrix::Sparse(coordinates(&mut lines, rows, cols, count, field, symmetry)?))
    } else {
        Ok(Matrix::Dense(columns(&mut lines, rows, cols, field, symmetry)?))
    }
}

fn banner(lines: &mut Lines) -> Result<(bool, Field, Symmetry)> {
    if !lines.advance()? {
        return Err(Error::unsupported(&lines.label, "an empty file", "a MatrixMarket file"));
    }
    let words = lines.words().map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect::<Vec<_>>();
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    let ["%%matrixmarket", "matrix", layout, field, symmetry] = words[..] else {
        return Err(lines.bad(lines.line(), "%%MatrixMarket matrix LAYOUT FIELD SYMMETRY"));
    };
    let coordinate = match layout {
        "coordinate" => true,
        "array" => false,
        other => return Err(lines.bad(other.as_bytes(), "the layout coordinate or array")),
    };
    let field = match field {
        "real" | "double" => Field::Real,
        "integer" | "unsigned-integer" => Field::Integer,
        "pattern" if coordinate => Field::Pattern,
        other => return Err(lines.bad(other.as_bytes(), "the field real, integer or (with coordinate) pattern")),
    };
    let symmetry = match symmetry {
        "general" => Symmetry::General,
        "symmetric" => Symmetry::Symmetric,
        "skew-symmetric" if field != Field::Pattern => Symmetry::Skew,
        other => return Err(lines.bad(other.as_bytes(), "the symmetry general, symmetric or skew-symmetric")),
    };
    Ok((coordinate, field, symmetry))
}

fn value(lines: &Lines, word: &[u8], field: Field) -> Result<f64> {
    if field == Field::Integer { lines.integer(word) } else { lines.real(word) }
}

fn coordinates(lines: &mut Lines, rows: u64, cols: u64, count: u64, field: Field, symmetry: Symmetry) -> Result<Csr> {
    let as_usize = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    require_extents(&lines.here(), as_usize(rows), as_usize(cols), lines.bytes())?;
    let (mut row, mut col, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = 0u64;
    // Which half of a symmetric matrix the file lists; listing both would count them twice.
    let mut lower = None;
    while lines.next()? {
        let mut words = lines.words();
        let mut word = |what| words.next().ok_or_else(|| lines.bad(lines.line(), what));
        let shape_of_line = if field == Field::Pattern { "row and column" } else { "row, column and value" };
        let i = lines.index(word(shape_of_line)?, 1, Some(rows))?;
        let j = lines.index(word(shape_of_line)?, 1, Some(cols))?;
        let v = if field == Field::Pattern { 1.0 } else { value(lines, word(shape_of_line)?, field)? };
        if words.next().is_some() {
            return Err(lines.bad(lines.line(), shape_of_line));
        }
        seen += 1;
        let wrong = |problem: String| Err(InputError::sparsity(&lines.label, lines.position(), problem).into());
        let mut put = |i, j, v| {
            row.push(i);
            col.push(j);
            values.push(v);
        };
        if seen > count {
            return wrong(format!("an entry beyond the {count} that its header announces"));
        }
        put(i, j, v);
        if symmetry == Symmetry::General {
            continue;
        }
        if i == j {
            if symmetry == Symmetry::Skew && v != 0.0 {
                return wrong(format!("the diagonal of a skew-symmetric matrix is 0, not {v}"));
            }
            continue;
        }
        if *lower.get_or_insert(i > j) != (i > j) {
            return wrong("a symmetric file lists one half of the matrix, and this entry is of the other".into());
        }
        put(j, i, if symmetry == Symmetry::Skew { -v } else { v });
    }
    if seen < count {
        return Err(Error::truncated(&lines.label, format!("{count} entries"), seen.to_string()));
    }
    from_entries(&lines.label, as_usize(rows), as_usize(cols), &row, &col, &values)
}

/// The values of an `array` file, column by column.
fn columns(lines: &mut Lines, rows: u64, cols: u64, field: Field, symmetry: Symmetry) -> Result<Array> {
    // Each value takes at least two bytes of text, so this bounds the memory by the file.
    let most = lines.bytes();
    let stored = match symmetry {
        Symmetry::General => rows.checked_mul(cols),
        Symmetry::Symmetric => rows.checked_mul(rows.saturating_add(1)).map(|twice| twice / 2),
        Symmetry::Skew => rows.checked_mul(rows.saturating_sub(1)).map(|twice| twice / 2),
    };
    let entries = rows.checked_mul(cols).filter(|&entries| stored.is_some() && entries / 2 <= most.max(1));
    let (Some(stored), Some(_)) = (stored, entries) else {
        let found = format!("a matrix of {rows} x {cols}");
        return Err(InputError::too_large(lines.here(), found, format!("what a file of {most} bytes can list")).into());
    };
    let (rows, cols) = (rows as usize, cols as usize);
    let mut values = Vec::new();
    while lines.next()? {
        for word in lines.words() {
            if values.len() as u64 == stored {
                let expected = format!("{stored} values");
                return Err(InputError::dimension(lines.here(), "a value beyond what its header announces", expected).into());
            }
            values.push(value(lines, word, field)?);
        }
    }
    if (values.len() as u64) < stored {
        return Err(Error::truncated(&lines.label, format!("{stored} values"), values.len().to_string()));
    }
    if symmetry == Symmetry::General {
        return Ok(Array::matrix(cols, rows, values)?.transposed());
    }
    let mut matrix = Array::zeros([rows, rows]);
    let mut next = values.into_iter();
    for j in 0..rows {
        for i in j + usize::from(symmetry == Symmetry::Skew)..rows {
            let v = next.next().unwrap_or_default();
            matrix.row_mut(i)[j] = v;
            if i != j {
                matrix.row_mut(j)[i] = if symmetry == Symmetry::Skew { -v } else { v };
            }
        }
    }
    Ok(matrix)
}

/// Writes a matrix as `.mtx` (`general`, `real`; sparse as `coordinate`, dense as `array`), by rename.
///
/// Numbers are the shortest text that reads back to the same bits.
///
/// # Errors
/// `Io`; then there is no new file.
pub fn write_mtx(path: impl AsRef<Path>, matrix: &Matrix) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    let written = match matrix {
        Matrix::Sparse(csr) => write_coordinates(&mut file, csr),
        Matrix::Dense(dense) => write_columns(&mut file, dense),
    };
    written.map_err(|error| Error::writing(path, error))?;
    file.commit()
}

fn write_coordinates(out: &mut AtomicFile, csr: &Csr) -> std::io::Result<()> {
    writeln!(out, "%%MatrixMarket matrix coordinate real general\n{} {} {}", csr.rows(), csr.cols(), csr.nnz())?;
    for i in 0..csr.rows() {
        let (columns, values) = csr.row(i);
        for (&j, v) in columns.iter().zip(values) {
            writeln!(out, "{} {} {v:?}", i + 1, u64::from(j) + 1)?;
        }
    }
    Ok(())
}

fn write_columns(out: &mut AtomicFile, dense: &Array) -> std::io::Result<()> {
    writeln!(out, "%%MatrixMarket matrix array real general\n{} {}", dense.rows(), dense.cols())?;
    for v in dense.transposed().as_slice() {
        writeln!(out, "{v:?}")?;
    }
    Ok(())
}

//! Sums of `(a aᵀ) ⊗ N` over rows, from the distinct entries of symmetric matrices.

use certus_linalg::Mat;

/// Keys whose products of columns are formed at once.
pub(crate) const KEYS: usize = 128;
/// Numbers in all partial sums of a Hessian together, about.
pub(crate) const PARTIAL: usize = 1 << 23;

/// Distinct entries of a symmetric d x d matrix.
pub(crate) fn distinct(d: usize) -> usize {
    d * (d + 1) / 2
}

/// The products `a_p a_q` for p <= q of each row of a row-major block, row-major.
pub(crate) fn squares(rows: &[f64], d: usize, into: &mut [f64]) {
    for (row, into) in rows.chunks_exact(d).zip(into.chunks_exact_mut(distinct(d))) {
        let mut rest = into;
        for (p, a) in row.iter().enumerate() {
            let (now, later) = rest.split_at_mut(d - p);
            now.iter_mut().zip(&row[p..]).for_each(|(v, b)| *v = a * b);
            rest = later;
        }
    }
}

/// The distinct entries of a symmetric matrix, in the same order.
pub(crate) fn pack(a: impl Fn(usize, usize) -> f64, d: usize, into: &mut [f64]) {
    let mut at = 0;
    for p in 0..d {
        for q in p..d {
            into[at] = a(p, q);
            at += 1;
        }
    }
}

/// Where the entry (p, q) is among the distinct ones.
fn place(p: usize, q: usize, d: usize) -> usize {
    let (p, q) = (p.min(q), p.max(q));
    p * d - p * (p + 1) / 2 + q
}

/// The matrix with entry ((a, b), (a', b')) from the sum's entry (a a', b b'), a row-major `distinct(d1) x distinct(d2)`.
pub(crate) fn expand(sum: &[f64], d1: usize, d2: usize) -> Mat<f64> {
    let width = distinct(d2);
    let places = (0..d2 * d2).map(|k| place(k / d2, k % d2, d2)).collect::<Vec<_>>();
    let mut matrix = Mat::zeros(d1 * d2, d1 * d2);
    for a in 0..d1 {
        for b in 0..d2 {
            let mut column = matrix.col_mut(a * d2 + b);
            for other in 0..d1 {
                let row = &sum[place(a, other, d1) * width..][..width];
                for (k, place) in places[b * d2..(b + 1) * d2].iter().enumerate() {
                    column[other * d2 + k] = row[*place];
                }
            }
        }
    }
    matrix
}

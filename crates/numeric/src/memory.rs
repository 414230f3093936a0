//! Long vectors in large pages, where the system has them.
#![allow(unsafe_code, reason = "advice to the system about pages has no safe form")]

/// Bytes from which large pages are asked for: a few of them.
const LARGE: usize = 4 << 20;
/// The size of a large page, on most machines.
const PAGE: usize = 2 << 20;

/// So many zeros.
///
/// A long vector is first touched page by page, each at the price of a call to the system, and rows at random places of it lie on as many
/// pages, of which the processor remembers too few if they are small.
pub fn zeros(n: usize) -> Vec<f64> {
    let zeros = vec![0.0; n];
    prefer_large_pages(&zeros);
    zeros
}

/// Asks the system for large pages where a vector is long and was not touched yet. Changes no number.
#[cfg(target_os = "linux")]
pub fn prefer_large_pages<T>(values: &[T]) {
    let (begin, bytes) = (values.as_ptr() as usize, size_of_val(values));
    if bytes < LARGE {
        return;
    }
    let first = begin.next_multiple_of(PAGE);
    let pages = std::ptr::with_exposed_provenance_mut(first);
    // SAFETY: the range lies within the slice, and this advice changes no byte of it. Where it is refused, pages are small.
    let _ = unsafe { rustix::mm::madvise(pages, begin + bytes - first, rustix::mm::Advice::LinuxHugepage) };
}

/// Asks for nothing here.
#[cfg(not(target_os = "linux"))]
pub fn prefer_large_pages<T>(_: &[T]) {}

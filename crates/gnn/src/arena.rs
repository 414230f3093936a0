//! The memory of a run: zeroed, asked for in one piece, in large pages where the system has them.
#![allow(unsafe_code, reason = "advice to the system about pages has no safe form")]

use crate::Error;

/// Bytes from which large pages are asked for: a few of them.
const LARGE: usize = 8 << 20;

/// So many zeros.
///
/// Rows at random places of a large panel lie on as many pages; of the small ones the processor remembers too few, and each is first
/// touched on its own.
///
/// # Errors
/// `OutOfMemory` where the system does not give so much.
pub(crate) fn zeros<T: bytemuck::Zeroable>(numbers: usize) -> Result<Vec<T>, Error> {
    let refused = |()| Error::OutOfMemory { bytes: (numbers as u64).saturating_mul(size_of::<T>() as u64) };
    let zeros = bytemuck::try_zeroed_vec(numbers).map_err(refused)?;
    prefer_large_pages(&zeros);
    Ok(zeros)
}

#[cfg(target_os = "linux")]
fn prefer_large_pages<T>(values: &[T]) {
    let (begin, bytes) = (values.as_ptr() as usize, size_of_val(values));
    if bytes < LARGE {
        return;
    }
    let first = begin.next_multiple_of(LARGE / 4);
    let pages = std::ptr::with_exposed_provenance_mut(first);
    // SAFETY: the range lies within the slice, and this advice changes no byte of it. Where it is refused, pages are small.
    let _ = unsafe { rustix::mm::madvise(pages, begin + bytes - first, rustix::mm::Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn prefer_large_pages<T>(_: &[T]) {}

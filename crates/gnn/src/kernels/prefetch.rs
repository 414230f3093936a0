//! A hint to the processor that a cache line will be read.
//!
//! Rows of neighbours lie anywhere in a panel. The sum over the edges waits for them, unless they are asked for some edges ahead.
#![allow(unsafe_code, reason = "a prefetch has no safe form; it reads and writes nothing that a program can see")]

/// Asks for the line at this place, if it is one.
#[inline(always)]
pub(crate) fn prefetch(data: &[f32], place: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(number) = data.get(place) {
        // SAFETY: a prefetch never faults and changes no state of the program, wherever it points; here it even points into a slice.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(std::ptr::from_ref(number).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, place);
}

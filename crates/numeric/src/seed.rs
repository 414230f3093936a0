//! Seeds, and streams of random numbers split by purpose.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The source of all randomness of a run: the same seed gives the same answer, on any number of threads.
///
/// A seed is never consumed. Each use takes a stream of its own by a purpose and, where work is split, an index, so that
/// what one part draws does not depend on what another part drew.
///
/// ```
/// use certus_numeric::Seed;
/// use rand::Rng;
/// let seed = Seed(7);
/// let (mut a, mut b) = (seed.stream("rows"), seed.stream("rows"));
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert_ne!(seed.stream("rows").next_u64(), seed.stream("signs").next_u64());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Seed(pub u64);

impl Seed {
    /// The stream for one purpose.
    pub fn stream(self, purpose: &str) -> ChaCha8Rng {
        self.stream_at(purpose, 0)
    }

    /// Stream number `index` for one purpose: for work that is split into numbered blocks.
    pub fn stream_at(self, purpose: &str, index: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        let mut word = self.key(purpose);
        for chunk in key.chunks_exact_mut(8) {
            word = mix64(word.wrapping_add(GOLDEN));
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        rng
    }

    /// A seed for a part of the work that has seeds of its own.
    pub fn split(self, purpose: &str) -> Seed {
        Seed(self.key(purpose))
    }

    /// Seed number `index` for a purpose: a restart, a repetition.
    pub fn split_at(self, purpose: &str, index: u64) -> Seed {
        Seed(hash64(self.key(purpose), index))
    }

    /// A 64-bit key for one purpose, for use with [`hash64`] where a value is wanted by its index alone.
    pub fn key(self, purpose: &str) -> u64 {
        purpose.bytes().fold(mix64(self.0 ^ 0x6365_7274_7573_0001), |key, byte| hash64(key, u64::from(byte)))
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The 64-bit mix of SplitMix64 (Steele, Lea and Flood 2014): a bijection in which each input bit changes each output bit
/// with probability near one half.
#[inline(always)]
pub const fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Entry `index` of the random function with this `key`: 64 bits, by index alone, so that a sketch need not be stored.
#[inline(always)]
pub const fn hash64(key: u64, index: u64) -> u64 {
    mix64(key.wrapping_add(index.wrapping_mul(GOLDEN)).wrapping_add(GOLDEN))
}

/// Maps 64 random bits to `0..bound` without division; the bias is below `bound / 2^64`.
#[inline(always)]
pub const fn bounded(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

/// Maps 64 random bits to a uniform number in [0, 1) on the grid of 2^-53.
#[inline(always)]
pub const fn unit_interval(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

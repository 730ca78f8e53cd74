//! splitmix64, the randomness of simulated histories: the same on every machine.
//!
//! In: a seed. Out: numbers below a bound. Source: Steele, Lea and Flood, "Fast splittable
//! pseudorandom number generators", 2014.

/// A sequence of numbers that its seed decides.
pub(crate) struct Splitmix(pub(super) u64);

impl Splitmix {
    /// The next number, below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

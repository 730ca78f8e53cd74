//! Offsets to small indexes, so that memory is linear in the history whatever the offsets are.
//!
//! Where the offsets lie close together a slot is a subtraction away; where they are sparse it is
//! a binary search. Invariant: slots are in the order of their offsets.

/// The offsets that a history mentions, numbered in order.
#[derive(Debug)]
pub(crate) enum Slots {
    /// Every offset from `first` on.
    Dense { first: i64, len: usize },
    /// Exactly these, ascending.
    Sparse(Vec<i64>),
}

impl Slots {
    /// The slots of the offsets that fall in `ranges` of (first, last, how many are mentioned);
    /// `mentioned` lists them, in any order and with repetitions, if it comes to that.
    pub(crate) fn of(
        ranges: impl Iterator<Item = (i64, i64, usize)>,
        mentioned: impl FnOnce() -> Vec<i64>,
    ) -> Self {
        let wider = |(low, high, count): (i64, i64, usize), (first, last, more)| {
            (low.min(first), high.max(last), count + more)
        };
        let (low, high, count) = ranges.fold((i64::MAX, i64::MIN, 0), wider);
        if count == 0 {
            return Self::Dense { first: 0, len: 0 };
        }
        let span = i128::from(high) - i128::from(low) + 1;
        if span <= 4 * count as i128 + 64 {
            return Self::Dense {
                first: low,
                len: span as usize,
            };
        }
        let mut offsets = mentioned();
        offsets.sort_unstable();
        offsets.dedup();
        Self::Sparse(offsets)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Dense { len, .. } => *len,
            Self::Sparse(offsets) => offsets.len(),
        }
    }

    /// The first slot whose offset is not below `offset`; `len()` if there is none.
    #[inline]
    pub(crate) fn at_or_after(&self, offset: i64) -> usize {
        match self {
            Self::Dense { first, len } => {
                let distance = i128::from(offset) - i128::from(*first);
                distance.clamp(0, *len as i128) as usize
            }
            Self::Sparse(offsets) => offsets.partition_point(|o| *o < offset),
        }
    }

    /// The slot of an offset that was mentioned.
    #[inline]
    pub(crate) fn slot(&self, offset: i64) -> usize {
        match self {
            Self::Dense { first, .. } => (offset - first) as usize,
            Self::Sparse(_) => self.at_or_after(offset),
        }
    }

    /// The offset of a slot.
    #[inline]
    pub(crate) fn offset(&self, slot: usize) -> i64 {
        match self {
            Self::Dense { first, .. } => first + slot as i64,
            Self::Sparse(offsets) => offsets.get(slot).copied().unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn slots_are_in_order_and_memory_is_linear() {
        let close = [5_i64, 3, 4, 9];
        let sparse = [1_i64 << 60, -7, 0, i64::MAX, i64::MIN];
        let single = |offset: &i64| (*offset, *offset, 1);
        let dense = Slots::of(close.iter().map(single), Vec::new);
        assert!(matches!(dense, Slots::Dense { first: 3, len: 7 }));
        let slots = Slots::of(sparse.iter().map(single), || sparse.to_vec());
        assert_eq!(slots.len(), 5);
        for offset in sparse {
            assert_eq!(slots.offset(slots.slot(offset)), offset);
        }
        for offset in close {
            assert_eq!(dense.offset(dense.slot(offset)), offset);
        }
        assert_eq!((dense.at_or_after(-9), dense.at_or_after(100)), (0, 7));
        assert_eq!(slots.at_or_after(1), 3);
    }
}

//! The next offset that is not done yet: union-find over slots, almost constant time a question.

/// Slots that are done, one after another.
pub(crate) struct Next(Vec<u32>);

impl Next {
    /// Slots `0..len`, none of them done.
    pub(crate) fn new(len: usize) -> Self {
        Self((0..=len as u32).collect())
    }

    /// The first slot from `slot` on that is not done; `len` if there is none.
    pub(crate) fn at(&mut self, slot: usize) -> usize {
        let mut found = slot as u32;
        while let Some(next) = self.0.get(found as usize).copied() {
            if next == found {
                break;
            }
            found = next;
        }
        // Everything on the way points to the end of it from here on.
        let mut passed = slot as u32;
        while let Some(next) = self
            .0
            .get_mut(passed as usize)
            .filter(|next| **next != found)
        {
            passed = std::mem::replace(next, found);
        }
        found as usize
    }

    /// Notes that a slot is done.
    pub(crate) fn done(&mut self, slot: usize) {
        let len = self.0.len();
        if slot + 1 < len
            && let Some(next) = self.0.get_mut(slot)
            && *next == slot as u32
        {
            *next = slot as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Next;

    #[test]
    fn finds_the_first_that_is_not_done() {
        let mut next = Next::new(5);
        for (done, wanted) in [(1, 0), (0, 2), (3, 2), (2, 4), (4, 5)] {
            next.done(done);
            assert_eq!(next.at(0), wanted, "after {done}");
        }
        assert_eq!((next.at(5), next.at(3)), (5, 5));
        next.done(9);
        assert_eq!(next.at(9), 9, "beyond the end nothing is done");
    }
}

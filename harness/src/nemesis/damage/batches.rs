//! Where the record batches of a segment begin and end, and which bytes of it a flip may hit.
//!
//! In: the bytes of a file and a [`Place`]. Out: a range of bytes, empty if there is no such place.
//! Source: Kafka's record batch, magic 2: base offset (8 bytes), length of what follows (4 bytes).

use std::ops::Range;

use crate::nemesis::damage::Place;

/// Base offset and length.
const HEAD_BYTES: usize = 12;

impl Place {
    /// The bytes of a file that are meant; `draw` picks one of several batches.
    pub(super) fn range(self, bytes: &[u8], draw: u64) -> Range<usize> {
        let share = |hundredths: u8| bytes.len() * usize::from(hundredths) / 100;
        match self {
            Self::Anywhere => 0..bytes.len(),
            Self::Below(hundredths) => 0..share(hundredths),
            Self::Above(hundredths) => share(hundredths)..bytes.len(),
            Self::LastBatch => batches(bytes).pop().unwrap_or_default(),
            Self::Middle => {
                let mut whole = batches(bytes);
                whole.pop();
                let index = draw.checked_rem(whole.len() as u64);
                index.map_or(0..0, |index| whole.swap_remove(index as usize))
            }
        }
    }
}

/// The whole batches at the beginning of `bytes`.
fn batches(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(end) = batch_end(bytes, start) {
        found.push(start..end);
        start = end;
    }
    found
}

fn batch_end(bytes: &[u8], start: usize) -> Option<usize> {
    let length = bytes.get(start + 8..start + HEAD_BYTES)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let end = start.checked_add(HEAD_BYTES)?.checked_add(length)?;
    (length > 0 && end <= bytes.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches whose bodies have these lengths, and some bytes of a torn one.
    fn segment(bodies: &[u32], torn: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (offset, length) in bodies.iter().enumerate() {
            bytes.extend((offset as u64).to_be_bytes());
            bytes.extend(length.to_be_bytes());
            bytes.extend(vec![7; *length as usize]);
        }
        bytes.extend(vec![9; torn]);
        bytes
    }

    #[test]
    fn a_middle_has_whole_batches_behind_it_and_a_last_batch_none() {
        let three = segment(&[8, 18, 28], 5);
        for (place, draw, range) in [
            (Place::Middle, 0, 0..20),
            (Place::Middle, 3, 20..50),
            (Place::LastBatch, 0, 50..90),
            (Place::Anywhere, 0, 0..95),
            (Place::Below(50), 0, 0..47),
            (Place::Above(50), 0, 47..95),
        ] {
            assert_eq!(place.range(&three, draw), range, "{place:?}");
        }
    }

    #[test]
    fn without_batches_there_is_no_such_place() {
        for bytes in [segment(&[8], 0), segment(&[8], 30), vec![], vec![0; 100]] {
            assert!(Place::Middle.range(&bytes, 1).is_empty());
        }
        assert!(Place::LastBatch.range(&[0; 100], 1).is_empty());
    }
}

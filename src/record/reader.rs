//! A cursor over untrusted bytes: every read either fits or is `None`.
//!
//! Invariant: never panics, never allocates. Integers are big-endian; varints are Kafka's zig-zag
//! (`ByteUtils`), at most 5 bytes for 32 bits and 10 for 64.

/// The unread rest of a byte slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn i8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A zig-zag varint of at most 32 bits.
    pub(crate) fn varint(&mut self) -> Option<i32> {
        let raw = u32::try_from(self.unsigned_varint(5)?).ok()?;
        Some(((raw >> 1) as i32) ^ -((raw & 1) as i32))
    }

    /// A zig-zag varint of at most 64 bits.
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        let raw = self.unsigned_varint(10)?;
        Some(((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    /// Bytes with a varint length; a length of -1 is `Some(None)`, a null.
    #[expect(
        clippy::option_option,
        reason = "the outer says whether it fits, the inner is a null"
    )]
    pub(crate) fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    fn unsigned_varint(&mut self, bytes_max: u32) -> Option<u64> {
        let mut value = 0_u64;
        for index in 0..bytes_max {
            let [byte] = self.array::<1>()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Appends `value` as a zig-zag varint; 32-bit values come out as Kafka's 32-bit varints.
pub(crate) fn put_varlong(into: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        into.push((raw & 0x7f) as u8 | 0x80);
        raw >>= 7;
    }
    into.push(raw as u8);
}

/// Appends bytes with a varint length; `None` is the length -1.
pub(crate) fn put_nullable_bytes(into: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        put_varlong(into, -1);
        return;
    };
    put_varlong(into, bytes.len() as i64);
    into.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_the_edges() {
        for value in [0, -1, 1, 63, -64, 64, i64::MAX, i64::MIN, 1 << 40] {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).varlong(), Some(value));
        }
        for value in [0, -1, i32::MAX, i32::MIN, 300] {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, i64::from(value));
            assert_eq!(Reader::new(&bytes).varint(), Some(value));
        }
    }

    #[test]
    fn an_endless_varint_is_refused() {
        assert_eq!(Reader::new(&[0xff; 20]).varint(), None);
        assert_eq!(Reader::new(&[0xff; 20]).varlong(), None);
        assert_eq!(Reader::new(&[0x80]).varint(), None);
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let mut bytes = Vec::new();
        put_varlong(&mut bytes, i64::from(i32::MAX));
        assert_eq!(Reader::new(&bytes).nullable_bytes(), None);
        assert_eq!(Reader::new(&[1]).nullable_bytes(), Some(None));
    }
}

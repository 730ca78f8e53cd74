//! What a record carries: a value that is unique in its run, and padding that proves integrity.
//!
//! In: the value and the wanted size. Out: the bytes of a record's value, or the value read back.
//! Invariant: `decode(encode(v, n)) == Ok(v)`, and every change of any byte makes `decode` fail,
//! because all bytes after the value are a function of the value and the length.
//!
//! ```text
//! offset  0        4            8            16
//!         | "VRDT" | length u32 | value u64  | padding: hex digits of splitmix64(value, i) … |
//! ```
//! Integers are big-endian; `length` counts the whole payload. The hex digits compress about
//! twofold, so that compression has something to do.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

const MAGIC: &[u8; 4] = b"VRDT";

/// The smallest payload: magic, length and value without padding, in bytes.
pub const PAYLOAD_BYTES_MIN: usize = 16;

/// How many bytes of a payload that does not decode are kept as evidence.
const EVIDENCE_BYTES_MAX: usize = 32;

/// A payload that no `encode` produces: the record was corrupted or is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("payload of {length} bytes is corrupt: {reason}; it begins with {begin}")]
pub struct CorruptPayload {
    /// The payload's length in bytes.
    pub length: usize,
    /// Which part does not fit.
    pub reason: &'static str,
    /// The first bytes in hex.
    pub begin: String,
}

/// The payload of `value`, `bytes` long (at least [`PAYLOAD_BYTES_MIN`]).
pub fn encode(value: u64, bytes: usize) -> Bytes {
    let length = bytes.max(PAYLOAD_BYTES_MIN);
    let mut payload = BytesMut::with_capacity(length);
    payload.put_slice(MAGIC);
    payload.put_u32(length as u32);
    payload.put_u64(value);
    payload.extend(padding(value).take(length - PAYLOAD_BYTES_MIN));
    payload.freeze()
}

/// The value that `payload` carries, if every byte is as `encode` wrote it.
pub fn decode(payload: &[u8]) -> Result<u64, CorruptPayload> {
    let corrupt = |reason| CorruptPayload {
        length: payload.len(),
        reason,
        begin: hex(payload.get(..EVIDENCE_BYTES_MAX).unwrap_or(payload)),
    };
    let (magic, rest) = payload
        .split_first_chunk::<4>()
        .ok_or(corrupt("too short"))?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(corrupt("too short"))?;
    let (value, rest) = rest.split_first_chunk::<8>().ok_or(corrupt("too short"))?;
    if magic != MAGIC {
        return Err(corrupt("the magic bytes are not \"VRDT\""));
    }
    if u32::from_be_bytes(*length) as usize != payload.len() {
        return Err(corrupt("the length field differs from the length"));
    }
    let value = u64::from_be_bytes(*value);
    if !padding(value).take(rest.len()).eq(rest.iter().copied()) {
        return Err(corrupt("the padding is not that of the value"));
    }
    Ok(value)
}

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles
        .map(|nibble| char::from(hex_digit(u64::from(nibble))))
        .collect()
}

/// The endless padding of `value`.
fn padding(value: u64) -> impl Iterator<Item = u8> {
    (1_u64..)
        .map(move |i| splitmix64(value.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
        .flat_map(|word| (0..16).map(move |digit| hex_digit(word >> (4 * digit))))
}

fn hex_digit(word: u64) -> u8 {
    let nibble = (word & 0xf) as u8;
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    }
}

/// The finalizer of Vigna's splitmix64.
fn splitmix64(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decode_inverts_encode(value: u64, bytes in 0_usize..600) {
            let payload = encode(value, bytes);
            prop_assert_eq!(payload.len(), bytes.max(PAYLOAD_BYTES_MIN));
            prop_assert_eq!(decode(&payload), Ok(value));
        }

        #[test]
        fn any_changed_byte_is_seen(value: u64, bytes in 24_usize..200, at: usize, flip in 1_u8..) {
            let mut payload = encode(value, bytes).to_vec();
            let at = at % payload.len();
            payload[at] ^= flip;
            prop_assert!(decode(&payload).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn the_message_carries_the_evidence() {
        let error = decode(b"hello").expect_err("not a payload");
        assert_eq!(
            error.to_string(),
            "payload of 5 bytes is corrupt: too short; it begins with 68656c6c6f"
        );
    }
}

//! The fields of group records: big-endian integers, texts and bytes with a length before them,
//! and the compact forms of flexible versions.

use bytes::{Buf, BufMut, Bytes};

use super::RecordError;

fn short() -> RecordError {
    RecordError::new("it ends in the middle of a field")
}

pub(super) fn i16(input: &mut Bytes) -> Result<i16, RecordError> {
    input.try_get_i16().map_err(|_| short())
}

pub(super) fn i32(input: &mut Bytes) -> Result<i32, RecordError> {
    input.try_get_i32().map_err(|_| short())
}

pub(super) fn i64(input: &mut Bytes) -> Result<i64, RecordError> {
    input.try_get_i64().map_err(|_| short())
}

fn take(input: &mut Bytes, length: usize) -> Result<Bytes, RecordError> {
    if length > input.len() {
        return Err(short());
    }
    Ok(input.split_to(length))
}

fn text(bytes: &[u8]) -> Result<String, RecordError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RecordError::new("a text is not UTF-8"))?;
    Ok(text.to_owned())
}

/// A text that must be there.
pub(super) fn string(input: &mut Bytes) -> Result<String, RecordError> {
    nullable_string(input)?.ok_or_else(|| RecordError::new("a text is null"))
}

/// A text, or null: the length -1.
pub(super) fn nullable_string(input: &mut Bytes) -> Result<Option<String>, RecordError> {
    let Ok(length) = usize::try_from(i16(input)?) else {
        return Ok(None);
    };
    text(&take(input, length)?).map(Some)
}

/// Bytes; null reads as none.
pub(super) fn bytes(input: &mut Bytes) -> Result<Bytes, RecordError> {
    let length = usize::try_from(i32(input)?).unwrap_or(0);
    take(input, length)
}

fn unsigned_varint(input: &mut Bytes) -> Result<u32, RecordError> {
    let mut value = 0_u32;
    for index in 0..5 {
        let byte = input.try_get_u8().map_err(|_| short())?;
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(RecordError::new("a length has no end"))
}

/// The length of a compact field: one less than what is written, and null is 0.
pub(super) fn compact_length(input: &mut Bytes) -> Result<Option<usize>, RecordError> {
    Ok((unsigned_varint(input)? as usize).checked_sub(1))
}

/// A text of a flexible version.
pub(super) fn compact_string(input: &mut Bytes) -> Result<Option<String>, RecordError> {
    let Some(length) = compact_length(input)? else {
        return Ok(None);
    };
    text(&take(input, length)?).map(Some)
}

/// Bytes of a flexible version.
pub(super) fn compact_bytes(input: &mut Bytes) -> Result<Bytes, RecordError> {
    let length = compact_length(input)?.unwrap_or(0);
    take(input, length)
}

/// Walks over tagged fields.
pub(super) fn skip_tags(input: &mut Bytes) -> Result<(), RecordError> {
    tag(input, u32::MAX).map(|_| ())
}

/// Walks over tagged fields and picks one.
pub(super) fn tag(input: &mut Bytes, wanted: u32) -> Result<Option<Bytes>, RecordError> {
    let count = unsigned_varint(input)?;
    let mut found = None;
    for _ in 0..count {
        let tag = unsigned_varint(input)?;
        let length = unsigned_varint(input)? as usize;
        let value = take(input, length)?;
        if tag == wanted {
            found = Some(value);
        }
    }
    Ok(found)
}

/// Appends a text; the coordinator refuses longer ones before.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    let length = text.len().min(i16::MAX as usize);
    out.put_i16(length as i16);
    out.put_slice(text.as_bytes().get(..length).unwrap_or_default());
}

/// Appends a text or null.
pub(super) fn put_nullable_string(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => out.put_i16(-1),
        Some(text) => put_string(out, text),
    }
}

fn put_unsigned_varint(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Appends a text of a flexible version.
pub(super) fn put_compact_string(out: &mut Vec<u8>, text: &str) {
    put_unsigned_varint(out, text.len() as u32 + 1);
    out.put_slice(text.as_bytes());
}

/// Appends tagged fields: just this one.
pub(super) fn put_tag(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    put_unsigned_varint(out, 1);
    put_unsigned_varint(out, tag);
    put_unsigned_varint(out, value.len() as u32);
    out.put_slice(value);
}

/// Appends bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

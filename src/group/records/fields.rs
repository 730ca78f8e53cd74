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
    let count = unsigned_varint(input)?;
    for _ in 0..count {
        unsigned_varint(input)?;
        let length = unsigned_varint(input)? as usize;
        take(input, length)?;
    }
    Ok(())
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

/// Appends bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

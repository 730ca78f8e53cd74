//! Frames: a big-endian 32-bit length, then that many bytes, which begin with the API key.
//!
//! In: the bytes that a connection has read so far. Out: the next complete frame, without its
//! length. Invariant: a length beyond its API's limit is refused before space for it is reserved.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

/// The bytes of a length prefix.
pub const LENGTH_BYTES: usize = 4;

/// The smallest request: API key, version and correlation id.
const REQUEST_BYTES_MIN: usize = 8;

/// The smallest response: a correlation id.
const RESPONSE_BYTES_MIN: usize = 4;

/// The largest request of an API that carries no records.
const PLAIN_REQUEST_BYTES_MAX: usize = 1 << 20;

/// The largest response that a client or a broker accepts: a full fetch, with room for headers.
pub const RESPONSE_BYTES_MAX: usize = 128 << 20;

/// A frame that closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length cannot hold a header.
    #[error("a frame of {length} bytes is shorter than the {min} bytes of a header")]
    TooShort {
        /// The length on the wire.
        length: i64,
        /// The shortest legal one.
        min: usize,
    },
    /// The length is beyond the limit of its API.
    #[error("a frame of {length} bytes for API key {api_key} is beyond its limit of {limit} bytes")]
    TooLong {
        /// The length on the wire.
        length: usize,
        /// The API key; -1 in a response.
        api_key: i16,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The first eight bytes of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// The API key; any number.
    pub api_key: i16,
    /// The version of that API; any number.
    pub api_version: i16,
    /// The id that the response has to carry.
    pub correlation_id: i32,
}

/// Reads the beginning of a request frame.
pub fn peek(frame: &[u8]) -> Result<Peek, FrameError> {
    let length = frame.len() as i64;
    let mut head = frame.get(..8).ok_or(FrameError::TooShort {
        length,
        min: REQUEST_BYTES_MIN,
    })?;
    Ok(Peek {
        api_key: head.get_i16(),
        api_version: head.get_i16(),
        correlation_id: head.get_i32(),
    })
}

/// The largest request of `api_key`; `socket_request_bytes_max` bounds those that carry records.
pub fn request_bytes_max(api_key: i16, socket_request_bytes_max: usize) -> usize {
    if api_key == ApiKey::Produce as i16 {
        socket_request_bytes_max
    } else {
        PLAIN_REQUEST_BYTES_MAX.min(socket_request_bytes_max)
    }
}

/// Takes the next request frame off `buffer`, if it is complete.
///
/// Space for the rest of an incomplete frame is reserved once its length is known to be legal.
pub fn next_request(
    buffer: &mut BytesMut,
    socket_request_bytes_max: usize,
) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = frame_length(buffer, REQUEST_BYTES_MIN)? else {
        return Ok(None);
    };
    if length > socket_request_bytes_max {
        let limit = socket_request_bytes_max;
        return Err(FrameError::TooLong {
            length,
            api_key: -1,
            limit,
        });
    }
    let Some(mut key_bytes) = buffer.get(LENGTH_BYTES..LENGTH_BYTES + 2) else {
        return Ok(None);
    };
    let api_key = key_bytes.get_i16();
    let limit = request_bytes_max(api_key, socket_request_bytes_max);
    if length > limit {
        return Err(FrameError::TooLong {
            length,
            api_key,
            limit,
        });
    }
    Ok(take(buffer, length))
}

/// Takes the next response frame off `buffer`, if it is complete.
pub fn next_response(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = frame_length(buffer, RESPONSE_BYTES_MIN)? else {
        return Ok(None);
    };
    if length > RESPONSE_BYTES_MAX {
        return Err(FrameError::TooLong {
            length,
            api_key: -1,
            limit: RESPONSE_BYTES_MAX,
        });
    }
    Ok(take(buffer, length))
}

fn frame_length(buffer: &BytesMut, min: usize) -> Result<Option<usize>, FrameError> {
    let Some(mut prefix) = buffer.get(..LENGTH_BYTES) else {
        return Ok(None);
    };
    let length = prefix.get_i32();
    match usize::try_from(length) {
        Ok(length) if length >= min => Ok(Some(length)),
        _ => Err(FrameError::TooShort {
            length: i64::from(length),
            min,
        }),
    }
}

fn take(buffer: &mut BytesMut, length: usize) -> Option<Bytes> {
    if buffer.len() < LENGTH_BYTES + length {
        buffer.reserve(LENGTH_BYTES + length - buffer.len());
        return None;
    }
    buffer.advance(LENGTH_BYTES);
    Some(buffer.split_to(length).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100 << 20;

    fn buffer(length: i32, body: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
        buffer.extend_from_slice(body);
        buffer
    }

    #[test]
    fn a_complete_frame_leaves_the_next_one_in_the_buffer() {
        let mut buffer = buffer(8, b"\0\x03\0\x01\0\0\0\x07rest");
        let frame = next_request(&mut buffer, MAX).unwrap().unwrap();
        let want = Peek {
            api_key: 3,
            api_version: 1,
            correlation_id: 7,
        };
        assert_eq!(peek(&frame), Ok(want));
        assert_eq!(&buffer[..], b"rest");
    }

    #[test]
    fn an_incomplete_frame_waits() {
        for body in [&b""[..], b"\0", b"\0\x03", b"\0\x03\0\x01\0\0\0"] {
            assert_eq!(next_request(&mut buffer(8, body), MAX), Ok(None));
        }
        assert_eq!(
            next_request(&mut BytesMut::from(&b"\0\0"[..]), MAX),
            Ok(None)
        );
    }

    #[test]
    fn illegal_lengths_are_refused_before_space_is_reserved() {
        for length in [-1, 0, 7, i32::MIN] {
            let error = next_request(&mut buffer(length, b""), MAX).unwrap_err();
            assert_eq!(
                error,
                FrameError::TooShort {
                    length: i64::from(length),
                    min: 8
                }
            );
        }
        let mut long = buffer(i32::MAX, b"");
        assert!(next_request(&mut long, MAX).is_err() && long.capacity() < 1024);
        let mut metadata = buffer(2 << 20, b"\0\x03");
        assert!(next_request(&mut metadata, MAX).is_err() && metadata.capacity() < 1024);
        let mut produce = buffer(2 << 20, b"\0\0");
        assert_eq!(next_request(&mut produce, MAX), Ok(None));
        assert!(produce.capacity() >= 2 << 20);
    }
}

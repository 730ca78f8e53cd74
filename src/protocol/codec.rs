//! Requests and responses to and from frames, for both sides of a connection.
//!
//! In: a frame (without its length) or a message. Out: a message, or a frame with its length.
//! Invariant: undecodable input is an error that closes the connection, never a panic.
//! `kafka-protocol` reserves arrays by the length on the wire (up to 154 GB for 4 bytes): frame
//! limits bound the work, and the binaries' allocator (mimalloc) hands out address space without
//! memory, so that decoding ends in an error instead of an abort.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, RequestHeader as WireHeader, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::frame::{self, FrameError};
use super::versions;

/// A message that closes its connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The frame cannot hold a header.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// No API has this key.
    #[error("unknown API key {0}")]
    UnknownApi(i16),
    /// The node does not serve this version of this API.
    #[error("version {version} of {api:?} is not served")]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// The id that a downgrade answer has to carry.
        correlation_id: i32,
    },
    /// The bytes are not such a message.
    #[error("cannot decode {api:?} version {version}: {reason}")]
    Decode {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// The decoder's words.
        reason: String,
    },
    /// The message has fields that its version cannot carry.
    #[error("cannot encode {api:?} version {version}: {reason}")]
    Encode {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// The encoder's words.
        reason: String,
    },
}

/// What a request's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// The id that the response has to carry.
    pub correlation_id: i32,
    /// The client's own name for itself.
    pub client_id: Option<StrBytes>,
    /// Where the request came from, as far as the shell knows.
    pub peer: Option<IpAddr>,
}

impl RequestHeader {
    /// The caller as a group shows it.
    pub fn client(&self) -> (String, String) {
        let client_id = self.client_id.as_ref().map(ToString::to_string);
        let host = self
            .peer
            .map_or_else(|| "/".to_owned(), |peer| format!("/{peer}"));
        (client_id.unwrap_or_default(), host)
    }
}

/// A decoded request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its header.
    pub header: RequestHeader,
    /// Its body.
    pub body: RequestKind,
}

/// Decodes the request in `frame`, which must be of a served version.
pub fn decode_request(mut frame: Bytes) -> Result<Request, CodecError> {
    let peek = frame::peek(&frame)?;
    let version = peek.api_version;
    let api = ApiKey::try_from(peek.api_key).map_err(|()| CodecError::UnknownApi(peek.api_key))?;
    if !versions::is_served(api, version) {
        let correlation_id = peek.correlation_id;
        return Err(CodecError::UnsupportedVersion {
            api,
            version,
            correlation_id,
        });
    }
    let header = WireHeader::decode(&mut frame, api.request_header_version(version))
        .map_err(|error| decode_error(api, version, &error))?;
    let body = RequestKind::decode(api, &mut frame, version)
        .map_err(|error| decode_error(api, version, &error))?;
    let (correlation_id, client_id) = (header.correlation_id, header.client_id);
    Ok(Request {
        header: RequestHeader {
            api,
            version,
            correlation_id,
            client_id,
            peer: None,
        },
        body,
    })
}

/// Encodes a request, with its length in front.
pub fn encode_request(header: &RequestHeader, body: &RequestKind) -> Result<Bytes, CodecError> {
    let RequestHeader {
        api,
        version,
        correlation_id,
        ref client_id,
        ..
    } = *header;
    let wire = WireHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(client_id.clone());
    with_length(|buffer| {
        wire.encode(buffer, api.request_header_version(version))?;
        body.encode(buffer, version)
    })
    .map_err(|error| encode_error(api, version, &error))
}

/// Encodes a response, with its length in front.
pub fn encode_response(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &ResponseKind,
) -> Result<Bytes, CodecError> {
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    with_length(|buffer| {
        header.encode(buffer, api.response_header_version(version))?;
        body.encode(buffer, version)
    })
    .map_err(|error| encode_error(api, version, &error))
}

/// Decodes the response in `frame` to a request of `api` and `version`: its correlation id and
/// its body.
pub fn decode_response(
    api: ApiKey,
    version: i16,
    mut frame: Bytes,
) -> Result<(i32, ResponseKind), CodecError> {
    let header = ResponseHeader::decode(&mut frame, api.response_header_version(version))
        .map_err(|error| decode_error(api, version, &error))?;
    let body = ResponseKind::decode(api, &mut frame, version)
        .map_err(|error| decode_error(api, version, &error))?;
    Ok((header.correlation_id, body))
}

fn with_length<E>(write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<Bytes, E> {
    let mut buffer = BytesMut::with_capacity(256);
    buffer.put_i32(0);
    write(&mut buffer)?;
    let length = (buffer.len() - frame::LENGTH_BYTES) as i32;
    if let Some(prefix) = buffer.first_chunk_mut::<{ frame::LENGTH_BYTES }>() {
        *prefix = length.to_be_bytes();
    }
    Ok(buffer.freeze())
}

fn decode_error(api: ApiKey, version: i16, error: &impl std::fmt::Display) -> CodecError {
    CodecError::Decode {
        api,
        version,
        reason: error.to_string(),
    }
}

fn encode_error(api: ApiKey, version: i16, error: &impl std::fmt::Display) -> CodecError {
    CodecError::Encode {
        api,
        version,
        reason: error.to_string(),
    }
}

#[cfg(test)]
#[path = "codec_test.rs"]
mod tests;

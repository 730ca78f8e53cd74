//! The four codecs of a batch, with a limit on what comes out.
//!
//! In: the payload of a batch. Out: the same, compressed or decompressed. Invariant: decompressing
//! never yields more than the limit, and never allocates by a size that the payload merely claims.
//! Framings: gzip; snappy as one raw block (librdkafka) or in xerial's frames (Java), written as
//! xerial's; lz4 frames with independent blocks, the only ones that Java reads; zstd frames.
//! Source: Kafka's `Compression` classes, snappy-java's `SnappyOutputStream`.

use std::io::{self, Read, Write};

use super::error::BatchError;
use super::reader::Reader;

/// The default limit on the decompressed records of one batch, in bytes.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// A snappy copy element makes at most 64 bytes of 3.
const SNAPPY_EXPANSION_MAX: usize = 22;
/// A frame whose window is larger than [`DECOMPRESSED_BYTES_MAX`] is refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;
const ZSTD_LEVEL: i32 = 3;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Raw or in xerial's frames.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878; producers may use it from Produce v7 on.
    Zstd,
}

impl Compression {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with number `codec` in the attributes.
    pub fn from_codec(codec: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(codec).ok()?).copied()
    }

    /// The codec's number in the attributes, 0 to 4.
    pub const fn codec(self) -> i16 {
        self as i16
    }

    /// Kafka's name of the codec, as in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec that Kafka calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Compresses `payload`.
    pub(super) fn compress(self, payload: &[u8]) -> Vec<u8> {
        let written = match self {
            Self::None => Ok(payload.to_vec()),
            Self::Gzip => gzip(payload),
            Self::Snappy => snappy(payload),
            Self::Lz4 => lz4(payload),
            Self::Zstd => zstd::stream::encode_all(payload, ZSTD_LEVEL),
        };
        written.expect("invariant: compressing into memory does not fail")
    }

    /// Decompresses `payload` to at most `limit` bytes.
    pub(super) fn decompress(self, payload: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
        match self {
            Self::None => Ok(payload.to_vec()),
            Self::Gzip => read_limited(flate2::read::GzDecoder::new(payload), limit),
            Self::Snappy => unsnappy(payload, limit),
            Self::Lz4 => read_limited(lz4::Decoder::new(payload).map_err(broken)?, limit),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(payload).map_err(broken)?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG_MAX)
                    .map_err(broken)?;
                read_limited(decoder, limit)
            }
        }
    }
}

fn gzip(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(payload)?;
    encoder.finish()
}

fn lz4(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = lz4::EncoderBuilder::new()
        .block_mode(lz4::BlockMode::Independent)
        .block_size(lz4::BlockSize::Max64KB)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .build(Vec::new())?;
    encoder.write_all(payload)?;
    let (written, result) = encoder.finish();
    result.map(|()| written)
}

fn snappy(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut written = XERIAL_MAGIC.to_vec();
    written.extend_from_slice(&1_i32.to_be_bytes());
    written.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in payload.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(block)?;
        written.extend_from_slice(&(block.len() as i32).to_be_bytes());
        written.extend_from_slice(&block);
    }
    Ok(written)
}

fn unsnappy(payload: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut records = Vec::new();
    if !payload.starts_with(&XERIAL_MAGIC) {
        unsnappy_block(payload, limit, &mut records)?;
        return Ok(records);
    }
    let cut_off = || BatchError::Decompress("snappy frame is cut off".to_owned());
    let mut reader = Reader::new(payload);
    reader.take(XERIAL_MAGIC.len() + 8).ok_or_else(cut_off)?;
    while !reader.is_empty() {
        let length = reader.i32().ok_or_else(cut_off)?;
        let length = usize::try_from(length).map_err(|_| cut_off())?;
        let block = reader.take(length).ok_or_else(cut_off)?;
        unsnappy_block(block, limit, &mut records)?;
    }
    Ok(records)
}

fn unsnappy_block(block: &[u8], limit: usize, into: &mut Vec<u8>) -> Result<(), BatchError> {
    let claimed = snap::raw::decompress_len(block).map_err(broken)?;
    if claimed > block.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
        let message = format!("snappy block of {} bytes claims {claimed}", block.len());
        return Err(BatchError::Decompress(message));
    }
    if claimed > limit.saturating_sub(into.len()) {
        return Err(BatchError::TooLarge { limit });
    }
    let records = snap::raw::Decoder::new()
        .decompress_vec(block)
        .map_err(broken)?;
    into.extend_from_slice(&records);
    Ok(())
}

fn read_limited(decoder: impl Read, limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut records = Vec::new();
    let mut bounded = decoder.take(limit as u64 + 1);
    bounded.read_to_end(&mut records).map_err(broken)?;
    if records.len() > limit {
        return Err(BatchError::TooLarge { limit });
    }
    Ok(records)
}

fn broken(error: impl ToString) -> BatchError {
    BatchError::Decompress(error.to_string())
}

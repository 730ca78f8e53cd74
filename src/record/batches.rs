//! Cuts bytes into whole batches, without copying.
//!
//! In: bytes that hold batches one after another, perhaps cut off in the last one (a fetch
//! response). Out: each complete batch, then the end; or an error with its position, then the end.
//! Checksums are not looked at here: see [`RecordBatch::check_crc`].

use bytes::Bytes;

use super::error::{BatchError, PositionedError};
use super::header::{BATCH_HEADER_BYTES, BatchHeader, check_crc};
use super::records::Records;

/// One complete batch: its parsed header and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// The batch at the start of `bytes`; what follows it is ignored.
    pub fn first(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_bytes();
        if needed > bytes.len() {
            let available = bytes.len();
            return Err(BatchError::Truncated { needed, available });
        }
        Ok(Self {
            header,
            bytes: bytes.slice(..needed),
        })
    }

    /// The header's fields.
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header included.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole batch, header included, without its view.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The records as they lie in the batch, perhaps compressed.
    pub(super) fn payload(&self) -> Bytes {
        self.bytes.slice(BATCH_HEADER_BYTES..)
    }

    /// Compares the checksum with the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        check_crc(&self.bytes)
    }

    /// Iterates over the records; compressed ones are first decompressed to at most
    /// `decompressed_bytes_max` bytes.
    pub fn records(&self, decompressed_bytes_max: usize) -> Result<Records, BatchError> {
        Records::of(self, decompressed_bytes_max)
    }
}

/// Iterates over the complete batches in a run of bytes.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    position: usize,
    failed: bool,
}

impl Batches {
    /// Iterates over the batches in `bytes`.
    pub const fn new(bytes: Bytes) -> Self {
        Self {
            rest: bytes,
            position: 0,
            failed: false,
        }
    }

    /// The bytes not yet iterated; after the end, a cut-off batch or nothing.
    pub const fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, PositionedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        match RecordBatch::first(&self.rest) {
            Ok(batch) => {
                let size = batch.bytes.len();
                self.rest = self.rest.slice(size..);
                self.position += size;
                Some(Ok(batch))
            }
            Err(BatchError::Truncated { .. }) => None,
            Err(error) => {
                self.failed = true;
                let position = self.position;
                Some(Err(PositionedError { position, error }))
            }
        }
    }
}

//! Walks over the batches of a segment's file.
//!
//! In: a file, from which byte to which. Out: each batch's position and header, then the end or the
//! first damage. Invariant: memory is bounded by a chunk or one batch that really is in the file.
//! Two modes: headers only (looking for a place) and whole batches with checksums (recovery).

use std::io;

use crate::config::sabotage::{Sabotage, planted};
use crate::record::{BATCH_HEADER_BYTES, BatchHeader, check_crc};

use super::disk::{DiskFile, read_range};

const HEADER_CHUNK_BYTES: usize = 4 << 10;
const WHOLE_CHUNK_BYTES: usize = 1 << 20;

/// What a scan looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Headers: enough where the file is known to be whole.
    Headers,
    /// Every byte, by the checksum.
    Whole,
}

/// One step of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A batch that begins at `position`.
    Batch {
        /// Its first byte in the file.
        position: u64,
        /// Its header.
        header: BatchHeader,
    },
    /// The end of the range, where a batch ends.
    End,
    /// What begins at `position` is no whole batch.
    Damaged {
        /// The first byte that is not part of a whole batch.
        position: u64,
        /// Why not.
        message: String,
    },
}

/// A scan in progress.
#[derive(Debug)]
pub(super) struct Scanner<'a, F> {
    file: &'a F,
    depth: Depth,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_position: u64,
}

impl<'a, F: DiskFile> Scanner<'a, F> {
    /// Scans the bytes from `position`, where a batch begins, to `end`.
    pub(super) const fn new(file: &'a F, depth: Depth, position: u64, end: u64) -> Self {
        Self {
            file,
            depth,
            position,
            end,
            buffer: Vec::new(),
            buffer_position: 0,
        }
    }

    /// The next batch. After `End` or `Damaged` the same comes again.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let position = self.position;
        let rest = self.end.saturating_sub(position);
        if rest == 0 {
            return Ok(Step::End);
        }
        let header_bytes = rest.min(BATCH_HEADER_BYTES as u64) as usize;
        let header = match BatchHeader::parse(self.bytes(header_bytes)?) {
            Ok(header) => header,
            Err(error) => return Ok(damaged(position, error)),
        };
        let size = header.size_bytes() as u64;
        if size > rest {
            let message = format!("the batch needs {size} bytes, the file has {rest}");
            return Ok(damaged(position, message));
        }
        if header.last_offset_delta < 0 || header.base_offset < 0 {
            let message = format!(
                "base offset {} and last offset delta {} must not be negative",
                header.base_offset, header.last_offset_delta
            );
            return Ok(damaged(position, message));
        }
        if self.depth == Depth::Whole
            && !planted(Sabotage::RecoverySkipsCrc)
            && let Err(error) = check_crc(self.bytes(size as usize)?)
        {
            return Ok(damaged(position, error));
        }
        self.position += size;
        Ok(Step::Batch { position, header })
    }

    /// The next `count` bytes, or fewer if the file was cut under us.
    fn bytes(&mut self, count: usize) -> io::Result<&[u8]> {
        let start = self.position.saturating_sub(self.buffer_position) as usize;
        if self.buffer.len() < start + count {
            let chunk = match self.depth {
                Depth::Headers => HEADER_CHUNK_BYTES,
                Depth::Whole => WHOLE_CHUNK_BYTES,
            };
            let rest = self.end - self.position;
            let length = rest.min(chunk.max(count) as u64) as usize;
            self.buffer = read_range(self.file, self.position, length)?;
            self.buffer_position = self.position;
            return Ok(self.buffer.get(..count).unwrap_or(&self.buffer));
        }
        Ok(self.buffer.get(start..start + count).unwrap_or_default())
    }
}

fn damaged(position: u64, message: impl ToString) -> Step {
    Step::Damaged {
        position,
        message: message.to_string(),
    }
}

//! Bytes that a journal keeps on the disk and not in memory.
//!
//! In: ranges of files. Out: [`Span`]s from which the bytes can be put back.
//! Invariant: the file has no name, so nothing is left of it; it is cut to nothing as soon as
//! nobody needs any of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

const CHUNK_BYTES: usize = 256 * 1024;

/// Where bytes lie in a spill file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) length: u64,
}

/// A file without a name that only grows.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    end: u64,
    needed: u64,
}

impl Spill {
    /// An empty one on the file system of `folder`.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self::over(tempfile::tempfile_in(folder)?))
    }

    /// The spans of an earlier one, copied into `file`.
    pub(super) fn over(file: File) -> Self {
        let (end, needed) = (0, 0);
        Self { file, end, needed }
    }

    /// The bytes that somebody still needs.
    pub(super) fn needed(&self) -> u64 {
        self.needed
    }

    /// Keeps the bytes `[offset, offset + length)` of `source`, or as many as there are.
    pub(super) fn keep(&mut self, source: &File, offset: u64, length: u64) -> io::Result<Span> {
        let at = self.end;
        let kept = copy(source, offset, &self.file, at, length)?;
        self.end += kept;
        self.needed += kept;
        Ok(Span { at, length: kept })
    }

    /// Writes the bytes of `span` into `target` at `offset`.
    pub(super) fn put_back(&self, span: Span, target: &File, offset: u64) -> io::Result<()> {
        if copy(&self.file, span.at, target, offset, span.length)? == span.length {
            Ok(())
        } else {
            Err(io::Error::other("the spill file is shorter than its spans"))
        }
    }

    /// Nobody needs `span` any more.
    pub(super) fn release(&mut self, span: Option<Span>) {
        self.needed -= span.map_or(0, |span| span.length);
        if self.needed == 0 && self.end > 0 && self.file.set_len(0).is_ok() {
            self.end = 0;
        }
    }
}

/// Copies up to `length` bytes; how many there were.
fn copy(from: &File, offset: u64, to: &File, at: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES.min(length as usize)];
    let mut done = 0;
    while done < length {
        let want = buffer.len().min((length - done) as usize);
        let Some(part) = buffer.get_mut(..want) else {
            break;
        };
        let count = from.read_at(part, offset + done)?;
        if count == 0 {
            break;
        }
        to.write_all_at(part.get(..count).unwrap_or_default(), at + done)?;
        done += count as u64;
    }
    Ok(done)
}

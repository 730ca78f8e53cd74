//! An append-only file of JSON lines, written by a thread of its own.
//!
//! In: values over a bounded queue. Out: one line each, in the order of the queue.
//! Invariant: whatever happens to the harness, the file is a prefix of the lines plus at most one
//! truncated line: there is one writer, it only appends, and it hands everything to the kernel
//! whenever its queue runs empty. A full queue blocks the producer of values; nothing is dropped.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::Serialize;
use thiserror::Error;

/// Values that may wait for the writer.
const QUEUE_LENGTH_MAX: usize = 64 * 1024;

/// Bytes gathered before a write, while the queue is not empty.
const BUFFER_BYTES: usize = 256 * 1024;

/// The file of lines could not be written; what was written before stands.
#[derive(Debug, Error)]
#[error("cannot write {path}: {source}")]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

enum Message<T> {
    Line(T),
    End,
}

/// The sending end; clones write to the same file.
#[derive(Debug)]
pub struct LineSender<T>(SyncSender<Message<T>>);

impl<T> Clone for LineSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> LineSender<T> {
    /// Appends `value`. After `LineWriter::finish` values go nowhere, and after a write error,
    /// which `finish` reports.
    pub fn append(&self, value: T) {
        let _ = self.0.send(Message::Line(value));
    }
}

/// The writer's thread and its outcome.
pub struct LineWriter {
    path: PathBuf,
    thread: JoinHandle<io::Result<u64>>,
    end: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl LineWriter {
    /// Creates `path`, which must not exist, and starts its writer.
    pub fn create<T>(path: &Path) -> Result<(LineSender<T>, Self), WriteError>
    where
        T: Serialize + Send + 'static,
    {
        let fail = |source| WriteError {
            path: path.to_owned(),
            source,
        };
        let file = File::create_new(path).map_err(fail)?;
        let (sender, receiver) = sync_channel(QUEUE_LENGTH_MAX);
        let thread = std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || write_lines(&receiver, file))
            .map_err(fail)?;
        let at_writer = sender.clone();
        let end = Box::new(move || drop(at_writer.send(Message::End)));
        let path = path.to_owned();
        Ok((LineSender(sender), Self { path, thread, end }))
    }

    /// Waits until every line that was appended before is with the kernel; the number of lines.
    pub fn finish(self) -> Result<u64, WriteError> {
        (self.end)();
        let path = self.path;
        let ended = self
            .thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("writer panicked")));
        ended.map_err(|source| WriteError { path, source })
    }
}

fn write_lines<T: Serialize>(queue: &Receiver<Message<T>>, file: File) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut written = 0;
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            let Message::Line(value) = message else {
                out.flush()?;
                return Ok(written);
            };
            serde_json::to_writer(&mut out, &value)?;
            out.write_all(b"\n")?;
            written += 1;
            next = queue.try_recv().ok();
        }
        out.flush()?;
    }
    out.flush()?;
    Ok(written)
}

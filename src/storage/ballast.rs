//! Space that a log directory keeps for itself, to be given up when the disk is full.
//!
//! In: a log directory. Out: a file of bytes that nobody needs. Each time that something finds no
//! space which would make some, or which the metadata log waits for, a part of the file is cut
//! off, which needs none; once there is space the file is whole again. Invariant: nothing is ever
//! read from it, and a crash may leave any of it. Source: CockroachDB's ballast files.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, Operation};
use super::error::{DiskError, IoContext};
use super::names::{BALLAST, METADATA_TOPIC};
use super::request::DiskRequest;

/// Bytes of a whole ballast.
pub(super) const WHOLE_BYTES: u64 = 64 << 10;

/// Bytes that are given up at a time: a checkpoint of some hundred logs.
const PART_BYTES: u64 = 16 << 10;

/// The ballast of one log directory.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

/// Whether `request` is worth the ballast: it makes space, or the quorum cannot do without it.
pub(super) fn is_worth_it(request: &DiskRequest) -> bool {
    match request {
        DiskRequest::Append { log, .. } | DiskRequest::Flush { log } => {
            &*log.topic == METADATA_TOPIC
        }
        DiskRequest::DeleteLog { .. }
        | DiskRequest::Truncate { .. }
        | DiskRequest::RestartAt { .. }
        | DiskRequest::AdvanceLogStart { .. }
        | DiskRequest::Retain { .. }
        | DiskRequest::WriteElection { .. } => true,
        _ => false,
    }
}

impl Ballast {
    /// The ballast in `directory`, as far as it is there.
    pub(super) fn in_directory(disk: &impl Disk, directory: &Path) -> Result<Self, DiskError> {
        let path = directory.join(BALLAST);
        let bytes = match disk.open(&path) {
            Ok(file) => file.length().during(Operation::Read, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error).during(Operation::Open, &path),
        };
        Ok(Self { path, bytes })
    }

    /// Makes it whole, if there is space for that.
    pub(super) fn fill(&mut self, disk: &impl Disk) -> Result<(), DiskError> {
        // Zeros might take no space.
        let missing = vec![b'.'; WHOLE_BYTES.saturating_sub(self.bytes) as usize];
        if missing.is_empty() {
            return Ok(());
        }
        let mut file = match self.open(disk) {
            Err(error) if error.is_no_space() => return Ok(()),
            file => file?,
        };
        let written = file.write_at(&missing, self.bytes);
        match written.during(Operation::Write, &self.path) {
            Ok(()) => self.bytes = WHOLE_BYTES,
            // A part of it would only take the last space from others.
            Err(error) if error.is_no_space() => return self.cut(&mut file, self.bytes),
            Err(error) => return Err(error),
        }
        file.sync().during(Operation::Sync, &self.path)
    }

    /// Gives up a part of it; whether there was any left.
    pub(super) fn give_up_part(&mut self, disk: &impl Disk) -> Result<bool, DiskError> {
        if self.bytes == 0 {
            return Ok(false);
        }
        let mut file = match self.open(disk) {
            Err(error) if error.is_no_space() => return Ok(false),
            file => file?,
        };
        self.cut(&mut file, self.bytes.saturating_sub(PART_BYTES))?;
        Ok(true)
    }

    fn open<D: Disk>(&self, disk: &D) -> Result<D::File, DiskError> {
        let file = match disk.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(&self.path),
            file => file,
        };
        file.during(Operation::Open, &self.path)
    }

    fn cut(&mut self, file: &mut impl DiskFile, bytes: u64) -> Result<(), DiskError> {
        let cut = file.set_length(bytes);
        cut.during(Operation::SetLength, &self.path)?;
        self.bytes = bytes;
        Ok(())
    }
}

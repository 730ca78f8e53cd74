//! A log that lost records which were durable.
//!
//! In: what recovery or a read found. Out: [`LogDamage`], and a file `damaged` in the log's
//! directory that keeps it over restarts until the log was cut there. Invariant: nothing at or
//! after the damage is served or overwritten; only a truncation at or below it, a restart of the
//! log or its deletion ends it. Source: Protocol-Aware Recovery (FAST'18): what was durable and is
//! unreadable is corruption, not the torn tail of a crash, and must be repaired from others.

use std::path::Path;

use crate::offset::Offset;

use super::atomic_file;
use super::disk::Disk;
use super::error::DiskError;
use super::sealed_text::{seal, unseal};

/// The file that remembers the damage of a log.
pub(super) const DAMAGED: &str = "damaged";

/// Which records of a log are lost, though they were durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records from offset {offset} on, to {lost_to} at least, are lost: {reason}")]
pub struct LogDamage {
    /// The first offset that cannot be read; everything below is whole.
    pub offset: Offset,
    /// The end that the log is known to have had.
    pub lost_to: Offset,
    /// The file, the byte and what is wrong there.
    pub reason: String,
}

/// Remembers the damage in the log's directory, durably.
pub(super) fn write(
    disk: &impl Disk,
    directory: &Path,
    damage: &LogDamage,
) -> Result<(), DiskError> {
    let LogDamage {
        offset,
        lost_to,
        reason,
    } = damage;
    let reason = reason.replace('\n', " ");
    let text = seal(&format!(
        "offset={offset}\nlost.to={lost_to}\nreason={reason}\n"
    ));
    atomic_file::replace(disk, &directory.join(DAMAGED), text.as_bytes())
}

/// The damage that the log's directory remembers. A file that does not read back says nothing:
/// what is damaged will be found again.
pub(super) fn read(disk: &impl Disk, directory: &Path) -> Result<Option<LogDamage>, DiskError> {
    let content = atomic_file::read(disk, &directory.join(DAMAGED))?;
    Ok(content.and_then(|content| parse(unseal(&content).ok()?)))
}

fn parse(text: &str) -> Option<LogDamage> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix('=');
    Some(LogDamage {
        offset: value("offset")?.parse().ok()?,
        lost_to: value("lost.to")?.parse().ok()?,
        reason: value("reason")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory_disk::MemoryDisk;

    #[test]
    fn damage_is_remembered_as_it_was_found() {
        let disk = MemoryDisk::default();
        let directory = Path::new("t-0");
        disk.create_dir(directory).unwrap();
        assert_eq!(read(&disk, directory), Ok(None));
        let damage = LogDamage {
            offset: 12,
            lost_to: 40,
            reason: "t-0/0.log is damaged at byte 7: no batch".to_owned(),
        };
        write(&disk, directory, &damage).unwrap();
        assert_eq!(read(&disk, directory), Ok(Some(damage)));
        disk.corrupt(&directory.join(DAMAGED), |content| content[8] ^= 1);
        assert_eq!(read(&disk, directory), Ok(None));
    }
}

//! What is done differently when a rule hits: writes, fsyncs, reads.
//!
//! In: a decision and an operation. Out: its effect on the files, its bytes in the rule's counters.
//! Invariant: what is refused because its caller is dead changes nothing and counts for no rule.

use fuser::ReplyWrite;
use rustix::io::Errno;

use crate::disk::decide::{Act, Decision};
use crate::disk::files::Answer;
use crate::disk::files::data::Mark;
use crate::disk::files::space::errno;
use crate::disk::volume::Volume;

/// The answer of something that rules can only delay or refuse.
pub(super) fn unless_refused<T>(
    volume: &Volume,
    decision: Decision,
    perform: impl FnOnce(&Volume) -> Answer<T>,
) -> Answer<T> {
    match decision.act {
        Act::Refuse(error) => Err(errno(error)),
        _ => perform(volume),
    }
}

/// Writes as much as the decision lets, and answers.
pub(super) fn write(
    volume: &Volume,
    decision: Decision,
    (number, handle, offset): (u64, u64, u64),
    data: &[u8],
    drops_set_id: bool,
    reply: ReplyWrite,
) {
    let asked = data.len();
    let data = data.get(..part(decision.act, asked as u64) as usize);
    let data = data.unwrap_or_default();
    let written = volume.within(
        decision,
        asked as u64,
        |files, limit| {
            if drops_set_id {
                files.drop_set_id(number)?;
            }
            files.write(handle, offset, data, limit)
        },
        |written| (asked as u64).saturating_sub(u64::from(*written)),
    );
    match (written, decision.act) {
        (Ok(written), Act::Torn(_)) => {
            volume.add_bytes(decision, asked as u64 - u64::from(written));
            reply.error(fuser::Errno::EIO);
            // The kernel takes a failed write for none.
            volume.forget_pages(number);
        }
        (Ok(written), act) => {
            if act == Act::Half {
                halve(volume, decision, asked as u64 - u64::from(written));
            }
            reply.written(written);
        }
        (Err(error), _) => reply.error(fuser::Errno::from_i32(error.raw_os_error())),
    }
}

/// A write left out its last `missing` bytes: of a single byte there is no half.
fn halve(volume: &Volume, decision: Decision, missing: u64) {
    if missing > 0 {
        volume.add_hit(decision);
        volume.add_bytes(decision, missing);
    }
}

/// How much of `asked` bytes is written.
fn part(act: Act, asked: u64) -> u64 {
    match act {
        Act::Half => asked.div_ceil(2),
        Act::Torn(bytes) => asked.min(u64::from(bytes)),
        _ => asked,
    }
}

/// Copies as much of `length` bytes as the decision lets; how much that was.
pub(super) fn copy(
    volume: &Volume,
    decision: Decision,
    from: (u64, u64),
    to: (u64, u64),
    length: u64,
) -> Answer<u32> {
    let asked = volume.files().copy_length(from, length)?;
    let copied = volume.within(
        decision,
        asked,
        |files, limit| files.copy(from, to, part(decision.act, asked), limit),
        |_| 0,
    )?;
    let missing = asked.saturating_sub(u64::from(copied));
    match decision.act {
        Act::Torn(_) => {
            volume.add_bytes(decision, missing);
            Err(Errno::IO)
        }
        Act::Half => {
            halve(volume, decision, missing);
            Ok(copied)
        }
        _ => Ok(copied),
    }
}

/// Makes a file as of `mark` durable, or says so, or fails.
pub(super) fn sync(volume: &Volume, decision: Decision, number: u64, mark: Mark) -> Answer<()> {
    let mut files = volume.files();
    match decision.act {
        Act::AsAsked | Act::Within { .. } | Act::Half | Act::Torn(_) | Act::Flip(_) => {
            files.sync(number, mark)
        }
        Act::Lie => {
            volume.add_bytes(decision, files.unsynced(number, mark));
            Ok(())
        }
        Act::Refuse(error) => {
            // Refused because its caller is dead or the power gone, it changes nothing.
            if decision.actor.is_some() {
                volume.add_bytes(decision, files.unsynced(number, mark));
                files.lose_writes(number, mark)?;
            }
            Err(errno(error))
        }
    }
}

/// Flips one bit of the first page, which is the one that was asked for; the bytes that changed.
pub(super) fn flip(bytes: &mut [u8], decision: Decision) -> u64 {
    let Act::Flip(draw) = decision.act else {
        return 0;
    };
    let first = bytes.len().min(4096) as u64;
    if first == 0 {
        return 0;
    }
    let bit = draw % (first * 8);
    if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
    1
}

/// Makes the names of a directory as of `mark` durable, or says so, or fails.
pub(super) fn sync_directory(
    volume: &Volume,
    decision: Decision,
    number: u64,
    mark: Mark,
) -> Answer<()> {
    match decision.act {
        Act::Lie => Ok(()),
        _ => unless_refused(volume, decision, |volume| {
            volume.files().sync_directory(number, mark)
        }),
    }
}

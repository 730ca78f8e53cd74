//! What is done differently when a rule hits: writes, fsyncs, reads.
//!
//! In: a decision and an operation. Out: its effect on the files, its bytes in the rule's counters.
//! Invariant: what is refused because its caller is dead changes nothing and counts for no rule.

use fuser::ReplyWrite;

use crate::disk::decide::{Act, Decision};
use crate::disk::files::Answer;
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
    let data = match decision.act {
        Act::Half => data.get(..asked.div_ceil(2)),
        Act::Torn(bytes) => data.get(..asked.min(bytes as usize)),
        _ => Some(data),
    };
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
                volume.add_bytes(decision, asked as u64 - u64::from(written));
            }
            reply.written(written);
        }
        (Err(error), _) => reply.error(fuser::Errno::from_i32(error.raw_os_error())),
    }
}

/// Makes a file durable, or says so, or fails.
pub(super) fn sync(volume: &Volume, decision: Decision, number: u64) -> Answer<()> {
    let mut files = volume.files();
    match decision.act {
        Act::AsAsked | Act::Within { .. } | Act::Half | Act::Torn(_) | Act::Flip(_) => {
            files.sync(number)
        }
        Act::Lie => {
            volume.add_bytes(decision, files.unsynced(number));
            Ok(())
        }
        Act::Refuse(error) => {
            // Refused because its caller is dead or the power gone, it changes nothing.
            if decision.actor.is_some() {
                volume.add_bytes(decision, files.unsynced(number));
                files.lose_writes(number)?;
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

/// Makes the names of a directory durable, or says so, or fails.
pub(super) fn sync_directory(volume: &Volume, decision: Decision, number: u64) -> Answer<()> {
    match decision.act {
        Act::Lie => Ok(()),
        _ => unless_refused(volume, decision, |volume| {
            volume.files().sync_directory(number)
        }),
    }
}

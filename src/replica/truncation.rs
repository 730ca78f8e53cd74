//! Where a diverging follower cuts its log.
//!
//! In: the follower's epochs and the leader's answer. Out: the offset from which the logs may
//! differ. Invariant: the target is never above the end of the log, and never below a record that
//! both logs have in the same epoch, so no committed record is cut.
//! Source: KIP-101, KIP-279, KIP-595; Kafka's `getOffsetTruncationState`.

use crate::log::{EpochCache, EpochEnd};
use crate::offset::Offset;

/// The new end of the log.
///
/// If the follower lacks the leader's epoch, it cuts at the end of the next lower one it has, and
/// will be told again to diverge, one epoch further down (KIP-279).
pub(super) fn truncation_target(
    epochs: &EpochCache,
    log_end_offset: Offset,
    diverging: EpochEnd,
) -> Offset {
    match epochs.end_offset_for(diverging.epoch, log_end_offset) {
        None => diverging.end_offset.min(log_end_offset),
        Some(local) if local.epoch != diverging.epoch => local.end_offset.min(log_end_offset),
        Some(local) => local
            .end_offset
            .min(diverging.end_offset)
            .min(log_end_offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::EpochEntry;

    #[test]
    fn kip279_targets_follow_the_table() {
        let entries = [(2, 10), (4, 20), (7, 35)];
        let entries = entries.map(|(epoch, start_offset)| EpochEntry {
            epoch,
            start_offset,
        });
        let epochs = EpochCache::from_entries(entries);
        let check = |epoch, end_offset, expected| {
            let target = truncation_target(&epochs, 50, EpochEnd { epoch, end_offset });
            assert_eq!(
                target, expected,
                "diverging at epoch {epoch} end {end_offset}"
            );
        };
        check(7, 40, 40);
        check(7, 60, 50);
        check(4, 30, 30);
        check(4, 99, 35);
        check(5, 30, 35);
        check(3, 15, 20);
        check(1, 5, 5);
        check(8, 45, 45);
        check(8, 99, 50);
    }
}

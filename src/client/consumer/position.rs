//! Where a consumer stands in one partition.
//!
//! Two pointers: what the application has been given (`wanted`), and where the next fetch begins
//! (`fetch_from`), which runs ahead by what is buffered and by control records.
//! Invariant: `fetch_from`, where set, is at or behind no offset that was given out.

use crate::offset::{LeaderEpoch, Offset};

/// The next offset to give to the application, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Not known: the reset policy decides.
    #[default]
    Unknown,
    /// Not known: the group's committed offset decides.
    Committed,
    /// The beginning of the log, not yet looked up.
    Beginning,
    /// The end of the log, not yet looked up.
    End,
    /// This offset; `leader_epoch` is that of the record before it, if one was read.
    At {
        offset: Offset,
        leader_epoch: Option<LeaderEpoch>,
    },
}

/// The position in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) wanted: Wanted,
    pub(super) fetch_from: Option<Offset>,
    /// The number of the lookup that is to say where it is.
    pub(super) lookup: Option<u64>,
    /// The newest leader epoch in which a leader has confirmed the position.
    pub(super) confirmed_epoch: LeaderEpoch,
}

impl Position {
    /// Goes elsewhere; whatever was on its way for the former position is of no use any more.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.fetch_from = None;
        self.lookup = None;
    }

    /// Where the next fetch begins; `None` while it is not known or records are buffered.
    pub(super) fn next_fetch(&self) -> Option<Offset> {
        match self.wanted {
            Wanted::At { offset, .. } => match self.fetch_from {
                None => Some(offset),
                Some(from) if from == offset => Some(offset),
                Some(_) => None,
            },
            Wanted::Unknown | Wanted::Committed | Wanted::Beginning | Wanted::End => None,
        }
    }

    /// The epoch of the last record that was given out, if the leader of epoch `current` has not
    /// confirmed yet that it holds that record.
    pub(super) fn unconfirmed_epoch(&self, current: LeaderEpoch) -> Option<LeaderEpoch> {
        match self.wanted {
            Wanted::At { leader_epoch, .. } => {
                leader_epoch.filter(|_| self.confirmed_epoch < current)
            }
            Wanted::Unknown | Wanted::Committed | Wanted::Beginning | Wanted::End => None,
        }
    }

    /// Everything fetched was given out: the application's position moves over what carries no
    /// records.
    pub(super) fn catch_up(&mut self) {
        if let (Wanted::At { offset, .. }, Some(from)) = (&mut self.wanted, self.fetch_from) {
            *offset = (*offset).max(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_while_records_are_buffered() {
        let wanted = Wanted::At {
            offset: 3,
            leader_epoch: None,
        };
        let mut position = Position {
            wanted,
            fetch_from: Some(5),
            lookup: None,
            confirmed_epoch: 0,
        };
        assert_eq!(position.next_fetch(), None);
        position.catch_up();
        assert_eq!(position.next_fetch(), Some(5));
    }
}

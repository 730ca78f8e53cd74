//! The end of a broker: leaderships, quorum, disks, in this order.
//!
//! In: the wish to stop, time. Out: `Effect::Stopped`, when everything on disk is flushed and the
//! marker of a clean shutdown is written. Invariant: the marker is written last, and only after
//! the broker stopped appending. Source: Kafka's `BrokerServer.shutdown`, KIP-966 (the marker).

use std::time::Duration;

use tracing::{info, warn};

use super::disk_events::DiskPurpose;
use super::effects::Effect;
use super::{Broker, is_due};
use crate::offset::BrokerEpoch;
use crate::storage::{DiskError, DiskReply, DiskRequest};
use crate::time::{Now, Time};

/// How long a leader of the quorum waits for another one.
const WITHDRAW_MAX: Duration = Duration::from_millis(500);
/// How long leaderships may take to move, as a multiple of the broker's session.
const HAND_OVER_SESSIONS: u32 = 2;
/// The longest that leaderships may take to move.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);

/// How far the end has come.
#[derive(Debug, Default)]
pub(super) enum Closing {
    /// The broker lives.
    #[default]
    No,
    /// Leaderships of partitions move; the epoch of this life goes into the marker.
    HandingOver(Option<BrokerEpoch>),
    /// The quorum finds another leader, until then at the latest.
    Withdrawing(Option<BrokerEpoch>, Time),
    /// So many directories have yet to close.
    Flushing(usize),
}

impl Closing {
    /// Whether nothing but the disks' last completions counts any more.
    pub(super) fn is_flushing(&self) -> bool {
        matches!(self, Self::Flushing(_))
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        match self {
            Self::Withdrawing(_, until) => Some(*until),
            Self::No | Self::HandingOver(_) | Self::Flushing(_) => None,
        }
    }
}

impl Broker {
    /// Begins a controlled shutdown; `Effect::Stopped` ends it.
    pub fn handle_shutdown(&mut self, now: Now) {
        if !matches!(self.closing, Closing::No) {
            return;
        }
        info!(broker = %self.id, "shutting down");
        let session = self.settings.millis("broker.session.timeout.ms");
        let patience = (session * HAND_OVER_SESSIONS).min(HAND_OVER_MAX);
        self.closing = Closing::HandingOver(self.lifecycle.broker_epoch());
        let patience = if self.settings.flag("controlled.shutdown.enable") {
            patience
        } else {
            Duration::ZERO
        };
        self.lifecycle_shut_down(now, patience);
        self.settle(now);
    }

    /// Takes the next step towards the end, if it is time.
    pub(super) fn continue_closing(&mut self, now: Now) {
        if let Closing::HandingOver(epoch) = self.closing
            && self.lifecycle.is_released()
        {
            self.quorum.handle_shutdown(now);
            self.closing = Closing::Withdrawing(epoch, now.time + WITHDRAW_MAX);
            self.perform_quorum_effects(now);
        }
        if let Closing::Withdrawing(epoch, until) = self.closing
            && (self.quorum.has_withdrawn() || is_due(Some(until), now))
        {
            self.close_directories(epoch);
        }
    }

    fn close_directories(&mut self, broker_epoch: Option<BrokerEpoch>) {
        self.checkpoint_high_watermarks();
        let online = self
            .directories
            .iter()
            .enumerate()
            .filter(|(_, dir)| dir.is_online());
        let online: Vec<_> = online.map(|(index, _)| index).collect();
        self.closing = Closing::Flushing(online.len());
        if online.is_empty() {
            self.effects.push(Effect::Stopped);
        }
        for directory in online {
            self.disk(
                directory,
                DiskRequest::Close { broker_epoch },
                DiskPurpose::Close,
            );
        }
    }

    pub(super) fn handle_closed(&mut self, result: Result<DiskReply, DiskError>) {
        if let Err(error) = result {
            warn!(%error, "a log directory could not be closed cleanly");
        }
        if let Closing::Flushing(left) = &mut self.closing {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.effects.push(Effect::Stopped);
            }
        }
    }
}

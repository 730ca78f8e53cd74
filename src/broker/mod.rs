//! The broker: the composition of the cores, still without I/O.
//!
//! In: requests of connections, answers of peers, completions of disks, time. Out: `Effect`s.
//! Invariants: no response leaves before the event that completes its effect arrived; every
//! request is answered, omitted or closed exactly once; metadata is acted upon only when the
//! quorum has committed it. Source: Kafka's `KafkaApis`, `BrokerServer`, `ReplicaManager`.

mod assignments;
mod closing;
mod controller;
mod controller_refusal;
mod controller_wire;
mod directories;
mod disk_events;
pub mod effects;
mod farewell;
mod fetcher;
mod forward;
mod groups;
mod handle;
mod image_apply;
mod lifecycle;
mod metadata_log;
mod partition;
mod peer_events;
mod purgatory;
mod quorum_fetch_wire;
mod quorum_node;
mod quorum_wire;
mod start;
mod state_log;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use kafka_protocol::messages::ResponseKind;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::config::Settings;
use crate::id::{BrokerId, TopicPartition};
use crate::metadata::MetadataImage;
use crate::metadata::controller::Controller;
use crate::quorum::Quorum;
use crate::replica::EligibleBrokers;
use crate::storage::DiskError;
use crate::time::{Now, Time};

use self::assignments::Assignments;
use self::closing::Closing;
use self::controller::Releases;
use self::directories::Directory;
use self::disk_events::Operation;
use self::effects::{Correlation, DirectoryIndex, DiskToken, Effect, PeerError, RequestId};
use self::farewell::Farewell;
use self::fetcher::Fetchers;
use self::forward::Forwards;
use self::groups::Groups;
use self::handle::{OffsetLookups, ProduceRequests, ProducerIds};
use self::lifecycle::Lifecycle;
use self::partition::{Partition, PartitionKey};
use self::peer_events::PeerPurpose;
use self::purgatory::Purgatory;
use self::timers::Timers;

pub use self::groups::OFFSETS_TOPIC;
pub use self::image_apply::UnclaimedLog;
pub use self::metadata_log::from_record_batches as metadata_batches;
pub use self::quorum_wire::METADATA_TOPIC;
pub use self::start::{DirectoryStart, StartError, Startup};

/// One broker, controller candidate and voter.
#[derive(Debug)]
pub struct Broker {
    settings: Arc<Settings>,
    id: BrokerId,
    incarnation_id: Uuid,
    directories: Vec<Directory>,
    effects: Vec<Effect>,
    last_id: u64,
    operations: FxHashMap<DiskToken, Operation>,
    /// Operations that an offline directory refused.
    refused_operations: VecDeque<(Operation, DiskError)>,
    /// Logs that are to be flushed after all that this turn appends to them.
    due_flushes: BTreeMap<TopicPartition, (DirectoryIndex, PartitionKey)>,
    peer_purposes: FxHashMap<Correlation, PeerPurpose>,
    local_answers: VecDeque<(Correlation, Result<Box<ResponseKind>, PeerError>)>,
    quorum: Quorum,
    controller: Option<Controller>,
    controller_seed: u64,
    releases: Releases,
    image: MetadataImage,
    /// The image that the replicas obey.
    obeyed: MetadataImage,
    lifecycle: Lifecycle,
    forwards: Forwards,
    eligible: Arc<EligibleBrokers>,
    assignments: Assignments,
    unclaimed: BTreeMap<TopicPartition, Vec<UnclaimedLog>>,
    partitions: BTreeMap<TopicPartition, Partition>,
    replica_timers: BTreeSet<(Time, TopicPartition)>,
    fetchers: Fetchers,
    purgatory: Purgatory,
    produces: ProduceRequests,
    lookups: OffsetLookups,
    producer_ids: ProducerIds,
    groups: Groups,
    timers: Timers,
    closing: Closing,
    /// Set once this node has left the quorum and is about to end.
    farewell: Option<Farewell>,
}

impl Broker {
    /// What must be done now, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.ask_for_due_flushes();
        std::mem::take(&mut self.effects)
    }

    /// When `handle_timeout` must be called next.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.closing.is_flushing() {
            return None;
        }
        [
            self.quorum.next_timeout(),
            self.controller.as_ref().and_then(Controller::next_timeout),
            self.lifecycle.next_timeout(),
            self.forwards.next_timeout(),
            self.replica_timers.first().map(|(time, _)| *time),
            self.fetchers.next_timeout(),
            self.purgatory.next_timeout(),
            self.directories_next_timeout(),
            self.assignments.next_timeout(),
            self.producer_ids.next_timeout(),
            self.groups.next_timeout(),
            Some(self.timers.next_timeout()),
            self.closing.next_timeout(),
            self.farewell_next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has reached `next_timeout`.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.closing.is_flushing() {
            return;
        }
        if is_due(self.quorum.next_timeout(), now) {
            self.quorum.handle_timeout(now);
        }
        self.controller_timeout(now);
        self.farewell_timeout(now);
        self.lifecycle_timeout(now);
        self.directories_timeout(now);
        self.forwards_timeout(now);
        self.replicas_timeout(now);
        self.purgatory_timeout(now);
        self.producer_ids_timeout(now);
        self.groups_timeout(now);
        self.periodic_timeout(now);
        self.settle(now);
    }

    /// Nobody waits for the answer to `request` any more: its connection is closed.
    pub fn handle_cancelled(&mut self, request: RequestId) {
        self.purgatory.cancel(request);
        self.forwards.cancel(request);
        for directory in &mut self.directories {
            directory.held.retain(|held| held.request != request);
        }
    }

    /// Lets the parts of the broker act on each other until nothing is left to do.
    fn settle(&mut self, now: Now) {
        loop {
            let mut acted = self.perform_quorum_effects(now);
            self.activate_controller(now);
            while let Some((correlation, result)) = self.local_answers.pop_front() {
                self.dispatch_peer_answer(now, correlation, result);
                acted = true;
            }
            acted |= self.dispatch_refused_operations(now);
            acted |= self.send_assignments(now);
            acted |= self.serve_groups(now);
            acted |= self.serve_woken_fetches(now);
            acted |= self.send_due_fetches(now);
            if !acted {
                break;
            }
        }
        self.continue_closing(now);
    }

    /// A fresh id for a correlation, a disk token or a parked fetch.
    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn respond(&mut self, request: RequestId, response: impl Into<ResponseKind>) {
        self.effects.push(Effect::Respond {
            request,
            response: Box::new(response.into()),
        });
    }

    fn metadata_directory(&self) -> DirectoryIndex {
        let is_metadata = |dir: &std::path::PathBuf| *dir == self.settings.metadata_log_dir;
        self.settings
            .log_dirs
            .iter()
            .position(is_metadata)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod acknowledge_test;
#[cfg(test)]
mod broker_test;
#[cfg(test)]
mod directories_test;
#[cfg(test)]
mod groups_test;

/// Whether a timeout has come.
fn is_due(timeout: Option<Time>, now: Now) -> bool {
    timeout.is_some_and(|time| time <= now.time)
}

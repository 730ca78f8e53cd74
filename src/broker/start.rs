//! The birth of a broker from its settings and what recovery found.
//!
//! In: `Startup`. Out: a `Broker` whose first effects are ready. Invariant: the metadata log is
//! never a partition of a client; everything else waits for the metadata to claim it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::Broker;
use super::assignments::Assignments;
use super::closing::Closing;
use super::controller::Releases;
use super::directories::Directory;
use super::disk_events::DiskPurpose;
use super::fetcher::Fetchers;
use super::forward::Forwards;
use super::groups::Groups;
use super::handle::{OffsetLookups, ProduceRequests, ProducerIds};
use super::image_apply::UnclaimedLog;
use super::lifecycle::Lifecycle;
use super::purgatory::Purgatory;
use super::timers::Timers;
use crate::config::Settings;
use crate::id::TopicPartition;
use crate::metadata::MetadataImage;
use crate::offset::{BrokerEpoch, NO_BROKER_EPOCH};
use crate::quorum::{self, Quorum};
use crate::storage::{DiskRequest, LogOptions, METADATA_TOPIC_ID, metadata_partition};
use crate::time::Now;

pub use crate::quorum::StartError;

/// What a broker starts with.
#[derive(Debug)]
pub struct Startup {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Random, different for every life of every node.
    pub seed: u64,
    /// Random, the id of this process.
    pub incarnation_id: Uuid,
    /// What became of `log.dirs`, in their order.
    pub directories: Vec<DirectoryStart>,
    /// The partitions' logs that recovery found, the metadata log aside. Of several logs of one
    /// partition the one in the directory that the controller knows is used.
    pub logs: BTreeMap<TopicPartition, Vec<UnclaimedLog>>,
    /// What the quorum starts with.
    pub quorum: quorum::Recovered,
    /// The epoch of the last life, if it ended cleanly.
    pub previous_broker_epoch: Option<BrokerEpoch>,
}

/// One of `log.dirs` at start.
#[derive(Clone, Debug)]
pub enum DirectoryStart {
    /// It is open and has this id.
    Open(Uuid),
    /// It is offline, for this reason, until `handle_directory_opened`.
    Late(String),
    /// It is offline, for this reason, as long as the process lives.
    Failed(String),
}

impl Broker {
    /// A broker that begins to live now.
    pub fn new(now: Now, startup: Startup) -> Result<Self, StartError> {
        let Startup {
            settings,
            seed,
            incarnation_id,
            directories,
            logs,
            quorum,
            ..
        } = startup;
        let config = quorum_config(&settings);
        let quorum = Quorum::new(now, config, seed, quorum)?;
        let previous = startup.previous_broker_epoch.unwrap_or(NO_BROKER_EPOCH);
        let directories = directories.into_iter().map(Directory::new);
        let mut broker = Self {
            id: settings.node_id,
            incarnation_id,
            directories: directories.collect(),
            effects: Vec::new(),
            last_id: 0,
            operations: FxHashMap::default(),
            refused_operations: std::collections::VecDeque::new(),
            due_flushes: BTreeMap::new(),
            peer_purposes: FxHashMap::default(),
            local_answers: std::collections::VecDeque::new(),
            quorum,
            controller: None,
            controller_seed: seed,
            releases: Releases::default(),
            image: MetadataImage::empty(),
            obeyed: MetadataImage::empty(),
            lifecycle: Lifecycle::new(now.time, &settings, previous),
            forwards: Forwards::default(),
            eligible: Arc::default(),
            assignments: Assignments::default(),
            unclaimed: logs,
            partitions: BTreeMap::new(),
            replica_timers: std::collections::BTreeSet::new(),
            fetchers: Fetchers::default(),
            purgatory: Purgatory::default(),
            produces: ProduceRequests::default(),
            lookups: OffsetLookups::default(),
            producer_ids: ProducerIds::default(),
            groups: Groups::new(&settings, seed),
            timers: Timers::new(now.time, &settings),
            closing: Closing::default(),
            farewell: None,
            settings,
        };
        let request = DiskRequest::CreateLog {
            log: metadata_partition(),
            topic_id: METADATA_TOPIC_ID,
            options: LogOptions::default(),
        };
        let directory = broker.metadata_directory();
        broker.disk(directory, request, DiskPurpose::QuorumStep);
        broker.settle(now);
        Ok(broker)
    }
}

fn quorum_config(settings: &Settings) -> quorum::Config {
    let voters = settings.voters.iter().map(|voter| voter.id).collect();
    let fetch_timeout = settings.millis("controller.quorum.fetch.timeout.ms");
    let mut config = quorum::Config::new(settings.node_id, voters);
    config.election_timeout = settings.millis("controller.quorum.election.timeout.ms");
    config.fetch_timeout = fetch_timeout;
    config.fetch_max_wait = (fetch_timeout / 4).min(Duration::from_millis(500));
    config.request_timeout = settings.millis("controller.quorum.request.timeout.ms");
    let backoff_max = settings.millis("controller.quorum.election.backoff.max.ms");
    config.retry_backoff = config.retry_backoff.min(backoff_max);
    config
}

//! Followers' fetches: which partitions are fetched from which leader, and when.
//!
//! In: replicas that may fetch, answers of leaders. Out: Fetch requests. Invariants: a partition
//! is in at most one fetch at a time; an answer is given to the replica with the position that it
//! was asked for, so stale answers are recognised. Two fetches may be under way to each leader:
//! while one waits for data, partitions that became ready since go with the other; and a fetch
//! waits (briefly) until the disk took the last answer, so that it asks for all its partitions.
//! Source: Kafka's `AbstractFetcherThread`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{
    self as wire, ApiKey, ResponseKind, fetch_request, fetch_response, list_offsets_request,
};
use tracing::{debug, warn};
use uuid::Uuid;

use super::Broker;
use super::effects::{Channel, Correlation, PeerError};
use super::handle::wire_topic_name;
use super::partition::PartitionKey;
use super::peer_events::PeerPurpose;
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicPartition};
use crate::log::{EpochEnd, LogBatch};
use crate::offset::LeaderEpoch;
use crate::protocol::versions;
use crate::replica::{FetchPosition, FetchedPartition, LeaderOffsets, Replica};
use crate::time::{Now, Time};

/// How long a fetch waits for the disk to take the answer before.
const SETTLE_MAX: Duration = Duration::from_millis(50);
/// The pause after a leader could not be reached.
const RETRY: Duration = Duration::from_millis(50);
/// The channels of the two fetches to each leader.
const CHANNELS: [Channel; 2] = [Channel::Fetch, Channel::FetchToo];

/// One of the fetches to a leader.
#[derive(Debug, Default)]
struct Slot {
    in_flight: Option<(Correlation, BTreeMap<TopicPartition, FetchPosition>)>,
    settling: BTreeSet<TopicPartition>,
    settled_by: Time,
}

/// What is fetched from one leader.
#[derive(Debug, Default)]
struct Leader {
    ready: BTreeSet<TopicPartition>,
    slots: [Slot; 2],
    not_before: Option<Time>,
}

/// The fetches of this broker's followers.
#[derive(Debug, Default)]
pub(super) struct Fetchers(BTreeMap<BrokerId, Leader>);

impl Fetchers {
    /// `partition` has something to fetch from `leader`.
    pub(super) fn mark(&mut self, leader: BrokerId, partition: &TopicPartition) {
        let leader = self.0.entry(leader).or_default();
        for slot in &mut leader.slots {
            slot.settling.remove(partition);
        }
        leader.ready.insert(partition.clone());
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        let leaders = self.0.values();
        let due = leaders.flat_map(|leader| {
            let waits = !leader.ready.is_empty();
            let settling = leader
                .slots
                .iter()
                .filter(move |slot| waits && slot.in_flight.is_none() && !slot.settling.is_empty());
            let backoff = leader.not_before.filter(|_| waits);
            settling.map(|slot| slot.settled_by).chain(backoff)
        });
        due.min()
    }
}

impl Leader {
    /// The slot that may send now.
    fn idle_slot(&mut self, now: Now) -> Option<usize> {
        if self.not_before.is_some_and(|time| now.time < time) {
            return None;
        }
        self.not_before = None;
        self.slots.iter().position(|slot| {
            let settled = slot.settling.is_empty() || slot.settled_by <= now.time;
            slot.in_flight.is_none() && settled
        })
    }

    fn is_in_flight(&self, partition: &TopicPartition) -> bool {
        self.slots.iter().any(|slot| {
            let sent = slot.in_flight.as_ref();
            sent.is_some_and(|(_, positions)| positions.contains_key(partition))
        })
    }
}

impl Broker {
    /// Sends the fetches that are due. Whether there were any.
    pub(super) fn send_due_fetches(&mut self, now: Now) -> bool {
        let mut sent = false;
        let leaders: Vec<_> = self.fetchers.0.keys().copied().collect();
        for leader in leaders {
            sent |= self.send_fetch(now, leader);
        }
        sent
    }

    fn send_fetch(&mut self, now: Now, leader: BrokerId) -> bool {
        let Some(state) = self.fetchers.0.get_mut(&leader) else {
            return false;
        };
        if state.ready.is_empty() {
            return false;
        }
        let Some(slot) = state.idle_slot(now) else {
            return false;
        };
        let Some(channel) = CHANNELS.get(slot).copied() else {
            return false;
        };
        let Some(endpoint) = self.broker_endpoint(leader) else {
            return false;
        };
        let positions = self.fetch_positions(leader);
        if positions.is_empty() {
            return false;
        }
        let body = self.fetch_request(&positions);
        let wait = self.settings.millis("replica.fetch.wait.max.ms");
        let timeout = wait + self.settings.millis("replica.socket.timeout.ms");
        let message = (ApiKey::Fetch, versions::newest(ApiKey::Fetch), body.into());
        let purpose = PeerPurpose::Fetch { leader };
        let correlation = self.send((leader, endpoint), channel, message, timeout, purpose);
        if let Some(state) = self.fetchers.0.get_mut(&leader)
            && let Some(slot) = state.slots.get_mut(slot)
        {
            slot.settling.clear();
            slot.in_flight = Some((correlation, positions));
        }
        true
    }

    /// Takes the partitions that are ready, still follow `leader`, and are not under way.
    fn fetch_positions(&mut self, leader: BrokerId) -> BTreeMap<TopicPartition, FetchPosition> {
        let Some(state) = self.fetchers.0.get_mut(&leader) else {
            return BTreeMap::new();
        };
        let mut positions = BTreeMap::new();
        let ready = std::mem::take(&mut state.ready);
        for name in ready {
            if state.is_in_flight(&name) {
                // Its answer is on the way and will mark it again, or be stale and do so too.
                continue;
            }
            let partition = self.partitions.get(&name);
            let next = partition.and_then(|partition| partition.replica.next_fetch());
            if let Some(next) = next.filter(|next| next.leader == leader) {
                positions.insert(name, next.position);
            }
        }
        positions
    }

    fn fetch_request(
        &self,
        positions: &BTreeMap<TopicPartition, FetchPosition>,
    ) -> wire::FetchRequest {
        let partition_max = self.settings.int("replica.fetch.max.bytes");
        let mut topics: BTreeMap<Uuid, Vec<fetch_request::FetchPartition>> = BTreeMap::new();
        for (name, position) in positions {
            let Some(partition) = self.partitions.get(name) else {
                continue;
            };
            let partitions = topics.entry(partition.topic_id.0).or_default();
            partitions.push(
                fetch_request::FetchPartition::default()
                    .with_partition(name.partition)
                    .with_current_leader_epoch(position.current_leader_epoch)
                    .with_fetch_offset(position.fetch_offset)
                    .with_last_fetched_epoch(position.last_fetched_epoch)
                    .with_log_start_offset(position.log_start_offset)
                    .with_partition_max_bytes(partition_max),
            );
        }
        // The answer has room for the first that have much to send: everyone gets to be the first.
        let turn = self.last_id as usize;
        let topics = turned(topics.into_iter().collect(), turn);
        let topics = topics.into_iter().map(|(id, partitions)| {
            fetch_request::FetchTopic::default()
                .with_topic_id(id)
                .with_partitions(turned(partitions, turn))
        });
        let replica = fetch_request::ReplicaState::default()
            .with_replica_id(wire::BrokerId(self.id.0))
            .with_replica_epoch(self.broker_epoch());
        wire::FetchRequest::default()
            .with_replica_state(replica)
            .with_max_wait_ms(self.settings.int_millis("replica.fetch.wait.max.ms"))
            .with_min_bytes(self.settings.int("replica.fetch.min.bytes"))
            .with_max_bytes(self.settings.int("replica.fetch.response.max.bytes"))
            .with_session_epoch(-1)
            .with_topics(topics.collect())
    }

    pub(super) fn handle_fetch_answer(
        &mut self,
        now: Now,
        leader: BrokerId,
        correlation: Correlation,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let Some((slot, positions)) = self.finish_fetch(leader, correlation) else {
            return;
        };
        let answers = match result.map(|body| *body) {
            Ok(ResponseKind::Fetch(body)) => self.decode_fetch(body),
            Ok(_) => BTreeMap::new(),
            Err(error) => {
                debug!(%leader, %error, "a fetch failed");
                if let Some(state) = self.fetchers.0.get_mut(&leader) {
                    state.not_before = Some(now.time + RETRY);
                }
                BTreeMap::new()
            }
        };
        let mut answers = answers;
        let knows_elections = self.lifecycle.has_served();
        for (name, position) in &positions {
            match answers.remove(name) {
                Some(answer) => self.with_replica(now, name, |replica| {
                    replica.handle_fetch_response(now, position, answer);
                    if knows_elections {
                        cut_contradicted(name, replica);
                    }
                }),
                // No word on it: it asks again.
                None => self.with_replica(now, name, |_| {}),
            }
        }
        self.note_settling(now, leader, slot, positions.into_keys());
    }

    fn finish_fetch(
        &mut self,
        leader: BrokerId,
        correlation: Correlation,
    ) -> Option<(usize, BTreeMap<TopicPartition, FetchPosition>)> {
        let state = self.fetchers.0.get_mut(&leader)?;
        for (index, slot) in state.slots.iter_mut().enumerate() {
            if slot
                .in_flight
                .as_ref()
                .is_some_and(|(sent, _)| *sent == correlation)
            {
                let (_, positions) = slot.in_flight.take()?;
                return Some((index, positions));
            }
        }
        None
    }

    /// The partitions whose last answer the disk has yet to take hold the next fetch up.
    fn note_settling(
        &mut self,
        now: Now,
        leader: BrokerId,
        slot: usize,
        names: impl Iterator<Item = TopicPartition>,
    ) {
        let partitions = &self.partitions;
        let unsettled = names.filter(|name| {
            partitions.get(name).is_some_and(|partition| {
                let log = partition.replica.log();
                log.appended_offset() < log.log_end_offset()
            })
        });
        if let Some(state) = self.fetchers.0.get_mut(&leader)
            && let Some(slot) = state.slots.get_mut(slot)
        {
            slot.settling = unsettled.collect();
            slot.settled_by = now.time + SETTLE_MAX;
        }
    }

    fn decode_fetch(
        &self,
        body: wire::FetchResponse,
    ) -> BTreeMap<TopicPartition, FetchedPartition> {
        let mut answers = BTreeMap::new();
        for topic in body.responses {
            let topics = self.image.topics();
            let Some(image) = topics.get(crate::id::TopicId(topic.topic_id)) else {
                continue;
            };
            for partition in topic.partitions {
                let name = TopicPartition::new(
                    std::sync::Arc::clone(image.name()),
                    partition.partition_index,
                );
                answers.insert(name, decode_partition(partition));
            }
        }
        answers
    }

    /// Asks a leader for the bounds of its log, as a follower.
    pub(super) fn ask_leader_offsets(
        &mut self,
        now: Now,
        name: &TopicPartition,
        leader: BrokerId,
        leader_epoch: LeaderEpoch,
    ) {
        let Some(endpoint) = self.broker_endpoint(leader) else {
            if let Some(partition) = self.partitions.get_mut(name) {
                let error = Err(ErrorCode::BrokerNotAvailable);
                partition
                    .replica
                    .handle_leader_offsets(now, leader_epoch, error);
            }
            return;
        };
        let ask = |timestamp| {
            list_offsets_request::ListOffsetsPartition::default()
                .with_partition_index(name.partition)
                .with_current_leader_epoch(leader_epoch)
                .with_timestamp(timestamp)
        };
        let topic = list_offsets_request::ListOffsetsTopic::default()
            .with_name(wire_topic_name(&name.topic))
            .with_partitions(vec![ask(EARLIEST), ask(LATEST)]);
        let body = wire::ListOffsetsRequest::default()
            .with_replica_id(wire::BrokerId(self.id.0))
            .with_topics(vec![topic]);
        let timeout = self.settings.millis("replica.socket.timeout.ms");
        let version = versions::newest(ApiKey::ListOffsets);
        let message = (ApiKey::ListOffsets, version, body.into());
        let partition = self.partitions.get(name);
        let Some(partition) = partition.map(|partition| partition.key(name)) else {
            return;
        };
        let purpose = PeerPurpose::LeaderOffsets {
            partition,
            leader_epoch,
        };
        self.send(
            (leader, endpoint),
            Channel::FetchToo,
            message,
            timeout,
            purpose,
        );
    }

    pub(super) fn handle_leader_offsets_answer(
        &mut self,
        now: Now,
        key: &PartitionKey,
        leader_epoch: LeaderEpoch,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let answer = match result.map(|body| *body) {
            Ok(ResponseKind::ListOffsets(body)) => decode_bounds(body),
            _ => Err(ErrorCode::NetworkException),
        };
        let knows_elections = self.lifecycle.has_served();
        self.with_keyed_replica(now, key, |replica| {
            replica.handle_leader_offsets(now, leader_epoch, answer);
            if knows_elections {
                cut_contradicted(&key.name, replica);
            }
        });
    }
}

fn cut_contradicted(name: &TopicPartition, replica: &mut Replica) {
    if let Some(end) = replica.cut_contradicted() {
        let why = "its batches name epochs that its leader's log contradicts";
        warn!(partition = %name, end, why, "cuts off records as damaged");
    }
}

/// `items` from another one of them on.
fn turned<T>(mut items: Vec<T>, turn: usize) -> Vec<T> {
    let by = turn.checked_rem(items.len()).unwrap_or(0);
    items.rotate_left(by);
    items
}

/// ListOffsets' "first offset of the log".
const EARLIEST: i64 = -2;
/// ListOffsets' "end of the log".
const LATEST: i64 = -1;

fn decode_partition(partition: fetch_response::PartitionData) -> FetchedPartition {
    if let Some(error) = partition.error_code.err() {
        return FetchedPartition::Error(error);
    }
    if partition.diverging_epoch.epoch >= 0 || partition.diverging_epoch.end_offset >= 0 {
        return FetchedPartition::Diverging(EpochEnd {
            epoch: partition.diverging_epoch.epoch,
            end_offset: partition.diverging_epoch.end_offset,
        });
    }
    match LogBatch::parse_verified(&partition.records.unwrap_or_default()) {
        Ok(batches) => FetchedPartition::Records {
            batches,
            high_watermark: partition.high_watermark,
            log_start_offset: partition.log_start_offset,
        },
        Err(error) => {
            debug!(%error, "a leader sent an unusable batch");
            FetchedPartition::Error(ErrorCode::CorruptMessage)
        }
    }
}

fn decode_bounds(body: wire::ListOffsetsResponse) -> Result<LeaderOffsets, ErrorCode> {
    let mut offsets = Vec::new();
    for topic in body.topics {
        for partition in topic.partitions {
            match partition.error_code.err() {
                Some(error) => return Err(error),
                None => offsets.push(partition.offset),
            }
        }
    }
    match offsets.as_slice() {
        [start, end] => Ok(LeaderOffsets {
            log_start_offset: *start,
            log_end_offset: *end,
        }),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_comes_first_at_some_turn() {
        let first: Vec<_> = (0..4)
            .map(|turn| turned(vec!["a", "b", "c"], turn)[0])
            .collect();
        assert_eq!(first, ["a", "b", "c", "a"]);
        assert!(turned(Vec::<u8>::new(), 3).is_empty());
    }
}

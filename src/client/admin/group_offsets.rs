//! Reading, setting, deleting and resetting the committed offsets of a group.
//!
//! In: a group and partitions. Out: committed offsets, or a result for each partition.
//! Invariants: an offset is the next one to read; a change is refused while the group has members,
//! which would overwrite it with their next commit; each partition has its own result.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::admin::Admin;
use crate::client::admin::groups::{group_id, group_wide, refused};
use crate::client::cluster::error_code;
use crate::client::consumer::group::refuse_negative;
use crate::client::coordinator::{Coordinator, Repeatable};
use crate::client::error::ClientError;
use crate::id::TopicPartition;
use crate::offset::{LeaderEpoch, Offset};

const OFFSET_COMMIT_VERSION_MAX: i16 = 8;
/// The last version that asks for one group.
const OFFSET_FETCH_VERSION_MAX: i16 = 7;
const OFFSET_DELETE_VERSION_MAX: i16 = 0;

/// What an administrative request about many partitions did to each of them.
pub type PartitionResults<T> = BTreeMap<TopicPartition, Result<T, ClientError>>;

/// What a group committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record that was read; -1 if the committer did not know it.
    pub leader_epoch: LeaderEpoch,
    /// The committer's own text.
    pub metadata: String,
}

/// Where a group is to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// At the first record.
    Earliest,
    /// After the last record.
    Latest,
    /// At the first record whose timestamp is this or later, in milliseconds since the Unix epoch;
    /// after the last record if there is none.
    Timestamp(i64),
    /// At this offset, or at the nearest that the partition has.
    Offset(Offset),
}

impl Admin {
    /// The offsets that `group` has committed for `partitions` (`None`: for all). Partitions
    /// without a commit are left out.
    ///
    /// # Errors
    /// `Retriable` if the coordinator cannot be found or does not answer.
    pub async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        let topics = partitions.map(|partitions| {
            let topics = by_topic(partitions.iter().map(|p| (p, ()))).into_iter();
            let topic = |(name, indexes): (TopicName, Vec<(i32, ())>)| {
                OffsetFetchRequestTopic::default()
                    .with_name(name)
                    .with_partition_indexes(indexes.into_iter().map(|(index, ())| index).collect())
            };
            topics.map(topic).collect()
        });
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics)
            .with_require_stable(true);
        let request = Repeatable {
            request: &request,
            version_max: OFFSET_FETCH_VERSION_MAX,
            changes: false,
            what: format!("read the offsets of group {group}"),
        };
        let answer = Coordinator::new(group)
            .call_until(&self.cluster, &request, |response| {
                error_code(response.error_code).or_else(|| group_wide(fetch_codes(response)))
            })
            .await?;
        committed(&request.what, answer.response)
    }

    /// Sets the offsets of a group without members; the group need not exist.
    ///
    /// # Errors
    /// `Invalid` or `Retriable` if no coordinator took the request, `UnknownOutcome` if the answer
    /// was lost, `Invalid` for a negative offset; and for each partition why it was refused.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<PartitionResults<()>, ClientError> {
        refuse_negative(offsets)?;
        let topics = by_topic(offsets).into_iter().map(|(name, partitions)| {
            let partition = |(index, offset): (i32, &Offset)| {
                OffsetCommitRequestPartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(*offset)
            };
            OffsetCommitRequestTopic::default()
                .with_name(name)
                .with_partitions(partitions.into_iter().map(partition).collect())
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            // An administrator is no member and of no generation.
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.collect());
        let request = Repeatable {
            request: &request,
            version_max: OFFSET_COMMIT_VERSION_MAX,
            changes: true,
            what: format!("set the offsets of group {group}"),
        };
        let answer = Coordinator::new(group)
            .call_until(&self.cluster, &request, |response| {
                let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                group_wide(partitions.map(|partition| partition.error_code))
            })
            .await?;
        let mut codes = BTreeMap::new();
        for topic in &answer.response.topics {
            for partition in &topic.partitions {
                let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                codes.insert(key, partition.error_code);
            }
        }
        Ok(results(
            &request.what,
            offsets.keys(),
            &codes,
            answer.in_doubt,
        ))
    }

    /// Deletes offsets of a group, of topics that no member subscribes to.
    ///
    /// # Errors
    /// `Invalid` if there is no such group, `Retriable` if no coordinator took the request,
    /// `UnknownOutcome` if the answer was lost; and for each partition why it was refused.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<PartitionResults<()>, ClientError> {
        let topics = by_topic(partitions.iter().map(|p| (p, ()))).into_iter();
        let topics = topics.map(|(name, indexes)| {
            let partition = |(index, ()): (i32, ())| {
                OffsetDeleteRequestPartition::default().with_partition_index(index)
            };
            OffsetDeleteRequestTopic::default()
                .with_name(name)
                .with_partitions(indexes.into_iter().map(partition).collect())
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics.collect());
        let request = Repeatable {
            request: &request,
            version_max: OFFSET_DELETE_VERSION_MAX,
            changes: true,
            what: format!("delete offsets of group {group}"),
        };
        let answer = Coordinator::new(group)
            .call_until(&self.cluster, &request, |response| {
                error_code(response.error_code)
            })
            .await?;
        let mut codes = BTreeMap::new();
        for topic in &answer.response.topics {
            for partition in &topic.partitions {
                let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                codes.insert(key, partition.error_code);
            }
        }
        Ok(results(&request.what, partitions, &codes, answer.in_doubt))
    }

    /// Makes a group without members read on elsewhere; tells which offsets it now has.
    ///
    /// # Errors
    /// As `alter_group_offsets`; nothing is changed if the offsets cannot be looked up.
    pub async fn reset_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        to: OffsetSpec,
    ) -> Result<PartitionResults<Offset>, ClientError> {
        let offsets = self.resolve(partitions, to).await?;
        let results = self.alter_group_offsets(group, &offsets).await?;
        let with_offset = |(partition, result): (TopicPartition, Result<(), ClientError>)| {
            let offset = offsets.get(&partition).copied().unwrap_or(-1);
            (partition, result.map(|()| offset))
        };
        Ok(results.into_iter().map(with_offset).collect())
    }

    async fn resolve(
        &self,
        partitions: &[TopicPartition],
        to: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        match to {
            OffsetSpec::Earliest => self.beginning_offsets(partitions).await,
            OffsetSpec::Latest => self.end_offsets(partitions).await,
            OffsetSpec::Timestamp(timestamp) => {
                let mut found = self.offsets_for_timestamp(partitions, timestamp).await?;
                let later: Vec<_> = partitions
                    .iter()
                    .filter(|partition| found.get(partition).is_none_or(|offset| *offset < 0))
                    .cloned()
                    .collect();
                found.extend(self.end_offsets(&later).await?);
                Ok(found)
            }
            OffsetSpec::Offset(offset) => {
                let first = self.beginning_offsets(partitions).await?;
                let mut offsets = self.end_offsets(partitions).await?;
                for (partition, end) in &mut offsets {
                    let begin = first.get(partition).copied().unwrap_or(0);
                    *end = offset.min(*end).max(begin);
                }
                Ok(offsets)
            }
        }
    }
}

/// Groups partitions by their topics, as requests have them.
fn by_topic<'a, T>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, T)>,
) -> BTreeMap<TopicName, Vec<(i32, T)>> {
    let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (partition, value) in partitions {
        let name = TopicName(StrBytes::from(partition.topic.to_string()));
        let indexes = topics.entry(name).or_default();
        indexes.push((partition.partition, value));
    }
    topics
}

/// The result for each partition of a request; what the answer leaves out is unknown.
fn results<'a>(
    what: &str,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    codes: &BTreeMap<TopicPartition, i16>,
    in_doubt: bool,
) -> PartitionResults<()> {
    let result = |partition: &TopicPartition| {
        let what = format!("{what}: {partition}");
        match codes.get(partition) {
            Some(code) => refused(&what, *code, in_doubt),
            None => Err(ClientError::unknown(format!(
                "{what}: the answer does not name it"
            ))),
        }
    };
    let partitions = partitions.into_iter();
    partitions
        .map(|partition| (partition.clone(), result(partition)))
        .collect()
}

fn fetch_codes(response: &OffsetFetchResponse) -> impl Iterator<Item = i16> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code)
}

fn committed(
    what: &str,
    response: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
    let mut offsets = BTreeMap::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            if let Some(code) = error_code(partition.error_code) {
                return Err(ClientError::from_code(code, format!("{what}: {key}")));
            }
            if partition.committed_offset >= 0 {
                let committed = CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.metadata.unwrap_or_default().to_string(),
                };
                offsets.insert(key, committed);
            }
        }
    }
    Ok(offsets)
}

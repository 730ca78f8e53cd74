//! Deleting topics.
//!
//! In: DeleteTopics (20). Out: one record for each topic; its partitions and its configuration go
//! with it. Invariant: what is deleted is one incarnation of a topic, never a later one of the same
//! name. Source: Kafka's `ReplicationControlManager.deleteTopics`.

use std::sync::Arc;

use super::draft::Draft;
use super::{ApiError, Controller, Decision};
use crate::error::ErrorCode;
use crate::id::TopicId;
use crate::metadata::record::MetadataRecord;
use crate::offset::Offset;

/// A topic to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicSelector {
    /// Whichever topic has this name.
    Name(String),
    /// The topic with this id.
    Id(TopicId),
}

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub topic_id: TopicId,
}

impl Controller {
    /// Deletes topics; one answer for each, in order.
    ///
    /// # Errors
    /// For one topic: `UNKNOWN_TOPIC_OR_PARTITION`, `UNKNOWN_TOPIC_ID`,
    /// `TOPIC_DELETION_DISABLED`.
    pub fn handle_delete_topics(
        &mut self,
        next_offset: Offset,
        topics: &[TopicSelector],
    ) -> Decision<Vec<Result<DeletedTopic, ApiError>>> {
        let mut draft = self.draft(next_offset);
        let deletable = self.config.topics_deletable;
        let delete = |selector| delete_topic(&mut draft, selector, deletable);
        let answers = topics.iter().map(delete).collect();
        self.decide(draft, answers)
    }
}

fn delete_topic(
    draft: &mut Draft,
    selector: &TopicSelector,
    deletable: bool,
) -> Result<DeletedTopic, ApiError> {
    if !deletable {
        return Err(ApiError::new(
            ErrorCode::TopicDeletionDisabled,
            "topics cannot be deleted: delete.topic.enable is false",
        ));
    }
    let topics = draft.image().topics();
    let topic = match selector {
        TopicSelector::Name(name) => topics.named(name).ok_or_else(|| {
            let message = format!("topic {name} does not exist");
            ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
        })?,
        TopicSelector::Id(topic_id) => topics.get(*topic_id).ok_or_else(|| {
            let message = format!("no topic has the id {topic_id}");
            ApiError::new(ErrorCode::UnknownTopicId, message)
        })?,
    };
    let (name, topic_id) = (Arc::clone(topic.name()), topic.id());
    draft.push(MetadataRecord::RemoveTopic { topic_id });
    Ok(DeletedTopic { name, topic_id })
}

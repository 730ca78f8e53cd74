//! Changing configurations at run time.
//!
//! In: IncrementalAlterConfigs (44) and AlterConfigs (33). Out: configuration records, and changes
//! of the partitions that a new value concerns.
//! Invariants: an override in the image is valid; a topic whose `min.insync.replicas` changes has
//! no ELR, because the old value says nothing about what is committed under the new one (KIP-966).
//! Source: Kafka's `ConfigurationControlManager`.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::{ApiError, Controller, Decision};
use crate::config::validate_topic_override;
use crate::error::ErrorCode;
use crate::metadata::image::Overrides;
use crate::metadata::record::{ConfigResource, MetadataRecord, PartitionChange};
use crate::offset::Offset;

/// Changes of single keys of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// What is configured.
    pub resource: ConfigResource,
    /// What to do, each key at most once.
    pub ops: Vec<(String, ConfigOp)>,
}

/// What to do with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Set it to this value.
    Set(Option<String>),
    /// Return to the default.
    Delete,
    /// Append to or subtract from a list; no key is a list so far.
    EditList,
}

/// The whole configuration of one resource: keys that are not named return to their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigReplacement {
    /// What is configured.
    pub resource: ConfigResource,
    /// The overrides.
    pub overrides: Vec<(String, Option<String>)>,
}

impl Controller {
    /// Changes single keys; one answer for each resource, in order.
    ///
    /// # Errors
    /// For one resource: `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_CONFIG`, `INVALID_REQUEST`.
    pub fn handle_incremental_alter_configs(
        &mut self,
        next_offset: Offset,
        alterations: &[ConfigAlteration],
        validate_only: bool,
    ) -> Decision<Vec<Result<(), ApiError>>> {
        let mut draft = self.draft(next_offset);
        let mut seen = BTreeSet::new();
        let alter = |alteration| alter_once(&mut draft, &mut seen, alteration);
        let answers = alterations.iter().map(alter).collect();
        let draft = if validate_only {
            self.draft(next_offset)
        } else {
            draft
        };
        self.decide(draft, answers)
    }

    /// Replaces configurations as a whole; one answer for each resource, in order.
    ///
    /// # Errors
    /// As [`Self::handle_incremental_alter_configs`].
    pub fn handle_alter_configs(
        &mut self,
        next_offset: Offset,
        replacements: &[ConfigReplacement],
        validate_only: bool,
    ) -> Decision<Vec<Result<(), ApiError>>> {
        let incremental = |replacement: &ConfigReplacement| {
            let set = |(key, value): &(String, Option<String>)| {
                (key.clone(), ConfigOp::Set(value.clone()))
            };
            let mut ops: Vec<_> = replacement.overrides.iter().map(set).collect();
            for key in self.image.configs().of(&replacement.resource).keys() {
                if !replacement.overrides.iter().any(|(named, _)| named == key) {
                    ops.push((key.clone(), ConfigOp::Delete));
                }
            }
            ConfigAlteration {
                resource: replacement.resource.clone(),
                ops,
            }
        };
        let alterations: Vec<_> = replacements.iter().map(incremental).collect();
        self.handle_incremental_alter_configs(next_offset, &alterations, validate_only)
    }
}

/// Checks the overrides of a new topic, and gives them as they are stored.
pub(super) fn check_topic_overrides(
    configs: &[(String, Option<String>)],
) -> Result<Vec<(String, String)>, ApiError> {
    let mut checked = BTreeMap::new();
    for (key, value) in configs {
        let value = check_value(key, value.as_ref())?;
        if checked.insert(key.clone(), value.clone()).is_some() {
            return Err(named_twice(key));
        }
    }
    Ok(checked.into_iter().collect())
}

fn check_value<'a>(key: &str, value: Option<&'a String>) -> Result<&'a String, ApiError> {
    let Some(value) = value else {
        let message = format!("{key} has no value: delete the override instead");
        return Err(ApiError::new(ErrorCode::InvalidConfig, message));
    };
    match validate_topic_override(key, value) {
        Ok(()) => Ok(value),
        Err(error) => Err(ApiError::new(ErrorCode::InvalidConfig, error.to_string())),
    }
}

fn named_twice(what: impl std::fmt::Display) -> ApiError {
    ApiError::new(
        ErrorCode::InvalidRequest,
        format!("the request names {what} twice"),
    )
}

fn alter_once<'a>(
    draft: &mut Draft,
    seen: &mut BTreeSet<&'a ConfigResource>,
    alteration: &'a ConfigAlteration,
) -> Result<(), ApiError> {
    if !seen.insert(&alteration.resource) {
        return Err(named_twice(&alteration.resource));
    }
    alter_resource(draft, &alteration.resource, &alteration.ops)
}

fn alter_resource(
    draft: &mut Draft,
    resource: &ConfigResource,
    ops: &[(String, ConfigOp)],
) -> Result<(), ApiError> {
    let ConfigResource::Topic(name) = resource else {
        return Err(ApiError::new(
            ErrorCode::InvalidConfig,
            format!("{resource}: broker keys are read at start; set them in its configuration"),
        ));
    };
    if draft.image().topics().named(name).is_none() {
        let message = format!("topic {name} does not exist");
        return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
    }
    let changes = check_ops(ops)?;
    let before = draft.image().configs().of(resource).clone();
    let mut after = before.clone();
    for (key, value) in changes {
        match value {
            Some(value) => after.insert(key.clone(), value.clone()),
            None => after.remove(key),
        };
    }
    // The ELR goes first: no prefix of the batch has the new value beside the old ELR.
    if draft.min_insync_replicas(&before) != draft.min_insync_replicas(&after) {
        clear_elr(draft, name);
    }
    push_difference(draft, resource, &before, &after);
    if draft.unclean_leader_election(&after) && !draft.unclean_leader_election(&before) {
        draft.elect_missing_leaders();
    }
    Ok(())
}

/// The new value of each key, `None` for the default.
fn check_ops(ops: &[(String, ConfigOp)]) -> Result<BTreeMap<&String, Option<&String>>, ApiError> {
    let mut changes = BTreeMap::new();
    for (key, op) in ops {
        let value = match op {
            ConfigOp::Set(value) => Some(check_value(key, value.as_ref())?),
            ConfigOp::Delete => None,
            ConfigOp::EditList => {
                let message = format!("{key} is not a list: set it as a whole");
                return Err(ApiError::new(ErrorCode::InvalidConfig, message));
            }
        };
        if changes.insert(key, value).is_some() {
            return Err(named_twice(key));
        }
    }
    Ok(changes)
}

fn push_difference(
    draft: &mut Draft,
    resource: &ConfigResource,
    before: &Overrides,
    after: &Overrides,
) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let value = after.get(key);
        if before.get(key) != value {
            draft.push(MetadataRecord::Config {
                resource: resource.clone(),
                key: key.clone(),
                value: value.cloned(),
            });
        }
    }
}

fn clear_elr(draft: &mut Draft, topic: &str) {
    let Some(topic) = draft.image().topics().named(topic).cloned() else {
        return;
    };
    for (index, partition) in topic.partitions().filter(|(_, p)| !p.elr.is_empty()) {
        draft.push_change(Some(PartitionChange {
            elr: Some(Vec::new()),
            ..PartitionChange::new(partition.topic_id, index)
        }));
    }
}

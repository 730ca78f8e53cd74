//! The configurations that were set at run time, as raw values.
//!
//! In: configuration records. Out: the overrides of a resource, which `config` parses.
//! Invariant: a resource without overrides has no entry. Source: Kafka's `ConfigurationsImage`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::metadata::record::{ConfigResource, MetadataRecord};

/// The overrides of one resource: raw values by Kafka's key.
pub type Overrides = BTreeMap<String, String>;

static NO_OVERRIDES: LazyLock<Overrides> = LazyLock::new(Overrides::new);

/// The overrides of every resource that has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigsImage {
    by_resource: Arc<BTreeMap<ConfigResource, Arc<Overrides>>>,
}

impl ConfigsImage {
    /// The overrides of `resource`; empty if it has none.
    pub fn of(&self, resource: &ConfigResource) -> &Overrides {
        self.by_resource
            .get(resource)
            .map_or(&NO_OVERRIDES, |overrides| overrides.as_ref())
    }

    /// The overrides of the topic `name`; empty if it has none.
    pub fn of_topic(&self, name: &Arc<str>) -> &Overrides {
        self.of(&ConfigResource::Topic(Arc::clone(name)))
    }

    /// The resources that have overrides.
    pub fn resources(&self) -> impl Iterator<Item = &ConfigResource> {
        self.by_resource.keys()
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.by_resource, &other.by_resource)
    }

    pub(super) fn set(&mut self, resource: &ConfigResource, key: &str, value: Option<&str>) {
        let by_resource = Arc::make_mut(&mut self.by_resource);
        if let Some(value) = value {
            let overrides = by_resource.entry(resource.clone()).or_default();
            Arc::make_mut(overrides).insert(key.to_owned(), value.to_owned());
        } else if let Some(overrides) = by_resource.get_mut(resource) {
            Arc::make_mut(overrides).remove(key);
            if overrides.is_empty() {
                by_resource.remove(resource);
            }
        }
    }

    pub(super) fn remove_topic(&mut self, name: &Arc<str>) {
        let resource = ConfigResource::Topic(Arc::clone(name));
        if self.by_resource.contains_key(&resource) {
            Arc::make_mut(&mut self.by_resource).remove(&resource);
        }
    }

    pub(super) fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for (resource, overrides) in self.by_resource.iter() {
            for (key, value) in overrides.iter() {
                records.push(MetadataRecord::Config {
                    resource: resource.clone(),
                    key: key.clone(),
                    value: Some(value.clone()),
                });
            }
        }
        records
    }
}

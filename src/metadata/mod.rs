//! The cluster's metadata: records, the image they fold into, and the controller's decisions.
//!
//! In: records that the metadata quorum committed, and requests to the active controller. Out: an
//! image that every node can read, and decisions as records plus a response.
//! Invariant: the image is a pure function of the records; two nodes that applied the same records
//! have equal images.
//! Source: Kafka's `MetadataImage`, `ReplicationControlManager`, `ClusterControlManager`.

pub mod controller;
pub mod image;
pub mod record;

pub use image::{MetadataDelta, MetadataImage};
pub use record::MetadataRecord;

//! Configuration: Kafka's key names as data, validated once, plain structs afterwards.
//!
//! In: properties text and `key=value` pairs. Out: `Settings` (one broker) and `TopicConfig` (one
//! topic). Invariant: a value of either type is valid; nothing downstream validates again.

mod error;
mod key;
pub mod sabotage;
mod settings;
mod settings_keys;
mod topic;

pub use error::ConfigError;
pub use key::{Key, Kind};
pub use settings::{ConfigEntry, Endpoint, Settings, Voter};
pub use settings_keys::SETTINGS_KEYS;
pub use topic::{TOPIC_KEYS, TimestampType, TopicConfig, TopicKey, validate_topic_override};

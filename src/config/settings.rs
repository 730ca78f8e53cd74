//! One broker's settings: parsed from properties and overrides, validated, then plain data.
//!
//! In: the text of a properties file and `key=value` overrides (the last one wins). Out: typed
//! fields, and the effective value of every key. Source: Kafka's `KafkaConfig`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::error::nearest;
use super::{ConfigError, Key, SETTINGS_KEYS, TopicConfig};
use crate::id::BrokerId;

/// A host and a port, as listeners and voters name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host's name or address.
    pub host: String,
    /// The TCP port; 0 means "any free one" and is only allowed for a listener.
    pub port: u16,
}

impl Endpoint {
    /// The socket address, if the host is an address or `localhost`; nothing is looked up.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip = match self.host.as_str() {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.trim_matches(['[', ']']).parse().ok()?,
        };
        Some(SocketAddr::new(ip, self.port))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A voter of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its node id.
    pub id: BrokerId,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// One key with its effective value, for DescribeConfigs and the log at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key's name.
    pub name: &'static str,
    /// The effective value.
    pub value: String,
    /// Whether nobody set it.
    pub is_default: bool,
    /// What it does.
    pub doc: &'static str,
}

/// The validated settings of one broker.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    /// `node.id`.
    pub node_id: BrokerId,
    /// `cluster.id`.
    pub cluster_id: String,
    /// `listeners`: the one address this node listens on.
    pub listener: Endpoint,
    /// `advertised.listeners`, or the listener.
    pub advertised: Endpoint,
    /// `controller.quorum.voters`, ordered by id; only this node if the key is empty.
    pub voters: Vec<Voter>,
    /// `log.dirs`.
    pub log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, or the first of `log.dirs`.
    pub metadata_log_dir: PathBuf,
    /// The defaults of every topic's configuration.
    pub topic_defaults: TopicConfig,
}

impl Settings {
    /// Parses the text of a properties file (empty if there is none), then applies `overrides`.
    pub fn parse<S: AsRef<str>>(properties: &str, overrides: &[S]) -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        for (index, line) in properties.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with(['#', '!']) {
                set(&mut values, line, index + 1)?;
            }
        }
        for pair in overrides {
            set(&mut values, pair.as_ref(), 0)?;
        }
        Self::from_values(values)
    }

    fn from_values(values: BTreeMap<&'static str, String>) -> Result<Self, ConfigError> {
        for key in SETTINGS_KEYS {
            match values.get(key.name) {
                Some(value) => key.check(value)?,
                None if key.default.is_some() => {}
                None => {
                    let expected = key.expected();
                    return Err(ConfigError::Missing {
                        key: key.name,
                        expected,
                    });
                }
            }
        }
        let mut settings = Self {
            values,
            node_id: BrokerId(0),
            cluster_id: String::new(),
            listener: Endpoint {
                host: String::new(),
                port: 0,
            },
            advertised: Endpoint {
                host: String::new(),
                port: 0,
            },
            voters: Vec::new(),
            log_dirs: Vec::new(),
            metadata_log_dir: PathBuf::new(),
            topic_defaults: TopicConfig::kafka_defaults(),
        };
        settings.node_id = BrokerId(settings.int("node.id"));
        settings.cluster_id = settings.text("cluster.id").to_owned();
        settings.listener = listener(row("listeners"), settings.text("listeners"))?;
        settings.advertised = match settings.text("advertised.listeners") {
            "" => settings.listener.clone(),
            text => listener(row("advertised.listeners"), text)?,
        };
        settings.log_dirs = settings.list("log.dirs").map(PathBuf::from).collect();
        settings.voters = settings.parse_voters()?;
        settings.metadata_log_dir = settings.parse_metadata_dir()?;
        settings.topic_defaults = TopicConfig::resolve(&settings, &BTreeMap::new())?;
        settings.check_contradictions()?;
        Ok(settings)
    }

    fn parse_voters(&self) -> Result<Vec<Voter>, ConfigError> {
        let key = row("controller.quorum.voters");
        let mut voters = Vec::new();
        for text in self.list(key.name) {
            let voter = text.split_once('@').and_then(|(id, place)| {
                let endpoint = endpoint(place).filter(|endpoint| endpoint.port != 0)?;
                let id = id.parse().ok().filter(|id| *id >= 0).map(BrokerId)?;
                Some(Voter { id, endpoint })
            });
            voters.push(voter.ok_or_else(|| key.bad(text, "id@host:port"))?);
        }
        if voters.is_empty() {
            voters.push(Voter {
                id: self.node_id,
                endpoint: self.advertised.clone(),
            });
        }
        voters.sort_by_key(|voter| voter.id);
        if voters
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.id == b.id))
        {
            return Err(key.bad(self.text(key.name), "a list that names each id once"));
        }
        Ok(voters)
    }

    fn parse_metadata_dir(&self) -> Result<PathBuf, ConfigError> {
        let key = row("metadata.log.dir");
        let Some(first) = self.log_dirs.first() else {
            return Err(row("log.dirs").bad("", "a list of at least one directory"));
        };
        match self.text(key.name) {
            "" => Ok(first.clone()),
            text if self.log_dirs.iter().any(|dir| dir.as_os_str() == text) => Ok(text.into()),
            text => Err(key.bad(text, "one of log.dirs")),
        }
    }

    fn check_contradictions(&self) -> Result<(), ConfigError> {
        if matches!(self.advertised.host.as_str(), "0.0.0.0" | "[::]") {
            return Err(ConfigError::Contradiction(format!(
                "nobody can connect to {}: set advertised.listeners to an address of this machine",
                self.advertised
            )));
        }
        let heartbeat = self.long("broker.heartbeat.interval.ms");
        let session = self.long("broker.session.timeout.ms");
        if session <= heartbeat {
            return Err(ConfigError::Contradiction(format!(
                "broker.session.timeout.ms {session} must be greater than \
                 broker.heartbeat.interval.ms {heartbeat}"
            )));
        }
        let lag = self.long("replica.lag.time.max.ms");
        let wait = self.long("replica.fetch.wait.max.ms");
        if wait > lag {
            return Err(ConfigError::Contradiction(format!(
                "replica.fetch.wait.max.ms {wait} must not be greater than \
                 replica.lag.time.max.ms {lag}"
            )));
        }
        let shortest = self.long("group.min.session.timeout.ms");
        let longest = self.long("group.max.session.timeout.ms");
        if shortest > longest {
            return Err(ConfigError::Contradiction(format!(
                "group.min.session.timeout.ms {shortest} must not be greater than \
                 group.max.session.timeout.ms {longest}"
            )));
        }
        Ok(())
    }

    /// The effective value of `name`. Panics if no such key exists: names are compile-time texts.
    pub fn text(&self, name: &'static str) -> &str {
        let key = row(name);
        self.values
            .get(name)
            .map(String::as_str)
            .or(key.default)
            .unwrap_or("")
    }

    /// The effective value of a 64-bit key.
    pub fn long(&self, name: &'static str) -> i64 {
        self.text(name)
            .parse()
            .expect("invariant: settings are validated")
    }

    /// The effective value of a 32-bit key.
    pub fn int(&self, name: &'static str) -> i32 {
        self.text(name)
            .parse()
            .expect("invariant: settings are validated")
    }

    /// The effective value of a flag.
    pub fn flag(&self, name: &'static str) -> bool {
        self.text(name) == "true"
    }

    /// The effective value of a key in milliseconds.
    pub fn millis(&self, name: &'static str) -> Duration {
        Duration::from_millis(self.long(name).max(0) as u64)
    }

    /// The effective value of a key in milliseconds, as the wire writes it.
    pub fn int_millis(&self, name: &'static str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or(i32::MAX)
    }

    /// The items of a list key, without empty ones.
    pub fn list(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.text(name)
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }

    /// Whether somebody set `name`.
    pub fn is_set(&self, name: &'static str) -> bool {
        self.values.contains_key(row(name).name)
    }

    /// Every key with its effective value, in the table's order.
    pub fn entries(&self) -> impl Iterator<Item = ConfigEntry> + '_ {
        SETTINGS_KEYS.iter().map(|key| ConfigEntry {
            name: key.name,
            value: self.text(key.name).to_owned(),
            is_default: !self.values.contains_key(key.name),
            doc: key.doc,
        })
    }

    /// The same settings with the port that the listener really got (for port 0).
    #[must_use]
    pub fn with_listener_port(mut self, port: u16) -> Self {
        for endpoint in [&mut self.listener, &mut self.advertised] {
            if endpoint.port == 0 {
                endpoint.port = port;
            }
        }
        for voter in &mut self.voters {
            if voter.id == self.node_id && voter.endpoint.port == 0 {
                voter.endpoint.port = port;
            }
        }
        self
    }
}

fn row(name: &'static str) -> &'static Key {
    SETTINGS_KEYS
        .iter()
        .find(|key| key.name == name)
        .unwrap_or_else(|| panic!("invariant: {name} is in the table of settings"))
}

fn set(
    values: &mut BTreeMap<&'static str, String>,
    pair: &str,
    line: usize,
) -> Result<(), ConfigError> {
    let Some((name, value)) = pair.split_once('=') else {
        return Err(ConfigError::NotAPair {
            line,
            text: pair.to_owned(),
        });
    };
    let name = name.trim();
    let Some(key) = SETTINGS_KEYS.iter().find(|key| key.name == name) else {
        let nearest = nearest(name, SETTINGS_KEYS.iter().map(|key| key.name));
        return Err(ConfigError::UnknownKey {
            key: name.to_owned(),
            nearest,
        });
    };
    values.insert(key.name, value.trim().to_owned());
    Ok(())
}

fn listener(key: &Key, text: &str) -> Result<Endpoint, ConfigError> {
    text.strip_prefix("PLAINTEXT://")
        .and_then(endpoint)
        .ok_or_else(|| key.bad(text, "one PLAINTEXT://host:port"))
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    (!host.is_empty()).then(|| Endpoint {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
#[path = "settings_test.rs"]
mod tests;

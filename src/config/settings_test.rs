//! Tests of `Settings`: defaults, overrides, and one clear line for each mistake.

use super::*;

const NEEDED: &str = "node.id=1\nlog.dirs=/data/a,/data/b\n";

fn parse(extra: &str) -> Result<Settings, ConfigError> {
    Settings::parse(NEEDED, &[extra])
}

#[test]
fn every_default_fits_its_own_row() {
    for key in SETTINGS_KEYS {
        if let Some(default) = key.default {
            key.check(default).unwrap();
        }
        assert!(key.doc.ends_with('.'), "{}", key.name);
    }
}

#[test]
fn the_last_setting_wins_and_the_rest_are_defaults() {
    let text = "# a comment\n\nnum.partitions = 4\n";
    let settings = Settings::parse(&format!("{NEEDED}{text}"), &["num.partitions=6"]).unwrap();
    assert_eq!(settings.int("num.partitions"), 6);
    assert_eq!(
        settings.millis("replica.lag.time.max.ms"),
        Duration::from_secs(30)
    );
    assert_eq!(settings.metadata_log_dir, PathBuf::from("/data/a"));
    let entry = settings
        .entries()
        .find(|entry| entry.name == "num.partitions")
        .unwrap();
    assert_eq!((entry.value.as_str(), entry.is_default), ("6", false));
    assert_eq!(settings.entries().count(), SETTINGS_KEYS.len());
}

#[test]
fn voters_are_ordered_and_default_to_this_node() {
    let settings = parse("controller.quorum.voters=2@h:9,1@127.0.0.1:8").unwrap();
    let ids: Vec<i32> = settings.voters.iter().map(|voter| voter.id.0).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(settings.voters[0].endpoint.socket_addr().unwrap().port(), 8);
    let alone = parse("listeners=PLAINTEXT://127.0.0.1:0")
        .unwrap()
        .with_listener_port(77);
    assert_eq!(alone.voters[0].endpoint.port, 77);
    assert_eq!(alone.advertised.port, 77);
}

#[test]
fn each_mistake_is_one_line_that_says_what_would_be_right() {
    let table = [
        (
            "num.partition=3",
            "unknown key num.partition: did you mean num.partitions?",
        ),
        (
            "num.partitions=0",
            "bad value for num.partitions: \"0\" is not a whole number from 1 to 2147483647",
        ),
        (
            "num.partitions",
            "line 0: \"num.partitions\" is not key=value",
        ),
        (
            "listeners=x",
            "bad value for listeners: \"x\" is not one PLAINTEXT://host:port",
        ),
        (
            "controller.quorum.voters=1@h",
            "bad value for controller.quorum.voters: \"1@h\" is not id@host:port",
        ),
        (
            "metadata.log.dir=/x",
            "bad value for metadata.log.dir: \"/x\" is not one of log.dirs",
        ),
        (
            "broker.session.timeout.ms=2000",
            "broker.session.timeout.ms 2000 must be greater than broker.heartbeat.interval.ms 2000",
        ),
        (
            "group.max.session.timeout.ms=5000",
            "group.min.session.timeout.ms 6000 must not be greater than \
             group.max.session.timeout.ms 5000",
        ),
        (
            "listeners=PLAINTEXT://0.0.0.0:9092",
            "nobody can connect to 0.0.0.0:9092: \
             set advertised.listeners to an address of this machine",
        ),
        (
            "log.dirs=",
            "bad value for log.dirs: \"\" is not a list of at least one directory",
        ),
    ];
    for (input, message) in table {
        assert_eq!(parse(input).unwrap_err().to_string(), message);
    }
    let missing = Settings::parse("", &["log.dirs=/d"])
        .unwrap_err()
        .to_string();
    assert_eq!(
        missing,
        "node.id is not set: it needs a whole number from 0 to 2147483647"
    );
}

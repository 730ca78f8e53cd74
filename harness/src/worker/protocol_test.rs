//! The lines of the protocol, read and written as its documentation shows them.

use serde::{Deserialize, Serialize};

use crate::worker::protocol::{Ack, Event, Greeting, Reply, Request};

fn round_trip<T>(line: &str)
where
    T: Serialize + for<'de> Deserialize<'de>,
{
    let read: T = serde_json::from_str(line).expect(line);
    assert_eq!(serde_json::to_string(&read).expect("serializes"), line);
}

#[test]
fn every_request_reads_and_writes_as_documented() {
    for line in [
        r#"{"id":1,"op":"open","bootstrap":["127.0.1.1:9092"],"client_id":"p1","request_timeout_ms":900,"producer":{"acks":"all","idempotence":true,"compression":"lz4","linger_ms":2,"delivery_timeout_ms":3000,"retry_backoff_ms":50,"max_in_flight":5}}"#,
        r#"{"id":1,"op":"open","bootstrap":[],"client_id":"c1","request_timeout_ms":900,"consumer":{"max_poll_records":500,"fetch_max_wait_ms":100,"partition_fetch_bytes":65536}}"#,
        r#"{"id":2,"op":"send","topic":"t","partition":3,"value":18446744073709551615,"bytes":200}"#,
        r#"{"id":3,"op":"assign","topic":"t","partitions":[0,3]}"#,
        r#"{"id":3,"op":"seek","topic":"t","positions":[[0,"beginning"],[3,17],[4,"end"]]}"#,
        r#"{"id":4,"op":"poll","timeout_ms":200}"#,
        r#"{"id":5,"op":"list-offsets","topic":"t","partitions":[3],"at":"end"}"#,
        r#"{"id":1,"op":"open","bootstrap":[],"client_id":"c1","request_timeout_ms":900,"consumer":{"max_poll_records":500,"fetch_max_wait_ms":100,"partition_fetch_bytes":65536,"group":{"group":"g","instance":"c1","reset":"earliest","assignors":["range"],"session_timeout_ms":3000,"heartbeat_interval_ms":300,"max_poll_interval_ms":5000,"auto_commit_interval_ms":500}},"sabotage":"off-by-one-committed-offset"}"#,
        r#"{"id":6,"op":"subscribe","topic":"t"}"#,
        r#"{"id":6,"op":"process","partition":3,"offset":17,"process_ms":2}"#,
        r#"{"id":6,"op":"commit-sync"}"#,
        r#"{"id":6,"op":"commit-async"}"#,
        r#"{"id":6,"op":"committed","topic":"t","partitions":[0,3]}"#,
        r#"{"id":6,"op":"leave"}"#,
        r#"{"id":6,"op":"close"}"#,
    ] {
        round_trip::<Request>(line);
    }
}

#[test]
fn every_reply_reads_and_writes_as_documented() {
    for line in [
        r#"{"id":1,"ok":"done"}"#,
        r#"{"id":2,"ok":{"sent":{"offset":4}}}"#,
        r#"{"id":2,"ok":{"sent":{"offset":null}}}"#,
        r#"{"id":4,"ok":{"polled":{"partitions":[{"partition":3,"records":[[4,17],[5,{"corrupt":"too short"}]]}]}}}"#,
        r#"{"id":5,"ok":{"offsets":{"partitions":[[3,5]]}}}"#,
        r#"{"id":6,"ok":{"committed":{"partitions":[[0,null],[3,18]]}}}"#,
        r#"{"id":6,"error":{"kind":"unknown-outcome","code":"REQUEST_TIMED_OUT","message":"m"}}"#,
        r#"{"id":6,"error":{"kind":"closed","message":"m"}}"#,
    ] {
        round_trip::<Reply>(line);
    }
    round_trip::<Greeting>(r#"{"protocol":2,"client":"verdict-rust 0.1.0"}"#);
}

#[test]
fn every_event_reads_and_writes_as_documented() {
    for line in [
        r#"{"event":1,"rebalance":{"event":"assigned","member":"c4-7f","generation":5,"partitions":[0,3]}}"#,
        r#"{"event":2,"resume":{"generation":5,"partition":3,"offset":17,"source":"committed"}}"#,
        r#"{"event":3,"commit-begins":{"commit":1,"mode":"sync","member":"c4-7f","generation":5,"offsets":[[3,18]]}}"#,
        r#"{"event":4,"commit-ended":{"commit":1}}"#,
        r#"{"event":4,"commit-ended":{"commit":1,"error":{"kind":"fenced","code":"ILLEGAL_GENERATION","message":"m"}}}"#,
    ] {
        round_trip::<Event>(line);
        serde_json::from_str::<Reply>(line).expect_err("an event is no reply");
    }
    round_trip::<Ack>(r#"{"ack":7}"#);
}

#[test]
fn an_unknown_command_is_an_error_that_names_it() {
    let error = serde_json::from_str::<Request>(r#"{"id":1,"op":"fly"}"#).expect_err("no fly");
    assert!(error.to_string().contains("fly"), "{error}");
}

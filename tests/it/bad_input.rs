//! Storms of bad input on a broker process: it answers or closes, and nothing stays behind.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use broker::client::{Acks, NewTopic};
use kafka_protocol::messages::ApiKey;

use crate::clients::Clients;
use crate::cluster::{PATIENCE, record};
use crate::mutate::Mutator;
use crate::process::{Process, wait_until};
use crate::requests::{endless_fetch, frame, well_formed};

/// A topic that the storm is about; its records may be anything.
const NOISE: &str = "noise";
/// A topic that the storm must leave alone.
const QUIET: &str = "quiet";
/// Connections that are hostile at the same time.
const AT_ONCE: usize = 40;

/// Without topics out of nothing, and with a short patience for silent connections.
fn start() -> Process {
    Process::start(&[
        "auto.create.topics.enable=false",
        "connections.max.idle.ms=2000",
    ])
}

/// Creates both topics and leaves one record in the quiet one.
async fn prepare(clients: &Clients) {
    let admin = clients.admin().await;
    for name in [NOISE, QUIET] {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: 1,
            replication_factor: 1,
            configs: Vec::new(),
        };
        admin.create_topic(topic).await.unwrap();
    }
    let producer = clients.producer(Acks::All).await;
    producer.send(record(QUIET, 0, "before")).await.unwrap();
}

/// The node still appends and reads, and holds what it held.
async fn serves_as_before(clients: &Clients) {
    let producer = clients.producer(Acks::All).await;
    producer.send(record(QUIET, 0, "after")).await.unwrap();
    assert_eq!(clients.read_all(QUIET, 0).await, ["before", "after"]);
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the broker closes; a reset is as good an end as any, silence is not.
fn until_closed(mut stream: TcpStream, sent: &[u8]) {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let hangs = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!hangs, "the broker left this open: {}", sent.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_damaged_frames_leaves_nothing_behind() {
    let mut process = start();
    let clients = Clients::of(vec![process.address()]);
    prepare(&clients).await;
    let before = process.settled_sockets();
    let mut mutator = Mutator::new(2, well_formed(NOISE));
    for _ in 0..25 {
        let hostile: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let bytes = mutator.next();
                let mut stream = connect(process.address());
                // The broker may have closed at the first bytes.
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
                (stream, bytes)
            })
            .collect();
        for (stream, bytes) in hostile {
            until_closed(stream, &bytes);
        }
        assert!(process.is_running(), "the storm ended the process");
    }
    serves_as_before(&clients).await;
    drop(clients);
    wait_until("the sockets are those of before", || {
        process.sockets() <= before
    });
    let resident = process.resident_mib();
    assert!(resident < 256, "{resident} MiB after the storm");
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_frames_are_held_for_a_while_and_then_closed() {
    let process = start();
    let clients = Clients::of(vec![process.address()]);
    prepare(&clients).await;
    let before = process.settled_sockets();
    let partial: &[&[u8]] = &[
        b"",
        b"\0",
        b"\0\0\0\x10",
        b"\0\0\0\x10\0\x03\0\x01",
        // The header of a produce request of 100 MB, whose body never comes.
        b"\x06\x40\0\0\0\0\0\x09\0\0\0\x01\xff\xff",
    ];
    let slow: Vec<_> = (0..AT_ONCE)
        .map(|index| {
            let mut stream = connect(process.address());
            let bytes = partial[index % partial.len()];
            stream.write_all(bytes).unwrap();
            (stream, bytes)
        })
        .collect();
    serves_as_before(&clients).await;
    let resident = process.resident_mib();
    assert!(
        resident < 256,
        "{resident} MiB for frames that did not come"
    );
    for (stream, bytes) in slow {
        until_closed(stream, bytes);
    }
    drop(clients);
    wait_until("the sockets are those of before", || {
        process.sockets() <= before
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_socket_does_not_hold_a_fetch_that_waits_for_weeks() {
    let process = start();
    let clients = Clients::of(vec![process.address()]);
    prepare(&clients).await;
    let mut stream = connect(process.address());
    let fetch = frame(ApiKey::Fetch, 12, &endless_fetch(QUIET));
    stream.write_all(&fetch).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    until_closed(stream, &fetch);
    serves_as_before(&clients).await;
}

//! Bad input on a live node: an error or a closed connection, and the node serves on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use broker::client::Acks;
use broker::protocol::versions::SERVED;
use kafka_protocol::messages::ApiKey;

use crate::cluster::{Cluster, record};

/// Sends `bytes`, ends the sending side, and returns all that comes back.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A reset is as good an end as any, silence is not.
    if let Err(error) = stream.read_to_end(&mut answer) {
        let hangs = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!hangs, "left open: {}", bytes.escape_ascii());
    }
    answer
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_close_their_connection_only() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let address = cluster.bootstrap()[0];
    let hostile: &[&[u8]] = &[
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\0\0\0\x02\0\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &frame(b"\x7f\xff\0\0\0\0\0\x01"),
        &frame(b"\0\x03\x7f\xff\0\0\0\x01"),
        &frame(b"\0\x03\0\0\0\0\0\x01\xff\xff\x7f\xff\xff\xff"),
        &frame(b"\0\0\0\x09\0\0\0\x01\xff\xff\0garbage"),
        &frame(b"\0\x03\0\x01\0\0\0\x01")[..9],
    ];
    for bytes in hostile {
        let answer = exchange(address, bytes);
        assert!(answer.is_empty(), "{bytes:?} was answered by {answer:?}");
    }
    // ApiVersions of an unknown version is answered (KIP-511), also to a half-closed socket.
    let answer = exchange(address, &frame(b"\0\x12\0\x63\0\0\0\x09"));
    assert_eq!(answer.get(4..10), Some(&b"\0\0\0\x09\0\x23"[..]));
    let producer = cluster.producer(Acks::One).await;
    producer.send(record("auto", 0, "alive")).await.unwrap();
    assert_eq!(cluster.read_all("auto", 0).await, ["alive"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_and_versions_close_their_connection_only() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let address = cluster.bootstrap()[0];
    let request = |key: i16, version: i16| {
        let mut body = key.to_be_bytes().to_vec();
        body.extend(version.to_be_bytes());
        body.extend(b"\0\0\0\x09\xff\xff");
        frame(&body)
    };
    let is_known = |key: i16| SERVED.iter().any(|row| row.api as i16 == key);
    let unknown = (-2..100).chain([i16::MIN, i16::MAX]);
    let unknown = unknown.filter(|key| !is_known(*key)).map(|key| (key, 0));
    let versions = SERVED.iter().flat_map(|row| {
        let beyond = [row.min - 1, row.max + 1, -1, i16::MIN, i16::MAX];
        beyond.map(|version| (row.api, version))
    });
    // ApiVersions is answered whatever its version.
    let versions = versions.filter(|(api, _)| *api != ApiKey::ApiVersions);
    let versions = versions.map(|(api, version)| (api as i16, version));
    for (key, version) in unknown.chain(versions) {
        let answer = exchange(address, &request(key, version));
        assert!(answer.is_empty(), "{key} version {version}: {answer:?}");
    }
    let producer = cluster.producer(Acks::One).await;
    producer.send(record("auto", 0, "alive")).await.unwrap();
    assert_eq!(cluster.read_all("auto", 0).await, ["alive"]);
}

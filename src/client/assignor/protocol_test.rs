//! The bytes of the consumer protocol: Kafka's layouts by hand, every version, and garbage.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as WirePartition;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;

use crate::client::assignor::testing::partitions;
use crate::client::assignor::{
    Subscription, decode_assignment, decode_subscription, encode_assignment, encode_subscription,
};

fn full() -> Subscription {
    Subscription {
        topics: vec!["a".to_owned(), "b".to_owned()],
        user_data: Some(Bytes::from_static(b"xyz")),
        owned: partitions("a-0 a-2 b-1"),
        generation_id: Some(7),
        rack: Some("r".to_owned()),
    }
}

/// The same subscription by the protocol crate, which follows Kafka's schema.
fn wire(version: i16) -> Bytes {
    let owned = |topic: &'static str, indexes: &[i32]| {
        WirePartition::default()
            .with_topic(TopicName(StrBytes::from_static_str(topic)))
            .with_partitions(indexes.to_vec())
    };
    let message = ConsumerProtocolSubscription::default()
        .with_topics(vec![
            StrBytes::from_static_str("a"),
            StrBytes::from_static_str("b"),
        ])
        .with_user_data(Some(Bytes::from_static(b"xyz")));
    let message = match version {
        0 => message,
        _ => message.with_owned_partitions(vec![owned("a", &[0, 2]), owned("b", &[1])]),
    };
    let message = match version {
        0 | 1 => message,
        2 => message.with_generation_id(7),
        _ => message
            .with_generation_id(7)
            .with_rack_id(Some(StrBytes::from_static_str("r"))),
    };
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    message
        .encode(&mut bytes, version.min(3))
        .expect("a legal message");
    bytes.freeze()
}

#[test]
fn every_version_of_a_subscription_is_read() {
    assert_eq!(encode_subscription(&full()), wire(3));
    for version in 0..=3 {
        let expected = Subscription {
            owned: if version >= 1 {
                full().owned
            } else {
                Vec::new()
            },
            generation_id: Some(7).filter(|_| version >= 2),
            rack: Some("r".to_owned()).filter(|_| version >= 3),
            ..full()
        };
        assert_eq!(
            decode_subscription(&wire(version)),
            Ok(expected),
            "version {version}"
        );
    }
}

#[test]
fn a_newer_version_is_read_by_the_newest_schema() {
    let mut newer = BytesMut::new();
    newer.put_i16(9);
    newer.put_slice(&wire(3)[2..]);
    newer.put_slice(b"fields that this client does not know");
    assert_eq!(decode_subscription(&newer.freeze()), Ok(full()));
}

#[test]
fn an_assignment_is_what_kafka_reads() {
    let assigned = partitions("b-1 a-0 a-3");
    let bytes = encode_assignment(&assigned);
    let mut rest = bytes.slice(2..);
    let message = ConsumerProtocolAssignment::decode(&mut rest, 3).expect("Kafka's schema");
    assert_eq!(message.assigned_partitions[0].partitions, [0, 3]);
    assert!(rest.is_empty());
    assert_eq!(decode_assignment(&bytes), Ok(partitions("a-0 a-3 b-1")));
    assert_eq!(decode_assignment(&Bytes::new()), Ok(Vec::new()));
}

#[test]
fn garbage_is_an_error_that_names_the_field() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "version at byte 0: needs 2 bytes, 0 are left"),
        (
            b"\xff\xff",
            "version at byte 2: -1 is negative; the first version is 0",
        ),
        (
            b"\0\0\x7f\xff\xff\xff",
            "topics at byte 6: 2147483647 elements do not fit into 0 bytes",
        ),
        (
            b"\0\0\0\0\0\x01\xff\xff",
            "topic at byte 8: null, where a string must stand",
        ),
        (
            b"\0\0\0\0\0\x01\0\x09abc",
            "topic at byte 8: needs 9 bytes, 3 are left",
        ),
    ];
    for (bytes, message) in cases {
        let error = decode_subscription(&Bytes::from_static(bytes)).expect_err("garbage");
        assert_eq!(error.to_string(), *message);
    }
    let negative = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\xff\xff\xff\xfe";
    let error = decode_assignment(&Bytes::from_static(negative)).expect_err("negative");
    assert!(
        error.to_string().contains("partition -2 of t is negative"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn no_bytes_are_read_with_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        if let Err(error) = decode_subscription(&bytes) {
            prop_assert!(error.position <= bytes.len());
        }
        if let Err(error) = decode_assignment(&bytes) {
            prop_assert!(error.position <= bytes.len());
        }
    }

    #[test]
    fn a_cut_subscription_is_never_taken_for_a_whole_one(cut in 0..100usize) {
        let bytes = encode_subscription(&full());
        let cut = cut % bytes.len();
        prop_assert!(decode_subscription(&bytes.slice(..cut)).is_err());
    }
}

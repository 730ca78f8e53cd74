//! Hand-worked bytes of the records, and what is refused.

use bytes::Bytes;

use super::*;
use crate::id::{TopicId, TopicPartition};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn topic_id() -> TopicId {
    TopicId(uuid::Uuid::from_u128(
        0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
    ))
}

fn offset() -> CommittedOffset {
    CommittedOffset {
        offset: 258,
        leader_epoch: Some(7),
        metadata: "m".into(),
        commit_millis: 1_000,
        expire_millis: None,
        topic_id: None,
    }
}

#[test]
fn an_offset_is_laid_out_as_kafka_lays_it_out() {
    let partition = TopicPartition::new("t", 3);
    let key = offset_commit_key("g1", &partition);
    assert_eq!(key, hex("0001 0002 6731 0001 74 00000003"));
    let value = encode_offset(&offset());
    let expected = "0003 0000000000000102 00000007 0001 6d 00000000000003e8";
    assert_eq!(value, hex(expected));
    let read = parse(key, Some(value)).unwrap();
    let group_id = "g1".to_owned();
    let value = Some(offset());
    assert_eq!(
        read,
        GroupRecord::Offset {
            group_id,
            partition,
            value
        }
    );
}

/// Versions 1 and 4: with an expiry of its own, or with the topic's incarnation.
#[test]
fn the_version_of_an_offset_is_that_of_what_it_says() {
    let expiring = CommittedOffset {
        leader_epoch: None,
        expire_millis: Some(2_000),
        ..offset()
    };
    let identified = CommittedOffset {
        topic_id: Some(topic_id()),
        ..offset()
    };
    for (offset, expected) in [
        (
            expiring,
            "0001 0000000000000102 0001 6d 00000000000003e8 00000000000007d0",
        ),
        (
            identified,
            "0004 0000000000000102 00000007 02 6d 00000000000003e8 01 00 10 \
             00112233445566778899aabbccddeeff",
        ),
    ] {
        let value = encode_offset(&offset);
        assert_eq!(value, hex(expected));
        assert_eq!(offset_commit::decode_offset(value), Ok(offset));
    }
}

#[test]
fn offsets_of_all_versions_read() {
    let plain = CommittedOffset {
        leader_epoch: None,
        ..offset()
    };
    let expiring = CommittedOffset {
        expire_millis: Some(2_000),
        ..plain.clone()
    };
    for (value, expected) in [
        ("0000 0000000000000102 0001 6d 00000000000003e8", &plain),
        (
            "0001 0000000000000102 0001 6d 00000000000003e8 00000000000007d0",
            &expiring,
        ),
        ("0002 0000000000000102 0001 6d 00000000000003e8", &plain),
        (
            "0003 0000000000000102 ffffffff 0001 6d 00000000000003e8",
            &plain,
        ),
        (
            "0004 0000000000000102 00000007 02 6d 00000000000003e8 00",
            &offset(),
        ),
        (
            "0004 0000000000000102 00000007 02 6d 00000000000003e8 01 00 10 \
             00112233445566778899aabbccddeeff",
            &CommittedOffset {
                topic_id: Some(topic_id()),
                ..offset()
            },
        ),
    ] {
        let read = offset_commit::decode_offset(hex(value).into());
        assert_eq!(read.as_ref(), Ok(expected), "{value}");
    }
}

fn group() -> GroupMetadata {
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation_id: 5,
        protocol: Some("range".into()),
        leader: Some("m1".into()),
        state_millis: 9,
        members: vec![MemberMetadata {
            member_id: "m1".into(),
            instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 300,
            session_timeout_ms: 100,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    }
}

#[test]
fn a_group_is_laid_out_as_kafka_lays_it_out() {
    let key = group_metadata_key("g1");
    assert_eq!(key, hex("0002 0002 6731"));
    let expected = "0003 0008 636f6e73756d6572 00000005 0005 72616e6765 0002 6d31 \
        0000000000000009 00000001 0002 6d31 0001 69 0001 63 0002 2f68 0000012c 00000064 \
        00000002 0102 00000001 03";
    let value = group().encode();
    assert_eq!(value, hex(expected));
    let read = parse(key, Some(value)).unwrap();
    assert_eq!(
        read,
        GroupRecord::Group {
            group_id: "g1".into(),
            value: Some(group())
        }
    );
}

#[test]
fn groups_of_older_and_newer_versions_read() {
    let mut old = group();
    old.state_millis = -1;
    for member in &mut old.members {
        (member.instance_id, member.rebalance_timeout_ms) = (None, 100);
    }
    let zero = "0000 0008 636f6e73756d6572 00000005 0005 72616e6765 0002 6d31 00000001 \
        0002 6d31 0001 63 0002 2f68 00000064 00000002 0102 00000001 03";
    assert_eq!(GroupMetadata::decode(hex(zero).into()), Ok(old));
    let four = "0004 09 636f6e73756d6572 00000005 06 72616e6765 03 6d31 0000000000000009 02 \
        03 6d31 02 69 02 63 03 2f68 0000012c 00000064 03 0102 02 03 00 00";
    assert_eq!(GroupMetadata::decode(hex(four).into()), Ok(group()));
}

#[test]
fn what_is_missing_is_said_and_unknown_kinds_are_skipped() {
    let value = encode_offset(&offset());
    for length in 0..value.len() {
        assert!(
            offset_commit::decode_offset(value.slice(..length)).is_err(),
            "{length} bytes"
        );
    }
    let value = group().encode();
    for length in 0..value.len() {
        assert!(
            GroupMetadata::decode(value.slice(..length)).is_err(),
            "{length} bytes"
        );
    }
    // A count of members that no input of this size can hold.
    let mut endless = group();
    endless.members.clear();
    let mut endless = endless.encode().to_vec();
    let count = endless.len() - 4..;
    endless.splice(count, hex("7fffffff"));
    assert!(GroupMetadata::decode(endless.into()).is_err());
    assert_eq!(
        parse(hex("0008 0001 67").into(), None),
        Ok(GroupRecord::Other)
    );
    assert!(parse(hex("00").into(), None).is_err());
    let tombstone = parse(group_metadata_key("g"), None);
    assert_eq!(
        tombstone,
        Ok(GroupRecord::Group {
            group_id: "g".into(),
            value: None
        })
    );
}

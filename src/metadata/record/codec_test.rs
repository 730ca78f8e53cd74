//! Round trips of every record, and bytes that are no records.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    BrokerEndpoint, BrokerRegistration, CodecError, ConfigResource, LeaderChange, MetadataRecord,
    PartitionChange, decode_records, encode_records,
};
use crate::id::{BrokerId, TopicId};
use crate::replica::{LeaderRecoveryState, PartitionRegistration};

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn name() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    uuid().prop_map(TopicId)
}

fn broker() -> impl Strategy<Value = BrokerId> {
    any::<i32>().prop_map(BrokerId)
}

fn brokers() -> impl Strategy<Value = Vec<BrokerId>> {
    vec(broker(), 0..5)
}

fn recovery_state() -> impl Strategy<Value = LeaderRecoveryState> {
    prop_oneof![
        Just(LeaderRecoveryState::Recovered),
        Just(LeaderRecoveryState::Recovering)
    ]
}

fn leader_change() -> impl Strategy<Value = LeaderChange> {
    prop_oneof![
        Just(LeaderChange::Unchanged),
        Just(LeaderChange::NoLeader),
        broker().prop_map(LeaderChange::Leader)
    ]
}

fn endpoint() -> impl Strategy<Value = BrokerEndpoint> {
    (text(), text(), any::<u16>()).prop_map(|(name, host, port)| BrokerEndpoint {
        name,
        host,
        port,
    })
}

prop_compose! {
    fn broker_registration()(
        broker_id in broker(),
        incarnation_id in uuid(),
        broker_epoch: i64,
        endpoints in vec(endpoint(), 0..3),
        rack in of(text()),
        directories in vec(uuid(), 0..3),
        fenced: bool,
        in_controlled_shutdown: bool,
    ) -> BrokerRegistration {
        BrokerRegistration {
            offline_directories: Vec::new(),
            broker_id,
            incarnation_id,
            broker_epoch,
            endpoints,
            rack,
            directories,
            fenced,
            in_controlled_shutdown,
        }
    }
}

prop_compose! {
    fn partition_registration()(
        topic_id in topic_id(),
        lists in [brokers(), brokers(), brokers(), brokers(), brokers(), brokers()],
        leader in of(broker()),
        leader_epoch: i32,
        partition_epoch: i32,
        leader_recovery_state in recovery_state(),
        directories in vec(uuid(), 0..3),
    ) -> PartitionRegistration {
        let [replicas, isr, elr, last_known_elr, adding_replicas, removing_replicas] = lists;
        PartitionRegistration {
            topic_id,
            replicas,
            isr,
            elr,
            last_known_elr,
            leader,
            leader_epoch,
            partition_epoch,
            leader_recovery_state,
            adding_replicas,
            removing_replicas,
            directories,
        }
    }
}

prop_compose! {
    fn partition_change()(
        topic_id in topic_id(),
        partition: i32,
        lists in [of(brokers()), of(brokers()), of(brokers()), of(brokers()), of(brokers())],
        last_known_elr in of(brokers()),
        leader in leader_change(),
        recovery_state in of(recovery_state()),
        directories in of(vec(uuid(), 0..3)),
    ) -> PartitionChange {
        let [replicas, isr, elr, adding_replicas, removing_replicas] = lists;
        PartitionChange {
            topic_id,
            partition,
            isr,
            leader,
            replicas,
            adding_replicas,
            removing_replicas,
            elr,
            last_known_elr,
            recovery_state,
            directories,
        }
    }
}

fn resource() -> impl Strategy<Value = ConfigResource> {
    prop_oneof![
        name().prop_map(ConfigResource::Topic),
        broker().prop_map(ConfigResource::Broker),
        Just(ConfigResource::AllBrokers)
    ]
}

fn record() -> impl Strategy<Value = MetadataRecord> {
    use MetadataRecord as R;
    prop_oneof![
        Just(R::NoOp),
        broker_registration().prop_map(R::RegisterBroker),
        (broker(), any::<i64>()).prop_map(|(broker_id, broker_epoch)| {
            R::UnregisterBroker {
                broker_id,
                broker_epoch,
            }
        }),
        (
            broker(),
            any::<i64>(),
            any::<Option<bool>>(),
            any::<Option<bool>>()
        )
            .prop_map(
                |(broker_id, broker_epoch, fenced, in_controlled_shutdown)| {
                    R::BrokerRegistrationChange {
                        broker_id,
                        broker_epoch,
                        fenced,
                        in_controlled_shutdown,
                    }
                }
            ),
        (broker(), any::<i64>(), vec(uuid(), 0..3)).prop_map(
            |(broker_id, broker_epoch, directories)| R::BrokerDirectoriesOffline {
                broker_id,
                broker_epoch,
                directories,
            }
        ),
        (name(), topic_id()).prop_map(|(name, topic_id)| R::Topic { name, topic_id }),
        topic_id().prop_map(|topic_id| R::RemoveTopic { topic_id }),
        (any::<i32>(), partition_registration()).prop_map(|(partition, registration)| {
            R::Partition {
                partition,
                registration,
            }
        }),
        partition_change().prop_map(R::PartitionChange),
        (resource(), text(), of(text())).prop_map(|(resource, key, value)| R::Config {
            resource,
            key,
            value
        }),
        (broker(), any::<i64>(), any::<i64>()).prop_map(
            |(broker_id, broker_epoch, next_producer_id)| {
                R::ProducerIds {
                    broker_id,
                    broker_epoch,
                    next_producer_id,
                }
            }
        ),
    ]
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(records in vec(record(), 0..6)) {
        prop_assert_eq!(decode_records(&encode_records(&records)), Ok(records));
    }

    #[test]
    fn a_record_cut_short_is_an_error(record in record(), cut: prop::sample::Index) {
        let bytes = record.encode();
        let kept = cut.index(bytes.len());
        prop_assert!(MetadataRecord::decode(&bytes[..kept]).is_err());
    }

    #[test]
    fn garbage_is_decoded_to_an_error_or_to_a_record_of_these_very_bytes(
        tag in 0..12u8,
        bytes in vec(any::<u8>(), 0..80),
    ) {
        let bytes = [&[tag, 0], bytes.as_slice()].concat();
        if let Ok(record) = MetadataRecord::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(record in record(), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = MetadataRecord::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }
}

#[test]
fn an_array_cannot_claim_more_than_the_input_holds() {
    let mut bytes = MetadataRecord::RegisterBroker(BrokerRegistration {
        broker_id: BrokerId(1),
        incarnation_id: Uuid::nil(),
        broker_epoch: 0,
        endpoints: Vec::new(),
        rack: None,
        directories: Vec::new(),
        offline_directories: Vec::new(),
        fenced: true,
        in_controlled_shutdown: false,
    })
    .encode();
    // Type, version, id, incarnation, epoch; then the count of endpoints.
    let count = 2 + 4 + 16 + 8;
    bytes[count..count + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let decoded = MetadataRecord::decode(&bytes);
    assert!(
        matches!(decoded, Err(CodecError::Truncated { .. })),
        "{decoded:?}"
    );
}

#[test]
fn unknown_types_versions_and_trailing_bytes_are_told_apart() {
    for (bytes, expected) in [
        (&[200, 0][..], CodecError::UnknownType(200)),
        (
            &[0, 1],
            CodecError::UnknownVersion {
                record_type: 0,
                version: 1,
            },
        ),
        (&[0, 0, 7], CodecError::Trailing(1)),
        (
            &[],
            CodecError::Truncated {
                needed: 1,
                remaining: 0,
            },
        ),
    ] {
        assert_eq!(MetadataRecord::decode(bytes), Err(expected));
    }
}

//! Tests of the codec: round trips of both sides, and frames made to hurt a decoder.

use kafka_protocol::messages::{
    ApiVersionsRequest, MetadataRequest, MetadataResponse, ProduceRequest, TopicName,
    metadata_request::MetadataRequestTopic, produce_request::PartitionProduceData,
    produce_request::TopicProduceData,
};
use proptest::prelude::*;

use super::*;
use crate::protocol::frame::next_request;
use crate::protocol::versions::{SERVED, api_versions_downgrade};

/// The allocator of the binaries: it turns absurd reservations into address space.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn header(api: ApiKey, version: i16) -> RequestHeader {
    let client_id = Some(StrBytes::from_static_str("test"));
    RequestHeader {
        api,
        version,
        correlation_id: 7,
        client_id,
        peer: None,
    }
}

fn frame_of(encoded: Bytes) -> Bytes {
    next_request(&mut BytesMut::from(&encoded[..]), 100 << 20)
        .unwrap()
        .unwrap()
}

#[test]
fn requests_and_responses_round_trip() {
    let topic =
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("t"))));
    let body = RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![topic])));
    for version in [0, 8, 9, 12] {
        let header = header(ApiKey::Metadata, version);
        let frame = frame_of(encode_request(&header, &body).unwrap());
        let request = decode_request(frame).unwrap();
        assert_eq!((request.header, &request.body), (header, &body));
    }
    let body = ResponseKind::Metadata(MetadataResponse::default());
    let encoded = encode_response(ApiKey::Metadata, 12, 9, &body).unwrap();
    assert_eq!(
        decode_response(ApiKey::Metadata, 12, encoded.slice(4..)).unwrap(),
        (9, body)
    );
}

#[test]
fn records_are_slices_of_the_frame() {
    let records = Bytes::from(vec![1; 4096]);
    let partition = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default().with_partition_data(vec![partition]);
    let body = RequestKind::Produce(ProduceRequest::default().with_topic_data(vec![topic]));
    let frame = frame_of(encode_request(&header(ApiKey::Produce, 9), &body).unwrap());
    let bounds = frame.as_ptr_range();
    let RequestKind::Produce(decoded) = decode_request(frame).unwrap().body else {
        panic!("a produce request decodes as one");
    };
    let records = decoded.topic_data[0].partition_data[0]
        .records
        .as_ref()
        .unwrap();
    assert!(bounds.contains(&records.as_ptr()));
}

#[test]
fn kip511_an_unknown_api_versions_version_keeps_its_correlation_id() {
    let frame = Bytes::from_static(b"\0\x12\0\x63\0\0\0\x09garbage");
    let api = ApiKey::ApiVersions;
    let want = CodecError::UnsupportedVersion {
        api,
        version: 99,
        correlation_id: 9,
    };
    assert_eq!(decode_request(frame), Err(want));
    let body = ResponseKind::ApiVersions(api_versions_downgrade());
    let encoded = encode_response(api, 0, 9, &body).unwrap();
    assert_eq!(
        encoded.slice(4..10),
        Bytes::from_static(b"\0\0\0\x09\0\x23")
    );
}

#[test]
fn api_versions_responses_have_the_header_without_tags() {
    let body = ResponseKind::ApiVersions(api_versions_downgrade());
    let encoded = encode_response(ApiKey::ApiVersions, 3, 9, &body).unwrap();
    assert_eq!(encoded.slice(8..10), Bytes::from_static(b"\0\x23"));
    let body = RequestKind::ApiVersions(ApiVersionsRequest::default());
    assert!(encode_request(&header(ApiKey::ApiVersions, 0), &body).is_ok());
}

#[test]
fn short_and_unknown_frames_are_errors() {
    for length in 0..8 {
        assert!(matches!(
            decode_request(Bytes::from(vec![0; length])),
            Err(CodecError::Frame(_))
        ));
    }
    let unknown = Bytes::from_static(b"\x7f\xff\0\0\0\0\0\x01");
    assert_eq!(decode_request(unknown), Err(CodecError::UnknownApi(0x7fff)));
    let header_only = Bytes::from_static(b"\0\x03\0\x01\0\0\0\x01");
    assert!(matches!(
        decode_request(header_only),
        Err(CodecError::Decode { .. })
    ));
}

#[test]
fn an_array_length_of_two_thousand_million_is_an_error_and_no_abort() {
    let metadata = Bytes::from_static(b"\0\x03\0\0\0\0\0\x01\xff\xff\x7f\xff\xff\xff");
    assert!(matches!(
        decode_request(metadata),
        Err(CodecError::Decode { .. })
    ));
}

proptest! {
    #[test]
    fn no_frame_panics(row in 0..SERVED.len(), offset in 0i16..20, body in any::<Vec<u8>>()) {
        let row = &SERVED[row];
        let version = row.min + offset % (row.max - row.min + 1);
        let mut frame = BytesMut::new();
        frame.put_i16(row.api as i16);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(-1);
        frame.extend_from_slice(&body);
        let _ = decode_request(frame.freeze());
        let _ = decode_response(row.api, version, Bytes::from(body));
    }

    #[test]
    fn no_flipped_byte_panics(at in 0usize..60, with in any::<u8>(), version in 0i16..=13) {
        let topic = MetadataRequestTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("a-topic"))));
        let body = RequestKind::Metadata(
            MetadataRequest::default().with_topics(Some(vec![topic; 3])),
        );
        let encoded = encode_request(&header(ApiKey::Metadata, version), &body).unwrap();
        let mut frame = BytesMut::from(&encoded[4..]);
        if let Some(byte) = frame.get_mut(at) {
            *byte = with;
        }
        let _ = decode_request(frame.freeze());
    }
}

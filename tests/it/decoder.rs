//! The decoder on frames that were good once: an error or a message, never a panic or an abort.
//!
//! Here rather than beside the decoder, since this binary has the allocator of the broker:
//! `kafka-protocol` reserves what an array's length on the wire asks for.

use broker::protocol::codec::{decode_request, encode_request};
use broker::protocol::versions;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use proptest::prelude::*;

use crate::requests::{fetch, header, well_formed};

/// Numbers that have broken decoders: as lengths of 1, 2, 4 and 5 bytes.
const LENGTHS: &[&[u8]] = &[
    b"\xff",
    b"\x7f",
    b"\x7f\xff",
    b"\x80\x00",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff",
];

fn with(frame: &[u8], at: usize, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::from(frame);
    for (place, byte) in frame.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
    frame.freeze()
}

#[test]
fn the_historical_metadata_frame_is_an_error() {
    let frame = Bytes::from_static(b"\0\x03\0\0\0\0\0\x01\xff\xff\x7f\xff\xff\xff");
    assert!(decode_request(frame).is_err());
}

#[test]
fn a_hostile_length_anywhere_is_no_abort() {
    let newest = versions::served(ApiKey::Fetch).unwrap().max;
    let mut frames = well_formed("a-topic");
    for version in 4..=newest {
        frames.extend(encode_request(
            &header(ApiKey::Fetch, version),
            &fetch("a-topic"),
        ));
    }
    for frame in &frames {
        let frame = &frame[4..];
        for at in 4..frame.len() {
            for length in LENGTHS {
                let _ = decode_request(with(frame, at, length));
            }
            let _ = decode_request(Bytes::copy_from_slice(&frame[..at]));
        }
    }
}

proptest! {
    #[test]
    fn no_mutated_frame_panics(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let frames = well_formed("a-topic");
        let mut frame = BytesMut::from(&which.get(&frames)[4..]);
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let whole = frame.freeze();
        let _ = decode_request(whole.slice(..cut.index(whole.len())));
        let _ = decode_request(whole);
    }
}

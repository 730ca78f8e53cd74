//! The filter loses exactly the frames that the rules name, however the stream is chopped.

use proptest::prelude::*;

use super::*;
use crate::link::rule::{FramePick, FrameRule};

fn request(api: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (8 + body.len() as i32).to_be_bytes().to_vec();
    frame.extend(api.to_be_bytes());
    frame.extend(7i16.to_be_bytes());
    frame.extend(correlation.to_be_bytes());
    frame.extend(body);
    frame
}

fn response(correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (4 + body.len() as i32).to_be_bytes().to_vec();
    frame.extend(correlation.to_be_bytes());
    frame.extend(body);
    frame
}

fn rules(side: FrameSide, api: Option<i16>, pick: FramePick) -> Vec<Arc<ActiveRule>> {
    let rule = FrameRule {
        side,
        api,
        pick,
        action: FrameAction::Drop,
    };
    vec![Arc::new(ActiveRule::new(rule, 0))]
}

/// What passes when `stream` arrives in chunks of `chunk` bytes.
fn passed(
    filter: &mut FrameFilter,
    rules: &[Arc<ActiveRule>],
    stream: &[u8],
    chunk: usize,
) -> Vec<u8> {
    let mut pieces = Vec::new();
    for part in stream.chunks(chunk) {
        filter.push(Bytes::copy_from_slice(part), rules, &mut pieces);
    }
    pieces.extend(filter.withheld_head());
    let kept = pieces
        .iter()
        .filter(|piece| matches!(piece.fate, Fate::Pass));
    kept.flat_map(|piece| piece.bytes.to_vec()).collect()
}

proptest! {
    #[test]
    fn the_second_response_of_one_api_is_lost_and_nothing_else(
        chunk in 1usize..40,
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 3..8),
        apis in prop::collection::vec(0i16..2, 8),
    ) {
        let in_flight = Arc::new(InFlight::default());
        let mut requests = FrameFilter::new(FrameSide::Request, Arc::clone(&in_flight));
        let mut responses = FrameFilter::new(FrameSide::Response, in_flight);
        let rules = rules(FrameSide::Response, Some(0), FramePick::Nth(2));
        let frames = bodies.iter().zip(&apis).zip(0i32..);
        let (mut sent, mut answered, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let mut zeros = 0;
        for ((body, api), correlation) in frames {
            sent.extend(request(*api, correlation, body));
            answered.extend(response(correlation, body));
            zeros += i32::from(*api == 0);
            if *api != 0 || zeros != 2 {
                expected.extend(response(correlation, body));
            }
        }
        prop_assert_eq!(passed(&mut requests, &rules, &sent, chunk), sent);
        prop_assert_eq!(passed(&mut responses, &rules, &answered, chunk), expected);
    }

    #[test]
    fn any_bytes_pass_when_no_rule_acts(
        stream in prop::collection::vec(any::<u8>(), 0..200),
        chunk in 1usize..50,
        with_rule in any::<bool>(),
    ) {
        let mut filter = FrameFilter::new(FrameSide::Request, Arc::new(InFlight::default()));
        let rules = if with_rule {
            rules(FrameSide::Response, None, FramePick::All)
        } else {
            Vec::new()
        };
        prop_assert_eq!(passed(&mut filter, &rules, &stream, chunk), stream);
    }
}

#[test]
fn a_rule_that_comes_in_the_middle_of_a_head_spares_that_frame() {
    let mut filter = FrameFilter::new(FrameSide::Request, Arc::new(InFlight::default()));
    let frames = [request(0, 1, b"first"), request(0, 2, b"second")].concat();
    let (before, after) = frames.split_at(6);
    let mut through = passed(&mut filter, &[], before, 6);
    let rules = rules(FrameSide::Request, Some(0), FramePick::All);
    through.extend(passed(&mut filter, &rules, after, 100));
    assert_eq!(through, request(0, 1, b"first"));
}

#[test]
fn a_rule_that_goes_in_the_middle_of_a_dropped_frame_still_drops_its_rest() {
    let mut filter = FrameFilter::new(FrameSide::Request, Arc::new(InFlight::default()));
    let frames = [request(0, 1, b"dropped"), request(0, 2, b"kept")].concat();
    let (before, after) = frames.split_at(14);
    let rules = rules(FrameSide::Request, Some(0), FramePick::Nth(1));
    let mut through = passed(&mut filter, &rules, before, 14);
    through.extend(passed(&mut filter, &[], after, 100));
    assert_eq!(through, request(0, 2, b"kept"));
}

#[test]
fn a_produce_without_acks_does_not_shift_the_answers() {
    let in_flight = InFlight::default();
    in_flight.sent(1, 0);
    in_flight.sent(2, 3);
    assert_eq!(in_flight.answered(2), Some(3));
    assert_eq!(in_flight.answered(1), None);
}

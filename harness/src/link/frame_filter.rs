//! Finds Kafka frames in a byte stream and asks the rules what becomes of each.
//!
//! In: chunks of one direction of one connection, in order. Out: pieces of the same bytes, each
//! with its fate; a frame's fate is decided by its head alone, so bodies are never collected.
//! Keeps: concatenating the pieces that pass gives the stream without the dropped frames; a stream
//! that is not Kafka's passes untouched. Without rules nothing waits for a complete head.
//! Source: the protocol guide, "Protocol Primitive Types" and "Headers".
//!
//! ```text
//! request  | length 4 | api key 2 | version 2 | correlation id 4 | …
//! response | length 4 | correlation id 4 | …
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::link::rule::{ActiveRule, FrameAction, FrameHead, FrameSide};

/// A longer frame means that the stream is not Kafka's: no broker here accepts one.
const FRAME_BYTES_MAX: i32 = 1 << 30;
/// Requests whose answers are awaited; acks=0 has none, so the oldest are forgotten.
const IN_FLIGHT_MAX: usize = 4096;

/// What becomes of a piece.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It goes on.
    Pass,
    /// A rule, just applied for a head or still in force for its body.
    Act(FrameAction, Arc<ActiveRule>),
}

/// A run of bytes with one fate.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) fate: Fate,
    /// The head that this piece starts with.
    pub(crate) head: Option<FrameHead>,
}

/// Which API the outstanding requests of a connection are of, shared by its two directions.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<VecDeque<(i32, i16)>>);

/// The filter of one direction of one connection.
#[derive(Debug)]
pub(crate) struct FrameFilter {
    side: FrameSide,
    in_flight: Arc<InFlight>,
    /// The part of a head that has arrived; the first `head_passed` bytes of it went on already.
    head: BytesMut,
    head_passed: usize,
    body_left: usize,
    body_fate: Fate,
    is_opaque: bool,
}

impl FrameFilter {
    /// A filter at the beginning of a stream.
    pub(crate) fn new(side: FrameSide, in_flight: Arc<InFlight>) -> Self {
        Self {
            side,
            in_flight,
            head: BytesMut::new(),
            head_passed: 0,
            body_left: 0,
            body_fate: Fate::Pass,
            is_opaque: false,
        }
    }

    /// Takes the next bytes of the stream; appends what can go on or be dropped to `out`.
    pub(crate) fn push(&mut self, chunk: Bytes, rules: &[Arc<ActiveRule>], out: &mut Vec<Piece>) {
        let whole = chunk.clone();
        let is_plain = rules.is_empty() && matches!(self.body_fate, Fate::Pass);
        if is_plain {
            out.extend(self.withheld_head());
        }
        let from = out.len();
        self.split(chunk, rules, out);
        if is_plain {
            // Splitting was only to keep track: the bytes go on as one run.
            out.truncate(from);
            out.push(pass(whole));
            self.head_passed = self.head.len();
        }
    }

    /// The part of a head that waits for its rest, at the end of the stream or of the rules.
    pub(crate) fn withheld_head(&mut self) -> Option<Piece> {
        let waiting = self
            .head
            .get(self.head_passed..)
            .filter(|bytes| !bytes.is_empty())?;
        let piece = pass(Bytes::copy_from_slice(waiting));
        self.head_passed = self.head.len();
        Some(piece)
    }

    fn split(&mut self, mut chunk: Bytes, rules: &[Arc<ActiveRule>], out: &mut Vec<Piece>) {
        while !chunk.is_empty() {
            if self.is_opaque {
                out.push(pass(std::mem::take(&mut chunk)));
            } else if self.body_left > 0 {
                let part = chunk.split_to(chunk.len().min(self.body_left));
                self.body_left -= part.len();
                out.push(Piece {
                    bytes: part,
                    fate: self.body_fate.clone(),
                    head: None,
                });
            } else {
                self.take_head(&mut chunk, rules, out);
            }
            if self.body_left == 0 {
                self.body_fate = Fate::Pass;
            }
        }
    }

    /// Moves bytes from `chunk` into the head; once it is complete, emits it with its fate.
    fn take_head(&mut self, chunk: &mut Bytes, rules: &[Arc<ActiveRule>], out: &mut Vec<Piece>) {
        let missing = head_bytes(self.side) - self.head.len();
        let part = chunk.split_to(chunk.len().min(missing));
        self.head.extend_from_slice(&part);
        if part.len() < missing {
            return;
        }
        let parsed = self.parse_head();
        let head = self.head.split().freeze();
        let passed = std::mem::take(&mut self.head_passed);
        let unsent = head.slice(passed..);
        let Some((found, body_left)) = parsed else {
            self.is_opaque = true;
            return out.push(pass(unsent));
        };
        // Once a part of the head went on, the frame has to.
        let rules = if passed == 0 { rules } else { &[] };
        let fate = judge(rules, self.side, found);
        // Head and body of one chunk stay one piece, hence one write.
        let body = chunk.split_to(chunk.len().min(body_left));
        self.body_left = body_left - body.len();
        self.body_fate = fate.clone();
        out.push(Piece {
            bytes: unsent,
            fate: fate.clone(),
            head: Some(found),
        });
        if !body.is_empty() {
            out.push(Piece {
                bytes: body,
                fate,
                head: None,
            });
        }
    }

    /// The head and the number of bytes behind it; nothing if this cannot be a Kafka frame.
    fn parse_head(&self) -> Option<(FrameHead, usize)> {
        let length = i32_at(&self.head, 0)?;
        let after_length = head_bytes(self.side) - 4;
        if length > FRAME_BYTES_MAX {
            return None;
        }
        let body_left = usize::try_from(length).ok()?.checked_sub(after_length)?;
        let head = match self.side {
            FrameSide::Request => {
                let api = i16::from_be_bytes(self.head.get(4..6)?.try_into().ok()?);
                let correlation = i32_at(&self.head, 8)?;
                self.in_flight.sent(correlation, api);
                FrameHead {
                    api: Some(api),
                    correlation,
                }
            }
            FrameSide::Response => {
                let correlation = i32_at(&self.head, 4)?;
                FrameHead {
                    api: self.in_flight.answered(correlation),
                    correlation,
                }
            }
        };
        Some((head, body_left))
    }
}

impl InFlight {
    fn sent(&self, correlation: i32, api: i16) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == IN_FLIGHT_MAX {
            requests.pop_front();
        }
        requests.push_back((correlation, api));
    }

    /// Responses come in request order, so what lies before the match has no response.
    fn answered(&self, correlation: i32) -> Option<i16> {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = requests.iter().position(|(sent, _)| *sent == correlation)?;
        requests.drain(..=at).next_back().map(|(_, api)| api)
    }
}

fn judge(rules: &[Arc<ActiveRule>], side: FrameSide, head: FrameHead) -> Fate {
    let first = rules
        .iter()
        .find_map(|rule| Some((rule.judge(side, head)?, rule)));
    first.map_or(Fate::Pass, |(action, rule)| {
        Fate::Act(action, Arc::clone(rule))
    })
}

fn head_bytes(side: FrameSide) -> usize {
    match side {
        FrameSide::Request => 12,
        FrameSide::Response => 8,
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn pass(bytes: Bytes) -> Piece {
    Piece {
        bytes,
        fate: Fate::Pass,
        head: None,
    }
}

#[cfg(test)]
#[path = "frame_filter_test.rs"]
mod tests;

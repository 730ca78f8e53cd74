//! One direction of one connection: reads, decides, waits, writes.
//!
//! In: bytes from one socket. Out: the same bytes, in order, to the other, minus frames that a
//! rule dropped. Keeps: bounded memory (a full queue stops reading, and the sender's kernel waits
//! as with a slow receiver); while withheld, nothing is read and nothing written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::link::frame_filter::{Fate, FrameFilter, InFlight, Piece};
use crate::link::journal::Count;
use crate::link::policy::{Direction, Policy};
use crate::link::proxy::{Age, LinkState, Proxy};
use crate::link::rule::{ActiveRule, FrameAction, FrameSide, unit_draw};
use crate::sandbox::sys;

/// Bytes read at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Bytes that wait here at most; enough for 50 ms at 160 MB/s.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that wait here at most while a bandwidth holds, so that the sender feels it.
const PACED_QUEUE_BYTES_MAX: usize = 64 * 1024;
/// How long one draw of the jitter holds; independent draws would converge to the largest.
const JITTER_SLOT: Duration = Duration::from_millis(10);

/// The connection must be reset.
#[derive(Debug)]
pub(crate) struct Broken;

/// One direction of one connection.
pub(crate) struct Half<'a> {
    proxy: &'a Proxy,
    direction: Direction,
    state: watch::Receiver<LinkState>,
    born: Age,
    filter: FrameFilter,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    last_due: Instant,
    next_paced: Instant,
    pieces: Vec<Piece>,
    has_ended: bool,
}

struct Queued {
    bytes: Bytes,
    due: Instant,
    held_by: Option<Arc<ActiveRule>>,
}

enum Front {
    Ready,
    DueAt(Instant),
    /// Empty, or held by a rule.
    Waits,
}

impl<'a> Half<'a> {
    pub(crate) fn new(
        proxy: &'a Proxy,
        direction: Direction,
        in_flight: Arc<InFlight>,
        born: Age,
    ) -> Self {
        let side = match direction {
            Direction::Forward => FrameSide::Request,
            Direction::Backward => FrameSide::Response,
        };
        Self {
            proxy,
            direction,
            state: proxy.subscribe(),
            born,
            filter: FrameFilter::new(side, in_flight),
            queue: VecDeque::new(),
            queued_bytes: 0,
            last_due: Instant::now(),
            next_paced: Instant::now(),
            pieces: Vec::new(),
            has_ended: false,
        }
    }

    /// Carries bytes until `from` ends, then passes the FIN on.
    ///
    /// # Errors
    /// When either socket was reset, or the link resets or forgets the connection.
    pub(crate) async fn run(
        mut self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> Result<(), Broken> {
        let mut buffer = BytesMut::new();
        loop {
            let policy = self.current_policy()?;
            if policy.withholds(self.direction) {
                self.wait_withheld(&mut from).await?;
                continue;
            }
            let front = self.front(&policy);
            if self.has_ended && self.queue.is_empty() {
                return to.shutdown().await.map_err(|_| Broken);
            }
            if buffer.capacity() < CHUNK_BYTES / 4 {
                buffer.reserve(CHUNK_BYTES);
            }
            let mut room = (&mut buffer).limit(self.room(&policy));
            let may_read = !self.has_ended && room.has_remaining_mut();
            tokio::select! {
                biased;
                changed = self.state.changed() => changed.map_err(|_| Broken)?,
                written = write(&mut to, self.queue.front()), if matches!(front, Front::Ready) => {
                    self.written(written.map_err(|_| Broken)?, &policy);
                }
                () = wake(&front) => {}
                read = from.read_buf(&mut room), if may_read => {
                    self.take(read.map_err(|_| Broken)?, buffer.split().freeze(), &policy)?;
                }
            }
        }
    }

    fn current_policy(&mut self) -> Result<Policy, Broken> {
        let state = self.state.borrow_and_update();
        if state.age == self.born {
            Ok(state.policy.clone())
        } else {
            Err(Broken)
        }
    }

    /// Waits for the next change, and notes it if something is withheld meanwhile.
    async fn wait_withheld(&mut self, from: &mut ReadHalf<'_>) -> Result<(), Broken> {
        if self.queue.is_empty() && !self.has_ended {
            let mut byte = [0];
            tokio::select! {
                biased;
                changed = self.state.changed() => return changed.map_err(|_| Broken),
                // Not `readable()`, which may wake for bytes that were read long ago: a cut would
                // then count nothing as its effect, and never look again.
                peeked = from.peek(&mut byte) => peeked.map_err(|_| Broken)?,
            };
        }
        let waiting = sys::bytes_waiting(std::os::fd::AsFd::as_fd(from.as_ref())).unwrap_or(0);
        let withheld = self.queued_bytes + waiting;
        self.proxy
            .counters
            .add(Count::BytesWithheld, withheld as u64);
        let what = format!("withheld {withheld} bytes or a FIN, {:?}", self.direction);
        self.proxy.record(Count::StreamsWithheld, what);
        self.state.changed().await.map_err(|_| Broken)
    }

    /// How many bytes may be read now.
    fn room(&self, policy: &Policy) -> usize {
        let limit = match policy {
            Policy::Bandwidth { .. } => PACED_QUEUE_BYTES_MAX,
            _ => QUEUE_BYTES_MAX,
        };
        limit.saturating_sub(self.queued_bytes).min(CHUNK_BYTES)
    }

    /// Queues what was read; nothing read is the end of the stream.
    fn take(&mut self, read: usize, chunk: Bytes, policy: &Policy) -> Result<(), Broken> {
        let mut pieces = std::mem::take(&mut self.pieces);
        if read == 0 {
            self.has_ended = true;
            pieces.extend(self.filter.withheld_head());
        } else {
            let rules = self.state.borrow().active_rules();
            self.filter.push(chunk, &rules, &mut pieces);
        }
        let due = self.due(policy, read);
        for piece in pieces.drain(..) {
            self.enqueue(piece, due)?;
        }
        self.pieces = pieces;
        Ok(())
    }

    fn enqueue(&mut self, piece: Piece, due: Instant) -> Result<(), Broken> {
        let (due, held_by) = match piece.fate {
            Fate::Pass => (due, None),
            Fate::Act(FrameAction::Drop, _) => {
                self.note_dropped(&piece);
                return Ok(());
            }
            Fate::Act(FrameAction::Reset, _) => {
                self.note_dropped(&piece);
                return Err(Broken);
            }
            Fate::Act(FrameAction::Hold, ref rule) => {
                self.note_held(&piece);
                (due, Some(Arc::clone(rule)))
            }
            Fate::Act(action @ FrameAction::Delay(_), _) => {
                self.note_held(&piece);
                (due + action.delay().unwrap_or_default(), None)
            }
        };
        self.last_due = self.last_due.max(due);
        self.queued_bytes += piece.bytes.len();
        self.queue.push_back(Queued {
            bytes: piece.bytes,
            due: self.last_due,
            held_by,
        });
        Ok(())
    }

    fn note_dropped(&self, piece: &Piece) {
        if let Some(head) = piece.head {
            let what = format!("dropped {:?} frame {head:?}", self.direction);
            self.proxy.record(Count::FramesDropped, what);
        }
    }

    fn note_held(&self, piece: &Piece) {
        if let Some(head) = piece.head {
            let what = format!("held {:?} frame {head:?}", self.direction);
            self.proxy.record(Count::FramesHeld, what);
        }
    }

    /// When bytes that were read now may be written.
    fn due(&self, policy: &Policy, read: usize) -> Instant {
        let now = Instant::now();
        let Policy::Delay { mean, jitter } = policy else {
            return now;
        };
        self.proxy.counters.add(Count::BytesDelayed, read as u64);
        let slot = self.proxy.started.elapsed().as_millis() / JITTER_SLOT.as_millis();
        let draw = unit_draw(self.proxy.seed, slot as u64);
        now + mean.saturating_sub(*jitter) + (*jitter * 2).mul_f64(draw)
    }

    fn front(&self, policy: &Policy) -> Front {
        let Some(first) = self.queue.front() else {
            return Front::Waits;
        };
        if first.held_by.as_ref().is_some_and(|rule| rule.is_active()) {
            return Front::Waits;
        }
        let at = match policy {
            Policy::Bandwidth { .. } => first.due.max(self.next_paced),
            _ => first.due,
        };
        if at <= Instant::now() {
            Front::Ready
        } else {
            Front::DueAt(at)
        }
    }

    fn written(&mut self, written: usize, policy: &Policy) {
        let count = match self.direction {
            Direction::Forward => Count::BytesForward,
            Direction::Backward => Count::BytesBackward,
        };
        self.proxy.counters.add(count, written as u64);
        self.queued_bytes -= written;
        if let Some(first) = self.queue.front_mut() {
            first.bytes.advance(written);
            if first.bytes.is_empty() {
                self.queue.pop_front();
            }
        }
        if let Policy::Bandwidth { bytes_per_second } = policy {
            self.proxy.counters.add(Count::BytesPaced, written as u64);
            let seconds = written as f64 / (*bytes_per_second).max(1) as f64;
            let cost = Duration::from_secs_f64(seconds);
            self.next_paced = self.next_paced.max(Instant::now()) + cost;
        }
    }
}

async fn write(to: &mut WriteHalf<'_>, first: Option<&Queued>) -> std::io::Result<usize> {
    match first {
        Some(first) => to.write(&first.bytes).await,
        None => std::future::pending().await,
    }
}

async fn wake(front: &Front) {
    match front {
        Front::DueAt(at) => sleep_until(*at).await,
        Front::Ready | Front::Waits => std::future::pending().await,
    }
}

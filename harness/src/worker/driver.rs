//! The harness's end of a worker's pipes: requests out, replies back to whoever asked.
//!
//! In: `call` with a command and a deadline. Out: the worker's outcome, or why there is none; and
//! what the worker tells unasked, to a listener.
//! Invariant: every call ends: by its reply, by its deadline, or by the worker's death; a reply is
//! handed to the call with its id and to no other. An event is acknowledged after the listener has
//! taken it, and no later line is looked at before. A stopped worker blocks nobody but its callers.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::worker::protocol::{
    Ack, Command, Event, Greeting, Outcome, PROTOCOL_VERSION, Reply, Request, Told,
};

/// Requests that may wait for a slow worker's pipe.
const QUEUED_REQUESTS_MAX: usize = 256;

/// Buffer for a worker's stdout: a full poll is some tens of kilobytes.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Why a call has no outcome. The request may or may not have had its effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The worker is gone, or said something that is not the protocol.
    #[error("worker is gone: {0}")]
    Gone(String),
    /// No reply within the deadline.
    #[error("no reply within {0:?}")]
    Deadline(Duration),
}

/// Takes what a worker tells unasked, in the order of its lines. It must not wait.
pub trait Listener: Send + Sync + std::fmt::Debug {
    /// The worker goes on when this returns.
    fn told(&self, told: Told);
}

/// A worker that can be asked. Dropping it closes the worker's stdin.
#[derive(Debug)]
pub struct Driver {
    lines: mpsc::Sender<Line>,
    waiting: Arc<Waiting>,
    listener: Arc<OnceLock<Arc<dyn Listener>>>,
    next_id: AtomicU64,
}

impl Driver {
    /// Takes over a worker's pipes and spawns the two tasks that serve them, in this runtime.
    pub fn start(
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
    ) -> Self {
        let (lines, queue) = mpsc::channel(QUEUED_REQUESTS_MAX);
        let waiting = Arc::new(Waiting::default());
        let listener = Arc::default();
        let at_writer = Arc::clone(&waiting);
        tokio::spawn(async move {
            if let Err(error) = write_lines(queue, stdin).await {
                at_writer.close(&format!("its stdin is closed: {error}"));
            }
        });
        // The reader must not keep the worker's stdin open when the driver is dropped.
        let reader = Reader {
            waiting: Arc::clone(&waiting),
            acks: lines.downgrade(),
            listener: Arc::clone(&listener),
        };
        tokio::spawn(async move {
            let reason = reader.read(stdout).await;
            reader.waiting.close(&reason);
        });
        Self {
            lines,
            waiting,
            listener,
            next_id: AtomicU64::new(1),
        }
    }

    /// Hands events to `listener` from now on; before, they are acknowledged and forgotten. A
    /// worker has one listener in its life: a second one is not heard.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        let _ = self.listener.set(listener);
    }

    /// Sends `command` and waits for its outcome, at most `deadline`.
    pub async fn call(&self, command: Command, deadline: Duration) -> Result<Outcome, CallError> {
        let end = Instant::now() + deadline;
        let asked = tokio::time::timeout_at(end, self.ask(command)).await;
        let asked = asked.unwrap_or(Err(CallError::Deadline(deadline)))?;
        match asked
            .outcome(end.saturating_duration_since(Instant::now()))
            .await
        {
            Err(CallError::Deadline(_)) => Err(CallError::Deadline(deadline)),
            ended => ended,
        }
    }

    /// Sends `command`: what is sent after this returns comes after it, whoever waits for the
    /// outcome.
    pub async fn ask(&self, command: Command) -> Result<Asked, CallError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let reply = self.waiting.expect(id)?;
        let asked = Asked {
            id,
            reply,
            waiting: Arc::clone(&self.waiting),
        };
        let line = Line::Request(Box::new(Request { id, command }));
        match self.lines.send(line).await {
            Ok(()) => Ok(asked),
            Err(_) => Err(CallError::Gone(self.waiting.reason())),
        }
    }

    /// The client under test, once its greeting has come.
    pub fn greeting(&self) -> Option<Greeting> {
        self.waiting.lock().greeting.clone()
    }

    /// Whether no reply can come any more.
    pub fn is_gone(&self) -> bool {
        self.waiting.lock().closed.is_some()
    }
}

/// A request that is on its way.
#[derive(Debug)]
pub struct Asked {
    id: u64,
    reply: oneshot::Receiver<Outcome>,
    waiting: Arc<Waiting>,
}

impl Asked {
    /// Waits for the outcome, at most `limit`.
    pub async fn outcome(mut self, limit: Duration) -> Result<Outcome, CallError> {
        match tokio::time::timeout(limit, &mut self.reply).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(CallError::Gone(self.waiting.reason())),
            Err(_) => Err(CallError::Deadline(limit)),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.waiting.forget(self.id);
    }
}

/// The calls without a reply, and whether replies can still come.
#[derive(Debug, Default)]
struct Waiting(Mutex<WaitingState>);

#[derive(Debug, Default)]
struct WaitingState {
    calls: BTreeMap<u64, oneshot::Sender<Outcome>>,
    greeting: Option<Greeting>,
    closed: Option<String>,
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, WaitingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, id: u64) -> Result<oneshot::Receiver<Outcome>, CallError> {
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Err(CallError::Gone(reason.clone()));
        }
        let (sender, receiver) = oneshot::channel();
        state.calls.insert(id, sender);
        Ok(receiver)
    }

    fn answer(&self, reply: Reply) {
        // A reply whose call has passed its deadline has nobody to go to; that is no error.
        if let Some(call) = self.lock().calls.remove(&reply.id) {
            let _ = call.send(reply.outcome);
        }
    }

    fn forget(&self, id: u64) {
        self.lock().calls.remove(&id);
    }

    /// Ends all calls, present and future; the first reason stands.
    fn close(&self, reason: &str) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| reason.to_owned());
        state.calls.clear();
    }

    fn reason(&self) -> String {
        self.lock()
            .closed
            .clone()
            .unwrap_or_else(|| "its stdin is closed".to_owned())
    }
}

/// One line to the worker.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Request(Box<Request>),
    Ack(Ack),
}

/// Writes lines until the queue closes; all that wait go in one write.
async fn write_lines(
    mut queue: mpsc::Receiver<Line>,
    mut stdin: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut lines = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(line) = next {
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
            next = queue.try_recv().ok();
        }
        stdin.write_all(&lines).await?;
        stdin.flush().await?;
        lines.clear();
    }
    Ok(())
}

/// The task at the worker's stdout.
struct Reader {
    waiting: Arc<Waiting>,
    acks: mpsc::WeakSender<Line>,
    listener: Arc<OnceLock<Arc<dyn Listener>>>,
}

impl Reader {
    /// Reads until the worker closes its stdout or leaves the protocol; says why it ended.
    async fn read(&self, stdout: impl AsyncRead + Unpin) -> String {
        let mut lines = BufReader::with_capacity(READ_BUFFER_BYTES, stdout).lines();
        let mut greeted = false;
        loop {
            let line = match lines.next_line().await {
                Ok(Some(line)) => line,
                Ok(None) if greeted => return "it closed its stdout".to_owned(),
                Ok(None) => return "it closed its stdout before its greeting".to_owned(),
                Err(error) => return format!("its stdout failed: {error}"),
            };
            if !greeted {
                match greeting(&line) {
                    Ok(greeting) => self.waiting.lock().greeting = Some(greeting),
                    Err(reason) => return reason,
                }
                greeted = true;
                continue;
            }
            // Nearly all lines are replies; what is none may be an event.
            match serde_json::from_str::<Reply>(&line) {
                Ok(reply) => self.waiting.answer(reply),
                Err(error) => match serde_json::from_str::<Event>(&line) {
                    Ok(event) => self.take(event).await,
                    Err(_) => return format!("its line {line:.120} is no reply: {error}"),
                },
            }
        }
    }

    async fn take(&self, event: Event) {
        if let Some(listener) = self.listener.get() {
            listener.told(event.told);
        }
        if let Some(acks) = self.acks.upgrade() {
            // A writer that is gone has said so to all callers.
            let _ = acks.send(Line::Ack(Ack { ack: event.event })).await;
        }
    }
}

fn greeting(line: &str) -> Result<Greeting, String> {
    let greeting: Greeting = serde_json::from_str(line)
        .map_err(|error| format!("its first line {line:.120} is no greeting: {error}"))?;
    if greeting.protocol == PROTOCOL_VERSION {
        Ok(greeting)
    } else {
        Err(format!(
            "it speaks protocol {}, this harness speaks {PROTOCOL_VERSION}",
            greeting.protocol
        ))
    }
}

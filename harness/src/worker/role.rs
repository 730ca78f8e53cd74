//! The worker that uses this project's own client: what the role `worker` runs.
//!
//! In: requests and acknowledgements on stdin. Out: replies and events on stdout
//! (`worker::protocol`).
//! Invariant: every request gets one reply. Sends and processing run side by side; everything else
//! about the consumer runs in the order of its lines. The process ends with its stdin, so no worker
//! outlives its harness.

use std::ffi::OsString;
use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use broker::config::sabotage::{self, Sabotage};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::worker::client::{ConsumerUnderTest, ProducerUnderTest};
use crate::worker::events::{Events, Out};
use crate::worker::member::Processed;
use crate::worker::protocol::{
    Ack, Answer, Command, Greeting, OpenOptions, Outcome, PROTOCOL_VERSION, Reply, Request,
    WorkerError, WorkerErrorKind,
};

/// Replies that may wait for the harness to read, and requests for the consumer.
const QUEUE_LENGTH_MAX: usize = 1024;

/// Serves the protocol on stdin and stdout until stdin ends.
pub fn run(_arguments: Vec<OsString>) -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The pipes have a thread each, so that a full one never stops the clients' own work.
fn serve() -> io::Result<()> {
    let (replies, queue) = mpsc::channel(QUEUE_LENGTH_MAX);
    let (lines, requests) = mpsc::channel(QUEUE_LENGTH_MAX);
    let writer = std::thread::Builder::new()
        .name("stdout".to_owned())
        .spawn(move || write_replies(queue, io::stdout().lock()))?;
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read_lines(&lines, io::stdin().lock()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(take_all(requests, replies)));
    // Open sends still hold senders of replies; dropping the runtime ends them.
    drop(runtime);
    writer
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
}

async fn take_all(mut requests: mpsc::Receiver<String>, replies: mpsc::Sender<Out>) {
    let mut worker = Worker {
        events: Events::new(replies.clone()),
        replies,
        processed: Processed::default(),
        producer: None,
        consumer: None,
    };
    while let Some(line) = requests.recv().await {
        if worker.take(&line).await.is_break() {
            return;
        }
    }
}

/// Hands on lines until stdin ends; a line that cannot be read ends it, too.
fn read_lines(lines: &mpsc::Sender<String>, stdin: impl BufRead) {
    for line in stdin.lines() {
        let Ok(line) = line else { return };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Writes the greeting and then the replies; all that wait go in one write.
fn write_replies(mut queue: mpsc::Receiver<Out>, stdout: impl Write) -> io::Result<()> {
    let mut stdout = BufWriter::new(stdout);
    let client = concat!("verdict-rust ", env!("CARGO_PKG_VERSION")).to_owned();
    write_line(
        &mut stdout,
        &Greeting {
            protocol: PROTOCOL_VERSION,
            client,
        },
    )?;
    stdout.flush()?;
    while let Some(first) = queue.blocking_recv() {
        write_line(&mut stdout, &first)?;
        while let Ok(next) = queue.try_recv() {
            write_line(&mut stdout, &next)?;
        }
        stdout.flush()?;
    }
    Ok(())
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

struct Worker {
    replies: mpsc::Sender<Out>,
    events: Events,
    processed: Processed,
    producer: Option<Rc<ProducerUnderTest>>,
    consumer: Option<mpsc::Sender<Request>>,
}

impl Worker {
    /// Acts on one line; breaks after a close.
    async fn take(&mut self, line: &str) -> std::ops::ControlFlow<()> {
        if let Ok(Ack { ack }) = serde_json::from_str(line) {
            self.events.acknowledged(ack);
            return std::ops::ControlFlow::Continue(());
        }
        let request: Request = match serde_json::from_str(line) {
            Ok(request) => request,
            Err(error) => {
                let id = id_of(line);
                let complaint = invalid(format!("not a request: {error}"));
                self.reply(id, Outcome::Error(complaint)).await;
                return std::ops::ControlFlow::Continue(());
            }
        };
        match request.command {
            Command::Open(options) => {
                let outcome = match self.open(*options).await {
                    Ok(()) => Outcome::Ok(Answer::Done),
                    Err(error) => Outcome::Error(error),
                };
                self.reply(request.id, outcome).await;
            }
            Command::Send {
                topic,
                partition,
                value,
                bytes,
            } => {
                self.send(request.id, topic, partition, value, bytes).await;
            }
            Command::Process {
                partition,
                offset,
                process_ms,
            } => self.process(request.id, (partition, offset), process_ms),
            Command::Close => {
                self.producer = None;
                self.consumer = None;
                self.reply(request.id, Outcome::Ok(Answer::Done)).await;
                return std::ops::ControlFlow::Break(());
            }
            _ => self.consume(request).await,
        }
        std::ops::ControlFlow::Continue(())
    }

    async fn open(&mut self, options: OpenOptions) -> Result<(), WorkerError> {
        if let Some(name) = &options.sabotage {
            plant(name).map_err(invalid)?;
        }
        if options.producer.is_some() {
            self.producer = Some(Rc::new(ProducerUnderTest::start(&options).await?));
        }
        if options.consumer.is_some() {
            let consumer =
                ConsumerUnderTest::start(&options, &self.events, &self.processed).await?;
            let (requests, queue) = mpsc::channel(QUEUE_LENGTH_MAX);
            tokio::task::spawn_local(serve_consumer(consumer, queue, self.replies.clone()));
            self.consumer = Some(requests);
        }
        Ok(())
    }

    async fn send(&self, id: u64, topic: String, partition: i32, value: u64, bytes: usize) {
        let Some(producer) = self.producer.clone() else {
            let complaint = invalid("no producer is open; open one first".to_owned());
            return self.reply(id, Outcome::Error(complaint)).await;
        };
        let replies = self.replies.clone();
        tokio::task::spawn_local(async move {
            let outcome = match producer.send(topic, partition, value, bytes).await {
                Ok(offset) => Outcome::Ok(Answer::Sent { offset }),
                Err(error) => Outcome::Error(error),
            };
            let _ = replies.send(Out::Reply(Reply { id, outcome })).await;
        });
    }

    /// The application's own work, which takes its time in this process: it is frozen and killed
    /// with it.
    fn process(&self, id: u64, (partition, offset): (i32, i64), process_ms: u64) {
        let (replies, processed) = (self.replies.clone(), self.processed.clone());
        tokio::task::spawn_local(async move {
            if process_ms > 0 {
                tokio::time::sleep(Duration::from_millis(process_ms)).await;
            }
            processed.done(partition, offset);
            let outcome = Outcome::Ok(Answer::Done);
            let _ = replies.send(Out::Reply(Reply { id, outcome })).await;
        });
    }

    async fn consume(&self, request: Request) {
        let id = request.id;
        let queued = match &self.consumer {
            Some(consumer) => consumer.send(request).await.is_ok(),
            None => false,
        };
        if !queued {
            let complaint = invalid("no consumer is open; open one first".to_owned());
            self.reply(id, Outcome::Error(complaint)).await;
        }
    }

    async fn reply(&self, id: u64, outcome: Outcome) {
        let _ = self.replies.send(Out::Reply(Reply { id, outcome })).await;
    }
}

async fn serve_consumer(
    mut consumer: ConsumerUnderTest,
    mut queue: mpsc::Receiver<Request>,
    replies: mpsc::Sender<Out>,
) {
    while let Some(Request { id, command }) = queue.recv().await {
        if command == Command::CommitAsync {
            let replies = replies.clone();
            consumer.commit_async(move |outcome| reply_later(replies, id, outcome));
            continue;
        }
        let outcome = match consumer.perform(command).await {
            Ok(answer) => Outcome::Ok(answer),
            Err(error) => Outcome::Error(error),
        };
        if replies
            .send(Out::Reply(Reply { id, outcome }))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// A reply from a callback, which cannot wait.
fn reply_later(replies: mpsc::Sender<Out>, id: u64, outcome: Outcome) {
    tokio::spawn(async move {
        let _ = replies.send(Out::Reply(Reply { id, outcome })).await;
    });
}

fn plant(name: &str) -> Result<(), String> {
    let bug = Sabotage::from_name(name).ok_or_else(|| format!("no planted bug is {name}"))?;
    sabotage::plant(bug)
}

/// The id of a line that is no request otherwise; 0 if there is none.
fn id_of(line: &str) -> u64 {
    #[derive(serde::Deserialize)]
    struct OnlyId {
        id: u64,
    }
    serde_json::from_str::<OnlyId>(line).map_or(0, |line| line.id)
}

fn invalid(message: String) -> WorkerError {
    WorkerError {
        kind: WorkerErrorKind::Invalid,
        code: None,
        message,
    }
}

//! Connections to the other nodes: one for each peer and kind of request.
//!
//! In: `PeerRequest`s of the core. Out: exactly one `Event::Peer` for each. Invariants: every
//! request has a deadline; a request without answer by then fails and takes its connection with
//! it, because what comes later could not be told from the answer to a later request.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::{ApiKey, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use rustc_hash::FxHashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::event::Event;
use super::network::Spawner;
use crate::broker::effects::{BROKER_CLIENT_PREFIX, Channel, Correlation, PeerError, PeerRequest};
use crate::config::Endpoint;
use crate::id::BrokerId;
use crate::protocol::{RequestHeader, codec, frame};

/// Requests that may wait for one connection.
const QUEUE_MAX: usize = 1024;
/// How long a connection attempt may take, even if the request has more time.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// The connections of one node to its peers.
#[derive(Debug)]
pub(super) struct Peers {
    network: Spawner,
    events: mpsc::Sender<Event>,
    client_id: StrBytes,
    queues: FxHashMap<(BrokerId, Channel), mpsc::Sender<Command>>,
}

#[derive(Debug)]
struct Command {
    request: PeerRequest,
    deadline: Instant,
}

impl Peers {
    /// No connections yet; answers go to `events`.
    pub(super) fn new(network: Spawner, events: mpsc::Sender<Event>, node_id: BrokerId) -> Self {
        let client_id = StrBytes::from_string(format!("{BROKER_CLIENT_PREFIX}{node_id}"));
        Self {
            network,
            events,
            client_id,
            queues: FxHashMap::default(),
        }
    }

    /// Sends `request` on its peer's connection of its kind, which is opened if need be.
    pub(super) fn send(&mut self, request: PeerRequest) {
        let deadline = Instant::now() + request.timeout;
        let queue = self
            .queues
            .entry((request.to, request.channel))
            .or_insert_with(|| {
                let (sender, commands) = mpsc::channel(QUEUE_MAX);
                let peer = Peer {
                    events: self.events.clone(),
                    client_id: self.client_id.clone(),
                    link: None,
                    waiting: VecDeque::new(),
                };
                self.network.spawn(peer.run(commands));
                sender
            });
        if let Err(refused) = queue.try_send(Command { request, deadline }) {
            let command = match refused {
                mpsc::error::TrySendError::Full(command)
                | mpsc::error::TrySendError::Closed(command) => command,
            };
            let correlation = command.request.correlation;
            let error = PeerError(format!("{QUEUE_MAX} requests wait for this connection"));
            let events = self.events.clone();
            // The core must never wait for its own queue.
            self.network.spawn(async move {
                let _ = events
                    .send(Event::Peer {
                        correlation,
                        result: Err(error),
                    })
                    .await;
            });
        }
    }
}

struct Peer {
    events: mpsc::Sender<Event>,
    client_id: StrBytes,
    link: Option<Link>,
    waiting: VecDeque<Waiting>,
}

struct Link {
    stream: TcpStream,
    endpoint: Endpoint,
    buffer: BytesMut,
}

struct Waiting {
    correlation: Correlation,
    wire_id: i32,
    api: ApiKey,
    version: i16,
    deadline: Instant,
}

impl Peer {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let deadline = self.waiting.front().map(|waiting| waiting.deadline);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.begin(command).await,
                    None => return,
                },
                read = read_some(self.link.as_mut()), if self.link.is_some() => match read {
                    Ok(()) => self.take_frames().await,
                    Err(reason) => self.break_link(&reason).await,
                },
                () = sleep_until(deadline), if deadline.is_some() => {
                    self.break_link("no answer in time").await;
                }
            }
        }
    }

    async fn begin(&mut self, Command { request, deadline }: Command) {
        let correlation = request.correlation;
        if let Err(reason) = self.connect(&request.endpoint, deadline).await {
            let reason = format!("cannot connect to {}: {reason}", request.endpoint);
            return self.answer(correlation, Err(PeerError(reason))).await;
        }
        let PeerRequest { api, version, .. } = request;
        let wire_id = (correlation & 0x7fff_ffff) as i32;
        let client_id = Some(self.client_id.clone());
        let header = RequestHeader {
            api,
            version,
            correlation_id: wire_id,
            client_id,
            peer: None,
        };
        let bytes = match codec::encode_request(&header, &request.body) {
            Ok(bytes) => bytes,
            Err(error) => {
                return self
                    .answer(correlation, Err(PeerError(error.to_string())))
                    .await;
            }
        };
        self.waiting.push_back(Waiting {
            correlation,
            wire_id,
            api,
            version,
            deadline,
        });
        let Some(link) = self.link.as_mut() else {
            return;
        };
        let written = match timeout_at(deadline, link.stream.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("not sent in time".to_owned()),
        };
        if let Err(reason) = written {
            self.break_link(&reason).await;
        }
    }

    async fn connect(&mut self, endpoint: &Endpoint, deadline: Instant) -> Result<(), String> {
        if self
            .link
            .as_ref()
            .is_some_and(|link| link.endpoint == *endpoint)
        {
            return Ok(());
        }
        self.break_link("the peer moved").await;
        let deadline = deadline.min(Instant::now() + CONNECT_MAX);
        let address = (endpoint.host.as_str(), endpoint.port);
        let stream = timeout_at(deadline, TcpStream::connect(address))
            .await
            .map_err(|_| "no connection in time".to_owned())?
            .map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        self.link = Some(Link {
            stream,
            endpoint: endpoint.clone(),
            buffer: BytesMut::new(),
        });
        Ok(())
    }

    async fn take_frames(&mut self) {
        while let Some(link) = self.link.as_mut() {
            match frame::next_response(&mut link.buffer) {
                Ok(Some(bytes)) => {
                    let Some(waiting) = self.waiting.pop_front() else {
                        return self.break_link("an answer without a request").await;
                    };
                    let decoded = codec::decode_response(waiting.api, waiting.version, bytes);
                    match decoded {
                        Ok((id, body)) if id == waiting.wire_id => {
                            self.answer(waiting.correlation, Ok(Box::new(body))).await;
                        }
                        bad => {
                            let reason = match bad {
                                Ok((id, _)) => format!("answer {id} is out of order"),
                                Err(error) => error.to_string(),
                            };
                            self.waiting.push_front(waiting);
                            return self.break_link(&reason).await;
                        }
                    }
                }
                Ok(None) => return,
                Err(error) => return self.break_link(&error.to_string()).await,
            }
        }
    }

    async fn break_link(&mut self, reason: &str) {
        if let Some(link) = self.link.take() {
            debug!(peer = %link.endpoint, reason, "connection to a peer closed");
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.answer(waiting.correlation, Err(PeerError(reason.to_owned())))
                .await;
        }
    }

    async fn answer(&self, correlation: Correlation, result: Result<Box<ResponseKind>, PeerError>) {
        let _ = self
            .events
            .send(Event::Peer {
                correlation,
                result,
            })
            .await;
    }
}

async fn read_some(link: Option<&mut Link>) -> Result<(), String> {
    let Some(link) = link else {
        return std::future::pending().await;
    };
    if link.buffer.capacity() == link.buffer.len() {
        link.buffer.reserve(16 << 10);
    }
    match link.stream.read_buf(&mut link.buffer).await {
        Ok(0) => Err("the peer closed it".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

//! Connections of clients and peers: accept, decode, hand to the core, answer in order.
//!
//! In: bytes of sockets. Out: `Event::Request`s, and their answers as bytes. Invariants: responses
//! leave in the order of their requests; a malformed frame closes its connection with a logged
//! reason and never reaches the core; a full queue stops the reading of sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::event::{Answer, Event};
use super::network::Spawner;
use super::post::Recipient;
use crate::protocol::{CodecError, FrameError, codec, frame, versions};

/// Requests of one connection that may wait for their answers.
const IN_FLIGHT_MAX: usize = 64;
/// Bytes read from a socket at a time, unless a longer frame is announced.
const READ_BYTES: usize = 16 << 10;
/// How long answers may take after the peer closed its sending side.
const LINGER: Duration = Duration::from_secs(2);
/// The pause after a failed accept, which is usually a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// The core's queue.
    pub(super) events: mpsc::Sender<Event>,
    /// `socket.request.max.bytes`.
    pub(super) request_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub(super) idle_max: Duration,
    /// The network's thread that serves the connection; of the listener, its own.
    pub(super) thread: usize,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the peer closed it")]
    Eof,
    #[error("idle for {0:?}")]
    Idle(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("{0}")]
    Refused(String),
    #[error("the node stops")]
    Stopping,
}

/// One request whose answer has yet to be written.
struct Pending {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    answer: oneshot::Receiver<Answer>,
}

/// Accepts connections until the network ends; `network` serves them.
pub(super) async fn serve(listener: TcpListener, context: Context, network: Spawner) {
    loop {
        match listener.accept().await.and_then(unregistered) {
            Ok((stream, peer)) => {
                let context = context.clone();
                network.spawn_on(|thread| async move {
                    let context = Context { thread, ..context };
                    match TcpStream::from_std(stream) {
                        Ok(stream) => connection(stream, peer, context).await,
                        Err(error) => warn!(%peer, %error, "cannot serve a connection"),
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection that any thread's event loop can take.
fn unregistered(
    (stream, peer): (TcpStream, SocketAddr),
) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    Ok((stream.into_std()?, peer))
}

async fn connection(stream: TcpStream, peer: SocketAddr, context: Context) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let (read, write) = stream.into_split();
    let (pending, in_order) = mpsc::channel(IN_FLIGHT_MAX);
    let idle_max = context.idle_max;
    let reader = read_requests(read, pending, peer, context);
    let writer = write_responses(write, in_order, idle_max);
    tokio::pin!(reader, writer);
    // A peer that closed only its sending side still gets the answers it waits for, if they come
    // soon: one that closed both sides looks the same, and must not be kept for its longest wait.
    let ended = tokio::select! {
        ended = &mut writer => ended,
        ended = &mut reader => match (ended, timeout(LINGER, writer).await) {
            (Ended::Eof, Ok(ended)) | (ended, _) => ended,
        },
    };
    match ended {
        Ended::Eof | Ended::Idle(_) | Ended::Io(_) | Ended::Refused(_) | Ended::Stopping => {
            debug!(%peer, reason = %ended, "connection closed");
        }
        Ended::Frame(_) | Ended::Codec(_) => {
            info!(%peer, reason = %ended, "connection closed");
        }
    }
}

async fn read_requests(
    mut read: OwnedReadHalf,
    pending: mpsc::Sender<Pending>,
    peer: SocketAddr,
    context: Context,
) -> Ended {
    let mut buffer = BytesMut::new();
    loop {
        match frame::next_request(&mut buffer, context.request_bytes_max) {
            Ok(Some(frame)) => {
                if let Err(ended) = dispatch(frame, &pending, peer, &context).await {
                    return ended;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => return error.into(),
        }
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        match timeout(context.idle_max, read.read_buf(&mut buffer)).await {
            Ok(Ok(0)) => return Ended::Eof,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) if pending.capacity() < pending.max_capacity() => {}
            Err(_) => return Ended::Idle(context.idle_max),
        }
    }
}

async fn dispatch(
    frame: Bytes,
    pending: &mpsc::Sender<Pending>,
    peer: SocketAddr,
    context: &Context,
) -> Result<(), Ended> {
    let (sender, answer) = oneshot::channel();
    let (header, request) = match codec::decode_request(frame) {
        Ok(request) => (request.header.clone(), Some(request)),
        Err(CodecError::UnsupportedVersion {
            api: ApiKey::ApiVersions,
            correlation_id,
            ..
        }) => {
            let header = downgraded(correlation_id);
            let body = ResponseKind::ApiVersions(versions::api_versions_downgrade());
            let encoded = codec::encode_response(header.api, 0, correlation_id, &body)?;
            let _ = sender.send(Answer::Encoded(encoded));
            return queue(pending, &header, answer).await;
        }
        Err(error) => return Err(error.into()),
    };
    queue(pending, &header, answer).await?;
    let Some(mut request) = request else {
        return Ok(());
    };
    request.header.peer = Some(peer.ip());
    let thread = context.thread;
    let event = Event::Request {
        request: Box::new(request),
        answer: Recipient { thread, sender },
    };
    context
        .events
        .send(event)
        .await
        .map_err(|_| Ended::Stopping)
}

fn downgraded(correlation_id: i32) -> crate::protocol::RequestHeader {
    crate::protocol::RequestHeader {
        api: ApiKey::ApiVersions,
        version: 0,
        correlation_id,
        client_id: None,
        peer: None,
    }
}

async fn queue(
    pending: &mpsc::Sender<Pending>,
    header: &crate::protocol::RequestHeader,
    answer: oneshot::Receiver<Answer>,
) -> Result<(), Ended> {
    let (api, version, correlation_id) = (header.api, header.version, header.correlation_id);
    let entry = Pending {
        api,
        version,
        correlation_id,
        answer,
    };
    pending.send(entry).await.map_err(|_| Ended::Stopping)
}

async fn write_responses(
    mut write: OwnedWriteHalf,
    mut in_order: mpsc::Receiver<Pending>,
    idle_max: Duration,
) -> Ended {
    while let Some(pending) = in_order.recv().await {
        let bytes = match encode(pending).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(ended) => return ended,
        };
        match timeout(idle_max, write.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return Ended::Idle(idle_max),
        }
    }
    Ended::Eof
}

async fn encode(pending: Pending) -> Result<Option<Bytes>, Ended> {
    match pending.answer.await {
        Ok(Answer::Response(body)) => {
            let Pending {
                api,
                version,
                correlation_id,
                ..
            } = pending;
            Ok(Some(codec::encode_response(
                api,
                version,
                correlation_id,
                &body,
            )?))
        }
        Ok(Answer::Encoded(bytes)) => Ok(Some(bytes)),
        Ok(Answer::Nothing) => Ok(None),
        Ok(Answer::Close(reason)) => Err(Ended::Refused(reason)),
        Err(_) => Err(Ended::Stopping),
    }
}

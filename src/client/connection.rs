//! One TCP connection to a broker: pipelined calls, matched by correlation id, each with a
//! deadline.
//!
//! In: typed requests. Out: typed responses, or a `CallError` that says whether the request can
//! have reached the broker. The connection learns the broker's API versions before its first call.
//! Invariant: a request that was handed to the socket and has no response is reported as `Lost`,
//! never as `NotSent`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// The largest response that a client accepts, in bytes: a full fetch and its headers.
const RESPONSE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Calls that may wait for the socket at once.
const QUEUE_CALLS_MAX: usize = 256;

/// Why a call has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The request did not leave: it certainly had no effect.
    #[error("request not sent: {0}")]
    NotSent(String),
    /// The request may have left, and no response came: its effect is unknown.
    #[error("no response: {0}")]
    Lost(String),
    /// The response came and could not be understood.
    #[error("bad response: {0}")]
    Malformed(String),
    /// The broker serves no version of this request that this client speaks.
    #[error("{api:?} versions {wanted:?} wanted, the broker serves {served:?}")]
    Unsupported {
        api: ApiKey,
        wanted: (i16, i16),
        served: Option<(i16, i16)>,
    },
}

struct Outgoing {
    frame: Bytes,
    correlation_id: i32,
    /// `None` for a request that has no response (produce with acks=0).
    reply: Option<oneshot::Sender<Result<Bytes, CallError>>>,
    written: oneshot::Sender<()>,
}

/// A connection. Cloning shares it; it closes when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    calls: mpsc::Sender<Outgoing>,
    correlation: Arc<std::sync::atomic::AtomicI32>,
    closed: Arc<AtomicBool>,
    client_id: StrBytes,
    versions: Arc<BTreeMap<i16, (i16, i16)>>,
}

impl Connection {
    /// Connects to `address` and asks for the API versions, within `limit`.
    pub(crate) async fn open(
        address: SocketAddr,
        client_id: &str,
        limit: Duration,
    ) -> Result<Self, CallError> {
        let deadline = Instant::now() + limit;
        let stream = timeout_at(deadline, TcpStream::connect(address))
            .await
            .map_err(|_| CallError::NotSent(format!("no connection to {address} in {limit:?}")))?
            .map_err(|error| CallError::NotSent(format!("cannot connect to {address}: {error}")))?;
        stream
            .set_nodelay(true)
            .map_err(|error| CallError::NotSent(error.to_string()))?;
        let mut connection = Self::start(stream, client_id);
        let versions = connection.negotiate(deadline).await?;
        connection.versions = Arc::new(versions);
        Ok(connection)
    }

    fn start(stream: TcpStream, client_id: &str) -> Self {
        let (calls, outgoing) = mpsc::channel(QUEUE_CALLS_MAX);
        let closed = Arc::new(AtomicBool::new(false));
        let (read, write) = stream.into_split();
        let (expect, expected) = mpsc::unbounded_channel();
        tokio::spawn(write_loop(write, outgoing, expect, Arc::clone(&closed)));
        tokio::spawn(read_loop(read, expected, Arc::clone(&closed)));
        Self {
            calls,
            correlation: Arc::default(),
            closed,
            client_id: StrBytes::from(client_id.to_owned()),
            versions: Arc::default(),
        }
    }

    async fn negotiate(&self, deadline: Instant) -> Result<BTreeMap<i16, (i16, i16)>, CallError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from("verdict"))
            .with_client_software_version(StrBytes::from(env!("CARGO_PKG_VERSION")));
        let response: ApiVersionsResponse = self.call_version(&request, 3, deadline, ()).await?;
        Ok(response
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect())
    }

    /// Whether the connection has ended; a call on it would fail at once.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) || self.calls.is_closed()
    }

    /// Whether both are clones of one connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.closed, &other.closed)
    }

    /// The version to use for `R`: the highest that both sides speak, at most `max`.
    pub(crate) fn version<R: Request>(&self, max: i16) -> Result<i16, CallError> {
        let wanted = (R::VERSIONS.min, R::VERSIONS.max.min(max));
        let served = self.versions.get(&R::KEY).copied();
        let version = served.map_or(-1, |(_, served_max)| served_max.min(wanted.1));
        let floor = served.map_or(0, |(served_min, _)| served_min.max(wanted.0));
        if version >= floor && version >= 0 {
            return Ok(version);
        }
        let api = ApiKey::try_from(R::KEY)
            .map_err(|()| CallError::Malformed(format!("unknown API key {}", R::KEY)))?;
        Err(CallError::Unsupported {
            api,
            wanted,
            served,
        })
    }

    /// Calls with an explicit version. The caller has taken the version from `version`.
    /// `turn` is dropped as soon as the request has its place among those that leave.
    pub(crate) async fn call_version<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
        turn: impl Send,
    ) -> Result<R::Response, CallError> {
        let (reply, response) = oneshot::channel();
        self.submit(request, version, Some(reply), deadline, turn)
            .await?;
        let mut body = timeout_at(deadline, response)
            .await
            .map_err(|_| CallError::Lost("the deadline passed".into()))?
            .unwrap_or_else(|_| Err(CallError::Lost("the connection closed".into())))?;
        let header_version = R::Response::header_version(version);
        ResponseHeader::decode(&mut body, header_version)
            .and_then(|_| R::Response::decode(&mut body, version))
            .map_err(|error| CallError::Malformed(error.to_string()))
    }

    /// Sends a request that has no response; returns once the socket has taken it.
    /// `turn` is as in `call_version`.
    pub(crate) async fn send_version<R: Request>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
        turn: impl Send,
    ) -> Result<(), CallError> {
        self.submit(request, version, None, deadline, turn).await
    }

    async fn submit<R: Request>(
        &self,
        request: &R,
        version: i16,
        reply: Option<oneshot::Sender<Result<Bytes, CallError>>>,
        deadline: Instant,
        turn: impl Send,
    ) -> Result<(), CallError> {
        let correlation_id = self.correlation.fetch_add(1, Ordering::Relaxed);
        let frame = self.encode(request, version, correlation_id)?;
        let (written, on_written) = oneshot::channel();
        let outgoing = Outgoing {
            frame,
            correlation_id,
            reply,
            written,
        };
        match timeout_at(deadline, self.calls.send(outgoing)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(CallError::NotSent("the connection is closed".into())),
            Err(_) => return Err(CallError::NotSent("the connection's queue is full".into())),
        }
        drop(turn);
        match timeout_at(deadline, on_written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(CallError::Lost(
                "the connection closed while writing".into(),
            )),
            Err(_) => Err(CallError::Lost("the deadline passed while writing".into())),
        }
    }

    fn encode<R: Request>(
        &self,
        request: &R,
        version: i16,
        correlation_id: i32,
    ) -> Result<Bytes, CallError> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation_id)
            .with_client_id(Some(self.client_id.clone()));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| CallError::NotSent(format!("cannot encode: {error}")))?;
        let length = frame.len() as i32 - 4;
        if let Some(size) = frame.get_mut(..4) {
            size.copy_from_slice(&length.to_be_bytes());
        }
        Ok(frame.freeze())
    }
}

/// A response that the broker owes.
struct Expected {
    correlation_id: i32,
    reply: oneshot::Sender<Result<Bytes, CallError>>,
}

async fn write_loop(
    mut socket: OwnedWriteHalf,
    mut outgoing: mpsc::Receiver<Outgoing>,
    // Bounded by the calls themselves: each waits for its own response.
    expect: mpsc::UnboundedSender<Expected>,
    closed: Arc<AtomicBool>,
) {
    while let Some(Outgoing {
        frame,
        correlation_id,
        reply,
        written,
    }) = outgoing.recv().await
    {
        // The reader must know of the response before the broker can send it.
        if let Some(reply) = reply
            && expect
                .send(Expected {
                    correlation_id,
                    reply,
                })
                .is_err()
        {
            break;
        }
        if socket.write_all(&frame).await.is_err() {
            break;
        }
        // The caller may have given up; the bytes are on their way all the same.
        let _ = written.send(());
    }
    closed.store(true, Ordering::Release);
}

async fn read_loop(
    mut socket: OwnedReadHalf,
    mut expected: mpsc::UnboundedReceiver<Expected>,
    closed: Arc<AtomicBool>,
) {
    let reason = loop {
        match read_frame(&mut socket).await {
            Ok((correlation_id, frame)) => match expected.try_recv() {
                Ok(next) if next.correlation_id == correlation_id => {
                    // A caller that gave up is not an error of the connection.
                    let _ = next.reply.send(Ok(frame));
                }
                Ok(next) => {
                    let error = format!(
                        "response {correlation_id} came where {} was due",
                        next.correlation_id
                    );
                    let _ = next.reply.send(Err(CallError::Lost(error.clone())));
                    break error;
                }
                Err(_) => break format!("response {correlation_id} to no request"),
            },
            Err(error) => break format!("the connection closed: {error}"),
        }
    };
    closed.store(true, Ordering::Release);
    expected.close();
    while let Some(next) = expected.recv().await {
        let _ = next.reply.send(Err(CallError::Lost(reason.clone())));
    }
}

/// Reads one response: its correlation id, and the whole frame behind the length.
async fn read_frame(socket: &mut OwnedReadHalf) -> std::io::Result<(i32, Bytes)> {
    let length = socket.read_i32().await?;
    let length = usize::try_from(length)
        .ok()
        .filter(|n| (4..=RESPONSE_BYTES_MAX).contains(n));
    let length = length.ok_or_else(|| {
        std::io::Error::other(format!("response length out of 4..={RESPONSE_BYTES_MAX}"))
    })?;
    let mut frame = BytesMut::with_capacity(length.min(64 * 1024));
    while frame.len() < length {
        let missing = length - frame.len();
        frame.reserve(missing.min(1024 * 1024));
        let read = (&mut *socket)
            .take(missing as u64)
            .read_buf(&mut frame)
            .await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let frame = frame.freeze();
    let id = frame.first_chunk::<4>().copied().unwrap_or_default();
    Ok((i32::from_be_bytes(id), frame))
}

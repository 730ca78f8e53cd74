//! A scripted broker for the client's tests: one process, one topic, at first one partition. Others
//! may stand beside it; partitions are led in turn.
//!
//! It answers ApiVersions, Metadata and InitProducerId by itself; every other request goes to the
//! test, which answers it, loses it, or holds it. Invariant: answers leave in the order of the
//! requests of their connection, as a real broker's do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, InitProducerIdResponse, MetadataResponse, RequestHeader,
    RequestKind, ResponseHeader, ResponseKind, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// The only topic.
pub(crate) const TOPIC: &str = "t";
/// The producer id that every producer gets.
pub(crate) const PRODUCER_ID: i64 = 7;
/// How long a test waits for a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// The script's side of a broker; dropping it closes the broker.
pub(crate) struct FakeBroker {
    pub(crate) address: SocketAddr,
    world: World,
    requests: mpsc::UnboundedReceiver<Received>,
    _server: JoinSet<()>,
}

/// What metadata tells of, whichever broker is asked.
#[derive(Clone)]
struct World {
    /// Brokers 1, 2 and so on.
    brokers: Arc<Mutex<Vec<SocketAddr>>>,
    leader_epoch: Arc<AtomicI32>,
    partitions: Arc<AtomicI32>,
}

/// A request that waits for the script.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) api: ApiKey,
    pub(crate) body: RequestKind,
    answer: oneshot::Sender<Option<ResponseKind>>,
}

impl Received {
    /// Answers it.
    pub(crate) fn answer(self, response: impl Into<ResponseKind>) {
        // The client may have closed the connection.
        let _ = self.answer.send(Some(response.into()));
    }

    /// Closes the connection instead of an answer.
    pub(crate) fn lose(self) {
        let _ = self.answer.send(None);
    }
}

impl FakeBroker {
    /// Starts a broker with id 1, which leads partition 0 in epoch 0.
    pub(crate) async fn start() -> Self {
        Self::start_in(World {
            brokers: Arc::default(),
            leader_epoch: Arc::default(),
            partitions: Arc::new(AtomicI32::new(1)),
        })
        .await
    }

    /// Starts the next broker of the same cluster.
    pub(crate) async fn start_another(&self) -> Self {
        Self::start_in(self.world.clone()).await
    }

    async fn start_in(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        world.brokers.lock().unwrap().push(address);
        let (script, requests) = mpsc::unbounded_channel();
        let mut server = JoinSet::new();
        let told = world.clone();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Connection {
                    world: told.clone(),
                    script: script.clone(),
                };
                connections.spawn(connection.serve(stream));
            }
        });
        Self {
            address,
            world,
            requests,
            _server: server,
        }
    }

    /// Metadata tells of this epoch from now on.
    pub(crate) fn set_leader_epoch(&self, epoch: i32) {
        self.world.leader_epoch.store(epoch, Ordering::Release);
    }

    /// What counts the topic's partitions in metadata.
    pub(crate) fn partitions(&self) -> Arc<AtomicI32> {
        Arc::clone(&self.world.partitions)
    }

    /// The next request for the script.
    pub(crate) async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(PATIENCE, self.requests.recv()).await;
        next.expect("a request within the patience of the test")
            .expect("the server lives as long as the broker")
    }
}

struct Connection {
    world: World,
    script: mpsc::UnboundedSender<Received>,
}

/// The header of a request, and the answer to come.
type Pending = (RequestHeader, oneshot::Receiver<Option<ResponseKind>>);

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let (read, write) = stream.into_split();
        let (pending, in_order) = mpsc::unbounded_channel();
        // Whichever ends first ends the connection.
        tokio::select! {
            _ = self.read_requests(read, pending) => {}
            _ = write_answers(write, in_order) => {}
        }
    }

    async fn read_requests(
        &self,
        mut read: OwnedReadHalf,
        pending: mpsc::UnboundedSender<Pending>,
    ) -> std::io::Result<()> {
        loop {
            let mut frame = vec![0; read.read_i32().await? as usize];
            read.read_exact(&mut frame).await?;
            let (header, body) = decode(Bytes::from(frame));
            let (answer, answered) = oneshot::channel();
            let api = ApiKey::try_from(header.request_api_key).unwrap();
            let _ = pending.send((header, answered));
            match self.own_answer(&body) {
                Some(response) => {
                    let _ = answer.send(Some(response));
                }
                None => {
                    let _ = self.script.send(Received { api, body, answer });
                }
            }
        }
    }

    fn own_answer(&self, body: &RequestKind) -> Option<ResponseKind> {
        Some(match body {
            RequestKind::ApiVersions(_) => api_versions().into(),
            RequestKind::Metadata(_) => self.metadata().into(),
            RequestKind::InitProducerId(_) => InitProducerIdResponse::default()
                .with_producer_id(PRODUCER_ID.into())
                .with_producer_epoch(0)
                .into(),
            _ => return None,
        })
    }

    fn metadata(&self) -> MetadataResponse {
        let brokers = self.world.brokers.lock().unwrap();
        let count = brokers.len() as i32;
        let broker = |(id, address): (i32, &SocketAddr)| {
            MetadataResponseBroker::default()
                .with_node_id(id.into())
                .with_host(StrBytes::from(address.ip().to_string()))
                .with_port(i32::from(address.port()))
        };
        let partition = |index: i32| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id((index % count + 1).into())
                .with_leader_epoch(self.world.leader_epoch.load(Ordering::Acquire))
        };
        let partitions = 0..self.world.partitions.load(Ordering::Acquire);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str(TOPIC))))
            .with_partitions(partitions.map(partition).collect());
        MetadataResponse::default()
            .with_brokers((1..).zip(brokers.iter()).map(broker).collect())
            .with_topics(vec![topic])
    }
}

fn api_versions() -> ApiVersionsResponse {
    let api = |api: ApiKey, version| {
        ApiVersion::default()
            .with_api_key(api as i16)
            .with_min_version(version)
            .with_max_version(version)
    };
    ApiVersionsResponse::default().with_api_keys(vec![
        api(ApiKey::Produce, 9),
        api(ApiKey::Fetch, 12),
        api(ApiKey::ListOffsets, 6),
        api(ApiKey::Metadata, 12),
        api(ApiKey::ApiVersions, 3),
        api(ApiKey::InitProducerId, 4),
        api(ApiKey::OffsetForLeaderEpoch, 4),
        api(ApiKey::FindCoordinator, 3),
        api(ApiKey::JoinGroup, 7),
        api(ApiKey::SyncGroup, 5),
        api(ApiKey::Heartbeat, 4),
        api(ApiKey::LeaveGroup, 4),
        api(ApiKey::OffsetCommit, 8),
        api(ApiKey::OffsetFetch, 7),
        api(ApiKey::ListGroups, 4),
        api(ApiKey::DescribeGroups, 5),
        api(ApiKey::DeleteGroups, 2),
        api(ApiKey::OffsetDelete, 0),
        api(ApiKey::DescribeConfigs, 2),
    ])
}

async fn write_answers(
    mut write: OwnedWriteHalf,
    mut in_order: mpsc::UnboundedReceiver<Pending>,
) -> std::io::Result<()> {
    while let Some((header, answered)) = in_order.recv().await {
        match answered.await {
            Ok(Some(response)) => write.write_all(&encode(&header, &response)).await?,
            Ok(None) => return Ok(()),
            // The script forgot the request: a broker that never answers.
            Err(_) => std::future::pending().await,
        }
    }
    Ok(())
}

fn decode(mut frame: Bytes) -> (RequestHeader, RequestKind) {
    let key = i16::from_be_bytes(*frame.first_chunk().unwrap());
    let version = i16::from_be_bytes([frame[2], frame[3]]);
    let api = ApiKey::try_from(key).unwrap();
    let header = RequestHeader::decode(&mut frame, api.request_header_version(version)).unwrap();
    let body = RequestKind::decode(api, &mut frame, version).unwrap();
    (header, body)
}

fn encode(request: &RequestHeader, response: &ResponseKind) -> Bytes {
    let version = request.request_api_version;
    let api = ApiKey::try_from(request.request_api_key).unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(request.correlation_id)
        .encode(&mut frame, api.response_header_version(version))
        .unwrap();
    response.encode(&mut frame, version).unwrap();
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

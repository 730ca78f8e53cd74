//! Clients of the nodes at some addresses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use broker::client::{
    Acks, Admin, AdminConfig, AutoOffsetReset, Consumer, ConsumerConfig, Producer, ProducerConfig,
};
use broker::id::TopicPartition;

use crate::cluster::PATIENCE;

/// Makes clients.
pub(crate) struct Clients {
    bootstrap: Vec<SocketAddr>,
}

impl Clients {
    /// Clients of the nodes at these addresses.
    pub(crate) fn of(bootstrap: Vec<SocketAddr>) -> Self {
        Self { bootstrap }
    }

    /// An admin client, once a node answers: one that starts turns clients away.
    pub(crate) async fn admin(&self) -> Admin {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let config = AdminConfig {
                bootstrap: self.bootstrap.clone(),
                client_id: "it".to_owned(),
                request_timeout: Duration::from_secs(2),
            };
            match Admin::start(config).await {
                Ok(admin) => return admin,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn producer(&self, acks: Acks) -> Producer {
        let config = ProducerConfig {
            bootstrap: self.bootstrap.clone(),
            acks,
            idempotence: acks == Acks::All,
            linger: Duration::ZERO,
            request_timeout: Duration::from_secs(2),
            ..ProducerConfig::default()
        };
        Producer::start(config).await.unwrap()
    }

    /// Reads everything that a partition holds, by a fresh consumer.
    pub(crate) async fn read_all(&self, topic: &str, partition: i32) -> Vec<String> {
        let values = self.read_all_bytes(topic, partition).await;
        let texts = values
            .into_iter()
            .map(|value| String::from_utf8(value).unwrap());
        texts.collect()
    }

    /// The same, of values that are no text.
    pub(crate) async fn read_all_bytes(&self, topic: &str, partition: i32) -> Vec<Vec<u8>> {
        let config = ConsumerConfig {
            bootstrap: self.bootstrap.clone(),
            auto_offset_reset: AutoOffsetReset::Earliest,
            request_timeout: Duration::from_secs(2),
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::start(config).await.unwrap();
        let name = TopicPartition::new(topic, partition);
        let ends = consumer
            .end_offsets(std::slice::from_ref(&name))
            .await
            .unwrap();
        let end = ends[&name];
        consumer.assign(vec![name.clone()]);
        let mut values = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while consumer
            .position(&name)
            .is_none_or(|position| position < end)
        {
            assert!(Instant::now() < deadline, "read {} of {end}", values.len());
            for record in consumer.poll(Duration::from_millis(200)).await.unwrap() {
                values.push(record.value.unwrap_or_default().to_vec());
            }
        }
        values
    }
}

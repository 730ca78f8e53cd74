//! What an administrator's client believes of the brokers, and of whom it asks what.

use std::time::Duration;

use kafka_protocol::messages::DescribeConfigsResponse;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::admin::{Admin, AdminConfig};
use crate::client::fake_broker::{FakeBroker, TOPIC};
use crate::id::BrokerId;

async fn admin(broker: &FakeBroker) -> Admin {
    let config = AdminConfig {
        bootstrap: vec![broker.address],
        client_id: "admin".to_owned(),
        request_timeout: Duration::from_secs(20),
    };
    Admin::start(config).await.unwrap()
}

#[tokio::test]
async fn what_one_broker_tells_when_asked_alone_is_not_believed_of_the_cluster() {
    let broker = FakeBroker::start().await;
    let admin = admin(&broker).await;
    let believed = || {
        let cluster = &admin.cluster;
        let leader = cluster.partition(TOPIC, 0).map(|held| held.leader_epoch);
        (cluster.generation(), cluster.brokers(), leader)
    };
    let before = believed();
    let other = broker.start_another().await;
    other.set_leader_epoch(9);
    let told = admin.describe_as_told_by(other.address, &[TOPIC]).await;
    let (cluster, topics) = told.unwrap();
    assert_eq!(cluster.brokers.len(), 2);
    assert_eq!(topics[0].partitions[0].leader_epoch, 9);
    assert_eq!(believed(), before);
}

#[tokio::test]
async fn a_broker_that_registered_later_is_asked_for_its_configs() {
    let broker = FakeBroker::start().await;
    let admin = admin(&broker).await;
    let mut later = broker.start_another().await;
    let script = async {
        let config = DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str("a.b"))
            .with_value(Some(StrBytes::from_static_str("1")));
        let of_broker = DescribeConfigsResult::default()
            .with_resource_name(StrBytes::from_static_str("2"))
            .with_configs(vec![config]);
        let response = DescribeConfigsResponse::default().with_results(vec![of_broker]);
        later.next().await.answer(response);
    };
    let (configs, ()) = tokio::join!(admin.describe_broker_configs(BrokerId(2)), script);
    assert_eq!(configs.unwrap()["a.b"], "1");
}

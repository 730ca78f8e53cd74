//! More partitions than the soft limit of open files that the process was started with.

use broker::client::{Acks, NewTopic};

use crate::clients::Clients;
use crate::cluster::record;
use crate::process::Process;

#[tokio::test(flavor = "multi_thread")]
async fn a_low_soft_limit_of_open_files_ends_no_node() {
    let mut process = Process::start(&[]);
    let clients = Clients::of(vec![process.address()]);
    let topic = NewTopic {
        name: "many".to_owned(),
        partitions: 200,
        replication_factor: 1,
        configs: Vec::new(),
    };
    let admin = clients.admin().await;
    admin.create_topic(topic).await.unwrap();
    let producer = clients.producer(Acks::All).await;
    for partition in [0, 199] {
        let sent = producer.send(record("many", partition, "value")).await;
        assert_eq!(sent.unwrap().offset, Some(0));
    }
    assert!(process.is_running());
}

//! A commit whose turn comes after a rebalance.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::client::cluster::{Cluster, ClusterConfig};
use crate::client::consumer::group::listener::{BoxFuture, CommitObserver};
use crate::client::consumer::group::state::Identity;

/// Counts what is sent.
#[derive(Debug, Default)]
struct Sent(AtomicUsize);

impl CommitObserver for Sent {
    fn begins<'a>(&'a self, _: &'a CommitAttempt) -> BoxFuture<'a, u64> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(0))
    }

    fn ended<'a>(&'a self, _: u64, _: &'a Result<(), ClientError>) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }
}

fn committer(sent: &Arc<Sent>) -> Committer {
    let timeout = Duration::from_millis(1);
    let cluster = ClusterConfig {
        bootstrap: vec!["127.0.0.1:1".parse().expect("an address")],
        client_id: "c".to_owned(),
        request_timeout: timeout,
    };
    let observer: Arc<dyn CommitObserver> = Arc::<Sent>::clone(sent);
    Committer {
        coordinator: Arc::new(Coordinator::new(Cluster::new(cluster).expect("valid"), "g")),
        shared: Arc::new(Shared::new()),
        config: GroupConfig {
            group_id: "g".to_owned(),
            observer: Some(observer),
            ..GroupConfig::default()
        },
        retry_backoff: timeout,
        turn: Arc::default(),
    }
}

#[tokio::test]
async fn is_not_sent_in_the_name_of_a_later_generation() {
    let sent = Arc::new(Sent::default());
    let committer = committer(&sent);
    let identity = |generation_id| Identity {
        member_id: "m".to_owned(),
        generation_id,
    };
    committer.shared.enter(identity(5));
    let offsets = Offsets::default();
    let late = committer.once(CommitMode::Async, &offsets, 5);
    committer.shared.enter(identity(6));
    let late = late.await;
    assert_eq!(late.expect_err("overtaken").kind, ErrorKind::Fenced);
    assert_eq!(sent.0.load(Ordering::SeqCst), 0, "nothing was sent");
    let own = committer.once(CommitMode::Async, &offsets, 6).await;
    assert_eq!(own.expect_err("nobody answers").kind, ErrorKind::Retriable);
    assert_eq!(
        sent.0.load(Ordering::SeqCst),
        1,
        "its own generation's is tried"
    );
}

//! One client as a member of the group, from life to life.
//!
//! In: a worker, and what the roster wants of it. Out: lives, each under a name of its own: a
//! client that crashed or left comes back as a fresh process.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::plan::GroupPlan;
use crate::sandbox::Endpoint;
use crate::worker::driver::Listener;
use crate::workload::group::ledger::{Identity, Ledger};
use crate::workload::group::life::{Life, LifeEnd};
use crate::workload::group::roster::Wish;
use crate::workload::session::Session;
use crate::workload::worker::Worker;

/// The pause between attempts to start a process.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The first task number of members: beyond those of all producers.
const FIRST_TASK: u64 = 1 << 32;

/// Is a member whenever the roster wants it, until the roster ends.
pub async fn attend(session: Arc<Session>, worker: Arc<Worker>, pending: Arc<AtomicUsize>) {
    let (Endpoint::Client(client), Some(plan)) =
        (worker.endpoint(), session.plan.workload.group.clone())
    else {
        return;
    };
    let mut number = 0;
    while session.roster.is_wanted(client).await {
        if worker.revive().await.is_err() {
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            continue;
        }
        number += 1;
        let who = identity(&session, &plan, client, number);
        let driver = worker.driver();
        let ledger = Arc::new(Ledger::new(&session, who.clone()));
        driver.listen(Arc::clone(&ledger) as Arc<dyn Listener>);
        let life = Life {
            session: Arc::clone(&session),
            who,
            instance: instance(&plan, worker.endpoint()),
            driver,
            ledger,
            rng: session.rng(FIRST_TASK + (u64::from(client) << 16) + number),
            pending: Arc::clone(&pending),
        };
        if life.live(plan.mode).await == LifeEnd::Died && session.roster.wish(client) != Wish::Down
        {
            session.stats.crashed();
        }
        // The next life must be another process; what does not answer ends here, too.
        worker.kill().await;
    }
}

/// `group.instance.id` of the client at `endpoint`: the same in all its lives.
pub fn instance(plan: &GroupPlan, endpoint: Endpoint) -> Option<String> {
    plan.static_members.then(|| endpoint.to_string())
}

fn identity(session: &Session, plan: &GroupPlan, client: u32, number: u64) -> Identity {
    Identity {
        client,
        consumer: format!("c{client}.{number}").into(),
        group: plan.group.as_str().into(),
        topic: session.plan.cluster.topic.as_str().into(),
    }
}

//! One life against a fake worker behind pipes: what each mode does, in which order, and what a
//! death leaves behind.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader as FileReader;
use std::sync::Arc;

use checkers::history::{Action, CommitMode, Header, History, OffsetReset, Op, OpType};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex, split};

use crate::plan::profile::PROFILES;
use crate::plan::{GroupPlan, Plan};
use crate::recorder::{Clock, Recorder};
use crate::worker::driver::{Driver, Listener};
use crate::worker::protocol::{Ack, Command, Request};
use crate::workload::group::ledger::{Identity, Ledger};
use crate::workload::group::life::{Life, LifeEnd};
use crate::workload::session::Session;

/// The polls of the fake that have a record; the others are empty.
const FULL_POLLS: u64 = 2;

fn group(mode: CommitMode) -> GroupPlan {
    GroupPlan {
        group: "g".to_owned(),
        mode,
        assignors: vec!["range".to_owned()],
        reset: OffsetReset::Earliest,
        session_timeout_ms: 3_000,
        heartbeat_interval_ms: 300,
        max_poll_interval_ms: 5_000,
        auto_commit_interval_ms: 500,
        static_members: false,
        commit_on_revocation: false,
        process_ms: [0, 0],
    }
}

/// What a fake worker does beyond answering.
#[derive(Clone, Copy, PartialEq)]
enum Fake {
    Obedient,
    /// Its first commit is refused.
    Fenced,
    /// It dies when it shall process this offset.
    DiesAt(i64),
}

/// The harness's side of the fake: it has one partition and one record a poll.
struct FakeWorker {
    lines: tokio::io::Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    out: tokio::io::WriteHalf<DuplexStream>,
    /// Requests that came while it waited for an acknowledgement.
    early: VecDeque<String>,
    /// Where the harness is told to let everybody leave after the first empty poll.
    session: Arc<Session>,
    polls: u64,
    commits: u64,
    kind: Fake,
}

impl FakeWorker {
    async fn serve(mut self) {
        self.say(r#"{"protocol":2,"client":"fake"}"#).await;
        while let Some(line) = self.next().await {
            let Request { id, command } = serde_json::from_str(&line).expect("a request");
            let Some(answer) = self.answer(command).await else {
                return;
            };
            self.say(&format!(r#"{{"id":{id},{answer}}}"#)).await;
        }
    }

    async fn next(&mut self) -> Option<String> {
        match self.early.pop_front() {
            Some(line) => Some(line),
            None => self.lines.next_line().await.ok().flatten(),
        }
    }

    async fn answer(&mut self, command: Command) -> Option<String> {
        let done = r#""ok":"done""#.to_owned();
        match command {
            Command::Subscribe { .. } => {
                self.tell(r#""rebalance":{"event":"assigned","member":"m","generation":1,"partitions":[0]}"#).await;
                self.tell(r#""resume":{"generation":1,"partition":0,"offset":0,"source":"reset"}"#)
                    .await;
            }
            Command::Poll { .. } => {
                self.polls += 1;
                if self.polls > FULL_POLLS {
                    // The second empty one is the last: an owed commit has had its turn.
                    if self.polls > FULL_POLLS + 1 {
                        self.session.roster.end();
                    }
                    return Some(r#""ok":{"polled":{"partitions":[]}}"#.to_owned());
                }
                let offset = self.polls - 1;
                return Some(format!(
                    r#""ok":{{"polled":{{"partitions":[{{"partition":0,"records":[[{offset},{offset}]]}}]}}}}"#
                ));
            }
            Command::Process { offset, .. } if self.kind == Fake::DiesAt(offset) => return None,
            Command::CommitSync | Command::CommitAsync => {
                self.commits += 1;
                let (number, end) = (self.commits, self.polls.min(FULL_POLLS));
                let mode = if command == Command::CommitSync {
                    "sync"
                } else {
                    "async"
                };
                self.tell(&format!(
                    r#""commit-begins":{{"commit":{number},"mode":"{mode}","member":"m","generation":1,"offsets":[[0,{end}]]}}"#
                ))
                .await;
                if self.kind == Fake::Fenced && number == 1 {
                    let error =
                        r#""error":{"kind":"fenced","code":"ILLEGAL_GENERATION","message":"m"}"#;
                    self.tell(&format!(r#""commit-ended":{{"commit":1,{error}}}"#))
                        .await;
                    return Some(error.to_owned());
                }
                self.tell(&format!(r#""commit-ended":{{"commit":{number}}}"#))
                    .await;
            }
            _ => {}
        }
        Some(done)
    }

    /// Tells something and waits for the acknowledgement.
    async fn tell(&mut self, told: &str) {
        self.say(&format!(r#"{{"event":1,{told}}}"#)).await;
        while let Ok(Some(line)) = self.lines.next_line().await {
            if serde_json::from_str::<Ack>(&line).is_ok() {
                return;
            }
            self.early.push_back(line);
        }
    }

    async fn say(&mut self, line: &str) {
        let _ = self.out.write_all(format!("{line}\n").as_bytes()).await;
    }
}

/// Lets one life run against a fake worker; how it ended and its history.
async fn live(mode: CommitMode, kind: Fake) -> (LifeEnd, History) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    let mut plan = Plan::draw(1, &PROFILES[0]);
    plan.workload.producers = 3;
    plan.workload.consumers = 1;
    plan.workload.group = Some(group(mode));
    let header = Header::new(plan.settings(), serde_json::Value::Null);
    let (recorder, writer) = Recorder::create(&path, header, Clock::start()).expect("created");
    let session = Arc::new(Session::new(Arc::new(plan), recorder));
    let (ours, theirs) = duplex(4096);
    let (lines, out) = split(theirs);
    let fake = FakeWorker {
        lines: BufReader::new(lines).lines(),
        out,
        session: Arc::clone(&session),
        polls: 0,
        commits: 0,
        early: VecDeque::new(),
        kind,
    };
    let fake = tokio::spawn(fake.serve());
    let (stdout, stdin) = split(ours);
    let driver = Arc::new(Driver::start(stdin, stdout));
    let who = Identity {
        client: 4,
        consumer: "c4.1".into(),
        group: "g".into(),
        topic: "t".into(),
    };
    let ledger = Arc::new(Ledger::new(&session, who.clone()));
    driver.listen(Arc::clone(&ledger) as Arc<dyn Listener>);
    let life = Life {
        session: Arc::clone(&session),
        who,
        instance: None,
        driver,
        ledger,
        rng: session.rng(1),
        pending: Arc::default(),
    };
    let end = life.live(mode).await;
    fake.abort();
    let _ = fake.await;
    drop(session);
    tokio::task::spawn_blocking(move || writer.finish())
        .await
        .expect("no panic")
        .expect("written");
    let history = File::open(&path).expect("a history");
    let history = History::read(FileReader::new(history)).expect("readable");
    (end, history)
}

/// The certain ends of processing and commits, and their refusals, in order.
fn story(history: &History) -> String {
    let word = |op: &Op| match (&op.action, op.kind) {
        (Action::Process(p), OpType::Ok) => {
            let record = p.records.values().flatten().next().expect("a record");
            Some(format!("p{}", record.0))
        }
        (Action::Process(_), OpType::Info) => Some("p?".to_owned()),
        (Action::Commit(commit), kind) if kind != OpType::Invoke => {
            let offset = commit.offsets.values().next().expect("an offset");
            let mark = if kind == OpType::Ok { "" } else { "!" };
            Some(format!("c{offset}{mark}"))
        }
        (Action::Crash(_), _) => Some("crash".to_owned()),
        (Action::Leave(_), OpType::Ok) => Some("leave".to_owned()),
        _ => None,
    };
    let words: Vec<String> = history.ops.iter().filter_map(word).collect();
    words.join(" ")
}

#[tokio::test]
async fn every_mode_processes_and_commits_in_its_order() {
    for (mode, wanted) in [
        (CommitMode::AutoInLoop, "p0 p1 leave"),
        (CommitMode::AutoHandoff, "p0 p1 leave"),
        (CommitMode::SyncAfter, "p0 c1 p1 c2 leave"),
        (CommitMode::AsyncAfter, "p0 c1 p1 c2 leave"),
        (CommitMode::SyncBefore, "c1 p0 c2 p1 leave"),
    ] {
        let (end, history) = live(mode, Fake::Obedient).await;
        assert_eq!(
            (end, story(&history).as_str()),
            (LifeEnd::Left, wanted),
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_commit_is_owed_until_one_succeeds() {
    let (_, after) = live(CommitMode::SyncAfter, Fake::Fenced).await;
    assert_eq!(story(&after), "p0 c1! p1 c2 leave");
}

#[tokio::test]
async fn what_is_not_known_to_be_committed_is_not_processed_before() {
    let (_, before) = live(CommitMode::SyncBefore, Fake::Fenced).await;
    assert_eq!(story(&before), "c1! c2 p1 leave");
}

#[tokio::test]
async fn a_death_leaves_the_open_act_unknown_and_ends_the_consumer() {
    let (end, history) = live(CommitMode::SyncAfter, Fake::DiesAt(1)).await;
    assert_eq!(end, LifeEnd::Died);
    assert_eq!(story(&history), "p0 c1 p? crash");
    let subscriber = |op: &&Op| matches!(op.action, Action::Subscribe(_));
    let subscriber = history.ops.iter().find(subscriber).map(|op| op.process);
    let crash = history.ops.last().map(|op| op.process);
    assert_eq!(
        crash, subscriber,
        "so that the checkers know whose life ended"
    );
}

#[tokio::test]
async fn an_assignment_is_recorded_before_anything_of_it_is_received() {
    let (_, history) = live(CommitMode::AutoInLoop, Fake::Obedient).await;
    let names: Vec<&str> = history.ops.iter().map(|op| op.action.name()).collect();
    assert_eq!(
        names[..4],
        ["subscribe", "rebalance", "resume", "subscribe"]
    );
    let told = history.ops.iter().find_map(|op| match &op.action {
        Action::Rebalance(event) => Some((event.consumer.as_ref(), event.generation)),
        _ => None,
    });
    assert_eq!(told, Some(("c4.1", 1)));
}

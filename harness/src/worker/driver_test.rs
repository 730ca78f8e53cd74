//! The driver against a fake worker behind pipes: replies, deadlines, deaths and garbage.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};

use crate::worker::driver::{CallError, Driver, Listener};
use crate::worker::protocol::{Ack, Answer, Command, Outcome, Request, Told};

const LONG: Duration = Duration::from_secs(10);
const GREETING: &str = r#"{"protocol":2,"client":"fake 1"}"#;

/// Starts a fake worker: it greets with `greeting`, then writes what `answer` makes of a request.
fn fake(greeting: &'static str, answer: fn(&Request) -> Option<String>) -> Driver {
    let (ours, theirs) = duplex(1024);
    tokio::spawn(async move {
        let (requests, mut replies) = split(theirs);
        let mut requests = BufReader::new(requests).lines();
        replies
            .write_all(format!("{greeting}\n").as_bytes())
            .await
            .expect("the harness reads");
        while let Some(line) = requests.next_line().await.expect("a line") {
            let request = serde_json::from_str(&line).expect("a request");
            let Some(reply) = answer(&request) else {
                return;
            };
            let _ = replies.write_all(format!("{reply}\n").as_bytes()).await;
        }
    });
    let (stdout, stdin) = split(ours);
    Driver::start(stdin, stdout)
}

const POLL: Command = Command::Poll { timeout_ms: 1 };

#[tokio::test]
async fn a_call_gets_the_reply_with_its_id() {
    let driver = fake(GREETING, |request| {
        let offset = request.id * 10;
        Some(format!(
            r#"{{"id":{},"ok":{{"sent":{{"offset":{offset}}}}}}}"#,
            request.id
        ))
    });
    for id in 1..=3 {
        let outcome = driver.call(POLL, LONG).await;
        assert_eq!(
            outcome,
            Ok(Outcome::Ok(Answer::Sent {
                offset: Some(id * 10)
            }))
        );
    }
    assert_eq!(driver.greeting().expect("greeted").client, "fake 1");
}

#[tokio::test]
async fn a_call_without_reply_ends_at_its_deadline() {
    let driver = fake(GREETING, |_| Some(r#"{"id":999,"ok":"done"}"#.to_owned()));
    let deadline = Duration::from_millis(50);
    let outcome = driver.call(POLL, deadline).await;
    assert_eq!(outcome, Err(CallError::Deadline(deadline)));
    assert!(!driver.is_gone());
}

#[tokio::test]
async fn the_death_of_a_worker_ends_its_calls() {
    let driver = fake(GREETING, |_| None);
    let outcome = driver.call(POLL, LONG).await;
    assert!(matches!(outcome, Err(CallError::Gone(_))), "{outcome:?}");
    assert!(driver.call(POLL, LONG).await.is_err(), "stays gone");
}

#[tokio::test]
async fn a_line_that_is_no_reply_ends_the_worker() {
    let driver = fake(GREETING, |_| Some("hello".to_owned()));
    let Err(CallError::Gone(reason)) = driver.call(POLL, LONG).await else {
        panic!("garbage was taken for a reply");
    };
    assert!(reason.contains("hello"), "{reason}");
}

#[tokio::test]
async fn another_protocol_version_is_refused_with_both_numbers() {
    let driver = fake(r#"{"protocol":7,"client":"new"}"#, |_| None);
    let Err(CallError::Gone(reason)) = driver.call(POLL, LONG).await else {
        panic!("protocol 7 was taken");
    };
    assert!(
        reason.contains("protocol 7, this harness speaks 2"),
        "{reason}"
    );
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Told>>);

impl Listener for Heard {
    fn told(&self, told: Told) {
        self.0.lock().expect("no panic").push(told);
    }
}

#[tokio::test]
async fn an_event_is_heard_before_it_is_acknowledged() {
    let (ours, theirs) = duplex(1024);
    let heard = Arc::new(Heard::default());
    let (stdout, stdin) = split(ours);
    let driver = Driver::start(stdin, stdout);
    driver.listen(Arc::clone(&heard) as Arc<dyn Listener>);
    let (lines, mut out) = split(theirs);
    let mut lines = BufReader::new(lines).lines();
    out.write_all(format!("{GREETING}\n").as_bytes())
        .await
        .expect("read");
    for event in 1..=2 {
        let line = format!(r#"{{"event":{event},"commit-ended":{{"commit":{event}}}}}"#);
        out.write_all(format!("{line}\n").as_bytes())
            .await
            .expect("read");
        let ack = lines.next_line().await.expect("a line").expect("an ack");
        let ack: Ack = serde_json::from_str(&ack).expect("an ack");
        assert_eq!(ack.ack, event);
        let told = heard.0.lock().expect("no panic").last().cloned();
        let wanted = Told::CommitEnded {
            commit: event,
            error: None,
        };
        assert_eq!(told, Some(wanted));
    }
}

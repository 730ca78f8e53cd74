//! The core's thread: events in, effects performed, one after the other.
//!
//! In: requests, answers of peers, completions of disks, time, the wish to stop. Out: answers,
//! messages, disk requests. Invariants: this thread never waits for a queue that it feeds; a panic
//! ends the process, because half a broker must not go on serving.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::clock::Clock;
use super::directory::Directory;
use super::disk::{Completion, DirectoryNews};
use super::event::{Answer, Event};
use super::node::{NodeError, Status};
use super::open::unclaimed_logs;
use super::opener::{Opener, Outcome};
use super::peers::Peers;
use super::post::{Post, Recipient};
use super::signal::{Shutdown, Stop};
use crate::broker::Broker;
use crate::broker::effects::{DirectoryIndex, Effect, RequestId};
use crate::storage::OpenError;
use crate::time::Time;

/// How often closed connections and stalled disks are looked for.
const SWEEP: Duration = Duration::from_millis(100);
/// A thread that comes back this late was stopped, with all others of its process; where disks
/// have less time than that, earlier.
const SLEPT: Duration = Duration::from_secs(2);
/// Events handled before their effects are performed: few, so that disks and peers work meanwhile.
const BATCH_MAX: usize = 8;

/// What the thread of one directory tells.
#[derive(Debug)]
pub(super) struct DiskEvent {
    pub(super) directory: DirectoryIndex,
    pub(super) news: DirectoryNews,
}

/// The core and everything that performs its effects.
pub(super) struct Core {
    broker: Broker,
    clock: Clock,
    peers: Peers,
    directories: Vec<Directory>,
    opener: Opener,
    /// Who waits for answers.
    recipients: FxHashMap<RequestId, Recipient>,
    post: Post,
    last_request: RequestId,
    status: watch::Sender<Status>,
    stall_timeout: Duration,
    swept_at: Time,
    ended: Option<Result<(), NodeError>>,
}

impl Core {
    pub(super) fn new(
        broker: Broker,
        clock: Clock,
        (peers, post): (Peers, Post),
        (opener, directories): (Opener, Vec<Directory>),
        status: watch::Sender<Status>,
        stall_timeout: Duration,
    ) -> Self {
        Self {
            broker,
            clock,
            peers,
            directories,
            opener,
            recipients: FxHashMap::default(),
            post,
            last_request: 0,
            status,
            stall_timeout,
            swept_at: Time::ZERO,
            ended: None,
        }
    }

    /// Runs the core on this thread until the node ends.
    pub(super) fn run(
        mut self,
        requests: mpsc::Receiver<Event>,
        disk_events: mpsc::UnboundedReceiver<DiskEvent>,
        shutdown: Shutdown,
    ) -> Result<(), NodeError> {
        let _guard = AbortOnPanic;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.map_err(NodeError::Thread)?;
        runtime.block_on(self.serve(requests, disk_events, shutdown));
        let ended = self.ended.take().unwrap_or(Ok(()));
        match &ended {
            Ok(()) => info!("node stopped"),
            Err(reason) => error!(%reason, "node halted"),
        }
        let status = self.status.clone();
        let now = self.clock.now().time;
        for directory in self.directories.drain(..) {
            if directory.hangs(now) {
                // To wait for its thread would keep the process from ending.
                std::mem::forget(directory);
            }
        }
        drop(self);
        let _ = status.send(Status::Stopped);
        ended
    }

    async fn serve(
        &mut self,
        mut requests: mpsc::Receiver<Event>,
        mut disk_events: mpsc::UnboundedReceiver<DiskEvent>,
        mut shutdown: Shutdown,
    ) {
        let mut stop = Stop::No;
        let mut sweep_at = Instant::now() + SWEEP;
        self.perform();
        while self.ended.is_none() {
            let timeout = self
                .broker
                .next_timeout()
                .map(|time| self.clock.instant(time));
            let wake_at = timeout.map_or(sweep_at, |timeout| timeout.min(sweep_at));
            tokio::select! {
                biased;
                next = shutdown.wait_beyond(stop) => {
                    stop = next;
                    if stop == Stop::Abrupt {
                        return;
                    }
                    self.broker.handle_shutdown(self.clock.now());
                }
                Some(event) = disk_events.recv() => self.heard_of_disk(event),
                Some(event) = requests.recv() => self.handle(event),
                () = sleep_until(wake_at) => {}
            }
            for _ in 0..BATCH_MAX {
                if let Ok(event) = disk_events.try_recv() {
                    self.heard_of_disk(event);
                } else if let Ok(event) = requests.try_recv() {
                    self.handle(event);
                } else {
                    break;
                }
            }
            let now = self.clock.now();
            if self
                .broker
                .next_timeout()
                .is_some_and(|time| time <= now.time)
            {
                self.broker.handle_timeout(now);
            }
            if Instant::now() >= sweep_at {
                sweep_at = Instant::now() + SWEEP;
                self.sweep();
                self.hear_of_openings();
            }
            self.perform();
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Request { request, answer } => {
                self.last_request += 1;
                self.recipients.insert(self.last_request, answer);
                self.broker.handle_request(now, self.last_request, *request);
            }
            Event::Peer {
                correlation,
                result,
            } => {
                self.broker.handle_peer(now, correlation, result);
            }
        }
    }

    fn heard_of_disk(&mut self, event: DiskEvent) {
        let (directory, now) = (event.directory, self.clock.now());
        match event.news {
            DirectoryNews::Completed(completions) => {
                for completion in completions {
                    self.completed(directory, completion);
                }
            }
            DirectoryNews::WaitsForSpace(token) => {
                if let Some(directory) = self.directories.get_mut(directory) {
                    directory.set_aside(now.time, token);
                }
            }
            DirectoryNews::Reopened(reopened) => {
                let logs = unclaimed_logs(&reopened.recovered, directory);
                if let Some(directory) = self.directories.get_mut(directory) {
                    directory.resume(*reopened);
                }
                self.broker.handle_directory_reopened(now, directory, logs);
            }
            DirectoryNews::ReopenFailed(OpenError::Disk(error)) if error.is_no_space() => {
                warn!(%error, "a log directory answers again and has no space to be opened");
                if let Err(error) = self.opener.open_again(directory) {
                    self.cannot_open(directory, error.to_string());
                }
            }
            DirectoryNews::ReopenFailed(error) => self.cannot_open(directory, error.to_string()),
        }
    }

    fn cannot_open(&mut self, directory: DirectoryIndex, cause: String) {
        self.broker.handle_directory_reopen_failed(directory, cause);
    }

    /// Takes the directories that open late, or anew, into use.
    fn hear_of_openings(&mut self) {
        while let Some((index, outcome)) = self.opener.next() {
            match outcome {
                Outcome::Open(open) => {
                    let ((thread, found), now) = (*open, self.clock.now());
                    let logs = unclaimed_logs(&found, index);
                    if let Some(directory) = self.directories.get_mut(index) {
                        *directory = Directory::new(Some(thread));
                    }
                    let id = found.directory_id;
                    self.broker.handle_directory_opened(now, index, id, logs);
                }
                Outcome::Waits(reason) => warn!(%reason, "a log directory waits to be opened"),
                Outcome::Failed(reason) => self.cannot_open(index, reason.to_string()),
            }
        }
    }

    fn completed(&mut self, directory: DirectoryIndex, completion: Completion) {
        let Completion { token, result } = completion;
        let now = self.clock.now();
        if let Some(directory) = self.directories.get_mut(directory) {
            directory.ended(now.time, token);
        }
        self.broker.handle_disk(now, directory, token, result);
    }

    /// Looks for requests that nobody waits for and for directories that do not answer.
    fn sweep(&mut self) {
        let mut closed: Vec<_> = self
            .recipients
            .iter()
            .filter(|(_, recipient)| recipient.sender.is_closed())
            .map(|(request, _)| *request)
            .collect();
        closed.sort_unstable();
        for request in closed {
            self.recipients.remove(&request);
            self.broker.handle_cancelled(request);
        }
        let now = self.clock.now();
        // A process that was stopped slept like its disks' threads: their time counts anew.
        let slept = now.time.since(self.swept_at) > slept_after(self.stall_timeout);
        self.swept_at = now.time;
        for (index, directory) in self.directories.iter_mut().enumerate() {
            if slept {
                directory.slept(now.time);
            }
            if directory.stalls(now.time, self.stall_timeout) {
                directory.abandon();
                self.broker.handle_directory_stalled(now, index);
            }
        }
    }

    /// Performs what the broker asks for: the disks first, for they take longest. Each thread is
    /// woken once for all that it gets.
    fn perform(&mut self) {
        let effects = self.broker.take_effects().into_iter();
        let is_of_disk = |effect: &Effect| matches!(effect, Effect::Disk { .. });
        let (of_disks, others): (Vec<_>, Vec<_>) = effects.partition(is_of_disk);
        for effect in of_disks {
            self.perform_effect(effect);
        }
        for directory in &mut self.directories {
            directory.submit();
        }
        for effect in others {
            self.perform_effect(effect);
        }
        self.post.send();
    }

    fn perform_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Respond { request, response } => {
                self.answer(request, Answer::Response(response));
            }
            Effect::Omit { request } => self.answer(request, Answer::Nothing),
            Effect::Close { request, reason } => self.answer(request, Answer::Close(reason)),
            Effect::Send(request) => self.peers.send(request),
            Effect::Disk {
                directory,
                token,
                request,
            } => {
                let now = self.clock.now().time;
                if let Some(directory) = self.directories.get_mut(directory) {
                    directory.ask(now, token, request);
                }
            }
            Effect::Serving => {
                let _ = self.status.send(Status::Serving);
            }
            Effect::Stopped => self.ended = Some(Ok(())),
            Effect::Halt { reason } => {
                self.ended.get_or_insert(Err(NodeError::Halted(reason)));
            }
        }
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        if let Some(recipient) = self.recipients.remove(&request) {
            self.post.put(recipient, answer);
        }
    }
}

/// How late a sweep means that the process was stopped: no stop that counts may fill most of the
/// time that a disk has, and no sweep that is merely late may count.
fn slept_after(stall_timeout: Duration) -> Duration {
    SLEPT.min(stall_timeout / 2).max(3 * SWEEP)
}

/// Ends the process if the core's thread panics.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_shorter_than_the_patience_with_disks_is_no_stall() {
        let slept = |stall| slept_after(Duration::from_millis(stall)).as_millis();
        assert_eq!([30_000, 2_000, 100].map(slept), [2_000, 1_000, 300]);
    }
}

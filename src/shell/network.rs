//! The network's threads: each has an event loop of its own, and keeps the connections it got.
//!
//! In: tasks, through the handles of the threads. Out: nothing. Invariant: a task never moves to
//! another thread, so that two threads never wake each other for one connection; when the network
//! has ended, so have its tasks, and their sockets are closed. Source: Kafka's network processors.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::post::Post;

/// The running threads. Dropped, they drop all tasks and end.
#[derive(Debug)]
pub(super) struct Network {
    threads: [NetworkThread; 2],
}

#[derive(Debug)]
struct NetworkThread {
    handle: Handle,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Gives tasks to the threads in turn.
#[derive(Clone, Debug)]
pub(super) struct Spawner {
    handles: [Handle; 2],
    spawned: Arc<AtomicUsize>,
}

impl Network {
    pub(super) fn start() -> io::Result<Self> {
        let threads = [NetworkThread::start(0)?, NetworkThread::start(1)?];
        Ok(Self { threads })
    }

    /// The thread for what is there once.
    pub(super) fn first(&self) -> &Handle {
        let [first, _] = &self.threads;
        &first.handle
    }

    /// Opens the post between the core and the threads.
    pub(super) fn open_post(&self) -> Post {
        let (post, postmen) = Post::open(self.threads.len());
        for (thread, postman) in self.threads.iter().zip(postmen) {
            thread.handle.spawn(postman.deliver());
        }
        post
    }

    pub(super) fn spawner(&self) -> Spawner {
        Spawner {
            handles: self.threads.each_ref().map(|each| each.handle.clone()),
            spawned: Arc::default(),
        }
    }
}

impl Drop for NetworkThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A task's panic is the runtime's to catch: the thread has none.
            let _ = thread.join();
        }
    }
}

impl Spawner {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(|_| task);
    }

    /// Spawns the task that is made for the thread whose turn it is.
    pub(super) fn spawn_on<T>(&self, task: impl FnOnce(usize) -> T)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let [first, second] = &self.handles;
        let thread = self.spawned.fetch_add(1, Ordering::Relaxed) % 2;
        let handle = if thread == 0 { first } else { second };
        handle.spawn(task(thread));
    }
}

impl NetworkThread {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("network-{index}"))
            .spawn(move || {
                let _ = runtime.block_on(stopped);
                // A name that is still looked up must not keep the sockets open.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    /// The thread on which the next task of `spawner` runs.
    fn next_thread(spawner: &Spawner) -> ThreadId {
        let (send, thread) = channel();
        spawner.spawn(async move {
            let _ = send.send(std::thread::current().id());
        });
        thread.recv_timeout(DEADLINE).unwrap()
    }

    #[test]
    fn the_threads_get_tasks_in_turn() {
        let network = Network::start().unwrap();
        let spawner = network.spawner();
        let [first, second, third] = [(); 3].map(|()| next_thread(&spawner));
        assert_ne!(first, second);
        assert_eq!(first, third);
        drop(network);
    }

    #[test]
    fn no_task_outlives_the_network() {
        let network = Network::start().unwrap();
        let spawner = network.spawner();
        let (held, dropped) = channel::<()>();
        for _ in 0..2 {
            let held = held.clone();
            spawner.spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
        }
        drop(held);
        assert_ne!(next_thread(&spawner), next_thread(&spawner));
        let both_run = dropped.recv_timeout(Duration::ZERO);
        assert_eq!(both_run, Err(RecvTimeoutError::Timeout));
        drop(network);
        let ended = dropped.recv_timeout(Duration::ZERO);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    }
}

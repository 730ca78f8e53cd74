//! A client's process: its input fed piece by piece, its output gathered while it runs.
//!
//! Invariant: the process is killed when its handle is dropped.

use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::sync::watch::{self, Ref};

use crate::wait::within;

/// A client that runs.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: Lines,
    complaints: Lines,
}

/// The lines of a stream so far; the sender is gone when the stream has ended.
type Lines = watch::Receiver<Vec<Vec<u8>>>;

impl Process {
    /// Starts `command`.
    pub(crate) fn start(name: impl Into<String>, mut command: Command) -> Result<Self, Failed> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self {
            name: name.into(),
            child,
            output: gather(stdout.ok_or("no stdout")?),
            complaints: gather(stderr.ok_or("no stderr")?),
        })
    }

    /// What it has put out so far, line by line.
    pub(crate) fn output(&self) -> Ref<'_, Vec<Vec<u8>>> {
        self.output.borrow()
    }

    /// What it has written to stderr so far, line by line.
    pub(crate) fn complaints(&self) -> Ref<'_, Vec<Vec<u8>>> {
        self.complaints.borrow()
    }

    /// Checks that it has not ended.
    pub(crate) fn check_running(&mut self) -> Result<(), Failed> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let complaints = text(&self.complaints());
        Err(format!("{} ended early: {status}: {complaints}", self.name).into())
    }

    /// Asks it to end, with SIGTERM.
    pub(crate) fn terminate(&self) -> Result<(), Failed> {
        let id = self.child.id().ok_or("it has ended")?;
        kill(Pid::from_raw(id as i32), Signal::SIGTERM)?;
        Ok(())
    }

    /// Writes `bytes` to its input.
    pub(crate) async fn feed(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let stdin = self.child.stdin.as_mut().ok_or("the input has ended")?;
        let what = format!("{} taking its input", self.name);
        Ok(within(&what, stdin.write_all(bytes)).await??)
    }

    /// The first line of its output, once there is one.
    pub(crate) async fn first_line(&mut self) -> Result<Vec<u8>, Failed> {
        let what = format!("a first line of {}", self.name);
        let lines = within(&what, self.output.wait_for(|lines| !lines.is_empty())).await;
        let lines = lines?.map_err(|_| format!("{} ended without output", self.name))?;
        Ok(lines.first().cloned().unwrap_or_default())
    }

    /// Ends its input and waits for a good end; its output, line by line.
    pub(crate) async fn finish(mut self) -> Result<Vec<Vec<u8>>, Failed> {
        drop(self.child.stdin.take());
        let status = within(&format!("the end of {}", self.name), self.child.wait()).await;
        if status.is_err() {
            self.child.start_kill()?;
        }
        let complaints = text(&whole(self.complaints).await);
        let lines = whole(self.output).await;
        let name = self.name;
        let status = status
            .map_err(|failed| format!("{failed:?} after {} lines: {complaints}", lines.len()))??;
        if !status.success() {
            return Err(
                format!("{name}: {status} after {} lines: {complaints}", lines.len()).into(),
            );
        }
        Ok(lines)
    }
}

/// Gathers the lines of `stream` while it lasts; what came before an error is kept.
fn gather(stream: impl AsyncRead + Send + Unpin + 'static) -> Lines {
    let (sender, lines) = watch::channel(Vec::new());
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .await
            .is_ok_and(|read| read > 0)
        {
            line.pop_if(|last| *last == b'\n');
            let line = std::mem::take(&mut line);
            sender.send_modify(|lines| lines.push(line));
        }
    });
    lines
}

/// All lines of a stream, once it has ended.
async fn whole(mut lines: Lines) -> Vec<Vec<u8>> {
    while lines.changed().await.is_ok() {}
    lines.borrow().clone()
}

fn text(lines: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&lines.join(&b'\n')).into_owned()
}

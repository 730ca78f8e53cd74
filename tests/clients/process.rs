//! A client's process: its input fed piece by piece, its output gathered while it runs.
//!
//! Invariant: the process is killed when its handle is dropped.

use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::wait::within;

/// A client that runs.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    output: JoinHandle<Vec<Vec<u8>>>,
    complaints: JoinHandle<String>,
    /// The lines so far, and the first of them.
    seen: watch::Receiver<Option<Vec<u8>>>,
}

impl Process {
    /// Starts `command`.
    pub(crate) fn start(name: &'static str, mut command: Command) -> Result<Self, Failed> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, mut stderr) = (stdout.ok_or("no stdout")?, stderr.ok_or("no stderr")?);
        let (first, seen) = watch::channel(None);
        let output = tokio::spawn(async move {
            let mut reader = BufReader::new(stdout);
            let mut lines = Vec::new();
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .await
                .is_ok_and(|read| read > 0)
            {
                line.pop_if(|last| *last == b'\n');
                if lines.is_empty() {
                    let _ = first.send(Some(line.clone()));
                }
                lines.push(std::mem::take(&mut line));
            }
            lines
        });
        let complaints = tokio::spawn(async move {
            let mut text = Vec::new();
            // What came before an error of the pipe is worth having all the same.
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self {
            name,
            child,
            output,
            complaints,
            seen,
        })
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
        let first = within(&what, self.seen.wait_for(Option::is_some)).await;
        let first = first?.map_err(|_| format!("{} ended without output", self.name))?;
        Ok(first.clone().unwrap_or_default())
    }

    /// Ends its input and waits for a good end; its output, line by line.
    pub(crate) async fn finish(mut self) -> Result<Vec<Vec<u8>>, Failed> {
        drop(self.child.stdin.take());
        let status = within(&format!("the end of {}", self.name), self.child.wait()).await;
        if status.is_err() {
            self.child.start_kill()?;
        }
        let complaints = self.complaints.await?;
        let lines = self.output.await?;
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

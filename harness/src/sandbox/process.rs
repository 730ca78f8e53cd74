//! How one process of the sandbox is started: program, namespace, and where its output goes.
//!
//! In: a [`ProcessSpec`], kept for restarts. Out: a running child whose pipes the caller reads.
//! Keeps: a child starts with an empty signal mask, never inherits the harness' role, and dies
//! when its handle is dropped.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::roles::{ROLE_VARIABLE, Role};
use crate::sandbox::netns::NetNs;
use crate::sandbox::sys;

/// What to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// This binary again, in another role.
    Role(Role),
    /// Any other executable.
    Command(PathBuf),
}

/// Where a child's stdout or stderr goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nowhere.
    Null,
    /// To the harness' own.
    Inherit,
    /// To a pipe in [`Pipes`].
    Piped,
    /// Appended to a file, which is made if it is missing.
    Append(PathBuf),
}

/// Everything that is needed to start a process, also again.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// What to execute.
    pub program: Program,
    /// Arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Variables that are added to the harness' environment.
    pub env: Vec<(OsString, OsString)>,
    /// The network namespace to start in; the harness' own if absent.
    pub namespace: Option<Arc<NetNs>>,
    /// True for a pipe on stdin, which closes with the harness; else stdin is empty.
    pub piped_stdin: bool,
    /// Where stdout goes.
    pub stdout: Output,
    /// Where stderr goes.
    pub stderr: Output,
}

impl ProcessSpec {
    /// A process of `program` in `namespace`, with empty stdin and output to nowhere.
    pub fn new(program: Program, namespace: Option<Arc<NetNs>>) -> Self {
        Self {
            program,
            args: Vec::new(),
            env: Vec::new(),
            namespace,
            piped_stdin: false,
            stdout: Output::Null,
            stderr: Output::Null,
        }
    }

    /// Adds arguments.
    pub fn with_args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the process. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Those of fork, setns, exec, and of opening an output file.
    pub fn spawn(&self) -> io::Result<(Child, Pipes)> {
        let mut command = self.command()?;
        command.kill_on_drop(true);
        let mut child = command.spawn()?;
        let pipes = Pipes {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };
        Ok((child, pipes))
    }

    fn command(&self) -> io::Result<Command> {
        let mut command = match &self.program {
            Program::Role(_) => std::process::Command::new("/proc/self/exe"),
            Program::Command(path) => std::process::Command::new(path),
        };
        match self.program {
            Program::Role(role) => command.env(ROLE_VARIABLE, role.name()),
            Program::Command(_) => command.env_remove(ROLE_VARIABLE),
        };
        let namespace = self
            .namespace
            .as_ref()
            .map(|ns| ns.descriptor())
            .transpose()?;
        sys::before_exec(&mut command, namespace);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(if self.piped_stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(self.stdout.stdio()?)
            .stderr(self.stderr.stdio()?);
        Ok(Command::from(command))
    }
}

impl Output {
    fn stdio(&self) -> io::Result<Stdio> {
        Ok(match self {
            Self::Null => Stdio::null(),
            Self::Inherit => Stdio::inherit(),
            Self::Piped => Stdio::piped(),
            Self::Append(path) => OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)?
                .into(),
        })
    }
}

/// The harness' ends of a child's pipes; absent where none was asked for.
#[derive(Debug, Default)]
pub struct Pipes {
    /// Write here to the child.
    pub stdin: Option<ChildStdin>,
    /// What the child prints.
    pub stdout: Option<ChildStdout>,
    /// What the child logs.
    pub stderr: Option<ChildStderr>,
}

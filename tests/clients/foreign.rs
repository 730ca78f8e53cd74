//! The clients of others: how each is found, and how it is told to produce and to consume.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A client that this project did not write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Foreign {
    /// The command line client, librdkafka underneath.
    Kcat,
    /// Python's confluent-kafka, librdkafka underneath.
    Confluent,
    /// kafka-python, which shares no code with the others.
    KafkaPython,
}

impl Foreign {
    /// Every client.
    pub(crate) const ALL: [Self; 3] = [Self::Kcat, Self::Confluent, Self::KafkaPython];

    /// Its name, also that of its test.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kcat => "kcat",
            Self::Confluent => "confluent_kafka",
            Self::KafkaPython => "kafka_python",
        }
    }

    /// How to run it on this machine.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn find(self) -> Result<Client, String> {
        let (module, script) = match self {
            Self::Kcat => {
                let found = succeeds(Command::new("kcat").arg("-V"));
                let kcat = found.then_some(Client::Kcat);
                return kcat.ok_or_else(|| "kcat is not in PATH: apt-get install kcat".to_owned());
            }
            Self::Confluent => ("confluent_kafka", "confluent_client.py"),
            Self::KafkaPython => ("kafka", "kafka_python_client.py"),
        };
        let configured = std::env::var_os("VERDICT_PYTHON");
        let python = PathBuf::from(configured.unwrap_or_else(|| "python3".into()));
        if !succeeds(Command::new(&python).args(["-c", &format!("import {module}")])) {
            return Err(format!(
                "{} has no module {module}: install it, or name another python in VERDICT_PYTHON",
                python.display()
            ));
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/clients")
            .join(script);
        Ok(Client::Python { python, script })
    }
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A client that was found.
#[derive(Debug)]
pub(crate) enum Client {
    Kcat,
    Python { python: PathBuf, script: PathBuf },
}

impl Client {
    /// Sends stdin, lines of `key TAB value`, with acks=all and idempotence.
    pub(crate) fn producer(&self, servers: &str, topic: &str) -> Command {
        match self {
            Self::Kcat => {
                let mut kcat = Command::new("kcat");
                kcat.args(["-P", "-b", servers, "-t", topic, "-K", "\t"]);
                kcat.args(["-X", "enable.idempotence=true"]);
                kcat
            }
            Self::Python { .. } => self.script(&["produce", servers, topic]),
        }
    }

    /// Prints the first `count` records, lines of `partition TAB key TAB value`.
    pub(crate) fn consumer(&self, servers: &str, topic: &str, count: usize) -> Command {
        let count = count.to_string();
        match self {
            Self::Kcat => {
                let mut kcat = Command::new("kcat");
                kcat.args([
                    "-C",
                    "-b",
                    servers,
                    "-t",
                    topic,
                    "-o",
                    "beginning",
                    "-u",
                    "-q",
                ]);
                kcat.args(["-X", "auto.offset.reset=error"]);
                kcat.args(["-f", "%p\t%k\t%s\n", "-c", &count]);
                kcat
            }
            Self::Python { .. } => self.script(&["consume", servers, topic, &count]),
        }
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let Self::Python { python, script } = self else {
            unreachable!("kcat has no script");
        };
        let mut command = Command::new(python);
        command.arg(script).args(arguments);
        command
    }
}

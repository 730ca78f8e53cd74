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
    /// aiokafka, once a fork of kafka-python; here only as a member of groups.
    Aiokafka,
    /// JavaScript's KafkaJS; here only as a member of groups.
    Kafkajs,
}

impl Foreign {
    /// The clients that produce and consume without a group.
    pub(crate) const ALONE: [Self; 3] = [Self::Kcat, Self::Confluent, Self::KafkaPython];
    /// The clients that are members of groups.
    pub(crate) const MEMBERS: [Self; 5] = [
        Self::Kcat,
        Self::Confluent,
        Self::KafkaPython,
        Self::Aiokafka,
        Self::Kafkajs,
    ];

    /// Its name, also that of its test.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kcat => "kcat",
            Self::Confluent => "confluent_kafka",
            Self::KafkaPython => "kafka_python",
            Self::Aiokafka => "aiokafka",
            Self::Kafkajs => "kafkajs",
        }
    }

    /// How to run it on this machine.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn find(self) -> Result<Client, String> {
        match self {
            Self::Kcat => {
                let found = succeeds(Command::new("kcat").arg("-V"));
                let kcat = found.then_some(Client::Kcat);
                kcat.ok_or_else(|| "kcat is not in PATH: apt-get install kcat".to_owned())
            }
            Self::Confluent => python("confluent_kafka", "confluent_client.py"),
            Self::KafkaPython => python("kafka", "kafka_python_client.py"),
            Self::Aiokafka => python("aiokafka", "aiokafka_client.py"),
            Self::Kafkajs => node("kafkajs", "kafkajs_client.js"),
        }
    }
}

/// A client that is a module of Python.
fn python(module: &str, script: &str) -> Result<Client, String> {
    let configured = std::env::var_os("VERDICT_PYTHON");
    let python = PathBuf::from(configured.unwrap_or_else(|| "python3".into()));
    if !succeeds(Command::new(&python).args(["-c", &format!("import {module}")])) {
        return Err(format!(
            "{} has no module {module}: install it, or name another python in VERDICT_PYTHON",
            python.display()
        ));
    }
    Ok(Client::script(python, script))
}

/// A client that is a package for Node.js.
fn node(package: &str, script: &str) -> Result<Client, String> {
    let require = format!("require('{package}')");
    if !succeeds(with_node_path(&mut Command::new("node")).args(["-e", &require])) {
        return Err(format!(
            "node does not find {package}: install both, and name the directory node_modules \
             that has it in VERDICT_NODE_PATH"
        ));
    }
    Ok(Client::script("node".into(), script))
}

/// Tells node where packages are; other programs do not care.
fn with_node_path(command: &mut Command) -> &mut Command {
    if let Some(path) = std::env::var_os("VERDICT_NODE_PATH") {
        command.env("NODE_PATH", path);
    }
    command
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
    Script {
        interpreter: PathBuf,
        script: PathBuf,
    },
}

impl Client {
    fn script(interpreter: PathBuf, script: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/clients")
            .join(script);
        Self::Script {
            interpreter,
            script,
        }
    }

    /// Sends stdin, lines of `key TAB value`, with acks=all and idempotence.
    pub(crate) fn producer(&self, servers: &str, topic: &str) -> Command {
        match self {
            Self::Kcat => {
                let mut kcat = Command::new("kcat");
                kcat.args(["-P", "-b", servers, "-t", topic, "-K", "\t"]);
                kcat.args(["-X", "enable.idempotence=true"]);
                kcat
            }
            Self::Script { .. } => self.run(&["produce", servers, topic]),
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
            Self::Script { .. } => self.run(&["consume", servers, topic, &count]),
        }
    }

    /// Joins `group` as `name` and prints the records that it is given, in lines as above, until
    /// SIGTERM; it commits by itself. Its partitions: `Member` reads what it says of them.
    pub(crate) fn member(&self, servers: &str, topic: &str, group: &str, name: &str) -> Command {
        match self {
            Self::Kcat => {
                let mut kcat = Command::new("kcat");
                kcat.args(["-b", servers, "-u", "-f", "%p\t%k\t%s\n"]);
                kcat.args(["-X", &format!("client.id={name}")]);
                kcat.args(["-X", "auto.offset.reset=earliest"]);
                kcat.args(["-X", "heartbeat.interval.ms=500"]);
                kcat.args(["-X", "auto.commit.interval.ms=100"]);
                kcat.args(["-G", group, topic]);
                kcat
            }
            Self::Script { .. } => self.run(&["join", servers, topic, group, name]),
        }
    }

    fn run(&self, arguments: &[&str]) -> Command {
        let Self::Script {
            interpreter,
            script,
        } = self
        else {
            unreachable!("kcat has no script");
        };
        let mut command = Command::new(interpreter);
        with_node_path(&mut command).arg(script).args(arguments);
        command
    }
}

//! What a faulty disk without faults costs, against the machine's own file system.
//!
//! A process of its own works in a folder of either, by turns; the best of some rounds counts.
//! The promise: a broker takes in at least a third of what it takes on the native file system.
//! Recovery reads come from a mount that has just been made, so nothing is cached on it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::client::{
    Acks, Admin, AdminConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use broker::config::Settings;
use broker::shell::{Node, Status};
use bytes::Bytes;
use harness::disk::journal::NameDurability;
use harness::disk::rule::{DiskId, Survival};
use harness::disk::{DiskOptions, Disks};
use harness::doctor;
use harness::roles::{self, Place, ROLE_VARIABLE, Role, Roles};
use harness::sandbox::enter;

/// Rounds, of which the best counts.
const ROUNDS: usize = 3;
/// How long each figure is measured.
const SPAN: Duration = Duration::from_millis(700);
/// The file that is read after a restart.
const READ_BYTES: usize = 64 << 20;
/// Sends that wait for their acknowledgement at the same moment.
const IN_FLIGHT: usize = 64;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let roles = Roles {
        node: |arguments| exit(work(&arguments)),
        worker: |_| ExitCode::FAILURE,
    };
    match roles::dispatch(&roles) {
        Err(code) => code,
        Ok(Place::Sandbox) => exit(compare()),
        Ok(Place::Host) => match doctor::require_sandbox() {
            Ok(()) => {
                eprintln!("{}", enter::enter());
                ExitCode::FAILURE
            }
            Err(refusal) => {
                println!("SKIPPED: {refusal}");
                ExitCode::SUCCESS
            }
        },
    }
}

fn exit(result: Result<(), Failure>) -> ExitCode {
    result.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Lets processes work on both kinds of disk, and prints what they reached.
fn compare() -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let paths = ["native", "backing", "mounted"].map(|name| folder.path().join(name));
    for path in &paths {
        std::fs::create_dir(path)?;
    }
    let [native, backing, mounted] = &paths;
    let disks = Disks::default();
    let id = DiskId {
        node: 1,
        directory: 0,
    };
    let options = DiskOptions {
        seed: 0,
        fsync: Duration::ZERO,
        quota: None,
        names: NameDurability::default(),
    };
    disks.mount(id, backing, mounted, options)?;
    let mut best: Vec<(String, [f64; 2])> = Vec::new();
    let runtime = tokio::runtime::Runtime::new()?;
    for _ in 0..ROUNDS {
        for (column, path) in [native, mounted].into_iter().enumerate() {
            for what in ["files", "read", "produce"] {
                if what == "read" && column == 1 {
                    runtime.block_on(disks.power_off(id, Survival::Subset(1000), 0))?;
                    disks.power_on(id)?;
                }
                for (name, rate) in reached(what, path)? {
                    keep_best(&mut best, name, column, rate);
                }
            }
        }
    }
    disks.unmount_all();
    println!(
        "{:<34}{:>12}{:>12}{:>9}",
        "a second", "native", "faulty", "factor"
    );
    for (name, [native, faulty]) in best {
        let factor = native / faulty;
        println!("{name:<34}{native:>12.0}{faulty:>12.0}{factor:>9.2}");
    }
    Ok(())
}

fn keep_best(best: &mut Vec<(String, [f64; 2])>, name: String, column: usize, rate: f64) {
    let at = best.iter().position(|(known, _)| *known == name);
    let at = at.unwrap_or_else(|| {
        best.push((name, [0.0; 2]));
        best.len() - 1
    });
    if let Some(known) = best.get_mut(at).and_then(|row| row.1.get_mut(column)) {
        *known = known.max(rate);
    }
}

/// The rates that a process reached in `folder`.
fn reached(what: &str, folder: &Path) -> Result<Vec<(String, f64)>, Failure> {
    let output = Command::new("/proc/self/exe")
        .arg(what)
        .arg(folder)
        .env(ROLE_VARIABLE, Role::Node.name())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let rate = |line: &str| {
        let (name, rate) = line.rsplit_once(' ')?;
        Some((name.to_owned(), rate.parse().ok()?))
    };
    let rates: Vec<_> = text.lines().filter_map(rate).collect();
    if rates.is_empty() || !output.status.success() {
        return Err(format!("{what} ended with {}: {text}", output.status).into());
    }
    Ok(rates)
}

/// The process: `files FOLDER`, `read FOLDER` or `produce FOLDER`.
fn work(arguments: &[OsString]) -> Result<(), Failure> {
    let [what, folder, ..] = arguments else {
        return Err("what, and where?".into());
    };
    let folder = Path::new(folder);
    match what.to_str() {
        Some("files") => files(folder),
        Some("read") => read(&folder.join("read")),
        Some("produce") => {
            let data = folder.join("data");
            std::fs::create_dir_all(&data)?;
            let produced = tokio::runtime::Runtime::new()?.block_on(produce(&data));
            std::fs::remove_dir_all(&data)?;
            produced
        }
        _ => Err(format!("{} is nothing to do", what.display()).into()),
    }
}

fn files(folder: &Path) -> Result<(), Failure> {
    let path = folder.join("file");
    for bytes in [100, 4 << 10, 64 << 10] {
        let mut file = File::create(&path)?;
        let data = vec![7; bytes];
        let rate = rate(|| Ok(file.write_all(&data)?))?;
        println!("appends of {bytes} bytes {rate}");
    }
    let mut file = File::create(&path)?;
    let rate_of_syncs = rate(|| {
        file.write_all(&[7; 1024])?;
        Ok(file.sync_data()?)
    })?;
    println!("appends of 1024 bytes with fsync {rate_of_syncs}");
    let (old, new) = (folder.join("old"), folder.join("new"));
    let rate_of_names = rate(|| {
        File::create(&new)?;
        std::fs::rename(&new, &old)?;
        Ok(std::fs::remove_file(&old)?)
    })?;
    println!("creations with rename and removal {rate_of_names}");
    std::fs::remove_file(&path)?;
    std::fs::write(folder.join("read"), vec![7; READ_BYTES])?;
    Ok(())
}

/// How often a second `once` can be done.
fn rate(mut once: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < SPAN {
        once()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

fn read(path: &Path) -> Result<(), Failure> {
    let mut file = OpenOptions::new().read(true).open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let (begin, mut total) = (Instant::now(), 0);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => total += count,
        }
    }
    let mebibytes = total as f64 / f64::from(1 << 20);
    println!(
        "MiB of a first read {}",
        mebibytes / begin.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn produce(data: &Path) -> Result<(), Failure> {
    let log_dirs = format!("log.dirs={}", data.display());
    let pairs = ["node.id=1", "listeners=PLAINTEXT://127.0.0.1:0", &log_dirs];
    let node = Node::start(Settings::parse("", &pairs)?)?;
    let mut status = node.status();
    status.wait_for(|status| *status == Status::Serving).await?;
    let address = node.address();
    let admin = Admin::start(AdminConfig {
        bootstrap: vec![address],
        client_id: "benchmark".to_owned(),
        request_timeout: Duration::from_secs(10),
    })
    .await?;
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        replication_factor: 1,
        configs: vec![],
    };
    admin.create_topic(topic).await?;
    for (bytes, unit) in [
        (1 << 10, "records of 1 KiB"),
        (16 << 10, "records of 16 KiB"),
    ] {
        let config = ProducerConfig {
            bootstrap: vec![address],
            acks: Acks::All,
            ..ProducerConfig::default()
        };
        let producer = Arc::new(Producer::start(config).await?);
        let sent = Arc::new(AtomicU64::new(0));
        let begin = Instant::now();
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let (producer, sent) = (Arc::clone(&producer), Arc::clone(&sent));
            let value = Bytes::from(vec![7; bytes]);
            senders.spawn(async move {
                while begin.elapsed() < SPAN {
                    let record = ProducerRecord {
                        topic: "t".to_owned(),
                        value: Some(value.clone()),
                        ..ProducerRecord::default()
                    };
                    producer.send(record).await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), broker::client::ClientError>(())
            });
        }
        while let Some(sender) = senders.join_next().await {
            sender??;
        }
        let rate = sent.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
        println!("produced {unit} {rate}");
    }
    node.kill();
    Ok(())
}

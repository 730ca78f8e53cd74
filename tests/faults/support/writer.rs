//! A stand-in for a broker on a faulty disk: works on the files of its log directory as told.
//!
//! In: frames of the API [`API`] whose body is a command, `append t-0/0.log text`. Out: a frame with
//! `ok`, what was read, or the system's error by its number. Other frames are answered with their
//! own body, so that it can be probed. Each connection is served by itself: one that waits for its
//! disk does not hold up the others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// No Kafka API has this key.
pub(crate) const API: i16 = 4_000;

/// Carries out `command` in the log directories below `root`.
pub(crate) fn answer(root: &Path, command: &str) -> String {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    if word == "strict" {
        let answer = answer(root, rest);
        if answer.starts_with("error") {
            // As a broker does whose metadata log fails.
            std::process::exit(1);
        }
        return answer;
    }
    match act(root, word, rest) {
        Ok(found) => format!("ok {found}"),
        Err(error) => format!("error {}", error.raw_os_error().unwrap_or(0)),
    }
}

fn act(root: &Path, word: &str, rest: &str) -> io::Result<String> {
    let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let path: PathBuf = root.join(name);
    let done = |()| String::new();
    match word {
        "append" => {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            // One write, so that a short one can be seen.
            file.write(text.as_bytes())
                .map(|written| written.to_string())
        }
        "sync" => File::open(&path)?.sync_all().map(done),
        "read" => fs::read(&path).map(|bytes| bytes.escape_ascii().to_string()),
        "make" => fs::create_dir(&path).map(done),
        "rename" => fs::rename(&path, root.join(text)).map(done),
        "remove" => fs::remove_file(&path).map(done),
        "abort" => std::process::abort(),
        "halt" => std::process::exit(1),
        _ => Err(io::Error::from_raw_os_error(22)),
    }
}

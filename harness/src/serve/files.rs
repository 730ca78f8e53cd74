//! Files of the results directory by the path in an address.
//!
//! In: the root and a path that anybody may have written. Out: the file, a folder, or nothing.
//! Invariant: nothing outside the root is ever read, whatever the path says and wherever symbolic
//! links lead.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Larger files are not read into memory.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Entries of a folder that are listed, at most.
const ENTRIES_MAX: usize = 2_000;

/// What lies at a path.
#[derive(Debug)]
pub enum Found {
    /// A file.
    File {
        /// Its content type.
        content_type: &'static str,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A folder: its entries by name, folders with a slash.
    Folder {
        /// The names, sorted.
        names: Vec<String>,
    },
    /// A folder whose address lacks its slash, so that links in it would lead astray.
    Slash,
    /// A file that is too large.
    TooLarge {
        /// Where it lies.
        path: PathBuf,
    },
    /// Nothing that may be read.
    Nothing,
}

/// Types by the end of a name; everything else is bytes.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("json", "application/json"),
    ("jsonl", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/plain; charset=utf-8"),
    ("properties", "text/plain; charset=utf-8"),
    ("xml", "text/xml; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
];

/// What lies at `path` below `root`, which is canonical.
pub fn find(root: &Path, path: &str) -> Found {
    let Some(place) = place(root, path) else {
        return Found::Nothing;
    };
    if place.is_dir() {
        if !path.is_empty() && !path.ends_with('/') {
            return Found::Slash;
        }
        return Found::Folder {
            names: names(&place),
        };
    }
    // What is no file, such as a pipe, might never end.
    match fs::metadata(&place) {
        Ok(metadata) if !metadata.is_file() => Found::Nothing,
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => Found::TooLarge { path: place },
        _ => fs::read(&place).map_or(Found::Nothing, |bytes| Found::File {
            content_type: content_type(&place),
            bytes,
        }),
    }
}

/// The real place of `path`, if it is below `root`.
pub(super) fn place(root: &Path, path: &str) -> Option<PathBuf> {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !Path::new(path).components().all(is_plain) {
        return None;
    }
    let place = root.join(path).canonicalize().ok()?;
    place.starts_with(root).then_some(place)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| {
        let slash = if entry.path().is_dir() { "/" } else { "" };
        format!("{}{slash}", entry.file_name().to_string_lossy())
    };
    let mut names: Vec<String> = entries.take(ENTRIES_MAX).map(name).collect();
    names.sort();
    names
}

fn content_type(path: &Path) -> &'static str {
    let end = path.extension().unwrap_or_default();
    let found = TYPES.iter().find(|(of, _)| end == *of);
    found.map_or("application/octet-stream", |(_, content_type)| content_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_root_is_read() {
        let outside = tempfile::tempdir().expect("a directory");
        let root = outside.path().join("results");
        fs::create_dir_all(root.join("run")).expect("made");
        fs::write(outside.path().join("secret.txt"), "secret").expect("written");
        fs::write(root.join("run/plan.json"), "{}").expect("written");
        std::os::unix::fs::symlink(outside.path(), root.join("out")).expect("a link");
        std::os::unix::fs::symlink("run", root.join("latest")).expect("a link");
        let root = root.canonicalize().expect("it is there");
        for path in [
            "../secret.txt",
            "run/../../secret.txt",
            "/etc/passwd",
            "out/secret.txt",
            "out",
            "run/missing.json",
            "run/plan.json/x",
            "\0",
        ] {
            let found = find(&root, path);
            assert!(matches!(found, Found::Nothing), "{path}: {found:?}");
        }
        for path in ["run/plan.json", "latest/plan.json"] {
            let Found::File {
                content_type,
                bytes,
            } = find(&root, path)
            else {
                panic!("{path} is not found");
            };
            assert_eq!((content_type, &*bytes), ("application/json", &b"{}"[..]));
        }
        assert!(matches!(find(&root, "run"), Found::Slash));
        let Found::Folder { names } = find(&root, "run/") else {
            panic!("the folder is not found");
        };
        assert_eq!(names, ["plan.json"]);
    }
}

//! Real text: the machine's licence texts, or this package's own sources where there are none.
//!
//! Out: records whose key is the file's name and whose value is one line of it, byte for byte.

use std::fs;
use std::path::Path;

/// One record.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
}

/// Every line of every text; the files advance side by side, each in its order.
pub(crate) fn lines() -> std::io::Result<Vec<Line>> {
    let licences = Path::new("/usr/share/common-licenses");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker");
    let files = texts(licences).or_else(|_| texts(&sources))?;
    let mut placed = Vec::new();
    for (index, (name, text)) in files.into_iter().enumerate() {
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
        for (number, line) in lines.iter().enumerate() {
            let key = name.clone();
            let value = line.to_vec();
            placed.push(((number << 20) / lines.len(), index, Line { key, value }));
        }
    }
    placed.sort_by_key(|(progress, index, _)| (*progress, *index));
    Ok(placed.into_iter().map(|(_, _, line)| line).collect())
}

/// The input of a producer: `key TAB value` for each line.
pub(crate) fn input(lines: &[Line]) -> Vec<u8> {
    let mut input = Vec::new();
    for line in lines {
        input.extend_from_slice(line.key.as_bytes());
        input.push(b'\t');
        input.extend_from_slice(&line.value);
        input.push(b'\n');
    }
    input
}

/// The plain files of `directory` by name; a link would only repeat a text.
fn texts(directory: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            texts.push((name, fs::read(entry.path())?));
        }
    }
    texts.sort();
    if texts.is_empty() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    Ok(texts)
}

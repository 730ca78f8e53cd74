//! The house rules, checked: ranks, sizes, headers, left-overs, citations, testdata.
//!
//! Each message says what to do instead. The rules are those of `CONTRIBUTING.md`.

#![expect(clippy::disallowed_methods, reason = "the rules are about files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The broker's modules and their ranks: a module names only modules of lower rank, or its own.
const RANKS: &[(&str, u8)] = &[
    ("id", 0),
    ("offset", 0),
    ("error", 0),
    ("time", 0),
    ("config", 1),
    ("record", 1),
    ("protocol", 2),
    ("log", 3),
    ("storage", 3),
    ("replica", 4),
    ("quorum", 4),
    ("metadata", 5),
    ("group", 5),
    ("broker", 6),
    ("client", 6),
    ("shell", 7),
];
/// Modules of one rank that may name each other, with the reason.
const SAME_RANK_EDGES: &[(&str, &str, &str)] = &[(
    "storage",
    "log",
    "recovery folds batches into the log's epoch cache and producer state",
)];
/// What `client` may name: it shares no state machine with the broker.
const CLIENT_MAY_NAME: &[&str] = &[
    "id", "offset", "error", "time", "config", "record", "protocol",
];
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
/// One function in this many may be longer than `FUNCTION_LINES_MAX`: 3 %.
const LONG_FUNCTION_SHARE: usize = 33;
const BINARY_BYTES_MAX: u64 = 256 * 1024;

struct Source {
    name: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.name.ends_with("_test.rs")
            || self.name.starts_with("tests/")
            || self.name.contains("/tests/")
    }

    /// The text before the file's inline tests.
    fn code(&self) -> &str {
        self.text
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or(&self.text)
    }

    /// The lines of code with their numbers, comments cut off.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code()
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "checkers", "harness", "tests", "benches"] {
        collect(&root().join(folder), &mut found);
    }
    assert!(
        found.len() > 10,
        "no sources found below {}",
        root().display()
    );
    found.retain(|source| source.name != "tests/tidy.rs");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is UTF-8");
            let name = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .display()
                .to_string();
            found.push(Source { name, text });
        }
    }
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn rank(module: &str) -> Option<u8> {
    RANKS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, rank)| *rank)
}

fn may_name(from: &str, to: &str) -> bool {
    let (Some(from_rank), Some(to_rank)) = (rank(from), rank(to)) else {
        return true;
    };
    if from == "client" {
        return to == "client" || CLIENT_MAY_NAME.contains(&to);
    }
    let edge = SAME_RANK_EDGES
        .iter()
        .any(|(a, b, _)| (*a, *b) == (from, to));
    from == to || to_rank < from_rank || edge
}

/// The module names that stand behind `crate::` in a line.
fn named_modules(line: &str) -> impl Iterator<Item = String> {
    line.split("crate::").skip(1).map(|path| {
        path.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    })
}

/// The folders of `tests/` that are one binary each: their `main.rs` names the files.
const TEST_BINARIES: &[&str] = &["it", "faults", "clients", "pages"];

#[test]
fn every_file_of_a_test_binary_is_named_by_a_mod() {
    let sources = sources();
    let mut dropped = Vec::new();
    for binary in TEST_BINARIES {
        let folder = format!("tests/{binary}/");
        let of_binary = sources.iter().filter(|s| s.name.starts_with(&folder));
        let named: BTreeSet<String> = of_binary.clone().flat_map(files_of_mods).collect();
        let main = format!("{folder}main.rs");
        let others = of_binary.filter(|source| source.name != main);
        dropped.extend(others.filter(|source| !named.contains(&source.name)));
    }
    let dropped: Vec<&str> = dropped.iter().map(|source| source.name.as_str()).collect();
    assert!(
        dropped.is_empty(),
        "{dropped:?} belong to no test binary, so their tests never run: add `mod …;` beside them"
    );
}

/// The files that the `mod …;` lines of a source may mean.
fn files_of_mods(source: &Source) -> Vec<String> {
    let path = Path::new(&source.name);
    let is_root = matches!(
        path.file_stem().and_then(|stem| stem.to_str()),
        Some("main" | "mod")
    );
    let folder = if is_root {
        path.parent().unwrap_or(path).to_owned()
    } else {
        path.with_extension("")
    };
    let modules = source.text.lines().filter_map(|line| {
        let line = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    let files = modules.flat_map(|module| {
        let file = folder.join(format!("{module}.rs"));
        [file, folder.join(module).join("mod.rs")]
    });
    files.map(|file| file.display().to_string()).collect()
}

#[test]
fn modules_name_only_lower_ranks() {
    let mut complaints = Vec::new();
    for source in sources() {
        let name = &source.name;
        let Some(inside) = name.strip_prefix("src/") else {
            continue;
        };
        let module = inside.split(['/', '.']).next().unwrap_or_default();
        if source.is_test() || rank(module).is_none() {
            continue;
        }
        for (number, line) in source.lines() {
            for to in named_modules(line).filter(|to| !may_name(module, to)) {
                complaints.push(format!(
                    "{name}:{number}: {module} must not name {to}: move the shared part to a \
                     lower rank, or pass it in"
                ));
            }
            if line.contains("super::super") {
                complaints.push(format!("{name}:{number}: write crate:: instead"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn checkers_know_neither_clock_nor_broker() {
    let forbidden = [
        "tokio",
        "std::time::",
        "std::thread",
        "std::net",
        "broker::",
        "std::fs",
    ];
    let mut complaints = Vec::new();
    for source in sources() {
        if !source.name.starts_with("checkers/src/") || source.is_test() {
            continue;
        }
        for (number, line) in source.lines() {
            if let Some(word) = forbidden.iter().find(|word| line.contains(**word)) {
                complaints.push(format!(
                    "{}:{number}: checkers are pure functions of history and contract: no {word}",
                    source.name
                ));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_are_small_and_introduce_themselves() {
    let mut complaints = Vec::new();
    for source in sources() {
        let lines = source.code().lines().count();
        if lines > FILE_LINES_MAX && !source.is_test() {
            complaints.push(format!(
                "{}: {lines} lines, at most {FILE_LINES_MAX}: split it by role",
                source.name
            ));
        }
        if !source.text.starts_with("//!") {
            complaints.push(format!(
                "{}: begin with a //! header: what it is, what comes in and goes out, which \
                 invariant it keeps",
                source.name
            ));
        }
    }
    assert_none(&complaints);
}

#[test]
fn lines_fit_the_page() {
    let mut complaints = Vec::new();
    // Tests hold literals, such as histories, that cannot be broken.
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (index, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                let number = index + 1;
                complaints.push(format!(
                    "{}:{number}: {columns} columns, at most {COLUMNS_MAX}",
                    source.name
                ));
            }
        }
    }
    assert_none(&complaints);
}

/// Whether a trimmed line begins a function, and its name.
fn function_name(line: &str) -> Option<String> {
    let (head, rest) = line.split_once("fn ")?;
    let qualifier = |word: &str| {
        ["pub", "const", "async", "unsafe", "extern"].contains(&word) || word.starts_with("pub(")
    };
    let name: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (head.split_whitespace().all(qualifier) && !name.is_empty()).then_some(name)
}

/// The functions of a formatted file: name and length in lines.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line.trim_start()) else {
            continue;
        };
        let ends =
            |l: &str| indent(l) == indent(line) && (l.trim() == "}" || l.ends_with([';', '}']));
        let end = lines.iter().skip(start).position(|line| ends(line));
        found.extend(end.map(|length| (name, length + 1)));
    }
    found
}

#[test]
fn functions_are_short() {
    let mut total = 0;
    let mut long = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (name, length) in functions(source.code()) {
            total += 1;
            if length > FUNCTION_LINES_MAX {
                long.push(format!("{}: {name} has {length} lines", source.name));
            }
        }
    }
    assert!(
        total > 100,
        "only {total} functions found: the search is broken"
    );
    assert!(
        long.len() * LONG_FUNCTION_SHARE <= total,
        "{} of {total} functions exceed {FUNCTION_LINES_MAX} lines, at most 3 % may:\n{}",
        long.len(),
        long.join("\n")
    );
}

#[test]
fn no_left_overs() {
    let words = [
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "FIXME",
        "XXX",
        "#[ignore",
    ];
    let mut complaints = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                let number = index + 1;
                complaints.push(format!(
                    "{}:{number}: {word}: finish it or take it out",
                    source.name
                ));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn unsafe_stays_in_its_module() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.name.starts_with("harness/src/sandbox/sys") {
            continue;
        }
        for (number, line) in source.lines() {
            if line.split_whitespace().any(|word| word == "unsafe") {
                complaints.push(format!(
                    "{}:{number}: unsafe belongs in harness/src/sandbox/sys",
                    source.name
                ));
            }
        }
    }
    assert_none(&complaints);
}

/// The numbers of the KIPs that `text` cites.
fn kips(text: &str) -> BTreeSet<u32> {
    let digits = |rest: &str| -> String { rest.chars().take_while(char::is_ascii_digit).collect() };
    text.split("KIP-")
        .skip(1)
        .filter_map(|rest| digits(rest).parse().ok())
        .collect()
}

#[test]
fn cited_kips_are_in_the_table_with_their_tests() {
    let table = fs::read_to_string(root().join("docs/kips.md")).unwrap();
    let sources = sources();
    let mut complaints = Vec::new();
    for source in &sources {
        for kip in kips(&source.text) {
            if !table.contains(&format!("| KIP-{kip} |")) {
                complaints.push(format!(
                    "{}: cites KIP-{kip}: add a row to docs/kips.md",
                    source.name
                ));
            }
        }
    }
    for row in table.lines().filter(|row| row.starts_with("| KIP-")) {
        let mut named = 0;
        for test in row.split('`').skip(1).step_by(2) {
            named += 1;
            let function = format!("fn {test}(");
            if !sources.iter().any(|source| source.text.contains(&function)) {
                complaints.push(format!(
                    "docs/kips.md names the test {test}, which is not there"
                ));
            }
        }
        if named == 0 && !row.contains("exception:") {
            complaints.push(format!(
                "docs/kips.md: name a test or an `exception:` in: {row}"
            ));
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_anomaly_has_its_testdata() {
    let anomalies: Vec<_> = checkers::anomaly::list().collect();
    assert!(
        anomalies.len() >= 10,
        "only {} anomalies are listed",
        anomalies.len()
    );
    let mut complaints = Vec::new();
    for (anomaly, _) in anomalies {
        let folder = root().join("checkers/testdata").join(anomaly);
        for file in ["minimal.jsonl", "legal.jsonl"] {
            let path = folder.join(file);
            if !path.is_file() {
                complaints.push(format!(
                    "{} is missing: a checker needs both",
                    path.display()
                ));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_fault_has_a_test_of_its_effect() {
    let read = |file| fs::read_to_string(root().join("tests/faults").join(file)).unwrap();
    let files = [
        "nemesis.rs",
        "groups.rs",
        "disks.rs",
        "damage.rs",
        "resources.rs",
        "quotas.rs",
        "runs.rs",
    ];
    let tests: String = files.into_iter().map(read).collect();
    let mut complaints = Vec::new();
    for (fault, _) in harness::nemesis::catalogue::FAULTS {
        let capital = |word: &str| {
            let (head, tail) = word.split_at(1);
            head.to_uppercase() + tail
        };
        let variant: String = fault.split('-').map(capital).collect();
        let variant = format!("FaultSpec::{variant} {{");
        if !tests.contains(&variant) {
            complaints.push(format!(
                "{fault}: run it in one of tests/faults/{files:?} and prove its effect"
            ));
        }
    }
    assert_none(&complaints);
}

#[test]
fn no_large_binaries_are_tracked() {
    let listing = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    let files = String::from_utf8(listing.stdout).unwrap();
    let size = |file: &str| fs::metadata(root().join(file)).map_or(0, |metadata| metadata.len());
    let large: Vec<String> = files
        .split('\0')
        .filter(|file| !file.is_empty() && *file != "Cargo.lock" && size(file) > BINARY_BYTES_MAX)
        .map(|file| format!("{file}: larger than {BINARY_BYTES_MAX} bytes: keep it out of git"))
        .collect();
    assert_none(&large);
}

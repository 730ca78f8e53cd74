//! `verdict check`: judges a stored history.

use std::path::{Path, PathBuf};

use checkers::history::Settings;
use checkers::verdict::Verdict;

use crate::cli::CheckArgs;
use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::run::judge::judge;

/// Judges and prints.
pub fn check(arguments: &CheckArgs) -> Exit {
    let judged = settings(arguments.contract.as_deref())
        .and_then(|settings| judge(&path(arguments), settings).map_err(|e| e.to_string()));
    match judged {
        Ok(verdict) => {
            if arguments.json {
                print_json(&verdict);
            } else {
                say!("{}", verdict.sentence);
                print_findings(&verdict);
            }
            Exit::from_code(i32::from(verdict.exit_code()))
        }
        Err(message) => {
            eprintln!("verdict: {message}");
            Exit::Usage
        }
    }
}

/// Prints what the checkers found, for people.
pub fn print_findings(verdict: &Verdict) {
    for check in verdict.checks.iter().filter(|check| check.count > 0) {
        let promise = if check.promise.forbidden {
            "forbidden"
        } else {
            "allowed"
        };
        let name = check.anomaly.name();
        say!(
            "  {name}: {} ({promise}: {})",
            check.count,
            check.promise.because
        );
        for anomaly in check.examples.iter().take(2) {
            say!("    {}: {}", anomaly.key, anomaly.explanation);
        }
    }
}

fn print_json(verdict: &Verdict) {
    let text = serde_json::to_string_pretty(verdict);
    say!("{}", text.expect("invariant: a verdict is plain data"));
}

fn path(arguments: &CheckArgs) -> PathBuf {
    if arguments.history.is_dir() {
        arguments.history.join("history.jsonl")
    } else {
        arguments.history.clone()
    }
}

fn settings(path: Option<&Path>) -> Result<Option<Settings>, String> {
    let Some(path) = path else { return Ok(None) };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let settings = serde_json::from_str(&text).map_err(|error| {
        format!(
            "{shown}:{}: {error}; write {{\"acks\":\"all\",…}}",
            error.line()
        )
    })?;
    Ok(Some(settings))
}

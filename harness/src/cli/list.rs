//! `verdict list`: one name a line, with a description.

use broker::config::sabotage::Sabotage;
use checkers::history::CommitMode;

use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::cli::{ListArgs, Listed};
use crate::evidence::ledger::{STATES, State};
use crate::plan::profile::PROFILES;
use crate::plan::script::named::SCRIPTS;

/// Prints the names.
pub fn list(arguments: &ListArgs) -> Exit {
    for (name, description) in entries(arguments.what) {
        say!("{name:<40} {description}");
    }
    Exit::Kept
}

fn entries(what: Listed) -> Vec<(&'static str, String)> {
    let described: Vec<(&str, &str)> = match what {
        Listed::Profiles => PROFILES.iter().map(|p| (p.name, p.description)).collect(),
        Listed::Scripts => SCRIPTS.iter().map(|s| (s.name, s.description)).collect(),
        Listed::Sabotage => Sabotage::ALL
            .iter()
            .map(|s| (s.name(), s.description()))
            .collect(),
        Listed::Faults => crate::nemesis::catalogue::FAULTS.to_vec(),
        Listed::Anomalies => checkers::anomaly::list().collect(),
        Listed::Ledger => {
            let told = |state: &State| format!("{}: {}", state.description, state.recognised());
            return STATES.iter().map(|s| (s.name, told(s))).collect();
        }
        Listed::Modes => CommitMode::ALL
            .iter()
            .map(|mode| (mode.name(), mode.description()))
            .collect(),
    };
    let owned = |(name, description): (_, &str)| (name, description.to_owned());
    described.into_iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_names_and_descriptions() {
        for what in [
            Listed::Profiles,
            Listed::Scripts,
            Listed::Faults,
            Listed::Anomalies,
            Listed::Sabotage,
            Listed::Modes,
            Listed::Ledger,
        ] {
            let entries = entries(what);
            assert!(!entries.is_empty(), "{what:?}");
            for (name, description) in entries {
                assert!(!name.contains(char::is_whitespace), "{name}");
                assert!(
                    !description.contains('\n') && !description.is_empty(),
                    "{name}"
                );
            }
        }
    }
}

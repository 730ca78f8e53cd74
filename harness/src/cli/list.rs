//! `verdict list`: one name a line, with a description.

use broker::config::sabotage::Sabotage;
use checkers::history::CommitMode;

use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::cli::{ListArgs, Listed};
use crate::evidence::ledger::{STATES, State};
use crate::matrix::{COLUMNS, Pack, Row};
use crate::plan::profile::PROFILES;
use crate::plan::script::named::SCRIPTS;

/// Prints the names.
pub fn list(arguments: &ListArgs) -> Exit {
    for (name, description) in entries(arguments.what) {
        say!("{name:<40} {description}");
    }
    Exit::Kept
}

fn entries(what: Listed) -> Vec<(String, String)> {
    let own = |entries: Vec<(&str, &str)>| {
        let entries = entries.into_iter();
        entries
            .map(|(name, description)| (name.to_owned(), description.to_owned()))
            .collect()
    };
    match what {
        Listed::Profiles => own(PROFILES.iter().map(|p| (p.name, p.description)).collect()),
        Listed::Scripts => own(SCRIPTS.iter().map(|s| (s.name, s.description)).collect()),
        Listed::Sabotage => own(Sabotage::ALL
            .iter()
            .map(|s| (s.name(), s.description()))
            .collect()),
        Listed::Faults => own(crate::nemesis::catalogue::FAULTS.to_vec()),
        Listed::Anomalies => own(checkers::anomaly::list().collect()),
        Listed::Modes => own(CommitMode::ALL
            .iter()
            .map(|mode| (mode.name(), mode.description()))
            .collect()),
        Listed::Ledger => {
            let told = |state: &State| format!("{}: {}", state.description, state.recognised());
            let states = STATES.iter();
            states.map(|s| (s.name.to_owned(), told(s))).collect()
        }
        Listed::Columns => own(COLUMNS.iter().map(|c| (c.name, c.description)).collect()),
        Listed::Rows => {
            let rows = Row::all().into_iter();
            rows.map(|row| (row.to_string(), format!("of the pack {}", row.pack())))
                .collect()
        }
        Listed::Packs => {
            let words = |pack: &Pack| (pack.to_string(), format!("{} rows", pack.rows().len()));
            Pack::ALL.iter().map(words).collect()
        }
    }
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
            Listed::Columns,
            Listed::Rows,
            Listed::Packs,
        ] {
            let entries = entries(what);
            assert!(!entries.is_empty(), "{what:?}");
            // Those of the matrix are made of settings, and read as such.
            let is_of_settings = matches!(what, Listed::Rows | Listed::Packs);
            for (name, description) in entries {
                assert!(
                    is_of_settings || !name.contains(char::is_whitespace),
                    "{name}"
                );
                assert!(
                    !description.contains('\n') && !description.is_empty(),
                    "{name}"
                );
            }
        }
    }
}

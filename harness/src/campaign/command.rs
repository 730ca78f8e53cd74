//! The command that runs a unit again anywhere: units are drawn from their seeds, so that a finding
//! needs no stored file to be seen again.
//!
//! In: the line of a run. Out: a command to copy.
//! Invariant: the command draws the very plan of the unit, whatever kind it is of.

use crate::campaign::record::{RunRecord, UnitKind};

impl RunRecord {
    /// The command that draws the plan of this run again and runs it.
    pub fn command(&self) -> String {
        let Self { name, seed, .. } = self;
        let pack = self.pack.as_deref().unwrap_or_default();
        let which = match self.kind {
            UnitKind::Matrix => format!("--column {name} --pack \"{pack}\""),
            UnitKind::Swarm => "--swarm".to_owned(),
            UnitKind::Script => format!("--script {name}"),
            UnitKind::Canary => format!("--canary {name}"),
        };
        format!("verdict run {which} --seed {seed}")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::campaign::fixture::record;
    use crate::campaign::record::{RunRecord, UnitKind};
    use crate::campaign::selection::Selection;
    use crate::campaign::sequence::Sequence;
    use crate::campaign::share;
    use crate::campaign::unit::Unit;
    use crate::cli::exit::Exit;
    use crate::cli::{self, Command};
    use crate::plan::Plan;

    /// What a shell makes of a command: words, of which some are quoted.
    fn words(command: &str) -> Vec<OsString> {
        let mut words: Vec<String> = Vec::new();
        for (index, part) in command.split('"').enumerate() {
            match index % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words.into_iter().map(OsString::from).collect()
    }

    fn drawn(unit: &Unit) -> Plan {
        let record = RunRecord {
            kind: unit.kind,
            name: unit.name.clone(),
            pack: unit.pack.map(|pack| pack.to_string()),
            seed: unit.plan.seed,
            ..record(1, Exit::Broken)
        };
        let command = record.command();
        let cli = cli::parse(words(&command)).unwrap_or_else(|_| panic!("{command} is refused"));
        let Command::Run(arguments) = cli.command else {
            panic!("{command} is no run")
        };
        let plans = cli::run::plans(&arguments);
        let mut plans = plans.unwrap_or_else(|_| panic!("{command} has no plan"));
        assert_eq!(plans.len(), 1, "{command}");
        plans.remove(0)
    }

    #[test]
    fn the_command_of_a_unit_draws_its_very_plan() {
        let (sequence, _) = Sequence::new(7, &Selection::all(), share::CAMPAIGN);
        let units: Vec<Unit> = sequence.take(400).collect();
        for kind in UnitKind::ALL {
            let of_kind = || units.iter().filter(|unit| unit.kind == kind);
            let is_there = kind != UnitKind::Canary || cfg!(feature = "sabotage");
            assert_eq!(of_kind().count() > 5, is_there, "{kind:?}");
            for unit in of_kind() {
                assert_eq!(drawn(unit), unit.plan, "{}", unit.label());
            }
        }
    }
}

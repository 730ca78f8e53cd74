//! `verdict contract`: what a configuration promises under some faults, and how many replicas a
//! promise takes.
//!
//! In: settings and faults by name. Out: the lines of the contract that fit, in words or as JSON,
//! from the table that the checkers judge by.

use checkers::contract::{Contract, page, tolerance};
use checkers::history::{Acks, FaultClass, GroupSettings, Settings};
use serde_json::json;

use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::cli::{ContractArgs, Flush};

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Nobody,
    One,
    All,
}

/// What a fault by its name in the matrix does to a partition's replicas.
const FAULTS: [(&str, FaultClass, Whom); 20] = [
    ("client-kill", FaultClass::Client, Whom::Nobody),
    ("client-pause", FaultClass::Client, Whom::Nobody),
    ("group-churn", FaultClass::Client, Whom::Nobody),
    ("leader-kill", FaultClass::ProcessCrash, Whom::One),
    ("coordinator-kill", FaultClass::ProcessCrash, Whom::One),
    ("controller-kill", FaultClass::ProcessCrash, Whom::One),
    ("all-kill", FaultClass::ProcessCrash, Whom::All),
    ("pause", FaultClass::Pause, Whom::One),
    ("partition", FaultClass::Network, Whom::One),
    ("ack-lost", FaultClass::Network, Whom::Nobody),
    ("disk-stall", FaultClass::DiskStall, Whom::One),
    ("disk-error", FaultClass::Disk, Whom::One),
    ("disk-full", FaultClass::DiskFull, Whom::One),
    ("power-loss-one", FaultClass::PowerLoss, Whom::One),
    ("power-loss-all", FaultClass::PowerLoss, Whom::All),
    ("corruption", FaultClass::Corruption, Whom::One),
    ("wipe", FaultClass::Wipe, Whom::One),
    ("lying-disks", FaultClass::LyingDisk, Whom::All),
    ("reassignment", FaultClass::Membership, Whom::Nobody),
    ("min-isr-change", FaultClass::Membership, Whom::Nobody),
];

/// Prints the contract, or the answer of the planner.
pub fn contract(arguments: &ContractArgs) -> Exit {
    let printed = match arguments.survive {
        Some(failures) => plan(arguments, failures),
        None => promises(arguments),
    };
    match printed {
        Ok(()) => Exit::Kept,
        Err(message) => {
            eprintln!("verdict: {message}");
            Exit::Usage
        }
    }
}

fn promises(arguments: &ContractArgs) -> Result<(), String> {
    let contract = contract_of(arguments)?;
    let lines = contract.lines();
    let tolerated = contract.tolerated_failures();
    if arguments.json {
        say!(
            "{:#}",
            json!({
                "settings": contract.settings,
                "faults": arguments.faults,
                "tolerated-broker-failures": tolerated,
                "promises": lines,
            })
        );
        return Ok(());
    }
    say!("{}", words(&contract.settings, &arguments.faults));
    for line in lines {
        let answer = if line.answer.forbidden {
            "kept"
        } else {
            "free"
        };
        let anomalies = match line.anomalies.as_slice() {
            [] => String::new(),
            names => format!(" (or else: {})", names.join(", ")),
        };
        say!("{answer}  {}{anomalies}", line.promise);
        say!("      because {} [{}]", line.answer.because, line.source);
    }
    let Settings {
        replication_factor,
        min_insync_replicas,
        ..
    } = contract.settings;
    say!(
        "acks=all is served with {tolerated} of a partition's {replication_factor} replicas down, \
         and refused with one more (min.insync.replicas={min_insync_replicas})"
    );
    Ok(())
}

fn contract_of(arguments: &ContractArgs) -> Result<Contract, String> {
    let mode = arguments.mode.as_deref();
    let mode = mode.map(crate::cli::run::mode).transpose()?;
    let group = mode.map(|mode| GroupSettings {
        mode,
        ..GroupSettings::default()
    });
    let settings = Settings {
        acks: arguments.acks.into(),
        idempotence: Acks::from(arguments.acks) == Acks::All,
        replication_factor: arguments.replication_factor,
        min_insync_replicas: arguments.min_insync_replicas,
        unclean_leader_election: arguments.unclean,
        flush_every_message: arguments.flush == Flush::Every,
        group,
        ..Settings::default()
    };
    let copies = settings.replication_factor;
    let mut contract = Contract::new(settings);
    for (number, name) in arguments.faults.iter().enumerate() {
        if name == "none" {
            continue;
        }
        let (_, class, whom) = FAULTS.iter().find(|fault| fault.0 == name).ok_or_else(|| {
            let names: Vec<&str> = FAULTS.iter().map(|fault| fault.0).collect();
            format!(
                "no fault is called `{name}`; there are none, {}",
                names.join(", ")
            )
        })?;
        // The same fault named twice strikes two nodes.
        let same = arguments
            .faults
            .iter()
            .take(number)
            .filter(|other| *other == name);
        let first = 1 + same.count() as u32;
        let struck = match whom {
            Whom::Nobody => 1..1,
            Whom::One => first..first + 1,
            Whom::All => 1..copies + 1,
        };
        contract = contract.after(*class, struck.map(|id| format!("n{id}")));
    }
    Ok(contract)
}

fn words(settings: &Settings, faults: &[String]) -> String {
    let acks = match settings.acks {
        Acks::Zero => "0",
        Acks::One => "1",
        Acks::All => "all",
    };
    let flush = if settings.flush_every_message {
        "every message"
    } else {
        "never"
    };
    let group = settings.group.as_ref();
    let mode = group.map_or_else(String::new, |group| format!(", mode {}", group.mode.name()));
    let after = match faults {
        [] => "without faults".to_owned(),
        faults => format!("after {}", faults.join(", ")),
    };
    format!(
        "acks={acks}, replication factor {}, min.insync.replicas={}, flush {flush}{mode}; {after}",
        settings.replication_factor, settings.min_insync_replicas
    )
}

fn plan(arguments: &ContractArgs, failures: u32) -> Result<(), String> {
    let smallest = |availability| {
        tolerance::smallest(failures, availability).ok_or_else(|| {
            let most = tolerance::SURVIVED_MAX;
            format!("--survive {failures} is out of range; write 0 to {most}")
        })
    };
    let settings = smallest(arguments.availability)?;
    let Settings {
        replication_factor: copies,
        min_insync_replicas: in_sync,
        ..
    } = settings;
    let tolerated = tolerance::tolerated(copies, in_sync);
    if arguments.json {
        say!(
            "{:#}",
            json!({
                "survived-broker-failures": failures,
                "available-meanwhile": arguments.availability,
                "replication.factor": copies,
                "min.insync.replicas": in_sync,
                "acks": "all",
                "tolerated-broker-failures": tolerated,
            })
        );
        return Ok(());
    }
    say!(
        "replication factor {copies}, min.insync.replicas={in_sync}, acks=all: no acknowledged \
         record is lost when {} lost for ever",
        match failures {
            1 => "1 broker is".to_owned(),
            count => format!("{count} brokers are"),
        }
    );
    say!("      because every acknowledged record is on at least {in_sync} of them");
    say!(
        "      and acks=all is served with {tolerated} down: replication factor {copies} ≥ \
         min.insync.replicas {in_sync} + {tolerated} tolerated broker failures"
    );
    if tolerated < failures {
        let Settings {
            replication_factor,
            min_insync_replicas,
            ..
        } = smallest(true)?;
        say!(
            "to be served meanwhile, too (--availability): replication factor \
             {replication_factor}, min.insync.replicas={min_insync_replicas}"
        );
    }
    say!("{}", page::WEAKNESSES.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};
    use crate::matrix::COLUMNS;
    use checkers::anomaly::Kind;

    fn arguments(line: &str) -> ContractArgs {
        let line = format!("verdict contract {line}");
        let cli = parse(line.split_whitespace().map(Into::into)).expect("parses");
        match cli.command {
            Command::Contract(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_column_of_the_matrix_is_a_fault_that_can_be_asked_about() {
        for column in COLUMNS {
            let asked = arguments(&format!("--fault {}", column.name));
            assert!(contract_of(&asked).is_ok(), "{}", column.name);
        }
        let error = contract_of(&arguments("--fault fire")).expect_err("unknown");
        assert!(
            error.contains("no fault is called `fire`; there are none, client"),
            "{error}"
        );
    }

    #[test]
    fn settings_and_faults_decide_what_is_promised() {
        for (line, kept) in [
            ("", true),
            ("--fault power-loss-one", true),
            ("--fault power-loss-all", false),
            ("--fault power-loss-all --flush every", true),
            ("--fault wipe", true),
            ("--fault wipe --fault wipe", false),
            ("--fault wipe --fault wipe --min-isr 3", true),
            ("--fault leader-kill --acks 1", false),
            ("--fault leader-kill --acks 1 --rf 1 --min-isr 1", true),
            ("--acks 0", false),
            ("--fault partition --unclean", false),
        ] {
            let contract = contract_of(&arguments(line)).expect("reads");
            assert_eq!(contract.promise(Kind::LostWrite).forbidden, kept, "{line}");
        }
        let of_group = |line| contract_of(&arguments(line)).expect("reads").lines().len();
        assert!(of_group("--mode sync-after") > of_group(""));
    }

    #[test]
    fn the_planner_refuses_what_no_cluster_has() {
        assert_eq!(plan(&arguments("--survive 1"), 1), Ok(()));
        let error = plan(&arguments("--survive 9"), 9).expect_err("too many");
        assert_eq!(error, "--survive 9 is out of range; write 0 to 4");
    }
}

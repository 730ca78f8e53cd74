//! Campaigns for tests.

use std::collections::BTreeSet;

use checkers::history::Settings;
use checkers::verdict::{Validity, Verdict};

use crate::campaign::directory::{CAMPAIGN_FORMAT, Campaign, Stored};
use crate::campaign::record::{RunRecord, UnitKind};
use crate::campaign::shard::Shard;
use crate::campaign::signature::Signature;
use crate::cli::exit::Exit;
use crate::plan::{Plan, profile};
use crate::run::summary::{Liveness, Parts, Summary};
use crate::workload::stats::Counts;

/// A campaign over the whole matrix.
pub(crate) fn campaign() -> Campaign {
    let selection = crate::campaign::selection::Selection::all();
    Campaign {
        format: CAMPAIGN_FORMAT,
        command: "matrix".to_owned(),
        base_seed: 7,
        rows: selection.rows.iter().map(ToString::to_string).collect(),
        columns: selection
            .columns
            .iter()
            .map(|column| column.name.to_owned())
            .collect(),
        shard: Shard::WHOLE,
        shards: BTreeSet::new(),
        unended: BTreeSet::new(),
        binary: "0123456789abcdef".to_owned(),
        has_sabotage: false,
        started: "2026-11-30T12:00:00Z".to_owned(),
        not_exercised: Vec::new(),
    }
}

/// What a campaign directory with these records holds.
pub(super) fn stored(records: Vec<RunRecord>) -> Stored {
    Stored {
        campaign: campaign(),
        records,
        replays: Vec::new(),
    }
}

/// A finding with this id.
pub(crate) fn signature(id: &str) -> Signature {
    Signature {
        id: id.to_owned(),
        anomaly: "commit-lost".to_owned(),
        promise: "a commit stays".to_owned(),
        shape: "commit ok → read before it".to_owned(),
        faults: Vec::new(),
    }
}

/// What a run says that proved nothing.
pub(super) fn summary() -> Summary {
    let profile = profile::find("kill").expect("a profile");
    let reason = "no clients".to_owned();
    Summary::conclude(Parts {
        plan: &Plan::draw(1, profile),
        client: String::new(),
        duration_ms: 1,
        counts: Counts::default(),
        liveness: Liveness::NotReached { reason },
        rows: Vec::new(),
        is_harness_fault: false,
        deaths: Vec::new(),
        faults: Vec::new(),
        verdict: Verdict {
            validity: Validity::Inconclusive,
            sentence: String::new(),
            reasons: Vec::new(),
            settings: Settings::default(),
            faults: BTreeSet::new(),
            counts: checkers::verdict::Counts::default(),
            checks: Vec::new(),
            available_after_heal: None,
            silenced: None,
        },
        reproduce: String::new(),
    })
}

/// A swarm's run that ended in this way.
pub(crate) fn record(number: u64, exit: Exit) -> RunRecord {
    RunRecord {
        unit: format!("{number:016x}"),
        kind: UnitKind::Swarm,
        name: "default".to_owned(),
        pack: None,
        seed: number,
        started: format!("2026-11-30T12:{:02}:00Z", number % 60),
        duration_ms: 10_000,
        exit_code: exit.code(),
        sentence: "It ended.".to_owned(),
        faults: Vec::new(),
        cells: Vec::new(),
        reached: Vec::new(),
        findings: Vec::new(),
        caught: None,
        replay_of: None,
        kept: None,
        binary: "0123456789abcdef".to_owned(),
    }
}

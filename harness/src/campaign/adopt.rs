//! Runs that ended while nobody was left to note it: a later sitting takes over their verdicts.
//!
//! In: `work/<unit>/`, where a sitting says what it begins. Out: the unit and how its run ended.
//! Invariant: only what was judged to its end counts, and only for the plan that it was judged by:
//! the id of a unit is a digest over its plan.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::campaign::execute::{self, Ending, Ran};
use crate::campaign::record::UnitKind;
use crate::campaign::unit::Unit;
use crate::plan::Plan;
use crate::report;
use crate::run::store::Store;
use crate::run::summary::{Liveness, Summary};

/// What a sitting says of a run that it begins: `unit.json`, beside what the run leaves.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    kind: UnitKind,
    name: String,
    pack: Option<String>,
    started: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay_of: Option<ReplayOf>,
}

/// Which replay a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayOf {
    /// The unit that is run again; a replay that was stored has an id of its own.
    pub unit: String,
    /// The id of the signature that is looked for.
    pub signature: String,
    /// The number of the replay, from 0.
    pub number: u64,
}

/// A run that was judged, and has no line.
#[derive(Debug)]
pub struct Left {
    /// The unit.
    pub unit: Unit,
    /// How its run ended.
    pub ran: Ran,
    /// Which replay it is, if it is one.
    pub replay_of: Option<ReplayOf>,
}

const FILE: &str = "unit.json";

/// Says below `work` that the run of `unit` begins at `started`.
pub fn begin(
    work: &Path,
    unit: &Unit,
    replay_of: Option<&ReplayOf>,
    started: &str,
) -> io::Result<()> {
    let begun = Begun {
        kind: unit.kind,
        name: unit.name.clone(),
        pack: unit.pack.map(|pack| pack.to_string()),
        started: started.to_owned(),
        replay_of: replay_of.cloned(),
    };
    fs::write(work.join(FILE), serde_json::to_string(&begun)?)
}

/// The unit whose run left `work`, and its end, if it was judged. Its result directory may have
/// been moved to `kept` before its line was written.
pub fn finished(work: &Path, kept: &Path) -> Option<Left> {
    let text = fs::read_to_string(work.join(FILE)).ok()?;
    let begun: Begun = serde_json::from_str(&text).ok()?;
    let result = fs::canonicalize(work.join(execute::LATEST)).or_else(|_| fs::canonicalize(kept));
    let result = result.ok()?;
    let plan = Plan::load(&result.join("plan.json")).ok()?;
    let pack = match &begun.pack {
        Some(pack) => Some(pack.parse().ok()?),
        None => None,
    };
    let unit = Unit::new(begun.kind, &begun.name, pack, plan);
    let name = match &begun.replay_of {
        Some(_) => replay_name(&unit),
        None => unit.id.clone(),
    };
    if work.file_name()?.to_str()? != name {
        return None;
    }
    let (summary, reached) = execute::read(&result)?;
    is_judged(&summary).then(|| {
        if !result.join("report.html").is_file() {
            // It died between its verdict and its page, which changes nothing of the verdict.
            let _ = report::write_again(&Store::open(&result));
        }
        let ran = Ran {
            started: begun.started,
            duration_ms: summary.duration_ms,
            ending: Ending::Finished { summary, reached },
            result: Some(result),
        };
        let replay_of = begun.replay_of;
        Left {
            unit,
            ran,
            replay_of,
        }
    })
}

/// The name at work of a replay of `unit`.
pub fn replay_name(unit: &Unit) -> String {
    format!("replay-{}", unit.id)
}

/// A run that was cut short says nothing, unless it found something before.
fn is_judged(summary: &Summary) -> bool {
    summary.is_violation() || !matches!(summary.liveness, Liveness::NotReached { .. })
}

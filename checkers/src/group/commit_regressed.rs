//! `commit-regressed`: two reads, one after the other, saw the committed offset go back, and no
//! commit can have set it back in between.
//!
//! Also the commits in doubt are bound by this: once seen, they must stay.

use crate::group::Share;
use crate::group::commit_lost::{offset, reader};
use crate::group::register::Read;
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let register = share.register();
    for read in &register.reads {
        if let Some(before) = register.went_back(read) {
            findings.report(read.until, || finding(share, before, read));
        }
    }
}

fn finding(share: &Share<'_>, before: &Read, read: &Read) -> Finding {
    let (key, group) = (share.key(), &share.group.name);
    let (high, low) = (offset(before.value), offset(read.value));
    let witness = vec![
        Seen::new(before.until, format!("finds {high} committed")),
        Seen::new(read.until, format!("finds {low} committed")),
    ];
    let explanation = format!(
        "the committed offset of {key} in group {group} went back: it was {}, and {} later {} \
         found {low}, which nobody can have committed in between",
        before.value,
        share.apart(before.until, read.until),
        reader(share, read),
    );
    Finding {
        offsets: (read.value.max(0), before.value),
        witness,
        explanation,
    }
}

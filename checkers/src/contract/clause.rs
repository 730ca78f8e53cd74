//! The grammar of the table: a promise is a list of clauses, the first that fits decides.
//!
//! In: the clauses of a promise, and the situation of a run. Out: forbidden or allowed, and why.
//! Invariant: the last clause of every list fits always, so that there is an answer for every run.

use crate::anomaly::Kind;
use crate::contract::Promise;
use crate::contract::situation::Situation;

/// What is promised about some anomalies.
pub(super) struct Promised {
    /// The promise at its best, in words.
    pub(super) words: &'static str,
    /// The anomalies that would break it.
    pub(super) kinds: &'static [Kind],
    /// The first that fits decides.
    pub(super) clauses: &'static [Clause],
}

/// One line of the table.
pub(super) struct Clause {
    /// When it fits.
    pub(super) given: Given,
    /// Whether the anomaly then breaks the contract.
    pub(super) forbidden: bool,
    /// Why; a word in braces stands for what the situation says.
    pub(super) because: &'static str,
    /// Where that comes from.
    pub(super) source: &'static str,
}

/// A condition of a clause.
#[derive(Clone, Copy)]
pub(super) struct Given {
    /// It in words, after "if".
    pub(super) words: &'static str,
    /// Whether it holds.
    pub(super) holds: fn(&Situation<'_>) -> bool,
}

/// The condition of the last clause.
pub(super) const OTHERWISE: Given = Given {
    words: "otherwise",
    holds: |_| true,
};

/// A clause that keeps its promise.
pub(super) const fn kept(given: Given, because: &'static str, source: &'static str) -> Clause {
    Clause {
        given,
        forbidden: true,
        because,
        source,
    }
}

/// A clause that promises nothing.
pub(super) const fn free(given: Given, because: &'static str, source: &'static str) -> Clause {
    Clause {
        given,
        forbidden: false,
        because,
        source,
    }
}

/// The clause that fits.
pub(super) fn fitting<'c>(clauses: &'c [Clause], situation: &Situation<'_>) -> &'c Clause {
    let mut clauses = clauses.iter();
    let fits = clauses.find(|clause| (clause.given.holds)(situation));
    fits.expect("invariant: the last clause always fits")
}

/// What the clauses say in this situation.
pub(super) fn decide(clauses: &[Clause], situation: &Situation<'_>) -> Promise {
    let clause = fitting(clauses, situation);
    Promise {
        forbidden: clause.forbidden,
        because: situation.fill(clause.because),
    }
}

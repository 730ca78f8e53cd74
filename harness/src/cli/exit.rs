//! The exit codes of `verdict`, and which of several prevails.

use std::process::ExitCode;

/// How the program ends. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All promises were kept.
    Kept = 0,
    /// The command line, a plan or a history is not usable.
    Usage = 2,
    /// A promise was broken.
    Broken = 10,
    /// The cluster was not available again within the deadline after healing.
    Unavailable = 11,
    /// A fault had no effect, or nothing ran: the run proves nothing.
    Vacuous = 12,
    /// The checkers could not decide.
    Inconclusive = 13,
    /// This machine does not allow what the run needs; `verdict doctor` says what.
    MachineCannot = 20,
    /// The harness itself failed.
    HarnessFault = 21,
}

impl Exit {
    /// The number that the process exits with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The exit of a number that a child process returned; anything unknown is a harness fault.
    pub fn from_code(code: i32) -> Self {
        Self::BY_SEVERITY
            .into_iter()
            .find(|exit| i32::from(exit.code()) == code)
            .unwrap_or(Self::HarnessFault)
    }

    /// The one of the two that the whole ends with: a found violation outranks everything.
    pub fn worst(self, other: Self) -> Self {
        Self::BY_SEVERITY
            .into_iter()
            .find(|&exit| exit == self || exit == other)
            .unwrap_or(self)
    }

    /// Its place among all, from 0 for the one that outranks every other.
    pub fn rank(self) -> usize {
        let place = Self::BY_SEVERITY.into_iter().position(|exit| exit == self);
        place.unwrap_or(Self::BY_SEVERITY.len())
    }

    /// One word for summaries.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Usage => "usage",
            Self::Broken => "broken",
            Self::Unavailable => "unavailable",
            Self::Vacuous => "vacuous",
            Self::Inconclusive => "inconclusive",
            Self::MachineCannot => "machine cannot",
            Self::HarnessFault => "harness fault",
        }
    }

    const BY_SEVERITY: [Self; 8] = [
        Self::Broken,
        Self::Unavailable,
        Self::HarnessFault,
        Self::MachineCannot,
        Self::Usage,
        Self::Inconclusive,
        Self::Vacuous,
        Self::Kept,
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_found_violation_outranks_everything() {
        for exit in Exit::BY_SEVERITY {
            assert_eq!(exit.worst(Exit::Broken), Exit::Broken);
            assert_eq!(Exit::Broken.worst(exit), Exit::Broken);
            assert_eq!(exit.worst(Exit::Kept), exit);
        }
    }

    #[test]
    fn every_number_leads_back_to_its_exit() {
        for exit in Exit::BY_SEVERITY {
            assert_eq!(Exit::from_code(i32::from(exit.code())), exit);
        }
        assert_eq!(Exit::from_code(101), Exit::HarnessFault);
    }
}

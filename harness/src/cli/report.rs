//! `verdict report`: the page of a finished run again, from its stored files.

use crate::cli::ReportArgs;
use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::report;
use crate::run::store::Store;

/// Reads the run, writes its page, prints where it is.
pub fn report(arguments: &ReportArgs) -> Exit {
    let store = Store::open(&arguments.run);
    match report::write_again(&store) {
        Ok(()) => {
            say!("{}", store.report().display());
            Exit::Kept
        }
        Err(error) => {
            eprintln!("verdict: {error}");
            Exit::Usage
        }
    }
}

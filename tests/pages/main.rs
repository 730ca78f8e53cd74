//! The pages in headless Chromium: they load without an error on the console, nothing sticks out at
//! 380 and 1600 pixels, they are legible by day, by night and on paper, and links lead somewhere.
//!
//! Run by `cargo test --test pages [NAME]`. Without Chromium it is skipped with the reason; with
//! `VERDICT_REQUIRE_BROWSER` set, that is a failure. `VERDICT_PAGES_SHOTS=DIR` stores pictures.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real processes and files are what these tests are about"
)]

mod browser;
mod inspect;
mod matrix;
mod sample;
mod site;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use browser::{Browser, Screen};
use inspect::inspect;
use libtest_mimic::{Arguments, Failed, Trial};
use site::Site;

const SCREENS: [Screen; 5] = [
    Screen::DESK,
    Screen::PHONE,
    Screen::NIGHT,
    Screen::NIGHT_PHONE,
    Screen::PAPER,
];

/// The pages by name, as files or as the server gives them out.
const PAGES: [(&str, &str); 7] = [
    ("campaign", "file:20261130-010000-campaign/index.html"),
    ("run", "file:20261130-080000-default-7/report.html"),
    ("compare", "file:compare.html"),
    ("serve_first", "/"),
    (
        "serve_search",
        "/search?anomaly=lost-write&cell=pause&seed=",
    ),
    ("serve_progress", "/live/20261130-010000-campaign"),
    ("serve_folder", "/files/20261130-010000-campaign/"),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A page computes in the browser or here, seldom in both.
    arguments
        .test_threads
        .get_or_insert(available_parallelism().map_or(1, usize::from));
    let world = Arc::new(World::default());
    let mut trials: Vec<Trial> = PAGES
        .into_iter()
        .map(|(name, address)| {
            in_browser(
                &world,
                &format!("{name}_is_fit_to_read"),
                move |browser, site| fit_to_read(browser, site, name, address),
            )
        })
        .collect();
    trials.extend([
        in_browser(&world, "the_matrix_scrolls_in_its_own_box", matrix::scrolls),
        in_browser(&world, "a_cell_leads_to_its_runs", matrix::leads_to_runs),
        in_browser(&world, "no_page_says_404_in_silence", site::missing_page),
        on_site(&world, "links_of_files_lead_to_files", site::links_of_files),
        on_site(
            &world,
            "served_links_answer_and_nothing_outside_does",
            site::served_links,
        ),
        Trial::test("a_page_of_12000_runs_is_at_most_2_mb", matrix::stays_small),
    ]);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What the trials share, each made by the first that needs it; the reason if it cannot be.
#[derive(Default)]
struct World {
    browser: OnceLock<Result<Browser, String>>,
    site: OnceLock<Result<Site, String>>,
}

impl World {
    fn browser(&self, path: &Path) -> Result<&Browser, Failed> {
        made(&self.browser, || Browser::start(path))
    }

    fn site(&self) -> Result<&Site, Failed> {
        made(&self.site, Site::open)
    }
}

fn made<T>(
    place: &OnceLock<Result<T, String>>,
    make: impl FnOnce() -> Result<T, Failed>,
) -> Result<&T, Failed> {
    let made = place.get_or_init(|| make().map_err(|error| format!("{error:?}")));
    made.as_ref().map_err(|error| error.as_str().into())
}

/// A trial that needs the browser.
fn in_browser(
    world: &Arc<World>,
    name: &str,
    run: impl FnOnce(&Browser, &Site) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let world = Arc::clone(world);
    Trial::test(name, move || {
        let path = match browser::find() {
            Ok(path) => path,
            Err(missing) if std::env::var_os("VERDICT_REQUIRE_BROWSER").is_some() => {
                return Err(missing.into());
            }
            Err(missing) => {
                println!("skipped: {missing}");
                return Ok(());
            }
        };
        run(world.browser(&path)?, world.site()?)
    })
}

/// A trial that needs the results and their server only.
fn on_site(world: &Arc<World>, name: &str, run: fn(&Site) -> Result<(), Failed>) -> Trial {
    let world = Arc::clone(world);
    Trial::test(name, move || run(world.site()?))
}

fn fit_to_read(browser: &Browser, site: &Site, name: &str, page: &str) -> Result<(), Failed> {
    let mut complaints = Vec::new();
    let view = browser.open(&site.address(page), Screen::DESK)?;
    for screen in SCREENS {
        view.show(screen)?;
        view.shoot(&format!("{name}-{}", screen.name()))?;
        if let Err(failed) = inspect(&view) {
            let words = failed.message().unwrap_or_default();
            complaints.push(format!("{}:\n{words}", screen.name()));
        }
    }
    inspect::demand(complaints.is_empty(), &complaints.join("\n"))
}

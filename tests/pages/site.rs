//! A results directory and the server that shows it.
//!
//! In: nothing. Out: addresses of pages, and what the server answers to what anybody may send.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use libtest_mimic::Failed;
use tempfile::TempDir;

use crate::browser::{Browser, Screen};
use crate::inspect::demand;
use crate::sample;

/// A results directory that is being served; it goes away with this value.
pub(crate) struct Site {
    results: TempDir,
    server: SocketAddr,
}

impl Site {
    /// Makes the directory and serves it on a free port.
    pub(crate) fn open() -> Result<Self, Failed> {
        let results = tempfile::tempdir()?;
        sample::results(results.path())?;
        let root = results.path().canonicalize()?;
        let (tell, told) = mpsc::channel();
        thread::spawn(move || -> std::io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                let _ = tell.send(listener.local_addr()?);
                harness::serve::serve_on(listener, root).await
            })
        });
        let server = told.recv()?;
        Ok(Self { results, server })
    }

    /// The address of a page: `file:` and a place in the results, or a path of the server.
    pub(crate) fn address(&self, page: &str) -> String {
        match page.strip_prefix("file:") {
            Some(place) => format!("file://{}/{place}", self.results.path().display()),
            None => format!("http://{}{page}", self.server),
        }
    }

    /// What the server answers to a path that is sent as it stands: the status and the rest.
    fn get(&self, path: &str) -> Result<(u16, String), Failed> {
        let mut stream = TcpStream::connect(self.server)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Ok((status.ok_or("no status in the answer")?, text))
    }
}

/// The targets of all links of a page that lead away from it.
fn links(page: &str) -> BTreeSet<String> {
    let targets = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    targets
        .filter(|target| !target.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// A page that is not there says so, and looks like the others.
pub(crate) fn missing_page(browser: &Browser, site: &Site) -> Result<(), Failed> {
    let view = browser.open(&site.address("/files/nowhere.html"), Screen::PHONE)?;
    let text: String = view.ask("document.body.innerText")?;
    demand(text.contains("no file `nowhere.html`"), &text)?;
    // The browser itself reports the status on the console.
    let only_status = view.console().iter().all(|line| line.contains("404"));
    demand(only_status, &view.console().join("\n"))?;
    let served = "/files/20261130-010000-campaign/index.html";
    let view = browser.open(&site.address(served), Screen::DESK)?;
    let cells: usize = view.ask("document.querySelectorAll('.grid td').length")?;
    demand(
        cells > 1_000,
        &format!("{cells} cells of the served campaign"),
    )?;
    // What the content policy forbids is an error on the console.
    demand(view.console().is_empty(), &view.console().join("\n"))
}

/// Links of the campaign page, read from the disk, lead to files that are there.
pub(crate) fn links_of_files(site: &Site) -> Result<(), Failed> {
    let folder = site.results.path().join(sample::CAMPAIGN);
    let links = links(&fs::read_to_string(folder.join("index.html"))?);
    demand(links.len() > 4, &format!("only {links:?}"))?;
    let lost = links
        .iter()
        .filter(|link| !folder.join(Path::new(link)).is_file());
    let lost: Vec<&String> = lost.collect();
    demand(lost.is_empty(), &format!("lead nowhere: {lost:?}"))
}

/// Every link of the first page answers; nothing outside the results is given out.
pub(crate) fn served_links(site: &Site) -> Result<(), Failed> {
    fs::write(site.results.path().join("note.log"), "a line")?;
    let secret = tempfile::NamedTempFile::new()?;
    fs::write(secret.path(), "the secret")?;
    let (_, first) = site.get("/")?;
    let targets = links(&first);
    demand(targets.len() > 10, &format!("only {targets:?}"))?;
    for target in &targets {
        let (status, _) = site.get(target)?;
        demand(status == 200, &format!("{target}: {status}"))?;
    }
    let (_, log) = site.get("/files/note.log")?;
    demand(log.contains("text/plain") && log.contains("nosniff"), &log)?;
    let place = secret.path().display();
    for path in [
        format!("/files/../../../../../../../..{place}"),
        format!("/files/{place}"),
        format!("/files/..%2f..%2f..%2f..%2f..%2f..{place}"),
        format!("/files/%2e%2e/%2e%2e/%2e%2e/%2e%2e{place}"),
        format!("/live/..%2f..%2f..{place}"),
        "/files/%00".to_owned(),
        "/nothing".to_owned(),
    ] {
        let (status, text) = site.get(&path)?;
        demand(
            status == 404 && !text.contains("the secret"),
            &format!("{path}: {status}"),
        )?;
        demand(
            text.contains("All results"),
            &format!("{path} is refused in words"),
        )?;
    }
    Ok(())
}

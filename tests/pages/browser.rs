//! Headless Chromium: pages opened at a size, in a theme, on a medium, and asked questions.
//!
//! In: an address and a [`Screen`]. Out: what scripts that we evaluate see, and what the page put
//! on the console.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headless_chrome::protocol::cdp::Emulation::{
    MediaFeature, SetDeviceMetricsOverride, SetEmulatedMedia,
};
use headless_chrome::protocol::cdp::Log::LogEntryLevel;
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption;
use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::{LaunchOptions, Tab};
use libtest_mimic::Failed;
use serde::de::DeserializeOwned;

/// Where Debian and others put it.
const PLACES: [&str; 4] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/bin/google-chrome-stable",
];
/// It must stay at home: everything that it would fetch by itself is off.
const FLAGS: [&str; 5] = [
    "--disable-quic",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--no-default-browser-check",
    "--hide-scrollbars",
];
/// A busy machine takes its time; nothing here waits for the time to pass.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
    pub(crate) is_print: bool,
}

impl Screen {
    pub(crate) const DESK: Self = Self {
        width: 1600,
        is_dark: false,
        is_print: false,
    };
    pub(crate) const PHONE: Self = Self {
        width: 380,
        ..Self::DESK
    };
    pub(crate) const NIGHT: Self = Self {
        is_dark: true,
        ..Self::DESK
    };
    pub(crate) const NIGHT_PHONE: Self = Self {
        width: 380,
        ..Self::NIGHT
    };
    /// A4 across without its margins, at 96 dots an inch.
    pub(crate) const PAPER: Self = Self {
        width: 1047,
        is_print: true,
        ..Self::DESK
    };

    /// A name for files.
    pub(crate) fn name(self) -> String {
        let theme = if self.is_dark { "dark" } else { "light" };
        let medium = if self.is_print { "-print" } else { "" };
        format!("{}-{theme}{medium}", self.width)
    }
}

/// Where Chromium is, or why not.
pub(crate) fn find() -> Result<PathBuf, String> {
    let named = std::env::var_os("VERDICT_CHROMIUM").map(PathBuf::from);
    let known = PLACES.iter().map(PathBuf::from);
    let mut places = named.into_iter().chain(known);
    let found = places.find(|place| place.is_file());
    found.ok_or_else(|| format!("no Chromium in {PLACES:?}; install it, or set VERDICT_CHROMIUM"))
}

/// A running Chromium.
pub(crate) struct Browser(headless_chrome::Browser);

/// A page that is open.
pub(crate) struct View {
    tab: Arc<Tab>,
    console: Arc<Mutex<Vec<String>>>,
}

impl Browser {
    /// Starts the one at `path`.
    pub(crate) fn start(path: &Path) -> Result<Self, Failed> {
        let options = LaunchOptions::default_builder()
            .path(Some(path.to_owned()))
            .sandbox(false)
            .window_size(Some((1600, 1200)))
            .idle_browser_timeout(PATIENCE)
            .args(FLAGS.iter().map(OsStr::new).collect())
            .build()?;
        Ok(Self(headless_chrome::Browser::new(options)?))
    }

    /// Opens `address` as `screen` says.
    pub(crate) fn open(&self, address: &str, screen: Screen) -> Result<View, Failed> {
        let tab = self.0.new_tab()?;
        tab.set_default_timeout(PATIENCE);
        let console = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&console);
        tab.add_event_listener(Arc::new(move |event: &Event| {
            if let (Some(line), Ok(mut lines)) = (complaint(event), lines.lock()) {
                lines.push(line);
            }
        }))?;
        tab.enable_log()?;
        tab.enable_runtime()?;
        let view = View { tab, console };
        view.show(screen)?;
        view.tab.navigate_to(address)?.wait_until_navigated()?;
        Ok(view)
    }
}

impl View {
    /// Shows the page as `screen` says from now on.
    pub(crate) fn show(&self, screen: Screen) -> Result<(), Failed> {
        self.tab.call_method(metrics(screen))?;
        self.tab.call_method(SetEmulatedMedia {
            media: Some(if screen.is_print { "print" } else { "screen" }.to_owned()),
            features: Some(vec![MediaFeature {
                name: "prefers-color-scheme".to_owned(),
                value: if screen.is_dark { "dark" } else { "light" }.to_owned(),
            }]),
        })?;
        Ok(())
    }

    /// The value of an expression, sent as JSON.
    pub(crate) fn ask<T: DeserializeOwned>(&self, expression: &str) -> Result<T, Failed> {
        let answer = self
            .tab
            .evaluate(&format!("JSON.stringify({expression})"), false)?;
        let text = answer.value.as_ref().and_then(serde_json::Value::as_str);
        let text = text.ok_or_else(|| format!("no answer to {expression}: {answer:?}"))?;
        Ok(serde_json::from_str(text)?)
    }

    /// What the page put on the console as an error.
    pub(crate) fn console(&self) -> Vec<String> {
        self.console
            .lock()
            .map(|lines| lines.clone())
            .unwrap_or_default()
    }

    /// Stores what is seen, if `VERDICT_PAGES_SHOTS` names a folder.
    pub(crate) fn shoot(&self, name: &str) -> Result<(), Failed> {
        let Some(folder) = std::env::var_os("VERDICT_PAGES_SHOTS") else {
            return Ok(());
        };
        let png = CaptureScreenshotFormatOption::Png;
        let picture = self.tab.capture_screenshot(png, None, None, true)?;
        Ok(std::fs::write(
            PathBuf::from(folder).join(format!("{name}.png")),
            picture,
        )?)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // A tab that cannot be closed goes with the browser.
        let _ = self.tab.close(false);
    }
}

fn metrics(screen: Screen) -> SetDeviceMetricsOverride {
    SetDeviceMetricsOverride {
        width: screen.width,
        height: if screen.width < 600 { 800 } else { 1200 },
        device_scale_factor: 1.0,
        mobile: false,
        scale: None,
        screen_width: None,
        screen_height: None,
        position_x: None,
        position_y: None,
        dont_set_visible_size: None,
        screen_orientation: None,
        viewport: None,
        display_feature: None,
        device_posture: None,
    }
}

/// What an event says is wrong with the page.
fn complaint(event: &Event) -> Option<String> {
    match event {
        Event::RuntimeExceptionThrown(thrown) => Some(format!("{:?}", thrown.params)),
        Event::LogEntryAdded(added) if added.params.entry.level == LogEntryLevel::Error => {
            Some(added.params.entry.text.clone())
        }
        _ => None,
    }
}

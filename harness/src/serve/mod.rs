//! `verdict serve`: the pages of a results directory over HTTP, for people on this machine.
//!
//! In: a results directory and an address. Out: lists of campaigns and runs, the progress of a
//! campaign that is running, a search, and the files themselves.
//! Invariant: it only reads, and only below the results directory.

pub mod files;
mod find;
mod pages;
mod search;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as Segment, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::serve::files::Found;
use crate::serve::search::Question;

/// What pages may do: show themselves. Logs and histories may hold anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Arguments of `verdict serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The directory of campaigns and runs
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// The port; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// The address; other machines can read everything if it is not a loopback one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub address: IpAddr,
}

/// Serves until Ctrl-C or SIGTERM.
pub fn serve(arguments: &ServeArgs) -> Exit {
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(until_interrupted(arguments)));
    match served {
        Ok(()) => Exit::Kept,
        Err(error) => {
            eprintln!("verdict: {error}");
            Exit::Usage
        }
    }
}

async fn until_interrupted(arguments: &ServeArgs) -> io::Result<()> {
    let results = &arguments.results;
    let root = results.canonicalize().map_err(|error| {
        let path = results.display();
        io::Error::other(format!(
            "{path}: {error}; name the directory with --results"
        ))
    })?;
    let address = SocketAddr::new(arguments.address, arguments.port);
    let listener = TcpListener::bind(address).await.map_err(|error| {
        io::Error::other(format!(
            "{address}: {error}; choose another --port or --address"
        ))
    })?;
    say!(
        "http://{}/ shows {}; Ctrl-C ends it",
        listener.local_addr()?,
        results.display()
    );
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = serve_on(listener, root) => served,
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

/// Serves the results below `root` for ever.
pub async fn serve_on(listener: TcpListener, root: PathBuf) -> io::Result<()> {
    axum::serve(listener, router(root)).await
}

fn router(root: PathBuf) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/search", get(answer))
        .route("/live/{campaign}", get(live))
        .route("/files", get(|| async { Redirect::permanent("/files/") }))
        .route("/files/", get(top))
        .route("/files/{*path}", get(file))
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .fallback(|| async { missing("no page has this address") })
        .layer(map_response(|mut response: Response| async move {
            let headers = response.headers_mut();
            let fixed = HeaderValue::from_static;
            headers.insert(header::CONTENT_SECURITY_POLICY, fixed(POLICY));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
            headers.insert(header::CACHE_CONTROL, fixed("no-cache"));
            response
        }))
        .with_state(Arc::new(root))
}

type Root = State<Arc<PathBuf>>;

async fn index(State(root): Root) -> Response {
    aside(root, |root| page(pages::index(root))).await
}

async fn answer(State(root): Root, Query(question): Query<Question>) -> Response {
    aside(root, move |root| page(pages::answer(root, &question))).await
}

async fn live(State(root): Root, Segment(campaign): Segment<String>) -> Response {
    aside(root, move |root| match pages::live(root, &campaign) {
        Some(text) => page(text),
        None => missing(&format!("no campaign here is called `{campaign}`")),
    })
    .await
}

async fn top(root: Root) -> Response {
    file(root, Segment(String::new())).await
}

async fn file(State(root): Root, Segment(path): Segment<String>) -> Response {
    aside(root, move |root| match files::find(root, &path) {
        Found::File {
            content_type,
            bytes,
        } => ([(header::CONTENT_TYPE, content_type)], bytes).into_response(),
        Found::Folder { names } => page(pages::folder(&path, &names)),
        Found::Slash => Redirect::permanent(&format!("/files/{path}/")).into_response(),
        Found::TooLarge { path } => failure(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!(
                "{} is too large for a page; open it where it lies",
                path.display()
            ),
        ),
        Found::Nothing => missing(&format!("the results have no file `{path}`")),
    })
    .await
}

/// Does what waits for files on a thread of its own, so that nobody else waits.
async fn aside(
    root: Arc<PathBuf>,
    work: impl FnOnce(&Path) -> Response + Send + 'static,
) -> Response {
    let done = tokio::task::spawn_blocking(move || work(&root)).await;
    done.unwrap_or_else(|error| failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
}

fn page(text: Result<String, askama::Error>) -> Response {
    match text {
        Ok(text) => Html(text).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn missing(words: &str) -> Response {
    failure(StatusCode::NOT_FOUND, words)
}

fn failure(status: StatusCode, words: &str) -> Response {
    match pages::failure(words) {
        Ok(text) => (status, Html(text)).into_response(),
        Err(_) => (status, words.to_owned()).into_response(),
    }
}

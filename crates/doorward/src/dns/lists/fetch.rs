//! Fetching a list, and its copy on disk.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use doorward_policy::dns::{BlockList, ListId};
use reqwest::{
    Client, StatusCode,
    header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
    redirect::Policy,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::super::blocks::Builder;
use crate::{clock::now_ms, fetch::describe, tls};

/// Longest list, in bytes.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// Longest wait for a connection, for the next piece, and for all of it.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
const READ_WAIT: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(300);
/// Longest header that is kept, in bytes.
const MOST_HEADER: usize = 512;
const MOST_REDIRECTS: usize = 5;

/// What a look brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetched {
    /// It is as it was.
    Same,
    /// Another copy.
    New,
}

/// What is kept beside a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
    pub(super) fetched_ms: i64,
    pub(super) checked_ms: i64,
}

impl Meta {
    /// That of a list's copy, if there is one and it came from there.
    pub(super) fn read(folder: &Path, list: &BlockList) -> Option<Self> {
        let text = fs::read(meta(folder, list.id)).ok()?;
        let meta: Self = serde_json::from_slice(&text).ok()?;
        (meta.url == list.url && copy(folder, list.id).exists()).then_some(meta)
    }

    /// That of a copy that was just fetched.
    pub(super) fn of(list: &BlockList, now_ms: i64) -> Self {
        let url = list.url.clone();
        Self { url, etag: None, last_modified: None, fetched_ms: now_ms, checked_ms: now_ms }
    }

    pub(super) fn write(&self, folder: &Path, id: ListId) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let new = folder.join(format!("{}.json.new", id.0));
        fs::write(&new, text)?;
        fs::rename(new, meta(folder, id))
    }
}

/// Where the copy of a list is.
pub(super) fn copy(folder: &Path, id: ListId) -> PathBuf {
    folder.join(format!("{}.txt", id.0))
}

fn meta(folder: &Path, id: ListId) -> PathBuf {
    folder.join(format!("{}.json", id.0))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Removes the copies of lists that are not known.
pub(super) fn remove_others(folder: &Path, known: impl Fn(&ListId) -> bool) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        let Some((id, "txt" | "json" | "new" | "json.new")) = name.split_once('.') else { continue };
        if id.parse().is_ok_and(|id| !known(&ListId(id))) {
            drop(fs::remove_file(file.path()));
        }
    }
}

/// A client for lists. Redirects lead to HTTPS alone: whoever sits between would send us elsewhere, and inside.
fn client() -> Result<Client, reqwest::Error> {
    tls::install_provider();
    let policy = Policy::custom(|attempt| {
        if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("too many redirects")
        } else if attempt.url().scheme() != "https" {
            attempt.error("a redirect to http")
        } else {
            attempt.follow()
        }
    });
    Client::builder()
        .redirect(policy)
        .no_proxy()
        .connect_timeout(CONNECT_WAIT)
        .read_timeout(READ_WAIT)
        .timeout(WAIT)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Looks at a list, and keeps it if it is another.
///
/// # Errors
/// Why not, for the operator.
pub(super) async fn fetch(folder: &Path, list: &BlockList) -> Result<Fetched, String> {
    make_folder(folder).map_err(|error| disk(&error))?;
    let client = client().map_err(|error| describe(&error))?;
    let before = Meta::read(folder, list);
    let mut headers = HeaderMap::new();
    let mut ask = |name: HeaderName, value: Option<&String>| {
        let value = value.and_then(|value| HeaderValue::from_str(value).ok());
        value.into_iter().for_each(|value| _ = headers.insert(name.clone(), value));
    };
    if let Some(before) = &before {
        ask(IF_NONE_MATCH, before.etag.as_ref());
        ask(IF_MODIFIED_SINCE, before.last_modified.as_ref());
    }
    let response = client.get(&list.url).headers(headers).send().await.map_err(|error| describe(&error))?;
    let now = now_ms();
    match (response.status(), before) {
        (StatusCode::NOT_MODIFIED, Some(before)) => {
            let meta = Meta { checked_ms: now, ..before };
            meta.write(folder, list.id).map_err(|error| disk(&error))?;
            return Ok(Fetched::Same);
        }
        (StatusCode::OK, _) => {}
        (status, _) => return Err(format!("the server answered {status}")),
    }
    let kept = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let kept = |name| kept(name).filter(|value| value.len() <= MOST_HEADER).map(str::to_owned);
    let (etag, last_modified) = (kept(ETAG), kept(LAST_MODIFIED));
    let new = folder.join(format!("{}.new", list.id.0));
    let result = save(response, &new).await;
    if result.is_err() {
        drop(tokio::fs::remove_file(&new).await);
    }
    result?;
    fs::rename(&new, copy(folder, list.id)).map_err(|error| disk(&error))?;
    let meta = Meta { etag, last_modified, ..Meta::of(list, now) };
    meta.write(folder, list.id).map_err(|error| disk(&error))?;
    Ok(Fetched::New)
}

/// Writes a body to a file, and looks whether it is a list.
async fn save(mut response: reqwest::Response, new: &Path) -> Result<(), String> {
    let too_long = || format!("the list is longer than {} MiB", MOST_BYTES >> 20);
    if response.content_length().is_some_and(|length| length > MOST_BYTES) {
        return Err(too_long());
    }
    let mut file = tokio::fs::File::create(new).await.map_err(|error| disk(&error))?;
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
        bytes += chunk.len() as u64;
        if bytes > MOST_BYTES {
            return Err(too_long());
        }
        file.write_all(&chunk).await.map_err(|error| disk(&error))?;
    }
    file.sync_all().await.map_err(|error| disk(&error))?;
    drop(file);
    let new = new.to_owned();
    let is_list = tokio::task::spawn_blocking(move || Builder::has_name(io::BufReader::new(fs::File::open(new)?)));
    match is_list.await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("there is no name in it".to_owned()),
        Ok(Err(error)) => Err(disk(&error)),
        Err(_) => Err("it cannot be read".to_owned()),
    }
}

fn disk(error: &io::Error) -> String {
    format!("it cannot be kept on disk: {error}")
}

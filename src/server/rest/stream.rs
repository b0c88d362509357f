//! Events as they come, for as long as somebody reads them.
//!
//! A task reads a page, and hands it over when the one before has been taken: it holds two of them at most, and a slow
//! reader makes nobody else wait. At the end it waits for a ring that something was written, and looks by itself from time
//! to time: rings may be lost. It ends when the reader has gone, or is cut off for it takes nothing; when the
//! token is over or its owner is shut out; and when the service stops.

use std::{fmt::Write as _, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use warp::Reply;

use crate::{
    auth::Identity,
    server::{Shared, accept::Slot, problem::Code},
};

use super::{Ask, events::Source};

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// NDJSON: each on a line.
    Lines,
    /// Server-sent events.
    EventStream,
}

/// What of a stream is wanted.
pub(super) struct Wish {
    pub(super) format: Format,
    /// Only what comes after this.
    pub(super) after: u64,
    /// So many at most.
    pub(super) limit: Option<u64>,
    /// And nothing behind this, or behind the end as it is found; `None` to wait for more.
    pub(super) end: Option<u64>,
}

/// Events that are read at a time.
const PAGE: u64 = 500;
/// How often the log is read at most by one who has come to the end: what is written in between comes together.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes of a page that is surely not the last one, however few events it has.
const LONG: usize = 64 << 10;
/// How often one who waits looks whether they may still be here; and for what has rung, and cannot be read yet.
const LOOK: Duration = Duration::from_millis(200);

/// Begins to send.
pub(super) fn open(ask: &Ask, source: Source, wish: Wish) -> warp::reply::Response {
    let (parts, mut taken) = mpsc::channel(1);
    let content_type = match wish.format {
        Format::Lines => "application/x-ndjson",
        Format::EventStream => "text/event-stream",
    };
    let sender = Sender {
        shared: Arc::clone(&ask.shared),
        identity: ask.identity.clone(),
        parts,
        source,
        _slot: ask.slot.clone(),
    };
    ask.shared.sessions.spawn(sender.run(wish));
    let mut response = warp::reply::stream(stream::poll_fn(move |context| taken.poll_recv(context))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather what they pass on would keep it from those who wait for it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// For an `EventSource` that stands behind the end of the log: it learns nothing from a status, so an event says so.
pub(super) fn ahead(log_end: u64) -> warp::reply::Response {
    let said = format!("event: disconnect\ndata: {{\"reason\":\"ahead_of_log\",\"end\":{log_end}}}\n\n");
    let mut response = said.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Sender {
    shared: Arc<Shared>,
    identity: Identity,
    source: Source,
    parts: mpsc::Sender<io::Result<Bytes>>,
    /// It may be open for a moment longer than its connection.
    _slot: Slot,
}

/// Nobody takes what is sent.
struct Gone;

impl Sender {
    async fn run(self, wish: Wish) {
        let Wish { format, mut after, mut limit, end } = wish;
        let mut last_word = Instant::now();
        let (mut watch, mut rung) = (self.source.watch(&self.shared.log), None);
        loop {
            if let Some(reason) = self.is_over() {
                return self.end(format, reason).await;
            }
            let wanted = limit.unwrap_or(u64::MAX).min(PAGE);
            watch.forget();
            let began = Instant::now();
            let page = match self.source.page(&self.shared.log, after, usize::try_from(wanted).unwrap_or(1)).await {
                Ok(page) => page,
                Err(problem) if problem.code == Code::DocumentErased => {
                    return self.end(format, "document_erased").await;
                }
                Err(problem) => {
                    // Cut off, so that it does not look like the end.
                    let _gone = self.parts.send(Err(io::Error::other(problem.detail))).await;
                    return;
                }
            };
            let page: Vec<_> = page.into_iter().take_while(|(place, _)| end.is_none_or(|end| *place <= end)).collect();
            if let Some((place, _)) = page.last() {
                (after, rung) = (*place, None);
                limit = limit.map(|limit| limit - page.len() as u64);
                let mut text = String::new();
                for (place, event) in &page {
                    // Writing to a text does not fail.
                    let _ = match format {
                        Format::Lines => writeln!(text, "{event}"),
                        Format::EventStream => write!(text, "id: {place}\ndata: {event}\n\n"),
                    };
                }
                let is_last = (page.len() as u64) < wanted && text.len() < LONG;
                if self.send(text).await.is_err() || limit == Some(0) {
                    return;
                }
                last_word = Instant::now();
                if is_last && end.is_none() {
                    sleep_until(began + GATHER).await;
                }
                continue;
            }
            if end.is_some() {
                return;
            }
            // In the feed an event waits for those before it that are not committed yet.
            let is_coming = rung.is_some_and(|at: Instant| at.elapsed() < self.shared.settings.cluster.poll);
            let again = began + if is_coming { LOOK } else { self.shared.settings.cluster.poll };
            tokio::select! {
                () = watch.moved() => {
                    rung = matches!(self.source, Source::Feed).then(Instant::now);
                    sleep_until(began + GATHER).await;
                }
                waited = self.wait(again, &mut last_word, format) => if waited.is_err() { return },
            }
        }
    }

    /// Waits until then, or until nothing may be sent any more; gives signs of life.
    async fn wait(&self, until: Instant, last_word: &mut Instant, format: Format) -> Result<(), Gone> {
        while self.is_over().is_none() && Instant::now() < until {
            if last_word.elapsed() >= self.shared.settings.heartbeat.interval {
                // Whoever is gone without a word is found out by it.
                self.send(if format == Format::Lines { "\n" } else { ":\n\n" }.to_owned()).await?;
                *last_word = Instant::now();
            }
            tokio::select! {
                () = sleep_until(until.min(Instant::now() + LOOK)) => (),
                () = self.shared.stopping.cancelled() => (),
                () = self.parts.closed() => return Err(Gone),
            }
        }
        Ok(())
    }

    /// A reader of lines sees the end; an `EventSource` is told not to come again for nothing.
    async fn end(&self, format: Format, reason: &str) {
        if format == Format::EventStream {
            let _gone = self.send(format!("event: disconnect\ndata: {{\"reason\":\"{reason}\"}}\n\n")).await;
        }
    }

    async fn send(&self, text: String) -> Result<(), Gone> {
        let patience = self.shared.settings.heartbeat.timeout;
        match timeout(patience, self.parts.send(Ok(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Why nothing more may be sent.
    fn is_over(&self) -> Option<&'static str> {
        let Identity { user_id, token_id, expires_at, .. } = &self.identity;
        if self.shared.stopping.is_cancelled() {
            Some("server_restarting")
        } else if expires_at.is_some_and(|end| self.shared.clock.now() >= end) {
            Some("token_expired")
        } else if self.shared.shut_out_until(user_id, token_id.as_ref()).is_some() {
            Some("banned")
        } else {
            None
        }
    }
}

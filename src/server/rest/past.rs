//! What changed, and who wrote when.

use std::time::Duration;

use http::StatusCode;

use crate::{
    domain::{DocumentId, Version},
    history::{self, Session, When},
    protocol::{
        OpsJson,
        history::{AuthorJson, DiffJson, HistoryJson, SessionJson},
    },
    settings::parse_duration,
};

use super::{
    Ask,
    answer::{Answer, json},
    query::bad,
};

/// Sessions in a page, and at most.
pub(super) const PAGE: u64 = 50;
pub(super) const LARGEST_PAGE: u64 = 500;
/// A pause that ends a session, where the asker names no other.
const PAUSE: Duration = Duration::from_mins(5);

/// `GET /v1/documents/{id}/diff`: what makes one version of another.
pub(super) async fn diff(ask: &Ask, id: &DocumentId) -> Answer {
    let when = |version: Option<Version>, otherwise| version.map_or(otherwise, When::Version);
    let from = when(ask.query.version("from")?, When::Version(Version(0)));
    let to = when(ask.query.version("to")?, When::Now);
    let log = &ask.shared.log;
    // Found first: a document that grows between the two looks makes no difference to those.
    let to_place = history::find(log, id, to).await?;
    let from_place = history::find(log, id, from).await?;
    let _turn = ask.turn().await?;
    let delta = history::diff(log, &from_place, &to_place).await?;
    let version = |when: When, end: Version| match when {
        When::Version(version) => version,
        When::Now | When::Moment(_) => end,
    };
    let (from, to) = (version(from, from_place.head.version), version(to, to_place.head.version));
    Ok(json(StatusCode::OK, &DiffJson { from, to, delta: OpsJson(delta.ops()) }))
}

/// `GET /v1/documents/{id}/history`: edits, grouped into sessions.
pub(super) async fn sessions(ask: &Ask, id: &DocumentId) -> Answer {
    let after = ask.query.version("after")?.unwrap_or_default();
    let limit = ask.query.number("limit", 1..=LARGEST_PAGE)?.unwrap_or(PAGE);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let pause = match ask.query.text("pause") {
        Some(text) => parse_duration(text).ok_or_else(|| bad("`pause` must be a duration like 30s, 5m or 2h"))?,
        None => PAUSE,
    };
    let place = history::find(&ask.shared.log, id, When::Now).await?;
    let _turn = ask.turn().await?;
    let (sessions, next) = history::sessions(&ask.shared.log, &place, (after, limit), pause).await?;
    Ok(json(StatusCode::OK, &HistoryJson { sessions: sessions.iter().map(as_json).collect(), next }))
}

fn as_json(session: &Session) -> SessionJson {
    let total = session.total();
    let author = |(user, share): (&crate::domain::UserId, &history::Share)| AuthorJson {
        user_id: user.to_string(),
        edits: share.edits,
        added: share.added,
        removed: share.removed,
    };
    SessionJson {
        started_at: session.from.to_string(),
        ended_at: session.to.to_string(),
        from_version: session.from_version,
        to_version: session.to_version,
        added: total.added,
        removed: total.removed,
        authors: session.authors.iter().map(author).collect(),
    }
}

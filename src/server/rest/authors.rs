//! Who wrote what is there, and who has done how much.

use http::{StatusCode, header};

use crate::{
    domain::{DocumentId, UserId},
    history,
    projection::{Contribution, Run},
    protocol::history::{BlameJson, ContributionJson, ContributionsJson, RunJson},
};

use super::{
    Ask,
    answer::{Answer, has_already, json, not_modified, tag},
};

/// `GET /v1/documents/{id}/blame`: as of now, a version or a moment.
pub(super) async fn blame(ask: &Ask, id: &DocumentId) -> Answer {
    let place = history::find(&ask.shared.log, id, ask.query.when()?).await?;
    let tag = tag(place.seq.0);
    if has_already(&ask.headers, &tag) {
        return Ok(not_modified(tag));
    }
    let _turn = ask.turn().await?;
    let blamed = history::blame(&ask.shared.log, &place).await?;
    let runs = blamed.runs().map(run_as_json).collect();
    let answer = BlameJson { id: id.as_str(), version: blamed.version, seq: place.seq.0, runs };
    let mut response = json(StatusCode::OK, &answer);
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// `GET /v1/documents/{id}/contributions`: up to now, a version or a moment.
pub(super) async fn contributions(ask: &Ask, id: &DocumentId) -> Answer {
    let place = history::find(&ask.shared.log, id, ask.query.when()?).await?;
    let tag = tag(place.seq.0);
    if has_already(&ask.headers, &tag) {
        return Ok(not_modified(tag));
    }
    let _turn = ask.turn().await?;
    let (version, all) = history::contributions(&ask.shared.log, &place).await?;
    let mut contributions: Vec<_> = all.authors().map(as_json).collect();
    contributions.sort_by_key(|it| std::cmp::Reverse(it.edits));
    let answer = ContributionsJson { id: id.as_str(), version, seq: place.seq.0, contributions };
    let mut response = json(StatusCode::OK, &answer);
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

fn run_as_json<'a>((text, run): (&'a str, Run<'a>)) -> RunJson<'a> {
    RunJson { text, author: run.author.as_str(), version: run.version, time: run.time.to_string() }
}

fn as_json<'a>((user, it): (&'a UserId, &Contribution)) -> ContributionJson<'a> {
    let Contribution { edits, added, removed, comments, first, last } = *it;
    let (first_at, last_at) = (first.to_string(), last.to_string());
    ContributionJson { user_id: user.as_str(), edits, added, removed, comments, first_at, last_at }
}

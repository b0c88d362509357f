//! Documents as they are and as they were.

use http::{Response, StatusCode, header};
use tracing::info;

use crate::{
    auth::Permission,
    domain::{DocumentId, PositionEncoding},
    history::{self, Untold, When},
    live::listed_comments,
    projection::Document,
    protocol::history::{
        CommentsJson, DocumentJson, ListJson, ListedDocumentJson, MetadataJson, PeopleJson, PersonJson, RichTextJson,
    },
    server::problem::{Code, Problem},
};

use super::{
    Ask,
    answer::{Answer, has_already, json, not_modified, tag},
};

/// Documents in a page, and at most.
pub(super) const PAGE: u64 = 100;
pub(super) const LARGEST_PAGE: u64 = 1_000;

/// `GET /v1/documents`: those that the asker may read, by their ids.
pub(super) async fn list(ask: &Ask) -> Answer {
    let limit = ask.query.number("limit", 1..=LARGEST_PAGE)?.unwrap_or(PAGE);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut after = ask.query.text("after").unwrap_or_default().to_owned();
    let permissions = &ask.identity.permissions;
    let mut documents: Vec<ListedDocumentJson> = Vec::new();
    let mut next = None;
    'pages: loop {
        let page = ask.shared.log.documents(&after, limit).await?;
        if page.is_empty() {
            break;
        }
        for (id, head) in page {
            id.as_str().clone_into(&mut after);
            if head.is_erased {
                continue;
            }
            if permissions.on(&id).allows(Permission::Read) {
                let (version, updated_at) = (head.version, head.recorded_at.to_string());
                documents.push(ListedDocumentJson { id: after.clone(), version, updated_at });
                if documents.len() == limit {
                    next = Some(after);
                    break 'pages;
                }
                continue;
            }
            // There may be very many that are not for them: they are stepped over, not gone through.
            match permissions.next_after(id.as_str(), Permission::Read) {
                Some(later) if later == after => (),
                Some(later) => {
                    after = later;
                    continue 'pages;
                }
                None => break 'pages,
            }
        }
    }
    Ok(json(StatusCode::OK, &ListJson { documents, next }))
}

/// `DELETE /v1/documents/{id}`: for good.
pub(super) async fn erase(ask: &Ask, id: &DocumentId) -> Answer {
    let erased = ask.shared.live.erase(id).await;
    let erasure = erased?.ok_or_else(|| Problem::from(Untold::NoDocument))?;
    let (by, removed) = (&ask.identity.user_id, erasure.removed);
    if erasure.was_erased {
        let detail = format!("this document was erased at {}", erasure.at);
        return Err(Problem::new(Code::DocumentErased, detail));
    }
    info!(document = %id, %by, removed, "erased a document");
    let mut response = Response::new("".into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// `GET /v1/documents/{id}`: as of now, a version or a moment.
pub(super) async fn document(ask: &Ask, id: &DocumentId) -> Answer {
    let place = history::find(&ask.shared.log, id, ask.query.when()?).await?;
    let tag = tag(place.seq.0);
    if has_already(&ask.headers, &tag) {
        return Ok(not_modified(tag));
    }
    let _turn = ask.turn().await?;
    let document = history::document(&ask.shared.log, &place, |_| ()).await?;
    let mut response = json(StatusCode::OK, &as_json(id, &document));
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

pub(super) fn as_json<'a>(id: &'a DocumentId, document: &'a Document) -> DocumentJson<'a> {
    let content = document.content();
    DocumentJson {
        id: id.as_str(),
        version: document.version(),
        seq: document.seq().0,
        content: content.text(),
        delta: RichTextJson(content),
        comments: listed_comments(document, PositionEncoding::Utf16),
        metadata: MetadataJson::new(content.word_count(), document.last_modified()),
    }
}

/// `GET /v1/documents/{id}/comments`
pub(super) async fn comments(ask: &Ask, id: &DocumentId) -> Answer {
    let place = history::find(&ask.shared.log, id, ask.query.when()?).await?;
    let _turn = ask.turn().await?;
    let document = history::document(&ask.shared.log, &place, |_| ()).await?;
    let comments = listed_comments(&document, PositionEncoding::Utf16);
    Ok(json(StatusCode::OK, &CommentsJson { version: document.version(), comments }))
}

/// `GET /v1/documents/{id}/presence`
pub(super) async fn presence(ask: &Ask, id: &DocumentId) -> Answer {
    let when: When = ask.query.when()?;
    let _turn = ask.turn().await?;
    let people = history::people(&ask.shared.log, id, when).await?;
    let users = people.people.iter().map(|it| PersonJson::new(it.user.as_str(), &it.profile, it.cursor)).collect();
    Ok(json(StatusCode::OK, &PeopleJson { version: people.document.version(), users }))
}

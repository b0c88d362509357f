//! `system`/`document_sync`: a whole document. It may be long, so that it is written in two parts: the first is the same
//! for all who get the document as of one place in one unit, the second is each reader's own.

use std::{fmt, io, sync::Arc};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::{
    domain::{ClientId, DocumentId, MessageId, Version},
    protocol::{
        json::OpsJson,
        schema::{Id, InsertOp, Time},
    },
    text::{Delta, RichText, Utf16},
};

use super::{
    comment_event::{CommentList, CommentsJson},
    presence::ActiveUser,
    server::{Told, write},
};

/// A document as of one place of its stream, in one unit.
#[derive(Debug, Clone)]
pub struct Sync {
    /// Which document.
    pub document_id: DocumentId,
    /// Its version.
    pub version: Version,
    /// Its text and formatting.
    pub content: RichText,
    /// When it was last edited, RFC 3339; `None` before the first edit.
    pub last_modified: Option<String>,
    /// All comments; `None` where there are none.
    pub comments: Option<Arc<dyn CommentList>>,
}

impl Sync {
    /// How long the document is, in UTF-16 units.
    pub fn length(&self) -> usize {
        self.content.length::<Utf16>()
    }
}

/// A document as of one version, with everybody present.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DocumentSync")]
pub(super) struct SyncData<'a> {
    document: SyncDocument<'a>,
    comments: CommentsJson<'a>,
    /// The last, for what comes before it is the same for all readers.
    active_users: &'a [ActiveUser],
}

impl Told for SyncData<'_> {
    const NAME: (&'static str, &'static str) = ("system", "document_sync");
}

/// The document.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SyncedDocument")]
struct SyncDocument<'a> {
    #[schemars(with = "Id")]
    id: &'a str,
    version: Version,
    #[schemars(with = "String")]
    content: PlainText<'a>,
    #[schemars(with = "Vec<InsertOp>")]
    delta: OpsJson<'a>,
    metadata: SyncMetadata<'a>,
}

/// The text, without a copy of it.
struct PlainText<'a>(&'a RichText);

impl fmt::Display for PlainText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chunks().try_for_each(|chunk| f.write_str(chunk))
    }
}

impl Serialize for PlainText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// More about a document.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Metadata")]
struct SyncMetadata<'a> {
    word_count: usize,
    #[schemars(with = "Option<Time>")]
    last_modified: Option<&'a str>,
}

/// How a sync without anybody in it ends: the list of who is present, and what is around it.
const EMPTY_END: &[u8] = b"[]}}";

/// A `document_sync` up to who is present; `None` where it is longer than `limit` bytes.
pub fn document_sync_begin(sync: &Sync, limit: usize) -> Option<Vec<u8>> {
    let delta: Delta<Utf16> = sync.content.to_delta();
    let document = SyncDocument {
        id: sync.document_id.as_str(),
        version: sync.version,
        content: PlainText(&sync.content),
        delta: OpsJson(delta.ops()),
        metadata: SyncMetadata { word_count: sync.content.word_count(), last_modified: sync.last_modified.as_deref() },
    };
    let data = SyncData { document, comments: CommentsJson(sync.comments.as_deref()), active_users: &[] };
    // The text stands in it twice: as it is and as a delta.
    let room = (2 * sync.length() + 1024).min(limit);
    let mut bytes = Limited { bytes: Vec::with_capacity(room), limit };
    write(&mut bytes, data, (None, None)).ok()?;
    let mut bytes = bytes.bytes;
    bytes.truncate(bytes.len() - EMPTY_END.len());
    bytes.shrink_to_fit();
    Some(bytes)
}

/// The rest of a `document_sync`. `asked_by` is the message that asked for it, if one did.
pub fn document_sync_end(active_users: &[ActiveUser], asked_by: (Option<&ClientId>, Option<&MessageId>)) -> String {
    #[derive(Serialize)]
    struct Cause<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<&'a str>,
    }
    let cause = Cause { client_id: asked_by.0.map(ClientId::as_str), message_id: asked_by.1.map(MessageId::as_str) };
    let json = |json: serde_json::Result<String>| json.expect("names are text and have no failing parts");
    let (users, cause) = (json(serde_json::to_string(active_users)), json(serde_json::to_string(&cause)));
    match cause.strip_prefix('{') {
        Some(rest) if rest != "}" => format!("{users}}},{rest}"),
        _ => format!("{users}}}}}"),
    }
}

/// Bytes up to a limit.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{Profile, UserId};

    #[test]
    fn the_two_parts_are_one_message_whoever_reads_it() {
        let delta: Delta<Utf16> = Delta::default().insert("a \"b\"\n", crate::text::Attributes::default());
        let sync = Sync {
            document_id: DocumentId::parse("doc").unwrap(),
            version: Version(3),
            content: RichText::from_delta(&delta).unwrap(),
            last_modified: None,
            comments: None,
        };
        let begin = document_sync_begin(&sync, usize::MAX).unwrap();
        let ann = ActiveUser {
            user_id: UserId::parse("ann").unwrap(),
            profile: Arc::new(Profile { name: None, avatar_url: None, color: None }),
            cursor: None,
        };
        let (client, message) = (ClientId::parse("c").unwrap(), MessageId::parse("m").unwrap());
        for (users, client, message) in [
            (&[][..], None, None),
            (std::slice::from_ref(&ann), Some(&client), None),
            (std::slice::from_ref(&ann), Some(&client), Some(&message)),
        ] {
            let text = String::from_utf8(begin.clone()).unwrap() + &document_sync_end(users, (client, message));
            let mut expected = json!({"type": "system", "event": "document_sync", "data": {
                "document": {"id": "doc", "version": 3, "content": "a \"b\"\n", "delta": [{"insert": "a \"b\"\n"}],
                    "metadata": {"word_count": 2, "last_modified": null}},
                "active_users": users.iter().map(|_| json!({"user_id": "ann", "cursor_position": null})).collect::<Vec<_>>(),
                "comments": [],
            }});
            if client.is_some() {
                expected["client_id"] = json!("c");
            }
            if message.is_some() {
                expected["message_id"] = json!("m");
            }
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
        assert!(document_sync_begin(&sync, begin.len() + EMPTY_END.len()).is_some());
        assert!(document_sync_begin(&sync, begin.len() + EMPTY_END.len() - 1).is_none());
    }
}

//! What is said about a document's past, over HTTP and on the command line.

mod answers;
mod record;

pub use answers::{
    AuthorJson, DiffJson, DocumentJson, HistoryJson, ListJson, ListedDocumentJson, MetadataJson, PeopleJson,
    PersonJson, RichTextJson, SessionJson, WrittenJson,
};
pub use record::{Record, Source, event_as_json};

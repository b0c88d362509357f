//! What is said about a document's past, over HTTP and on the command line.

mod answers;
mod orders;
mod record;
mod record_schema;

pub use answers::{
    AuthorJson, BlameJson, CommentsJson, ContributionJson, ContributionsJson, DiffJson, DocumentJson, HistoryJson,
    ListJson, ListedDocumentJson, MetadataJson, PeopleJson, PersonJson, RichTextJson, RunJson, SessionJson,
    WrittenJson,
};
pub use orders::{CreateJson, EditJson, RestoreJson};
pub use record::{EventPageJson, Record, Source, Told, event_as_json};
pub use record_schema::EventJson;

//! `erase`: a document goes for good.

use std::io::{BufRead, IsTerminal, stdin};

use clap::Args;

use crate::{clock::Clock, domain::DocumentId, event_log::StreamName, settings::Settings};

use super::{Failure, database, output, progress};

/// Erase a document for good: its content, its events and who was in it; a tombstone says that it was and when
///
/// Works while the service runs: everybody who has it open is told and sent away. What was interrupted is finished by
/// the service, or by running this again. Afterwards the files of the database are written anew, so that nothing of it
/// is left in them; edits of all documents wait meanwhile. Backups are beyond its reach.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Erase {
    /// The document's id
    #[arg(long, value_name = "ID", value_parser = database::document_id)]
    document: DocumentId,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
    /// Leave what was deleted in the pages of the database until they are used again
    #[arg(long)]
    keep_pages: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium erase --document minutes
  scriptorium erase --document minutes --yes --keep-pages";

impl Erase {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let Self { document, yes, keep_pages } = &self;
        let log = database::open(settings).await?;
        let head = database::head(&log, &StreamName::document(document)).await?;
        if !head.is_erased && !yes {
            confirm(document)?;
        }
        let bar = progress::bar("erasing", head.seq.0);
        let erased = log.erase_document(document, Clock::system().now(), |removed| bar.set_position(removed)).await;
        bar.finish_and_clear();
        let erasure = erased.map_err(Failure::failed)?;
        let erasure = erasure.ok_or_else(|| Failure::failed(format!("document {document} has no events")))?;
        let is_clean = *keep_pages || log.scrub_pages().await.map_err(Failure::failed)?;
        log.close().await;
        let (at, removed) = (erasure.at, erasure.removed);
        output::line(format_args!("document {document} is erased since {at}; {removed} events were removed"))?;
        if is_clean {
            Ok(())
        } else {
            Err(Failure::failed(
                "somebody reads the database, and something may be left in its write-ahead log; run it again",
            ))
        }
    }
}

/// Has the id typed once more: nothing brings the document back.
fn confirm(document: &DocumentId) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage("nobody can be asked whether it is meant: say --yes"));
    }
    output::note(format_args!("This erases {document} for good. Type its id to go on:"));
    let mut typed = String::new();
    stdin().lock().read_line(&mut typed)?;
    if typed.trim() == document.as_str() { Ok(()) } else { Err(Failure::failed("nothing was erased")) }
}

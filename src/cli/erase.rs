//! `erase`: a document goes for good, or a person does.

use std::{
    io::{BufRead, IsTerminal, stdin},
    time::Duration,
};

use clap::Args;

use crate::{
    auth::nobody,
    clock::Clock,
    domain::{DocumentId, UserId},
    event_log::{EventLog, Position, Rewriting, Scrubbed, StreamName},
    settings::Settings,
};

use super::{
    Failure, database,
    output::{self, count},
    progress,
};

/// Erase a document for good, or a person
///
/// Of a document everything goes: its content, its events and who was in it; a tombstone says that it was erased and when. Of a
/// person goes what says that it was they: their name, their clients, who wrote and commented, what they said in comments.
/// What they wrote stays in the documents, and a name that means nothing takes the place of theirs.
///
/// Works while the service runs: everybody who has the document open is told and sent away, or the person is kept out until it
/// is done. What was interrupted is finished by the service, or by running this again. Afterwards the files of the
/// database are written anew, so that nothing of it is left in them; edits of all documents wait meanwhile. Backups and
/// exports are beyond its reach.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Erase {
    #[command(flatten)]
    what: What,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
    /// Leave what was deleted in the pages of the database until they are used again
    #[arg(long)]
    keep_pages: bool,
    /// PostgreSQL: how long to wait for transactions that may still see what was deleted, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u32,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The document's id
    #[arg(long, value_name = "ID", value_parser = database::document_id)]
    document: Option<DocumentId>,
    /// The user's id
    #[arg(long, value_name = "ID", value_parser = user_id)]
    user: Option<UserId>,
}

const EXAMPLE: &str = "Examples:
  scriptorium erase --document minutes
  scriptorium erase --document minutes --yes --keep-pages
  scriptorium erase --user ann@example.org";
/// What a service may need besides the time between two looks, to write down what it still has to.
const MARGIN: Duration = Duration::from_secs(1);

impl Erase {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let log = database::open(settings).await?;
        match &self.what {
            What { user: Some(user), .. } => self.erase_user(&log, user, settings).await?,
            What { document: Some(document), .. } => self.erase_document(&log, document).await?,
            What { document: None, user: None } => return Err(Failure::usage("say --document or --user")),
        }
        let patience = Duration::from_secs(self.wait.into());
        let scrubbed =
            if self.keep_pages { Scrubbed::Clean } else { log.scrub_pages(patience).await.map_err(Failure::failed)? };
        log.close().await;
        match scrubbed {
            Scrubbed::Clean => Ok(()),
            Scrubbed::InTheWay(what) => Err(Failure::failed(format!(
                "it is erased, but its bytes may still be in the files of the database, because of: {what}. End that, or wait \
                 for it, and run this again"
            ))),
        }
    }

    async fn erase_document(&self, log: &EventLog, document: &DocumentId) -> Result<(), Failure> {
        let head = database::head(log, &StreamName::document(document)).await?;
        if !head.is_erased {
            self.confirm(document.as_str())?;
        }
        let bar = progress::bar("erasing", head.seq.0);
        let erased = log.erase_document(document, Clock::system().now(), |removed| bar.set_position(removed)).await;
        bar.finish_and_clear();
        let erasure = erased.map_err(Failure::failed)?;
        let erasure = erasure.ok_or_else(|| Failure::failed(format!("document {document} has no events")))?;
        let (at, removed) = (erasure.at, count(erasure.removed, "event"));
        Ok(output::line(format_args!("document {document} is erased since {at}; {removed} went"))?)
    }

    async fn erase_user(&self, log: &EventLog, user: &UserId, settings: &Settings) -> Result<(), Failure> {
        self.confirm(user.as_str())?;
        let now = Clock::system().now();
        let erasure = log.begin_user_erasure(user, nobody(), now).await.map_err(Failure::failed)?;
        let all = log.export(Position(0)).await.map_err(Failure::failed)?.to().0;
        let bar = progress::bar("erasing", 2 * all);
        let grace = 2 * settings.auth.revocations_poll + MARGIN;
        let erased = log.complete_user_erasure(&erasure, (now, grace), |events| bar.inc(events)).await;
        bar.finish_and_clear();
        let Rewriting { events, documents } = erased.map_err(Failure::failed)?;
        let (events, documents) = (count(events, "event"), count(documents, "document"));
        let name = &erasure.pseudonym;
        Ok(output::line(format_args!("{user} is erased and called {name} now, in {events} of {documents}"))?)
    }

    /// Has the id typed once more: nothing brings it back.
    fn confirm(&self, id: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !stdin().is_terminal() {
            return Err(Failure::usage("nobody can be asked whether it is meant: say --yes"));
        }
        output::note(format_args!("This erases {id} for good. Type it once more to go on:"));
        let mut typed = String::new();
        stdin().lock().read_line(&mut typed)?;
        if typed.trim() == id { Ok(()) } else { Err(Failure::failed("nothing was erased")) }
    }
}

fn user_id(text: &str) -> Result<UserId, String> {
    UserId::parse(text).map_err(|error| error.to_string())
}

//! Comments on their way into a document, and out of it with a sync.

use std::sync::Arc;

use crate::{
    domain::{
        CommentCause, CommentChange, CommentCommand, Commented, Commenter, DocumentId, Event, NewThread,
        PositionEncoding, Rejection, Stretch,
    },
    projection::{Comment, Document, Stamp, Thread},
    protocol::document::{CommentKind, CommentList, CommentMessage, ListedComment, QUOTE, Sync},
    text::{CodePoints, Utf16},
};

use super::{
    batch::{Batch, Refused, Submission},
    clients::Clients,
    committed::Committed,
    context::Counted,
};

/// A comment event that waits to be decided.
#[derive(Debug, Clone)]
pub struct WaitingComment {
    /// What was sent.
    pub message: CommentMessage,
    /// Who sent it.
    pub by: Commenter,
    /// What its position counts.
    pub encoding: PositionEncoding,
}

impl WaitingComment {
    /// Whether what is on record came from the same kind of event.
    pub(super) fn is_same_event(&self, change: &CommentChange) -> bool {
        let kind = match change {
            CommentChange::Added(_) => CommentKind::Added,
            CommentChange::Updated { .. } => CommentKind::Updated,
            CommentChange::Resolved { .. } => CommentKind::Resolved,
            CommentChange::Reopened { .. } => CommentKind::Reopened,
            CommentChange::Deleted { .. } => CommentKind::Deleted,
        };
        kind == self.message.kind
    }
}

impl Batch<'_> {
    pub(super) async fn accept_comment(
        &mut self,
        it: &Submission,
        comment: &WaitingComment,
        clients: &mut Clients,
    ) -> Result<Arc<Committed>, Refused> {
        let WaitingComment { message, by, encoding } = comment;
        if let Some(base) = message.base
            && base > self.committed
        {
            return Err(Rejection::VersionAhead { base, current: self.committed }.into());
        }
        let begins = if let CommentCommand::Add { position: Some(position), quote, .. } = &message.command
            && self.working.comments().begins_thread(&message.command)
        {
            let place = match encoding {
                PositionEncoding::Utf16 => self.find_place::<Utf16>(it, message, *position, clients).await?,
                PositionEncoding::Utf32 => self.find_place::<CodePoints>(it, message, *position, clients).await?,
            };
            Some(self.begin(place, quote.as_ref()))
        } else {
            None
        };
        let change = self.working.comments().decide(&message.command, by, begins, &self.comment_limits)?;
        let commented = Commented { change, by: it.client.user.clone(), at: self.recorded_at };
        self.working.comment(&commented).map_err(|_| {
            // Decided on these very comments: it fits them.
            Rejection::CommentNotFound { comment: commented.change.comment().clone() }
        })?;
        let cause = CommentCause {
            client: it.client.client.clone(),
            base: message.base,
            encoding: *encoding,
            received: Arc::clone(&message.received),
        };
        Ok(self.add(it, Event::Commented(commented, Arc::new(cause))))
    }

    /// Where a position that a client sees is in the working copy, in UTF-16 units.
    async fn find_place<U: Counted>(
        &self,
        it: &Submission,
        message: &CommentMessage,
        position: Stretch,
        clients: &mut Clients,
    ) -> Result<Stretch, Refused> {
        let view = self.view::<U>(&it.client, message.base.unwrap_or(self.committed), clients).await?;
        let content = self.working.content();
        let length = content.length::<U>().saturating_add_signed(-view.length_change());
        if position.end > length {
            return Err(Rejection::OutOfBounds { end: position.end, length }.into());
        }
        let Stretch { start, end } = view.carry_stretch(position);
        Ok(Stretch { start: content.position::<U, Utf16>(start)?, end: content.position::<U, Utf16>(end)? })
    }

    /// A thread at a place, with what stands there; or with what its author saw there, if that is gone.
    fn begin(&self, at: Stretch, seen: Option<&Arc<str>>) -> NewThread {
        let spans = self.working.content().slice::<Utf16>(at.start..at.end);
        let quote: String = spans.flat_map(|span| span.text.chars()).take(QUOTE).collect();
        let quote = match (quote.is_empty(), seen) {
            (true, Some(seen)) => Arc::clone(seen),
            _ => quote.into(),
        };
        NewThread { place: self.working.place(at).unwrap_or_default(), quote }
    }
}

/// The comments of a document as of one version, for a connection that counts in this unit.
#[derive(Debug)]
struct CommentsOf {
    document: Document,
    encoding: PositionEncoding,
}

impl CommentList for CommentsOf {
    fn list(&self) -> Vec<ListedComment> {
        listed_comments(&self.document, self.encoding)
    }

    fn count(&self) -> usize {
        self.document.comments().len()
    }
}

/// A document with its comments, for connections that count in this unit.
pub(super) fn whole(id: &DocumentId, document: &Document, encoding: PositionEncoding) -> Sync {
    let comments = || Arc::new(CommentsOf { document: document.clone(), encoding }) as Arc<dyn CommentList>;
    Sync {
        document_id: id.clone(),
        version: document.version(),
        content: document.content().clone(),
        last_modified: document.last_modified().map(|at| at.to_string()),
        comments: (!document.comments().is_empty()).then(comments),
    }
}

/// All comments of a document in the order in which they were made, with their places in a unit.
pub fn listed_comments(document: &Document, encoding: PositionEncoding) -> Vec<ListedComment> {
    let stamp = |stamp: &Option<Stamp>| stamp.as_ref().map(|it| (it.by.clone(), it.at));
    let threads = document.comments().threads();
    let of_thread = |(thread, at): (&Thread, Stretch)| {
        let position = document.place(at).unwrap_or_default().counted_in(encoding);
        let listed = |comment: &Arc<Comment>| {
            let listed = ListedComment {
                id: comment.id.clone(),
                thread_id: thread.id.clone(),
                author_id: comment.author.clone(),
                author_name: comment.author_name.clone(),
                content: Arc::clone(&comment.content),
                position,
                quote: Arc::clone(&thread.quote),
                resolved: stamp(&thread.resolved),
                created_at: comment.created_at,
                updated: stamp(&comment.updated),
            };
            (comment.seq, listed)
        };
        thread.comments.iter().map(listed).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = threads.into_iter().flat_map(of_thread).collect();
    all.sort_by_key(|(seq, _)| *seq);
    all.into_iter().map(|(_, listed)| listed).collect()
}

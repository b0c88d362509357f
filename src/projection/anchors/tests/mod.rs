//! Laws of anchors, in a document where everything happens as it does in the service.

mod examples;
mod laws;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{
        CommentChange, CommentId, Commented, Effect, NewComment, NewThread, Stretch, ThreadId, Timestamp, UserId,
    },
    projection::Document,
    text::{Attributes, Delta},
};

type Places = BTreeMap<String, Stretch>;

fn at(start: usize, end: usize) -> Stretch {
    Stretch { start, end }
}

fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

/// A document, and all that was recorded of it.
#[derive(Clone)]
struct History {
    document: Document,
    effects: Vec<Effect>,
    undo: Vec<Delta>,
}

impl History {
    fn of(text: &str) -> Self {
        let mut history = Self { document: Document::new(), effects: Vec::new(), undo: Vec::new() };
        history.edit(Delta::new().insert(text, Attributes::NONE));
        history
    }

    /// Makes an edit, and answers its inverse.
    fn edit(&mut self, applied: Delta) -> Delta {
        let inverse = applied.invert(self.document.content()).unwrap();
        let placed = self.document.edit(&applied).unwrap();
        self.effects.push(Effect::Edited { applied, placed });
        self.undo.push(inverse.clone());
        inverse
    }

    fn comment(&mut self, name: &str, on: Stretch) {
        let begins = NewThread { place: self.document.place(on).unwrap(), quote: "quoted".into() };
        let new = NewComment {
            id: CommentId::parse(name).unwrap(),
            thread: thread(name),
            content: "so?".into(),
            author_name: None,
            begins: Some(begins),
        };
        self.change(CommentChange::Added(Arc::new(new)));
    }

    fn delete(&mut self, name: &str) {
        self.change(CommentChange::Deleted { comment: CommentId::parse(name).unwrap(), thread: thread(name) });
    }

    fn change(&mut self, change: CommentChange) {
        let commented = Commented { change, by: UserId::parse("ann").unwrap(), at: Timestamp(7) };
        self.document.comment(&commented).unwrap();
        self.effects.push(Effect::Commented(commented));
    }

    fn places(&self) -> Places {
        let threads = self.document.comments().threads();
        threads.into_iter().map(|(thread, at)| (thread.id.to_string(), at)).collect()
    }

    fn place(&self, name: &str) -> Stretch {
        self.document.comments().thread(&thread(name)).unwrap().1
    }

    fn text(&self) -> String {
        self.document.content().text()
    }
}

fn insert(position: usize, text: &str) -> Delta {
    Delta::new().retain(position).insert(text, Attributes::NONE)
}

fn delete(position: usize, length: usize) -> Delta {
    Delta::new().retain(position).delete(length)
}

fn commented(text: &str, on: Stretch) -> History {
    let mut history = History::of(text);
    history.comment("c", on);
    history
}

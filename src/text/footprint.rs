//! Carrying one edit over many: the hot loop of a server.

use super::{Attributes, Content, Delta, Op, Priority, Splice, Text, Unit, Utf16};

/// How an edit moves other edits. What it inserts may be there or be blank text of the same length.
#[derive(Debug, Clone)]
pub enum Footprint<U: Unit = Utf16> {
    /// In one place.
    Splice(Splice),
    /// In several places, or formatting.
    Delta(Box<Delta<U>>),
}

/// An edit on its way over others.
///
/// As long as it stays in one place only a [`Splice`] moves, and what it inserts is left alone.
#[derive(Debug, Clone)]
pub struct Carried<U: Unit = Utf16> {
    /// The edit, but for its place and the length that it deletes if there is a `splice`.
    edit: Delta<U>,
    splice: Option<Splice>,
}

impl<U: Unit> Footprint<U> {
    /// The footprint of an edit.
    pub fn of(edit: &Delta<U>) -> Self {
        Splice::of(edit).map_or_else(|| Self::Delta(Box::new(edit.clone())), Self::Splice)
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Splice(splice) => splice.is_empty(),
            Self::Delta(delta) => delta.is_empty(),
        }
    }

    /// By how much it makes a document longer, or shorter when negative.
    pub fn length_change(&self) -> isize {
        match self {
            Self::Splice(splice) => splice.length_change(),
            Self::Delta(delta) => delta.length_change(),
        }
    }

    /// See [`Delta::transform_position`].
    #[must_use]
    pub fn transform_position(&self, position: usize, priority: Priority) -> usize {
        match self {
            Self::Splice(splice) => splice.transform_position(position, priority),
            Self::Delta(delta) => delta.transform_position(position, priority),
        }
    }

    /// See [`Delta::transform`].
    #[must_use]
    pub fn transform(&self, other: &Self, priority: Priority) -> Self {
        if let (Self::Splice(ours), Self::Splice(theirs)) = (self, other)
            && let Some(transformed) = ours.transform(*theirs, priority)
        {
            return Self::Splice(transformed);
        }
        Self::of(&self.to_delta().transform(&other.to_delta(), priority))
    }

    /// See [`Delta::transform_edge`].
    #[must_use]
    pub fn transform_edge(&self, position: usize, priority: Priority) -> usize {
        match self {
            Self::Splice(splice) => splice.transform_edge(position, priority),
            Self::Delta(delta) => delta.transform_edge(position, priority),
        }
    }

    /// An edit with this footprint.
    fn to_delta(&self) -> Delta<U> {
        match self {
            Self::Splice(splice) => {
                let blank = Text::from(" ".repeat(splice.insert as usize));
                let insert = Op::Insert { content: Content::Text(blank), attributes: Attributes::NONE };
                spliced(*splice, [insert])
            }
            Self::Delta(delta) => Delta::clone(delta),
        }
    }
}

impl<U: Unit> Carried<U> {
    /// Picks an edit up.
    pub fn new(edit: Delta<U>) -> Self {
        Self { splice: Splice::of(&edit), edit }
    }

    /// Carries this edit over one that was committed before it, both on the same document.
    #[inline]
    pub fn over(&mut self, committed: &Footprint<U>) {
        if let (Some(ours), Footprint::Splice(theirs)) = (&mut self.splice, committed)
            && let Some(transformed) = theirs.transform(*ours, Priority::First)
        {
            *ours = transformed;
            return;
        }
        *self = Self::new(committed.to_delta().transform(&self.to_delta(), Priority::First));
    }

    /// Lets this edit and one that was committed before it pass each other: this edit comes to be one after
    /// the committed one, which comes to be one after this edit. Before, both are on the same document;
    /// behind `committed` the next of its kind follows.
    #[inline]
    pub fn cross(&mut self, committed: &mut Footprint<U>) {
        if let (Some(ours), Footprint::Splice(theirs)) = (&mut self.splice, &mut *committed) {
            if let Some(crossed) = ours.cross_inserts(*theirs) {
                (*ours, *theirs) = crossed;
                return;
            }
            if let Some(ours_then) = theirs.transform(*ours, Priority::First)
                && let Some(theirs_then) = ours.transform(*theirs, Priority::Second)
            {
                (*ours, *theirs) = (ours_then, theirs_then);
                return;
            }
        }
        let (ours, theirs) = (self.to_delta(), committed.to_delta());
        *self = Self::new(theirs.transform(&ours, Priority::First));
        *committed = Footprint::of(&ours.transform(&theirs, Priority::Second));
    }

    /// How it moves other edits.
    pub fn footprint(&self) -> Footprint<U> {
        self.splice.map_or_else(|| Footprint::Delta(Box::new(self.edit.clone())), Footprint::Splice)
    }

    /// The edit where it has come to.
    pub fn to_delta(&self) -> Delta<U> {
        match self.splice {
            Some(splice) if Splice::of(&self.edit) != Some(splice) => {
                let inserts = self.edit.ops().iter().filter(|op| matches!(op, Op::Insert { .. }));
                spliced(splice, inserts.cloned())
            }
            _ => self.edit.clone(),
        }
    }

    /// The edit where it has come to.
    pub fn into_delta(self) -> Delta<U> {
        self.to_delta()
    }
}

/// The edit with this footprint that inserts this.
fn spliced<U: Unit>(splice: Splice, inserts: impl IntoIterator<Item = Op>) -> Delta<U> {
    let mut edit = Delta::new().retain(splice.at as usize);
    edit.extend(inserts);
    edit.delete(splice.delete as usize).chop()
}

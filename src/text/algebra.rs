//! How changes combine: one after the other ([`Delta::compose`]), and one beside the other
//! ([`Delta::transform`]).

use super::{CodePoints, Content, Delta, EditError, Op, Priority, Text, Unit, Utf16, cursor::Cursor};

impl<U: Unit> Delta<U> {
    /// This change followed by `other`, which was made on its result, as one change. (Quill's `compose`.)
    #[must_use]
    pub fn compose(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) = (Cursor::<U>::new(self.ops()), Cursor::<U>::new(other.ops()));
        let mut composed = Self::new();
        loop {
            match (ours.peek(), theirs.peek()) {
                (_, None) => {
                    composed.extend(ours.rest());
                    return composed.chop();
                }
                (None, _) => {
                    composed.extend(theirs.rest());
                    return composed.chop();
                }
                (_, Some(Op::Insert { .. })) => composed.push(theirs.take(usize::MAX)),
                (Some(Op::Delete { .. }), _) => composed.push(ours.take(usize::MAX)),
                _ => {
                    let length = ours.length().min(theirs.length());
                    composed.extend(one_then_other(ours.take(length), theirs.take(length)));
                }
            }
        }
    }

    /// Like [`Self::compose`], for a change that need not fit.
    ///
    /// # Errors
    /// When `other` would cut a character in two that this change inserts.
    pub fn try_compose(&self, other: &Self) -> Result<Self, EditError> {
        let is_split = |text: &Text| text.length::<Utf16>() != text.length::<CodePoints>();
        if self.ops().iter().any(|op| matches!(op, Op::Insert { content: Content::Text(text), .. } if is_split(text))) {
            self.check_cuts(other)?;
        }
        Ok(self.compose(other))
    }

    /// Walks both side by side and looks at every place where `other` ends a component inside an insert.
    fn check_cuts(&self, other: &Self) -> Result<(), EditError> {
        let mut inserts = self.ops().iter().filter(|op| !matches!(op, Op::Delete { .. })).scan(0_usize, |start, op| {
            let from = *start;
            *start = from.saturating_add(op.length::<U>());
            Some((from, *start, op))
        });
        let mut here = inserts.next();
        let mut position = 0_usize;
        for op in other.ops().iter().filter(|op| !matches!(op, Op::Insert { .. })) {
            // A component starts where the one before it ended; only the first may start behind inserts.
            position = position.saturating_add(op.length::<U>());
            while here.is_some_and(|(_, end, _)| end <= position) {
                here = inserts.next();
            }
            if let Some((start, _, Op::Insert { content: Content::Text(text), .. })) = here
                && text.cuts_character::<U>(position - start.min(position))
            {
                return Err(EditError::InsideSurrogatePair { position });
            }
        }
        Ok(())
    }

    /// The concurrent change `other` of the same document, as it is to be made after this one. (Quill's
    /// `this.transform(other, priority)`, where [`Priority::First`] is `true`: this change came first.)
    #[must_use]
    pub fn transform(&self, other: &Self, priority: Priority) -> Self {
        let (mut ours, mut theirs) = (Cursor::<U>::new(self.ops()), Cursor::<U>::new(other.ops()));
        let mut transformed = Self::new();
        loop {
            match (ours.peek(), theirs.peek()) {
                (_, None) => return transformed.chop(),
                (None, _) => {
                    transformed.extend(theirs.rest());
                    return transformed.chop();
                }
                (Some(Op::Insert { .. }), Some(their))
                    if priority == Priority::First || !matches!(their, Op::Insert { .. }) =>
                {
                    transformed = transformed.retain(ours.length());
                    ours.skip();
                }
                (_, Some(Op::Insert { .. })) => transformed.push(theirs.take(usize::MAX)),
                _ => {
                    let length = ours.length().min(theirs.length());
                    transformed.extend(other_after_one(&ours.take(length), theirs.take(length), priority));
                }
            }
        }
    }

    /// Where a position of the document is after this change. (Quill's `transformPosition`, where
    /// [`Priority::First`] is `true`: text inserted just at the position goes behind it.)
    #[must_use]
    pub fn transform_position(&self, position: usize, priority: Priority) -> usize {
        let (mut position, mut offset) = (position, 0);
        for op in self.ops() {
            if offset > position {
                break;
            }
            let length = op.length::<U>();
            match op {
                Op::Delete { .. } => {
                    position -= length.min(position - offset);
                    continue;
                }
                Op::Insert { .. } if offset < position || priority == Priority::Second => {
                    position = position.saturating_add(length);
                }
                Op::Insert { .. } | Op::Retain { .. } => {}
            }
            offset = offset.saturating_add(length);
        }
        position
    }

    /// Where a position of the document is after this change, as the end of something that is about the text
    /// there: what this change deletes at a place goes before what it inserts, so that text which replaces the
    /// edge of something is text at its edge. Else as [`Self::transform_position`].
    #[must_use]
    pub fn transform_edge(&self, position: usize, priority: Priority) -> usize {
        let (mut position, mut offset) = (position, 0);
        let mut ops = self.ops().iter().peekable();
        while let Some(op) = ops.next() {
            if offset > position {
                break;
            }
            let length = op.length::<U>();
            match op {
                Op::Retain { .. } => offset = offset.saturating_add(length),
                Op::Delete { .. } => position -= length.min(position - offset),
                Op::Insert { .. } => {
                    let mut inserted = length;
                    while let Some(more) = ops.next_if(|op| matches!(op, Op::Insert { .. })) {
                        inserted = inserted.saturating_add(more.length::<U>());
                    }
                    if let Some(Op::Delete { length }) = ops.next_if(|op| matches!(op, Op::Delete { .. })) {
                        position -= (*length).min(position - offset);
                    }
                    if offset < position || priority == Priority::Second {
                        position = position.saturating_add(inserted);
                    }
                    offset = offset.saturating_add(inserted);
                }
            }
        }
        position
    }
}

/// What `one` and then `other` do to the same stretch, which is as long as each of them.
fn one_then_other(one: Op, other: Op) -> Option<Op> {
    match (one, other) {
        (Op::Retain { .. }, Op::Delete { length }) => Some(Op::Delete { length }),
        (Op::Retain { attributes, .. }, Op::Retain { length, attributes: later }) => {
            Some(Op::Retain { length, attributes: attributes.compose(&later) })
        }
        (Op::Insert { content, attributes }, Op::Retain { attributes: later, .. }) => {
            Some(Op::Insert { content, attributes: attributes.changed_by(&later) })
        }
        // An insert that is deleted again never was. The other pairs do not meet here: deletes of the first
        // change and inserts of the second cover nothing of the document between the two.
        _ => None,
    }
}

/// What is left of `other` after `one`, both over the same stretch.
fn other_after_one(one: &Op, other: Op, priority: Priority) -> Option<Op> {
    match (one, other) {
        (Op::Retain { attributes: ours, .. }, Op::Retain { length, attributes }) => {
            Some(Op::Retain { length, attributes: ours.transform(&attributes, priority) })
        }
        (Op::Retain { .. }, delete) => Some(delete),
        // What is deleted already is neither formatted nor deleted again.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::text::{Attributes, Delta, Priority, Utf16};

    fn attributes(name: &str, value: serde_json::Value) -> Attributes {
        [(name.to_owned(), value)].into_iter().collect()
    }

    fn delta() -> Delta<Utf16> {
        Delta::new()
    }

    #[test]
    fn a_plain_retain_at_the_end_is_not_there() {
        assert_eq!(delta().retain(3), delta());
        assert_eq!(delta().insert("a", Attributes::NONE).retain(3), delta().insert("a", Attributes::NONE));
        assert_eq!(delta().retain(2).retain(1).delete(1).ops().len(), 2);
    }

    #[test]
    fn an_insert_goes_before_a_delete_and_joins_its_neighbour() {
        let built = delta().insert("a", Attributes::NONE).delete(2).insert("b", Attributes::NONE).delete(1);
        assert_eq!(built, delta().insert("ab", Attributes::NONE).delete(3));
    }

    #[test]
    fn one_and_one_point_zero_are_the_same_number() {
        let (int, float) = (attributes("size", json!(1)), attributes("size", json!(1.0)));
        assert_eq!(delta().insert("a", int.clone()).insert("b", float), delta().insert("ab", int));
    }

    #[test]
    fn of_two_inserts_at_one_place_the_first_stays_left() {
        let (a, b) = (delta().insert("A", Attributes::NONE), delta().insert("b", Attributes::NONE));
        assert_eq!(a.transform(&b, Priority::First), delta().retain(1).insert("b", Attributes::NONE));
        assert_eq!(b.transform(&a, Priority::Second), a);
    }

    #[test]
    fn halves_of_a_surrogate_pair_keep_their_lengths() {
        let cut = delta().insert("a😀b", Attributes::NONE).compose(&delta().retain(2).delete(1));
        assert_eq!(cut, delta().insert("a\u{FFFD}b", Attributes::NONE));
    }
}

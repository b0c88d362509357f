//! Edits in one place, by their lengths alone.

use super::{Delta, Op, Priority, Unit};

/// Where an edit in one place is and how long, without what it inserts: all that decides how other edits
/// move. An edit that changes nothing is all zeros.
///
/// Nearly every edit of a person is one, and transforming it is a few additions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Splice {
    /// Where it inserts, and where what it deletes starts.
    pub at: u32,
    /// How much it deletes.
    pub delete: u32,
    /// How much it inserts.
    pub insert: u32,
}

impl Splice {
    /// The footprint of an edit that has one: it formats nothing and has one place.
    pub fn of<U: Unit>(edit: &Delta<U>) -> Option<Self> {
        let mut ops = edit.ops();
        let (mut at, mut insert, mut delete) = (0, 0_usize, 0);
        if let [Op::Retain { length, attributes }, rest @ ..] = ops {
            if !attributes.is_empty() {
                return None;
            }
            (at, ops) = (*length, rest);
        }
        while let [op @ Op::Insert { .. }, rest @ ..] = ops {
            insert = insert.checked_add(op.length::<U>())?;
            ops = rest;
        }
        if let [Op::Delete { length }, rest @ ..] = ops {
            (delete, ops) = (*length, rest);
        }
        let fits = ops.is_empty() && u32::try_from(at.checked_add(delete)?).is_ok();
        let splice = Self { at: at.try_into().ok()?, delete: delete.try_into().ok()?, insert: insert.try_into().ok()? };
        fits.then_some(splice)
    }

    /// Whether it changes nothing.
    pub fn is_empty(self) -> bool {
        self.delete == 0 && self.insert == 0
    }

    /// By how much it makes a document longer, or shorter when negative.
    pub fn length_change(self) -> isize {
        let signed = |length: u32| isize::try_from(length).unwrap_or(isize::MAX);
        signed(self.insert) - signed(self.delete)
    }

    /// See [`Delta::transform_position`].
    #[inline]
    #[must_use]
    pub fn transform_position(self, position: usize, priority: Priority) -> usize {
        let (at, insert, delete) = (self.at as usize, self.insert as usize, self.delete as usize);
        if position < at || (position == at && priority == Priority::First) {
            return position;
        }
        position.saturating_add(insert) - delete.min(position - at)
    }

    /// See [`Delta::transform_edge`].
    #[must_use]
    pub fn transform_edge(self, position: usize, priority: Priority) -> usize {
        let (at, delete, insert) = (self.at as usize, self.delete as usize, self.insert as usize);
        let left = position - delete.min(position.saturating_sub(at));
        if left > at || (left == at && priority == Priority::Second) { left.saturating_add(insert) } else { left }
    }

    /// This edit and one that was `committed` before it, both on the same document, each as it is to be made after
    /// the other, where both only insert: nearly all that people type at the same time. `None` for all others.
    #[inline]
    #[must_use]
    pub fn cross_inserts(self, committed: Self) -> Option<(Self, Self)> {
        if self.delete | committed.delete != 0 || self.insert == 0 {
            return None;
        }
        // Of two at one place the committed one ends up left. No branch: which one is left is anybody's guess.
        let is_right = u32::from(committed.at <= self.at);
        let at = self.at.checked_add(is_right * committed.insert)?;
        let committed_at = committed.at.checked_add((1 - is_right) * self.insert)?;
        Some((Self { at, ..self }, Self { at: committed_at, ..committed }))
    }

    /// The concurrent edit `other` as it is to be made after this one; see [`Delta::transform`]. `None` when
    /// that is no longer in one place: it deletes on both sides of what this one inserts.
    #[inline]
    #[must_use]
    pub fn transform(self, other: Self, priority: Priority) -> Option<Self> {
        let (at, end) = (u64::from(self.at), u64::from(self.at) + u64::from(self.delete));
        let (other_at, other_end) = (u64::from(other.at), u64::from(other.at) + u64::from(other.delete));
        let stays_left =
            other.at < self.at || (other.at == self.at && other.insert > 0 && priority == Priority::Second);
        let (new_at, new_delete) = if stays_left {
            let right_of_us = other_end.saturating_sub(end);
            if self.insert > 0 && right_of_us > 0 {
                return None;
            }
            (other_at, other_end.min(at) - other_at + right_of_us)
        } else {
            let start = other_at.max(end);
            (at + u64::from(self.insert) + (start - end), other_end.saturating_sub(start))
        };
        if new_delete == 0 && other.insert == 0 {
            return Some(Self::default());
        }
        u32::try_from(new_at + new_delete).ok()?;
        Some(Self { at: u32::try_from(new_at).ok()?, delete: u32::try_from(new_delete).ok()?, insert: other.insert })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{Attributes, Utf16};

    proptest! {
        #[test]
        fn an_edge_moves_with_the_deletion_and_then_with_the_insert(at in 0..9_u32, delete in 0..5_u32, insert in 0..5_u32, position in 0..20_usize) {
            let text = "x".repeat(insert as usize);
            let edit = Delta::<Utf16>::new().retain(at as usize).insert(text.as_str(), Attributes::NONE).delete(delete as usize);
            let splice = Splice::of(&edit).unwrap();
            for priority in [Priority::First, Priority::Second] {
                let deletes: Delta<Utf16> = Delta::new().retain(at as usize).delete(delete as usize);
                let inserts = Delta::<Utf16>::new().retain(at as usize).insert(text.as_str(), Attributes::NONE);
                let one_after_the_other =
                    inserts.transform_position(deletes.transform_position(position, priority), priority);
                prop_assert_eq!(edit.transform_edge(position, priority), one_after_the_other);
                prop_assert_eq!(splice.transform_edge(position, priority), edit.transform_edge(position, priority));
            }
        }
    }
}

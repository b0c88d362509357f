//! An edit of a document, counted in the other unit.

use std::convert::Infallible;

use crate::text::{CodePoints, Delta, Op, Unit, Utf16, unit::Size};

use super::{EditError, RichText};

impl RichText {
    /// The same edit of this document, which must be able to [`Self::apply`] it, counted in code points.
    /// A place that is not in the document counts as the nearest one before it that is.
    pub fn to_code_points(&self, edit: &Delta<Utf16>) -> Delta<CodePoints> {
        let Ok(counted) = recount(edit, |position| Ok::<_, Infallible>(self.root.before::<Utf16>(position)));
        counted
    }

    /// The same edit of this document counted in UTF-16 units.
    ///
    /// # Errors
    /// When the edit reaches beyond the end.
    pub fn to_utf16(&self, edit: &Delta<CodePoints>) -> Result<Delta<Utf16>, EditError> {
        recount(edit, |position| self.before::<CodePoints>(position))
    }
}

fn recount<From: Unit, To: Unit, E>(
    edit: &Delta<From>,
    before: impl Fn(usize) -> Result<Size, E>,
) -> Result<Delta<To>, E> {
    let (mut recounted, mut position, mut place) = (Delta::new(), 0_usize, 0);
    let mut pass = |length: usize| {
        position = position.saturating_add(length);
        let start = std::mem::replace(&mut place, before(position)?.length::<To>());
        Ok(place - start)
    };
    for op in edit.ops() {
        recounted.push(match op {
            Op::Retain { length, attributes } => Op::Retain { length: pass(*length)?, attributes: attributes.clone() },
            Op::Delete { length } => Op::Delete { length: pass(*length)? },
            Op::Insert { .. } => op.clone(),
        });
    }
    Ok(recounted)
}

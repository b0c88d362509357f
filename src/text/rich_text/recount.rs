//! An edit of a document, counted in the other unit.

use crate::text::{CodePoints, Delta, Op, Unit, Utf16, unit::Size};

use super::{EditError, RichText};

impl RichText {
    /// The same edit of this document, which must be able to [`Self::apply`] it, counted in code points.
    /// A place that is not in the document counts as the nearest one before it that is.
    pub fn to_code_points(&self, edit: &Delta<Utf16>) -> Delta<CodePoints> {
        let lenient = |position| Ok::<_, EditError>(self.root.before::<Utf16>(position));
        self.recount(edit, lenient).unwrap_or_default()
    }

    /// The same edit of this document counted in UTF-16 units.
    ///
    /// # Errors
    /// When the edit reaches beyond the end.
    pub fn to_utf16(&self, edit: &Delta<CodePoints>) -> Result<Delta<Utf16>, EditError> {
        self.recount(edit, |position| self.before::<CodePoints>(position))
    }

    fn recount<From: Unit, To: Unit>(
        &self,
        edit: &Delta<From>,
        before: impl Fn(usize) -> Result<Size, EditError>,
    ) -> Result<Delta<To>, EditError> {
        let (mut recounted, mut position, mut place) = (Delta::new(), 0_usize, 0);
        for op in edit.ops() {
            let (Op::Retain { length, .. } | Op::Delete { length }) = op else {
                recounted.push(op.clone());
                continue;
            };
            position = position.saturating_add(*length);
            let start = std::mem::replace(&mut place, before(position)?.length::<To>());
            let length = place - start;
            recounted.push(match op {
                Op::Retain { attributes, .. } => Op::Retain { length, attributes: attributes.clone() },
                _ => Op::Delete { length },
            });
        }
        Ok(recounted)
    }
}

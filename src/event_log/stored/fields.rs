//! How single fields are read, whatever form they are in.

use serde::de::{Deserialize, Error, SeqAccess, value::SeqAccessDeserializer};

use super::Why;
use crate::domain::{IdError, Place, PositionEncoding, Stretch};

/// Reads the rest of a list as a tuple.
pub(super) fn rest<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(list: A) -> Result<T, A::Error> {
    T::deserialize(SeqAccessDeserializer::new(list))
}

/// The next element, or an error that names it.
pub(super) fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
    list: &mut A,
    name: &'static str,
) -> Result<T, A::Error> {
    list.next_element()?.ok_or_else(|| Error::missing_field(name))
}

/// An id.
pub(super) fn id<T, E: Error>(text: &str, parse: fn(&str) -> Result<T, IdError>) -> Result<T, E> {
    parse(text).map_err(E::custom)
}

/// A unit of positions.
pub(super) fn encoding(text: &str) -> Result<PositionEncoding, Why> {
    match text {
        "utf-16" => Ok(PositionEncoding::Utf16),
        "utf-32" => Ok(PositionEncoding::Utf32),
        unknown => Err(format!("{unknown:?} is not a position encoding")),
    }
}

/// Start and end in UTF-16 units, start and end in code points.
pub(super) type Ends = (u32, u32, u32, u32);

/// A place as it is written.
pub(super) fn ends(place: &Place) -> [usize; 4] {
    [place.utf16.start, place.utf16.end, place.code_points.start, place.code_points.end]
}

/// A place as it was written.
pub(super) fn place<E: Error>((start, end, from, to): Ends) -> Result<Place, E> {
    let place = Place { utf16: stretch(start, end), code_points: stretch(from, to) };
    if start <= end && from <= to { Ok(place) } else { Err(E::custom("a stretch ends before it begins")) }
}

pub(super) fn stretch(start: u32, end: u32) -> Stretch {
    Stretch { start: start as usize, end: end as usize }
}

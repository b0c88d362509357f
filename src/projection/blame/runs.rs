//! A text as the lengths of its pieces, each with where it came from.
//!
//! The pieces lie in chunks that know their own length only, so an edit moves nothing behind it. The chunk of the last
//! edit is remembered: people go on where they were, and then there is nothing to look for. An edit elsewhere steps
//! over `n / CHUNK` chunks at most.

/// Pieces per chunk, about.
const CHUNK: usize = 128;

/// A piece of text that one edit inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// In UTF-16 units.
    pub(super) length: u32,
    pub(super) from: Origin,
}

/// The edit that a piece came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The number of its author.
    pub(super) author: u32,
    pub(super) version: u64,
    /// In microseconds.
    pub(super) time: i64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    /// None is empty.
    chunks: Vec<Chunk>,
    /// A chunk, and where it begins; it may be the one that comes after the last.
    near: (usize, usize),
    length: usize,
}

#[derive(Debug, Clone, Default)]
struct Chunk {
    length: usize,
    /// Never empty; of neighbours no two come from the same edit.
    pieces: Vec<Piece>,
}

impl Runs {
    /// The length of the text in UTF-16 units.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// All pieces in order, each as long as can be.
    pub(super) fn iter(&self) -> impl Iterator<Item = Piece> {
        let mut pieces = self.chunks.iter().flat_map(|chunk| &chunk.pieces).copied().peekable();
        std::iter::from_fn(move || {
            let mut piece = pieces.next()?;
            // The end of one chunk and the beginning of the next may belong together.
            while let Some(more) = pieces.next_if(|next| next.from == piece.from) {
                piece.length += more.length;
            }
            Some(piece)
        })
    }

    /// Appends; for building it from the left.
    pub(super) fn push(&mut self, piece: Piece) {
        if self.chunks.last().is_none_or(|last| last.pieces.len() >= CHUNK) {
            self.chunks.push(Chunk::default());
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(piece);
            self.length += piece.length as usize;
        }
    }

    /// Inserts at a place inside of the text or at its end.
    pub(super) fn insert(&mut self, at: usize, piece: Piece) {
        let length = piece.length as usize;
        if length == 0 {
            return;
        }
        self.length += length;
        let (mut chunk, mut start) = self.find(at);
        if chunk == self.chunks.len() {
            match chunk.checked_sub(1) {
                Some(last) => (chunk, start) = (last, start - self.chunks[last].length),
                None => self.chunks.push(Chunk::default()),
            }
        }
        self.near = (chunk, start);
        if let Some(rest) = self.chunks[chunk].insert(at - start, piece) {
            self.chunks.insert(chunk + 1, rest);
        }
    }

    /// Deletes what is inside of the text.
    pub(super) fn delete(&mut self, at: usize, length: usize) {
        self.length -= length;
        let mut left = length;
        while left > 0 {
            let (chunk, start) = self.find(at);
            left -= self.chunks[chunk].delete(at - start, left);
            if self.chunks[chunk].pieces.is_empty() {
                self.chunks.remove(chunk);
            }
        }
    }

    /// The chunk with the unit at a place, and where it begins; at the end of the text the one after the last.
    fn find(&mut self, at: usize) -> (usize, usize) {
        let (mut chunk, mut start) = self.near;
        while at < start {
            chunk -= 1;
            start -= self.chunks[chunk].length;
        }
        while let Some(here) = self.chunks.get(chunk).filter(|here| start + here.length <= at) {
            start += here.length;
            chunk += 1;
        }
        self.near = (chunk, start);
        self.near
    }
}

impl Chunk {
    fn push(&mut self, piece: Piece) {
        self.length += piece.length as usize;
        match self.pieces.last_mut() {
            Some(last) if last.from == piece.from => last.length += piece.length,
            _ => self.pieces.push(piece),
        }
    }

    /// Answers the second half if it has become too long.
    fn insert(&mut self, at: usize, piece: Piece) -> Option<Self> {
        let (mut index, mut before) = (0, 0);
        while let Some(here) = self.pieces.get(index).filter(|here| before + here.length as usize <= at) {
            before += here.length as usize;
            index += 1;
        }
        self.length += piece.length as usize;
        let inside = u32::try_from(at - before).unwrap_or(u32::MAX);
        let joins = |other: Option<&Piece>| other.is_some_and(|other| other.from == piece.from);
        if joins(self.pieces.get(index)) {
            self.pieces[index].length += piece.length;
        } else if inside > 0 {
            let whole = self.pieces[index];
            self.pieces[index].length = inside;
            self.pieces.splice(index + 1..=index, [piece, Piece { length: whole.length - inside, ..whole }]);
        } else if joins(index.checked_sub(1).and_then(|left| self.pieces.get(left))) {
            self.pieces[index - 1].length += piece.length;
        } else {
            self.pieces.insert(index, piece);
        }
        (self.pieces.len() > 2 * CHUNK).then(|| {
            let pieces = self.pieces.split_off(CHUNK);
            let length = pieces.iter().map(|piece| piece.length as usize).sum();
            self.length -= length;
            Self { length, pieces }
        })
    }

    /// Deletes up to so much, and answers how much that was.
    fn delete(&mut self, at: usize, length: usize) -> usize {
        let end = self.length.min(at + length);
        let mut before = 0;
        self.pieces.retain_mut(|piece| {
            let (from, to) = (before, before + piece.length as usize);
            before = to;
            let gone = to.min(end).saturating_sub(from.max(at));
            piece.length -= u32::try_from(gone).unwrap_or(piece.length);
            piece.length > 0
        });
        self.pieces.dedup_by(|right, left| {
            let joins = left.from == right.from;
            left.length += if joins { right.length } else { 0 };
            joins
        });
        self.length -= end - at;
        end - at
    }
}

#[cfg(test)]
impl Runs {
    pub(super) fn is_in_short_chunks(&self) -> bool {
        let sound = |chunk: &Chunk| {
            let length: usize = chunk.pieces.iter().map(|piece| piece.length as usize).sum();
            length == chunk.length && (1..=2 * CHUNK).contains(&chunk.pieces.len())
        };
        self.chunks.len() > 4 && self.chunks.iter().all(sound)
    }
}

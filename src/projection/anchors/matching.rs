//! Which remembered deletions an insert brings back.
//!
//! Of a deleted text only its length and a fingerprint are kept: enough to know it again, and nothing that
//! could be read in a snapshot.

use std::collections::HashSet;

use crate::domain::Version;

use super::deletions::Deletion;

/// The modulus of the fingerprint, a Mersenne prime, and its base. Stored with snapshots: they never change.
const MODULUS: u64 = (1 << 61) - 1;
const BASE: u64 = 0x0123_4567_89AB_CDEF % MODULUS;
/// Deletions at one place that are tried together, and steps of the search among them.
const MOST_TRIED: usize = 64;
const STEPS: usize = 4_096;

/// The fingerprint of a text, from its UTF-16 units: a polynomial, so that parts of a text have theirs too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) u64);

impl Fingerprint {
    /// With a further unit behind it.
    fn then(self, unit: u16) -> Self {
        Self(add(multiply(self.0, BASE), u64::from(unit) + 1))
    }

    /// With further text behind it.
    pub(super) fn with(self, text: &str) -> Self {
        text.encode_utf16().fold(self, Self::then)
    }
}

fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken below 2^61")]
    let (low, high) = (product as u64 & MODULUS, (product >> 61) as u64);
    add(low, high)
}

const fn add(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= MODULUS { sum - MODULUS } else { sum }
}

/// An inserted text, of which every part has a fingerprint at once.
struct Inserted {
    /// Of everything before each place.
    before: Vec<u64>,
    /// The powers of the base.
    powers: Vec<u64>,
}

impl Inserted {
    fn new(pieces: &[&str]) -> Self {
        let (mut before, mut powers, mut so_far) = (vec![0], vec![1], Fingerprint::default());
        for unit in pieces.iter().flat_map(|piece| piece.encode_utf16()) {
            so_far = so_far.then(unit);
            before.push(so_far.0);
            powers.push(multiply(powers[powers.len() - 1], BASE));
        }
        Self { before, powers }
    }

    fn length(&self) -> usize {
        self.before.len() - 1
    }

    /// Whether this deletion's text stands at a place.
    fn has(&self, deletion: &Deletion, at: usize) -> bool {
        let end = at + deletion.length as usize;
        let Some(to) = self.before.get(end) else { return false };
        let moved = multiply(self.before[at], self.powers[end - at]);
        add(*to, MODULUS - moved) == deletion.fingerprint.0
    }
}

/// Which of the deletions at one place, given in order, `pieces` brings back: all of it, and each of them whole.
///
/// The youngest edit whose deletions here make up the text, or else the fewest of the youngest edits among
/// whose deletions it can be found, some of them left out. What is being deleted `now`, by the edit that inserts,
/// comes back as one or not at all.
pub(super) fn brought_back(deletions: &[Deletion], pieces: &[&str], length: u32, now: Version) -> Option<Vec<usize>> {
    let mut ages: Vec<u64> = deletions.iter().map(|it| it.version.0).collect();
    ages.sort_unstable_by(|a, b| b.cmp(a));
    ages.dedup();
    let long_enough = |of: &mut dyn Iterator<Item = &Deletion>| of.map(|it| u64::from(it.length)).sum::<u64>();
    if ages.is_empty() || long_enough(&mut deletions.iter()) < u64::from(length) {
        return None;
    }
    let inserted = Inserted::new(pieces);
    let chosen = |choose: &dyn Fn(&Deletion) -> bool| -> Vec<usize> {
        (0..deletions.len()).filter(|at| choose(&deletions[*at])).collect()
    };
    for age in &ages {
        let of_one_edit = chosen(&|it| it.version.0 == *age);
        if is_made_up(deletions, &of_one_edit, &inserted) {
            return Some(of_one_edit);
        }
    }
    let mut steps = STEPS;
    for age in ages.iter().filter(|age| **age != now.0) {
        let young = chosen(&|it| it.version.0 >= *age && it.version != now);
        if young.len() > MOST_TRIED {
            break;
        }
        if long_enough(&mut young.iter().map(|at| &deletions[*at])) >= u64::from(length) {
            let mut search = Search { deletions, among: &young, inserted: &inserted, dead_ends: HashSet::new() };
            let mut taken = Vec::new();
            if search.run(0, 0, &mut taken, &mut steps) {
                return Some(taken);
            }
        }
    }
    None
}

fn is_made_up(deletions: &[Deletion], of: &[usize], inserted: &Inserted) -> bool {
    let mut at = 0;
    let fits = of.iter().all(|index| {
        let here = at;
        at += deletions[*index].length as usize;
        inserted.has(&deletions[*index], here)
    });
    fits && at == inserted.length()
}

struct Search<'a> {
    deletions: &'a [Deletion],
    among: &'a [usize],
    inserted: &'a Inserted,
    dead_ends: HashSet<(usize, usize)>,
}

impl Search<'_> {
    /// Whether the text from `at` on is made up of some of the deletions from the `next`th on.
    fn run(&mut self, next: usize, at: usize, taken: &mut Vec<usize>, steps: &mut usize) -> bool {
        if at == self.inserted.length() {
            return true;
        }
        let Some(index) = self.among.get(next).copied() else { return false };
        if *steps == 0 || self.dead_ends.contains(&(next, at)) {
            return false;
        }
        *steps -= 1;
        if self.inserted.has(&self.deletions[index], at) {
            taken.push(index);
            if self.run(next + 1, at + self.deletions[index].length as usize, taken, steps) {
                return true;
            }
            taken.pop();
        }
        if self.run(next + 1, at, taken, steps) {
            return true;
        }
        self.dead_ends.insert((next, at));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion(text: &str, version: u64) -> Deletion {
        let length = u32::try_from(text.encode_utf16().count()).unwrap();
        let fingerprint = Fingerprint::default().with(text);
        Deletion { length, fingerprint, version: Version(version), parts: None }
    }

    fn found(deletions: &[(&str, u64)], text: &str) -> Option<Vec<usize>> {
        let deletions: Vec<_> = deletions.iter().map(|(text, version)| deletion(text, *version)).collect();
        brought_back(&deletions, &[text], u32::try_from(text.encode_utf16().count()).unwrap(), Version(100))
    }

    #[test]
    fn the_same_text_is_brought_back() {
        assert_eq!(found(&[("some 😀 text", 5)], "some 😀 text"), Some(vec![0]));
        assert_eq!(found(&[("some text", 5)], "some"), None);
        assert_eq!(found(&[("some", 5)], "some text"), None);
        assert_eq!(found(&[("some", 5)], "same"), None);
        assert_eq!(found(&[], "x"), None);
    }

    #[test]
    fn of_equal_ones_the_youngest_is_meant() {
        assert_eq!(found(&[("a", 7), ("a", 8), ("a", 6)], "a"), Some(vec![1]));
    }

    #[test]
    fn several_edits_may_be_taken_back_at_once() {
        assert_eq!(found(&[("h", 4), ("e", 3), ("l", 2)], "hel"), Some(vec![0, 1, 2]));
        assert_eq!(found(&[("h", 4), ("e", 3), ("l", 2)], "he"), Some(vec![0, 1]));
    }

    #[test]
    fn what_came_and_went_in_between_is_left_out() {
        assert_eq!(found(&[("he", 2), ("y", 9), ("llo", 1)], "hello"), Some(vec![0, 2]));
    }

    #[test]
    fn what_is_being_deleted_comes_back_as_one_or_not_at_all() {
        assert_eq!(found(&[("ab", 100), ("c", 3)], "ab"), Some(vec![0]));
        assert_eq!(found(&[("ab", 100), ("c", 3)], "abc"), None);
    }

    #[test]
    fn a_search_ends() {
        let many: Vec<_> = (0..60).map(|version| ("a", version)).collect();
        assert_eq!(found(&many, &format!("{}b", "a".repeat(40))), None);
    }
}

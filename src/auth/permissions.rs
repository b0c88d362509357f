//! What somebody may do, and on which documents.

use std::fmt;

use serde_json::Value;

use crate::domain::DocumentId;

/// Something that one may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Open a document.
    Read,
    /// Edit it.
    Write,
    /// Comment on it.
    Comment,
    /// Everything, also what only its author may do otherwise.
    Admin,
}

impl Permission {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Comment, Self::Admin];

    /// The short form, as in `connection_ack`: `write`.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Comment => "comment",
            Self::Admin => "admin",
        }
    }

    /// The long form, as in errors: `document:write`.
    pub const fn long(self) -> &'static str {
        match self {
            Self::Read => "document:read",
            Self::Write => "document:write",
            Self::Comment => "document:comment",
            Self::Admin => "document:admin",
        }
    }

    /// Reads either form.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| text == known.short() || text == known.long())
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Read => 0b0001,
            Self::Write => 0b0010,
            Self::Comment => 0b0100,
            Self::Admin => 0b1111,
        }
    }
}

/// Some permissions; `admin` includes the others.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PermissionSet(u8);

impl PermissionSet {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// Every one.
    pub const ALL: Self = Self(Permission::Admin.bits());

    /// Whether `permission` is among them.
    pub const fn allows(self, permission: Permission) -> bool {
        self.0 & permission.bits() == permission.bits()
    }

    /// Each one that is among them.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.allows(*permission))
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bits()))
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What somebody may do on each document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// The most specific pattern first, so that the first match wins.
    rules: Vec<(Pattern, PermissionSet)>,
}

/// Which documents a rule is about. The order is from special to general.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// This one.
    Exactly(String),
    /// Every one whose id begins so.
    StartingWith(String),
}

impl Pattern {
    /// `doc_abc123`, `team-a/*` or `*`; a star anywhere else means nothing.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some(start) => (!start.contains('*')).then(|| Self::StartingWith(start.to_owned())),
            None => (!text.contains('*')).then(|| Self::Exactly(text.to_owned())),
        }
    }

    fn matches(&self, id: &str) -> bool {
        match self {
            Self::Exactly(this) => id == this,
            Self::StartingWith(start) => id.starts_with(start),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Exactly(text) | Self::StartingWith(text) => text,
        }
    }

    /// The higher, the more specific.
    fn specificity(&self) -> (bool, usize) {
        match self {
            Self::Exactly(this) => (true, this.len()),
            Self::StartingWith(start) => (false, start.len()),
        }
    }
}

impl Permissions {
    /// The same on every document.
    pub fn everywhere(set: PermissionSet) -> Self {
        Self { rules: vec![(Pattern::StartingWith(String::new()), set)] }
    }

    /// Nothing anywhere.
    pub const fn none() -> Self {
        Self { rules: Vec::new() }
    }

    /// What is allowed on everything that no more special pattern names: for what concerns the whole service.
    pub fn on_all(&self) -> PermissionSet {
        let is_all = |pattern: &Pattern| matches!(pattern, Pattern::StartingWith(start) if start.is_empty());
        self.rules.iter().find(|(pattern, _)| is_all(pattern)).map_or(PermissionSet::NONE, |(_, set)| *set)
    }

    /// What is allowed on `document`: the most specific pattern decides alone.
    pub fn on(&self, document: &DocumentId) -> PermissionSet {
        let rule = self.rules.iter().find(|(pattern, _)| pattern.matches(document.as_str()));
        rule.map_or(PermissionSet::NONE, |(_, set)| *set)
    }

    /// After which name, in the order of names, there may be a document again on which this is allowed, where it is not
    /// on `id`; `None` where it is on none that comes later. No document lies between the two on which it is.
    pub fn next_after(&self, id: &str, needed: Permission) -> Option<String> {
        let ruled_by = self.rules.iter().map(|(pattern, _)| pattern).find(|pattern| pattern.matches(id));
        let end = match ruled_by {
            Some(Pattern::Exactly(_)) => Some(id.to_owned()),
            Some(Pattern::StartingWith(start)) if !start.is_empty() => Some(format!("{start}{AFTER_ALL}")),
            Some(Pattern::StartingWith(_)) | None => None,
        };
        let allowed = self.rules.iter().filter(|(_, set)| set.allows(needed)).map(|(pattern, _)| pattern.text());
        // Never back, whatever a pattern looks like.
        let begin = allowed.filter(|start| *start > id).min().map(|start| just_before(start).max(id.to_owned()));
        end.into_iter().chain(begin).min()
    }

    /// Reads the claim `permissions`: a list, or an object from a pattern to a list. A word that is not known
    /// allows nothing here; `None` where the claim has another shape.
    pub(super) fn from_claim(claim: &Value) -> Option<Self> {
        if let Some(set) = set_from(claim) {
            return Some(Self::everywhere(set));
        }
        let rule = |(pattern, set)| Some((Pattern::parse(pattern)?, set_from(set)?));
        let mut rules: Vec<_> =
            claim.as_object()?.iter().map(|(pattern, set)| rule((pattern, set))).collect::<Option<_>>()?;
        rules.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.specificity()));
        Some(Self { rules })
    }
}

/// Greater than every character of an id.
const AFTER_ALL: char = '\u{7f}';

/// A text that is less than this one, with no id between the two.
fn just_before(text: &str) -> String {
    let mut before = text.to_owned();
    match before.pop().map(u32::from).and_then(|last| char::from_u32(last.saturating_sub(1))) {
        Some(less) => {
            before.push(less);
            before.push(AFTER_ALL);
            before
        }
        // Not an id's: whoever goes on from an earlier place misses nothing.
        None => before,
    }
}

fn set_from(claim: &Value) -> Option<PermissionSet> {
    let words = claim.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
    Some(words.into_iter().filter_map(Permission::parse).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use Permission::{Admin, Comment, Read, Write};

    fn on(claim: &Value, document: &str) -> Vec<Permission> {
        Permissions::from_claim(claim).unwrap().on(&DocumentId::parse(document).unwrap()).iter().collect()
    }

    #[test]
    fn a_list_holds_for_every_document() {
        assert_eq!(on(&json!(["read", "comment"]), "any/thing"), [Read, Comment]);
        assert_eq!(on(&json!([]), "any"), []);
    }

    #[test]
    fn the_long_forms_mean_the_same() {
        assert_eq!(on(&json!(["document:read", "document:write", "document:comment"]), "d"), [Read, Write, Comment]);
    }

    #[test]
    fn admin_includes_the_others_and_the_others_together_are_not_admin() {
        assert_eq!(on(&json!(["admin"]), "d"), [Read, Write, Comment, Admin]);
        assert_eq!(on(&json!(["read", "write", "comment"]), "d"), [Read, Write, Comment]);
    }

    #[test]
    fn the_most_specific_pattern_wins_alone() {
        let claim = json!({ "*": ["read"], "team-a/*": ["write"], "team-a/x/*": ["comment"], "team-a/x/1": [] });
        assert_eq!(on(&claim, "other"), [Read]);
        assert_eq!(on(&claim, "team-a/1"), [Write]);
        assert_eq!(on(&claim, "team-a/x/2"), [Comment]);
        assert_eq!(on(&claim, "team-a/x/1"), []);
        assert_eq!(on(&json!({ "team-a/*": ["admin"] }), "team-b/1"), []);
        assert_eq!(on(&json!({ "doc": ["read"], "doc*": ["write"] }), "doc"), [Read]);
    }

    #[test]
    fn what_may_be_read_is_found_without_going_through_the_rest() {
        let all = ["a", "a/1", "a/2", "b", "b/x", "b/x/1", "b/x/2", "b/y", "c", "d-1", "d-2", "e", "~"];
        for claim in [
            json!(["read"]),
            json!([]),
            json!({"a/*": ["read"], "d-*": ["read"]}),
            json!({"*": ["read"], "b/*": [], "b/x/*": ["read"], "b/x/1": []}),
            json!({"c": ["read"], "~": ["admin"]}),
            json!({"": ["read"], "b*": ["read"], "b/*": ["write"]}),
        ] {
            let permissions = Permissions::from_claim(&claim).unwrap();
            let is_readable = |id: &str| permissions.on(&DocumentId::parse(id).unwrap()).allows(Read);
            let (mut found, mut looked_at, mut after) = (Vec::new(), 0, String::new());
            while let Some(id) = all.into_iter().find(|id| *id > &*after) {
                looked_at += 1;
                after = id.to_owned();
                if is_readable(id) {
                    found.push(id);
                } else if let Some(next) = permissions.next_after(id, Read) {
                    assert!(*next >= *id);
                    after = next;
                } else {
                    break;
                }
            }
            assert_eq!(found, all.into_iter().filter(|id| is_readable(id)).collect::<Vec<_>>(), "{claim}");
            assert!(looked_at <= found.len() + 4, "{claim}: looked at {looked_at}");
        }
    }

    #[test]
    fn what_concerns_the_whole_service_needs_a_permission_on_everything() {
        let on_all = |claim: Value| Permissions::from_claim(&claim).unwrap().on_all().iter().collect::<Vec<_>>();
        assert_eq!(on_all(json!(["read"])), [Read]);
        assert_eq!(on_all(json!({ "*": ["admin"], "doc": [] })), [Read, Write, Comment, Admin]);
        assert_eq!(on_all(json!({ "team-a/*": ["admin"] })), []);
    }

    #[test]
    fn a_word_that_is_not_known_allows_nothing() {
        assert_eq!(on(&json!(["read", "fly", "READ", "write "]), "d"), [Read]);
    }

    #[test]
    fn a_claim_of_another_shape_is_not_guessed_at() {
        for claim in [json!("read"), json!(null), json!(7), json!([1]), json!({"d": "read"}), json!({"a*b": ["read"]})]
        {
            assert_eq!(Permissions::from_claim(&claim), None, "{claim}");
        }
    }
}

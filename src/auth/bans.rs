//! Who is shut out now.

use std::collections::HashMap;

use crate::domain::{Revocation, Revoked, Timestamp, TokenId, UserId};

/// The revocations that have not run out, folded: the last one about somebody counts.
#[derive(Debug, Default)]
pub struct Bans(HashMap<Revoked, Timestamp>);

impl Bans {
    /// Takes one in. One that has run out lifts what there was.
    pub fn apply(&mut self, revocation: &Revocation, now: Timestamp) {
        if revocation.until > now {
            self.0.insert(revocation.revoked.clone(), revocation.until);
        } else {
            self.0.remove(&revocation.revoked);
        }
    }

    /// Forgets those that have run out: what is held is bounded by what is in force.
    pub fn forget_past(&mut self, now: Timestamp) {
        self.0.retain(|_, until| *until > now);
    }

    /// Until when somebody is shut out, by their name or by their token; `None` where they are not.
    pub fn until(&self, user: &UserId, token: Option<&TokenId>, now: Timestamp) -> Option<Timestamp> {
        if self.0.is_empty() {
            return None;
        }
        let by_name = self.0.get(&Revoked::User(user.clone()));
        let by_token = token.and_then(|id| self.0.get(&Revoked::Token(id.clone())));
        by_name.max(by_token).copied().filter(|until| *until > now)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is shut out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn until(revoked: Revoked, until: i64) -> Revocation {
        Revocation { revoked, until: Timestamp(until), reason: None, by: user("admin") }
    }

    #[test]
    fn somebody_is_shut_out_by_name_or_by_token_until_a_moment() {
        let (ann, token) = (user("ann"), TokenId::parse("t-1").unwrap());
        let mut bans = Bans::default();
        assert_eq!(bans.until(&ann, Some(&token), Timestamp(0)), None);
        bans.apply(&until(Revoked::User(ann.clone()), 10), Timestamp(0));
        bans.apply(&until(Revoked::Token(token.clone()), 20), Timestamp(0));
        assert_eq!(bans.until(&ann, None, Timestamp(9)), Some(Timestamp(10)));
        assert_eq!(bans.until(&ann, None, Timestamp(10)), None);
        assert_eq!(bans.until(&ann, Some(&token), Timestamp(9)), Some(Timestamp(20)), "the longer one counts");
        bans.apply(&until(Revoked::User(ann.clone()), 30), Timestamp(0));
        assert_eq!(bans.until(&ann, Some(&token), Timestamp(9)), Some(Timestamp(30)), "also when it is the name's");
        assert_eq!(bans.until(&user("ben"), Some(&token), Timestamp(19)), Some(Timestamp(20)));
        assert_eq!(bans.until(&user("ben"), None, Timestamp(0)), None);
        assert_eq!(bans.until(&user("t-1"), None, Timestamp(0)), None, "a token is not a user of that name");
    }

    #[test]
    fn the_last_word_counts_and_what_has_run_out_is_forgotten() {
        let ann = user("ann");
        let mut bans = Bans::default();
        bans.apply(&until(Revoked::User(ann.clone()), 100), Timestamp(0));
        bans.apply(&until(Revoked::User(ann.clone()), 50), Timestamp(0));
        assert_eq!(bans.until(&ann, None, Timestamp(0)), Some(Timestamp(50)), "it can be shortened");
        bans.apply(&until(Revoked::User(ann.clone()), 7), Timestamp(8));
        assert!(bans.is_empty(), "and lifted");
        for n in 0..1_000 {
            bans.apply(&until(Revoked::User(user(&format!("u{n}"))), 10 + n), Timestamp(0));
        }
        bans.forget_past(Timestamp(1_000));
        assert_eq!(bans.len(), 9);
    }
}

//! Shutting somebody out for a while.

use super::{Timestamp, TokenId, UserId};

/// Whom or what a revocation is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// A user, whatever token they come with; also a guest of this name.
    User(UserId),
    /// One token, by its `jti`.
    Token(TokenId),
}

/// Somebody is shut out until a moment. A later one about the same takes the place of an earlier one: with a moment
/// that is past, it lets them in again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Who or what.
    pub revoked: Revoked,
    /// Until when.
    pub until: Timestamp,
    /// Why, for those who look into it later. The one who is shut out is not told.
    pub reason: Option<String>,
    /// Who said so.
    pub by: UserId,
}

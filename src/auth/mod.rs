//! Who somebody is and what they may do: guests, tokens, permissions.
//!
//! Nothing here looks at a clock: the time to judge by is passed in. Tokens and keys appear in no error and no
//! `Debug` form.

mod bans;
mod carrier;
mod keys;
mod permissions;
mod token;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use uuid::Uuid;

pub use bans::Bans;
pub use carrier::{Carried, carried};
pub use permissions::{Permission, PermissionSet, Permissions};
pub use token::{Claims, IssueError, issue};

use crate::{
    domain::{IdError, Timestamp, TokenId, UserId},
    settings::{Auth, AuthMode},
};

/// Somebody, as established when the connection opened or its token was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user_id: UserId,
    /// The token's `jti`, where it has one.
    pub token_id: Option<TokenId>,
    /// The name to show.
    pub name: Option<String>,
    /// A picture to show.
    pub avatar_url: Option<String>,
    /// A colour for the cursor.
    pub color: Option<String>,
    /// What the token calls the user's role. It means nothing to the service itself.
    pub role: Option<String>,
    /// What they may do on each document.
    pub permissions: Permissions,
    /// From when on the identity no longer holds, leeway included; `None` for guests.
    pub expires_at: Option<Timestamp>,
}

/// Who a guest says they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestQuery {
    user_id: Option<UserId>,
    name: Option<String>,
    color: Option<String>,
}

/// Why a guest's self-description is not usable: an HTTP 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGuest {
    /// The user id.
    #[error(transparent)]
    UserId(#[from] IdError),
    /// The name or the colour.
    #[error("{what} must be at most {GUEST_TEXT} characters, without control characters")]
    Text {
        /// Which.
        what: &'static str,
    },
}

/// The longest name and colour of a guest, in characters. Everybody else gets to see them.
const GUEST_TEXT: usize = 128;

impl GuestQuery {
    /// Checks `user_id`, `name` and `color` off the query.
    pub fn parse(user_id: Option<&str>, name: Option<&str>, color: Option<&str>) -> Result<Self, BadGuest> {
        let text = |what, text: Option<&str>| match text {
            Some(text) if text.chars().count() > GUEST_TEXT || text.chars().any(char::is_control) => {
                Err(BadGuest::Text { what })
            }
            text => Ok(text.filter(|text| !text.is_empty()).map(str::to_owned)),
        };
        let user_id = user_id.filter(|id| !id.is_empty()).map(UserId::parse).transpose()?;
        Ok(Self { user_id, name: text("name", name)?, color: text("color", color)? })
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No token.
    Missing,
    /// Not a token, or a claim that makes no sense.
    Malformed,
    /// Signed with an algorithm that does not go with the configured key.
    WrongAlgorithm,
    /// Signed with a key that is not in the set.
    UnknownKey,
    /// Not signed by the configured key.
    BadSignature,
    /// `exp` is past.
    Expired,
    /// `nbf` is ahead.
    NotYetValid,
    /// `iss` is not the configured one.
    WrongIssuer,
    /// `aud` does not name us.
    WrongAudience,
    /// No `sub`.
    NoSubject,
    /// No `exp`.
    NoExpiry,
    /// In the place of a connection's token: it is somebody else's.
    OtherUser,
    /// In the place of a connection's token: nobody has one here.
    NotAsked,
}

impl Reason {
    /// As in `details.reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::NoSubject => "no_subject",
            Self::NoExpiry => "no_expiry",
            Self::OtherUser => "other_user",
            Self::NotAsked => "not_asked",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Missing => "a token is needed",
            Self::Malformed => "the token is malformed",
            Self::WrongAlgorithm => "the token is signed with an algorithm that is not accepted",
            Self::UnknownKey => "the token is signed with a key that is not known",
            Self::BadSignature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::WrongIssuer => "the token is from another issuer",
            Self::WrongAudience => "the token is for another audience",
            Self::NoSubject => "the token has no `sub`",
            Self::NoExpiry => "the token has no `exp`",
            Self::OtherUser => "the token is of another user than the connection",
            Self::NotAsked => "this service asks for no tokens",
        }
    }
}

/// Somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
}

impl std::error::Error for Denied {}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.message())
    }
}

/// Why authentication cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// None or several of the keys.
    #[error("auth.mode = \"jwt\" needs exactly one of auth.hs256_secret, auth.public_key_file and auth.jwks_file")]
    OneKey,
    /// Anybody who knows the public key could sign.
    #[error("auth.hs256_secret is a PEM key; a public key belongs into a file that auth.public_key_file names")]
    SecretIsPem,
    /// The file is not what it should be.
    #[error("{key} {}: {why}", path.display())]
    KeyFile {
        /// The setting.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Establishes identities as configured. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Authenticator(Mode);

#[derive(Debug, Clone)]
enum Mode {
    Guests,
    Tokens(Arc<RwLock<Arc<token::Verifier>>>),
}

impl Authenticator {
    /// Reads the keys, where some are configured.
    pub fn from_settings(auth: &Auth) -> Result<Self, SetupError> {
        Ok(Self(match auth.mode {
            AuthMode::None => Mode::Guests,
            AuthMode::Jwt => Mode::Tokens(Arc::new(RwLock::new(Arc::new(token::Verifier::from_settings(auth)?)))),
        }))
    }

    /// Reads the keys again, and checks tokens with them from now on. The old ones stay if that fails. Whoever is
    /// connected stays so until their token ends.
    pub fn reload(&self, auth: &Auth) -> Result<(), SetupError> {
        if let Mode::Tokens(verifier) = &self.0 {
            let new = Arc::new(token::Verifier::from_settings(auth)?);
            *verifier.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }

    /// Which keys there are, for the operator's log; `None` without tokens.
    pub fn keys(&self) -> Option<String> {
        self.verifier().map(|verifier| verifier.keys())
    }

    fn verifier(&self) -> Option<Arc<token::Verifier>> {
        match &self.0 {
            Mode::Guests => None,
            Mode::Tokens(verifier) => Some(Arc::clone(&verifier.read().unwrap_or_else(PoisonError::into_inner))),
        }
    }

    /// Who somebody with this token is at `now`; without authentication, whom they say they are.
    pub fn authenticate(&self, token: Option<&str>, guest: GuestQuery, now: Timestamp) -> Result<Identity, Denied> {
        match self.verifier() {
            None => Ok(guest_identity(guest)),
            Some(verifier) => verifier.verify(token.ok_or(Denied { reason: Reason::Missing })?, now),
        }
    }

    /// Who `user` is with another token: what may replace the one that they came with.
    pub fn renew(&self, user: &UserId, token: &str, now: Timestamp) -> Result<Identity, Denied> {
        let verifier = self.verifier().ok_or(Denied { reason: Reason::NotAsked })?;
        let identity = verifier.verify(token, now)?;
        if identity.user_id == *user { Ok(identity) } else { Err(Denied { reason: Reason::OtherUser }) }
    }
}

fn guest_identity(guest: GuestQuery) -> Identity {
    Identity {
        user_id: guest.user_id.unwrap_or_else(random_guest),
        token_id: None,
        name: guest.name,
        avatar_url: None,
        color: guest.color,
        role: None,
        permissions: Permissions::everywhere(PermissionSet::ALL),
        expires_at: None,
    }
}

fn random_guest() -> UserId {
    let random = Uuid::new_v4().simple().to_string();
    UserId::parse(&format!("guest-{}", &random[..16])).expect("short, and letters and digits only")
}

/// A new name that is nobody's and tells nothing, to stand in the place of somebody who was erased.
pub fn nobody() -> UserId {
    UserId::parse(&format!("erased-{}", Uuid::new_v4().simple())).expect("short, and letters, digits and hyphens only")
}

#[cfg(test)]
mod tests;

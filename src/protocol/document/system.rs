//! The token of a connection: its coming end, and the one that takes its place.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    domain::{ClientId, MessageId, UserId},
    protocol::{
        Refusal,
        schema::{Name, Time},
    },
};

use super::{
    reading::read,
    server::{Told, encode},
};

/// A token as it was sent. It does not show in any `Debug` form.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token. Do not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Another token for the connection.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an object")]
#[schemars(rename = "Authenticate")]
pub(super) struct TokenData {
    token: String,
}

pub(super) fn read_token(data: &RawValue) -> Result<Token, Refusal> {
    read(data.get(), "data").map(|TokenData { token }| Token(token))
}

/// The connection ends with its token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenExpiring")]
pub(super) struct TokenExpiringData<'a> {
    #[schemars(with = "Time")]
    expires_at: &'a str,
}

impl Told for TokenExpiringData<'_> {
    const NAME: (&'static str, &'static str) = ("system", "token_expiring");
}

/// `system`/`token_expiring`: the connection ends at this moment unless it gets another token.
pub fn token_expiring(expires_at: &str) -> String {
    encode(TokenExpiringData { expires_at }, (None, None))
}

/// Another token holds.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Authenticated")]
pub(super) struct AuthenticatedData<'a> {
    #[schemars(with = "Name")]
    user_id: &'a str,
    permissions: &'a [&'static str],
    #[schemars(with = "Option<Time>")]
    expires_at: Option<&'a str>,
}

impl Told for AuthenticatedData<'_> {
    const NAME: (&'static str, &'static str) = ("system", "authenticated");
}

/// `system`/`authenticated`: another token holds from here on; `permissions` by their short names.
pub fn authenticated(
    (client, message): (&ClientId, Option<&MessageId>),
    user_id: &UserId,
    permissions: &[&'static str],
    expires_at: Option<&str>,
) -> String {
    let data = AuthenticatedData { user_id: user_id.as_str(), permissions, expires_at };
    encode(data, (Some(client), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show() {
        assert!(!format!("{:?}", Token("sesame".into())).contains("sesame"));
    }
}

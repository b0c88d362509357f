//! The token of a connection: its coming end, and the one that takes its place.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    domain::{ClientId, MessageId, UserId},
    protocol::Refusal,
};

use super::{
    client::{ClientEvent, read},
    server::encode,
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

pub(super) fn read_token(data: &RawValue) -> Result<ClientEvent, Refusal> {
    #[derive(Deserialize)]
    struct Data {
        token: String,
    }
    read(data.get(), "data").map(|Data { token }| ClientEvent::Authenticate { token: Token(token) })
}

/// `system`/`token_expiring`: the connection ends at this moment unless it gets another token.
pub fn token_expiring(expires_at: &str) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        expires_at: &'a str,
    }
    encode(("system", "token_expiring"), Data { expires_at }, (None, None))
}

/// `system`/`authenticated`: another token holds from here on; `permissions` by their short names.
pub fn authenticated(
    (client, message): (&ClientId, Option<&MessageId>),
    user_id: &UserId,
    permissions: &[&'static str],
    expires_at: Option<&str>,
) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        user_id: &'a str,
        permissions: &'a [&'static str],
        expires_at: Option<&'a str>,
    }
    let data = Data { user_id: user_id.as_str(), permissions, expires_at };
    encode(("system", "authenticated"), data, (Some(client), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show() {
        assert!(!format!("{:?}", Token("sesame".into())).contains("sesame"));
    }
}

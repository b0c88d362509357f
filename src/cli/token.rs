//! `token`: a JSON Web Token for trying things out.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    auth::{self, Claims},
    clock::Clock,
    domain::{Timestamp, UserId},
    settings::{self, Settings},
};

use super::{Failure, output};

/// Make a token for trying things out
///
/// Signs with `auth.hs256_secret`. With a public key, tokens come from whoever has the private one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Token {
    /// The user id that the token is for
    #[arg(long, value_name = "NAME", value_parser = user_id)]
    sub: UserId,
    /// The name to show; the user id when absent
    #[arg(long)]
    name: Option<String>,
    /// A list like "read,write", or JSON: a list, or an object from a pattern of documents to a list
    #[arg(long, value_name = "LIST|JSON", default_value = "read,write,comment", value_parser = permissions)]
    permissions: Value,
    /// How long the token is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// Print the token and its end as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "Examples:
  scriptorium token --sub ada
  scriptorium token --sub eve --permissions read --ttl 5m
  scriptorium token --sub bob --permissions '{\"team-a/*\": [\"read\", \"write\"], \"*\": [\"read\"]}'";

fn user_id(text: &str) -> Result<UserId, String> {
    UserId::parse(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    settings::parse_duration(text).ok_or_else(|| "must be a duration like 30s, 5m or 2h".to_owned())
}

/// JSON is left as it is, for the issuer to check; anything else is a list with commas.
fn permissions(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with(['[', '{']) {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    Ok(json!(words.collect::<Vec<_>>()))
}

impl Token {
    pub(super) fn run(self, settings: &Settings) -> Result<(), Failure> {
        let Self { sub: user_id, name, permissions, ttl, json } = self;
        let name = name.or_else(|| Some(user_id.to_string()));
        let claims = Claims { user_id, name, permissions, issued_at: Clock::system().now(), ttl };
        let token = auth::issue(&settings.auth, &claims).map_err(Failure::usage)?;
        if !json {
            return Ok(output::line(token)?);
        }
        let Claims { user_id, permissions, issued_at, .. } = claims;
        // A token's end is a whole second.
        let end = issued_at.0.div_euclid(1_000_000).saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let end = Timestamp(end.saturating_mul(1_000_000)).to_string();
        let sub = user_id.as_str();
        Ok(output::json(&json!({"token": token, "sub": sub, "permissions": permissions, "expires_at": end}))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_words_or_json() {
        assert_eq!(permissions("read, write"), Ok(json!(["read", "write"])));
        assert_eq!(permissions(""), Ok(json!([])));
        assert_eq!(permissions(r#"{"a/*": ["read"]}"#), Ok(json!({ "a/*": ["read"] })));
        assert!(permissions("[read]").is_err());
    }
}

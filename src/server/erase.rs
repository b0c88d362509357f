//! `POST /v1/erasures`: erasing a person.

use std::sync::Arc;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use crate::{
    domain::UserId,
    protocol::schema::{Name, Time},
};

use super::{
    problem::{Code, Problem},
    rest::{Ask, json, read_json, unusable},
};

/// Who is to be erased.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ErasureOrder")]
pub(super) struct ErasureOrderJson {
    /// The user.
    #[schemars(with = "Name")]
    user_id: String,
}

/// What was done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Erasure")]
pub(super) struct ErasureJson<'a> {
    /// What stands in their place from now on. It tells nothing of them.
    #[schemars(with = "Name")]
    erased_as: &'a str,
    /// Events that said something of them.
    events: u64,
    /// Documents that they wrote in, or commented on.
    documents: u64,
    /// When it began.
    #[schemars(with = "Time")]
    timestamp: String,
}

/// `POST /v1/erasures`. It goes on if the one who asks does not wait for the answer.
pub(super) async fn erase(ask: &Ask, body: &[u8]) -> Result<warp::reply::Response, Problem> {
    let ErasureOrderJson { user_id } = read_json(body)?;
    let user = UserId::parse(&user_id).map_err(|error| unusable(error.to_string()))?;
    let shared = Arc::clone(&ask.shared);
    let erasing = ask.shared.sessions.spawn(async move {
        tokio::select! {
            erased = shared.erasures.erase(&user) => Some(erased),
            // Whoever runs next finishes it.
            () = shared.stopping.cancelled() => None,
        }
    });
    let later = "it may have begun, and is then finished by itself; ask again to know";
    match erasing.await {
        Ok(Some(Ok((erasure, rewriting)))) => {
            let by = &ask.identity.user_id;
            let (events, documents) = (rewriting.events, rewriting.documents);
            info!(erased_as = %erasure.pseudonym, %by, events, documents, "erased a person");
            let (erased_as, timestamp) = (erasure.pseudonym.as_str(), erasure.at.to_string());
            Ok(json(StatusCode::OK, &ErasureJson { erased_as, events, documents, timestamp }))
        }
        Ok(None) => Err(Problem::new(Code::ShuttingDown, format!("the service stops; {later}"))),
        Ok(Some(Err(why))) => {
            error!(error = %why, "a person could not be erased");
            Err(why.into())
        }
        Err(why) => {
            error!(error = %why, "erasing a person ended in a panic");
            Err(Problem::new(Code::Internal, format!("something went wrong here; {later}")))
        }
    }
}

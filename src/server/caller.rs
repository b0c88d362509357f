//! Who asks over HTTP, and with what right.

use http::{HeaderMap, header};

use crate::{
    auth::{GuestQuery, Identity, Permission, carried},
    domain::DocumentId,
};

use super::{
    Shared,
    problem::{Code, Problem},
};

/// Who asks over HTTP without a token and without saying who they are.
const GUEST: &str = "guest";

/// Somebody whose token is good, and who is not shut out; without authentication, whoever they say they are.
pub(super) fn identify(shared: &Shared, query: &str, headers: &HeaderMap) -> Result<Identity, Problem> {
    let parameter = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|it| it.1);
    let (token, user_id) = (parameter("token"), parameter("user_id"));
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // One guest for all who give no name: the same request once more is to be the same user's.
    let user_id = user_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(GUEST);
    let guest = GuestQuery::parse(Some(user_id), None, None)
        .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
    let token = carried(token.as_deref(), authorization, None).token;
    let identity = shared
        .authenticator
        .authenticate(token, guest, shared.clock.now())
        .map_err(|denied| Problem::new(Code::Unauthorized, denied.to_string()))?;
    match shared.shut_out_until(&identity.user_id, identity.token_id.as_ref()) {
        Some(until) => Err(Problem::new(Code::Banned, format!("you are banned until {until}"))),
        None => Ok(identity),
    }
}

/// Whether they may do something with a document.
pub(super) fn check_on(identity: &Identity, id: &DocumentId, needed: Permission) -> Result<(), Problem> {
    if identity.permissions.on(id).allows(needed) {
        return Ok(());
    }
    let needed = needed.long();
    Err(Problem::new(Code::InsufficientPermissions, format!("this needs the permission `{needed}` on this document")))
}

/// Whether they may do what concerns the whole service.
pub(super) fn check_everywhere(identity: &Identity, needed: Permission) -> Result<(), Problem> {
    if identity.permissions.on_all().allows(needed) {
        return Ok(());
    }
    let needed = needed.short();
    Err(Problem::new(
        Code::InsufficientPermissions,
        format!("this needs the permission `{needed}` on everything (`*`)"),
    ))
}

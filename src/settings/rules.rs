//! What must hold between settings.

use crate::telemetry::logging;

use super::{AuthMode, DoorbellWay, Settings, layers::Reader};

/// The shortest secret that HS256 is safe with (RFC 7518 §3.2).
const SECRET_BYTES: usize = 32;

pub(super) fn check(settings: &Settings, reader: &mut Reader) {
    if settings.heartbeat.timeout <= settings.heartbeat.interval {
        reader.wrong("heartbeat.timeout", "must be longer than heartbeat.interval".to_owned());
    }
    if settings.limits.outbox_bytes < settings.limits.message_bytes {
        reader.wrong("limits.outbox_bytes", "must be at least limits.message_bytes".to_owned());
    }
    // A user's part of the room, a quarter, has to be enough for the largest body.
    let limits = &settings.limits;
    if limits.body_bytes / 4 < limits.import_bytes.max(limits.message_bytes) {
        let message = "must be at least four times limits.import_bytes and limits.message_bytes".to_owned();
        reader.wrong("limits.body_bytes", message);
    }
    if settings.cluster.node_id.as_ref().is_some_and(|id| !is_node_id(id)) {
        reader.wrong("cluster.node_id", "must be 1 to 64 characters of A-Z a-z 0-9 . _ - : / ~".to_owned());
    }
    if let Err(bad) = logging::parse_level(&settings.log.level) {
        reader.wrong("log.level", bad.to_string());
    }
    for origin in &settings.server.allowed_origins {
        if !is_origin(origin) {
            let message =
                format!("{origin:?} must be an origin like \"https://example.org\", without a path, or \"*\"");
            reader.wrong("server.allowed_origins", message);
        }
    }
    check_doorbell(settings, reader);
    check_auth(settings, reader);
}

fn check_doorbell(settings: &Settings, reader: &mut Reader) {
    let message = match (settings.cluster.doorbell, &settings.cluster.nats_url) {
        (DoorbellWay::Nats, None) => "is needed where cluster.doorbell is \"nats\"",
        (DoorbellWay::Postgres, Some(_)) => "is set, but cluster.doorbell is \"postgres\": nobody would ring there",
        (DoorbellWay::Nats, Some(url)) if !url.expose().split(',').all(is_nats) => {
            // It may hold a password, and is not quoted.
            "must be an address like \"nats://user:password@host:4222\", or several with commas between"
        }
        (DoorbellWay::Nats, Some(_)) | (DoorbellWay::Postgres, None) => return,
    };
    reader.wrong("cluster.nats_url", message.to_owned());
}

fn check_auth(settings: &Settings, reader: &mut Reader) {
    let auth = &settings.auth;
    let keys = [auth.hs256_secret.is_some(), auth.public_key_file.is_some(), auth.jwks_file.is_some()];
    let keys = keys.into_iter().filter(|is_set| *is_set).count();
    match auth.mode {
        AuthMode::None if !settings.server.listen.is_loopback() && !auth.allow_open => {
            let message = format!(
                "is \"none\", and {} can be reached by others: everybody could read and write every document. Set \
                 auth.mode = \"jwt\" with a key, or, if that is what you want, auth.allow_open = true",
                settings.server.listen
            );
            reader.wrong("auth.mode", message);
        }
        AuthMode::None if keys > 0 => {
            reader.wrong("auth.mode", "is \"none\", but a key is set: nobody would be asked for a token".to_owned());
        }
        AuthMode::Jwt if keys != 1 => {
            let message = "is \"jwt\", which needs exactly one of auth.hs256_secret, auth.public_key_file and \
                           auth.jwks_file"
                .to_owned();
            reader.wrong("auth.mode", message);
        }
        AuthMode::None | AuthMode::Jwt => (),
    }
    if auth.hs256_secret.as_ref().is_some_and(|secret| secret.expose().len() < SECRET_BYTES) {
        let message = format!("must have {SECRET_BYTES} bytes or more; `openssl rand -base64 48` makes a good one");
        reader.wrong("auth.hs256_secret", message);
    }
}

fn is_nats(url: &str) -> bool {
    let place = url.trim().strip_prefix("nats://").or_else(|| url.trim().strip_prefix("tls://"));
    place.is_some_and(|place| !place.is_empty())
}

fn is_node_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '~');
    (1..=64).contains(&text.len()) && text.chars().all(allowed)
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '@', '?', '#']))
}

//! `events` of presence streams: who came, went and was where, as JSON.

use serde_json::{Value, json};

use crate::{
    domain::{ConnectionName, MessageId, Moved, PresenceEvent, Typed},
    event_log::{RecordedPresence, StreamName},
};

/// An event of a presence stream.
pub(super) fn presence_as_json(stream: &StreamName, recorded: &RecordedPresence) -> Value {
    let mut json = match &recorded.event {
        PresenceEvent::Joined(joined) => json!({
            "type": "joined",
            "connection": connection(&joined.connection),
            "user": joined.user.as_str(),
            "client": joined.client.as_str(),
            "name": joined.profile.name,
            "avatar_url": joined.profile.avatar_url,
            "color": joined.profile.color,
        }),
        PresenceEvent::Left(left) => json!({
            "type": "left",
            "connection": connection(&left.connection),
            "user": left.user.as_str(),
        }),
        PresenceEvent::Moved(moves) => {
            json!({"type": "moved", "cursors": moves.iter().map(cursor).collect::<Value>()})
        }
        PresenceEvent::Typed(all) => json!({"type": "typed", "users": all.iter().map(typist).collect::<Value>()}),
    };
    json["stream"] = stream.as_str().into();
    json["seq"] = recorded.seq.0.into();
    json["version"] = recorded.version.0.into();
    json["message_id"] = recorded.id.as_str().into();
    json["time"] = recorded.recorded_at.to_string().into();
    json
}

fn connection(name: &ConnectionName) -> Value {
    json!({"node": name.node.as_str(), "incarnation": name.incarnation, "number": name.number})
}

fn cursor(moved: &Moved) -> Value {
    json!({
        "user": moved.user.as_str(),
        "client": moved.client.as_str(),
        "message_id": moved.message_id.as_ref().map(MessageId::as_str),
        "position": moved.cursor.position,
        "selection": moved.cursor.selection.map(|(start, end)| json!({"start": start, "end": end})),
    })
}

fn typist(typed: &Typed) -> Value {
    json!({
        "user": typed.user.as_str(),
        "client": typed.client.as_str(),
        "message_id": typed.message_id.as_ref().map(MessageId::as_str),
        "is_typing": typed.is_typing,
        "position": typed.position,
    })
}

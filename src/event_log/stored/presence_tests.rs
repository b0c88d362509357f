//! Every form of presence ever shipped stays readable, and what is written is written so.

use std::{fs, path::Path};

use serde::Deserialize;

use super::{decode_presence, decode_presence_snapshot, encode_presence, encode_presence_snapshot};
use crate::{
    domain::{PresenceEvent, Version},
    event_log::suite_presence::{joined, left, moved, typed},
    projection::Presence,
};

#[derive(Deserialize)]
struct Golden {
    what: String,
    stored: String,
    #[serde(default)]
    snapshot: bool,
}

fn golden() -> Vec<Golden> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored/presence.1.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn meant() -> Vec<PresenceEvent> {
    let selected = Some((9, 5));
    let typed = [typed("ann", None), typed("ann", Some(4))];
    [joined(1, "ann"), left(1, "ann"), moved("ann", 5, None), moved("ann", 5, selected)]
        .into_iter()
        .chain(typed)
        .collect()
}

#[test]
fn every_form_of_presence_stays_readable() {
    let golden = golden();
    let (snapshots, events): (Vec<_>, Vec<_>) = golden.iter().partition(|golden| golden.snapshot);
    assert_eq!(events.len(), meant().len());
    for (Golden { what, stored, .. }, meant) in events.iter().zip(meant()) {
        assert_eq!(decode_presence(stored.as_bytes()).unwrap(), meant, "{what}");
        assert_eq!(encode_presence(&meant).unwrap().body, *stored, "{what}");
    }
    let mut here = Presence::new();
    for event in [joined(1, "ann"), joined(2, "ann"), joined(3, "ben"), moved("ann", 5, Some((9, 5)))] {
        here.fold(Version(3), &event);
    }
    for Golden { what, stored, .. } in snapshots {
        assert_eq!(decode_presence_snapshot(stored.as_bytes()).unwrap(), here, "{what}");
        assert_eq!(encode_presence_snapshot(&here).unwrap(), *stored, "{what}");
    }
}

#[test]
fn what_is_no_presence_is_refused() {
    for odd in [
        "",
        "[]",
        "{}",
        "[\"joined.1\"]",
        "[\"joined.2\"]",
        "[\"edited.1\"]",
        "[\"left.1\",[\"n\",1,-1],\"ann\"]",
        "[\"left.1\",[\"\",1,1],\"ann\"]",
        "[\"moved.1\",[\"ann\",\"c\",null,[]]]",
        "[\"moved.1\",[\"ann\",\"c\",null,[1,2]]]",
        "[\"typed.1\",[\"ann\",\"c\",null,1,null]]",
    ] {
        assert!(decode_presence(odd.as_bytes()).is_err(), "{odd}");
    }
}

//! Plays a fixture against the service.
//!
//! A fixture is a conversation: a list of steps, each with a `client`. It `opens` or `watches` (the query), `sends`, `receives`,
//! `leaves`, `says_goodbye`, is `closed`; or somebody `posts` and is `answered`. What takes more than a message has a
//! step of its own:
//!
//! - `writes`: edits that bring the document `from` a version `to` another, acknowledged and told to all;
//! - `stops_reading`, `reads_on`; `floods`: sends a message, each time with a long `timestamp`, until it is let go;
//! - `breaks`: what is no `text`, or no WebSocket `protocol`;
//! - the operator fills or frees the `disk`, `damages` a document, waits for what `counts`, `stops` the service.
//!
//! Moments of the server's clock stand for any moment, and … for anything; `times` repeats a text; `past` steps over
//! events of a name; a `token` beside what is sent says what is put in the place of the shown one.

use std::{collections::BTreeMap, process::Command};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{
        CloseFrame,
        frame::{
            Frame, FrameHeader,
            coding::{Data, OpCode},
        },
    },
};

use crate::support::{
    described,
    log::Database,
    say::{self, commit, edit, insert, now, signed},
    server::Server,
    socket::{Opening, Socket},
    wire::is_time,
    within,
};

/// A conversation as it goes on.
struct Play<'a> {
    server: Server,
    clients: BTreeMap<&'a str, Socket>,
    /// Whose client has come again. Kept open, for the newer connection takes over from a living one: the end of this one
    /// could come first, and with it its user would leave.
    older: Vec<Socket>,
    answer: Value,
}

/// Plays a fixture to its end.
pub(super) async fn play(name: &str, fixture: &Value) {
    let steps = fixture["steps"].as_array().unwrap();
    let with_tokens = steps.iter().any(|step| step["opens"].get("token").is_some());
    let settings = fixture["settings"].as_object().into_iter().flatten();
    let mut settings: Vec<_> = settings.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    settings.extend(if with_tokens { &say::WITH_TOKENS[..] } else { &[] });
    let mut server = Server::prepare(&settings);
    if steps.iter().any(|step| step.get("disk").is_some()) {
        // From here on the size of a file has a bound that can be moved.
        server.limit_files(Some(1_000_000));
    }
    server.restart().await;
    let mut play = Play { server, clients: BTreeMap::new(), older: Vec::new(), answer: Value::Null };
    for (at, step) in steps.iter().enumerate() {
        let name = format!("{name}:{}", at + 1);
        println!("{name}");
        match step["client"].as_str().unwrap() {
            "operator" => play.operate(&name, step).await,
            client => play.step(&name, client, step).await,
        }
    }
}

impl<'a> Play<'a> {
    async fn step(&mut self, name: &str, client: &'a str, step: &Value) {
        if let Some(request) = step.get("posts") {
            let (status, body) = self.server.post(request["path"].as_str().unwrap(), None, &request["body"]).await;
            self.answer = json!({"status": status, "body": body});
        } else if let Some(expected) = step.get("answered") {
            assert_fits(name, expected, &self.answer);
        } else if let Some(query) = step.get("opens").or(step.get("watches")) {
            let opening = Opening { replay: step.get("watches").is_some(), ..opening(query) };
            let socket = Socket::open(self.server.address(), &opening).await;
            self.older.extend(self.clients.insert(client, socket));
        } else if let Some(versions) = step.get("writes") {
            self.write(client, versions).await;
        } else if step.get("leaves").is_some() {
            self.clients.remove(client).unwrap().close().await;
        } else {
            let socket = self.clients.get_mut(client).unwrap();
            converse(&self.server, (name, step), socket).await;
        }
    }

    /// Brings the document from a version to another.
    async fn write(&mut self, client: &str, versions: &Value) {
        let [from, to] = ["from", "to"].map(|end| versions[end].as_u64().unwrap());
        let mut writer = self.clients.remove_entry(client).unwrap();
        for version in from..to {
            let words = edit(&format!("words-{version}"), version, insert(0, "some more words "));
            assert_eq!(commit(&mut writer.1, &words).await, version + 1);
            for other in self.clients.values_mut() {
                assert_eq!(other.expect("operation", "operation_broadcast").await["version"], version + 1);
            }
        }
        self.clients.insert(writer.0, writer.1);
    }

    async fn operate(&mut self, name: &str, step: &Value) {
        if let Some(disk) = step.get("disk") {
            let size = if disk == "full" { "--fsize=1:" } else { "--fsize=unlimited:" };
            let id = self.server.id().to_string();
            assert!(Command::new("prlimit").args(["--pid", &id, size]).status().unwrap().success());
        } else if let Some(document) = step.get("damages") {
            assert!(self.server.terminate().await.success());
            let mut log = Database::open(&self.server.database()).await;
            log.damage(document.as_str().unwrap(), 1, "edited", "odd").await;
            self.server.restart().await;
        } else if let Some(series) = step.get("counts") {
            let series = series.as_str().unwrap();
            within(series, async { while self.server.metric(series).await < 0.5 {} }).await;
        } else if step.get("stops").is_some() {
            self.server.signal_to_stop();
        } else {
            panic!("{name}: {step} is not for the operator");
        }
    }
}

/// What happens between a client and the service alone.
async fn converse(server: &Server, (name, step): (&str, &Value), socket: &mut Socket) {
    if let Some(message) = step.get("sends") {
        let mut message = message.clone();
        if let Some(wanted) = step.get("token") {
            message["data"]["token"] = json!(made(wanted));
        }
        let times = usize::try_from(step.get("times").map_or(1, |times| times.as_u64().unwrap())).unwrap();
        // A text stands for itself, and is no JSON.
        socket.send_text(message.as_str().map_or_else(|| message.to_string(), |text| text.repeat(times))).await;
    } else if let Some(expected) = step.get("receives") {
        let past = step.get("past");
        let got = loop {
            // Who comes and goes is part of every conversation, and an example only where it is the subject.
            let got =
                if expected["type"] == "presence" { socket.any_envelope().await } else { socket.envelope().await };
            if past != Some(&got["event"]) {
                break got;
            }
        };
        let document = described::asyncapi(&format!("http://{}", server.address())).await;
        let wrong = described::wrong_message(document, true, &got);
        assert!(wrong.is_none(), "{name}: {wrong:?}");
        assert_fits(name, expected, &got);
    } else if let Some(closed) = step.get("closed") {
        let reason = socket.expect_close(u16::try_from(closed["code"].as_u64().unwrap()).unwrap()).await;
        assert_eq!(closed["reason"], reason, "{name}");
    } else if let Some(reason) = step.get("says_goodbye") {
        let reason = reason.as_str().unwrap().to_owned().into();
        let goodbye = CloseFrame { code: 1000.into(), reason };
        socket.send_message(Message::Close(Some(goodbye))).await.unwrap();
    } else if step.get("stops_reading").is_some() {
        socket.stop_reading().await;
    } else if step.get("reads_on").is_some() {
        socket.read_on();
    } else if let Some(message) = step.get("floods") {
        let mut message = message.clone();
        message["data"]["timestamp"] = json!("x".repeat(50_000));
        let flood = message.to_string();
        within("it to be let go", async {
            while server.metric("scriptorium_users_present").await > 0.5 {
                socket.send_text(flood.clone()).await;
            }
        })
        .await;
    } else {
        let frame = match step["breaks"].as_str() {
            Some("text") => Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true),
            Some("protocol") => Frame::from_payload(FrameHeader { rsv1: true, ..FrameHeader::default() }, "x".into()),
            _ => panic!("{name}: what is {step}?"),
        };
        socket.send_message(Message::Frame(frame)).await.unwrap();
    }
}

/// A token with these claims, or `permissions`, good for so many `seconds`.
fn made(wanted: &Value) -> String {
    let mut claims = json!({"sub": "user_123"});
    match wanted.as_object() {
        Some(more) => claims.as_object_mut().unwrap().extend(more.clone()),
        None => claims["permissions"] = wanted.clone(),
    }
    let seconds = claims.as_object_mut().unwrap().remove("seconds").map_or(600.0, |seconds| seconds.as_f64().unwrap());
    claims["exp"] = json!(now() + seconds);
    signed(&claims)
}

/// A query; what stands under `token` is made into one.
fn opening(query: &Value) -> Opening {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut of = Opening::of("doc_abc123");
    // Small, so that one who does not read is noticed before very much has been sent.
    of.receive_buffer = Some(4_096);
    query.as_object().unwrap().iter().fold(of, |opening, (name, value)| match name.as_str() {
        "token" => opening.with("token", made(value)),
        name => opening.with(name, text(value)),
    })
}

fn assert_fits(name: &str, expected: &Value, got: &Value) {
    assert!(fits(expected, got), "{name}: expected\n{expected:#}\ngot\n{got:#}");
}

/// Whether a value is as the example says.
pub(crate) fn fits(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().all(|(name, value)| match got.get(name) {
                    // The clock in milliseconds, a time to wait, and how much waited.
                    Some(got)
                        if matches!(&**name, "server_time" | "retry_after_ms" | "waiting_bytes")
                            && value.is_number() =>
                    {
                        got.is_u64()
                    }
                    Some(got) => fits(value, got),
                    None => false,
                })
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| fits(expected, got))
        }
        (Value::String(expected), got) if expected == "…" => !got.is_null(),
        _ if is_time(expected) => is_time(got),
        _ => expected == got,
    }
}

//! A client of the document dialect without its socket: envelopes in, envelopes out.
//!
//! It does what docs/protocol.md tells a client to do, and asserts on the way what the contract promises
//! to one: versions arrive dense and in order, acks in the order of sending, a sync equals what the
//! client already knows.

use std::collections::{BTreeMap, VecDeque};

use scriptorium::text::{CodePoints, Delta, Op, Utf16};
use serde_json::{Value, json};

use super::{
    cursors::Cursors,
    edits::{self, Chance},
    remarks::Remarks,
    socket::Opening,
    wire,
};

/// What positions count on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf16,
    Utf32,
}

/// In which form the server sends operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Simple,
    Delta,
}

/// How a client speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) encoding: Encoding,
    pub(crate) form: Form,
    pub(crate) batch: bool,
}

impl Manner {
    /// What a client gets that asks for nothing.
    pub(crate) const PLAIN: Self = Self { encoding: Encoding::Utf16, form: Form::Simple, batch: false };
    /// Every way to speak.
    pub(crate) const ALL: [Self; 4] = [
        Self::PLAIN,
        Self { encoding: Encoding::Utf32, form: Form::Simple, batch: true },
        Self { encoding: Encoding::Utf16, form: Form::Delta, batch: true },
        Self { encoding: Encoding::Utf32, form: Form::Delta, batch: false },
    ];
}

/// An edit that was sent and is not acknowledged yet.
#[derive(Debug, Clone)]
struct Pending {
    message_id: String,
    /// Its place among all that was sent.
    place: u64,
    /// What it does now, after everything received.
    change: Delta,
    /// As it was sent; it is sent again in these words.
    envelope: Value,
}

/// An edit as it was made: on which version, and what it did there (own edits in flight included).
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) base: u64,
    pub(crate) change: Delta,
}

/// Where the client is in its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No connection, or no word on it yet.
    Unopened,
    /// The next document is to be taken as it comes.
    AwaitsSync,
    /// In step with the server.
    Live,
    /// The server could not resume: what was in flight is answered first, then a sync is asked for.
    Recovering,
}

/// What an envelope meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Received {
    Opened { resumed: bool },
    Synced,
    Acknowledged { message_id: String, duplicate: bool },
    Broadcast { message_id: String },
    Remarked,
    Refused { code: String, message_id: Option<String> },
    Disconnect { code: u64 },
    Other,
}

/// The state of one client instance on one document.
pub(crate) struct Core {
    pub(crate) document: String,
    pub(crate) client_id: String,
    pub(crate) manner: Manner,
    /// The last version received.
    pub(crate) version: u64,
    /// The document at that version.
    base: Delta,
    /// The same with the own edits in flight.
    local: Delta,
    pending: VecDeque<Pending>,
    /// What is said about `base`.
    remarks: Remarks,
    /// Comments that were sent and are not acknowledged yet, by their place among all that was sent.
    said: BTreeMap<u64, Value>,
    /// The text of the last own deletion, and where it was.
    deleted: Option<(usize, String)>,
    phase: Phase,
    /// Whether `base` can be resumed from.
    knows_base: bool,
    /// Syncs asked for and not answered, and how many ever were asked for.
    asked: usize,
    syncs: usize,
    previous: Option<String>,
    counter: u64,
    outbox: Vec<Value>,
    /// Every edit ever made, by its message id.
    pub(crate) made: BTreeMap<String, Made>,
    /// Every acknowledged edit, with its version.
    pub(crate) acknowledged: BTreeMap<String, u64>,
    /// Edits that must be refused, with the code expected.
    refusals: BTreeMap<String, &'static str>,
    /// Where the others are.
    cursors: Cursors,
    /// Whether the database may be away: then an edit may be refused for that, and stays in flight until the
    /// next connection. Every edit names the one before it, so that none is applied without it.
    pub(crate) expects_outages: bool,
    refused_for_an_outage: bool,
}

impl Core {
    /// A client that has not opened its document yet.
    pub(crate) fn new(document: &str, client_id: &str, manner: Manner) -> Self {
        Self {
            document: document.to_owned(),
            client_id: client_id.to_owned(),
            manner,
            version: 0,
            base: Delta::new(),
            local: Delta::new(),
            pending: VecDeque::new(),
            remarks: Remarks::default(),
            said: BTreeMap::new(),
            deleted: None,
            phase: Phase::Unopened,
            knows_base: false,
            asked: 0,
            syncs: 0,
            previous: None,
            counter: 0,
            outbox: Vec::new(),
            made: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            refusals: BTreeMap::new(),
            cursors: Cursors::default(),
            expects_outages: false,
            refused_for_an_outage: false,
        }
    }

    /// How it asks to (re)open its document.
    pub(crate) fn opening(&self) -> Opening {
        let mut opening = Opening::guest(&self.document, &self.client_id);
        if self.manner.encoding == Encoding::Utf32 {
            opening = opening.with("position_encoding", "utf-32");
        }
        if self.manner.form == Form::Delta {
            opening = opening.with("operations", "delta");
        }
        if self.manner.batch {
            opening = opening.with("batch", true);
        }
        if self.knows_base { opening.with("since", self.version) } else { opening }
    }

    /// A connection was made; what is to be sent (again) on it.
    pub(crate) fn connected(&mut self) -> Vec<Value> {
        self.phase = Phase::Unopened;
        self.asked = 0;
        self.outbox.clear();
        self.refused_for_an_outage = false;
        // Whether a refusal got through is unknown; the refused edits are simply forgotten.
        self.refusals.clear();
        let edits = self.pending.iter().map(|pending| (pending.place, pending.envelope.clone()));
        let said = self.said.iter().map(|(place, envelope)| (*place, envelope.clone()));
        edits.chain(said).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// What the client wants to say now.
    pub(crate) fn outgoing(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.outbox)
    }

    /// Whether it may edit: it is in step.
    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether something was refused on this connection because the database was away.
    pub(crate) fn has_been_refused(&self) -> bool {
        self.refused_for_an_outage
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_settled(&self) -> bool {
        self.phase == Phase::Live
            && self.pending.is_empty()
            && self.said.is_empty()
            && self.asked == 0
            && self.refusals.is_empty()
    }

    /// What a client that is not at rest waits for, for a person.
    pub(crate) fn waits_for(&self) -> String {
        let pending: Vec<_> = self.pending.iter().map(|pending| pending.message_id.as_str()).collect();
        let Self { client_id, phase, version, asked, refusals, said, .. } = self;
        format!(
            "{client_id}, {phase:?} at version {version}, with {pending:?} and {said:?} in flight, {asked} syncs asked for and {refusals:?} to be refused"
        )
    }

    /// The number of edits in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The newest edit in flight.
    pub(crate) fn last_in_flight(&self) -> Option<&str> {
        self.pending.back().map(|pending| pending.message_id.as_str())
    }

    /// The document as its user sees it.
    pub(crate) fn local(&self) -> &Delta {
        &self.local
    }

    /// Makes a random edit of any kind.
    pub(crate) fn edit_at_random(&mut self, chance: &mut Chance) -> Value {
        let back = if chance.one_in(4) { self.bring_back() } else { None };
        let (operation, change) = back.unwrap_or_else(|| edits::random(chance, &self.local, self.manner.encoding));
        let after = chance.one_in(2) || self.expects_outages;
        let mut envelope = self.edit(operation, change, after);
        if chance.one_in(4) {
            envelope["data"]["document_id"] = json!(self.document);
        }
        if chance.one_in(4) {
            let version = envelope["data"].as_object_mut().unwrap().remove("version").unwrap();
            envelope["data"]["base_version"] = version;
        }
        if chance.one_in(4) {
            envelope["client_id"] = json!(self.client_id);
        }
        self.pending.back_mut().expect("just made").envelope = envelope.clone();
        envelope
    }

    /// An insert of what this client deleted last, where that was.
    fn bring_back(&self) -> Option<(Value, Delta)> {
        let (at, text) = self.deleted.as_ref()?;
        let shown = wire::plain_text(&self.local);
        let mut points = 0;
        let mut units = 0;
        for c in shown.chars() {
            if units >= *at {
                break;
            }
            (points, units) = (points + 1, units + c.len_utf16());
        }
        let position = if self.manner.encoding == Encoding::Utf16 { units } else { points };
        let change = Delta::new().retain(units).insert(text.as_str(), scriptorium::text::Attributes::NONE);
        Some((json!({"type": "insert", "position": position, "content": text}), change))
    }

    /// Says something about the text, where there is some.
    pub(crate) fn remark_at_random(&mut self, chance: &mut Chance) -> Option<Value> {
        assert!(self.is_live(), "a client out of step does not comment");
        let name = format!("{}-{}", self.client_id, self.counter + 1);
        let shown = wire::plain_text(&self.local);
        let (event, mut data) = self.remarks.at_random(chance, &name, &shown, self.manner.encoding)?;
        data["version"] = json!(self.version);
        let message_id = self.message_id();
        let envelope = json!({"type": "comment", "event": event, "data": data, "message_id": message_id});
        self.said.insert(self.counter, envelope.clone());
        Some(envelope)
    }

    /// Makes this edit, and answers the envelope to send. `change` is what `operation` means, in UTF-16.
    pub(crate) fn edit(&mut self, operation: Value, change: Delta, after: bool) -> Value {
        assert!(self.is_live(), "a client out of step does not edit");
        let message_id = self.message_id();
        let mut envelope = self.envelope(&message_id, operation);
        if let (true, Some(previous)) = (after, &self.previous) {
            envelope["data"]["after"] = json!(previous);
        }
        self.remember_deleted(&change);
        self.local = self.local.compose(&change);
        self.made.insert(message_id.clone(), Made { base: self.version, change: change.clone() });
        self.previous = Some(message_id.clone());
        let place = self.counter;
        self.pending.push_back(Pending { message_id, place, change, envelope: envelope.clone() });
        envelope
    }

    fn remember_deleted(&mut self, change: &Delta) {
        let units: Vec<u16> = wire::plain_text(&self.local).encode_utf16().collect();
        let (mut old, mut new) = (0, 0);
        for op in change.ops() {
            let length = op.length::<Utf16>();
            match op {
                Op::Retain { .. } => (old, new) = (old + length, new + length),
                Op::Insert { .. } => new += length,
                Op::Delete { .. } => {
                    let text = String::from_utf16(&units[old..old + length]).expect("no change cuts a character");
                    // An embed is more than its character.
                    self.deleted = (!text.contains('\u{fffc}')).then_some((new, text));
                    return;
                }
            }
        }
    }

    /// An edit that the server must refuse with this code; the client never shows it.
    pub(crate) fn refused_edit(&mut self, operation: Value, after: Option<&str>, code: &'static str) -> Value {
        let message_id = self.message_id();
        let mut envelope = self.envelope(&message_id, operation);
        if let Some(after) = after {
            envelope["data"]["after"] = json!(after);
        }
        self.refusals.insert(message_id, code);
        envelope
    }

    /// Asks for a full sync in the middle of everything.
    pub(crate) fn ask_for_sync(&mut self) -> Value {
        self.asked += 1;
        self.syncs += 1;
        json!({"type": "system", "event": "document_sync", "data": {}, "message_id": format!("sync:{}", self.syncs)})
    }

    /// One of the edits in flight or acknowledged, to be sent once more.
    pub(crate) fn repeat_at_random(&self, chance: &mut Chance) -> Option<Value> {
        (!self.pending.is_empty()).then(|| self.pending[chance.below(self.pending.len())].envelope.clone())
    }

    fn message_id(&mut self) -> String {
        self.counter += 1;
        format!("{}:{}:{}", self.document, self.client_id, self.counter)
    }

    fn envelope(&self, message_id: &str, operation: Value) -> Value {
        json!({
            "type": "operation",
            "event": "document_edit",
            "data": {"operation": operation, "version": self.version},
            "message_id": message_id,
        })
    }

    /// Takes what the server sent.
    pub(crate) fn receive(&mut self, envelope: &Value) -> Received {
        let data = &envelope["data"];
        match (text(&envelope["type"]), text(&envelope["event"])) {
            ("system", "connection_ack") => self.opened(data),
            ("system", "document_sync") => self.synced(data, &envelope["message_id"]),
            ("system", "error") => self.error(data),
            ("system", "disconnect") => Received::Disconnect { code: number(&data["code"]) },
            ("operation", "operation_ack") => self.acknowledge(envelope),
            ("operation", "operation_broadcast") => self.take_in(envelope),
            ("comment", "comment_ack") => self.remark_acknowledged(data),
            ("comment", event) => {
                if self.phase == Phase::Live {
                    assert_eq!(number(&data["version"]), self.version, "comments come in order with the edits");
                    self.remarks.take_in(event, data, &wire::plain_text(&self.base), self.manner.encoding);
                }
                Received::Remarked
            }
            ("presence", event) => self.presence(event, data),
            ("system", "pong") => Received::Other,
            other => panic!("the server sent {other:?}"),
        }
    }

    /// Shows where its own user is, in what that sees: edits in flight included.
    pub(crate) fn cursor_at_random(&self, chance: &mut Chance) -> Value {
        let text = wire::plain_text(&self.local);
        let at = chance.below(text.chars().count() + 1);
        let position: usize = match self.manner.encoding {
            Encoding::Utf16 => text.chars().take(at).map(char::len_utf16).sum(),
            Encoding::Utf32 => at,
        };
        let selection = if chance.one_in(3) { json!({"start": position, "end": 0}) } else { Value::Null };
        let data = json!({"cursor": {"position": position, "selection": selection}, "version": self.version});
        json!({"type": "presence", "event": "cursor_update", "data": data})
    }

    fn presence(&mut self, event: &str, data: &Value) -> Received {
        if self.phase != Phase::Live {
            return Received::Other;
        }
        match event {
            "user_joined" => self.cursors.hide(text(&data["user"]["id"])),
            "user_left" => self.cursors.hide(text(&data["user_id"])),
            "cursor_update" => {
                assert_eq!(
                    number(&data["version"]),
                    self.version,
                    "a cursor has its place among the operations: {data}"
                );
                let position = self.in_utf16(usize::try_from(number(&data["cursor"]["position"])).unwrap());
                self.cursors.show(text(&data["user_id"]), position);
            }
            other => panic!("the server sent presence/{other}"),
        }
        Received::Other
    }

    /// A position in the committed document, in UTF-16 units.
    fn in_utf16(&self, position: usize) -> usize {
        match self.manner.encoding {
            Encoding::Utf16 => position,
            Encoding::Utf32 => wire::plain_text(&self.base).chars().take(position).map(char::len_utf16).sum(),
        }
    }

    fn compare_cursors(&mut self, data: &Value) {
        let mut cursors = std::mem::take(&mut self.cursors);
        cursors.compare(&data["active_users"], &self.user(), |position| self.in_utf16(position));
        self.cursors = cursors;
    }

    fn user(&self) -> String {
        format!("user-{}", self.client_id)
    }

    fn opened(&mut self, data: &Value) -> Received {
        self.cursors.clear();
        assert_eq!(self.phase, Phase::Unopened, "{data}");
        assert_eq!(text(&data["client_id"]), self.client_id, "{data}");
        let encoding = if self.manner.encoding == Encoding::Utf16 { "utf-16" } else { "utf-32" };
        assert_eq!(text(&data["position_encoding"]), encoding, "{data}");
        let resumed = data["resumed"].as_bool().expect("resumed is a boolean");
        assert!(self.knows_base || !resumed, "nothing to resume from: {data}");
        self.phase = if resumed { Phase::Live } else { Phase::AwaitsSync };
        Received::Opened { resumed }
    }

    fn synced(&mut self, data: &Value, asked_by: &Value) -> Received {
        let (document, version) = (&data["document"], number(&data["document"]["version"]));
        assert_eq!(text(&document["id"]), self.document, "{data}");
        let content = wire::from_ops(&document["delta"]);
        assert_eq!(text(&document["content"]), wire::plain_text(&content), "content is delta as plain text");
        assert_eq!(
            number(&document["metadata"]["word_count"]),
            text(&document["content"]).split_whitespace().count() as u64,
            "{data}"
        );
        let remarks = Remarks::listed(&data["comments"], &wire::plain_text(&content), self.manner.encoding);
        match self.phase {
            Phase::Live => {
                assert_eq!(remarks, self.remarks, "{}: comments are as the events said", self.client_id);
                // One answer is for all that was asked before it and still waits.
                let number = asked_by.as_str().and_then(|id| id.strip_prefix("sync:")?.parse().ok());
                let number: usize = number.unwrap_or_else(|| panic!("an answer to {asked_by}"));
                let left = self.syncs - number;
                assert!(
                    left < self.asked,
                    "{asked_by} was answered before, of {} with {} open",
                    self.syncs,
                    self.asked
                );
                self.asked = left;
                assert_eq!(version, self.version, "a sync comes in order with acks and broadcasts");
                assert_eq!(content, self.base, "a sync equals what acks and broadcasts said");
                self.compare_cursors(data);
            }
            Phase::AwaitsSync if self.pending.is_empty() => {
                self.asked = 0;
                self.remarks = remarks;
                self.adopt(version, content);
                self.cursors.clear();
                self.compare_cursors(data);
            }
            Phase::AwaitsSync => {
                self.phase = Phase::Recovering;
                self.knows_base = false;
                self.version = version;
            }
            Phase::Recovering | Phase::Unopened => panic!("a sync that nobody asked for: {data}"),
        }
        Received::Synced
    }

    fn adopt(&mut self, version: u64, content: Delta) {
        self.version = version;
        self.local = content.clone();
        self.base = content;
        self.knows_base = true;
        self.phase = Phase::Live;
    }

    fn acknowledge(&mut self, envelope: &Value) -> Received {
        let data = &envelope["data"];
        let (message_id, version) = (text(&data["message_id"]).to_owned(), number(&data["server_version"]));
        assert_eq!(data["acknowledged"], true, "{data}");
        assert!(wire::is_time(&data["timestamp"]), "{data}");
        assert!(
            envelope["client_id"] == self.client_id.as_str() && envelope["message_id"] == message_id.as_str(),
            "{envelope}"
        );
        let duplicate = data.get("duplicate").is_some_and(|flag| flag == true);
        if let Some(known) = self.acknowledged.get(&message_id) {
            assert!(duplicate, "{message_id} is acknowledged twice, and the second time not as a duplicate");
            assert_eq!(version, *known, "the stored ack comes again");
            return Received::Acknowledged { message_id, duplicate };
        }
        assert!(self.made.contains_key(&message_id), "an ack for somebody else's {message_id}");
        match self.phase {
            Phase::Live => {
                let first = self.pending.pop_front().expect("an ack answers an edit in flight");
                assert_eq!(first.message_id, message_id, "acks come in the order of the edits");
                assert_eq!(version, self.version + 1, "{}: versions are dense; {envelope}", self.client_id);
                self.base = self.base.compose(&first.change);
                self.moved(&first.change, data.get("anchors"));
                let own = self.user();
                self.cursors.edited(&first.change, &own);
                self.version = version;
            }
            Phase::AwaitsSync | Phase::Recovering => {
                let at = self
                    .pending
                    .iter()
                    .position(|pending| pending.message_id == message_id)
                    .expect("an ack answers an edit in flight");
                self.pending.remove(at);
                if version > self.version {
                    assert_eq!(version, self.version + 1, "versions are dense");
                    self.version = version;
                }
                if self.pending.is_empty() && self.phase == Phase::Recovering {
                    self.phase = Phase::AwaitsSync;
                    let request = self.ask_for_sync();
                    self.outbox.push(request);
                }
            }
            Phase::Unopened => panic!("an ack before the connection_ack"),
        }
        self.acknowledged.insert(message_id.clone(), version);
        Received::Acknowledged { message_id, duplicate }
    }

    fn take_in(&mut self, envelope: &Value) -> Received {
        let data = &envelope["data"];
        let version = number(&data["version"]);
        let message_id = text(&envelope["message_id"]).to_owned();
        assert!(!self.made.contains_key(&message_id), "an own edit comes as an ack, not as a broadcast: {envelope}");
        assert_eq!(text(&data["document_id"]), self.document, "{data}");
        assert!(wire::is_time(&data["timestamp"]) && data["transformed"].is_boolean(), "{data}");
        if self.manner.form == Form::Delta {
            assert_eq!(data["operation"]["type"], "delta", "{data}");
        }
        assert_eq!(version, self.version + 1, "{}: versions are dense; {envelope}", self.client_id);
        if self.phase == Phase::Live {
            let mut committed = self.read(&data["operation"]);
            // Else it shows another document than the service has, since one of its own edits.
            assert!(
                committed.base_length() <= self.base.ops().iter().map(Op::length::<Utf16>).sum::<usize>(),
                "{} does not have what {envelope} changes, but {:?}; of its own it has made {:?}, and was told of {:?}",
                self.client_id,
                self.base,
                self.made,
                self.acknowledged
            );
            self.base = self.base.compose(&committed);
            self.moved(&committed, data.get("anchors"));
            self.cursors.edited(&committed, text(&data["operation"]["author"]));
            for pending in &mut self.pending {
                (committed, pending.change) = wire::cross(&pending.change, &committed);
            }
            self.local = self.local.compose(&committed);
        }
        self.version = version;
        Received::Broadcast { message_id }
    }

    /// Moves the anchors with an edit that has come into `base`.
    fn moved(&mut self, edit: &Delta, anchors: Option<&Value>) {
        self.remarks.moved(edit, anchors, &wire::plain_text(&self.base), self.manner.encoding);
    }

    fn remark_acknowledged(&mut self, data: &Value) -> Received {
        assert!(data["acknowledged"] == true && data.get("server_version").is_none(), "{data}");
        let place = text(&data["message_id"]).rsplit(':').next().and_then(|counter| counter.parse().ok());
        self.said.remove(&place.expect("a message id of this client"));
        Received::Remarked
    }

    /// What a committed operation does to `base`, in UTF-16.
    fn read(&self, operation: &Value) -> Delta {
        match self.manner.encoding {
            Encoding::Utf16 => wire::from_operation::<Utf16>(operation),
            Encoding::Utf32 => {
                wire::recount(&wire::from_operation::<CodePoints>(operation), &wire::plain_text(&self.base))
            }
        }
    }

    fn error(&mut self, data: &Value) -> Received {
        let code = text(&data["error_code"]).to_owned();
        let message_id = data["details"].get("message_id").map(|id| text(id).to_owned());
        if self.expects_outages && matches!(&*code, "STORAGE_UNAVAILABLE" | "PREDECESSOR_REFUSED") {
            self.refused_for_an_outage = true;
            self.refusals.retain(|id, _| message_id.as_ref() != Some(id));
        } else if let Some(id) = &message_id
            && let Some(expected) = self.refusals.remove(id)
        {
            assert_eq!(code, expected, "{data}");
        } else if let Some(id) = &message_id
            && let Some(place) = id.rsplit(':').next().and_then(|counter| counter.parse().ok())
            && self.said.remove(&place).is_some()
        {
            // Somebody else was faster.
            assert_eq!(code, "COMMENT_NOT_FOUND", "{data}");
        } else {
            assert!(message_id.is_none(), "{}: the server refused a good edit: {data}", self.client_id);
        }
        Received::Refused { code, message_id }
    }

    /// What is said about the committed document.
    pub(crate) fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    /// Asserts that the client, at rest, shows this document.
    pub(crate) fn assert_shows(&self, document: &Delta, version: u64) {
        assert!(self.is_settled(), "{} is not at rest", self.client_id);
        assert_eq!(self.version, version, "{}'s version", self.client_id);
        assert_eq!(&self.base, document, "{}'s committed document", self.client_id);
        assert_eq!(&self.local, document, "{}'s document", self.client_id);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected text, got {value}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("expected a number, got {value}"))
}

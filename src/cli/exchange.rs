//! The form in which events travel between databases; `docs/events.md` tells of it.
//!
//! JSON, one value per line: a head, the events in the order of their commits, and an end with their number and the
//! SHA-256 of all the lines before it, so that a file that was cut off or changed is known. What is stored of an event
//! travels as texts, so that every byte of them arrives.

use std::{
    borrow::Cow,
    io::{BufRead, Read, Write},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    domain::{MessageId, Seq, Timestamp, Version},
    event_log::{Position, StoredEvent, StreamName},
};

/// The form that this program writes, and the only one that it reads.
const FORM: u32 = 1;
/// No line of an event is near as long; what is longer is no export.
const LONGEST_LINE: u64 = 256 << 20;
const END: &str = "{\"end\":";

/// The first line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Head {
    scriptorium_export: u32,
    /// The events after this position …
    pub after: u64,
    /// … up to this one.
    pub to: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine<'a> {
    position: u64,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    seq: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    begins: bool,
    version: u64,
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    recorded_at: i64,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow)]
    cause: Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    events: u64,
    sha256: String,
}

/// Writes an export.
pub(super) struct Writer<W> {
    to: W,
    hash: Sha256,
    line: Vec<u8>,
    events: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(to: W, after: Position, end: Position) -> std::io::Result<Self> {
        let mut writer = Self { to, hash: Sha256::new(), line: Vec::new(), events: 0 };
        writer.write(&Head { scriptorium_export: FORM, after: after.0, to: end.0 })?;
        Ok(writer)
    }

    pub(super) fn event(&mut self, event: &StoredEvent) -> std::io::Result<()> {
        self.events += 1;
        self.write(&EventLine {
            position: event.position.0,
            stream: event.stream.as_str().into(),
            seq: event.seq.0,
            begins: event.begins,
            version: event.version.0,
            message_id: event.message_id.as_str().into(),
            recorded_at: event.recorded_at.0,
            body: (&*event.body).into(),
            cause: (&*event.cause).into(),
        })
    }

    /// Ends the export, and answers how many events it holds.
    pub(super) fn end(mut self) -> std::io::Result<u64> {
        let sha256 = format!("{:x}", self.hash.clone().finalize());
        self.write(&EndLine { end: End { events: self.events, sha256 } })?;
        self.to.flush()?;
        Ok(self.events)
    }

    fn write(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.hash.update(&self.line);
        self.to.write_all(&self.line)
    }
}

/// Reads an export. An error is for people, and says which line it is about.
pub(super) struct Reader<R> {
    from: R,
    hash: Sha256,
    line: Vec<u8>,
    number: u64,
    events: u64,
    head: Head,
    last: u64,
    has_ended: bool,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn begin(from: R) -> Result<Self, String> {
        let head = Head { scriptorium_export: FORM, after: 0, to: 0 };
        let (hash, line, has_ended) = (Sha256::new(), Vec::new(), false);
        let mut reader = Self { from, hash, line, number: 0, events: 0, head, last: 0, has_ended };
        if !reader.read_line()? {
            return Err("it is empty".to_owned());
        }
        reader.head = serde_json::from_slice(&reader.line).map_err(|_| "it is no export of scriptorium".to_owned())?;
        reader.last = reader.head.after;
        match reader.head.scriptorium_export {
            FORM => Ok(reader),
            other => Err(format!("it is of form {other}, and this program reads form {FORM} only")),
        }
    }

    pub(super) const fn head(&self) -> Head {
        self.head
    }

    /// The next event; `None` after the last one, when the end has been found to be as it should.
    pub(super) fn event(&mut self) -> Result<Option<StoredEvent>, String> {
        if self.has_ended {
            return Ok(None);
        }
        let before = self.hash.clone();
        if !self.read_line()? {
            return Err(format!("it is cut off after line {}: there is no end", self.number));
        }
        if self.line.starts_with(END.as_bytes()) {
            self.has_ended = true;
            return self.check_end(before).map(|()| None);
        }
        let line: EventLine<'_> = serde_json::from_slice(&self.line).map_err(|why| self.wrong(why))?;
        let event = event(line).map_err(|why| self.wrong(why))?;
        if event.position.0 <= self.last || event.position.0 > self.head.to {
            return Err(self.wrong(format_args!("position {} is not in its place", event.position)));
        }
        self.last = event.position.0;
        self.events += 1;
        Ok(Some(event))
    }

    fn check_end(&mut self, hash: Sha256) -> Result<(), String> {
        let EndLine { end: End { events, sha256 } } =
            serde_json::from_slice(&self.line).map_err(|why| self.wrong(why))?;
        if events != self.events {
            return Err(format!("it holds {} events, and its end says {events}", self.events));
        }
        if sha256 != format!("{:x}", hash.finalize()) {
            return Err("its content is not what its end says (SHA-256)".to_owned());
        }
        if self.read_line()? {
            return Err(self.wrong("something follows the end"));
        }
        Ok(())
    }

    /// Whether there was a line.
    fn read_line(&mut self) -> Result<bool, String> {
        self.line.clear();
        let read = (&mut self.from).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        read.map_err(|why| format!("it cannot be read after line {}: {why}", self.number))?;
        self.number += u64::from(!self.line.is_empty());
        self.hash.update(&self.line);
        Ok(!self.line.is_empty())
    }

    fn wrong(&self, why: impl std::fmt::Display) -> String {
        format!("line {}: {why}", self.number)
    }
}

fn event(line: EventLine<'_>) -> Result<StoredEvent, String> {
    for text in [&line.body, &line.cause] {
        if let Err(why) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            return Err(format!("the event does not hold JSON: {why}"));
        }
    }
    if line.body.contains('\n') {
        return Err("the event's body is more than one line".to_owned());
    }
    Ok(StoredEvent {
        position: Position(line.position),
        stream: StreamName::of_any_kind(&line.stream).map_err(|why| why.to_string())?,
        seq: Seq(line.seq),
        begins: line.begins,
        version: Version(line.version),
        message_id: MessageId::parse(&line.message_id).map_err(|why| why.to_string())?,
        recorded_at: Timestamp(line.recorded_at),
        body: line.body.into(),
        cause: line.cause.into(),
    })
}

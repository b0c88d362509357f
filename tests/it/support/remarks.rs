//! Comments as a client has them, kept as docs/protocol.md tells a client to.

use std::collections::BTreeMap;

use scriptorium::text::{Delta, Op, Priority, Unit, Utf16};
use serde_json::{Value, json};

use super::{core::Encoding, edits::Chance, wire};

/// A thread: where it is in the committed document, in UTF-16 units, and whether it is done.
#[derive(Debug, Clone, PartialEq)]
struct Thread {
    start: usize,
    end: usize,
    is_resolved: bool,
}

/// Everything that is said about a document.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Remarks {
    threads: BTreeMap<String, Thread>,
    /// The thread and the content of each comment.
    comments: BTreeMap<String, (String, String)>,
}

impl Remarks {
    /// Reads the comments of a sync of this text.
    pub(crate) fn listed(comments: &Value, content: &str, encoding: Encoding) -> Self {
        let mut remarks = Self::default();
        for comment in comments.as_array().unwrap_or_else(|| panic!("{comments} is no list of comments")) {
            let (start, end) = in_utf16(&comment["position"], content, encoding);
            assert_eq!(comment["orphaned"], start == end, "{comment}");
            assert!(comment["quote"].is_string() && wire::is_time(&comment["created_at"]), "{comment}");
            let thread = Thread { start, end, is_resolved: comment["resolved"].as_bool().unwrap() };
            let before = remarks.threads.insert(text(&comment["thread_id"]), thread.clone());
            assert!(before.is_none_or(|before| before == thread), "all comments of a thread are in one place");
            remarks.comments.insert(text(&comment["id"]), (text(&comment["thread_id"]), text(&comment["content"])));
        }
        remarks
    }

    /// Reads what `scriptorium replay` prints.
    pub(crate) fn replayed(threads: &Value) -> Self {
        let mut remarks = Self::default();
        for thread in threads.as_array().unwrap() {
            let (start, end) = in_utf16(&thread["position"], "", Encoding::Utf16);
            let id = text(&thread["thread_id"]);
            remarks.threads.insert(id.clone(), Thread { start, end, is_resolved: !thread["resolved"].is_null() });
            for comment in thread["comments"].as_array().unwrap() {
                remarks.comments.insert(text(&comment["id"]), (id.clone(), text(&comment["content"])));
            }
        }
        remarks
    }

    /// Takes an event. Some come a second time, and change nothing then.
    pub(crate) fn take_in(&mut self, event: &str, data: &Value, content: &str, encoding: Encoding) {
        if event == "comment_added" {
            let comment = &data["comment"];
            let (id, thread) = (text(&comment["id"]), text(&comment["thread_id"]));
            if let Some(position) = comment.get("position") {
                let (start, end) = in_utf16(position, content, encoding);
                let is_resolved = self.threads.get(&thread).is_some_and(|thread| thread.is_resolved);
                self.threads.insert(thread.clone(), Thread { start, end, is_resolved });
            }
            self.comments.insert(id, (thread, text(&comment["content"])));
            return;
        }
        let (id, thread) = (text(&data["comment_id"]), text(&data["thread_id"]));
        match event {
            // Of what comes again the end may be known already: it is about nothing then.
            "comment_updated" => {
                if let Some(comment) = self.comments.get_mut(&id) {
                    comment.1 = text(&data["updates"]["content"]);
                }
            }
            "comment_resolved" | "comment_reopened" => {
                if let Some(thread) = self.threads.get_mut(&thread) {
                    thread.is_resolved = event == "comment_resolved";
                }
            }
            "comment_deleted" => {
                self.comments.remove(&id);
                if self.comments.values().all(|(other, _)| *other != thread) {
                    self.threads.remove(&thread);
                }
            }
            other => panic!("the server sent comment/{other}"),
        }
    }

    /// Moves the anchors with a committed edit; `anchors` is what the server said of some, `content` the text after it.
    pub(crate) fn moved(&mut self, edit: &Delta, anchors: Option<&Value>, content: &str, encoding: Encoding) {
        let only =
            |which: &dyn Fn(&Op) -> bool| -> Delta { edit.ops().iter().filter(|op| which(op)).cloned().collect() };
        let deletes = only(&|op| !matches!(op, Op::Insert { .. }));
        let inserts = only(&|op| !matches!(op, Op::Delete { .. }));
        let moved = |place, priority| inserts.transform_position(deletes.transform_position(place, priority), priority);
        for thread in self.threads.values_mut() {
            thread.start = moved(thread.start, Priority::Second);
            thread.end = moved(thread.end, Priority::First).max(thread.start);
        }
        for anchor in anchors.and_then(Value::as_array).into_iter().flatten() {
            let thread = self.threads.get_mut(&text(&anchor["thread_id"])).expect("the thread is known");
            (thread.start, thread.end) = in_utf16(&anchor["position"], content, encoding);
        }
    }

    /// Something to say about a document that shows this text: an event and its data.
    pub(crate) fn at_random(
        &self,
        chance: &mut Chance,
        name: &str,
        content: &str,
        encoding: Encoding,
    ) -> Option<(&'static str, Value)> {
        let of_comments: Vec<_> = self.comments.keys().cloned().collect();
        let kind = if of_comments.is_empty() { 0 } else { chance.below(8) };
        let chars: Vec<_> = content.chars().collect();
        if kind <= 2 {
            if chars.is_empty() {
                return None;
            }
            let start = chance.below(chars.len());
            let end = start + chance.below((chars.len() - start).min(9)) + 1;
            let unit = |at: usize| match encoding {
                Encoding::Utf16 => chars[..at].iter().map(|c| c.len_utf16()).sum(),
                Encoding::Utf32 => at,
            };
            let mut comment = json!({"content": name, "position": {"start": unit(start), "end": unit(end)}});
            if chance.one_in(2) {
                comment["id"] = json!(format!("c:{name}"));
                comment["thread_id"] = json!(format!("t:{name}"));
            }
            return Some(("comment_added", json!({"comment": comment})));
        }
        let id = chance.one_of(&of_comments).clone();
        let thread = self.comments[&id].0.clone();
        Some(match kind {
            3 => ("comment_added", json!({"comment": {"content": format!("{name} replies"), "thread_id": thread}})),
            4 => ("comment_updated", json!({"comment_id": id, "updates": {"content": format!("{name} changed it")}})),
            5 => ("comment_resolved", json!({"comment_id": id})),
            6 => ("comment_reopened", json!({"thread_id": thread})),
            _ => ("comment_deleted", json!({"comment_id": id})),
        })
    }
}

/// A position as a client that counts UTF-16 units has it.
fn in_utf16(position: &Value, content: &str, encoding: Encoding) -> (usize, usize) {
    let [start, end] = ["start", "end"].map(|name| usize::try_from(position[name].as_u64().unwrap()).unwrap());
    let recounted = |at: usize| match encoding {
        Encoding::Utf16 => at,
        Encoding::Utf32 => content.chars().take(at).map(Utf16::length_of).sum(),
    };
    (recounted(start), recounted(end))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected text, got {value}")).to_owned()
}

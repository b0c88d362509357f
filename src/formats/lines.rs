//! A document as the lines that people see: each ends with a line end, whose attributes say what kind of line it is.

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Value, json};

use crate::text::{Attributes, Delta, RichText, Utf16, with_line_feeds};

use super::{
    Limits, Unreadable,
    address::{is_safe_link, is_safe_picture},
};

/// Indents are this deep at most, as in Quill.
pub(super) const DEEPEST: usize = 8;

/// A line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) runs: Vec<Run>,
    pub(super) block: Block,
}

/// A stretch of a line whose marks are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) what: What,
    pub(super) marks: Marks,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Text(String),
    Picture { address: String, alt: Option<String> },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "that is what marks are")]
pub(super) struct Marks {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) underline: bool,
    pub(super) strike: bool,
    pub(super) code: bool,
    pub(super) script: Option<Script>,
    /// Shared by all the stretches inside: it may be long, and they many.
    pub(super) link: Option<Arc<str>>,
}

/// Above or below the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Sub,
    Super,
}

/// What a line is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) indent: usize,
    pub(super) align: Option<Align>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Paragraph,
    Header(u8),
    Item(Item),
    Quote,
    /// With its language, where known.
    Code(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Ordered,
    Bullet,
    Checked,
    Unchecked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Center,
    Right,
    Justify,
}

impl Item {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Ordered, "ordered"),
        (Self::Bullet, "bullet"),
        (Self::Checked, "checked"),
        (Self::Unchecked, "unchecked"),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(item, _)| *item)
    }
}

impl Script {
    /// Each with the value of its attribute and its tag.
    pub(super) const ALL: [(Self, &'static str, &'static str); 2] =
        [(Self::Sub, "sub", "sub"), (Self::Super, "super", "sup")];

    pub(super) fn tag(self) -> &'static str {
        Self::ALL.iter().find(|(script, ..)| *script == self).map_or("", |(.., tag)| tag)
    }
}

impl Align {
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Center, "center"), (Self::Right, "right"), (Self::Justify, "justify")];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(align, _)| *align)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(align, _)| *align == self).map_or("", |(_, name)| name)
    }
}

/// The lines of a document, one after the other: a document may have millions. What is not in the table is left out, and
/// every text is kept.
pub(super) fn of(document: &RichText) -> impl Iterator<Item = Line> {
    let mut spans = document.spans().map(|span| (span.text, span.embed, span.attributes));
    let (mut rest, mut line) = (None, Line::default());
    std::iter::from_fn(move || {
        loop {
            let Some((text, embed, attributes)) = rest.take().or_else(|| spans.next()) else {
                return (!line.runs.is_empty()).then(|| std::mem::take(&mut line));
            };
            if let Some(embed) = embed {
                let address = embed.get("image").and_then(Value::as_str).filter(|address| is_safe_picture(address));
                if let Some(address) = address {
                    let alt = text_of(attributes, "alt").map(str::to_owned);
                    line.push(What::Picture { address: address.to_owned(), alt }, Marks::of(attributes));
                }
                continue;
            }
            let (text, more) = text.split_once('\n').map_or((text, None), |(text, more)| (text, Some(more)));
            line.push(What::Text(text.to_owned()), Marks::of(attributes));
            if let Some(more) = more {
                line.block = Block::of(attributes);
                rest = Some((more, None, attributes)).filter(|_| !more.is_empty());
                return Some(std::mem::take(&mut line));
            }
        }
    })
}

/// The document that consists of these lines.
pub(super) fn to_delta(lines: Vec<Line>) -> Delta<Utf16> {
    let (mut delta, mut of_marks, mut of_blocks) = (Delta::new(), Recent::default(), Recent::default());
    for Line { runs, block } in lines {
        let end = of_blocks.attributes(block, Block::attributes);
        for Run { what, marks } in runs {
            let attributes = of_marks.attributes(marks, Marks::attributes);
            delta = match what {
                What::Text(text) => {
                    // Formats that name characters by their numbers can name a line end.
                    let text = with_line_feeds(&text);
                    let mut pieces = text.split('\n');
                    let first = pieces.next().unwrap_or_default();
                    pieces.fold(delta.insert(first, attributes.clone()), |delta, piece| {
                        delta.insert("\n", end.clone()).insert(piece, attributes.clone())
                    })
                }
                What::Picture { address, alt } => {
                    let alt = alt.map(|alt| ("alt".to_owned(), alt.into())).into_iter().collect();
                    let embed = [("image".to_owned(), address.into())].into_iter().collect();
                    delta.embed(embed, attributes.compose(&alt))
                }
            };
        }
        delta = delta.insert("\n", end);
    }
    delta
}

/// The attributes that were made of the last few marks or blocks, so that stretches that look alike share them.
#[derive(Default)]
struct Recent<K>(VecDeque<(K, Attributes)>);

impl<K: Clone + PartialEq> Recent<K> {
    const MOST: usize = 8;

    fn attributes(&mut self, key: K, make: impl Fn(K) -> Attributes) -> Attributes {
        if let Some((_, attributes)) = self.0.iter().find(|(known, _)| *known == key) {
            return attributes.clone();
        }
        let attributes = make(key.clone());
        self.0.truncate(Self::MOST - 1);
        self.0.push_front((key, attributes.clone()));
        attributes
    }
}

/// The lines of a document that is being read, no more of them than the limits allow.
#[derive(Default)]
pub(super) struct Lines {
    done: Vec<Line>,
    /// The line that is being read.
    pub(super) line: Line,
    limits: Limits,
    taken: Limits,
}

impl Lines {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// How many have ended.
    pub(super) fn count(&self) -> usize {
        self.done.len()
    }

    /// Adds to the line. Beyond the limits nothing is kept.
    pub(super) fn push(&mut self, what: What, marks: Marks) {
        let bytes = match &what {
            What::Text(text) => text.len(),
            What::Picture { address, alt } => address.len() + alt.as_ref().map_or(0, String::len),
        };
        self.taken.bytes += bytes;
        if self.check().is_err() {
            return;
        }
        let link = marks.link.as_ref().map_or(0, |link| link.len());
        let runs = self.line.runs.len();
        self.line.push(what, marks);
        if self.line.runs.len() > runs {
            self.taken.operations += 1;
            self.taken.bytes += link;
        }
    }

    /// Ends the line.
    pub(super) fn end(&mut self) {
        self.taken.operations += 1;
        if self.check().is_ok() {
            self.done.push(std::mem::take(&mut self.line));
        }
    }

    /// Those that have ended since there were so many.
    pub(super) fn since(&mut self, count: usize) -> &mut [Line] {
        self.done.get_mut(count..).unwrap_or_default()
    }

    pub(super) fn check(&self) -> Result<(), Unreadable> {
        if self.taken.operations > self.limits.operations {
            return Err(Unreadable::TooManyOperations { limit: self.limits.operations });
        }
        if self.taken.bytes > self.limits.bytes {
            return Err(Unreadable::TooLong { limit: self.limits.bytes });
        }
        Ok(())
    }

    /// All of them, without one that has not ended.
    pub(super) fn finish(self) -> Result<Vec<Line>, Unreadable> {
        self.check().map(|()| self.done)
    }
}

impl Line {
    pub(super) fn push(&mut self, what: What, marks: Marks) {
        match (self.runs.last_mut(), what) {
            (_, What::Text(text)) if text.is_empty() => (),
            (Some(Run { what: What::Text(before), marks: same }), What::Text(text)) if *same == marks => {
                before.push_str(&text);
            }
            (_, what) => self.runs.push(Run { what, marks }),
        }
    }

    /// The text alone, as a line of code has it.
    pub(super) fn plain(&self) -> String {
        self.runs.iter().map(|run| if let What::Text(text) = &run.what { text.as_str() } else { "" }).collect()
    }
}

fn text_of<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name).and_then(Value::as_str)
}

impl Marks {
    fn of(attributes: &Attributes) -> Self {
        if attributes.is_empty() {
            return Self::default();
        }
        let is = |name| attributes.get(name).is_some_and(|value| *value == json!(true));
        Self {
            bold: is("bold"),
            italic: is("italic"),
            underline: is("underline"),
            strike: is("strike"),
            code: is("code"),
            script: text_of(attributes, "script")
                .and_then(|name| Script::ALL.iter().find(|(_, known, _)| *known == name))
                .map(|(script, ..)| *script),
            link: text_of(attributes, "link").filter(|address| is_safe_link(address)).map(Arc::from),
        }
    }

    fn attributes(self) -> Attributes {
        let Self { bold, italic, underline, strike, code, script, link } = self;
        let all = [("bold", bold), ("italic", italic), ("underline", underline), ("strike", strike), ("code", code)];
        let set = all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (name.to_owned(), json!(true)));
        let script = Script::ALL.iter().find(|(it, ..)| script == Some(*it));
        let script = script.map(|(_, name, _)| ("script".to_owned(), json!(name)));
        set.chain(script).chain(link.map(|address| ("link".to_owned(), (*address).into()))).collect()
    }
}

impl Block {
    fn of(attributes: &Attributes) -> Self {
        if attributes.is_empty() {
            return Self::default();
        }
        let header = attributes.get("header").and_then(Value::as_u64).and_then(|level| u8::try_from(level).ok());
        let item = text_of(attributes, "list").and_then(Item::named);
        let kind = match (attributes.get("code-block"), header, item, attributes.get("blockquote")) {
            (Some(Value::Bool(true)), ..) => Kind::Code(None),
            (Some(Value::String(language)), ..) => Kind::Code(Some(language.clone()).filter(|it| is_language(it))),
            (_, Some(level @ 1..=6), ..) => Kind::Header(level),
            (_, _, Some(item), _) => Kind::Item(item),
            (.., Some(Value::Bool(true))) => Kind::Quote,
            _ => Kind::Paragraph,
        };
        let indent = attributes.get("indent").and_then(Value::as_u64).unwrap_or_default();
        let align = text_of(attributes, "align").and_then(Align::named);
        Self { kind, indent: usize::try_from(indent).unwrap_or(DEEPEST).min(DEEPEST), align }
    }

    fn attributes(self) -> Attributes {
        let Self { kind, indent, align } = self;
        let kind = match kind {
            Kind::Paragraph => None,
            Kind::Header(level) => Some(("header", json!(level))),
            Kind::Item(item) => Item::ALL.iter().find(|it| it.0 == item).map(|(_, name)| ("list", json!(name))),
            Kind::Quote => Some(("blockquote", json!(true))),
            Kind::Code(None) => Some(("code-block", json!(true))),
            Kind::Code(Some(language)) => Some(("code-block", language.into())),
        };
        let indent = (indent > 0).then(|| ("indent", json!(indent)));
        let align = align.map(|align| ("align", json!(align.name())));
        [kind, indent, align].into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Whether this can be the name of a language in every format.
pub(super) fn is_language(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-_.#".contains(&byte))
}

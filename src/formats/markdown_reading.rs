//! Lines from Markdown.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of what Markdown has, and of what is open, most says nothing here"
)]

use std::sync::Arc;

use pulldown_cmark::{BlockQuoteKind, CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::{
    Limits, Unreadable,
    address::{is_safe_link, is_safe_picture},
    front_matter, html_reading,
    lines::{Block, DEEPEST, Item, Kind, Line, Lines, Marks, Script, What, is_language},
};

/// Nodes of the parser, at most, for each line and stretch that a document may have.
const NODES: usize = 4;

/// Blocks and marks that may be open inside each other.
const OPEN: usize = 256;

/// `CommonMark` with everything of GitHub's, and what others write beside it: each has text that would be lost or run
/// together if it was not known.
const OPTIONS: Options = Options::ENABLE_STRIKETHROUGH
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_TABLES)
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_GFM)
    .union(Options::ENABLE_MATH)
    .union(Options::ENABLE_DEFINITION_LIST);

pub(super) fn read(markdown: &str, limits: Limits) -> Result<Vec<Line>, Unreadable> {
    if nodes(markdown) > limits.operations.saturating_mul(NODES) {
        return Err(Unreadable::TooManyOperations { limit: limits.operations });
    }
    let mut reader = Reader { lines: Lines::new(limits), ..Reader::default() };
    let (front_matter, markdown) = front_matter::split(markdown);
    front_matter.lines().for_each(|line| reader.plain_line(line));
    for event in Parser::new_ext(markdown, OPTIONS) {
        reader.take(event)?;
        reader.lines.check()?;
    }
    reader.end_line();
    reader.lines.finish()
}

/// About how many nodes the parser makes, which keeps them all until the end: one for each line, and for each character that
/// may begin a mark or an element.
fn nodes(markdown: &str) -> usize {
    let bytes = markdown.bytes().zip(markdown.bytes().skip(1).chain([b' ']));
    bytes.filter(|(it, next)| b"\n*_`~[]!<>&\\|$".contains(it) || *next == b' ' && b"-+.)".contains(it)).count()
}

#[derive(Default)]
struct Reader {
    lines: Lines,
    has_begun: bool,
    open: Vec<Open>,
    /// A picture whose description is being read.
    picture: Option<(Option<String>, String)>,
    /// The name of a footnote whose text has not begun yet.
    footnote: Option<String>,
    /// HTML between blocks.
    html: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Open {
    Header(u8),
    Quote,
    Code(Option<String>),
    List(Item),
    /// With how many lines there were before it.
    Item(Option<bool>, usize),
    Bold,
    Italic,
    Underline,
    Strike,
    Script(Script),
    /// `code` as a tag.
    Typed,
    Link(Option<Arc<str>>),
    /// A row of a table.
    Row,
    /// Something that says nothing about its text.
    Other,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), Unreadable> {
        match event {
            Event::Start(tag) => self.start(tag)?,
            Event::End(tag) => self.end(tag)?,
            Event::Text(text) => self.text(&text),
            Event::InlineMath(formula) => self.text(&format!("${formula}$")),
            Event::DisplayMath(formula) => self.lines_of_text(&format!("$${formula}$$")),
            Event::FootnoteReference(name) => self.text(&format!("[^{name}]")),
            Event::Code(code) => {
                let marks = Marks { code: true, ..self.marks() };
                self.put(code.into_string(), marks);
            }
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.line_break(),
            Event::Html(html) => self.html.push_str(&html),
            Event::InlineHtml(tag) => self.tag(&tag)?,
            Event::Rule => self.end_line(),
            Event::TaskListMarker(is_checked) => {
                if let Some(Open::Item(checked, _)) = self.open.iter_mut().rfind(|it| matches!(it, Open::Item(..))) {
                    *checked = Some(is_checked);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, tag: Tag<'_>) -> Result<(), Unreadable> {
        if !is_inline(tag.to_end()) {
            self.end_line();
        }
        if matches!(tag, Tag::List(_)) {
            self.begin_empty_item();
        }
        let open = match tag {
            Tag::Heading { level, .. } => Open::Header(level as u8),
            Tag::BlockQuote(kind) => {
                self.push(Open::Quote)?;
                if let Some(kind) = kind {
                    self.plain_line(alert(kind));
                }
                return Ok(());
            }
            Tag::TableHead | Tag::TableRow => Open::Row,
            // A row has begun with its first cell.
            Tag::TableCell => {
                if self.has_begun {
                    self.put("\t".to_owned(), Marks::default());
                }
                self.begin_line();
                Open::Other
            }
            Tag::FootnoteDefinition(name) => {
                self.footnote = Some(name.into_string());
                Open::Other
            }
            Tag::CodeBlock(CodeBlockKind::Fenced(language)) => {
                let name = language.split_whitespace().next().unwrap_or_default();
                Open::Code(Some(name.to_owned()).filter(|name| is_language(name)))
            }
            Tag::CodeBlock(CodeBlockKind::Indented) => Open::Code(None),
            Tag::List(first) => Open::List(if first.is_some() { Item::Ordered } else { Item::Bullet }),
            Tag::Item => Open::Item(None, self.lines.count()),
            Tag::Strong => Open::Bold,
            Tag::Emphasis => Open::Italic,
            Tag::Strikethrough => Open::Strike,
            Tag::Link { dest_url, .. } => Open::Link(Some(&*dest_url).filter(|it| is_safe_link(it)).map(Arc::from)),
            Tag::Image { dest_url, .. } => {
                self.picture = Some((Some(dest_url.into_string()).filter(|it| is_safe_picture(it)), String::new()));
                Open::Other
            }
            _ => Open::Other,
        };
        self.push(open)
    }

    /// An item is a line, also where nothing stands in it.
    fn begin_empty_item(&mut self) {
        let item = self.open.iter().rfind(|it| matches!(it, Open::Item(..)));
        if matches!(item, Some(Open::Item(_, before)) if *before == self.lines.count()) {
            self.begin_and_end_line();
        }
    }

    fn push(&mut self, open: Open) -> Result<(), Unreadable> {
        if self.open.len() >= OPEN {
            return Err(Unreadable::TooDeep { limit: OPEN });
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), Unreadable> {
        match tag {
            TagEnd::Image => {
                if let Some((Some(address), alt)) = self.picture.take() {
                    self.begin_line();
                    let (alt, marks) = (Some(alt).filter(|alt| !alt.is_empty()), self.marks());
                    self.lines.push(What::Picture { address, alt }, marks);
                }
            }
            TagEnd::HtmlBlock => {
                let block = self.block();
                let before = self.lines.count();
                self.lines = html_reading::read(&std::mem::take(&mut self.html), std::mem::take(&mut self.lines))?;
                for line in self.lines.since(before).iter_mut().filter(|line| line.block == Block::default()) {
                    line.block.clone_from(&block);
                }
            }
            TagEnd::Item => {
                self.end_line();
                self.begin_empty_item();
            }
            TagEnd::FootnoteDefinition if self.footnote.is_some() => self.begin_line(),
            _ => (),
        }
        if is_inline(tag) {
            // Tags may be left open inside.
            let wanted = |it: &Open| match tag {
                TagEnd::Emphasis => *it == Open::Italic,
                TagEnd::Strong => *it == Open::Bold,
                TagEnd::Strikethrough => *it == Open::Strike,
                TagEnd::Link => matches!(it, Open::Link(_)),
                _ => *it == Open::Other,
            };
            if let Some(at) = self.open.iter().rposition(wanted) {
                self.open.remove(at);
            }
            return Ok(());
        }
        self.end_line();
        // What was left open inside of a block ends with it.
        while let Some(open) = self.open.pop() {
            if matches!(
                open,
                Open::Header(_)
                    | Open::Quote
                    | Open::Code(_)
                    | Open::List(_)
                    | Open::Item(..)
                    | Open::Row
                    | Open::Other
            ) {
                break;
            }
        }
        Ok(())
    }

    /// A tag in a line. Those that marks have no other way to be written in are known, the others are nothing.
    fn tag(&mut self, tag: &str) -> Result<(), Unreadable> {
        let inner = tag.trim_matches(['<', '>']).trim();
        let name = inner.trim_matches('/').split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let open = match &*name {
            "br" => {
                self.line_break();
                return Ok(());
            }
            "b" | "strong" => Open::Bold,
            "i" | "em" => Open::Italic,
            "u" | "ins" => Open::Underline,
            "s" | "del" | "strike" => Open::Strike,
            "code" => Open::Typed,
            "sub" => Open::Script(Script::Sub),
            "sup" => Open::Script(Script::Super),
            _ => return Ok(()),
        };
        if inner.starts_with('/') {
            if let Some(at) = self.open.iter().rposition(|it| *it == open) {
                self.open.remove(at);
            }
            return Ok(());
        }
        self.push(open)
    }

    fn text(&mut self, text: &str) {
        if self.open.iter().any(|it| matches!(it, Open::Code(_))) {
            return self.lines_of_text(text);
        }
        let marks = self.marks();
        self.put(text.to_owned(), marks);
    }

    /// Adds text whose line ends count.
    fn lines_of_text(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            self.put(piece.strip_suffix('\n').unwrap_or(piece).to_owned(), Marks::default());
            if piece.ends_with('\n') {
                self.begin_and_end_line();
            }
        }
    }

    fn plain_line(&mut self, text: &str) {
        self.put(text.to_owned(), Marks::default());
        self.end_line();
    }

    /// Ends a line in the middle of a block. The cells of a row stay in one line.
    fn line_break(&mut self) {
        if self.open.contains(&Open::Row) {
            self.text(" ");
        } else {
            self.begin_and_end_line();
        }
    }

    fn put(&mut self, text: String, marks: Marks) {
        if text.is_empty() {
            return;
        }
        if let Some((_, alt)) = &mut self.picture {
            alt.push_str(&text);
            return;
        }
        self.begin_line();
        self.lines.push(What::Text(text), marks);
    }

    fn begin_line(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.lines.line.block = self.block();
            if let Some(name) = self.footnote.take() {
                self.lines.push(What::Text(format!("[^{name}]: ")), Marks::default());
            }
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.has_begun) {
            self.lines.end();
        }
    }

    fn begin_and_end_line(&mut self) {
        self.begin_line();
        self.end_line();
    }

    fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for it in &self.open {
            match it {
                Open::Bold => marks.bold = true,
                Open::Italic => marks.italic = true,
                Open::Underline => marks.underline = true,
                Open::Strike => marks.strike = true,
                Open::Typed => marks.code = true,
                Open::Script(script) => marks.script = Some(*script),
                Open::Link(address) => marks.link.clone_from(address),
                _ => (),
            }
        }
        marks
    }

    fn block(&self) -> Block {
        let (mut block, mut lists, mut list) = (Block::default(), 0_usize, Item::Bullet);
        for it in &self.open {
            match it {
                Open::Header(level) => block.kind = Kind::Header(*level),
                Open::Quote => block.kind = Kind::Quote,
                Open::Code(language) => return Block { kind: Kind::Code(language.clone()), ..Block::default() },
                Open::List(item) => (lists, list) = (lists + 1, *item),
                Open::Item(checked, _) => {
                    block.kind = Kind::Item(match checked {
                        Some(true) => Item::Checked,
                        Some(false) => Item::Unchecked,
                        None => list,
                    });
                }
                _ => (),
            }
        }
        if matches!(block.kind, Kind::Item(_)) {
            block.indent = lists.saturating_sub(1).min(DEEPEST);
        }
        block
    }
}

/// The line that makes an alert of a quote.
fn alert(kind: BlockQuoteKind) -> &'static str {
    match kind {
        BlockQuoteKind::Note => "[!NOTE]",
        BlockQuoteKind::Tip => "[!TIP]",
        BlockQuoteKind::Important => "[!IMPORTANT]",
        BlockQuoteKind::Warning => "[!WARNING]",
        BlockQuoteKind::Caution => "[!CAUTION]",
    }
}

/// Whether an element stands in a line, and ends none.
fn is_inline(tag: TagEnd) -> bool {
    matches!(
        tag,
        TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image | TagEnd::TableCell
    )
}

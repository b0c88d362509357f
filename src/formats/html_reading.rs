//! Lines from HTML, token by token as a browser reads it.
//!
//! No tree is made of it: what is open is a short list, an end tag ends the nearest of its name, and text belongs to
//! what is open. That is what a browser makes of mended mistakes too, as far as it shows in text, and it takes time in
//! the length of the input, whatever the input is.

use std::cell::{Cell, RefCell};

use html5ever::{
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
        states::RawKind::{self, Rawtext, Rcdata, ScriptData},
    },
};

use super::{
    Unreadable,
    address::is_safe_picture,
    html_element::{Element, attribute, has_class},
    lines::{Block, DEEPEST, Item, Kind, Lines, Marks, What},
};

/// Elements that may be open inside each other.
const OPEN: usize = 256;
/// The tokenizer compares the attributes of a tag with each other.
const LONGEST_TAG: usize = 64 * 1024;
/// Bytes that it is given at a time.
const PIECE: usize = 4 * 1024;

/// Reads on behind the lines that there are.
pub(super) fn read(html: &str, lines: Lines) -> Result<Lines, Unreadable> {
    let sink = Sink { reader: RefCell::new(Reader { lines, ..Reader::default() }), tokens: Cell::new(0) };
    let (tokenizer, input) = (Tokenizer::new(sink, TokenizerOpts::default()), BufferQueue::default());
    let (mut rest, mut tokens, mut silent) = (html, 0, 0);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(PIECE.min(rest.len())));
        rest = more;
        input.push_back(StrTendril::from(piece));
        // The sink never stops it.
        let _ = tokenizer.feed(&input);
        let sink = &tokenizer.sink;
        silent = if sink.tokens.get() == tokens { silent + piece.len() } else { 0 };
        tokens = sink.tokens.get();
        if silent > LONGEST_TAG {
            return Err(Unreadable::LongTag { limit: LONGEST_TAG });
        }
        let reader = sink.reader.borrow();
        if reader.is_too_deep {
            return Err(Unreadable::TooDeep { limit: OPEN });
        }
        reader.lines.check()?;
    }
    tokenizer.end();
    let mut reader = tokenizer.sink.reader.into_inner();
    reader.end_line();
    reader.lines.check()?;
    Ok(reader.lines)
}

struct Sink {
    reader: RefCell<Reader>,
    /// How many there were.
    tokens: Cell<usize>,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut reader = self.reader.borrow_mut();
        match token {
            // It says where, not what.
            Token::ParseError(_) => return TokenSinkResult::Continue,
            Token::CharacterTokens(text) => reader.text(&text),
            Token::TagToken(tag) => {
                self.tokens.set(self.tokens.get() + 1);
                return match tag.kind {
                    TagKind::StartTag => reader.begin(&tag),
                    TagKind::EndTag => {
                        reader.end(&tag.name);
                        TokenSinkResult::Continue
                    }
                };
            }
            Token::CommentToken(_) | Token::DoctypeToken(_) | Token::NullCharacterToken | Token::EOFToken => (),
        }
        self.tokens.set(self.tokens.get() + 1);
        TokenSinkResult::Continue
    }
}

#[derive(Default)]
struct Reader {
    lines: Lines,
    /// Whether there is a line, even if nothing is in it.
    has_begun: bool,
    /// White space that counts if more text follows in the line.
    space: Option<Marks>,
    /// Cells of this row of a table that have begun.
    cells: usize,
    /// Ends of cells that are not written yet: those of a row without any text are not.
    tabs: usize,
    open: Vec<Element>,
    checked: Option<bool>,
    /// The element whose content is left out, and how many of its name are open inside of each other.
    skipped: Option<(String, usize)>,
    /// A line end here is not part of the text.
    after_pre: bool,
    is_too_deep: bool,
}

/// Elements that say something about their text, and are remembered.
const KNOWN: &str = "b strong i em u ins s del strike sub sup code kbd samp tt a ol ul li blockquote pre listing xmp h1 h2 \
    h3 h4 h5 h6 p div span svg math";
/// Elements that begin and end a line.
const LINES: &str = "p div h1 h2 h3 h4 h5 h6 ul ol li blockquote pre listing xmp table tr caption dl dt dd section article header \
    footer main nav aside figure figcaption address details summary fieldset legend form hr center body";
/// Elements whose content is not text of the document: choices of a form, and formulas once more as their source.
const LEFT_OUT: &str = "select datalist annotation annotation-xml";
/// The same for elements whose content is not read as HTML, with how it is read.
const RAW: [(&str, RawKind); 7] = [
    ("script", ScriptData),
    ("style", Rawtext),
    ("iframe", Rawtext),
    ("noembed", Rawtext),
    ("noframes", Rawtext),
    ("title", Rcdata),
    ("textarea", Rcdata),
];

impl Reader {
    /// Begins an element, and says how the tokenizer is to read on.
    fn begin(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        // Pictures and formulas have elements of the same names that are HTML as all others, and may end at once.
        let is_empty = tag.self_closing && self.open.iter().any(|it| matches!(it.name, "svg" | "math"));
        let raw = RAW.iter().find(|(name, _)| *name == &*tag.name).map(|(_, kind)| *kind);
        if is_empty {
            return TokenSinkResult::Continue;
        }
        match raw {
            Some(kind) => {
                self.skip(tag);
                TokenSinkResult::RawData(kind)
            }
            None => {
                self.start(tag);
                if &*tag.name == "xmp" { TokenSinkResult::RawData(Rawtext) } else { TokenSinkResult::Continue }
            }
        }
    }

    fn skip(&mut self, tag: &Tag) {
        match &mut self.skipped {
            Some((name, depth)) if **name == *tag.name => *depth += 1,
            Some(_) => (),
            None => self.skipped = Some((tag.name.to_string(), 1)),
        }
    }

    fn start(&mut self, tag: &Tag) {
        let name = &*tag.name;
        if self.skipped.is_some() || is_one_of(LEFT_OUT, name) {
            if !tag.self_closing {
                self.skip(tag);
            }
            return;
        }
        self.after_pre = false;
        if is_one_of(LINES, name) {
            self.end_line();
            // It may be left open.
            self.close("p");
            if name == "li" {
                self.close_item();
            }
        }
        match name {
            // Browsers put it at the end of what they copy.
            "br" if attribute(tag, "class") == Some("Apple-interchange-newline") => (),
            "br" => {
                self.begin_line();
                self.end_line();
            }
            "img" => self.picture(tag),
            "input" if !self.has_begun && is_check_box(tag) => {
                self.checked = Some(attribute(tag, "checked").is_some());
            }
            "tr" => self.cells = 0,
            "td" | "th" => {
                self.tabs += usize::from(self.cells > 0);
                self.cells += 1;
            }
            // The text of a formula is there twice more, for browsers.
            "span" if has_class(tag, "ql-formula") => {
                self.put(attribute(tag, "data-value").unwrap_or_default(), &self.marks());
                self.skip(tag);
                return;
            }
            _ => (),
        }
        if let Some(known) = KNOWN.split(' ').find(|known| *known == name) {
            self.is_too_deep |= self.open.len() >= OPEN;
            if !self.is_too_deep {
                self.open.push(Element::of(known, tag));
            }
            self.after_pre = matches!(name, "pre" | "listing");
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped == name {
                *depth -= 1;
                if *depth == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        self.after_pre = false;
        if is_one_of(LINES, name) {
            self.end_line();
        }
        if let ["h", level] = [name.get(..1).unwrap_or_default(), name.get(1..).unwrap_or_default()]
            && matches!(level, "1" | "2" | "3" | "4" | "5" | "6")
        {
            // Any of them ends any of them.
            if let Some(at) = self.open.iter().rposition(|it| level_of(it.name).is_some()) {
                self.open.remove(at);
            }
            return;
        }
        match name {
            "ol" | "ul" => {
                if let Some(at) = self.open.iter().rposition(|it| it.name == name) {
                    // Its items may be left open.
                    let mut place = 0..;
                    self.open.retain(|it| place.next().is_none_or(|n| n < at || n > at && it.name != "li"));
                }
            }
            _ => self.close(name),
        }
    }

    fn close(&mut self, name: &str) {
        if let Some(at) = self.open.iter().rposition(|it| it.name == name) {
            self.open.remove(at);
        }
    }

    /// Ends the item before another one of the same list.
    fn close_item(&mut self) {
        let list = self.open.iter().rposition(|it| matches!(it.name, "ol" | "ul")).map_or(0, |at| at + 1);
        if let Some(at) = self.open[list..].iter().rposition(|it| it.name == "li") {
            self.open.remove(list + at);
        }
    }

    fn picture(&mut self, tag: &Tag) {
        let Some(address) = attribute(tag, "src").filter(|address| is_safe_picture(address)) else { return };
        let alt = attribute(tag, "alt").map(str::to_owned);
        self.begin_line();
        self.put_tabs();
        self.put_space();
        let (address, marks) = (address.to_owned(), self.marks());
        self.lines.push(What::Picture { address, alt }, marks);
    }

    fn text(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        let text = match (std::mem::take(&mut self.after_pre), text.strip_prefix('\n')) {
            (true, Some(rest)) => rest,
            _ => text,
        };
        // Once for all words: as many elements as may be open would be asked for each.
        let marks = self.marks();
        if self.open.iter().rev().find_map(|it| it.keeps_space) == Some(true) {
            for piece in text.split_inclusive('\n') {
                self.put(piece.strip_suffix('\n').unwrap_or(piece), &marks);
                if piece.ends_with('\n') {
                    self.begin_line();
                    self.end_line();
                }
            }
            return;
        }
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
        for (n, word) in text.split(is_space).enumerate() {
            if n > 0 && self.has_begun && self.space.is_none() {
                self.space = Some(marks.clone());
            }
            self.put(word, &marks);
        }
    }

    /// Adds text as it is.
    fn put(&mut self, text: &str, marks: &Marks) {
        if text.is_empty() {
            return;
        }
        self.begin_line();
        self.put_tabs();
        self.put_space();
        self.lines.push(What::Text(text.to_owned()), marks.clone());
    }

    fn put_tabs(&mut self) {
        let tabs = "\t".repeat(std::mem::take(&mut self.tabs));
        if !tabs.is_empty() {
            self.space = None;
            self.lines.push(What::Text(tabs), Marks::default());
        }
    }

    fn put_space(&mut self) {
        if let Some(marks) = self.space.take() {
            self.lines.push(What::Text(" ".to_owned()), marks);
        }
    }

    fn begin_line(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.lines.line.block = self.block();
        }
    }

    fn end_line(&mut self) {
        self.space = None;
        if std::mem::take(&mut self.has_begun) {
            self.put_tabs();
            self.lines.end();
        }
        self.tabs = 0;
    }

    fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for it in &self.open {
            if it.is_code {
                return Marks::default();
            }
            it.mark(&mut marks);
        }
        marks
    }

    fn block(&mut self) -> Block {
        let (mut block, mut lists, mut item) = (Block::default(), 0, None);
        for it in &self.open {
            if it.is_code {
                let language = self.open.iter().rev().find_map(|it| it.language.clone());
                return Block { kind: Kind::Code(language), indent: it.indent, align: it.align };
            }
            match it.name {
                "ol" => (lists, item) = (lists + 1, it.item.or(Some(Item::Ordered))),
                "ul" => (lists, item) = (lists + 1, it.item.or(Some(Item::Bullet))),
                "blockquote" => block.kind = Kind::Quote,
                "li" => {
                    let item = it.item.or(item).unwrap_or(Item::Bullet);
                    (block.kind, block.indent, block.align) = (Kind::Item(item), it.indent, it.align);
                    continue;
                }
                name => {
                    if let Some(level) = level_of(name) {
                        block.kind = Kind::Header(level);
                    }
                }
            }
            if it.indent > 0 || it.align.is_some() {
                (block.indent, block.align) = (it.indent, it.align);
            }
        }
        if let Kind::Item(item) = &mut block.kind {
            block.indent = (block.indent + usize::saturating_sub(lists, 1)).min(DEEPEST);
            match self.checked.take() {
                Some(true) => *item = Item::Checked,
                Some(false) => *item = Item::Unchecked,
                None => (),
            }
        }
        self.checked = None;
        block
    }
}

fn is_check_box(tag: &Tag) -> bool {
    attribute(tag, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("checkbox"))
}

fn is_one_of(names: &str, name: &str) -> bool {
    names.split(' ').any(|known| known == name)
}

fn level_of(name: &str) -> Option<u8> {
    let level = name.strip_prefix('h')?.parse().ok()?;
    (1..=6).contains(&level).then_some(level)
}

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
        states::RawKind::{Rawtext, Rcdata, ScriptData},
    },
};

use super::{
    Unreadable,
    address::{is_safe_link, is_safe_picture},
    lines::{Align, Block, DEEPEST, Item, Kind, Line, Marks, What, is_language},
};

/// Elements that may be open inside each other.
const OPEN: usize = 256;
/// The tokenizer compares the attributes of a tag with each other.
const LONGEST_TAG: usize = 64 * 1024;
/// Bytes that it is given at a time.
const PIECE: usize = 4 * 1024;

pub(super) fn read(html: &str) -> Result<Vec<Line>, Unreadable> {
    let sink = Sink { reader: RefCell::default(), tokens: Cell::new(0) };
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
        if sink.reader.borrow().is_too_deep {
            return Err(Unreadable::TooDeep { limit: OPEN });
        }
    }
    tokenizer.end();
    let mut reader = tokenizer.sink.reader.take();
    reader.end_line();
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
                match (tag.kind, &*tag.name) {
                    (TagKind::StartTag, "script") => {
                        reader.skip(&tag);
                        return TokenSinkResult::RawData(ScriptData);
                    }
                    (TagKind::StartTag, "style" | "xmp" | "iframe" | "noembed" | "noframes") => {
                        reader.skip(&tag);
                        return TokenSinkResult::RawData(Rawtext);
                    }
                    (TagKind::StartTag, "title" | "textarea") => {
                        reader.skip(&tag);
                        return TokenSinkResult::RawData(Rcdata);
                    }
                    (TagKind::StartTag, _) => reader.start(&tag),
                    (TagKind::EndTag, name) => reader.end(name),
                }
            }
            Token::CommentToken(_) | Token::DoctypeToken(_) | Token::NullCharacterToken | Token::EOFToken => (),
        }
        self.tokens.set(self.tokens.get() + 1);
        TokenSinkResult::Continue
    }
}

/// An element that is open and says something about its text.
struct Open {
    name: &'static str,
    link: Option<String>,
    language: Option<String>,
    indent: usize,
    align: Option<Align>,
    keeps_space: bool,
}

#[derive(Default)]
struct Reader {
    lines: Vec<Line>,
    line: Line,
    /// Whether there is a line, even if nothing is in it.
    has_begun: bool,
    /// White space that counts if more text follows in the line.
    space: Option<Marks>,
    open: Vec<Open>,
    checked: Option<bool>,
    /// The element whose content is left out, and how many of its name are open inside of each other.
    skipped: Option<(String, usize)>,
    /// A line end here is not part of the text.
    after_pre: bool,
    is_too_deep: bool,
}

/// Elements that say something about their text, and are remembered.
const KNOWN: &str = "b strong i em u ins s del strike code kbd samp tt a ol ul li blockquote pre h1 h2 h3 h4 h5 h6 p div \
    span";
/// Elements that begin and end a line.
const LINES: &str = "p div h1 h2 h3 h4 h5 h6 ul ol li blockquote pre table tr caption dl dt dd section article header \
    footer main nav aside figure figcaption address details summary fieldset legend form hr center body";
/// Elements whose content is not text.
const LEFT_OUT: &str = "svg math template object select audio video canvas";

impl Reader {
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
            "br" => {
                self.begin_line();
                self.end_line();
            }
            "img" => self.picture(tag),
            "input" if !self.has_begun && is_check_box(tag) => {
                self.checked = Some(attribute(tag, "checked").is_some());
            }
            "td" | "th" if self.has_begun => self.put("\t"),
            _ => (),
        }
        if let Some(known) = KNOWN.split(' ').find(|known| *known == name) {
            self.is_too_deep |= self.open.len() >= OPEN;
            if !self.is_too_deep {
                self.open.push(Open::of(known, tag));
            }
            self.after_pre = name == "pre";
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
        self.put_space();
        let (address, marks) = (address.to_owned(), self.marks());
        self.line.push(What::Picture { address, alt }, marks);
    }

    fn text(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        let text = match (std::mem::take(&mut self.after_pre), text.strip_prefix('\n')) {
            (true, Some(rest)) => rest,
            _ => text,
        };
        if self.open.iter().any(|it| it.keeps_space) {
            for piece in text.split_inclusive('\n') {
                self.put(piece.strip_suffix('\n').unwrap_or(piece));
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
                self.space = Some(self.marks());
            }
            self.put(word);
        }
    }

    /// Adds text as it is.
    fn put(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.begin_line();
        self.put_space();
        let marks = self.marks();
        self.line.push(What::Text(text.to_owned()), marks);
    }

    fn put_space(&mut self) {
        if let Some(marks) = self.space.take() {
            self.line.push(What::Text(" ".to_owned()), marks);
        }
    }

    fn begin_line(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.line.block = self.block();
        }
    }

    fn end_line(&mut self) {
        self.space = None;
        if std::mem::take(&mut self.has_begun) {
            self.lines.push(std::mem::take(&mut self.line));
        }
    }

    fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for it in &self.open {
            match it.name {
                "b" | "strong" => marks.bold = true,
                "i" | "em" => marks.italic = true,
                "u" | "ins" => marks.underline = true,
                "s" | "del" | "strike" => marks.strike = true,
                "code" | "kbd" | "samp" | "tt" => marks.code = true,
                "a" => marks.link.clone_from(&it.link),
                "pre" => return Marks::default(),
                _ => (),
            }
        }
        marks
    }

    fn block(&mut self) -> Block {
        let (mut block, mut lists, mut item) = (Block::default(), 0, None);
        for it in &self.open {
            match it.name {
                "pre" => {
                    let kind = Kind::Code(it.language.clone());
                    return Block { kind, indent: it.indent, align: it.align };
                }
                "ol" => (lists, item) = (lists + 1, Some(Item::Ordered)),
                "ul" => (lists, item) = (lists + 1, Some(Item::Bullet)),
                "blockquote" => block.kind = Kind::Quote,
                "li" => {
                    let item = item.unwrap_or(Item::Bullet);
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

impl Open {
    fn of(name: &'static str, tag: &Tag) -> Self {
        let classes = || attribute(tag, "class").unwrap_or_default().split_ascii_whitespace();
        let indent = classes().find_map(|class| class.strip_prefix("ql-indent-")?.parse().ok()).unwrap_or_default();
        let align = classes().find_map(|class| {
            let name = class.strip_prefix("ql-align-")?;
            Align::ALL.iter().find(|(_, known)| *known == name).map(|(align, _)| *align)
        });
        let style = attribute(tag, "style").unwrap_or_default();
        let space = style.split(';').filter_map(|it| it.split_once(':')).find(|(name, _)| name.trim() == "white-space");
        Self {
            name,
            link: attribute(tag, "href").filter(|address| name == "a" && is_safe_link(address)).map(str::to_owned),
            language: attribute(tag, "data-language").filter(|name| is_language(name)).map(str::to_owned),
            indent: usize::min(indent, DEEPEST),
            align,
            keeps_space: name == "pre" || space.is_some_and(|(_, value)| value.trim().starts_with("pre-wrap")),
        }
    }
}

fn is_check_box(tag: &Tag) -> bool {
    attribute(tag, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("checkbox"))
}

fn is_one_of(names: &str, name: &str) -> bool {
    names.split(' ').any(|known| known == name)
}

fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs.iter().find(|attribute| *attribute.name.local == *name).map(|attribute| &*attribute.value)
}

fn level_of(name: &str) -> Option<u8> {
    let level = name.strip_prefix('h')?.parse().ok()?;
    (1..=6).contains(&level).then_some(level)
}

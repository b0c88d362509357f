//! Lines as Markdown: `CommonMark` with strikethrough and task lists, and tags where marks have no other way.

use std::fmt::Write as _;

use super::lines::{Item, Kind, Line, Marks, Run, Script, What};

/// An empty line, which Markdown does not know.
const EMPTY: &str = "<br>";
/// An empty item. Its line must not be taken for anything else, and must not swallow the next one.
const EMPTY_ITEM: &str = "<!-- -->";

pub(super) fn write(lines: impl Iterator<Item = Line>) -> String {
    let mut text = String::new();
    let mut lines = lines.peekable();
    let mut depth = 0;
    while let Some(line) = lines.next() {
        let next = lines.peek().map(|next| &next.block.kind);
        let (is_before_quote, is_before_item) = (next == Some(&Kind::Quote), matches!(next, Some(Kind::Item(_))));
        match &line.block.kind {
            Kind::Paragraph => text.push_str(&content(&line, EMPTY)),
            Kind::Header(level) => {
                text.push_str(&"#".repeat(usize::from(*level)));
                text.push(' ');
                text.push_str(&content(&line, EMPTY));
            }
            Kind::Quote => {
                text.push_str("> ");
                text.push_str(&content(&line, EMPTY));
                if is_before_quote {
                    text.push_str("\n>\n");
                    continue;
                }
            }
            Kind::Code(language) => {
                let mut code = vec![line.plain()];
                while let Some(more) = lines.next_if(|next| next.block.kind == line.block.kind) {
                    code.push(more.plain());
                }
                let fence = "`".repeat(longest_ticks(&code).max(2) + 1);
                text.push_str(&fence);
                text.push_str(language.as_deref().unwrap_or_default());
                for code in &code {
                    text.extend(["\n", code]);
                }
                text.push('\n');
                text.push_str(&fence);
            }
            Kind::Item(item) => {
                depth = line.block.indent.min(depth);
                text.push_str(&"    ".repeat(depth));
                text.push_str(match item {
                    Item::Ordered => "1. ",
                    Item::Bullet => "- ",
                    Item::Checked => "- [x] ",
                    Item::Unchecked => "- [ ] ",
                });
                text.push_str(&content(&line, EMPTY_ITEM));
                depth += 1;
                if is_before_item {
                    text.push('\n');
                    continue;
                }
            }
        }
        depth = 0;
        text.push_str(if lines.peek().is_some() { "\n\n" } else { "\n" });
    }
    text
}

fn longest_ticks(code: &[String]) -> usize {
    code.iter().flat_map(|code| code.split(|c| c != '`')).map(str::len).max().unwrap_or_default()
}

/// What stands in a line.
fn content(Line { runs, .. }: &Line, empty: &str) -> String {
    if runs.is_empty() {
        return empty.to_owned();
    }
    let mut text = String::new();
    for (n, run) in runs.iter().enumerate() {
        put(&mut text, run, (n == 0, n + 1 == runs.len()));
    }
    text
}

/// Adds a run; `first` and `last` say whether it begins and ends the line.
fn put(text: &mut String, Run { what, marks }: &Run, (first, last): (bool, bool)) {
    let Marks { bold, italic, underline, strike, code, script, link } = marks;
    if link.is_some() {
        text.push('[');
    }
    let is_plain = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let is_wordlike = match what {
        What::Text(text) => {
            let has_tag = *code || *underline || script.is_some();
            !has_tag && is_plain(text.chars().next()) && is_plain(text.chars().last())
        }
        What::Picture { .. } => false,
    };
    // Marks side by side would be read as others, and so would some that touch anything but a letter.
    let is_simple = is_wordlike && !(*strike && (*bold || *italic)) && !text.ends_with(['*', '~', '>']);
    let tags: &[(bool, &str, &str)] = if is_simple {
        &[(*strike, "~~", "~~"), (*bold, "**", "**"), (*italic, "*", "*")]
    } else {
        &[
            (*strike, "<del>", "</del>"),
            (*bold, "<strong>", "</strong>"),
            (*italic, "<em>", "</em>"),
            (*underline, "<u>", "</u>"),
            (*script == Some(Script::Sub), "<sub>", "</sub>"),
            (*script == Some(Script::Super), "<sup>", "</sup>"),
        ]
    };
    let set = || tags.iter().filter(|(is_set, ..)| *is_set);
    let is_bare = link.is_none() && set().next().is_none();
    set().for_each(|(_, begin, _)| text.push_str(begin));
    match what {
        What::Text(words) if *code => put_code(text, words),
        What::Text(words) => put_text(text, words, (is_bare && first, is_bare && last)),
        What::Picture { address, alt } => {
            text.push_str("![");
            put_text(text, alt.as_deref().unwrap_or_default(), (false, false));
            text.push(']');
            put_address(text, address);
        }
    }
    set().rev().for_each(|(.., end)| text.push_str(end));
    if let Some(address) = link {
        text.push(']');
        put_address(text, address);
    }
}

fn put_address(text: &mut String, address: &str) {
    text.push_str("(<");
    for c in address.chars() {
        match c {
            '<' | '>' | '\\' => text.extend(['\\', c]),
            '&' => text.push_str("&amp;"),
            _ => text.push(c),
        }
    }
    text.push_str(">)");
}

/// Code between more ticks than it has. It cannot begin or end with one, nor with both spaces, as it is.
fn put_code(text: &mut String, code: &str) {
    let ticks = "`".repeat(longest_ticks(&[code.to_owned()]) + 1);
    let is_blank = code.chars().all(|c| c == ' ');
    let needs_room =
        code.starts_with('`') || code.ends_with('`') || !is_blank && code.starts_with(' ') && code.ends_with(' ');
    let room = if needs_room { " " } else { "" };
    text.extend([&ticks, room, code, room, &ticks]);
}

/// Text that says nothing but itself. White space at an end of the line, and what would begin a block, is written so
/// that it does not.
fn put_text(text: &mut String, words: &str, (first, last): (bool, bool)) {
    let length = words.len();
    let start = if first { length - words.trim_start().len() } else { 0 };
    let end = if last { words.trim_end().len() } else { length };
    let digits = words.bytes().take_while(u8::is_ascii_digit).count();
    for (at, c) in words.char_indices() {
        match c {
            ' ' if at < start || at >= end => text.push_str("&#32;"),
            '\t' => text.push_str("&#9;"),
            '`' => text.push_str("&#96;"),
            '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' | '#' | '|' | '$' => text.extend(['\\', c]),
            '+' | '-' | '=' | ':' if first && at == 0 => text.extend(['\\', c]),
            '.' | ')' if first && digits > 0 && at == digits => text.extend(['\\', c]),
            // Before a picture or a link it would belong to it.
            '!' if at + 1 == length => text.push_str("\\!"),
            c if c.is_control() => {
                let _ = write!(text, "&#{};", u32::from(c));
            }
            _ => text.push(c),
        }
    }
}

//! What one HTML element says about the text inside it: by its name, attributes, classes and style.
//!
//! [`super::html_reading`] keeps an [`Element`] for each known element that is open. Classes are those that Quill
//! writes and highlighters use; of a style only the declarations count that change what our formats hold.

use std::sync::Arc;

use html5ever::tokenizer::Tag;

use super::{
    address::is_safe_link,
    lines::{Align, DEEPEST, Item, Marks, Script, is_language},
};

/// An element that is open.
pub(super) struct Element {
    pub(super) name: &'static str,
    /// Which list its items belong to, or which one it is an item of, where its attributes say so.
    pub(super) item: Option<Item>,
    pub(super) indent: usize,
    pub(super) align: Option<Align>,
    /// Whether its text is code, line by line.
    pub(super) is_code: bool,
    /// The language of the code inside.
    pub(super) language: Option<String>,
    /// Whether white space inside counts, where the element says so.
    pub(super) keeps_space: Option<bool>,
    link: Option<Arc<str>>,
    looks: Looks,
}

/// How the text of an element looks. Weight and slant are inherited until an element inside sets them anew; a line
/// through or under the text, once drawn, stays.
struct Looks {
    bold: Option<bool>,
    italic: Option<bool>,
    underline: bool,
    strike: bool,
    code: bool,
    script: Option<Script>,
}

impl Element {
    pub(super) fn of(name: &'static str, tag: &Tag) -> Self {
        let classes = || classes(tag);
        let style = Style(attribute(tag, "style").unwrap_or_default());
        let indent = classes().find_map(|class| class.strip_prefix("ql-indent-")?.parse().ok()).unwrap_or_default();
        let align = classes().find_map(|class| class.strip_prefix("ql-align-")).map(str::to_owned);
        let align =
            align.or_else(|| style.value_of("text-align")).or_else(|| attribute(tag, "align").map(str::to_owned));
        let is_preformatted = matches!(name, "pre" | "listing" | "xmp");
        let is_code = is_preformatted || has_class(tag, "ql-code-block");
        // The page of Quill shows white space as it is, by its style sheet.
        let keeps_space = (is_code || has_class(tag, "ql-editor")).then_some(true);
        let language = attribute(tag, "data-language").or_else(|| {
            classes().find_map(|class| class.strip_prefix("language-").or_else(|| class.strip_prefix("lang-")))
        });
        Self {
            name,
            item: item_of(name, tag),
            indent: usize::min(indent, DEEPEST),
            align: align.and_then(|name| Align::named(&name)),
            is_code,
            language: language.filter(|name| is_language(name)).map(str::to_owned),
            keeps_space: style.keeps_space().or(keeps_space),
            link: attribute(tag, "href").filter(|address| name == "a" && is_safe_link(address)).map(Arc::from),
            looks: Looks::of(name, &style),
        }
    }

    /// Changes the marks of the text around it to those of the text inside.
    pub(super) fn mark(&self, marks: &mut Marks) {
        let Looks { bold, italic, underline, strike, code, script } = self.looks;
        marks.bold = bold.unwrap_or(marks.bold);
        marks.italic = italic.unwrap_or(marks.italic);
        marks.underline |= underline;
        marks.strike |= strike;
        marks.code |= code;
        marks.script = script.or(marks.script);
        if self.name == "a" {
            marks.link.clone_from(&self.link);
        }
    }
}

impl Looks {
    fn of(name: &str, style: &Style<'_>) -> Self {
        let is = |names: &[&str]| names.contains(&name);
        let lines = style.value_of("text-decoration-line").or_else(|| style.value_of("text-decoration"));
        let has_line = |line, by_name| lines.as_deref().map_or(by_name, |lines| lines.contains(line));
        let script = match style.value_of("vertical-align").as_deref() {
            Some("super") => Some(Script::Super),
            Some("sub") => Some(Script::Sub),
            Some(_) => None,
            None => Script::ALL.iter().find(|(_, _, tag)| *tag == name).map(|(script, ..)| *script),
        };
        Self {
            bold: style.is_bold().or(is(&["b", "strong"]).then_some(true)),
            italic: style.is_italic().or(is(&["i", "em"]).then_some(true)),
            underline: has_line("underline", is(&["u", "ins"])),
            strike: has_line("line-through", is(&["s", "del", "strike"])),
            code: is(&["code", "kbd", "samp", "tt"]),
            script,
        }
    }
}

/// The declarations of a `style` attribute.
struct Style<'a>(&'a str);

impl Style<'_> {
    /// The last value that is declared, in lower case.
    fn value_of(&self, wanted: &str) -> Option<String> {
        let declared = |it: &&str| it.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        let (_, value) = self.0.split(';').rfind(declared)?.split_once(':')?;
        let value = value.to_ascii_lowercase();
        Some(value.trim().trim_end_matches("!important").trim_end().to_owned())
    }

    fn is_bold(&self) -> Option<bool> {
        match self.value_of("font-weight")?.as_str() {
            "bold" | "bolder" => Some(true),
            "normal" | "lighter" | "initial" => Some(false),
            // As browsers show it.
            weight => weight.parse::<f32>().ok().map(|weight| weight >= 600.0),
        }
    }

    fn is_italic(&self) -> Option<bool> {
        let slant = self.value_of("font-style")?;
        match slant.split_ascii_whitespace().next()? {
            "italic" | "oblique" => Some(true),
            "normal" | "initial" => Some(false),
            _ => None,
        }
    }

    fn keeps_space(&self) -> Option<bool> {
        match self.value_of("white-space")?.as_str() {
            "pre" | "pre-wrap" | "break-spaces" => Some(true),
            "normal" | "nowrap" | "initial" => Some(false),
            _ => None,
        }
    }
}

/// `data-list` is of Quill 2, `data-checked` of Quill 1, and `aria-checked` of Google Docs.
fn item_of(name: &str, tag: &Tag) -> Option<Item> {
    let by_name = attribute(tag, "data-list").filter(|_| name == "li").and_then(Item::named);
    let is_list = matches!(name, "ol" | "ul");
    let is_box = name == "li" && attribute(tag, "role") == Some("checkbox");
    let checked = attribute(tag, "data-checked").filter(|_| is_list);
    let checked = checked.or_else(|| attribute(tag, "aria-checked").filter(|_| is_box));
    by_name.or(checked.map(|checked| if checked == "true" { Item::Checked } else { Item::Unchecked }))
}

pub(super) fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs.iter().find(|attribute| *attribute.name.local == *name).map(|attribute| &*attribute.value)
}

fn classes(tag: &Tag) -> impl Iterator<Item = &str> {
    attribute(tag, "class").unwrap_or_default().split_ascii_whitespace()
}

pub(super) fn has_class(tag: &Tag, name: &str) -> bool {
    classes(tag).any(|class| class == name)
}

//! Lines as HTML that says what they are.

use html5ever::{
    LocalName, QualName, ns,
    serialize::{HtmlSerializer, SerializeOpts, Serializer},
};

use super::lines::{Block, Item, Kind, Line, Marks, Run, Script, What};

/// A page. Escaping is the library's.
pub(super) fn write(lines: impl Iterator<Item = Line>, title: &str) -> String {
    let mut page = Page(HtmlSerializer::new(Vec::new(), SerializeOpts::default()));
    // What is written into memory is written.
    let _ = page.0.write_doctype("html");
    page.begin("html", &[]);
    page.begin("head", &[]);
    page.begin("meta", &[("charset", "utf-8")]);
    page.end("meta");
    page.element("title", title);
    page.end("head");
    page.begin("body", &[]);
    page.lines(lines);
    page.end("body");
    page.end("html");
    // All that came in was UTF-8, and the library cuts nothing in two.
    String::from_utf8(page.0.writer).unwrap_or_default()
}

struct Page(HtmlSerializer<Vec<u8>>);

fn name(name: &str) -> QualName {
    QualName::new(None, ns!(html), LocalName::from(name))
}

fn attribute(name: &str) -> QualName {
    QualName::new(None, ns!(), LocalName::from(name))
}

impl Page {
    fn begin(&mut self, tag: &str, attributes: &[(&str, &str)]) {
        let names: Vec<_> = attributes.iter().map(|(name, value)| (attribute(name), *value)).collect();
        let _ = self.0.start_elem(name(tag), names.iter().map(|(name, value)| (name, *value)));
    }

    fn end(&mut self, tag: &str) {
        let _ = self.0.end_elem(name(tag));
    }

    fn text(&mut self, text: &str) {
        let _ = self.0.write_text(text);
    }

    fn element(&mut self, tag: &str, text: &str) {
        self.begin(tag, &[]);
        self.text(text);
        self.end(tag);
    }

    fn lines(&mut self, lines: impl Iterator<Item = Line>) {
        let (mut group, mut lists) = (None, Vec::new());
        for line in lines {
            if !group.as_ref().is_some_and(|before| is_one_group(before, &line.block.kind)) {
                self.end_group(group.as_ref(), &mut lists);
                self.begin_group(&line.block.kind);
            }
            match &line.block.kind {
                Kind::Item(item) => self.item(*item, &line, &mut lists),
                Kind::Code(_) => {
                    self.text(&line.plain());
                    self.text("\n");
                }
                Kind::Header(level) => {
                    self.line(["h1", "h2", "h3", "h4", "h5", "h6"][usize::from(level.clamp(&1, &6) - 1)], &line);
                }
                Kind::Paragraph | Kind::Quote => self.line("p", &line),
            }
            group = Some(line.block.kind);
        }
        self.end_group(group.as_ref(), &mut lists);
    }

    /// Begins what lines of one kind stand in together.
    fn begin_group(&mut self, kind: &Kind) {
        match kind {
            Kind::Quote => self.begin("blockquote", &[]),
            Kind::Code(language) => {
                let language = language.as_deref().map(|language| ("data-language", language));
                self.begin("pre", language.as_slice());
                self.begin("code", &[]);
            }
            Kind::Item(_) | Kind::Header(_) | Kind::Paragraph => (),
        }
    }

    fn end_group(&mut self, kind: Option<&Kind>, lists: &mut Vec<&'static str>) {
        match kind {
            Some(Kind::Quote) => self.end("blockquote"),
            Some(Kind::Code(_)) => {
                self.end("code");
                self.end("pre");
            }
            Some(Kind::Item(_)) => {
                while !lists.is_empty() {
                    self.end_list(lists);
                }
            }
            Some(Kind::Header(_) | Kind::Paragraph) | None => (),
        }
    }

    fn line(&mut self, tag: &str, line: &Line) {
        self.begin_line(tag, line, line.block.indent);
        self.runs(line);
        self.end(tag);
    }

    /// Begins an element for a line; `indent` is what the elements around it do not say.
    fn begin_line(&mut self, tag: &str, line: &Line, indent: usize) {
        let Block { align, .. } = line.block;
        let mut classes = Vec::new();
        if indent > 0 {
            classes.push(format!("ql-indent-{indent}"));
        }
        if let Some(align) = align {
            classes.push(format!("ql-align-{}", align.name()));
        }
        let classes = classes.join(" ");
        let mut attributes = Vec::new();
        if !classes.is_empty() {
            attributes.push(("class", classes.as_str()));
        }
        // Browsers make one of several spaces, and none of those at the ends.
        let text = line.plain();
        let is_edge = |at: Option<char>| at.is_some_and(|c| c.is_ascii_whitespace());
        let is_odd = text.contains("  ") || text.contains(['\t', '\u{c}']);
        if is_odd || is_edge(text.chars().next()) || is_edge(text.chars().last()) {
            attributes.push(("style", "white-space: pre-wrap"));
        }
        self.begin(tag, &attributes);
    }

    fn runs(&mut self, line: &Line) {
        if line.runs.is_empty() {
            self.begin("br", &[]);
            self.end("br");
        }
        for Run { what, marks } in &line.runs {
            let Marks { bold, italic, underline, strike, code, script, link } = marks;
            let tags = [("strong", bold), ("em", italic), ("u", underline), ("s", strike), ("code", code)];
            let tags = tags.into_iter().filter(|(_, is_set)| **is_set).map(|(tag, _)| tag);
            let tags: Vec<_> = tags.chain(script.map(Script::tag)).collect();
            if let Some(address) = link {
                self.begin("a", &[("href", address), ("rel", "noopener noreferrer")]);
            }
            for tag in &tags {
                self.begin(tag, &[]);
            }
            match what {
                What::Text(text) => self.text(text),
                What::Picture { address, alt } => {
                    let alt = alt.as_deref().map(|alt| ("alt", alt));
                    let attributes: Vec<_> = [("src", address.as_str())].into_iter().chain(alt).collect();
                    self.begin("img", &attributes);
                    self.end("img");
                }
            }
            for tag in tags.iter().rev() {
                self.end(tag);
            }
            if link.is_some() {
                self.end("a");
            }
        }
    }

    /// An item in the lists that are open, which stand in the items of each other. One that is deeper than its list can be says
    /// so in its class.
    fn item(&mut self, item: Item, line: &Line, open: &mut Vec<&'static str>) {
        let tag = if item == Item::Ordered { "ol" } else { "ul" };
        let depth = line.block.indent.min(open.len());
        while open.len() > depth + 1 {
            self.end_list(open);
        }
        match open.last() {
            Some(same) if open.len() == depth + 1 && *same == tag => self.end("li"),
            Some(_) if open.len() == depth + 1 => {
                self.end_list(open);
                self.begin(tag, &[]);
                open.push(tag);
            }
            _ => {
                self.begin(tag, &[]);
                open.push(tag);
            }
        }
        self.begin_line("li", line, line.block.indent - depth);
        if matches!(item, Item::Checked | Item::Unchecked) {
            let checked = (item == Item::Checked).then_some(("checked", ""));
            let all: Vec<_> = [("type", "checkbox"), ("disabled", "")].into_iter().chain(checked).collect();
            self.begin("input", &all);
            self.end("input");
        }
        self.runs(line);
    }

    fn end_list(&mut self, open: &mut Vec<&'static str>) {
        self.end("li");
        if let Some(tag) = open.pop() {
            self.end(tag);
        }
    }
}

/// Whether two kinds of line that follow each other stand in one element.
fn is_one_group(a: &Kind, b: &Kind) -> bool {
    match (a, b) {
        (Kind::Item(_), Kind::Item(_)) => true,
        (a, b) => a == b,
    }
}

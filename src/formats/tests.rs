#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else there is goes in as it is")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::text::Attributes;

fn attributes(pairs: &[(&str, serde_json::Value)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn document(delta: &Delta<Utf16>) -> RichText {
    RichText::from_delta(delta).unwrap()
}

/// Limits that no test reaches by chance.
const PLENTY: Limits = Limits { operations: 1_000_000, bytes: 1 << 28 };

pub(super) fn from_html(html: &str) -> Result<Delta<Utf16>, Unreadable> {
    super::from_html(html, PLENTY)
}

pub(super) fn from_markdown(markdown: &str) -> Result<Delta<Utf16>, Unreadable> {
    super::from_markdown(markdown, PLENTY)
}

/// What every format can say, and what only HTML can.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    Html,
    Markdown,
}

const ADDRESSES: &[&str] = &["https://a.example/x?y=1&z=(2)#w", "mailto:a@b.example", "/a b<c>\\d", "x_y*z"];

fn words() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "*",
        "_",
        "`",
        "``",
        "~~",
        "#",
        "# ",
        "- ",
        "+ ",
        "1. ",
        "2) ",
        "> ",
        "[",
        "](x)",
        "![",
        "<b>",
        "</p>",
        "&amp;",
        "&#32;",
        "\\",
        "\\\\",
        "|",
        "---",
        "===",
        "    ",
        ":",
        ": ",
        "$",
        "$$",
        "[^1]",
        "[^1]: ",
        "[!NOTE]",
        "| - |",
        "  ",
        "\t",
        "!",
        "\u{a0}",
        "é",
        "中文",
        "\u{1F600}",
        "http://a.b",
        "a_b",
        "**",
        "\u{2028}",
    ]);
    prop::collection::vec(
        prop_oneof![3 => "[a-z0-9]{1,4}".boxed(), 1 => Just(" ".to_owned()), 3 => odd.prop_map(str::to_owned)],
        1..5,
    )
    .prop_map(|parts| parts.concat())
}

fn marks() -> impl Strategy<Value = Vec<(&'static str, serde_json::Value)>> {
    let mark = prop_oneof![
        4 => prop::sample::select(vec!["bold", "italic", "underline", "strike", "code"])
            .prop_map(|name| (name, json!(true))),
        1 => prop::sample::select(vec!["sub", "super"]).prop_map(|script| ("script", json!(script))),
        1 => prop::sample::select(ADDRESSES).prop_map(|address| ("link", json!(address))),
    ];
    prop::collection::vec(mark, 0..4)
}

fn run() -> impl Strategy<Value = Delta<Utf16>> {
    let picture = (prop::sample::select(ADDRESSES), prop::option::of("[a-z*\\]]{1,4}"), marks()).prop_map(
        |(address, alt, marks)| {
            let marks = marks.into_iter().filter(|(name, _)| *name != "code").chain(alt.map(|alt| ("alt", json!(alt))));
            let embed = [("image".to_owned(), json!(address))].into_iter().collect();
            Delta::new().embed(embed, attributes(&marks.collect::<Vec<_>>()))
        },
    );
    prop_oneof![
        8 => (words(), marks()).prop_map(|(text, marks)| Delta::new().insert(text, attributes(&marks))),
        1 => picture,
    ]
}

/// A line with its end. In Markdown an item is one level deeper than the one before it at most.
/// The pieces of a line, the attributes of its end, and its depth.
type Line = (Vec<Delta<Utf16>>, Vec<(&'static str, serde_json::Value)>, usize);

fn line(of: Of) -> impl Strategy<Value = Line> {
    let kind = prop_oneof![
        4 => Just(vec![]),
        2 => (1..=6_u8).prop_map(|level| vec![("header", json!(level))]),
        6 => prop::sample::select(vec!["ordered", "bullet", "checked", "unchecked"]).prop_map(|item| vec![("list", json!(item))]),
        2 => Just(vec![("blockquote", json!(true))]),
        2 => prop::sample::select(vec![json!(true), json!("rust"), json!("c++")]).prop_map(|code| vec![("code-block", code)]),
    ];
    let align = prop::option::of(prop::sample::select(vec!["center", "right", "justify"]));
    (prop::collection::vec(run(), 0..4), kind, 0..4_usize, align).prop_map(move |(runs, mut block, indent, align)| {
        let is_code = block.iter().any(|(name, _)| *name == "code-block");
        if let Some(align) = align.filter(|_| of == Of::Html && !is_code) {
            block.push(("align", json!(align)));
        }
        (runs, block, indent)
    })
}

fn documents(of: Of) -> impl Strategy<Value = Delta<Utf16>> {
    prop::collection::vec(line(of), 0..8).prop_map(move |lines| {
        let (mut delta, mut deepest) = (Delta::new(), 0);
        for (runs, mut block, indent) in lines {
            let has = |name: &str| block.iter().any(|(it, _)| *it == name);
            let (is_item, is_code) = (has("list"), has("code-block"));
            let indent = match of {
                _ if is_code => 0,
                Of::Html => indent,
                Of::Markdown if is_item => indent.min(deepest),
                Of::Markdown => 0,
            };
            deepest = if is_item { indent + 1 } else { 0 };
            if indent > 0 {
                block.push(("indent", json!(indent)));
            }
            for op in runs.into_iter().flatten() {
                match op {
                    crate::text::Op::Insert { content: crate::text::Content::Text(text), .. } if is_code => {
                        delta = delta.insert(text, Attributes::NONE);
                    }
                    crate::text::Op::Insert { content: crate::text::Content::Embed(_), .. } if is_code => (),
                    op => delta.push(op),
                }
            }
            delta = delta.insert("\n", attributes(&block));
        }
        delta
    })
}

proptest! {
    #[test]
    fn html_comes_back_as_it_went(delta in documents(Of::Html)) {
        let html = to_html(&document(&delta), "a & b");
        prop_assert_eq!(from_html(&html).unwrap(), delta, "{}", html);
    }

    #[test]
    fn markdown_comes_back_as_it_went(delta in documents(Of::Markdown)) {
        let markdown = to_markdown(&document(&delta));
        prop_assert_eq!(from_markdown(&markdown).unwrap(), delta, "{}", markdown);
    }

    #[test]
    fn a_change_leads_from_one_to_the_other(before in documents(Of::Html), after in documents(Of::Html)) {
        let mut document = document(&before);
        let made = change(&document, &after).unwrap();
        document.apply(&made).unwrap();
        prop_assert_eq!(document.to_delta::<Utf16>(), after);
    }

    #[test]
    fn whatever_comes_in_is_read_or_refused(text in "[<>/a-z\"=&;#x0-9 \\n*_`~!\\[\\]()|-]{0,200}") {
        for delta in [from_html(&text), from_markdown(&text)].into_iter().flatten() {
            prop_assert!(RichText::from_delta(&delta).is_ok());
        }
    }
}

#[test]
fn a_change_keeps_what_both_have() {
    let bold = || attributes(&[("bold", json!(true))]);
    let before = Delta::new().insert("The quick fox.\n", Attributes::NONE);
    let after =
        Delta::new().insert("The ", Attributes::NONE).insert("quick", bold()).insert(" brown fox.\n", Attributes::NONE);
    let made = change(&document(&before), &after).unwrap();
    assert_eq!(made, Delta::new().retain(4).format(5, bold()).retain(1).insert("brown ", Attributes::NONE));
    assert!(change(&document(&after), &after).unwrap().is_empty());
}

#[test]
fn the_formats_look_as_people_write_them() {
    let with = |name: &str, value: serde_json::Value| attributes(&[(name, value)]);
    let delta = Delta::new()
        .insert("Notes", Attributes::NONE)
        .insert("\n", with("header", json!(1)))
        .insert("Some ", Attributes::NONE)
        .insert("bold", with("bold", json!(true)))
        .insert(" text & a ", Attributes::NONE)
        .insert("link", with("link", json!("https://a.example/")))
        .insert(".\n", Attributes::NONE)
        .insert("milk", Attributes::NONE)
        .insert("\n", with("list", json!("bullet")))
        .insert("skimmed", Attributes::NONE)
        .insert("\n", attributes(&[("list", json!("checked")), ("indent", json!(1))]))
        .insert("let x = 1;", Attributes::NONE)
        .insert("\n", with("code-block", json!("rust")));
    assert_eq!(
        to_markdown(&document(&delta)),
        "# Notes\n\nSome **bold** text \\& a [link](<https://a.example/>).\n\n- milk\n    - [x] skimmed\n\n```rust\nlet x = 1;\n```\n"
    );
    let html = to_html(&document(&delta), "Notes");
    let body = html.split_once("<body>").unwrap().1;
    assert_eq!(
        body,
        "<h1>Notes</h1><p>Some <strong>bold</strong> text &amp; a <a href=\"https://a.example/\" rel=\"noopener noreferrer\">link</a>.</p>\
         <ul><li>milk<ul><li><input type=\"checkbox\" disabled=\"\" checked=\"\">skimmed</li></ul></li></ul>\
         <pre data-language=\"rust\"><code>let x = 1;\n</code></pre></body></html>"
    );
}

#[test]
fn html_of_others_is_read_as_a_browser_shows_it() {
    let text = |html: &str| document(&from_html(html).unwrap()).text();
    assert_eq!(text("<title>no</title><p>a\n  b<p>c<br>d</p>e &eacute;&#x1F600;"), "a b\nc\nd\ne é\u{1F600}\n");
    assert_eq!(text("<script>no<p></script><style>no</style><!-- no -->yes<select><option>no</select>"), "yes\n");
    assert_eq!(text("<table><tr><td>a<td>b<tr><td>c<td><tr><td><td>d<tr><td><td></table>e"), "a\tb\nc\t\n\td\ne\n");
    let delta = from_html("<ul><li>a<li>b<ol><li>c</ol><li>d</ul><h2>x<i>y</h2>z").unwrap();
    let item = |item: &str| attributes(&[("list", json!(item))]);
    let deep = attributes(&[("list", json!("ordered")), ("indent", json!(1))]);
    let expected = Delta::new()
        .insert("a", Attributes::NONE)
        .insert("\n", item("bullet"))
        .insert("b", Attributes::NONE)
        .insert("\n", item("bullet"))
        .insert("c", Attributes::NONE)
        .insert("\n", deep)
        .insert("d", Attributes::NONE)
        .insert("\n", item("bullet"))
        .insert("x", Attributes::NONE)
        .insert("y", attributes(&[("italic", json!(true))]))
        .insert("\n", attributes(&[("header", json!(2))]))
        .insert("z", attributes(&[("italic", json!(true))]))
        .insert("\n", Attributes::NONE);
    assert_eq!(delta, expected);
}

#[test]
fn nothing_that_runs_comes_in_or_goes_out() {
    for bad in ["javascript:alert(1)", "JAVASCRIPT:x", "data:text/html,x", " javascript:x", "vbscript:x"] {
        let html = from_html(&format!("<a href=\"{bad}\">a</a><img src=\"{bad}\"><p onclick=x>b")).unwrap();
        assert_eq!(html, Delta::new().insert("a\nb\n", Attributes::NONE), "{bad}");
        let markdown = from_markdown(&format!("[a](<{bad}>) ![c](<{bad}>)")).unwrap();
        assert_eq!(markdown.ops().len(), 1, "{bad}: {markdown:?}");
        let embed = [("image".to_owned(), json!(bad))].into_iter().collect();
        let link = attributes(&[("link", json!(bad))]);
        let written = Delta::new().insert("a", link).embed(embed, Attributes::NONE);
        let written = document(&written.insert("<script>\n", Attributes::NONE));
        let html = to_html(&written, "</title><script>");
        assert!(!html.contains("href") && !html.contains("<img") && !html.contains("<script"), "{html}");
        assert!(!to_markdown(&written).contains("]("), "{bad}");
    }
}

/// As long as the input, and no longer: a hundred times what it should take would show.
const MUCH: usize = 40_000;

#[test]
fn what_nests_without_end_or_never_ends_is_refused() {
    for tag in ["<div>", "<b>", "<ul><li>", "<blockquote>", "<a href=x>", "<span style=x>"] {
        assert_eq!(from_html(&tag.repeat(MUCH)), Err(Unreadable::TooDeep { limit: 256 }), "{tag}");
    }
    for tag in ["<p ", "<!--"] {
        let html = format!("{tag}{}", "a ".repeat(MUCH));
        assert_eq!(from_html(&html), Err(Unreadable::LongTag { limit: 65_536 }), "{tag}");
    }
    assert_eq!(from_markdown(&"> ".repeat(MUCH)), Err(Unreadable::TooDeep { limit: 256 }));
    assert!(
        from_markdown(&"<b>".repeat(MUCH)).is_ok_and(|it| it.is_empty())
            || from_markdown(&"x<b>".repeat(MUCH)).is_err()
    );
}

#[test]
fn odd_input_takes_no_longer_than_other_input() {
    for part in
        ["&", "<p>", "</p>", "<td>", "x", "<p>x<b>y</b>", "<ul></li>", "<svg>", "<br>", "<![CDATA[", "<p a=\"&amp;\">"]
    {
        let _ = from_html(&part.repeat(MUCH));
    }
    for part in ["- ", "**a", "[", "![", "a\n\n", "`", "a`", "~~", "&amp;", "[a](b", "*a_", "<a ", "[a]: b\n", "1. a\n"]
        .into_iter()
        .chain(["$", "$$a\n", "|a", "|-", "|a|\n|-|\n", "[^1]", "[^1]: a\n", "a\n: b\n", "> [!NOTE]\n", "---\na: b\n"])
    {
        let _ = from_markdown(&part.repeat(MUCH));
    }
}

/// Behind what is too much stands what is too deep, which is not read any more.
#[test]
fn stops_reading_where_there_are_more_lines_or_stretches_than_may_be() {
    let limits = Limits { operations: 1_000, bytes: 1 << 20 };
    let too_many = Err(Unreadable::TooManyOperations { limit: 1_000 });
    for part in ["<p>x", "<br>", "<i>x</i>y", "<td>x<tr>", "<pre>x\n</pre>", "<img src=x>", "<b>x</b>&#10;"] {
        let html = part.repeat(MUCH) + &"<div>".repeat(MUCH);
        assert_eq!(super::from_html(&html, limits), too_many, "{part}");
        assert!(super::from_html(&part.repeat(300), limits).is_ok(), "{part}");
    }
    for part in ["x\n\n", "*x* y ", "- x\n", "x\\\n", "<br>x\n", "    x\n", "|x|\n|-|\n\n", "<p>x\n\n"] {
        let markdown = part.repeat(560) + "\n\n" + &"> ".repeat(300);
        assert_eq!(super::from_markdown(&markdown, limits), too_many, "{part}");
        assert!(super::from_markdown(&part.repeat(300), limits).is_ok(), "{part}");
    }
    for part in ["x\n", "> ", "*", "[", "- ", "1. ", "`", "|"] {
        assert_eq!(super::from_markdown(&part.repeat(MUCH), limits), too_many, "{part} is not even parsed");
    }
}

/// A long link around many stretches stands for a document of gigabytes.
#[test]
fn counts_a_link_for_each_stretch_inside() {
    let (address, limits) = ("x".repeat(60_000), Limits { operations: 1_000_000, bytes: 1 << 20 });
    let html = |stretches| format!("<a href=\"{address}\">{}</a>", "<b>x</b>y".repeat(stretches));
    let markdown = |stretches| format!("[{}]({address})", "**x**y".repeat(stretches));
    let too_long = Err(Unreadable::TooLong { limit: 1 << 20 });
    assert_eq!(super::from_html(&html(1_000), limits), too_long);
    assert_eq!(super::from_markdown(&markdown(1_000), limits), too_long);
    let delta = super::from_html(&html(8), limits).unwrap();
    assert_eq!((delta.ops().len(), super::from_markdown(&markdown(8), limits)), (17, Ok(delta)));
    let words = format!("<a href=\"{address}\">{}</a>", "word ".repeat(MUCH));
    assert!(super::from_html(&words, limits).is_ok(), "the words of one stretch are one");
}

#[test]
fn two_texts_that_have_nothing_in_common_are_not_compared_for_ever() {
    let text = |text: String| Delta::new().insert(text, Attributes::NONE);
    let mut state = 1_u32;
    let mut random = || -> String {
        let mut letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { "a " } else { "b " }
        };
        (0..MUCH).map(|_| letter()).collect()
    };
    for (before, after) in [("word ".repeat(MUCH), "other ".repeat(MUCH)), (random(), random())] {
        let (mut document, after) = (document(&text(before)), text(after));
        let made = change(&document, &after).unwrap();
        document.apply(&made).unwrap();
        assert_eq!(document.to_delta::<Utf16>(), after);
    }
}

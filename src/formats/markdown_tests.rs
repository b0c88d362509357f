//! Markdown whose lines mean something: tables, footnotes, alerts, formulas, definitions, front matter.

use super::{tests::from_markdown, to_markdown};
use crate::text::RichText;

fn text(markdown: &str) -> String {
    RichText::from_delta(&from_markdown(markdown).unwrap()).unwrap().text()
}

#[test]
fn keeps_the_lines_that_mean_something() {
    for (markdown, expected) in [
        ("| a | b |\n|---|:-:|\n| c **d** | e<br>f |\n| | g |\n\nh", "a\tb\nc d\te f\n\tg\nh\n"),
        ("a\n\n| b |\n| - |\n", "a\nb\n"),
        ("- a\n\n  | b | c |\n  | - | - |\n  | d | e |\n", "a\nb\tc\nd\te\n"),
        (
            "a[^1] b[^long]\n\n[^1]: note *one*\n[^long]: note\n\n    more\n",
            "a[^1] b[^long]\n[^1]: note one\n[^long]: note\nmore\n",
        ),
        ("a[^1]\n\n[^1]:\n", "a[^1]\n[^1]: \n"),
        ("> [!NOTE]\n> a\n> b\n", "[!NOTE]\na b\n"),
        ("a $x_1 * y_2 * z$ b", "a $x_1 * y_2 * z$ b\n"),
        ("$$\na \\\\\nb\n$$", "$$\na \\\\\nb\n$$\n"),
        ("it costs $5 or $6", "it costs $5 or $6\n"),
        ("term\n: one\n: two\n", "term\none\ntwo\n"),
        ("---\ntitle: a\ntags: [b]\n---\n# c\n", "title: a\ntags: [b]\nc\n"),
        ("---\r\ntitle: a\r\n---\r\n", "title: a\n"),
        ("---\n\na: b\n\n---\n", "a: b\n"),
        ("a\rb\r\rc", "a b\nc\n"),
        ("a&#13;&#10;b&#10;c", "a\nb\nc\n"),
    ] {
        assert_eq!(text(markdown), expected, "{markdown:?}");
    }
}

#[test]
fn lines_that_mean_something_come_back_as_their_text() {
    let markdown = "| a | b |\n|---|---|\n| c | $d$ |\n\nx[^1]\n\n[^1]: note\n\n> [!TIP]\n> y\n\nterm\n: z\n";
    let once = from_markdown(markdown).unwrap();
    let written = to_markdown(&RichText::from_delta(&once).unwrap());
    assert_eq!(from_markdown(&written).unwrap(), once, "{written}");
}

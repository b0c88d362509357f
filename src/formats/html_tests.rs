//! HTML as editors write it: Quill itself, Google Docs, and pages with code, pictures and formulas in them.

use serde_json::{Value, json};

use super::tests::from_html;
use crate::text::{Attributes, Delta, Utf16};

/// A document as pairs of text and attributes.
fn document(parts: &[(&str, Value)]) -> Delta<Utf16> {
    parts.iter().fold(Delta::new(), |delta, (text, attributes)| {
        let attributes = attributes.as_object().into_iter().flatten();
        delta.insert(*text, attributes.map(|(name, value)| (name.clone(), value.clone())).collect())
    })
}

fn read(html: &str) -> Delta<Utf16> {
    from_html(html).unwrap()
}

fn text(html: &str) -> String {
    crate::text::RichText::from_delta(&read(html)).unwrap().text()
}

#[test]
fn reads_the_lists_of_quill_by_their_data_list() {
    let html = "<ol><li data-list=\"ordered\"><span class=\"ql-ui\" contenteditable=\"false\"></span>a</li>\
        <li data-list=\"bullet\" class=\"ql-indent-2\"><span class=\"ql-ui\"></span>b</li>\
        <li data-list=\"checked\" class=\"ql-align-right\">c</li><li data-list=\"unchecked\">d</li></ol>\
        <ul data-checked=\"true\"><li>e</li></ul><ul data-checked=\"false\"><li>f</li></ul>\
        <ul><li role=\"checkbox\" aria-checked=\"true\">g</li></ul>";
    let expected = document(&[
        ("a", json!({})),
        ("\n", json!({"list": "ordered"})),
        ("b", json!({})),
        ("\n", json!({"list": "bullet", "indent": 2})),
        ("c", json!({})),
        ("\n", json!({"list": "checked", "align": "right"})),
        ("d", json!({})),
        ("\n", json!({"list": "unchecked"})),
        ("e", json!({})),
        ("\n", json!({"list": "checked"})),
        ("f", json!({})),
        ("\n", json!({"list": "unchecked"})),
        ("g", json!({})),
        ("\n", json!({"list": "checked"})),
    ]);
    assert_eq!(read(html), expected);
}

#[test]
fn reads_the_lists_that_quill_writes_for_others() {
    let html = "<ul><li data-list=\"checked\">a<ol><li>b</li></ol></li></ul><ol><li><ol><li>c</li></ol></li></ol>";
    let expected = document(&[
        ("a", json!({})),
        ("\n", json!({"list": "checked"})),
        ("b", json!({})),
        ("\n", json!({"list": "ordered", "indent": 1})),
        ("c", json!({})),
        ("\n", json!({"list": "ordered", "indent": 1})),
    ]);
    assert_eq!(read(html), expected);
}

#[test]
fn reads_the_code_blocks_of_quill_with_their_language() {
    let html = "<p>x</p><div class=\"ql-code-block-container\" spellcheck=\"false\">\
        <select class=\"ql-ui\"><option value=\"js\">JavaScript</option></select>\
        <div class=\"ql-code-block\" data-language=\"javascript\"><span class=\"ql-token hljs-keyword\">if</span>  (a)</div>\
        <div class=\"ql-code-block\" data-language=\"javascript\"><br></div>\
        <div class=\"ql-code-block\" data-language=\"javascript\">  <b>b</b></div></div>\
        <div class=\"ql-code-block-container\"><div class=\"ql-code-block\">c</div></div><p>y</p>";
    let expected = document(&[
        ("x\nif  (a)", json!({})),
        ("\n\n", json!({"code-block": "javascript"})),
        ("  b", json!({})),
        ("\n", json!({"code-block": "javascript"})),
        ("c", json!({})),
        ("\n", json!({"code-block": true})),
        ("y\n", json!({})),
    ]);
    assert_eq!(read(html), expected);
}

#[test]
fn reads_the_no_break_spaces_of_quill_as_the_spaces_they_were() {
    let html = "<p>a&nbsp;&nbsp;<strong>b&nbsp;c</strong></p><pre data-language=\"js\">\nif (a)\u{a0}b\n</pre>";
    let expected = document(&[
        ("a  ", json!({})),
        ("b c", json!({"bold": true})),
        ("\nif (a)\u{a0}b", json!({})),
        ("\n", json!({"code-block": "js"})),
    ]);
    assert_eq!(read(html), expected);
    for kept in ["<p>10&nbsp;km away</p>", "<html><p>10&nbsp;km</p>", "10&nbsp;km"] {
        assert!(text(kept).contains("10\u{a0}km"), "{kept}");
    }
}

#[test]
fn finds_the_language_of_code_where_pages_write_it() {
    for html in [
        "<pre><code class=\"hljs language-js\">a\nb\n</code></pre>",
        "<pre class=\"language-js\">a\nb</pre>",
        "<pre data-language=\"js\">\na\nb\n</pre>",
        "<div class=\"language-js highlighter-rouge\"><div class=\"highlight\"><pre><code>a\nb</code></pre></div></div>",
        "<pre><code class=\"lang-js\">a\r\nb</code></pre>",
    ] {
        let code = json!({"code-block": "js"});
        let expected = document(&[("a", json!({})), ("\n", code.clone()), ("b", json!({})), ("\n", code)]);
        assert_eq!(read(html), expected, "{html}");
    }
}

#[test]
fn takes_a_paste_from_google_docs_for_what_it_shows() {
    let html = "<meta charset=\"utf-8\"><b style=\"font-weight:normal;\" id=\"docs-internal-guid-1\">\
        <p dir=\"ltr\" style=\"line-height:1.38;\"><span style=\"font-weight:400;font-style:normal;text-decoration:none;\
        vertical-align:baseline;white-space:pre;white-space:pre-wrap;\">a  b </span>\
        <span style=\"font-weight:700;font-style:italic;text-decoration:underline;vertical-align:super;\">c</span>\
        <a href=\"https://a.example/\" style=\"text-decoration:none;\"><span style=\"text-decoration:line-through\">d</span></a></p>\
        <ul><li dir=\"ltr\" style=\"font-weight:400;\"><p role=\"presentation\"><span>e</span></p></li>\
        <ul><li><p>f</p></li></ul></ul></b><br class=\"Apple-interchange-newline\">";
    let expected = document(&[
        ("a  b ", json!({})),
        ("c", json!({"bold": true, "italic": true, "underline": true, "script": "super"})),
        ("d", json!({"link": "https://a.example/", "strike": true})),
        ("\ne", json!({})),
        ("\n", json!({"list": "bullet"})),
        ("f", json!({})),
        ("\n", json!({"list": "bullet", "indent": 1})),
    ]);
    assert_eq!(read(html), expected);
}

#[test]
fn a_style_gives_a_meaning_and_takes_it_back() {
    for (html, attributes) in [
        ("<span style=\"font-weight: 600\">a</span>", json!({"bold": true})),
        ("<span style=\"FONT-WEIGHT: Bold !important\">a</span>", json!({"bold": true})),
        ("<span style=\"font-weight:500\">a</span>", json!({})),
        ("<strong><span style=\"font-weight:normal\">a</span></strong>", json!({})),
        ("<p style=\"font-style:oblique 10deg\">a", json!({"italic": true})),
        ("<em style=\"font-style:normal\">a</em>", json!({})),
        ("<em style=\"font-style:normal\"><em>a</em></em>", json!({"italic": true})),
        (
            "<span style=\"text-decoration: underline line-through\">a</span>",
            json!({"underline": true, "strike": true}),
        ),
        ("<span style=\"text-decoration-line: line-through\">a</span>", json!({"strike": true})),
        ("<u style=\"text-decoration:none\">a</u>", json!({})),
        ("<u><span style=\"text-decoration:none\">a</span></u>", json!({"underline": true})),
        ("<sub>a</sub>", json!({"script": "sub"})),
        ("<sup style=\"vertical-align:baseline\">a</sup>", json!({})),
        ("<span style=\"vertical-align:sub\"><span>a</span></span>", json!({"script": "sub"})),
    ] {
        assert_eq!(read(html), document(&[("a", attributes), ("\n", json!({}))]), "{html}");
    }
    let centred = read("<p style=\"text-align: center\">a</p><p align=right>b</p>");
    let (center, right) = (json!({"align": "center"}), json!({"align": "right"}));
    assert_eq!(centred, document(&[("a", json!({})), ("\n", center), ("b", json!({})), ("\n", right)]));
    assert_eq!(text("<pre style=\"white-space:normal\">a\n b</pre>"), "a b\n");
    assert_eq!(text("<div class=\"ql-editor\"><p>a  b </p></div>"), "a  b \n");
}

#[test]
fn text_comes_in_from_wherever_it_stands() {
    for (html, expected) in [
        ("a <math><mi>x</mi><mo>=</mo><mn>1</mn></math> b", "a x=1 b\n"),
        (
            "<math><semantics><mi>x</mi><annotation encoding=\"application/x-tex\">\\x</annotation></semantics></math>",
            "x\n",
        ),
        ("<svg><title>no</title><style>no</style><text>a</text></svg>b", "ab\n"),
        ("<svg><title/><style/><script/><path d=\"\"/></svg>a", "a\n"),
        ("<template><p>a</p></template>b", "a\nb\n"),
        ("<object data=x><p>a</p></object><canvas>b</canvas><video><source src=x>c</video>", "a\nbc\n"),
        ("<noscript>a</noscript>", "a\n"),
        (
            "<span class=\"ql-formula\" data-value=\"e=mc^2\">\u{feff}<span><span>twice</span></span>\u{feff}</span>!",
            "e=mc^2!\n",
        ),
        ("<script>no</script><style>no</style><iframe>no</iframe><textarea>no</textarea><title>no</title>a", "a\n"),
    ] {
        assert_eq!(text(html), expected, "{html}");
    }
    for html in ["<xmp><b>a</b>\n b</xmp>", "<listing>\n&lt;b>a&lt;/b>\n b</listing>"] {
        let code = json!({"code-block": true});
        let parts = [("<b>a</b>", json!({})), ("\n", code.clone()), (" b", json!({})), ("\n", code)];
        assert_eq!(read(html), document(&parts), "{html}");
    }
    assert_eq!(read(""), Delta::new().insert("", Attributes::NONE));
}

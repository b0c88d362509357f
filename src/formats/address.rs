//! Which addresses may stand in a document that others open in a browser.

/// Schemes that do nothing but lead somewhere.
const SCHEMES: &[&str] = &["http", "https", "mailto", "tel"];
/// Pictures that stand in the document itself. Not SVG: it may hold scripts.
const PICTURES: &[&str] = &["data:image/png;", "data:image/jpeg;", "data:image/gif;", "data:image/webp;"];

/// Whether a link may lead there. What is not written plainly is not: browsers see through tricks with white space.
pub(super) fn is_safe_link(address: &str) -> bool {
    if address.is_empty() || address.trim() != address || address.chars().any(char::is_control) {
        return false;
    }
    match address.split_once([':', '/', '?', '#']) {
        Some((scheme, _)) if address.as_bytes()[scheme.len()] == b':' => {
            SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
        }
        _ => true,
    }
}

/// Whether a picture may come from there.
pub(super) fn is_safe_picture(address: &str) -> bool {
    is_safe_link(address)
        || PICTURES.iter().any(|kind| address.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind)))
            && !address.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_somewhere_is_safe_and_what_runs_is_not() {
        for good in
            ["https://a.example/b?c#d", "HTTP://x", "mailto:a@b", "tel:+1", "/a:b", "a/b", "?a:b", "#x", "//h/x"]
        {
            assert!(is_safe_link(good), "{good}");
        }
        for bad in [
            "",
            "javascript:alert(1)",
            "JavaScript:x",
            " javascript:x",
            "java\nscript:x",
            "\u{1}javascript:x",
            "vbscript:x",
            "data:text/html,x",
            "file:///etc/passwd",
            "blob:x",
            ":x",
            "https://x\n",
        ] {
            assert!(!is_safe_link(bad) && !is_safe_picture(bad), "{bad:?}");
        }
        assert!(is_safe_picture("data:image/png;base64,AAAA") && !is_safe_link("data:image/png;base64,AAAA"));
        assert!(!is_safe_picture("data:image/svg+xml;base64,AAAA"));
    }
}

//! The YAML that a Markdown file may begin with: between two lines of `---`, as site generators and editors write it.

/// The lines of YAML that a file may begin with, and the rest. A rule at the beginning is none.
pub(super) fn split(markdown: &str) -> (&str, &str) {
    let parts = markdown.strip_prefix("---\n").and_then(|rest| {
        let is_yaml = rest.lines().next().is_some_and(|first| first.contains(": ") || first.ends_with(':'));
        rest.split_once("\n---\n").or(rest.strip_suffix("\n---").map(|inner| (inner, ""))).filter(|_| is_yaml)
    });
    parts.unwrap_or(("", markdown))
}

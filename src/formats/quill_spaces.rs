//! Spaces as `quill.getSemanticHTML()` writes them: every one as a no-break space, but in code.

use super::lines::{Kind, Line, What};

/// What Quill's lines begin with.
const LINES: &[&str] = &["p", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "ul", "blockquote", "pre", "table"];

/// Makes spaces of no-break spaces if the HTML is Quill's: no page but its lines, without a single space.
pub(super) fn mend(html: &str, lines: &mut [Line]) {
    let tag = html.strip_prefix('<').and_then(|rest| rest.split([' ', '>']).next()).unwrap_or_default();
    let has = |c: char| texts(lines).any(|text| text.contains(c));
    if !LINES.contains(&tag) || has(' ') || !has('\u{a0}') {
        return;
    }
    for run in lines.iter_mut().filter(|line| !is_code(line)).flat_map(|line| &mut line.runs) {
        if let What::Text(text) = &mut run.what {
            *text = text.replace('\u{a0}', " ");
        }
    }
}

fn texts(lines: &[Line]) -> impl Iterator<Item = &str> {
    let runs = lines.iter().filter(|line| !is_code(line)).flat_map(|line| &line.runs);
    runs.filter_map(|run| if let What::Text(text) = &run.what { Some(text.as_str()) } else { None })
}

fn is_code(line: &Line) -> bool {
    matches!(line.block.kind, Kind::Code(_))
}

//! A bar for long work, on a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left";

/// A bar over `events` events. It draws itself on standard error, and only if that is a terminal.
pub(super) fn bar(message: &'static str, events: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is well-formed");
    ProgressBar::new(events).with_style(style).with_message(message)
}

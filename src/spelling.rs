//! Which known name a misspelt one was meant to be.

/// The known name that is nearest to `name`, if it is near enough to be a misspelling of it.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', '.'], "");
    let wanted = plain(name);
    let distance = |it: &str| strsim::osa_distance(&wanted, &plain(it));
    let nearest = known.into_iter().map(|it| (distance(it), it)).min_by_key(|(distance, _)| *distance);
    nearest.filter(|(distance, _)| *distance <= wanted.chars().count().div_ceil(4)).map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let known = ["version", "at", "position_encoding", "message_id", "server.listen"];
        for (name, meant) in [
            ("verson", Some("version")),
            ("vresion", Some("version")),
            ("Version", Some("version")),
            ("positionEncoding", Some("position_encoding")),
            ("message-id", Some("message_id")),
            ("server_listen", Some("server.listen")),
            ("since", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(nearest("version", []), None);
    }
}

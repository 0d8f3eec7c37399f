//! Names of nothing: what is said of them, in files and on the command line alike.

use std::path::Path;

/// Names that are listed one by one.
const LISTED_MAX: usize = 20;

/// Entries of a directory that are looked through for the one that was meant.
const ENTRIES_MAX: usize = 10_000;

/// The one of the candidates that was probably meant: the closest, or the only one that begins with the word.
pub(crate) fn meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let (asked, length) = (plain(word), word.chars().count());
    let mut begins = Vec::new();
    let mut close: Option<(usize, &str)> = None;
    for known in candidates.into_iter().filter(|known| *known != word) {
        let name = plain(known);
        let distance = strsim::damerau_levenshtein(&asked, &name);
        let is_close = distance <= (known.chars().count().max(length) + 1) / 3;
        if is_close && close.is_none_or(|(least, _)| distance < least) {
            close = Some((distance, known));
        }
        if length >= 2 && name.starts_with(&asked) && !begins.contains(&known) {
            begins.push(known);
        }
    }
    match (close, begins.as_slice()) {
        (Some((_, known)), _) => Some(known),
        (None, [known]) => Some(*known),
        (None, _) => None,
    }
}

/// `did you mean …?` if one of the candidates is close to `word`.
pub(crate) fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    meant(word, candidates).map(|known| format!("did you mean `{known}`?"))
}

/// What helps with a name of nothing: the one that was probably meant, and those there are; `what` says of what, such as
/// "stages there".
pub(crate) fn help<'a>(
    word: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Vec<String> {
    suggestion(word, candidates.clone()).into_iter().chain([listed(what, candidates)]).collect()
}

/// The same behind an error of one line.
pub(crate) fn tail<'a>(
    word: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let meant = suggestion(word, candidates.clone()).map_or_else(String::new, |meant| format!("; {meant}"));
    let list = listed(what, candidates);
    if meant.is_empty() { format!("; {list}") } else { format!("{meant} ({list})") }
}

/// `; did you mean …?` for a path to nothing whose directory has an entry of nearly that name; else nothing.
pub(crate) fn near_path(path: &Path) -> String {
    let Some(word) = path.file_name().and_then(|name| name.to_str()) else { return String::new() };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().take(ENTRIES_MAX).flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    meant(word, names.iter().map(String::as_str))
        .map_or_else(String::new, |name| format!("; did you mean `{}`?", path.with_file_name(name).display()))
}

fn listed<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let more = match names.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let list = match names.is_empty() {
        true => "none".to_owned(),
        false => names[..names.len().min(LISTED_MAX)].join(", "),
    };
    format!("{what}: {list}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_case_separators_and_beginnings_are_known_and_strangers_are_not() {
        let names = ["errors", "per_path", "out", "archive-eu", "archive-us"];
        for (word, expected) in [
            ("erors", Some("errors")),
            ("ERRORS", Some("errors")),
            ("errosr", Some("errors")),
            ("per-path", Some("per_path")),
            ("PerPath", Some("per_path")),
            ("pe", Some("per_path")),
            ("errors/0", Some("errors")),
            // Two begin so: neither is more likely.
            ("arch", None),
            ("archive-ue", Some("archive-eu")),
            ("x", None),
            ("warehouse", None),
            ("", None),
        ] {
            assert_eq!(meant(word, names), expected, "{word}");
        }
        assert_eq!(meant("fehlér", ["fehler"]), Some("fehler"));
        assert_eq!(meant("out", ["out"]), None, "what is there is not meant to be something else");
    }

    #[test]
    fn those_that_there_are_stand_behind_it_as_far_as_they_can_be_read() {
        assert_eq!(help("ot", "sinks there", ["out"]), ["did you mean `out`?", "sinks there: out"]);
        assert_eq!(tail("ot", "sinks there", ["out"]), "; did you mean `out`? (sinks there: out)");
        assert_eq!(tail("xyz", "sinks there", []), "; sinks there: none");
        let many: Vec<String> = (0..25).map(|n| format!("stage{n}")).collect();
        let text = tail("zzz", "stages there", many.iter().map(String::as_str));
        assert!(
            text.ends_with("stage19 and 5 more") && text.starts_with("; stages there: stage0, "),
            "{text}"
        );
    }

    #[test]
    fn a_path_to_nothing_is_compared_with_what_lies_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("access.toml"), "").unwrap();
        let near = |name: &str| near_path(&dir.path().join(name));
        assert!(near("acces.toml").ends_with("access.toml`?"), "{}", near("acces.toml"));
        assert!(near("access").ends_with("access.toml`?"));
        assert_eq!(near("other.json"), "");
        assert_eq!(near("not/there"), "");
        assert_eq!(near_path(Path::new("/")), "");
    }
}

//! Advice for a file, as advice for a command line.

/// What advice calls a key with its value, and the option that says the same; what holds another one stands before it.
const SAID: &[(&str, &str)] = &[
    ("input = \"arg\" (--arg)", "--arg"),
    ("input = \"file\" (--batch-file)", "--batch-file"),
    ("input = \"args\"", "--args"),
    ("input = \"arg\"", "--arg"),
    ("input = \"file\"", "--batch-file"),
    ("output_header = true (--output-header)", "--output-header"),
    ("output_header = true", "--output-header"),
    ("output_header", "--output-header"),
    ("header = \"keep\" or \"skip\"", "--header keep or skip"),
    ("header = \"keep\"", "--header keep"),
    ("header = \"skip\"", "--header skip"),
    ("header = \"repeat\"", "--header repeat"),
    ("order = \"input\" (-k)", "-k"),
    ("order = \"input\"", "-k"),
    ("mode = \"batch\" or \"records\"", "-s or -R"),
    ("mode = \"batch\"", "-s"),
    ("mode = \"stream\"", "-S"),
    ("mode = \"records\"", "-R"),
    ("window = { every = \"1m\" }", "--window 1m"),
    ("partitions = 1", "-j 1"),
    ("partitions = …", "-j N"),
    ("partition_by", "--key"),
    ("stdin = true (-i -)", "-i -"),
    ("stdout = true", "-o -"),
    ("follow = true", "--follow"),
    ("exists = \"replace\"", "--force"),
    ("exists = \"append\"", "--append"),
    ("max_record ", "--max-record "),
];

/// A sentence in which keys are called by their options.
pub(in crate::pipeline) fn in_options(advice: &str) -> String {
    SAID.iter().fold(advice.to_owned(), |said, (key, option)| said.replace(key, option))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::INLINE_OPTIONS;

    #[test]
    fn every_option_that_is_named_exists() {
        for (key, option) in SAID {
            for word in option.split(' ').filter(|word| word.len() > 1 && word.starts_with('-')) {
                let is_one = |known: &&crate::pipeline::InlineOption| {
                    word.strip_prefix("--") == Some(known.long)
                        || word.strip_prefix('-').and_then(|rest| rest.parse().ok()) == known.short
                };
                assert!(INLINE_OPTIONS.iter().any(|known| is_one(&known)), "{key}: {word}");
            }
            assert_eq!(in_options(key), *option, "another one stands before it");
        }
    }
}

//! Short code within sentences: commands have options that exist, and files of the repository are there.

use super::{documents, root, unrun};

/// Directories of the repository that pages name files of.
const TOP: [&str; 7] =
    ["docs/", "examples/", "tests/", "worker-bin/", "worker-core/", "worker-net/", "worker-proto/"];

#[test]
fn commands_and_files_in_sentences_are_there() {
    let (mut commands, mut files) = (0, 0);
    let mut wrong = Vec::new();
    for document in documents() {
        for (line, span) in document.spans() {
            let at = format!("{}:{line}: {span}", document.name);
            // Where something is left out nothing can be said.
            let is_whole = !span.contains(['…', '[', '|', '<']) && !span.contains("COMMAND");
            if span.starts_with("worker ") && is_whole {
                commands += 1;
                wrong.extend(unrun::worker(span).err().map(|error| format!("{at}: {error}")));
            }
            if TOP.iter().any(|top| span.starts_with(top)) && !span.contains([' ', '*', '{']) {
                files += 1;
                let is_there = root().join(span).exists();
                wrong.extend((!is_there).then(|| format!("{at}: not in the repository")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(commands > 40 && files > 5, "{commands} commands, {files} files");
}

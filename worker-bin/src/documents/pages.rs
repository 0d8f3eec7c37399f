//! Pages of the book that are written from what they tell of. `UPDATE_DOCS=1 cargo test -p worker-bin --lib pages` writes them.

mod commands;
mod reasons;

use std::path::{Path, PathBuf};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// What stands there now; nothing where it is new.
pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(page(name)).unwrap_or_default()
}

/// The page is as it would be written now, or is written.
pub(crate) fn should_be(name: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page(name), expected).expect("the page can be written");
    } else {
        assert!(
            read(name) == expected,
            "docs/{name} is stale: UPDATE_DOCS=1 cargo test -p worker-bin --lib pages\n{expected}"
        );
    }
}

/// A cell of a table: a bar in it would begin the next one.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

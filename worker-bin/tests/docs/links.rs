//! Links lead to what is there.

use super::{documents, markdown::Document, root};
use std::path::{Component, Path, PathBuf};

/// Others with links.
const MORE: [&str; 5] =
    ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "worker-core/README.md", "docs/SUMMARY.md"];

/// Without `..`, which a link may have and a name in the list of pages has not.
fn joined(from: &str, to: &str) -> PathBuf {
    let mut path = Path::new(from).parent().unwrap().to_owned();
    for part in Path::new(to).components() {
        match part {
            Component::ParentDir => _ = path.pop(),
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

#[test]
fn no_link_is_dead() {
    let mut wrong = Vec::new();
    let mut links = 0;
    for document in documents().into_iter().chain(MORE.map(Document::read)) {
        for (line, link) in document.links() {
            links += 1;
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (to, anchor) = link.split_once('#').map_or((&*link, None), |(to, anchor)| (to, Some(anchor)));
            let path = if to.is_empty() { PathBuf::from(&document.name) } else { joined(&document.name, to) };
            let mut say = |what: &str| wrong.push(format!("{}:{line}: {link}: {what}", document.name));
            if !root().join(&path).exists() {
                say("nothing is there");
            } else if document.name.starts_with("docs/") && !path.starts_with("docs") {
                say(
                    "a page links to pages only, as the book has nothing else: name the file as `path/in/the/repository`",
                );
            } else if let Some(anchor) = anchor {
                let page = Document::read(path.to_str().unwrap());
                if !page.anchors().iter().any(|known| known == anchor) {
                    say("no such heading there");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(links > 60, "only {links} links");
}

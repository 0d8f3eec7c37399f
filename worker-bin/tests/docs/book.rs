//! The table of contents has every page, once.

use super::{markdown::Document, pages, root};

#[test]
fn the_summary_lists_every_page_once() {
    let summary = Document::read("docs/SUMMARY.md");
    let mut listed: Vec<String> = summary.links().into_iter().map(|(_, to)| format!("docs/{to}")).collect();
    let in_order = listed.clone();
    listed.sort();
    let there: Vec<String> = pages().into_iter().map(|page| page.name).collect();
    let missing: Vec<_> = there.iter().filter(|page| !listed.contains(page)).collect();
    assert!(missing.is_empty(), "give it a line in docs/SUMMARY.md: {missing:?}");
    let strange: Vec<_> = listed.iter().filter(|page| !there.contains(page)).collect();
    assert!(strange.is_empty(), "docs/SUMMARY.md lists what is not there: {strange:?}");
    assert_eq!(listed.len(), there.len(), "each page once: {listed:?}");
    assert_eq!(in_order[0], "docs/README.md", "the first page is what a reader of the directory sees, too");
}

#[test]
fn every_page_has_one_title_and_it_is_its_name_in_the_summary() {
    let summary = Document::read("docs/SUMMARY.md");
    let titles: Vec<(String, &str)> = summary
        .prose
        .iter()
        .filter_map(|(_, line)| {
            let (title, rest) = line.split_once('[')?.1.split_once("](")?;
            Some((format!("docs/{}", rest.trim_end_matches(')')), title))
        })
        .collect();
    for page in pages() {
        let heads: Vec<&str> = page.prose.iter().filter_map(|(_, line)| line.strip_prefix("# ")).collect();
        assert_eq!(heads.len(), 1, "{}: one title: {heads:?}", page.name);
        let (_, told) = titles.iter().find(|(name, _)| *name == page.name).unwrap();
        assert_eq!(*told, heads[0], "{}: docs/SUMMARY.md calls it something else", page.name);
    }
}

#[test]
fn the_book_is_made_of_these_pages() {
    let book: toml::Table = std::fs::read_to_string(root().join("book.toml")).unwrap().parse().unwrap();
    assert_eq!(book["book"]["src"].as_str(), Some("docs"));
    assert!(
        book["build"]["build-dir"].as_str().unwrap().starts_with("target/"),
        "nothing built is committed"
    );
}

//! The live page: one document with its style and its script in it, which asks nobody but the worker that gave it.
//!
//! The parts stand in `page/`. The scripts share one scope, in this order: `dom` (elements from data), `words` (numbers and reasons for
//! people), `view` (what one event means), `layout` (where stages stand), then what is drawn, and `main` (the stream of events).

pub(super) const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>\n\"use strict\";\n(() => {\n",
    include_str!("page/dom.js"),
    include_str!("page/words.js"),
    include_str!("page/view.js"),
    include_str!("page/layout.js"),
    include_str!("page/graph.js"),
    include_str!("page/details.js"),
    include_str!("page/waits.js"),
    include_str!("page/charts.js"),
    include_str!("page/orders.js"),
    include_str!("page/main.js"),
    "})();\n</script>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use super::PAGE;
    use crate::explain::WaitKind;

    #[test]
    fn the_page_has_no_words_of_its_own_for_reasons() {
        for row in WaitKind::ALL.iter().map(|kind| kind.row()) {
            let own = format!("\"{}\"", row.title);
            assert!(
                row.title == "paused" || row.title == "writing" || !PAGE.contains(&own),
                "{own} in the page"
            );
        }
    }

    #[test]
    fn nothing_in_the_page_is_asked_of_others_or_reads_data_as_markup() {
        for bad in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "src=\"http",
            "@import",
            "url(",
        ] {
            assert!(!PAGE.contains(bad), "{bad} in the page");
        }
        let hosts = PAGE.matches("http://").count() + PAGE.matches("https://").count();
        assert_eq!(hosts, 1, "the only address in the page is the name of SVG's elements");
    }
}

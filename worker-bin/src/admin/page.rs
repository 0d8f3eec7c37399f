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
    use crate::explain::{WaitClass, WaitKind};

    #[test]
    fn the_page_knows_every_reason_to_wait() {
        for kind in WaitKind::ALL {
            let class = match kind.class() {
                WaitClass::Blocked => "blocked",
                WaitClass::Working => "working",
                WaitClass::Idle => "idle",
            };
            let entry = format!("  {}: [\"{class}\", ", kind.name());
            assert!(PAGE.contains(&entry), "words.js lacks the line {entry}\"…\"]");
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

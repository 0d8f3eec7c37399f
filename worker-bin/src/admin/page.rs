//! The live page: one document with its style and its script in it, which asks nobody but the worker that gave it.
//!
//! The parts stand in `page/`. The scripts share one scope, in this order: `dom` (elements from data), `words` (numbers and reasons for
//! people), `view` (what one event means), `layout` (where stages stand), then what is drawn, and `main` (the stream of events).

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// What a browser may do for an answer of the admin address (`Content-Security-Policy`): run this page's script, use its style, ask here.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash_of("style"),
        hash_of("script"),
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The hash by which a policy names the page's only element of this kind.
fn hash_of(tag: &str) -> String {
    let text = PAGE.split_once(&format!("<{tag}>")).map_or("", |(_, behind)| behind);
    let text = text.split_once(&format!("</{tag}>")).map_or("", |(text, _)| text);
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

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
    use super::{PAGE, POLICY};
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
    fn the_policy_names_the_only_style_and_the_only_script() {
        let policy = POLICY.to_str().expect("text");
        assert!(!policy.contains("unsafe") && policy.contains("default-src 'none'"), "{policy}");
        for tag in ["style", "script"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert_eq!(PAGE.matches(&format!("</{tag}>")).count(), 1, "{tag}");
            // Of 32 bytes: the text was found. A browser of the tests finds that it is the right one.
            let (_, hash) = policy.split_once(&format!("{tag}-src 'sha256-")).expect(tag);
            let hash = hash.split_once('\'').expect("its end").0;
            assert!(hash.len() == 44 && hash != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "{policy}");
        }
        for inline in ["style=", "setAttribute(\"style", "cssText", "onclick=", "onload="] {
            assert!(!PAGE.contains(inline), "{inline} in the page, which the policy blocks");
        }
    }

    #[test]
    fn all_text_is_shown_in_one_way() {
        for way in [".textContent = ", "createTextNode(", "setAttribute(name"] {
            let told = PAGE.match_indices(way).map(|(at, _)| &PAGE[at..at + 80]);
            for told in told {
                // What `make` is given has come through `h`.
                assert!(told.contains("visible(") || told.contains("createTextNode(kid)"), "{told}");
            }
        }
        assert!(PAGE.contains("all.push(typeof kid === \"object\" ? kid : visible(String(kid)))"));
        // The same characters as everywhere: those of each range, both ends, are in the page's.
        let unseen = PAGE
            .split_once("const UNSEEN = /[")
            .and_then(|(_, behind)| behind.split_once("]/gu"))
            .expect("a class")
            .0;
        let class = unseen.replace("\\u{", "\\x{");
        let class = regex::Regex::new(&format!("^[{class}]$")).expect("a class");
        for c in (0..0x2_0000_u32).chain(0xe_0000..0xe_0100).filter_map(char::from_u32) {
            let harmless = crate::text::harmless::Harmless::text(c.to_string());
            assert_eq!(class.is_match(&c.to_string()), harmless.as_str() != c.to_string(), "{c:?}");
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

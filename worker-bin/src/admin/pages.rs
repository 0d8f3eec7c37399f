//! Where the pages of a cluster's other nodes are.

use super::registry::{self, Found};
use std::collections::BTreeMap;

/// Where other nodes of this pipeline answer, by their names: what the cluster file says, else what runs on this machine.
#[must_use]
pub fn pages(pipeline: &str, me: &str, said: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    of(&registry::list().unwrap_or_default(), pipeline, me, said)
}

fn of(here: &[Found], pipeline: &str, me: &str, said: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut pages = said.clone();
    for found in here.iter().filter(|found| found.alive && found.entry.pipeline == pipeline) {
        if let Some(admin) = &found.entry.admin {
            pages.entry(found.entry.node.clone()).or_insert_with(|| admin.clone());
        }
    }
    pages.remove(me);
    pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::registry::RegistryEntry;

    #[test]
    fn the_file_is_asked_first_and_then_who_lives_here() {
        let found = |pipeline: &str, node: &str, port: u16, alive| Found {
            entry: RegistryEntry {
                pid: 1,
                pipeline: pipeline.to_owned(),
                node: node.to_owned(),
                admin: Some(format!("127.0.0.1:{port}")),
                certificate: None,
                token: String::new(),
                started_ms: 0,
                last: None,
                state: None,
            },
            alive,
        };
        let here = [
            found("p", "a", 1, true),
            found("p", "b", 2, true),
            found("p", "c", 3, true),
            found("p", "d", 4, false),
            found("another", "e", 5, true),
        ];
        let said = BTreeMap::from([("b".to_owned(), "b.example:7480".to_owned())]);
        let pages = of(&here, "p", "a", &said);
        let pages: Vec<_> = pages.iter().map(|(node, at)| (node.as_str(), at.as_str())).collect();
        assert_eq!(pages, [("b", "b.example:7480"), ("c", "127.0.0.1:3")]);
    }
}

//! What is told of a release: the list of what it consists of is whole, and the same each time.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn printed(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(root()).output().expect("it can be started");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_list_of_components_is_whole_and_always_the_same() {
    let text = printed("worker-bin/dist/sbom", &[]);
    assert_eq!(text, printed("worker-bin/dist/sbom", &[]));
    let bom: Value = serde_json::from_str(&text).expect("it is JSON");
    let components = bom["components"].as_array().expect("a list");
    let names_of = |scope: &str| -> BTreeSet<String> {
        let of = components.iter().filter(|component| component["scope"] == scope);
        of.map(|component| format!("{} v{}", component["name"], component["version"]).replace('"', ""))
            .collect()
    };
    let required = names_of("required");
    assert!(required.len() > 50 && required.iter().any(|name| name.starts_with("tokio v")), "{required:?}");
    for name in ["proptest", "assert_cmd", "insta", "worker-tests"] {
        assert!(!text.contains(&format!("cargo/{name}@")), "{name} is for tests only");
    }
    assert!(names_of("excluded").iter().any(|name| name.starts_with("cc v")), "what builds it is there, too");
    for component in components {
        let (name, is_ours) =
            (&component["name"], component["name"].as_str().is_some_and(|name| name.starts_with("worker-")));
        assert_eq!(component["hashes"].is_array(), !is_ours, "{name}: what is downloaded has a checksum");
        assert!(
            component["licenses"][0]["expression"].as_str().is_some_and(|licence| !licence.is_empty()),
            "{name}"
        );
    }
    let known: BTreeSet<&str> = components
        .iter()
        .chain([&bom["metadata"]["component"]])
        .filter_map(|component| component["bom-ref"].as_str())
        .collect();
    for dependency in bom["dependencies"].as_array().expect("a list") {
        let needs = dependency["dependsOn"].as_array().expect("a list").iter().filter_map(Value::as_str);
        assert!(needs.chain(dependency["ref"].as_str()).all(|name| known.contains(name)), "{dependency}");
    }
}

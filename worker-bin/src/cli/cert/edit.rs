//! The lines of a cluster file that name its nodes' certificates.

use super::{CertError, IssueArgs};
use crate::cli::files;
use crate::pipeline::{Cluster, shown_path};
use std::path::Path;

/// Puts them below the heads of the nodes' tables; where a file is written in another way they are said.
pub(super) fn name_them(args: &IssueArgs, nodes: &[String]) -> Result<String, CertError> {
    let Some(file) = &args.cluster else {
        let mut said = "Into the cluster file of every node:\n".to_owned();
        nodes.iter().for_each(|node| said += &format!("[node.{node}]\n{}", lines(&args.ca.dir, node)));
        return Ok(said);
    };
    let dir = std::path::absolute(&args.ca.dir).unwrap_or_else(|_| args.ca.dir.clone());
    let below = std::path::absolute(file).ok().and_then(|file| Some(file.parent()?.to_owned()));
    let dir = below.map_or_else(|| dir.clone(), |below| shown_path(&below, &dir));
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(String::new()) };
    let known = Cluster::load(file).map(|cluster| {
        cluster
            .nodes()
            .iter()
            .filter(|node| node.tls.is_some())
            .map(|node| node.name.clone())
            .collect::<Vec<_>>()
    });
    let missing: Vec<&String> = match known {
        Ok(known) => nodes.iter().filter(|node| !known.contains(node)).collect(),
        Err(_) => Vec::new(),
    };
    if missing.is_empty() {
        return Ok(String::new());
    }
    match with_lines(&text, &dir, &missing) {
        Some(edited) => {
            let failed = |source| CertError::Write { path: file.clone(), source };
            files::replace(file, &edited).map_err(failed)?;
            Ok(format!("{} names them now\n", file.display()))
        }
        None => {
            let mut said = format!("Into {}:\n", file.display());
            missing.iter().for_each(|node| said += &format!("[node.{node}]\n{}", lines(&dir, node)));
            Ok(said)
        }
    }
}

/// The text with the lines of each node; `None` where one has no head of its own.
fn with_lines(text: &str, dir: &Path, nodes: &[&String]) -> Option<String> {
    let (mut edited, mut named) = (String::with_capacity(text.len()), 0);
    for line in text.split_inclusive('\n') {
        edited += line;
        if let Some(node) = nodes.iter().find(|node| is_head(line, node)) {
            if !line.ends_with('\n') {
                edited.push('\n');
            }
            edited += &lines(dir, node);
            named += 1;
        }
    }
    (named == nodes.len()).then_some(edited)
}

fn is_head(line: &str, node: &str) -> bool {
    let line = line.split('#').next().unwrap_or(line);
    let bare: String = line.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')).collect();
    bare == format!("[node.{node}]")
}

fn lines(dir: &Path, node: &str) -> String {
    let path = |name: &str| {
        let path = dir.join(name).display().to_string();
        path.replace('\\', "\\\\").replace('"', "\\\"")
    };
    format!(
        "cert = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n",
        path(&format!("{node}.pem")),
        path(&format!("{node}.key")),
        path("ca.pem")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_stand_below_the_heads_and_nothing_else_changes() {
        let text = "# ours, not [node.a]\n[node.a] # first\naddress = \"10.0.0.1:7400\"\n\n[ node . \"b\" ]\naddress = \"10.0.0.2:7400\"";
        let names = ["a".to_owned(), "b".to_owned()];
        let edited = with_lines(text, Path::new("certs"), &names.iter().collect::<Vec<_>>());
        let expected = "# ours, not [node.a]\n[node.a] # first\ncert = \"certs/a.pem\"\nkey = \"certs/a.key\"\nca = \"certs/ca.pem\"\n\
                        address = \"10.0.0.1:7400\"\n\n[ node . \"b\" ]\ncert = \"certs/b.pem\"\nkey = \"certs/b.key\"\n\
                        ca = \"certs/ca.pem\"\naddress = \"10.0.0.2:7400\"";
        assert_eq!(edited.as_deref(), Some(expected));
        assert_eq!(with_lines("node.a = { address = \"x:1\" }", Path::new("c"), &[&names[0]]), None);
    }
}

//! The files of the runtime know only those below them: read from what they name of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each part of the runtime names of the others.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn nobody_in_the_runtime_is_known_by_whom_he_knows() {
    let uses = uses();
    assert!(uses.len() > 20 && uses["engine"].contains("driver"), "the sources are not read right: {uses:?}");
    if let Some(circle) = circle(&uses) {
        panic!("the runtime goes in a circle: {}", circle.join(" → "));
    }
}

#[test]
fn the_cell_knows_nobody_who_tells_it_anything_and_only_the_run_knows_the_engine() {
    let uses = uses();
    assert_eq!(
        uses["cell"],
        BTreeSet::from(["trace".to_owned()]),
        "it shows what is asked for, if that is wanted"
    );
    assert_eq!(uses["trace"], BTreeSet::new());
    let know_engine: Vec<_> = uses.iter().filter(|(_, used)| used.contains("engine")).collect();
    assert_eq!(know_engine.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["run"]);
}

#[test]
fn a_circle_is_found_through_other_files_too() {
    let of = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    let modules = of(&["a", "b", "c", "d"]);
    let a = named("// super::d\nuse super::{\n    b::{self, d},\n    Thing,\n};\n", &modules, "a");
    let b = named("fn f() { crate::runtime::c::g() }", &modules, "b");
    assert_eq!((&a, &b), (&of(&["b"]), &of(&["c"])));
    let mut uses: Uses = [("a".to_owned(), a), ("b".to_owned(), b)].into();
    assert_eq!(circle(&uses), None);
    uses.insert("c".to_owned(), named("use super::a;", &modules, "c"));
    assert_eq!(circle(&uses).as_deref(), Some(&["a", "b", "c", "a"].map(str::to_owned)[..]));
}

fn uses() -> Uses {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker-bin/src/runtime");
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for path in files(&dir) {
        let part = path.strip_prefix(&dir).expect("below it");
        let part = part.iter().next().expect("a name").to_string_lossy();
        let part = part.strip_suffix(".rs").unwrap_or(&part);
        let source = std::fs::read_to_string(&path).expect("a source can be read");
        sources.entry(part.to_owned()).or_default().push_str(&source);
    }
    // What it declares and shows to others is all it has.
    sources.remove("mod");
    let modules: BTreeSet<String> = sources.keys().cloned().collect();
    sources.iter().map(|(part, source)| (part.clone(), named(source, &modules, part))).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(dir).expect("the runtime is there").map(|entry| entry.expect("read").path());
    let (dirs, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(dirs.iter().flat_map(|dir| files(dir)));
    found
}

/// The parts that a source names by `super::` or `crate::runtime::`; a part of several files names its own by `super::`, too.
fn named(source: &str, modules: &BTreeSet<String>, own: &str) -> BTreeSet<String> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = BTreeSet::new();
    for prefix in ["super::", "crate::runtime::"] {
        for (at, _) in code.match_indices(prefix) {
            found.extend(first_segments(&code[at + prefix.len()..]));
        }
    }
    found.retain(|name| modules.contains(name) && name != own);
    found
}

/// Of `a::B` it is `a`, and of `{a::{B, C}, d}` they are `a` and `d`.
fn first_segments(path: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let Some(group) = path.strip_prefix('{') else {
        return vec![path.chars().take_while(|&c| is_name(c)).collect()];
    };
    let (mut depth, mut segments, mut item) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => segments.push(std::mem::take(&mut item)),
            c if c.is_whitespace() => {}
            c => item.push(c),
        }
    }
    segments.push(item);
    segments.iter().map(|item| item.chars().take_while(|&c| is_name(c)).collect()).collect()
}

/// A way from a part back to itself, if there is one.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    fn walk<'a>(uses: &'a Uses, way: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> Option<Vec<String>> {
        let at = *way.last()?;
        for next in uses.get(at).into_iter().flatten() {
            if let Some(from) = way.iter().position(|&name| name == next) {
                way.push(next);
                return Some(way[from..].iter().map(|&name| name.to_owned()).collect());
            }
            if done.contains(next.as_str()) {
                continue;
            }
            way.push(next);
            if let found @ Some(_) = walk(uses, way, done) {
                return found;
            }
            way.pop();
        }
        done.insert(at);
        None
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|start| walk(uses, &mut vec![start], &mut done))
}

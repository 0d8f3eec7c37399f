use super::*;
use crate::io::source::{Lives, OnDamage, SourceOptions, SourceReader, Stop};
use bytes::Bytes;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

struct Tree(tempfile::TempDir);

impl Tree {
    fn of(names: &[&[u8]]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for name in names {
            let path = tree.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x\n").unwrap();
        }
        tree
    }

    /// Numbers of five digits, with what makes them long.
    fn numbered(count: usize) -> Self {
        let names: Vec<String> = (0..count).map(|n| format!("in/{n:05}-{}", "x".repeat(40))).collect();
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        Self::of(&names)
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.0.path().join(OsStr::from_bytes(name))
    }

    fn remove(&self, name: &[u8]) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn lives(&self, position: Option<(Bytes, u64)>) -> Lives<'_> {
        let (position, given) = position.map_or((None, 0), |(position, given)| (Some(position), given));
        Lives {
            position,
            given,
            may_refer: false,
            list: self.0.path().join("state/sources/a.list"),
            state: self.0.path(),
        }
    }

    fn open(&self, patterns: &[&str], options: SourceOptions) -> Result<ListReader, SourceError> {
        self.opened(patterns, options, None)
    }

    fn kept(
        &self,
        position: Option<(Bytes, u64)>,
        options: SourceOptions,
    ) -> Result<ListReader, SourceError> {
        std::fs::create_dir_all(self.path(b"state")).unwrap();
        let lives = Lives { state: &self.path(b"state"), ..self.lives(position) };
        self.opened(&["in/*"], options, Some(lives))
    }

    fn opened(
        &self,
        patterns: &[&str],
        options: SourceOptions,
        durable: Option<Lives<'_>>,
    ) -> Result<ListReader, SourceError> {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let opening =
            Opening { dir: self.0.path(), options, task: (0, 1), stop: Stop::new().unwrap(), durable };
        ListReader::open(&patterns, &opening)
    }
}

fn nul() -> SourceOptions {
    SourceOptions { framing: Framing::Nul, ..SourceOptions::default() }
}

fn records(reader: &mut ListReader) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(batch) = reader.next_chunk().unwrap() {
        records.extend(batch.iter().map(<[u8]>::to_vec));
    }
    records
}

#[test]
fn paths_of_any_bytes_come_sorted_as_the_pattern_says_them() {
    let tree =
        Tree::of(&[b"b.png", b"a\nb.png", b"h\xff.png", b"-rf.png", b"d/c.png", b"d/-x.png", b".hidden.png"]);
    let of = |patterns: &[&str]| records(&mut tree.open(patterns, nul()).unwrap());
    let all: [&[u8]; 4] = [b"./-rf.png\0", b"a\nb.png\0", b"b.png\0", b"h\xff.png\0"];
    assert_eq!(of(&["*.png"]), all);
    assert_eq!(of(&["d/*", "b.png", "./b.*"]), [&b"d/-x.png\0"[..], b"d/c.png\0", b"b.png\0", b"./b.png\0"]);
    assert_eq!(of(&["**/c.png"]), [b"d/c.png\0"]);
    let absolute = tree.path(b"b.*");
    assert_eq!(
        of(&[absolute.to_str().unwrap()]),
        [[tree.path(b"b.png").as_os_str().as_bytes(), b"\0"].concat()]
    );
}

#[test]
fn what_no_record_can_be_is_said_before_the_run() {
    let tree = Tree::of(&[b"a\nb.png", b"c.png", b"d/x"]);
    let refused = |pattern: &str, options| tree.open(&[pattern], options).unwrap_err().to_string();
    let newline = refused("*.png", SourceOptions::default());
    assert!(newline.contains(r"a\nb.png cannot be a record") && newline.contains("\"nul\""), "{newline}");
    let long = refused("c.png", SourceOptions { max_record: 4, ..SourceOptions::default() });
    assert!(long.contains("more than max_record = 4") && long.contains("raise max_record"), "{long}");
    assert!(refused("no*", nul()).contains("matches no file in"));
    assert!(refused("no", nul()).contains("cannot open"));
    assert!(refused("d", nul()).contains("is a directory"));
}

/// A path is only a record: whoever is given it finds out what it leads to.
#[test]
fn a_link_that_leads_nowhere_is_a_path_like_others() {
    let tree = Tree::of(&[b"in/a", b"in/c"]);
    std::os::unix::fs::symlink("nowhere", tree.path(b"in/b")).unwrap();
    let all: [&[u8]; 3] = [b"in/a\0", b"in/b\0", b"in/c\0"];
    assert_eq!(records(&mut tree.open(&["in/*"], nul()).unwrap()), all);
    let begun = tree.kept(None, nul()).unwrap().position().unwrap();
    assert_eq!(records(&mut tree.kept(Some((begun, 0)), nul()).unwrap()), all);
    let list = List { patterns: vec!["in/*".to_owned()], at: At::default() };
    assert_eq!(list.missing(tree.0.path()), None);
}

#[test]
fn lives_that_go_on_from_their_positions_give_what_one_life_gives() {
    let tree = Tree::numbered(900);
    let whole = records(&mut tree.open(&["in/*"], nul()).unwrap());
    let (mut all, mut position) = (Vec::new(), None);
    while all.len() < whole.len() {
        let mut life = tree.kept(position, nul()).unwrap();
        if all.is_empty() {
            // What comes and goes afterwards is none of it.
            std::fs::write(tree.path(b"in/00000-new"), "").unwrap();
        }
        all.extend(life.next_chunk().unwrap().unwrap().iter().map(<[u8]>::to_vec));
        let given = all.last().unwrap();
        tree.remove(&given[..given.len() - 1]);
        position = life.position().map(|position| (position, 0));
    }
    assert!(all == whole, "not the same records");
    assert_eq!(tree.kept(position, nul()).unwrap().next_chunk().unwrap(), None);
}

/// The rate may have let a part of a chunk go on.
#[test]
fn what_is_gone_is_an_error_or_a_letter_unless_it_was_given() {
    let names: [&[u8]; 4] = [b"in/a", b"in/b", b"in/c", b"in/d"];
    let tree = Tree::of(&names);
    let begun = tree.kept(None, nul()).unwrap().position().unwrap();
    tree.remove(b"in/a");
    tree.remove(b"in/c");
    let open = |given, on_damage| {
        let options = SourceOptions { on_damage, ..nul() };
        tree.kept(Some((begun.clone(), given)), options)
    };
    let error = |given| open(given, OnDamage::Halt).unwrap_err().to_string();
    assert!(
        error(0).contains("in/a is gone") && error(0).contains("on_damage") && error(0).contains("--fresh")
    );
    assert!(error(2).contains("in/c is gone"), "{}", error(2));
    assert!(open(3, OnDamage::Halt).is_ok(), "they were given");
    for (given, expected) in
        [(0, [&b"in/b\0"[..], b"in/d\0"].as_slice()), (1, &[b"in/a\0", b"in/b\0", b"in/d\0"])]
    {
        let mut reader = open(given, OnDamage::Skip).unwrap();
        let (mut all, mut letters) = (Vec::new(), Vec::new());
        while let Some(batch) = reader.next_chunk().unwrap() {
            assert!(batch.is_empty() || reader.take_letters().is_empty(), "what is gone is alone");
            all.extend(batch.iter().map(<[u8]>::to_vec));
            letters.extend(reader.take_letters());
        }
        assert_eq!(all, expected);
    }
    let mut fresh = Tree::of(&names);
    let mut reader = fresh.open(&["in/*"], nul()).unwrap();
    fresh.remove(b"in/b");
    assert_eq!(reader.next_chunk().unwrap().unwrap().len(), 1, "those before it go on");
    let gone = reader.next_chunk().unwrap_err().to_string();
    assert!(
        gone.contains("in/b is gone") && gone.contains("run again") && !gone.contains("--fresh"),
        "{gone}"
    );
    fresh = Tree::of(&names);
    let limited = SourceOptions { limit: Some(1), ..nul() };
    let mut reader = fresh.open(&["in/*"], limited).unwrap();
    fresh.remove(b"in/b");
    assert_eq!(records(&mut reader), [b"in/a\0"], "nobody wants what lies behind the limit");
}

#[test]
fn letters_name_what_is_gone() {
    let tree = Tree::of(&[b"in/a", b"in/b"]);
    let mut reader = tree.open(&["in/*"], SourceOptions { on_damage: OnDamage::Skip, ..nul() }).unwrap();
    tree.remove(b"in/a");
    assert_eq!(reader.next_chunk().unwrap(), Some(worker_proto::Batch::empty()));
    let letters = reader.take_letters();
    assert_eq!((letters.len(), &letters[0].record[..]), (1, &b"in/a\0"[..]));
    assert!(letters[0].reason.contains("in/a is gone"), "{}", letters[0].reason);
    assert_eq!(records(&mut reader), [b"in/b\0"]);
}

#[test]
fn a_position_of_something_else_is_refused() {
    let tree = Tree::of(&[b"in/a", b"in/b"]);
    let begun = tree.kept(None, nul()).unwrap().position().unwrap();
    let mut within = begun.to_vec();
    within[12] = 1;
    let mut of_another = begun.to_vec();
    of_another[4] ^= 1;
    for position in [&b"nonsense"[..], &within, &of_another, &begun[..20]] {
        let position = Some((Bytes::copy_from_slice(position), 0));
        let refused = tree.kept(position, nul()).unwrap_err().to_string();
        assert!(refused.contains("the list of paths") && refused.contains("--fresh"), "{refused}");
    }
    std::fs::write(tree.path(b"state/sources/a.list"), "WSN1 and no list").unwrap();
    assert!(tree.kept(Some((begun, 0)), nul()).unwrap_err().to_string().contains("a.list"));
}

#[test]
fn the_layouts_stay_as_they_are() {
    let tree = Tree::of(&[b"in/a", b"in/bc"]);
    let position = tree.kept(None, nul()).unwrap().position().unwrap();
    let list = std::fs::read(tree.path(b"state/sources/a.list")).unwrap();
    assert_eq!(list, b"WSN1\x0b\0\0\0\0\0\0\0in/a\0in/bc\0");
    let numbers = [xxhash_rust::xxh3::xxh3_64(b"in/a\0in/bc\0"), 0, 0].map(u64::to_le_bytes).concat();
    assert_eq!(position, [b"WSQ1", &numbers[..]].concat());
}

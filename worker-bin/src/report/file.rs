//! Where a report goes: checked before the run, written behind it.

use super::html::html;
use super::model::Report;
use crate::io::beside::{beside, dangling};
use crate::text::harmless::Harmless;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Links that are followed one after the other, as the system does.
const LINKS_MAX: usize = 40;

/// A file that `--report` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    /// As the user wrote it.
    shown: PathBuf,
    path: PathBuf,
    page: bool,
}

/// Who else uses a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    pub path: PathBuf,
    /// What it is, such as `written by sink out`.
    pub what: String,
}

/// Why a report cannot go where it should.
#[derive(Debug, Error)]
pub enum ReportFileError {
    /// It is a directory, a device or a pipe.
    #[error("--report {}: it is there and no regular file; name a file that may be replaced", path.display())]
    NoFile {
        /// As the user wrote it.
        path: PathBuf,
    },
    /// Its name promises a form that there is not.
    #[error(
        "--report {}: there is no report in the form .{suffix}; name a file that ends in .html for a page, or in .json for JSON",
        path.display()
    )]
    Form {
        /// As the user wrote it.
        path: PathBuf,
        suffix: String,
    },
    /// The run needs the file for something else.
    #[error("--report {}: this file is {what}; choose another name", path.display())]
    InUse {
        /// As the user wrote it.
        path: PathBuf,
        what: String,
    },
    /// Nothing can be written there.
    #[error(
        "--report {}: cannot write in {}: {source}; the directory must exist and be writable",
        path.display(), dir.display()
    )]
    Directory {
        /// As the user wrote it.
        path: PathBuf,
        /// Where it would be.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be written, at the end.
    #[error("cannot write the report {}: {source}", path.display())]
    Write {
        /// As the user wrote it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ReportFile {
    /// Looks whether a report can be written to `path`, without touching what is there; `busy` are the run's own files.
    ///
    /// # Errors
    /// Why not.
    pub fn check(path: &Path, busy: &[Busy]) -> Result<Self, ReportFileError> {
        let shown = path.to_owned();
        let unwritable = |dir: &Path, source| ReportFileError::Directory {
            path: shown.clone(),
            dir: dir.to_owned(),
            source,
        };
        // Through a link to the file itself, be it there or not: a rename would replace the link.
        let target = path.canonicalize().unwrap_or_else(|_| through(path));
        let there = target.metadata();
        if path.file_name().is_none() || there.is_ok_and(|metadata| !metadata.is_file()) {
            return Err(ReportFileError::NoFile { path: shown });
        }
        let dir = parent(&target);
        let dir = dir.canonicalize().map_err(|source| unwritable(dir, source))?;
        let path = dir.join(target.file_name().unwrap_or_default());
        if let Some(other) = busy.iter().find(|busy| same(&busy.path, &path)) {
            return Err(ReportFileError::InUse { path: shown, what: other.what.clone() });
        }
        let page = is_page(&shown)?;
        let (probe, _) = beside(&path).map_err(|source| unwritable(&dir, source))?;
        std::fs::remove_file(probe).map_err(|source| unwritable(&dir, source))?;
        Ok(Self { shown, path, page })
    }

    /// Writes the report: a page if the name ends in `.html` or `.htm`, JSON if in `.json` or in nothing. What is there is replaced whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, report: &Report) -> Result<(), ReportFileError> {
        let text = if self.page {
            Ok(html(report))
        } else {
            Harmless::pretty_json(report).map(|json| json.to_string()).map_err(io::Error::other)
        };
        text.and_then(|text| replace(&self.path, text.as_bytes()))
            .map_err(|source| ReportFileError::Write { path: self.shown.clone(), source })
    }
}

/// By the end of the name, as the user wrote it.
fn is_page(path: &Path) -> Result<bool, ReportFileError> {
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().into_owned());
    match suffix.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("html" | "htm") => Ok(true),
        Some("json") | None => Ok(false),
        Some(_) => Err(ReportFileError::Form { path: path.to_owned(), suffix: suffix.unwrap_or_default() }),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (fresh, mut file) = beside(path)?;
    let mut write = || {
        if let Ok(old) = path.metadata() {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    let result = write();
    if result.is_err() {
        std::fs::remove_file(&fresh).ok();
    }
    result
}

/// Where links lead that end at nothing.
fn through(path: &Path) -> PathBuf {
    let next = |at: &PathBuf| dangling(at).map(|to| parent(at).join(to));
    std::iter::successors(Some(path.to_owned()), next).take(LINKS_MAX).last().unwrap_or_default()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Whether both mean one file, be it there or not.
fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| match path.canonicalize() {
        Ok(path) => Some(path),
        Err(_) => Some(parent(path).canonicalize().ok()?.join(path.file_name()?)),
    };
    whole(one).is_some_and(|one| Some(one) == whole(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("kept"), "x").expect("a file");
        let sink = Busy { path: at("out.json"), what: "written by sink out".to_owned() };
        let refused = |name: &str| {
            ReportFile::check(&at(name), std::slice::from_ref(&sink)).expect_err(name).to_string()
        };
        assert!(
            refused("missing/r.json").contains("the directory must exist"),
            "{}",
            refused("missing/r.json")
        );
        assert!(refused("kept/r.json").contains("cannot write in"), "{}", refused("kept/r.json"));
        assert!(refused(".").contains("no regular file"), "{}", refused("."));
        assert!(refused("out.json").contains("written by sink out"));
        assert!(ReportFile::check(Path::new("/dev/null"), &[]).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 1, "nothing is left behind");
    }

    #[test]
    fn the_form_goes_by_the_extension() {
        let dir = tempfile::tempdir().expect("a directory");
        let names = [
            ("r.json", false),
            ("r.HTML", true),
            ("r.htm", true),
            ("r", false),
            ("html", false),
            (".r", false),
            ("a.b.Json", false),
        ];
        for (name, page) in names {
            let file = ReportFile::check(&dir.path().join(name), &[]).expect(name);
            assert_eq!(file.page, page, "{name}");
        }
        for name in ["r.pdf", "r.csv", "r.", "r.html.gz", "r.json.tmp"] {
            let why = ReportFile::check(&dir.path().join(name), &[]).expect_err(name).to_string();
            assert!(why.contains(name) && why.contains(".html") && why.contains(".json"), "{why}");
        }
        std::os::unix::fs::symlink(dir.path().join("r.txt"), dir.path().join("link.html")).expect("a link");
        assert!(ReportFile::check(&dir.path().join("link.html"), &[]).expect("a page").page);
    }

    #[test]
    fn a_file_is_replaced_whole_through_a_link_with_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let (file, link) = (dir.path().join("real"), dir.path().join("link.json"));
        std::fs::write(&file, "old").expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("a mode");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        let report = ReportFile::check(&link, &[]).expect("writable");
        report.write(&super::super::gather::tests::report()).expect("written");
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o640);
        let text = std::fs::read_to_string(&file).expect("readable");
        serde_json::from_str::<Report>(&text).expect("a report");
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 2, "nothing is left behind");

        std::os::unix::fs::symlink("second.json", dir.path().join("first.json")).expect("a link");
        std::os::unix::fs::symlink("new.json", dir.path().join("second.json")).expect("a link");
        let report = ReportFile::check(&dir.path().join("first.json"), &[]).expect("writable");
        report.write(&super::super::gather::tests::report()).expect("written");
        assert!(dir.path().join("new.json").metadata().expect("there").is_file());
        for link in ["first.json", "second.json"] {
            assert!(dir.path().join(link).symlink_metadata().expect("there").is_symlink(), "{link}");
        }
    }
}

//! What a program needs on this node before anything is read: it exists, may be run, and its variables have values.

use super::model::{EnvValue, Program};
use super::plan::{Plan, Role};
use crate::child::Confinement;
use rustix::fs::{Access, access};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Where programs are searched if the environment has no `PATH`, as execvp does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program with its variables' values, ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments as written; never empty.
    pub argv: Vec<OsString>,
    /// The program's file, as found on this node.
    pub program: PathBuf,
    /// Where it runs; absolute.
    pub cwd: PathBuf,
    /// Variables set for it.
    pub env: Vec<(OsString, OsString)>,
    /// Whether it gets only those.
    pub clear_env: bool,
    /// How long it may take to end when it is stopped.
    pub stop_grace: Duration,
    /// What it may use and see.
    pub confinement: Confinement,
}

/// Why a program cannot be run on this node.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProgramError {
    /// No directory of `PATH` has it.
    #[error(
        "{owner}: there is no program `{program}` in PATH ({path}); install it on this node, or name its path in `run`"
    )]
    NotFound {
        /// The source, stage or sink.
        owner: String,
        program: String,
        /// Where it was searched.
        path: String,
    },
    /// The path does not exist.
    #[error("{owner}: there is no program at {}; paths in `run` are relative to `cwd`, {}", .path.display(), .cwd.display())]
    NoFile {
        /// The source, stage or sink.
        owner: String,
        path: PathBuf,
        cwd: PathBuf,
    },
    /// It is there and may not be run.
    #[error("{owner}: {} cannot be run: {why}", .path.display())]
    NotExecutable {
        /// The source, stage or sink.
        owner: String,
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Its directory does not exist.
    #[error("{owner}: `cwd` {} is not a directory; make it, or name another", .path.display())]
    NoDirectory {
        /// The source, stage or sink.
        owner: String,
        path: PathBuf,
    },
    /// It cannot be confined as it is to be.
    #[error("{owner}: {why}")]
    NotConfined {
        /// The source, stage or sink.
        owner: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A variable has no value.
    #[error("{owner}: env.{variable}: {why}")]
    NoValue {
        /// The source, stage or sink.
        owner: String,
        variable: String,
        /// What is wrong and what to do.
        why: String,
    },
}

impl Program {
    /// Finds the program on this node and the values of its variables; `owner` names the stage in messages.
    ///
    /// # Errors
    /// What is missing here.
    pub fn command(&self, owner: &str) -> Result<Command, ProgramError> {
        let mut env = Vec::with_capacity(self.env.len());
        for (name, value) in &self.env {
            let value = value.value().map_err(|why| ProgramError::NoValue {
                owner: owner.to_owned(),
                variable: name.clone(),
                why,
            })?;
            env.push((OsString::from(name), value));
        }
        if !self.cwd.is_dir() {
            return Err(ProgramError::NoDirectory { owner: owner.to_owned(), path: self.cwd.clone() });
        }
        let given = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
        let inherited = || if self.clear_env { None } else { std::env::var_os("PATH") };
        let path = given.or_else(inherited).unwrap_or_else(|| DEFAULT_PATH.into());
        let program = self.find(owner, &path)?;
        let argv = self.argv.iter().map(OsString::from).collect();
        let (clear_env, stop_grace) = (self.clear_env, self.stop_grace);
        let not_confined = |why| ProgramError::NotConfined { owner: owner.to_owned(), why };
        let confinement = self.confine.on_this_node(&program).map_err(not_confined)?;
        Ok(Command { argv, program, cwd: self.cwd.clone(), env, clear_env, stop_grace, confinement })
    }

    fn find(&self, owner: &str, path: &OsStr) -> Result<PathBuf, ProgramError> {
        let owner = owner.to_owned();
        let name = self.argv.first().map(String::as_str).unwrap_or_default();
        if name.contains('/') {
            let file = self.cwd.join(name);
            return match runnable(&file) {
                Ok(()) => Ok(file),
                Err(Some(why)) => Err(ProgramError::NotExecutable { owner, path: file, why }),
                Err(None) => Err(ProgramError::NoFile { owner, path: file, cwd: self.cwd.clone() }),
            };
        }
        let mut refused = None;
        for dir in std::env::split_paths(path) {
            let file = self.cwd.join(dir).join(name);
            match runnable(&file) {
                Ok(()) => return Ok(file),
                Err(Some(why)) => refused = refused.or(Some((file, why))),
                Err(None) => {}
            }
        }
        Err(match refused {
            Some((path, why)) => ProgramError::NotExecutable { owner, path, why },
            None => {
                let path = path.to_string_lossy().into_owned();
                ProgramError::NotFound { owner, program: name.to_owned(), path }
            }
        })
    }
}

impl Plan {
    /// Checks that every program this node runs is there, before anything is read.
    ///
    /// # Errors
    /// Everything that is missing, once per source, stage or sink.
    pub fn check_programs(&self) -> Result<(), Vec<ProgramError>> {
        let mut errors = Vec::new();
        let mut checked: Option<&str> = None;
        for task in self.local.iter() {
            let program = match &task.role {
                Role::Source(source) => source.input.program(),
                Role::Stage(stage) => Some(&stage.program),
                Role::Sink(_) => None,
            };
            if checked == Some(&task.stage) {
                continue;
            }
            checked = Some(&task.stage);
            errors.extend(program.and_then(|program| program.command(&task.stage).err()));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

impl EnvValue {
    /// Its value on this node, or what is wrong and what to do.
    fn value(&self) -> Result<OsString, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Env(name) => std::env::var_os(name).ok_or_else(|| {
                format!("the worker's environment has no {name}; set it where the worker is started")
            }),
            Self::File(path) => {
                let mut bytes = std::fs::read(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                if bytes.contains(&0) {
                    return Err(format!("{} holds a zero byte, which no variable can", path.display()));
                }
                Ok(OsString::from_vec(bytes))
            }
        }
    }
}

/// Whether a file can be run: `Err(None)` if there is none, `Err(Some(why))` if it may not be.
fn runnable(file: &Path) -> Result<(), Option<String>> {
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Some("a directory on the way may not be entered by this user".to_owned()));
        }
        Err(_) => return Err(None),
    };
    if metadata.is_dir() {
        return Err(Some("it is a directory; name the program in it".to_owned()));
    }
    if access(file, Access::EXEC_OK).is_err() {
        return Err(Some(format!(
            "it is not executable; chmod +x {}, or name its interpreter first",
            file.display()
        )));
    }
    match interpreter(file) {
        Some(interpreter) if !interpreter.exists() => {
            Err(Some(format!("its first line asks for {}, which is not there", interpreter.display())))
        }
        Some(_) | None => Ok(()),
    }
}

/// The program that a script's first line names.
fn interpreter(file: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    BufReader::new(std::fs::File::open(file).ok()?.take(256)).read_until(b'\n', &mut line).ok()?;
    let rest = line.strip_prefix(b"#!")?.trim_ascii();
    let end = rest.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(rest.len());
    let path = Path::new(OsStr::from_bytes(&rest[..end]));
    path.is_absolute().then(|| path.to_owned())
}

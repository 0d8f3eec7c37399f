//! The files of a source, read again where its journal refers to them.

use super::{SourceError, SourceFiles};
use crate::mutex::lock;
use crate::text::units::number;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use worker_journal::InputFiles;

/// Each is opened when it is read, and must be the one that it was at the first start; the one read last stays open.
#[derive(Debug)]
pub(crate) struct ReferredFiles {
    files: SourceFiles,
    last: Mutex<Option<(u32, Arc<File>)>>,
}

impl ReferredFiles {
    pub(crate) fn of(files: SourceFiles) -> Self {
        Self { files, last: Mutex::default() }
    }

    fn open(&self, number: u32) -> Result<Arc<File>, String> {
        let mut last = lock(&self.last);
        if let Some((_, file)) = last.as_ref().filter(|(opened, _)| *opened == number) {
            return Ok(Arc::clone(file));
        }
        let fixed = self.files.files().get(number as usize);
        let fixed = fixed.ok_or_else(|| format!("the list of files has no file {number}"))?;
        let (file, _) = fixed.open().map_err(|error| {
            let SourceError::Gone { path } = &error else { return error.to_string() };
            format!(
                "{} is gone, and what was read of it is still needed; put it back, or begin a new run with --fresh",
                path.display()
            )
        })?;
        let file = Arc::new(file);
        *last = Some((number, Arc::clone(&file)));
        Ok(file)
    }
}

impl InputFiles for ReferredFiles {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> Result<(), String> {
        let read = self.open(file)?.read_exact_at(buffer, offset);
        read.map_err(|error| format!("cannot read {} from byte {offset} on: {error}", self.name(file)))
    }

    fn check(&self, file: u32) -> Result<(), String> {
        let name = self.name(file);
        let fixed = self.files.files().get(file as usize);
        let fixed = fixed.ok_or_else(|| format!("the list of files has no {name}"))?;
        fixed.open().map(drop).map_err(|error| {
            if let SourceError::Gone { .. } = error {
                format!("{name} is gone")
            } else if let SourceError::Replaced { what, .. } = error {
                format!("{name} is not the file that was read: {what}")
            } else if let SourceError::Shorter { length, expected, .. } = error {
                format!("{name} ends after {} bytes, but had {}", number(length), number(expected))
            } else {
                error.to_string()
            }
        })
    }

    fn name(&self, file: u32) -> String {
        let path = self.files.files().get(file as usize).map(|file| file.path.display().to_string());
        path.unwrap_or_else(|| format!("file {file}"))
    }
}

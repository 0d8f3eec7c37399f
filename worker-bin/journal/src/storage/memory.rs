//! A disk that is not there, for tests and simulations: it forgets, tears, fills up and fails as it is told.

use super::{Storage, StorageError, StorageFile};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use worker_core::rng::Rng;

/// What a disk tears a write into, in bytes.
const SECTOR_BYTES: u64 = 512;

/// Files in memory that know what of them is durable. Clones are the same disk.
///
/// Reading shows everything written, as the page cache does. [`MemStorage::crash`] is the loss of power: of what was not
/// synced, any part may be lost. After a sync that failed, what it was asked to sync still shows, and no later sync writes it.
/// Same calls and seeds, same bytes.
#[derive(Clone, Default)]
pub struct MemStorage {
    disk: Arc<Mutex<Disk>>,
}

/// A file of a [`MemStorage`].
#[derive(Clone)]
pub struct MemFile {
    disk: Arc<Mutex<Disk>>,
    inode: u64,
    handles: Arc<()>,
}

#[derive(Debug, Default)]
struct Disk {
    /// By number; 0 is the directory itself.
    inodes: BTreeMap<u64, Inode>,
    inodes_made: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that are not durable, in order.
    renamings: Vec<Renaming>,
    faults: Faults,
    syncs: u64,
}

#[derive(Debug, Default)]
struct Inode {
    shown: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges written and not synced, in order.
    unsynced: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Renaming {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
struct Faults {
    full: bool,
    bytes_max: Option<u64>,
    sync_to_fail: Option<u64>,
    reads_fail: bool,
    writes_fail: bool,
}

impl MemStorage {
    /// An empty disk without limits or faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The power goes and comes back: whatever is not durable may be there, be torn, or be lost; `seed` chooses. Nothing
    /// that has the disk open may be used any more.
    pub fn crash(&self, seed: u64) {
        let mut rng = Rng::new(seed);
        self.lock().crash(&mut rng);
    }

    /// From now on writing and creating fail for want of room, or do not any more.
    pub fn set_full(&self, full: bool) {
        self.lock().faults.full = full;
    }

    /// The disk's size in bytes: creating a file fails for want of room past it.
    pub fn set_bytes_max(&self, bytes: Option<u64>) {
        self.lock().faults.bytes_max = bytes;
    }

    /// The `n`-th sync from now (1: the next), of a file or of names, fails.
    pub fn fail_sync(&self, n: u64) {
        let mut disk = self.lock();
        disk.faults.sync_to_fail = Some(disk.syncs + n);
    }

    /// From now on reading fails, or does not any more.
    pub fn fail_reads(&self, fail: bool) {
        self.lock().faults.reads_fail = fail;
    }

    /// From now on writing fails for no good reason, or does not any more.
    pub fn fail_writes(&self, fail: bool) {
        self.lock().faults.writes_fail = fail;
    }

    /// How many syncs were asked for.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// All files as they show, by name.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.lock();
        disk.names.iter().map(|(name, inode)| (name.clone(), disk.inodes[inode].shown.clone())).collect()
    }

    /// A disk that durably has these files.
    #[must_use]
    pub fn with_contents(contents: BTreeMap<String, Vec<u8>>) -> Self {
        let storage = Self::new();
        {
            let mut disk = storage.lock();
            for (name, bytes) in contents {
                disk.inodes_made += 1;
                let number = disk.inodes_made;
                let inode = Inode { shown: bytes.clone(), durable: bytes, unsynced: Vec::new() };
                disk.inodes.insert(number, inode);
                disk.names.insert(name.clone(), number);
                disk.durable_names.insert(name, number);
            }
        }
        storage
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: u64) -> MemFile {
        MemFile { disk: self.disk.clone(), inode, handles: Arc::new(()) }
    }
}

impl Storage for MemStorage {
    type File = MemFile;

    fn list(&self) -> Result<Vec<String>, StorageError> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> Result<MemFile, StorageError> {
        let mut disk = self.lock();
        let used: u64 = disk.names.values().map(|inode| disk.inodes[inode].shown.len() as u64).sum();
        if disk.faults.full || disk.faults.bytes_max.is_some_and(|max| used + bytes > max) {
            return Err(failed("create", name, io::ErrorKind::StorageFull));
        }
        if disk.names.contains_key(name) {
            return Err(failed("create", name, io::ErrorKind::AlreadyExists));
        }
        disk.inodes_made += 1;
        let number = disk.inodes_made;
        let zeros = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        disk.inodes.insert(number, Inode { shown: zeros, ..Inode::default() });
        disk.names.insert(name.to_owned(), number);
        disk.renamings.push(Renaming::Create(name.to_owned(), number));
        drop(disk);
        Ok(self.file(number))
    }

    fn open(&self, name: &str) -> Result<MemFile, StorageError> {
        let inode = self.lock().names.get(name).copied();
        inode.map(|inode| self.file(inode)).ok_or_else(|| failed("open", name, io::ErrorKind::NotFound))
    }

    fn open_read_only(&self, name: &str) -> Result<MemFile, StorageError> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let mut disk = self.lock();
        if disk.names.contains_key(to) {
            return Err(failed("rename a file to", to, io::ErrorKind::AlreadyExists));
        }
        let inode = disk.names.remove(from).ok_or_else(|| failed("rename", from, io::ErrorKind::NotFound))?;
        disk.names.insert(to.to_owned(), inode);
        disk.renamings.push(Renaming::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let mut disk = self.lock();
        disk.names.remove(name).ok_or_else(|| failed("remove", name, io::ErrorKind::NotFound))?;
        disk.renamings.push(Renaming::Remove(name.to_owned()));
        Ok(())
    }

    fn names(&self) -> MemFile {
        self.file(0)
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

impl StorageFile for MemFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<(), StorageError> {
        let mut disk = self.lock();
        let (full, fails) = (disk.faults.full, disk.faults.writes_fail);
        let inode = disk.inode(self.inode)?;
        let mut bytes = parts.iter().map(|p| &**p).collect::<Vec<_>>().concat();
        if full || fails {
            bytes.truncate(bytes.len() / 2);
        }
        put(&mut inode.shown, offset, &bytes);
        inode.unsynced.push((offset, bytes));
        if full {
            return Err(failed("write", "a file", io::ErrorKind::StorageFull));
        }
        if fails { Err(failed("write", "a file", io::ErrorKind::Other)) } else { Ok(()) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        let mut disk = self.lock();
        if disk.faults.reads_fail {
            return Err(failed("read", "a file", io::ErrorKind::Other));
        }
        let shown = &disk.inode(self.inode)?.shown;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(shown.len());
        let count = buffer.len().min(shown.len() - from);
        buffer[..count].copy_from_slice(&shown[from..from + count]);
        Ok(count)
    }

    fn sync(&self) -> Result<(), StorageError> {
        let mut disk = self.lock();
        disk.syncs += 1;
        let fails = disk.faults.sync_to_fail == Some(disk.syncs);
        if self.inode == 0 {
            if !fails {
                disk.durable_names = disk.names.clone();
            }
            disk.renamings.clear();
        } else {
            let inode = disk.inode(self.inode)?;
            if !fails {
                let length = inode.shown.len();
                inode.durable.resize(length, 0);
                for (offset, bytes) in std::mem::take(&mut inode.unsynced) {
                    put(&mut inode.durable, offset, &bytes);
                }
            }
            inode.unsynced.clear();
        }
        if fails { Err(failed("sync", "a file", io::ErrorKind::Other)) } else { Ok(()) }
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        Ok(self.lock().inode(self.inode)?.shown.len() as u64)
    }

    fn shrink(&self, bytes: u64) -> Result<(), StorageError> {
        let mut disk = self.lock();
        let inode = disk.inode(self.inode)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        inode.shown.truncate(bytes);
        inode.durable.truncate(bytes);
        inode.unsynced.retain(|(offset, _)| *offset < bytes as u64);
        Ok(())
    }

    fn is_only_handle(&self) -> bool {
        Arc::strong_count(&self.handles) == 1
    }
}

impl MemFile {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn inode(&mut self, number: u64) -> Result<&mut Inode, StorageError> {
        self.inodes.get_mut(&number).ok_or_else(|| failed("use", "a lost file", io::ErrorKind::NotFound))
    }

    fn crash(&mut self, rng: &mut Rng) {
        for renaming in std::mem::take(&mut self.renamings) {
            if rng.up_to(1) == 0 {
                continue;
            }
            let names = &mut self.durable_names;
            match renaming {
                Renaming::Create(name, inode) => {
                    names.insert(name, inode);
                }
                Renaming::Rename(from, to) => {
                    if let Some(inode) = names.remove(&from) {
                        names.insert(to, inode);
                    }
                }
                Renaming::Remove(name) => {
                    names.remove(&name);
                }
            }
        }
        self.names = self.durable_names.clone();
        for inode in self.inodes.values_mut() {
            inode.crash(rng);
        }
        let kept: Vec<u64> = self.names.values().copied().collect();
        self.inodes.retain(|number, _| kept.contains(number));
    }
}

impl Inode {
    fn crash(&mut self, rng: &mut Rng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let mut left: u64 = match rng.up_to(3) {
            0 => 0,
            1 => u64::MAX,
            _ => rng.up_to(unsynced.iter().map(|(_, b)| b.len() as u64).sum()),
        };
        // Either a prefix, or any sectors in any order.
        let scattered = rng.up_to(1) == 0;
        for (offset, bytes) in unsynced {
            let mut from = 0;
            while from < bytes.len() {
                let at = offset + from as u64;
                let sector_end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                let count =
                    bytes.len().min(usize::try_from(sector_end - offset).unwrap_or(usize::MAX)) - from;
                let kept = if scattered && left != u64::MAX && left != 0 {
                    if rng.up_to(1) == 0 { count } else { 0 }
                } else {
                    count.min(usize::try_from(left).unwrap_or(usize::MAX))
                };
                if left != u64::MAX && !scattered {
                    left -= kept as u64;
                }
                put(&mut self.durable, at, &bytes[from..from + kept]);
                from += count;
            }
        }
        self.shown = self.durable.clone();
    }
}

impl fmt::Debug for MemStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.lock();
        f.debug_struct("MemStorage")
            .field("names", &disk.names)
            .field("faults", &disk.faults)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemFile").field("inode", &self.inode).finish_non_exhaustive()
    }
}

fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    if file.len() < from + bytes.len() {
        file.resize(from + bytes.len(), 0);
    }
    file[from..from + bytes.len()].copy_from_slice(bytes);
}

fn failed(what: &'static str, name: &str, kind: io::ErrorKind) -> StorageError {
    StorageError::new(what, name, io::Error::new(kind, "told to fail"))
}

//! What a program may use and see, as this node has it: users by number, and whether the kernel can do it.

use super::keys::confine::Confine;
use crate::child::{Confinement, Files, Identity, Limit, Limited, can_be_sandboxed};
use nix::unistd::{Uid, User, getgrouplist};
use std::ffi::CString;
use std::path::Path;
use std::time::Duration;

impl Confine {
    /// For the program at `program`.
    ///
    /// # Errors
    /// What this node cannot do, and what to do about it.
    pub(super) fn on_this_node(&self, program: &Path) -> Result<Confinement, String> {
        let user = self.user.as_deref().map(identity).transpose()?;
        let (me, limits) = (Uid::effective(), self.limits());
        let is_root = user.as_ref().map_or(me.is_root(), |user| user.user == 0);
        if is_root && self.limits.processes.is_some() {
            return Err("`limits.processes` does not hold for root: name a `user`, or remove it".to_owned());
        }
        let is_another = user.as_ref().is_some_and(|user| user.user != me.as_raw());
        if is_another && !me.is_root() {
            return Err(
                "`user` is another than the worker's: start the worker as root, or remove it".to_owned()
            );
        }
        let files = self.files(program)?;
        // Who is who already needs no right to become it.
        Ok(Confinement {
            limits,
            user: user.filter(|_| me.is_root()),
            files,
            is_offline: self.net == Some(false),
        })
    }

    fn limits(&self) -> Vec<Limit> {
        let given = &self.limits;
        let cpu =
            given.cpu.map(|time| time.as_secs() + u64::from(time > Duration::from_secs(time.as_secs())));
        let all = [
            (Limited::Memory, given.memory_bytes),
            (Limited::Cpu, cpu),
            (Limited::OpenFiles, given.open_files),
            (Limited::Processes, given.processes),
            (Limited::FileSize, given.file_size_bytes),
        ];
        all.into_iter().filter_map(|(of, most)| most.map(|most| Limit { of, most })).collect()
    }

    fn files(&self, program: &Path) -> Result<Option<Files>, String> {
        if self.read.is_none() && self.write.is_none() {
            return Ok(None);
        }
        can_be_sandboxed()?;
        let (read, write) = (self.read.clone().unwrap_or_default(), self.write.clone().unwrap_or_default());
        for (key, path) in
            read.iter().map(|path| ("read", path)).chain(write.iter().map(|path| ("write", path)))
        {
            if !path.exists() {
                return Err(format!(
                    "`sandbox.{key}`: there is no {}; make it, or remove it there",
                    path.display()
                ));
            }
        }
        Ok(Some(Files { read: [read, vec![program.to_owned()]].concat(), write }))
    }
}

fn identity(name: &str) -> Result<Identity, String> {
    let found = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    let user = found
        .map_err(|error| format!("`user`: cannot look up {name}: {error}"))?
        .ok_or_else(|| format!("`user`: this node has no user {name}"))?;
    let name = CString::new(user.name).map_err(|error| error.to_string())?;
    let groups = getgrouplist(&name, user.gid)
        .map_err(|error| format!("`user`: cannot look up its groups: {error}"))?;
    let groups = groups.into_iter().map(|group| group.as_raw()).collect();
    Ok(Identity { user: user.uid.as_raw(), group: user.gid.as_raw(), groups })
}

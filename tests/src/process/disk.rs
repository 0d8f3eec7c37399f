//! File systems of a test's own.

use super::scratch::Scratch;
use std::path::PathBuf;
use std::process::Command;

/// A file system, mounted until it is dropped. Needs root, where mounting is allowed.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// One in memory of this size, such as `3m`.
    ///
    /// # Panics
    /// It cannot be mounted.
    #[must_use]
    pub fn in_memory(scratch: &Scratch, at: &str, size: &str) -> Self {
        Self::mount(scratch, at, &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
    }

    /// An ext4 file system in the file `image`, made if it is missing. The kernel writes nothing there that it is not asked to
    /// sync, for ten minutes.
    ///
    /// # Panics
    /// It cannot be made or mounted.
    #[must_use]
    pub fn image(scratch: &Scratch, at: &str, image: &str) -> Self {
        if !scratch.path(image).exists() {
            scratch.shell(&format!(
                "truncate -s 256M {image} && PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F {image}"
            ));
        }
        Self::mount(scratch, at, &["-o", "loop,commit=600", image])
    }

    fn mount(scratch: &Scratch, at: &str, args: &[&str]) -> Self {
        let path = scratch.path(at);
        std::fs::create_dir_all(&path).expect("a directory to mount on");
        let mounted = Command::new("mount").args(args).arg(&path).current_dir(scratch.dir()).status();
        let mounted = mounted.expect("`mount` is there (Debian package mount)");
        assert!(mounted.success(), "this test mounts {args:?}: run it as root, where mounting is allowed");
        Self(path)
    }

    /// Gives one in memory another size.
    ///
    /// # Panics
    /// The system refuses.
    pub fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        assert!(status.expect("`mount` is there").success(), "cannot remount {}", self.0.display());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

//! Certificates for both ends.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use worker_net::{Tls, TlsFiles};
use worker_tests::process::worker_binary;

/// A directory with them, gone when dropped.
pub(super) struct Certificates(TempDir);

impl Certificates {
    pub(super) fn make() -> Self {
        let dir = TempDir::new().expect("a directory");
        for args in [&["init"][..], &["issue", "a", "b"]] {
            let mut command = Command::new(worker_binary());
            let made =
                command.arg("cert").args(args).arg("--dir").arg(dir.path()).output().expect("it starts");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        Self(dir)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Of one of the two ends.
pub(super) fn identity(dir: &Path, node: &str) -> Arc<Tls> {
    let path = |name: &str| dir.join(name);
    let files = TlsFiles {
        cert: path(&format!("{node}.pem")),
        key: path(&format!("{node}.key")),
        ca: path("ca.pem"),
        crl: None,
    };
    Arc::new(Tls::load(files, node, &["a".to_owned(), "b".to_owned()]).expect("good certificates"))
}

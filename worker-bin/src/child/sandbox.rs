//! The part of the file system that a program sees, by Landlock: the kernel refuses the rest to it and all that it starts.

use super::confinement::Files;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use std::path::Path;

/// The oldest that keeps a program from cutting files: Linux 6.2.
const LEAST: ABI = ABI::V3;

/// The newest that is known here. What of it the kernel does not know is left out.
const NEWEST: ABI = ABI::V7;

/// What it takes to run a program at all: libraries, interpreters, what they look up of the machine.
const SYSTEM: [&str; 19] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/proc",
    "/sys/devices/system/cpu",
    "/etc/alternatives",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/etc/ca-certificates",
];

const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Whether this kernel knows sandboxes; why not.
pub(crate) fn is_possible() -> Result<(), String> {
    rules(false).map(drop).map_err(|error| refused(&error))
}

/// This process sees no more from now on, nor does what it starts.
pub(super) fn enter(files: &Files, is_offline: bool, tmpdir: Option<&Path>) -> Result<(), String> {
    let enter = || {
        let (read, all) = (AccessFs::from_read(NEWEST), AccessFs::from_all(NEWEST));
        let own = tmpdir.into_iter().map(Path::to_owned).chain(files.write.iter().cloned());
        rules(is_offline)?
            .add_rules(path_beneath_rules(SYSTEM, read))?
            .add_rules(path_beneath_rules(DEVICES, all))?
            .add_rules(path_beneath_rules(&files.read, read))?
            .add_rules(path_beneath_rules(own.collect::<Vec<_>>(), all))?
            .restrict_self()
    };
    enter().map(drop).map_err(|error| refused(&error))
}

fn rules(is_offline: bool) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::Signal)?;
    if is_offline {
        // There is no network in its namespace; this keeps it from sockets that it is handed, too.
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?.scope(Scope::AbstractUnixSocket)?;
    }
    rules.create()
}

fn refused(error: &RulesetError) -> String {
    format!(
        "`sandbox` needs Landlock, of Linux 6.2 or newer and not switched off, and this kernel has none ({error}): remove it, or use another kernel"
    )
}

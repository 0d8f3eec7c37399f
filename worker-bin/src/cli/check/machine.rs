//! What a node may take at worst, against what this machine has.

use super::memory;
use crate::pipeline::plan::Plan;
use crate::pipeline::{Delivery, Pipeline};
use crate::text::units::format_size;
use std::path::{Path, PathBuf};

/// What to say where this machine has less memory or disk than the node may take. At a start the disk is only worth a word where one
/// destination that stands still is enough to fill it: all at once seldom do.
pub(in crate::cli) fn warnings(
    pipeline: &Pipeline,
    plan: &Plan,
    spill_dir: &Path,
    is_start: bool,
) -> Vec<String> {
    let (memory, all) = memory::sums(plan, pipeline);
    let disk = if is_start { all.min(plan.limits.spill_bytes) } else { all };
    let dir = match (&pipeline.state_dir, pipeline.delivery) {
        (Some(dir), Delivery::ExactlyOnce) => dir.clone(),
        (Some(_) | None, _) => spill_dir.to_owned(),
    };
    let mut warnings = Vec::new();
    if let Some(has) = memory_of_machine(Path::new("/")).filter(|has| memory > *has) {
        warnings.push(format!(
            "at worst this node holds {} in memory, and there are {} here (of the machine, or by the limit of its cgroup): it \
             may be killed when destinations stand still; lower outbox, credit, max_bytes or partitions (worker check --full \
             shows the sum)",
            rounded(memory),
            rounded(has)
        ));
    }
    if let Some(has) = free(&dir).filter(|has| disk > *has) {
        warnings.push(format!(
            "{} puts {} on the disk of {}, and {} are free there: when it is full, work waits until there is \
             room; lower spill_limit or replay_limit, or use another disk (worker check --full shows the sum)",
            if is_start { "one destination that stands still" } else { "at worst this node" },
            rounded(disk),
            dir.display(),
            rounded(has)
        ));
    }
    warnings
}

/// In whole MiB, if it has any.
fn rounded(bytes: u64) -> String {
    format_size(if bytes >> 20 > 0 { bytes >> 20 << 20 } else { bytes })
}

/// The machine's memory, or less where a control group of this process has a limit.
fn memory_of_machine(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10;
    Some(limits(root).into_iter().fold(total, u64::min))
}

/// The limits of this process's control groups, of those above them, too.
fn limits(root: &Path) -> Vec<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mounted, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mounted = root.join(mounted);
        let mut group: PathBuf = mounted.join(path.trim_start_matches('/'));
        while group.starts_with(&mounted) {
            let limit = std::fs::read_to_string(group.join(file)).ok();
            // "max" is none.
            limits.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
            if !group.pop() {
                break;
            }
        }
    }
    limits
}

/// What is free on the disk of a directory, or of the nearest one above that is there.
fn free(dir: &Path) -> Option<u64> {
    let dir = std::path::absolute(dir).ok()?;
    let there = dir.ancestors().find(|dir| dir.is_dir())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_above_counts_of_both_kinds() {
        let root = tempfile::tempdir().unwrap();
        let write = |at: &str, text: &str| {
            let path = root.path().join(at);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(memory_of_machine(root.path()), None);
        write("proc/meminfo", "MemTotal:       4096 kB\nMemFree: 1 kB\n");
        assert_eq!(memory_of_machine(root.path()), Some(4 << 20));
        write("proc/self/cgroup", "0::/a/b\n4:cpu,memory:/c\n3:cpuset:/d\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(memory_of_machine(root.path()), Some(4 << 20));
        write("sys/fs/cgroup/a/memory.max", "3145728\n");
        assert_eq!(memory_of_machine(root.path()), Some(3 << 20));
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
        assert_eq!(memory_of_machine(root.path()), Some(1 << 20));
    }

    #[test]
    fn free_room_is_of_the_nearest_directory_that_is_there() {
        let root = tempfile::tempdir().unwrap();
        assert!(free(&root.path().join("not/there")).is_some_and(|free| free > 0));
    }
}

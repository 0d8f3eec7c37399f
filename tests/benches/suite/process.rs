//! What the kernel says of a process that runs.

use std::path::Path;

/// MiB of memory that a process has.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = read(&format!("/proc/{pid}/status"));
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).map(number);
    kib.unwrap_or_default() / 1024.0
}

pub(crate) fn threads(pid: u32) -> f64 {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0.0, |tasks| tasks.count() as f64)
}

/// How often threads of a process have begun to wait or were preempted.
pub(crate) fn switches(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let of_thread = |text: String| -> f64 {
        let lines = text.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        lines.map(|(_, count)| number(count)).sum()
    };
    tasks.flatten().map(|task| of_thread(read(&task.path().join("status").to_string_lossy()))).sum()
}

/// Children, whichever thread started them, and theirs.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let direct = children(pid);
    direct.iter().copied().chain(direct.iter().flat_map(|&child| descendants(child))).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_task = |task: std::fs::DirEntry| read(&task.path().join("children").to_string_lossy());
    let text: String = tasks.map(of_task).collect();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// MiB of disk that a directory's files take.
pub(crate) fn disk_mib(dir: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of_entry = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(file) if file.is_dir() => disk_mib(&entry.path()),
        Ok(file) => file.blocks() as f64 * 512.0 / f64::from(1 << 20),
        Err(_) => 0.0,
    };
    entries.map(of_entry).sum()
}

/// Empty where the process has just ended.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

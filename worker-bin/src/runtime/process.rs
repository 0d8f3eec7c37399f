//! What the system says of time and of this process.

use std::time::{SystemTime, UNIX_EPOCH};

/// Within how many microseconds a life is drawn by lot.
const LIFE_SPREAD_US: u64 = 1 << 20;

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A life that no other process has: by the clock, so that people can read it, and not by it alone, for clocks are set back and stand still.
pub(super) fn life() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX >> 1);
    clock.saturating_add(worker_journal::random_id().0 % LIFE_SPREAD_US)
}

/// What the process takes of the machine's memory, and took at most; zero where the system does not say.
pub(super) fn resident_bytes() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    (field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0))
}

//! Colours: who is who, on a light and on a dark ground.

use crate::figure::Figure;

/// Whom a bar is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    ExactlyOnce,
    /// Without a delivery that would tell, or a part of it.
    Worker,
    Other,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Memory, Self::ExactlyOnce, Self::Worker, Self::Other];

    pub(super) fn of(figure: &Figure) -> Self {
        match figure.who.as_str() {
            who if who.contains("exactly-once") => Self::ExactlyOnce,
            who if who.contains("memory") => Self::Memory,
            who if is_ours(who) => Self::Worker,
            _ => Self::Other,
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::ExactlyOnce => "once",
            Self::Worker => "worker",
            Self::Other => "other",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Memory => "worker in memory",
            Self::ExactlyOnce => "worker exactly once",
            Self::Worker => "worker, or a part of it",
            Self::Other => "others",
        }
    }
}

/// Whether somebody is the worker or a part of it, and not another program.
pub(in crate::written) fn is_ours(who: &str) -> bool {
    ["worker", "beside", "core", "journal"].iter().any(|ours| who.starts_with(ours))
}

/// Whoever looks at the picture has a light or a dark page, and says so to it.
pub(super) const STYLE: &str = "<style>
.ground{fill:#fff}.ink{fill:#1f2328}.muted{fill:#59636e}.grid{stroke:#d1d9e0}.axis{stroke:#59636e}
.memory{fill:#3373b8}.once{fill:#c26a1b}.worker{fill:#2f8162}.other{fill:#8b949e}
.limit{stroke:#cf2560}.limits{fill:#cf2560}.whisker{stroke:#1f2328}.aim{stroke:#1f2328}.pale{fill-opacity:.4}
@media (prefers-color-scheme:dark){
.ground{fill:#0d1117}.ink{fill:#e6edf3}.muted{fill:#9da7b1}.grid{stroke:#2b323b}.axis{stroke:#9da7b1}
.memory{fill:#4a94e0}.once{fill:#d98a3d}.worker{fill:#47a582}.other{fill:#6e7681}
.limit{stroke:#ff7096}.limits{fill:#ff7096}.whisker{stroke:#e6edf3}.aim{stroke:#e6edf3}.pale{fill-opacity:.45}
}
</style>
";

//! Examples that `worker init --example` writes: each is whole, small, and runs.

/// A pipeline with all that it needs.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) name: &'static str,
    /// What it shows, in a phrase.
    pub(super) about: &'static str,
    /// Names and contents; the first one is the pipeline.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// What there is to try, once it has run.
    pub(super) then: &'static str,
}

pub(super) const EXAMPLES: &[Example] = &[
    Example {
        name: "lines",
        about: "filter lines on all cores, then sum up",
        files: &[
            ("pipeline.toml", include_str!("examples/lines/pipeline.toml")),
            ("access.log", include_str!("examples/lines/access.log")),
        ],
        then: "",
    },
    Example {
        name: "csv",
        about: "CSV with a header and quoted commas, by key",
        files: &[
            ("pipeline.toml", include_str!("examples/csv/pipeline.toml")),
            ("dearest.py", include_str!("examples/csv/dearest.py")),
            ("rooms.csv", include_str!("examples/csv/rooms.csv")),
        ],
        then: "cat dearest.txt",
    },
    Example {
        name: "records",
        about: "a program with state, kept by key",
        files: &[
            ("pipeline.toml", include_str!("examples/records/pipeline.toml")),
            ("count.py", include_str!("examples/records/count.py")),
            ("visits.txt", include_str!("examples/records/visits.txt")),
        ],
        then: "cat counts.txt",
    },
    Example {
        name: "follow",
        about: "as tail -F, through rotation; goes on until it is stopped",
        files: &[
            ("pipeline.toml", include_str!("examples/follow/pipeline.toml")),
            ("app.log", include_str!("examples/follow/app.log")),
        ],
        then: "echo ERROR more >> app.log      # in another terminal, meanwhile",
    },
    Example {
        name: "exactly-once",
        about: "each record once in the result, through any crash",
        files: &[
            ("pipeline.toml", include_str!("examples/exactly-once/pipeline.toml")),
            ("price.py", include_str!("examples/exactly-once/price.py")),
            ("orders.jsonl", include_str!("examples/exactly-once/orders.jsonl")),
        ],
        then: "worker run pipeline.toml        # again: finished already",
    },
];

/// The one of this name.
pub(super) fn named(name: &str) -> Option<&'static Example> {
    EXAMPLES.iter().find(|example| example.name == name)
}

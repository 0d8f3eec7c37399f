//! The page of commands: what `--help` says of each.

use super::should_be;
use crate::cli::args::WorkerArgs;
use clap::{Command, CommandFactory};

const HEAD: &str = "\
# Commands

<!-- Written by UPDATE_DOCS=1 cargo test -p worker-bin --lib pages -->

What `worker COMMAND --help` says.
";

/// Wide enough for a sentence, narrow enough for half a screen.
const COLUMNS: usize = 100;

#[test]
fn the_page_of_commands_has_every_command() {
    let mut root = WorkerArgs::command().term_width(COLUMNS).color(clap::ColorChoice::Never);
    root.build();
    let mut page = HEAD.to_owned();
    tell(&mut root, "worker", &mut page);
    assert!(page.matches("\n## ").count() > 15, "{page}");
    should_be("reference/commands.md", &page);
}

fn tell(command: &mut Command, name: &str, page: &mut String) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    *page += &format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim());
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let name = format!("{name} {}", sub.get_name());
        tell(sub, &name, page);
    }
}

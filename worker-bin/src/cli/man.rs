//! `worker man`: manual pages, made of the same words as the help.

use super::args::WorkerArgs;
use super::exit::say;
use super::files::{self, Overwrite};
use super::print_document;
use clap::builder::Resettable;
use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `worker man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this directory, such as /usr/local/share/man/man1 [default: print that of worker]
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
}

/// The end of its help.
pub const EXAMPLES: &str = "\
Pages that are there are replaced.

Examples:
  worker man | man -l -
  worker man ~/.local/share/man/man1; man worker-run";

/// Prints or writes pages.
pub(super) fn man(args: &ManArgs) -> ExitCode {
    let mut command = WorkerArgs::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let made = pages_of(&command, "worker", &mut pages);
    let written = made.map_err(|error| format!("cannot make the pages: {error}")).and_then(|()| {
        let Some(directory) = &args.directory else { return Ok(None) };
        for (name, page) in &pages {
            let path = directory.join(format!("{name}.1"));
            files::write(&path, page, Overwrite::Replace).map_err(|error| error.to_string())?;
        }
        Ok(Some(directory))
    });
    match written {
        Ok(None) => print_document(pages.first().map_or("", |(_, page)| page)).exit_code(),
        Ok(Some(directory)) => {
            say(&format!("wrote {} pages into {}", pages.len(), directory.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The page of a command, then those of its own.
fn pages_of(command: &Command, name: &str, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    let mut page = Vec::new();
    let source = format!("worker {}", env!("CARGO_PKG_VERSION"));
    let bare = command.clone().after_help(Resettable::Reset);
    Man::new(bare).title(name.to_uppercase()).source(source).manual("worker").render(&mut page)?;
    // No date, so that the same sources give the same page; what is left out must still be a word.
    let page = String::from_utf8_lossy(&page).replacen(" 1  \"", " 1 \"\" \"", 1);
    let more = command.get_after_help().map_or_else(String::new, |help| sections(&help.to_string()));
    pages.push((name.to_owned(), page + &more));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages_of(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}

/// The end of a help as sections: examples line by line, all else as text.
fn sections(help: &str) -> String {
    let mut page = String::new();
    let mut last = "";
    for paragraph in help.split("\n\n") {
        let (title, text) = match paragraph.split_once(':') {
            Some(("Examples" | "Example", lines)) => ("EXAMPLES", lines),
            Some(("Exit status", words)) => ("EXIT STATUS", words),
            Some(_) | None => ("NOTES", paragraph),
        };
        page += &if title == last { ".PP\n".to_owned() } else { format!(".SH \"{title}\"\n") };
        let (begin, end) = if title == "EXAMPLES" { (".nf\n", ".fi\n") } else { ("", "") };
        page += begin;
        for line in text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()) {
            page +=
                &format!("{}\n", for_roff(line.strip_prefix("  ").unwrap_or(line).trim_start_matches(' ')));
        }
        page += end;
        last = title;
    }
    page
}

/// A line of text that roff takes for nothing else.
fn for_roff(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    let line = line.replace('^', "\\(ha").replace('~', "\\(ti");
    if line.starts_with('.') { format!("\\&{line}") } else { line }
}

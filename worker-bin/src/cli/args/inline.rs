//! A pipeline on the command line: its options, from their table.

use crate::pipeline::{INLINE_OPTIONS, InlineOption, InlineWord};
use crate::text::pathname;
use clap::builder::{PathBufValueParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

/// The options that describe a pipeline, in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct InlineArgs {
    pub words: Vec<InlineWord>,
}

impl Args for InlineArgs {
    fn augment_args(command: Command) -> Command {
        command.args(INLINE_OPTIONS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for InlineArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut words: Vec<(usize, InlineWord)> = Vec::new();
        for option in INLINE_OPTIONS {
            let places = matches.indices_of(option.long).into_iter().flatten();
            let values = matches.get_many::<String>(option.long).into_iter().flatten();
            words.extend(
                places.zip(values).map(|(place, value)| (place, InlineWord { option, value: value.clone() })),
            );
        }
        words.sort_by_key(|(place, _)| *place);
        Ok(Self { words: words.into_iter().map(|(_, word)| word).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn arg(option: &'static InlineOption) -> Arg {
    let arg = Arg::new(option.long)
        .long(option.long)
        .help(option.help)
        .help_heading(option.heading())
        .action(ArgAction::Append);
    let checked = |text: String| option.check(&text).map(|()| text);
    let arg = match option.value {
        // A name may have any bytes.
        Some("GLOB" | "FILE") => {
            let path = PathBufValueParser::new();
            arg.value_parser(path.try_map(move |path| checked(pathname::to_text(&path))))
        }
        Some(_) | None => arg.value_parser(move |text: &str| checked(text.to_owned())),
    };
    let arg = match option.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match option.value {
        Some(name) => arg.value_name(name).allow_negative_numbers(true).value_hint(hint(name)),
        // What stands for the value of an option without one keeps its place among the others.
        None => arg.num_args(0).default_missing_value(""),
    }
}

/// What a shell may complete, by what messages call the value.
fn hint(name: &str) -> ValueHint {
    match name {
        "GLOB" | "FILE" => ValueHint::AnyPath,
        "DIR" => ValueHint::DirPath,
        "COMMAND" => ValueHint::CommandString,
        _ => ValueHint::Other,
    }
}

//! What a program prints.

use super::{AnySource, Ending, Opened, Opening, SourceEnd, SourceError};
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::io::source::unpack::Format;
use crate::pipeline::keys::kind::End;
use crate::pipeline::keys::stage::Exits;
use crate::pipeline::keys::{Class, Key, Row, Section, WhenAbsent, Within, program};
use crate::pipeline::{At, Program, Restart, endless};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct Prints {
    pub program: Program,
    /// Exit statuses that count as success; sorted.
    pub ok_exit: Vec<u8>,
    pub restart: Restart,
}

impl Section for Prints {
    fn defaults(dir: &Path) -> Self {
        Self { program: Program::defaults(dir), ok_exit: vec![0], restart: Restart::Never }
    }
}

/// A key that all programs have.
const fn of_any_program(row: &'static dyn Row<Program>) -> Within<Prints, Program> {
    Within { row, part: |prints| &prints.program, part_mut: |prints| &mut prints.program }
}

pub(super) const KIND: End<AnySource, Prints> = End {
    keys: &[
        &of_any_program(program::KEYS[0]),
        &of_any_program(program::KEYS[1]),
        &of_any_program(program::KEYS[2]),
        &of_any_program(program::KEYS[3]),
        &of_any_program(program::KEYS[4]),
        &Key::<Prints, _> {
            name: "ok_exit",
            class: Class::Tuning,
            doc: "exit statuses that are fine: with another one a program that is a source has failed",
            value: Exits,
            when_absent: WhenAbsent::Default,
            get: |prints| prints.ok_exit.clone(),
            set: |prints, exits, _| prints.ok_exit = exits,
        },
        &Key::<Prints, _> {
            name: "restart",
            class: Class::Tuning,
            doc: "never | on-failure | always: when it is started again, after 1 s, up to 1 min if it goes on failing",
            value: program::RESTARTS,
            when_absent: WhenAbsent::Default,
            get: |prints| prints.restart,
            set: |prints, restart, _| prints.restart = restart,
        },
    ],
    make: |prints, _| Shared(Arc::new(prints)),
    of: Shared::of,
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

impl SourceEnd for Prints {
    fn describe(&self) -> String {
        format!("runs {}", shell_words::join(&self.program.argv))
    }

    fn at(&self) -> Option<&At> {
        Some(self.program.at())
    }

    fn holds(&self, _: &Path) -> Vec<Resource> {
        Vec::new()
    }

    fn local(&self) -> Option<&'static str> {
        None
    }

    fn ending(&self) -> Ending {
        let never = self.restart == Restart::Always || endless(&self.program.argv);
        if never { Ending::Never } else { Ending::Unknown }
    }

    fn may_decode(&self, _: &Path) -> Option<u64> {
        Some(Format::MEMORY_BYTES_MAX)
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        Some(
            "at a crash, what the program printed and was not in the journal yet is lost, or comes again if the \
             program repeats it when it is run again",
        )
    }

    fn program(&self) -> Option<&Program> {
        Some(&self.program)
    }

    fn open(&self, _: &Opening<'_>) -> Result<Opened, SourceError> {
        Ok(Opened::Program(Box::new(self.clone())))
    }
}

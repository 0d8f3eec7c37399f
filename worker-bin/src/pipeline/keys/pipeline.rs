//! `[pipeline]`.

use super::value::{FilePath, Maybe, Size, Value, Words};
use super::{Class, Key, Keys, Rendered, Section, WhenAbsent, row};
use crate::pipeline::delivery::Delivery;
use crate::pipeline::diagnostics::At;
use crate::pipeline::model::Pipeline;
use crate::pipeline::reader::{KeyValue, Reader, Table};
use std::path::{Path, PathBuf};

/// Limits of memory and disk, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Longest record, without its terminator.
    pub max_record_bytes: u64,
    /// What a receiver takes ahead, per link.
    pub credit_bytes: u64,
    /// What a node's links over long distances may have beyond `credit` and `outbox`, all together.
    pub shared_credit_bytes: u64,
    /// What a sender holds in memory, per link.
    pub outbox_bytes: u64,
    /// What a sender spills to disk, per link.
    pub spill_limit_bytes: u64,
    /// Where it spills; `None` is the system's temporary directory.
    pub spill_dir: Option<PathBuf>,
}

/// What `[pipeline]` says.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `None`: the file's name.
    pub(crate) name: Option<String>,
    /// What is to be promised, and where that stands if it does.
    pub(crate) delivery: (Delivery, Option<At>),
    pub(crate) budgets: Budgets,
    pub(crate) max_record_at: Option<At>,
    pub(crate) credit_at: Option<At>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            max_record_bytes: 1 << 20,
            credit_bytes: 1280 << 10,
            shared_credit_bytes: 64 << 20,
            outbox_bytes: 16 << 20,
            spill_limit_bytes: 4 << 30,
            spill_dir: None,
        }
    }
}

impl Budgets {
    /// The directory to spill to.
    #[must_use]
    pub fn spill_dir(&self) -> PathBuf {
        self.spill_dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl Section for Head {
    fn defaults(_: &Path) -> Self {
        let budgets = Budgets::default();
        Self { name: None, delivery: (Delivery::Memory, None), budgets, max_record_at: None, credit_at: None }
    }
}

pub(crate) const KEYS: Keys<Head> = &[
    &Key::<Head, _> {
        name: "name",
        class: Class::Identity,
        doc: "what it is called, in messages and in its state directory",
        value: Maybe(Name),
        when_absent: WhenAbsent::Found("the file's name"),
        get: |head| head.name.clone(),
        set: |head, name, _| head.name = name,
    },
    &Key::<Head, _> {
        name: "delivery",
        class: Class::Results,
        doc: "exactly-once | memory: whether each record counts once, through crashes and kills, or what was in work at a crash may be lost",
        value: Promise,
        when_absent: WhenAbsent::By(
            |_| (Delivery::Memory, None),
            "exactly-once with --state, memory without",
        ),
        get: |head| head.delivery.clone(),
        set: |head, delivery, at| head.delivery = (delivery.0, Some(at)),
    },
    &Key::<Head, _> {
        name: "max_record",
        class: Class::Tuning,
        doc: "the longest record: a longer one is an error, not a hang",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |head| head.budgets.max_record_bytes,
        set: |head, bytes, at| (head.budgets.max_record_bytes, head.max_record_at) = (bytes, Some(at)),
    },
    &Key::<Head, _> {
        name: "credit",
        class: Class::Tuning,
        doc: "what a receiver takes ahead, per link, whatever other links take",
        value: Size,
        when_absent: WhenAbsent::By(
            |head| credit_for(head.budgets.max_record_bytes),
            "1280KiB, or 256KiB above max_record where that is more",
        ),
        get: |head| head.budgets.credit_bytes,
        set: |head, bytes, at| (head.budgets.credit_bytes, head.credit_at) = (bytes, Some(at)),
    },
    &Key::<Head, _> {
        name: "shared_credit",
        class: Class::Tuning,
        doc: "what links of long round trips have beyond credit and outbox, by need: all of a node together",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |head| head.budgets.shared_credit_bytes,
        set: |head, bytes, _| head.budgets.shared_credit_bytes = bytes,
    },
    &Key::<Head, _> {
        name: "outbox",
        class: Class::Tuning,
        doc: "what a sender holds in memory, per link; more goes to disk, up to spill_limit",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |head| head.budgets.outbox_bytes,
        set: |head, bytes, _| head.budgets.outbox_bytes = bytes,
    },
    &Key::<Head, _> {
        name: "spill_limit",
        class: Class::Tuning,
        doc: "what a sender holds on disk, per link, beside outbox; only at this limit its task waits",
        value: Size,
        when_absent: WhenAbsent::Default,
        get: |head| head.budgets.spill_limit_bytes,
        set: |head, bytes, _| head.budgets.spill_limit_bytes = bytes,
    },
    &Key::<Head, _> {
        name: "spill_dir",
        class: Class::Tuning,
        doc: "where what is beyond outbox goes in memory delivery; exactly-once spills into the state directory",
        value: OrTemporary,
        when_absent: WhenAbsent::By(|_| None, "the system's temporary directory"),
        get: |head| head.budgets.spill_dir.clone(),
        set: |head, dir, _| head.budgets.spill_dir = dir,
    },
];

pub(crate) fn read<'d>(reader: &mut Reader<'d>, mut table: Table<'d>) -> Head {
    let mut head = Head::defaults(reader.dir);
    row::read(KEYS, reader, &mut table, &mut head);
    if head.credit_at.is_none() {
        head.budgets.credit_bytes = credit_for(head.budgets.max_record_bytes);
    }
    table.finish(reader);
    head
}

impl Pipeline {
    pub(crate) fn rendered(&self) -> Vec<Rendered> {
        let (name, delivery) = (Some(self.name.clone()), (self.delivery, self.delivery_at.clone()));
        let head =
            Head { name, delivery, budgets: self.budgets.clone(), max_record_at: None, credit_at: None };
        row::rendered(KEYS, &head, self)
    }
}

/// Credit where none is given: it takes the longest record, and as much beside it as by default.
fn credit_for(max_record_bytes: u64) -> u64 {
    let Budgets { credit_bytes, max_record_bytes: usual, .. } = Budgets::default();
    credit_bytes.max(max_record_bytes.saturating_add(credit_bytes - usual))
}

/// The name of a pipeline.
struct Name;

impl Value for Name {
    type T = String;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<String> {
        let name = reader.text(entry)?;
        crate::pipeline::read::good_name(reader, "a pipeline", &name, &entry.at()).then_some(name)
    }

    fn text(&self, name: &String, dir: &Path) -> Option<String> {
        super::value::Text.text(name, dir)
    }

    fn schema(&self) -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$|\{\{.*\}\}"})
    }
}

/// What is promised, and where it is said.
struct Promise;

impl Promise {
    const WORDS: Words<Delivery> =
        Words(&[("exactly-once", Delivery::ExactlyOnce), ("memory", Delivery::Memory)]);
}

impl Value for Promise {
    type T = (Delivery, Option<At>);

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Self::T> {
        Self::WORDS.read(reader, entry).map(|delivery| (delivery, Some(entry.at())))
    }

    fn text(&self, (delivery, _): &Self::T, dir: &Path) -> Option<String> {
        Self::WORDS.text(delivery, dir)
    }

    fn schema(&self) -> serde_json::Value {
        Self::WORDS.schema()
    }
}

/// A directory, or the system's temporary one.
struct OrTemporary;

impl Value for OrTemporary {
    type T = Option<PathBuf>;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Option<PathBuf>> {
        FilePath.read(reader, entry).map(Some)
    }

    fn text(&self, path: &Option<PathBuf>, dir: &Path) -> Option<String> {
        FilePath.text(&path.clone().unwrap_or_else(std::env::temp_dir), dir)
    }

    fn schema(&self) -> serde_json::Value {
        FilePath.schema()
    }
}

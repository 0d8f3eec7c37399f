//! `mode = "records"`: a child that is asked about each record and answers with one line of JSON.
//!
//! # What the worker writes
//!
//! One JSON object a line, UTF-8:
//!
//! - `{"hello":1,"task":"count/0","state":{"a":"3"}}` comes first: who the child is, and what it had put under each key when
//!   it was last committed. A large state comes in several such lines of about 64 KiB; all but the last say `"more":true`.
//!   Keys that are not UTF-8 stand, in base64, in `"state_b64":{…}`. It is not answered.
//! - `{"id":7,"key":"a","record":"…"}` asks about a record, without its terminator. `key` is there if the stage has
//!   `partition_by`. What is not UTF-8 comes in base64, as `record_b64` and `key_b64`. Ids count up, in the order of the
//!   input; a new child may be asked again, under another id, what another one had not answered.
//! - With `state = "inline"` the hello has no state; each request carries `"state":{"a":"3"}`, its key's value (`{}` where
//!   there is none, `state_b64` for a key that is not UTF-8). Then a key has one request in flight: the next is written
//!   when that is answered, so ids need not arrive in order.
//! - `{"id":8,"tick":1}` comes every `tick`, `{"id":9,"end":1}` behind the last record. When the end was answered, standard
//!   input is closed, and the child exits.
//!
//! Requests are pipelined: at least half of `in_flight` of them are given before an answer is waited for.
//!
//! # What the child prints
//!
//! One JSON object a line for each id, on standard output, at once (`flush`) and nothing else there:
//!
//! - `{"id":7,"emit":["…",{"key":"k","record":"…"}],"put":{"a":"3"},"del":["b"]}`; each member but `id` may be left out or
//!   null, others are ignored. An emitted record has no terminator; the worker adds it. `record_b64` and `key_b64` take
//!   any bytes. A stage partitioned by `"key"` gets the record by the `key` named, or else the request's own.
//! - `put` and `del` name only the record's own key (`put_b64`, `del_b64` name it in base64). A stage without
//!   `partition_by`, a tick and the end may name any. A value is any JSON; it is given back as it was written.
//! - `{"id":7,"fail":"why"}` makes the record a dead letter; a tick or the end cannot fail.
//! - An answer may take several lines with the same id, all but the last with `"more":true`; it counts as a whole. A line
//!   may have twice `max_record` and 4 KiB.
//!
//! Answers for different keys may come in any order, those for one key come in the order of their ids. Without keys, and
//! for a tick or the end, all earlier requests are answered before, all later ones after. Everything else is a fault of the
//! program: its process is killed, and another one is asked again what was not answered.

mod answer;
mod changes;
mod conversation;
mod effects;
mod fault;
mod hello;
mod json;
mod ledger;
mod live;
mod order;
mod request;
mod single;
mod state;

pub use conversation::{Conversation, RecordsRules};
pub use effects::Answers;
pub use live::{RecordsEvents, RecordsHandle, start_records};
pub use single::single_request;
pub use state::{KeyedState, StateError};

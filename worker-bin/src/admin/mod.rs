//! The admin address of a running worker: health, metrics, status, why, a live page, and a few orders.
//!
//! | method and path | answer | token |
//! |---|---|---|
//! | `GET /` | the live page | |
//! | `GET /livez` | 200 while the process works | |
//! | `GET /readyz` | 200; 503 with the reason while something is stalled, or the run has failed | |
//! | `GET /metrics` | Prometheus text | |
//! | `GET /api/v1/status` | a [`Snapshot`] | |
//! | `GET /api/v1/why` | an [`Explanation`] | |
//! | `GET /api/v1/pipeline` | the graph: stages, tasks and links of all nodes | |
//! | `GET /api/v1/history` | a [`History`] | |
//! | `GET /api/v1/dead` | the last dead letters, without their records | |
//! | `GET /api/v1/events` | server-sent events: `status` with [`Live`], once a second | |
//! | `GET /api/v1/tap/STAGE?side=in\|out&key=K&limit=N` | passing records, a JSON line each | yes |
//! | `POST /api/v1/stages/STAGE/pause`, `…/resume` | holds a stage's tasks of this node up, or lets them go on | yes |
//! | `POST /api/v1/stop` | an orderly stop, as by SIGTERM | yes |
//! | `POST /api/v1/stop/now` | a stop at once, as by a second SIGTERM | yes |
//! | `POST /api/v1/drain` | no new input: all that was taken is delivered, then the worker ends | yes |
//! | `POST /api/v1/drain/end` | of several nodes with state: all are drained, this one ends | yes |
//! | `PUT /api/v1/log` | the body is the new filter, such as `info` | yes |
//!
//! What changes something, or shows records, needs `Authorization: Bearer TOKEN`. The token is made at the start and is in the
//! instance's entry of the runtime directory ([`registry`]), which only its user can read; `--admin-token-file` or `WORKER_ADMIN_TOKEN`
//! sets it. Where another machine may come from, nothing but the two answers for probes is given without it ([`Access`]).
//! Where it has a certificate, TLS is spoken there and nothing else (`connections/secure`).
//! A request whose `Host` is a name that is not this machine's is refused, so that no page of another origin can read anything by
//! rebinding a name to this address; so is one whose `Origin` is another one. Few connections are open at once, none for
//! nothing (`connections`), and what was refused is counted ([`Refusals`]).

mod access;
mod address;
mod answers;
mod body;
pub mod client;
mod connections;
mod events;
mod guard;
mod listen;
mod page;
mod pages;
mod prepared;
mod refusals;
pub mod registry;
mod routes;
mod subject;
mod token;

pub use access::Access;
pub use address::Place;
pub use listen::{AdminAddress, AdminSettings, ListenError, is_of_this_machine, listen};
pub use pages::pages;
pub use refusals::Refusals;
pub use routes::serve;
pub use subject::{
    AdminCommand, Changed, DeadLetterView, Graph, GraphTask, Live, Subject, TapAsk, TapSide, Tapped,
    WaitWords,
};
pub use token::{TOKEN_VARIABLE, Token, TokenFileError, TokenPlace};

#[cfg(doc)]
use crate::explain::{Explanation, History, Snapshot};

#[cfg(test)]
mod tests;

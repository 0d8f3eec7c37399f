//! `worker why` and what tells the same story: the log, `/readyz`, the status; while it happens and after.

mod after;
mod ask;
mod chains;
mod limit;
mod mix;
mod reasons;
mod story;

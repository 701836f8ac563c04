//! Compose files as somebody uses them who follows their document: the program, a stock sshd, curl.
//!
//! Most tests run the document's file at ports of their own; those that need every word of it as it stands run on hosts
//! of their own. In place of `uvicorn` there is a small program that behaves as the examples' services do.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod callback;
mod document;
mod end;
mod environment;
mod examples;
mod heal;
mod ports;
mod readme;
mod refusal;
mod support;

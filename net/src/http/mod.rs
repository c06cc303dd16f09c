//! HTTP/1.1 without I/O.
//!
//! * [`Parser`]: bytes to [`Request`], in place; strict where leniency enables request smuggling (`facts`, `chunked`).
//! * [`response`]: answers into a byte vector.
//! * [`answer`]: bytes to an answer, as a client receives it; as strict.
//! * [`Pipeline`]: answers leave in the order of their requests, whatever order they are made in.
//! * [`target`]: the form of request targets, and percent-decoding of paths and queries.
//! * [`client`]: a small blocking client for tools and tests.
//!
//! **Bounds**: [`Limits`].

pub mod answer;
mod chunked;
pub mod client;
mod date;
mod error;
mod facts;
mod parse;
mod pipeline;
pub mod response;
pub mod target;

pub use date::HttpDate;
pub use error::HttpError;
pub use parse::{HEADERS_MAX, Head, Limits, Method, Parsed, Parser, Request, Version};
pub use pipeline::{Appended, Pipeline, RELEASED_BYTES_MAX, Released, ReplyMode, Ticket, WAITING_BYTES_MAX};

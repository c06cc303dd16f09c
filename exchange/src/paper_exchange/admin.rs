//! The admin routes of the paper exchange (`/paper/…`), for tests in other languages.

use super::exchange::PaperExchange;
use super::transport::{HttpAnswer, HttpIn};
use engine::core::ids::Timestamp;

impl PaperExchange {
    pub(super) fn admin(&mut self, _now: Timestamp, call: &HttpIn) -> HttpAnswer {
        HttpAnswer::new(404, format!(r#"{{"error":"no such route: {}"}}"#, call.path().escape_default()))
    }
}

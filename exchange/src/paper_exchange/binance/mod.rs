//! The face of Binance USD-M futures.

use std::net::IpAddr;

use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::events::Event;
use super::face::{ConnNo, Desk, Face, FaultAnswer};
use super::transport::{HttpAnswer, HttpIn};

/// See the module's contract.
#[derive(Debug)]
pub struct Binance {
    _seed: u64,
}

impl Binance {
    pub(super) fn new(seed: u64) -> Self {
        Self { _seed: seed }
    }
}

impl Face for Binance {
    fn kind_of_message(&self, _text: &str) -> String {
        String::new()
    }
    fn http(&mut self, _desk: &mut Desk<'_>, _from: IpAddr, _call: &HttpIn) -> HttpAnswer {
        HttpAnswer::new(404, "{}")
    }
    fn fault(&self, _call: &HttpIn, _fault: &FaultAnswer) -> HttpAnswer {
        HttpAnswer::new(503, "{}")
    }
    fn fault_of_message(&self, _text: &str, _fault: &FaultAnswer) -> Option<String> {
        None
    }
    fn socket_open(
        &mut self,
        _desk: &mut Desk<'_>,
        _from: IpAddr,
        _conn: ConnNo,
        _target: &str,
    ) -> Result<(), HttpAnswer> {
        Err(HttpAnswer::new(404, "{}"))
    }
    fn socket_message(&mut self, _desk: &mut Desk<'_>, _from: IpAddr, _conn: ConnNo, _text: &str) {}
    fn socket_closed(&mut self, _conn: ConnNo) {}
    fn event(&mut self, _desk: &mut Desk<'_>, _event: &Event) {}
    fn moved(&mut self, _desk: &mut Desk<'_>, _symbol: Symbol) {}
    fn tick(&mut self, _desk: &mut Desk<'_>) {}
    fn next_due(&self) -> Option<Timestamp> {
        None
    }
}

impl Binance {
    pub(super) fn expire_listen_keys(&mut self, _desk: &mut Desk<'_>) {}
}

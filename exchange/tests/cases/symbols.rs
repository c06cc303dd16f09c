//! Y: symbols that end.

use std::net::{IpAddr, Ipv4Addr};

use engine::core::instrument::InstrumentStatus;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::{CallEnd, Connector, Outgoing};
use exchange::live::pacing::{AddressBudget, Pacer};
use exchange::live::protocol::HttpReply;
use exchange::paper_exchange::transport::{HttpIn, Outcome};
use exchange::paper_exchange::{CoreSettings, PaperExchange};

use serde_json::Value;

use super::*;
use crate::world::START;

/// Sets the field in which BTCUSDT says when it ends, wherever its row is.
fn set_end(value: &mut Value, end: &str, at: u64) {
    match value {
        Value::Array(rows) => rows.iter_mut().for_each(|row| set_end(row, end, at)),
        Value::Object(fields) => {
            let is_row = fields.get("symbol").is_some_and(|name| name == BTC);
            if let Some(field) = fields.get_mut(end).filter(|_| is_row) {
                *field = if field.is_string() { at.to_string().into() } else { at.into() };
            }
            fields.values_mut().for_each(|inner| set_end(inner, end, at));
        }
        _ => {}
    }
}

/// A connector that was told the list of the paper exchange, in which `end` of BTCUSDT says `hours` from now.
fn listed<P: Spoken>(end: &str, hours: u64) -> Connector<P> {
    let mut exchange = PaperExchange::new(CoreSettings::generated(1, START), 1).unwrap();
    exchange.poll(START, &mut |_, _| {});
    let mut connector = Connector::<P>::new(Pacer::new(AddressBudget::new(P::PACING, 1).unwrap()), 1);
    for _ in 0..8 {
        connector.poll(START, 16, &mut |_| {});
        while let Some(outgoing) = connector.take_outgoing() {
            let Outgoing::Call { tag, call, .. } = outgoing else { continue };
            let request = HttpIn {
                method: call.method.to_owned(),
                target: call.target,
                headers: Vec::new(),
                body: call.body,
            };
            let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let Outcome::Answer(answer) = exchange.http(START, here, &request).what else { continue };
            let mut body: Value = serde_json::from_str(&answer.body).unwrap();
            set_end(&mut body, end, START.millis() + hours * 3_600_000);
            let body = body.to_string();
            let header = |_: &str| None;
            let reply = HttpReply { status: answer.status, header: &header, body: body.as_bytes() };
            connector.call_done(START, tag, CallEnd::Answered(reply));
        }
    }
    connector
}

#[test]
fn case_y6_a_contract_takes_closes_only_before_it_ends() {
    fn on<P: Spoken>(end: &str) {
        for (hours, status) in [(23, InstrumentStatus::CloseOnly), (25, InstrumentStatus::Trading)] {
            let connector = listed::<P>(end, hours);
            let status_of = |name| connector.instrument(symbol(name)).map(|i| i.status);
            assert_eq!(status_of(BTC), Some(status), "{hours} hours before");
            assert_eq!(status_of(ETH), Some(InstrumentStatus::Trading));
        }
    }
    on::<Binance>("deliveryDate");
    on::<Bybit>("deliveryTime");
}

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

use super::*;
use crate::world::START;

/// A connector that was told the list of the paper exchange, in which `end` of BTCUSDT says `hours` from now.
fn listed<P: Spoken>(end: &str, hours: u64) -> Connector<P> {
    let mut exchange = PaperExchange::new(CoreSettings::generated(1, START), 1).unwrap();
    exchange.poll(START, &mut |_, _| {});
    let mut connector = Connector::<P>::new(Pacer::new(AddressBudget::new(P::PACING, 1).unwrap()));
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
            let mut body = answer.body;
            if let Some(row) = body.find("\"symbol\":\"BTCUSDT\"")
                && let Some(at) = body[row..].find(end).map(|at| row + at + end.len())
            {
                let rest = body[at..].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
                let ends_at = START.millis() + hours * 3_600_000;
                body = format!("{}{ends_at}{rest}", &body[..at]);
            }
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
    on::<Binance>("\"deliveryDate\":");
    on::<Bybit>("\"deliveryTime\":\"");
}

//! Y: symbols that end.

use std::net::{IpAddr, Ipv4Addr};

use engine::core::instrument::InstrumentStatus;
use engine::core::order::VenueReason;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::{CallEnd, Connector, Outgoing};
use exchange::live::pacing::{AddressBudget, Pacer};
use exchange::live::protocol::HttpReply;
use exchange::paper_exchange::faults::{Fault, When};
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
    told(|_, body| set_end(body, end, START.millis() + hours * 3_600_000))
}

/// A connector that was told what the paper exchange answers to public questions, each changed on its way.
fn told<P: Spoken>(change: impl Fn(&str, &mut Value)) -> Connector<P> {
    let mut exchange = PaperExchange::new(CoreSettings::generated(1, START), 1).unwrap();
    exchange.poll(START, &mut |_, _| {});
    let mut connector = Connector::<P>::new(Pacer::new(AddressBudget::new(P::PACING, 1).unwrap()), 1);
    for _ in 0..32 {
        connector.poll(START, 16, &mut |_| {});
        while let Some(outgoing) = connector.take_outgoing() {
            let Outgoing::Call { tag, call, .. } = outgoing else { continue };
            let request = HttpIn {
                method: call.method.to_owned(),
                // Its pages are not those of the change.
                target: call.target.split("&cursor=").next().unwrap_or_default().to_owned(),
                headers: Vec::new(),
                body: call.body,
            };
            let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let Outcome::Answer(answer) = exchange.http(START, here, &request).what else { continue };
            let mut body: Value = serde_json::from_str(&answer.body).unwrap();
            change(&call.target, &mut body);
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

#[test]
fn case_x18_case_x19_the_list_is_read_to_its_last_page() {
    // The exchange lists a handful: here each page holds some of them, and says where the next one begins.
    let connector = told::<Bybit>(|target, body| {
        if !target.starts_with("/v5/market/instruments-info") {
            return;
        }
        let rows = body["result"]["list"].as_array().unwrap().clone();
        let begin = target.split("cursor=").nth(1).map_or(0, |at| at.parse::<usize>().unwrap());
        let end = (begin + 2).min(rows.len());
        body["result"]["list"] = rows[begin..end].to_vec().into();
        body["result"]["nextPageCursor"] =
            if end < rows.len() { end.to_string() } else { String::new() }.into();
    });
    let whole = told::<Bybit>(|_, _| {});
    let names = |of: &Connector<Bybit>| of.instruments().iter().map(|i| i.symbol).collect::<Vec<_>>();
    assert!(names(&whole).len() > 4, "more than two pages");
    assert_eq!(names(&connector), names(&whole));
}

#[test]
fn case_x20_a_symbol_that_was_refused_takes_no_opens_for_a_while_and_others_do() {
    fn on<P: Spoken>(code: i64, list: &str) {
        let mut world = ready::<P>(82, 2);
        rule_on_orders(&mut world, When::Next(1), &Fault::Code { code, executed: false });
        let listed = world.calls[list];
        world.signal(LONG, BTC);
        world.until("over or open", 20 * SECOND, |w| (0..2).all(|n| !w.user(n).final_orders.is_empty()));
        world.exchange.faults.clear();
        assert!(world.calls[list] > listed, "its state is read anew: {}", world.picture());
        world.step(10 * SECOND);
        let refused = |w: &World<P>, n: usize| {
            let last = w.user(n).final_orders.iter().rev().find(|o| o.new.id.leg == Leg::Entry);
            last.is_some_and(|o| o.reason == Some(VenueReason::Symbol))
        };
        assert!(refused(&world, 0) || refused(&world, 1), "{}", world.picture());
        // Whoever is open is closed all the same: exits are not held back.
        world.signal(SignalKind::CloseAll, BTC);
        world.until("flat", 30 * SECOND, World::is_flat);
        settled(&mut world);
        let entries =
            |w: &World<P>| at_exchange(w, 0, Leg::Entry).len() + at_exchange(w, 1, Leg::Entry).len();
        let before = entries(&world);
        world.signal(LONG, BTC);
        world.until("given up", 5 * SECOND, |w| refused(w, 0) && refused(w, 1));
        world.step(5 * SECOND);
        assert_eq!(entries(&world), before, "nothing of it was sent: {}", world.picture());
        world.signal(LONG, ETH);
        world.until("another symbol is open", 20 * SECOND, World::is_open);
        closed(&mut world);
        world.step(600 * SECOND);
        world.signal(LONG, BTC);
        world.until("open", 20 * SECOND, World::is_open);
        closed(&mut world);
    }
    on::<Binance>(-4140, "GET /fapi/v1/exchangeInfo");
    on::<Bybit>(110_074, "GET /v5/market/instruments-info");
}

//! The face of Binance USD-M futures: REST, WebSocket API, streams (EXCHANGES.md §2).
//!
//! **Owns**: listenKeys, connections, counts of limits. **Invariants**: every request passes ban, weight, key, time,
//! signature and right in this order before anything of it is looked at. **Bounds**: those of `limits` and `streams`.

mod account;
mod algo;
mod calls;
mod context;
mod errors;
mod events;
mod limits;
mod params;
mod public;
mod render;
mod routes;
mod streams;
mod trading;

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::accounts::AccountNo;
use super::core::Core;
use super::events::Event;
use super::face::{ConnNo, Desk, Face, FaultAnswer};
use super::limits::Breaches;
use super::transport::{HttpAnswer, HttpIn};
use calls::ApiConn;
use context::{Context, check_time, find_key};
use errors::ApiError;
use limits::Limits;
use params::Params;
use routes::{Orders, Route, Security};
use streams::Streams;

/// See the module's contract.
#[derive(Debug)]
pub struct Binance {
    streams: Streams,
    limits: Limits,
    calls: BTreeMap<ConnNo, ApiConn>,
}

/// What is signed, and the signature that came with it.
type Proof<'a> = (&'a [u8], Option<&'a str>);

impl Binance {
    pub(super) fn new(seed: u64) -> Self {
        Self { streams: Streams::new(seed), limits: Limits::default(), calls: BTreeMap::new() }
    }

    pub(super) fn expire_listen_keys(&mut self, desk: &mut Desk<'_>) -> usize {
        self.streams.expire_keys(desk, true)
    }

    pub(super) fn expire_listen_key(&mut self, desk: &mut Desk<'_>, account: AccountNo) {
        self.streams.expire_key_of(desk, account);
    }

    /// See [`super::PaperExchange::exhaust`].
    pub(super) fn exhaust(&mut self, now: Timestamp, account: AccountNo) -> Timestamp {
        self.limits.exhaust(now, account)
    }

    /// Works a request off. `proof` is not looked at when a session stands for it. Returns the answer and the weight used.
    fn run(
        &mut self,
        desk: &mut Desk<'_>,
        from: IpAddr,
        route: &Route,
        params: &Params,
        api_key: &str,
        proof: Option<Proof<'_>>,
    ) -> Result<(String, u64), ApiError> {
        self.limits.check_ban(desk.now, desk.core.now(), from)?;
        let used = self.limits.spend(desk.now, desk.core.now(), from, route.weight_of(params))?;
        let mut account = AccountNo(0);
        if route.security != Security::Public {
            let key = find_key(desk, api_key, from)?;
            account = key.account;
            if matches!(route.security, Security::Signed | Security::Trade) {
                check_time(params, desk.core.now())?;
                if let Some((payload, signature)) = proof {
                    let signature = signature.ok_or_else(|| ApiError::mandatory("signature"))?;
                    if !key.verifies(payload, signature) {
                        return Err(ApiError::SIGNATURE);
                    }
                }
            }
            if route.security == Security::Trade && !key.rights.trade {
                return Err(ApiError::KEY);
            }
        }
        match route.orders {
            Orders::None => {}
            Orders::One => drop(self.limits.spend_orders(desk.now, account, (1, 1))?),
            Orders::Batch => drop(self.limits.spend_orders(desk.now, account, (5, 1))?),
        }
        let mut context = Context { desk, streams: &mut self.streams, params, account, api_key };
        let answer = (route.handler)(&mut context)?;
        Ok((answer, used))
    }

    fn answer(&mut self, desk: &mut Desk<'_>, from: IpAddr, call: &HttpIn) -> Result<HttpAnswer, ApiError> {
        let route = routes::find(&call.method, call.path());
        let Some(route) = route else {
            self.limits.check_ban(desk.now, desk.core.now(), from)?;
            self.limits.spend(desk.now, desk.core.now(), from, 1)?;
            return Err(ApiError::NO_PATH);
        };
        let sent = Params::read(call.query(), &call.body)?;
        let api_key = call.header("X-MBX-APIKEY").unwrap_or_default();
        let proof = Some((sent.payload.as_slice(), sent.signature.as_deref()));
        let (body, used) = self.run(desk, from, route, &sent.params, api_key, proof)?;
        let mut answer = HttpAnswer::new(200, body).with("X-MBX-USED-WEIGHT-1M", used);
        if route.orders != Orders::None
            && let Some(account) = desk.core.key(api_key).map(|key| key.account)
        {
            let count = self.limits.orders_used(desk.now, account);
            answer = answer
                .with("X-MBX-ORDER-COUNT-10S", count.ten_seconds)
                .with("X-MBX-ORDER-COUNT-1M", count.minute);
        }
        Ok(answer)
    }

    /// Takes all that an address may ask in its minute.
    pub(super) fn spend_minute(&mut self, now: Timestamp, from: IpAddr) {
        self.limits.spend_minute(now, from);
    }
}

/// The error that a fault is answered with.
fn fault_error(fault: &FaultAnswer) -> ApiError {
    let told = |status, code, text: &str| ApiError::told(status, code, text.to_owned());
    match fault {
        FaultAnswer::Unknown => {
            told(503, -1000, "Unknown error, please check your request or try again later.")
        }
        FaultAnswer::Unavailable => told(503, -1000, "Service Unavailable."),
        FaultAnswer::Overload => told(
            503,
            -1008,
            "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.",
        ),
        FaultAnswer::Code(-1007) => told(
            408,
            -1007,
            "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        ),
        FaultAnswer::Code(-1003) => told(429, -1003, "Too many requests."),
        FaultAnswer::Code(-1021) => ApiError::TIMESTAMP,
        FaultAnswer::Code(code) => told(400, *code, "An error made by a rule of faults."),
    }
}

impl Face for Binance {
    fn kind_of_message(&self, text: &str) -> String {
        calls::method(text)
    }

    fn account_of(&self, core: &Core, call: &HttpIn) -> Option<AccountNo> {
        core.key(call.header("X-MBX-APIKEY")?).map(|key| key.account)
    }

    fn account_of_message(&self, core: &Core, conn: ConnNo, text: &str) -> Option<AccountNo> {
        core.key(&calls::key_of(text, self.calls.get(&conn))?).map(|key| key.account)
    }

    fn breaches(&self) -> Breaches {
        self.limits.breaches
    }

    fn ban(&mut self, now: Timestamp, from: IpAddr, micros: u64) {
        self.limits.ban(now, from, micros);
    }

    fn banned_until(&self, now: Timestamp, from: IpAddr) -> Option<Timestamp> {
        self.limits.banned_until(now, from)
    }

    fn http(&mut self, desk: &mut Desk<'_>, from: IpAddr, call: &HttpIn) -> HttpAnswer {
        self.answer(desk, from, call).unwrap_or_else(|error| error.answer())
    }

    fn fault(&self, _call: &HttpIn, fault: &FaultAnswer) -> HttpAnswer {
        fault_error(fault).answer()
    }

    fn fault_of_message(&self, text: &str, fault: &FaultAnswer) -> Option<String> {
        calls::fault(text, fault)
    }

    fn socket_open(
        &mut self,
        desk: &mut Desk<'_>,
        from: IpAddr,
        conn: ConnNo,
        target: &str,
    ) -> Result<(), HttpAnswer> {
        self.limits.connect(desk.now, desk.core.now(), from).map_err(|error| error.answer())?;
        if target.split('?').next().is_some_and(|path| path.starts_with("/ws-fapi/")) {
            self.limits.spend(desk.now, desk.core.now(), from, 5).map_err(|error| error.answer())?;
            self.calls.insert(conn, ApiConn::new(desk.now));
            return Ok(());
        }
        if self.streams.open(desk.now, conn, target) { Ok(()) } else { Err(ApiError::NO_PATH.answer()) }
    }

    fn socket_message(&mut self, desk: &mut Desk<'_>, from: IpAddr, conn: ConnNo, text: &str) {
        if self.streams.is_open(conn) {
            self.streams.message(desk, conn, text);
        } else if self.calls.contains_key(&conn) {
            self.call(desk, from, conn, text);
        }
    }

    fn socket_closed(&mut self, conn: ConnNo) {
        self.streams.close(conn);
        self.calls.remove(&conn);
    }

    fn event(&mut self, desk: &mut Desk<'_>, event: &Event) {
        for (name, message) in events::messages(desk.core, event) {
            self.streams.tell_account(desk, event.account, name, &message);
            while let Some(account) = desk.faults.take_expiring() {
                self.streams.expire_key_of(desk, account);
            }
        }
    }

    fn moved(&mut self, desk: &mut Desk<'_>, symbol: Symbol) {
        self.streams.moved(desk, symbol);
    }

    fn tick(&mut self, desk: &mut Desk<'_>) {
        self.streams.tick(desk);
        let over: Vec<_> =
            self.calls.iter().filter(|(_, told)| told.is_over(desk.now)).map(|(conn, _)| *conn).collect();
        for conn in over {
            self.calls.remove(&conn);
            desk.out.close(conn, 1001);
        }
        for (conn, told) in &mut self.calls {
            if told.take_ping(desk.now) {
                desk.out.ping(*conn);
            }
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let calls = self.calls.values().map(ApiConn::next_due).min();
        self.streams.next_due().into_iter().chain(calls).min()
    }
}

//! The face: which path is what, who may ask it, and how often.
//!
//! **Bounds**: [`REQUESTS_MAX`] per address and five seconds; who asks more is answered 403 for [`BAN_MICROS`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use serde_json::{Value, json};

use super::codes::{self, Refusal};
use super::fields::Fields;
use super::groups::{Group, Standing, Usage};
use super::sign::Signed;
use super::sockets::Sockets;
use super::trade::Single;
use super::{account, books, market, trade};
use crate::paper_exchange::accounts::{AccountNo, FaceKind};
use crate::paper_exchange::core::Core;
use crate::paper_exchange::events::Event;
use crate::paper_exchange::face::{ConnNo, Desk, Face, FaultAnswer};
use crate::paper_exchange::keys::{ApiKey, Rights};
use crate::paper_exchange::limits::{Bans, Breaches, Rolling};
use crate::paper_exchange::transport::{HttpAnswer, HttpIn};

/// Requests of one address within [`ADDRESS_MICROS`], over all hosts (EXCHANGES.md §3.3).
pub const REQUESTS_MAX: usize = 600;
/// The span that they are counted in.
pub const ADDRESS_MICROS: u64 = 5_000_000;
/// How long an address that asked more is shut out.
pub const BAN_MICROS: u64 = 10 * 60 * 1_000_000;

/// What a path is.
#[derive(Clone, Copy)]
enum Route {
    /// Needs no key.
    Public(fn(&Core, &Fields) -> Result<Value, Refusal>),
    /// A question of an account.
    Ask(Group, fn(&Core, AccountNo, &Fields) -> Result<Value, Refusal>),
    /// Changes something of an account.
    Act(Group, Single),
    /// Several at once.
    Batch(Group, Single),
    /// position/list, which tells the numbers of events too.
    Positions,
    /// user/query-api, which is about the key itself.
    Key,
}

/// The route of a method and a path.
fn route(method: &str, path: &str) -> Option<Route> {
    use Route::{Ask, Public};
    let get = match path {
        "/v5/market/time" => Public(|core, _| Ok(market::time(core))),
        "/v5/market/instruments-info" => Public(market::instruments),
        "/v5/market/tickers" => Public(market::tickers),
        "/v5/market/kline" => Public(market::kline),
        "/v5/market/orderbook" => Public(market::orderbook),
        "/v5/market/risk-limit" => Public(market::risk_limit),
        "/v5/market/funding/history" => Public(market::funding_history),
        "/v5/order/realtime" => Ask(Group::Realtime, trade::realtime),
        "/v5/order/history" => Ask(Group::History, trade::history),
        "/v5/execution/list" => Ask(Group::Executions, trade::executions),
        "/v5/position/list" => Route::Positions,
        "/v5/position/symbol-info" => Ask(Group::Positions, account::symbol_info),
        "/v5/position/closed-pnl" => Ask(Group::ClosedPnl, books::closed_pnl),
        "/v5/account/info" => Ask(Group::AccountInfo, account::info),
        "/v5/account/wallet-balance" => Ask(Group::Wallet, account::wallet_balance),
        "/v5/account/fee-rate" => Ask(Group::FeeRate, |core, _, fields| market::fee_rate(core, fields)),
        "/v5/account/transaction-log" => Ask(Group::Transactions, books::transactions),
        "/v5/account/instruments-info" => {
            Ask(Group::AccountInstruments, |core, _, fields| market::instruments(core, fields))
        }
        "/v5/user/query-api" => Route::Key,
        path if path.starts_with("/v5/asset/") => Ask(Group::Asset, account::asset),
        _ => return post(method, path),
    };
    (method == "GET").then_some(get)
}

fn post(method: &str, path: &str) -> Option<Route> {
    use Route::{Act, Batch};
    let post = match path {
        "/v5/order/create" => Act(Group::Create, trade::create),
        "/v5/order/amend" => Act(Group::Amend, trade::amend),
        "/v5/order/cancel" => Act(Group::Cancel, trade::cancel),
        "/v5/order/cancel-all" => Act(Group::CancelAll, trade::cancel_all),
        "/v5/order/create-batch" => Batch(Group::CreateBatch, trade::create),
        "/v5/order/amend-batch" => Batch(Group::AmendBatch, trade::amend),
        "/v5/order/cancel-batch" => Batch(Group::CancelBatch, trade::cancel),
        "/v5/position/set-leverage" => Act(Group::Leverage, account::set_leverage),
        "/v5/position/switch-mode" => Act(Group::SwitchMode, account::switch_mode),
        "/v5/position/switch-isolated" => Act(Group::SwitchMode, account::switch_isolated),
        "/v5/position/trading-stop" => Act(Group::TradingStop, account::trading_stop),
        "/v5/account/set-margin-mode" => Act(Group::MarginMode, account::set_margin_mode),
        _ => return None,
    };
    (method == "POST").then_some(post)
}

/// What came of a request: a result and what goes beside it.
type Reply = Result<(Value, Value), Refusal>;

/// See the module's contract.
#[derive(Debug)]
pub struct Bybit {
    usage: Usage,
    addresses: Rolling<IpAddr>,
    bans: Bans<IpAddr>,
    sockets: Sockets,
    /// Number of the newest event of each account and symbol.
    seqs: BTreeMap<(AccountNo, Symbol), u64>,
    traced: u64,
    /// What addresses asked beyond their limit, and while they were shut out.
    breaches: Breaches,
}

impl Bybit {
    /// A face that nobody has used; the seed makes the ids of its connections.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            usage: Usage::default(),
            addresses: Rolling::new(ADDRESS_MICROS, REQUESTS_MAX),
            bans: Bans::default(),
            sockets: Sockets::new(seed),
            seqs: BTreeMap::new(),
            traced: 0,
            breaches: Breaches::default(),
        }
    }

    /// See [`crate::paper_exchange::PaperExchange::exhaust`].
    pub fn exhaust(&mut self, now: Timestamp, account: AccountNo) -> Timestamp {
        self.usage.exhaust(account, now)
    }

    /// Whether this address may ask now; counts the request.
    fn admits(&mut self, now: Timestamp, from: IpAddr) -> bool {
        if self.bans.until(now, &from).is_some() {
            self.breaches.while_banned += 1;
            return false;
        }
        let fits = self.addresses.spend(now, &from).fits;
        if !fits {
            self.breaches.of_addresses += 1;
            self.bans.ban(now, &from, BAN_MICROS, 1, BAN_MICROS);
        }
        fits
    }

    fn public(core: &Core, call: &HttpIn, ask: fn(&Core, &Fields) -> Result<Value, Refusal>) -> Reply {
        let fields = Fields::of_query(call.query())?;
        Ok((ask(core, &fields)?, json!({})))
    }

    /// A signed request: who it is, then what.
    fn signed(
        &mut self,
        desk: &mut Desk<'_>,
        from: IpAddr,
        call: &HttpIn,
        route: Route,
        standing: &mut Option<Standing>,
    ) -> Reply {
        let get = call.method == "GET";
        let signed = Signed::read(|name| call.header(name))?;
        let payload = if get { call.query().as_bytes() } else { &call.body };
        let key = usable_key(desk.core, signed.key, from)?;
        signed.in_time(desk.core.now().millis())?;
        let origin = signed.origin(payload);
        if !key.verifies(&origin, signed.signature) {
            return Err(Refusal::signature(&String::from_utf8_lossy(&origin)));
        }
        let (no, rights) = (key.account, key.rights);
        if matches!(route, Route::Act(..) | Route::Batch(..)) && !may_trade(rights) {
            return Err(codes::PERMISSION);
        }
        let mut take = |group, count| {
            let (taken, told) = self.usage.take(no, group, count, desk.now);
            *standing = Some(told);
            taken
        };
        let read = || if get { Fields::of_query(call.query()) } else { Fields::of_json(&call.body) };
        if let Route::Batch(group, single) = route {
            let items = trade::batch_items(&read()?)?;
            let taken = take(group, items.len());
            return Ok(trade::batch(desk.core, no, &items, taken, single));
        }
        let group = match route {
            Route::Ask(group, _) | Route::Act(group, _) | Route::Batch(group, _) => group,
            Route::Positions => Group::Positions,
            Route::Key | Route::Public(_) => Group::Key,
        };
        if take(group, 1) == 0 {
            return Err(codes::TOO_MANY);
        }
        let fields = read()?;
        let result = match route {
            Route::Ask(_, ask) => ask(desk.core, no, &fields)?,
            Route::Act(_, act) | Route::Batch(_, act) => act(desk.core, no, &fields)?,
            Route::Positions => {
                let seq = |symbol| self.seqs.get(&(no, symbol)).copied().unwrap_or(0);
                account::positions(desk.core, no, &fields, seq)?
            }
            Route::Key => account::key(desk.core, signed.key, usable_key(desk.core, signed.key, from)?),
            Route::Public(ask) => ask(desk.core, &fields)?,
        };
        Ok((result, json!({})))
    }
}

/// The key of this name, when it is one of this exchange and may be used from there now.
///
/// # Errors
/// 10003, 33004, 10010.
pub(super) fn usable_key<'a>(core: &'a Core, name: &str, from: IpAddr) -> Result<&'a ApiKey, Refusal> {
    let key = core.key(name).ok_or(codes::KEY)?;
    let ours = core.account(key.account).is_some_and(|account| account.face == FaceKind::Bybit);
    if !ours {
        return Err(codes::KEY);
    }
    if key.expires_at.is_some_and(|end| core.now() >= end) {
        return Err(codes::EXPIRED);
    }
    if !key.addresses.is_empty() && !key.addresses.contains(&from) {
        return Err(codes::ADDRESS);
    }
    Ok(key)
}

/// Whether a key may place orders.
pub(super) const fn may_trade(rights: Rights) -> bool {
    rights.trade
}

/// The envelope of every answer.
fn envelope(reply: Reply, now_ms: u64) -> String {
    let (code, text, result, ext) = match reply {
        Ok((result, ext)) => (0, "OK".into(), result, ext),
        Err(refused) => (refused.code, refused.text, json!({}), json!({})),
    };
    json!({ "retCode": code, "retMsg": text, "result": result, "retExtInfo": ext, "time": now_ms })
        .to_string()
}

/// What an address is answered that asked too often (EXCHANGES.md §3.3).
fn too_frequent(now_ms: u64) -> HttpAnswer {
    let refused = Refusal::fixed(10018, "access too frequent. Exceeded the IP Rate Limit.");
    HttpAnswer::new(403, envelope(Err(refused), now_ms))
}

impl Face for Bybit {
    fn kind_of_message(&self, text: &str) -> String {
        super::frames::Frame::read(text).map_or_else(|_| String::new(), |frame| frame.op)
    }

    fn account_of(&self, core: &Core, call: &HttpIn) -> Option<AccountNo> {
        core.key(call.header("X-BAPI-API-KEY")?).map(|key| key.account)
    }

    fn account_of_message(&self, _core: &Core, conn: ConnNo, _text: &str) -> Option<AccountNo> {
        self.sockets.account_of(conn)
    }

    fn breaches(&self) -> Breaches {
        let (sockets, messages) = self.sockets.refused();
        Breaches {
            of_addresses: self.breaches.of_addresses + messages,
            of_accounts: self.usage.refused,
            of_sockets: sockets,
            ..self.breaches
        }
    }

    fn ban(&mut self, now: Timestamp, from: IpAddr, micros: u64) {
        self.bans.ban(now, &from, micros, 1, micros);
    }

    fn banned_until(&self, now: Timestamp, from: IpAddr) -> Option<Timestamp> {
        self.bans.until(now, &from)
    }

    fn http(&mut self, desk: &mut Desk<'_>, from: IpAddr, call: &HttpIn) -> HttpAnswer {
        let now_ms = desk.core.now().millis();
        if !self.admits(desk.now, from) {
            return too_frequent(now_ms);
        }
        let Some(route) = route(&call.method, call.path()) else {
            return HttpAnswer::new(404, "{}");
        };
        let mut standing = None;
        let reply = match route {
            Route::Public(ask) => Self::public(desk.core, call, ask),
            route => self.signed(desk, from, call, route, &mut standing),
        };
        self.traced += 1;
        let answer = HttpAnswer::new(200, envelope(reply, now_ms))
            .with("Timenow", now_ms)
            .with("Traceid", format_args!("{:016x}", self.traced));
        match standing {
            None => answer,
            Some(told) => answer
                .with("X-Bapi-Limit", told.limit)
                .with("X-Bapi-Limit-Status", told.left)
                .with("X-Bapi-Limit-Reset-Timestamp", told.reset_at.millis()),
        }
    }

    fn fault(&self, _call: &HttpIn, fault: &FaultAnswer) -> HttpAnswer {
        match fault {
            FaultAnswer::Unavailable => HttpAnswer::new(503, ""),
            FaultAnswer::Overload => HttpAnswer::new(429, envelope(Err(codes::SYSTEM_BUSY), 0)),
            FaultAnswer::Unknown => HttpAnswer::new(200, envelope(Err(codes::TIMEOUT), 0)),
            FaultAnswer::Code(code) => HttpAnswer::new(200, envelope(Err(codes::of_code(*code)), 0)),
        }
    }

    fn fault_of_message(&self, text: &str, fault: &FaultAnswer) -> Option<String> {
        let refused = match fault {
            FaultAnswer::Unavailable => codes::RESTARTING,
            FaultAnswer::Overload => codes::SYSTEM_BUSY,
            FaultAnswer::Unknown => codes::TIMEOUT,
            FaultAnswer::Code(code) => codes::of_code(*code),
        };
        Some(super::entry::refused(text, &refused))
    }

    fn socket_open(
        &mut self,
        desk: &mut Desk<'_>,
        from: IpAddr,
        conn: ConnNo,
        target: &str,
    ) -> Result<(), HttpAnswer> {
        if self.bans.until(desk.now, &from).is_some() {
            self.breaches.while_banned += 1;
            return Err(too_frequent(desk.core.now().millis()));
        }
        self.sockets.open(desk.now, from, conn, target)
    }

    fn socket_message(&mut self, desk: &mut Desk<'_>, from: IpAddr, conn: ConnNo, text: &str) {
        self.sockets.message(desk, &mut self.usage, from, conn, text);
    }

    fn socket_closed(&mut self, conn: ConnNo) {
        self.sockets.closed(conn);
    }

    fn event(&mut self, desk: &mut Desk<'_>, event: &Event) {
        if let Some(symbol) = event.what.symbol() {
            self.seqs.insert((event.account, symbol), event.seq);
        }
        self.sockets.event(desk, event);
    }

    fn moved(&mut self, desk: &mut Desk<'_>, symbol: Symbol) {
        self.sockets.moved(desk, symbol);
    }

    fn tick(&mut self, desk: &mut Desk<'_>) {
        self.sockets.tick(desk);
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.sockets.next_due()
    }
}

//! The paper exchange as a transport sees it: requests and WebSockets in, answers and messages out.
//!
//! **Invariants**: a call is worked off at once; only its answer may be due later. Events are handed to their face after
//! every call and every price, in their order. **Bounds**: [`CONNECTIONS_MAX`] WebSockets; those of its parts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::core::ids::Timestamp;

use super::accounts::{AccountNo, FaceKind};
use super::binance::Binance;
use super::bybit::Bybit;
use super::core::{Core, CoreSettings, Oddity};
use super::face::{ConnNo, Desk, Face, Outbox};
use super::faults::{Faults, RequestFault, Whose};
use super::limits::Breaches;
use super::transport::{HttpAnswer, HttpIn, HttpOut, Outcome, SocketOut};
use crate::paper::SetupError;

/// WebSockets at once.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Pieces of the market's work between two looks at the rest.
const ADVANCE_BUDGET: usize = 4_096;

/// See the module's contract.
pub struct PaperExchange {
    /// The exchange without a protocol.
    pub core: Core,
    /// The faults in force.
    pub faults: Faults,
    binance: Binance,
    bybit: Bybit,
    out: Outbox,
    sockets: BTreeMap<ConnNo, (FaceKind, IpAddr)>,
}

/// Splits the parts so that a face can work with the others.
macro_rules! with_face {
    ($self:ident, $kind:expr, $now:expr, |$face:ident, $desk:ident| $body:expr) => {{
        let PaperExchange { core, faults, binance, bybit, out, .. } = $self;
        let $face: &mut dyn Face = match $kind {
            FaceKind::Binance => binance,
            FaceKind::Bybit => bybit,
        };
        let $desk = &mut Desk { core, out, faults, now: $now };
        $body
    }};
}

impl PaperExchange {
    /// An exchange without accounts; the seed decides about faults by chance.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(settings: CoreSettings, seed: u64) -> Result<Self, SetupError> {
        Ok(Self {
            core: Core::new(settings)?,
            faults: Faults::new(seed),
            binance: Binance::new(seed),
            bybit: Bybit::new(seed),
            out: Outbox::default(),
            sockets: BTreeMap::new(),
        })
    }

    fn set_time(&mut self, now: Timestamp) {
        self.core.set_time(now);
        self.out.set_time(now);
    }

    /// Answers a request.
    pub fn http(&mut self, now: Timestamp, from: IpAddr, call: &HttpIn) -> HttpOut {
        self.set_time(now);
        let at = |at, what| HttpOut { at, what };
        if call.path().starts_with("/paper/") {
            let answer = self.admin(now, from, call);
            self.settle(now);
            return at(now, Outcome::Answer(answer));
        }
        let Some(kind) = face_of(call.path()) else {
            return at(
                now,
                Outcome::Answer(HttpAnswer::new(404, r#"{"code":-5000,"msg":"Path does not exist"}"#)),
            );
        };
        let word = with_face!(self, kind, now, |face, _desk| face.kind(call));
        let account = if self.faults.is_empty() {
            None
        } else {
            with_face!(self, kind, now, |face, desk| face.account_of(desk.core, call))
        };
        let fault = self.faults.of_request(&word, Whose { face: kind, account });
        let (executed, delay_ms) = match &fault {
            Some(RequestFault::Answer { executed, .. } | RequestFault::Lost { executed }) => (*executed, 0),
            Some(RequestFault::Latency { ms }) => (true, *ms),
            Some(_) | None => (true, 0),
        };
        self.disturb(now, account, fault.as_ref());
        let answer = executed.then(|| with_face!(self, kind, now, |face, desk| face.http(desk, from, call)));
        self.core.set_time(now);
        self.settle(now);
        let what = match (fault, answer) {
            (Some(RequestFault::Lost { .. }), _) => Outcome::Drop,
            (Some(RequestFault::Answer { with, .. }), _) => {
                Outcome::Answer(with_face!(self, kind, now, |face, _desk| face.fault(call, &with)))
            }
            (_, Some(answer)) => Outcome::Answer(answer),
            (_, None) => Outcome::Drop,
        };
        at(now.plus_micros(delay_ms.saturating_mul(1_000)), what)
    }

    /// Opens a WebSocket; `conn` must be a number that is not in use.
    ///
    /// # Errors
    /// What is answered instead.
    pub fn socket_open(
        &mut self,
        now: Timestamp,
        conn: ConnNo,
        from: IpAddr,
        target: &str,
    ) -> Result<(), HttpAnswer> {
        self.set_time(now);
        let path = target.split('?').next().unwrap_or_default();
        let kind = face_of(path).ok_or_else(|| HttpAnswer::new(404, "{}"))?;
        if self.sockets.len() >= CONNECTIONS_MAX {
            return Err(HttpAnswer::new(503, "{}"));
        }
        with_face!(self, kind, now, |face, desk| face.socket_open(desk, from, conn, target))?;
        self.sockets.insert(conn, (kind, from));
        self.settle(now);
        Ok(())
    }

    /// A text message came over a WebSocket.
    pub fn socket_message(&mut self, now: Timestamp, conn: ConnNo, text: &str) {
        self.set_time(now);
        let Some((kind, from)) = self.sockets.get(&conn).copied() else { return };
        let word = with_face!(self, kind, now, |face, _desk| face.kind_of_message(text));
        let account = if self.faults.is_empty() {
            None
        } else {
            with_face!(self, kind, now, |face, desk| face.account_of_message(desk.core, conn, text))
        };
        let fault = self.faults.of_request(&word, Whose { face: kind, account });
        let executed = match &fault {
            Some(RequestFault::Answer { executed, .. } | RequestFault::Lost { executed }) => {
                self.out.muted = Some(conn);
                *executed
            }
            Some(RequestFault::Latency { ms }) => {
                self.out.delay_micros = ms.saturating_mul(1_000);
                true
            }
            Some(_) | None => true,
        };
        self.disturb(now, account, fault.as_ref());
        if executed {
            with_face!(self, kind, now, |face, desk| face.socket_message(desk, from, conn, text));
        }
        self.core.set_time(now);
        self.out.muted = None;
        self.out.delay_micros = 0;
        match fault {
            Some(RequestFault::Lost { .. }) => self.out.break_off(conn),
            Some(RequestFault::Answer { with, .. }) => {
                let answer = with_face!(self, kind, now, |face, _desk| face.fault_of_message(text, &with));
                if let Some(answer) = answer {
                    self.out.answer(conn, answer);
                }
            }
            Some(_) | None => {}
        }
        self.settle(now);
    }

    /// What a rule does to the exchange before a request of this account is worked off. A skewed clock lasts until the time is set
    /// again, and so does what else is odd.
    fn disturb(&mut self, now: Timestamp, account: Option<AccountNo>, fault: Option<&RequestFault>) {
        match (fault, account) {
            (Some(RequestFault::Skew { ms }), _) => drop(self.core.set_time_off(now, *ms)),
            (Some(RequestFault::StayTriggering), _) => self.core.oddity = Some(Oddity::StayTriggering),
            (Some(RequestFault::ForgetEnded), _) => self.core.oddity = Some(Oddity::ForgetEnded),
            (Some(RequestFault::ExpireListenKey), Some(account)) => {
                let PaperExchange { core, faults, binance, out, .. } = self;
                binance.expire_listen_key(&mut Desk { core, out, faults, now }, account);
            }
            _ => {}
        }
    }

    /// A WebSocket has ended, in whatever way.
    pub fn socket_closed(&mut self, conn: ConnNo) {
        let Some((kind, _)) = self.sockets.remove(&conn) else { return };
        match kind {
            FaceKind::Binance => self.binance.socket_closed(conn),
            FaceKind::Bybit => self.bybit.socket_closed(conn),
        }
        self.out.forget(conn);
    }

    /// Plays the market as far as it is due and hands out what is due on WebSockets. True when more is due at once.
    pub fn poll(&mut self, now: Timestamp, sink: &mut impl FnMut(ConnNo, SocketOut)) -> bool {
        self.set_time(now);
        let more = self.core.advance(now, ADVANCE_BUDGET);
        self.settle(now);
        for kind in [FaceKind::Binance, FaceKind::Bybit] {
            with_face!(self, kind, now, |face, desk| face.tick(desk));
        }
        while let Some((conn, out)) = self.out.take_due(now) {
            sink(conn, out);
        }
        more
    }

    /// When [`PaperExchange::poll`] has something to do even if nothing arrives.
    #[must_use]
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let faces = self.binance.next_due().into_iter().chain(self.bybit.next_due());
        faces.chain(self.core.next_due(now)).chain(self.out.next_due()).min()
    }

    /// Hands what happened to the faces.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(event) = self.core.take_event() {
            let kind = self.core.account(event.account).map_or(FaceKind::Binance, |account| account.face);
            with_face!(self, kind, now, |face, desk| face.event(desk, &event));
        }
        for symbol in self.core.take_moved() {
            for kind in [FaceKind::Binance, FaceKind::Bybit] {
                with_face!(self, kind, now, |face, desk| face.moved(desk, symbol));
            }
        }
    }

    /// How often limits of a protocol were exceeded so far.
    #[must_use]
    pub fn breaches(&self, of: FaceKind) -> Breaches {
        match of {
            FaceKind::Binance => self.binance.breaches(),
            FaceKind::Bybit => self.bybit.breaches(),
        }
    }

    /// Shuts an address out of a protocol for so long, in microseconds, as if it had gone on beyond a limit: 418 with the end on
    /// Binance, 403 without one on Bybit.
    pub fn ban(&mut self, now: Timestamp, of: FaceKind, from: IpAddr, micros: u64) {
        match of {
            FaceKind::Binance => self.binance.ban(now, from, micros),
            FaceKind::Bybit => self.bybit.ban(now, from, micros),
        }
    }

    /// Takes all that Binance allows an address in its minute, as another program there would.
    pub fn spend_minute(&mut self, now: Timestamp, from: IpAddr) {
        self.binance.spend_minute(now, from);
    }

    /// Until when an address is shut out of a protocol, for whatever reason; `None`: it is not.
    #[must_use]
    pub fn banned_until(&self, now: Timestamp, of: FaceKind, from: IpAddr) -> Option<Timestamp> {
        match of {
            FaceKind::Binance => self.binance.banned_until(now, from),
            FaceKind::Bybit => self.bybit.banned_until(now, from),
        }
    }

    /// Takes all that an account may order within its window, as another program of its user would: 300 orders of 10 s on Binance, each
    /// second's orders on Bybit. What it asks then is refused (-1015, 10006) until the moment that is returned.
    pub fn exhaust(&mut self, now: Timestamp, of: FaceKind, account: AccountNo) -> Timestamp {
        match of {
            FaceKind::Binance => self.binance.exhaust(now, account),
            FaceKind::Bybit => self.bybit.exhaust(now, account),
        }
    }

    /// Ends all of Binance's listenKeys at once: their streams are told. How many there were.
    pub fn expire_listen_keys(&mut self, now: Timestamp) -> usize {
        self.set_time(now);
        let PaperExchange { core, faults, binance, out, .. } = self;
        binance.expire_listen_keys(&mut Desk { core, out, faults, now })
    }
}

/// Whose path it is.
fn face_of(path: &str) -> Option<FaceKind> {
    let begins = |prefixes: &[&str]| {
        prefixes.iter().any(|prefix| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    const BINANCE: [&str; 11] = [
        "/fapi", "/sapi", "/dapi", "/api", "/papi", "/ws-fapi", "/private", "/public", "/market", "/ws",
        "/stream",
    ];
    if begins(&["/v5"]) {
        Some(FaceKind::Bybit)
    } else if begins(&BINANCE) {
        Some(FaceKind::Binance)
    } else {
        None
    }
}

//! One shard's state and the model, told the same commands; a market whose prices and filters the steps change.

use std::collections::{BTreeMap, BTreeSet};

use api::sim::model::{Model, Seen};
use engine::core::apply::apply_record;
use engine::core::command::{Command, Refusal, Reply};
use engine::core::decide::{Context, decide};
use engine::core::event::{Event, Record};
use engine::core::fixed::{Money, Price};
use engine::core::ids::{SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::{Brackets, Instrument, InstrumentStatus, MarketView, Quote, Symbol};
use engine::core::order::VenueReport;
use engine::core::rules::{Rules, SECOND, Settings, Sizing};
use engine::core::state::State;
use engine::core::user::{OutcomeKind, User, VenueKind};
use engine::shard::calendar::ZoneCalendar;

/// The symbols that are listed at first, with their first prices in units.
pub const SYMBOLS: [(&str, i64); 3] =
    [("BTCUSDT", 2_000_000_000_000), ("ETHUSDT", 150_000_000_000), ("1000PEPEUSDT", 123_400)];

/// Who trades, where they live, and the wallets of their two accounts.
const TRADERS: [(&str, &str, [i64; 2]); 4] = [
    ("ana@example.com", "Europe/Berlin", [10_000, 3_000]),
    ("bia@example.com", "America/Sao_Paulo", [500, 3_000]),
    ("caio@example.com", "Asia/Kathmandu", [1_000_000_000, 40]),
    ("duda@example.com", "", [20, 250_000]),
];

/// A symbol.
pub fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("a symbol")
}

/// Instruments and marks.
#[derive(Default)]
pub struct Market {
    pub listed: BTreeMap<Symbol, (Instrument, Option<Price>)>,
}

impl MarketView for Market {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.listed.get(&symbol).map(|(instrument, _)| instrument)
    }
    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.listed.get(&symbol)?.1.map(|mark| Quote { mark })
    }
}

/// What an exchange would list for one of [`SYMBOLS`].
pub fn instrument(name: &str) -> Instrument {
    let (tick, step, max, notional) = match name {
        "BTCUSDT" => ("0.1", "0.001", "120", "100"),
        "ETHUSDT" => ("0.01", "0.001", "2000", "20"),
        _ => ("0.0000001", "1", "80000000", "5"),
    };
    Instrument {
        symbol: symbol(name),
        status: InstrumentStatus::Trading,
        tick: tick.parse().expect("a price"),
        step: step.parse().expect("a quantity"),
        quantity_min: step.parse().expect("a quantity"),
        quantity_max_limit: max.parse().expect("a quantity"),
        quantity_max_market: max.parse().expect("a quantity"),
        notional_min: notional.parse().expect("an amount"),
        leverage_max: 75,
        maintenance: "0.0065".parse().expect("a rate"),
        brackets: Brackets::NONE,
        fee_taker: "0.0005".parse().expect("a rate"),
        fee_maker: "0.0002".parse().expect("a rate"),
        fee_liquidation: "0.0125".parse().expect("a rate"),
    }
}

/// See the file's header.
pub struct World {
    pub state: State,
    pub model: Model,
    pub rules: Rules,
    pub market: Market,
    pub now: Timestamp,
    pub publisher: UserId,
    pub traders: Vec<UserId>,
    pub signals: Vec<SignalId>,
    pub told: Vec<VenueReport>,
    /// Names of the events, refusals, skips and close reasons that were seen.
    pub happened: BTreeSet<String>,
    /// Whether the user is compared after each command, and not only with everybody.
    pub compares_each: bool,
    calendar: ZoneCalendar,
}

fn first_word(text: &str) -> String {
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

impl World {
    /// A publisher with two sources, and traders with two accounts each who subscribe to both.
    pub fn new() -> Self {
        let rules =
            Rules { cooldown: 60 * SECOND, source_opens_max: 8, login_failures_max: 3, ..Rules::default() };
        let publisher = UserId::from_email("publisher@example.com");
        let mut world = Self {
            state: State::default(),
            model: Model::new(rules.clone()),
            rules,
            market: Market::default(),
            // Noon of the day before Berlin's clocks change, 2023-03-25, UTC.
            now: Timestamp(1_679_745_600 * SECOND),
            publisher,
            traders: Vec::new(),
            signals: Vec::new(),
            told: Vec::new(),
            happened: BTreeSet::new(),
            compares_each: true,
            calendar: ZoneCalendar::default(),
        };
        for (name, price) in SYMBOLS {
            world.market.listed.insert(symbol(name), (instrument(name), Some(Price::from_units(price))));
        }
        let sign_up = |email: &str, zone: &str| Command::SignUp {
            email: email.into(),
            password: "$argon2id$".into(),
            zone: zone.into(),
        };
        world.run(&sign_up("publisher@example.com", "UTC")).expect("new");
        for name in ["trend", "swing"] {
            let secret = [7; 32];
            world.run(&Command::CreateSource { user: publisher, name: name.into(), secret }).expect("new");
        }
        for (at, (email, zone, wallets)) in TRADERS.into_iter().enumerate() {
            let user = UserId::from_email(email);
            world.traders.push(user);
            world.run(&sign_up(email, zone)).expect("new");
            for wallet in wallets {
                let wallet = Some(Money::from_whole(wallet));
                world.run(&Command::OpenAccount { user, venue: VenueKind::Paper, wallet }).expect("new");
            }
            for index in 0..2 {
                let source = SourceId { owner: publisher, index };
                let sizing = if at == 0 {
                    Settings::default().sizing
                } else {
                    Sizing::FixedNotional(Money::from_whole(300))
                };
                let settings = Settings { sizing, reverse: at % 2 == 0, ..Settings::default() };
                world.run(&Command::Subscribe { user, source, account: index, settings }).expect("new");
            }
        }
        world
    }

    pub fn user(&self, id: UserId) -> &User {
        self.state.by_id(id).expect("signed up")
    }

    /// The core decides and applies; the model predicts; the two are compared.
    pub fn run(&mut self, command: &Command) -> Result<Reply, Refusal> {
        let cx =
            Context { now: self.now, rules: &self.rules, market: &self.market, calendar: &self.calendar };
        let about = match command {
            Command::Offer { at, .. } => Some(self.state.user(*at).id),
            other => other.user(),
        };
        let mut events = Vec::new();
        let decided = decide(&self.state, &cx, command, &mut events);
        let outcome = decided.map(|(_, reply)| reply);
        let seen = Seen { now: self.now, command, user_of_offer: about, market: &self.market };
        let expected = self.model.step(&seen);
        if let Err(difference) = Model::matches(&expected, &events, &outcome) {
            panic!("{command:?}\n{difference}\nthe core's events: {events:#?}");
        }
        assert_eq!(expected.user, decided.ok().map(|(user, _)| user), "whom {command:?} is about");
        self.happened.extend(events.iter().map(|event| first_word(&format!("{event:?}"))));
        let word = match outcome {
            Ok(reply) => first_word(&format!("{reply:?}")),
            Err(refusal) => refusal.code().to_owned(),
        };
        self.happened.insert(word);
        if let Ok((user, _)) = decided
            && !events.is_empty()
        {
            self.note(&events);
            apply_record(&mut self.state, &Record { user, at: self.now, events: events.clone() });
        }
        if let Some(user) = about.filter(|_| self.compares_each).and_then(|id| self.state.by_id(id)) {
            if let Some(difference) = self.model.differs(user) {
                panic!("{command:?}\n{difference}\nthe core's events: {events:#?}");
            }
            self.model.check_user(user.id).unwrap_or_else(|what| panic!("{command:?}\n{what}"));
        }
        outcome
    }

    /// Keeps in mind why positions were closed and opens skipped.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Skipped { reason, .. } => self.happened.insert(reason.as_str().to_owned()),
                Event::PositionClosed { reason, charge, .. } => {
                    for (name, part) in [("from real", charge.real), ("owed", charge.debt)] {
                        if part.is_positive() {
                            self.happened.insert(name.to_owned());
                        }
                    }
                    self.happened.insert(reason.as_str().to_owned())
                }
                _ => false,
            };
        }
    }

    /// Everybody, whoever the last command was about.
    pub fn compare_all(&mut self) {
        assert_eq!(self.model.users().count(), self.state.users().len(), "as many users");
        for user in self.state.users() {
            assert_eq!(self.model.differs(user), None);
            let kinds = user.outcomes.iter().map(|outcome| match outcome.kind {
                OutcomeKind::Skipped(_) => "line: skipped".to_owned(),
                kind => format!("line: {}", first_word(&format!("{kind:?}"))),
            });
            self.happened.extend(kinds);
            for (name, history) in [
                ("many final orders", user.final_orders.len()),
                ("many closed positions", user.closed_positions.len()),
                ("many lines", user.outcomes.len()),
            ] {
                if history == 64 {
                    self.happened.insert(name.to_owned());
                }
            }
        }
        self.model.invariants().expect("the model's own invariants");
    }
}

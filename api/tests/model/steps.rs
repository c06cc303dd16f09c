//! Random steps: what people, sources, timers and a venue may do, sensible and not.

use engine::core::command::{Command, Reply, SignalDraft};
use engine::core::event::Latch;
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, SourceId, Timestamp, UserId};
use engine::core::instrument::{Brackets, InstrumentStatus};
use engine::core::ledger::Currency;
use engine::core::rules::{SECOND, Settings, Sizing};
use engine::core::signal::{FanOutCounts, SignalKind};
use engine::core::user::VenueKind;

use super::dice::Dice;
use super::venue::{answer, live_order, tell_again_or_nonsense, venue_by_itself};
use super::world::{SYMBOLS, World, instrument, symbol};

/// One step of this seed.
pub fn step(world: &mut World, seed: u64) {
    let mut dice = Dice(seed);
    let dice = &mut dice;
    match dice.below(100) {
        0..5 => wait(world, dice),
        5..9 => market(world, dice),
        9..18 => signal(world, dice),
        18..30 => offer(world, dice),
        30..66 => answer(world, dice),
        66..70 => tell_again_or_nonsense(world, dice),
        70..74 => venue_by_itself(world, dice),
        74..84 => close(world, dice),
        84..91 => timers(world, dice),
        91..95 => subscription(world, dice),
        _ => desk(world, dice),
    }
}

/// Time passes: some seconds, hours or a day, or up to an instant at which something ends, or just past it.
fn wait(world: &mut World, dice: &mut Dice) {
    if dice.one_in(3) {
        let user = world.user(dice.pick(&world.traders));
        let publisher = world.user(world.publisher);
        let signals = || publisher.sources.iter().flat_map(|source| source.signals.iter().rev().take(3));
        let keys = publisher.sources.iter().flat_map(|source| source.seen.values().map(|seen| seen.until));
        let mut ends: Vec<Timestamp> = signals().map(|s| s.signal.expires_at).chain(keys).collect();
        ends.extend(publisher.sources.iter().map(|s| s.window_start.plus_micros(world.rules.source_window)));
        ends.extend(user.cooldowns.iter().map(|(_, _, until)| *until));
        ends.extend(user.accounts.iter().flat_map(|a| [a.day_ends_at, a.loss_latch_until]));
        ends.extend(user.sessions.iter().map(|session| session.expires_at).chain([user.locked_until]));
        let day = world.now.plus_micros(90_000 * SECOND);
        ends.retain(|end| *end > world.now && *end < day);
        if let Some(end) = dice.pick_from(&ends) {
            world.now = end.plus_micros(u64::from(dice.one_in(3)));
            return;
        }
    }
    let seconds =
        if dice.one_in(6) { dice.pick(&[8_000, 90_000]) } else { dice.pick(&[1, 4, 7, 20, 70, 130]) };
    world.now = world.now.plus_micros(seconds * SECOND + dice.next() % SECOND);
}

fn market(world: &mut World, dice: &mut Dice) {
    let (name, base) = dice.pick(&SYMBOLS);
    let again = dice.one_in(4);
    let Some((listed, mark)) = world.market.listed.get_mut(&symbol(name)).filter(|_| !again) else {
        let mark = Some(Price::from_units(base));
        world.market.listed.insert(symbol(name), (instrument(name), mark));
        return;
    };
    match dice.below(42) {
        0..28 => {
            let tick = listed.tick.units();
            *mark = Some(Price::from_units(base / 1_000 * dice.within(900, 1_100) / tick * tick));
        }
        28 => *mark = None,
        29..31 => listed.status = dice.pick(&[InstrumentStatus::CloseOnly, InstrumentStatus::Halted]),
        31 => listed.quantity_max_market = Quantity::from_units(listed.step.units() * dice.within(1, 3_000)),
        32 => listed.step = Quantity::from_units(listed.step.units() * 10),
        33 => listed.leverage_max = dice.small(8) + 1,
        34 => listed.notional_min = Money::from_whole(dice.within(1, 400)),
        35 => listed.tick = Price::from_units(dice.within(1, 9) * listed.tick.units()),
        36 => listed.maintenance = Rate::from_units(dice.within(0, 10_000_000)),
        37 => {
            world.market.listed.remove(&symbol(name));
        }
        38..40 => listed.brackets = brackets(dice),
        _ => {
            world.rules.halted = dice.one_in(5);
            world.rules.leverage_max = dice.pick(&[10, 10, 4]);
            world.model.set_rules(world.rules.clone());
        }
    }
}

/// None, or a few whose caps and rates rise, and whose leverage falls.
fn brackets(dice: &mut Dice) -> Brackets {
    let (mut cap, mut leverage, mut rate) = (0, dice.small(60) + 10, dice.within(0, 2_000_000));
    Brackets::of((0..dice.below(5)).map(|_| {
        cap += dice.within(1, 2_000_000_000_000) * dice.pick(&[1, 1, 20]);
        leverage = leverage - leverage / 3;
        rate += dice.within(0, 2_000_000);
        (Money::from_units(cap), leverage, Rate::from_units(rate))
    }))
}

fn source(world: &World, dice: &mut Dice) -> SourceId {
    SourceId { owner: world.publisher, index: u8::from(dice.one_in(3)) + 7 * u8::from(dice.one_in(50)) }
}

fn kind(dice: &mut Dice) -> SignalKind {
    let strong = dice.one_in(4);
    match dice.below(9) {
        0..3 => SignalKind::OpenLong { strong },
        3..6 => SignalKind::OpenShort { strong },
        6 => SignalKind::CloseLong,
        7 => SignalKind::CloseShort,
        _ => SignalKind::CloseAll,
    }
}

fn signal(world: &mut World, dice: &mut Dice) {
    let (name, base) = if dice.one_in(40) { ("XYZUSDT", 1_000) } else { dice.pick(&SYMBOLS) };
    let mut key = [0; 16];
    let number = dice.next() % (2 * world.signals.len() as u64 + 100);
    key[..8].copy_from_slice(&number.to_le_bytes());
    let mut priced = |one_in, low, high| {
        let level = Price::from_units(base / 1_000 * dice.within(low, high) + dice.within(0, 7));
        dice.one_in(one_in).then_some(level)
    };
    let (stop_loss, take_profit) = (priced(5, 850, 1_150), priced(6, 930, 1_070));
    let age = dice.next() % 45;
    let draft = SignalDraft {
        kind: kind(dice),
        symbol: symbol(name),
        price: None,
        leverage: dice.one_in(5).then(|| dice.small(20)),
        stop_loss,
        take_profit,
        at: dice.one_in(3).then(|| Timestamp(world.now.0 + 10 * SECOND - age * SECOND)),
        key,
        key_is_lasting: !number.is_multiple_of(3),
        body: "ação ".repeat(dice.below(400)),
    };
    let to_all = !dice.one_in(3);
    let command = Command::Signal { source: source(world, dice), draft: Box::new(draft) };
    if let Ok(Reply::Signal { id, repeat: false }) = world.run(&command) {
        world.signals.push(id);
        if to_all {
            for user in world.traders.clone() {
                offer_to(world, dice, user, world.signals.len() - 1);
            }
            if !dice.one_in(3) {
                let counts = FanOutCounts { users: 4, intents: 3, skipped: 1 };
                world.run(&Command::FinishSignal { signal: id, counts }).expect("known");
            }
        }
    }
}

fn offer_to(world: &mut World, dice: &mut Dice, user: UserId, place: usize) {
    let id = world.signals[place];
    let source = world.state.source(id.source).expect("it accepted signals");
    let Some(kept) = source.signal(id.number) else { return };
    let command = Command::Offer {
        at: world.state.find(user).expect("signed up"),
        signal: kept.signal,
        superseded: kept.superseded_by.is_some() || dice.one_in(60),
        source_halted: source.halted,
    };
    world.run(&command).expect("an offer is never refused");
}

/// Mostly the newest signals to anybody, in any order; at times a signal is finished.
fn offer(world: &mut World, dice: &mut Dice) {
    let back = dice.below(6) + 1;
    let Some(place) = world.signals.len().checked_sub(back) else { return };
    if dice.one_in(6) {
        let counts = FanOutCounts { users: dice.small(9).into(), intents: 1, skipped: 2 };
        let mut signal = if dice.one_in(2) { world.signals[place] } else { dice.pick(&world.signals) };
        if dice.one_in(20) {
            signal.source.index = 9;
        }
        let _ = world.run(&Command::FinishSignal { signal, counts });
    } else {
        let user = dice.pick(&world.traders);
        offer_to(world, dice, user, place);
    }
}

fn close(world: &mut World, dice: &mut Dice) {
    let user = dice.pick(&world.traders);
    let positions: Vec<_> = world.user(user).positions.iter().map(|p| (p.account, p.symbol)).collect();
    let anywhere = (dice.small(3), symbol(dice.pick(&SYMBOLS).0));
    let known = if dice.one_in(5) { None } else { dice.pick_from(&positions) };
    let (account, symbol) = known.unwrap_or(anywhere);
    let _ = world.run(&Command::ClosePosition { user, account, symbol });
}

fn timers(world: &mut World, dice: &mut Dice) {
    let user = dice.pick(&world.traders);
    let which = dice.below(5);
    if which == 0 {
        if let Some(order) = live_order(world, dice) {
            world.run(&Command::OrderUnanswered { id: order.new.id }).expect("never refused");
        }
        return;
    }
    if which == 1 {
        let waiting: Vec<_> = world.user(user).reversals.iter().map(|signal| signal.id).collect();
        let anything = dice.pick_from(&world.signals);
        if let Some(signal) = dice.pick_from(&waiting).or(anything) {
            world.run(&Command::Reconsider { user, signal }).expect("never refused");
        }
        return;
    }
    let positions: Vec<_> = world.user(user).positions.iter().map(|p| (p.account, p.signal)).collect();
    let Some((index, position)) = dice.pick_from(&positions) else { return };
    let account = AccountId { user, index };
    let command = if which == 2 {
        Command::CheckProtection { account, position }
    } else {
        Command::DriveClose { account, position }
    };
    world.run(&command).expect("never refused");
}

fn subscription(world: &mut World, dice: &mut Dice) {
    let user = dice.pick(&world.traders);
    let source = source(world, dice);
    if dice.one_in(12) {
        let _ = world.run(&Command::Unsubscribe { user, source });
        return;
    }
    let amount = Money::from_whole(dice.within(0, 900) * dice.pick(&[1, 1, 50]));
    let sizing = match dice.below(6) {
        0 => Sizing::PercentOfBalance(Rate::from_units(dice.within(9_900_000, 50_100_000))),
        1 => Sizing::PercentOfBalance(Rate::from_units(50_000_000)),
        2 => Sizing::FixedMargin(amount),
        3 => Sizing::RiskToStop(amount),
        _ => Sizing::FixedNotional(amount),
    };
    let maximum = |dice: &mut Dice| dice.one_in(5).then(|| Money::from_whole(dice.within(0, 2_000)));
    let listed = ["BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "XYZUSDT"];
    let settings = Settings {
        sizing,
        leverage: dice.small(11).max(dice.small(2)),
        stop_multiplier: Rate::from_units(dice.within(199_000_000, 401_000_000)),
        take_profit_multiplier: Rate::from_units(dice.within(298_000_000, 602_000_000)),
        trade_max: maximum(dice),
        exposure_max: maximum(dice),
        symbols: (0..dice.below(12).saturating_sub(9)).map(|_| symbol(dice.pick(&listed))).collect(),
        reverse: dice.one_in(2),
    };
    let account = if dice.one_in(12) { 5 } else { dice.small(2) };
    let _ = world.run(&Command::Subscribe { user, source, account, settings });
}

/// What people do at the desk.
fn desk(world: &mut World, dice: &mut Dice) {
    let strangers = [UserId(5), UserId::from_email("new1@example.com")];
    let user = if dice.one_in(10) { dice.pick(&strangers) } else { dice.pick(&world.traders) };
    let token = [dice.small(6); 32];
    let command = match dice.below(16) {
        0 => Command::SignUp {
            email: dice
                .pick(&[
                    "new1@example.com",
                    " New1@Example.com",
                    "new2@example.com",
                    "a b@c.de",
                    "a@b",
                    "@c.de",
                    "a@@c.de",
                ])
                .into(),
            password: "$argon2id$".into(),
            zone: dice.pick(&["", "UTC", "Europe/Berlin", "Mars/Olympus"]).into(),
        },
        1..3 => Command::OpenSession { user, token },
        3 => Command::CloseSession { user, token },
        4..7 => Command::FailLogin { user },
        7 => {
            let wallet = dice.pick(&[None, Some(0), Some(70), Some(1_000_000_000), Some(1_000_000_001)]);
            let venue = if dice.one_in(4) { VenueKind::Bybit } else { VenueKind::Paper };
            Command::OpenAccount { user, venue, wallet: wallet.map(Money::from_whole) }
        }
        8 => {
            let name = dice.pick(&["trend", " x ", "", "a\nb"]).repeat(dice.pick(&[1, 1, 40]));
            Command::CreateSource { user: dice.pick(&[user, world.publisher]), name, secret: token }
        }
        9..11 => Command::SetHalt { user, latch: Latch::User, on: dice.one_in(8) },
        11 => {
            let latch = Latch::Source(dice.small(4));
            Command::SetHalt { user: world.publisher, latch, on: dice.one_in(8) }
        }
        _ => {
            let currency = if dice.one_in(4) { Currency::Brl } else { Currency::PaperUsdt };
            let amount = dice.pick(&[0, 1, 5_000_000_000, 99_999_999_999, i64::MAX]);
            let number = world.state.by_id(user).map_or(1, |u| u.recharges) + u64::from(!dice.one_in(4));
            Command::Recharge { user, number, currency, amount: Money::from_units(amount) }
        }
    };
    let again = matches!(
        command,
        Command::FailLogin { .. } | Command::OpenAccount { .. } | Command::CreateSource { .. }
    );
    for _ in 0..=if again { dice.below(5) } else { 0 } {
        let _ = world.run(&command);
    }
}

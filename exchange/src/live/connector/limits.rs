//! The bounds of a connector, each with the reason of its number.

use crate::live::marks::{MARK_AGE_MAX, SYMBOLS_MAX, TURN_SPAN};

/// Accounts of one connector on one shard: 10,000 users on one node, all on one shard, twice over.
pub const ACCOUNTS_MAX: usize = 20_000;
/// Requests that wait to be sent; more are refused with `Busy`. A fan-out to all accounts three times over.
pub const JOBS_MAX: usize = 65_536;
/// Of these, how many are kept for everything but opening orders.
pub const JOBS_RESERVED: usize = 16_384;
/// Orders of an account that are followed: both exchanges allow fewer than this (EXCHANGES.md §2.3: 200, §3.4: 500 a symbol).
pub const ORDERS_MAX: usize = 512;
/// Orders of an account whose end was told and that are still recognised when something comes late.
pub const ENDED_KEPT: usize = 64;
/// How often the fills of an entry that is over are read when something is held that nothing explains: pauses of
/// [`QUERY_PAUSES`] in between, for lists of fills may be behind those of positions.
pub const LATE_LOOKS: u8 = 3;
/// So many entries that are over are asked about when something is held that nothing explains, the newest: each costs the address a
/// few requests, and a user who trades by hand beside us makes such a difference with every trade.
pub const LATE_DOUBTED_MAX: usize = 8;
/// The same when the exchange has told of such a fill: some minutes, then it is seen as what nobody explains.
pub const LATE_LOOKS_SURE: u8 = 64;
/// Executions of orders that are not known (yet), per account: a trigger's order may be told before the trigger's end.
pub const ORPHANS_MAX: usize = 64;
/// Executions by others that are remembered so that one told twice counts once, per account.
pub const OTHERS_KEPT: usize = 256;
/// Requests that prepare accounts for entries, queued or under way at once: few of them stand before a comparison in rotation or
/// take the place of a call, and at 50 ms for an answer they still use up what the budgets give them.
pub const PREPARING_MAX: usize = 8;
/// Accounts that one turn looks at for something to prepare: the shard has other work.
pub const PREPARING_LOOKS: usize = 256;
/// Pages of one list that are read: beyond it a cursor does not end, and the list counts as failed.
pub const PAGES_MAX: u32 = 64;
/// Listen keys on one private connection (EXCHANGES.md §2.3: at most 1,024 streams): they are named in its target, and servers
/// take about 8 KiB of one.
pub const KEYS_PER_SOCKET: usize = 32;
/// So many private streams of a size are joined into one: accounts that come one by one then have few connections, and each of them
/// moves, and is compared for that, once for each time that its stream becomes four times as large.
pub const STREAMS_ALIKE: usize = 4;
/// Listen keys are collected for so long before a connection for them is opened.
pub const KEYS_SPAN: u64 = SECOND / 2;

/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// A request without an answer after this counts as unanswered: the exchange takes a request for 5 s (recvWindow).
pub const ANSWER_SPAN: u64 = 6 * SECOND;
/// The same for an exit: a position may be without a stop for 5 s only, and what is asked about after this can still be sent again.
pub const EXIT_ANSWER_SPAN: u64 = 2 * SECOND;
/// A question about an account without an answer after this is asked again: who asks may be waiting to protect a position. Lists
/// that reach far back, of funding and of what explains a difference, have [`ANSWER_SPAN`].
pub const READ_SPAN: u64 = SECOND * 3 / 2;
/// An order that the exchange does not know this long after the last byte of it may have left never arrived: twice the
/// window in which the exchange takes a request (EXCHANGES.md §2.2, §3.2; CASES.md U8).
pub const NEVER_ARRIVED_SPAN: u64 = 10 * SECOND;
/// The same of an entry while something is held on its symbol that nothing explains: it may be the entry's. A question that
/// goes wrong for so long is not to be expected, and what somebody else opened then must not block the symbol for ever.
pub const NEVER_ARRIVED_DOUBT_SPAN: u64 = 300 * SECOND;
/// A trigger that the exchange has taken may be unknown to its questions for tens of seconds; only after this does "not
/// found" say anything (CASES.md O7).
pub const TRIGGER_VISIBLE_SPAN: u64 = 60 * SECOND;
/// Pauses between the questions about an order of unknown outcome (EXCHANGES.md §2.8).
pub const QUERY_PAUSES: [u64; 5] = [SECOND / 5, SECOND / 2, SECOND, 2 * SECOND, 5 * SECOND];
/// How often an entry that surely did not happen is sent again (EXCHANGES.md §2.8); the pauses are those of `pacing::retry`.
pub const ENTRY_RETRIES: usize = 3;
/// The pause before something that does no harm twice is asked again.
pub const AGAIN_PAUSE: u64 = SECOND * 2 / 5;
/// An exit that the exchange does not know this long after the last byte of it may have left is sent again, with the same id.
pub const RESEND_EXIT_SPAN: u64 = SECOND / 2;
/// The same of one beside which more is open, where both copies could be executed, once its position has no stop and no list of
/// positions shows what the first one did: with the time that it then takes, a position is closed within its 5 s (DOMAIN.md §2).
pub const RESEND_BARE_SPAN: u64 = 3 * SECOND;
/// Nothing is taken any more this long after it was signed: the window in which the exchange takes a request, and the error of
/// the clocks (EXCHANGES.md §2.2).
pub const TAKEN_SPAN: u64 = 6 * SECOND;
/// An exit that the exchange does not know while its position is smaller than it should be is asked about for so long before the
/// engine decides on another: an order is visible some seconds after it at the latest (CASES.md U8).
pub const CLOSED_DOUBT_SPAN: u64 = 30 * SECOND;
/// How often an exit is sent again before the engine is told that it never arrived and decides on another.
pub const EXIT_RESENDS: usize = 32;
/// A trigger that the exchange says is firing, and that after this still is, became nothing: its position is the engine's to close.
/// Fired ones become an order within milliseconds; some answers long.
pub const FIRING_SPAN: u64 = 2 * SECOND;
/// The same when no question about it is answered: the span within which a position is protected or closed (DOMAIN.md §2).
pub const FIRING_DOUBT_SPAN: u64 = 5 * SECOND;
/// How often the exchange may not know the order that a trigger became, with none of its executions to be found, before it counts
/// as one that was filled with nothing: half a minute, with the pauses of [`QUERY_PAUSES`].
pub const UNSEEN_MAX: u32 = 8;
/// A trigger that is gone from its position (Bybit) is set again for so long before the engine is told: the 5 s within which a
/// position is protected or closed (DOMAIN.md §2) begin with that. Some answers long.
pub const RESET_SPAN: u64 = SECOND;
/// A live order or a fill that the stream should have told is asked about after this.
pub const STREAM_PATIENCE: u64 = SECOND;
/// An entry is not sent later than this after it was handed over: the validity of a signal (DOMAIN.md §1).
pub const ENTRY_SPAN: u64 = 120 * SECOND;
/// An execution of an unknown order is taken for somebody else's after this.
pub const ORPHAN_SPAN: u64 = 2 * SECOND;
/// Each account is compared with the exchange this often, as far as the budget allows (DOMAIN.md §2).
pub const ROTATION_SPAN: u64 = 300 * SECOND;
/// A difference that executions do not explain is believed after so many looks at them ...
pub const UNEXPLAINED_LOOKS: u8 = 2;
/// ... or after so many that failed: what cannot be read keeps no position open in the books.
pub const UNEXPLAINED_FAILURES: u8 = 15;
/// How far the exchange's clock, as it is known here, may be from that of its executions, in milliseconds.
pub const SETTLED_MARGIN_MS: u64 = 2_000;
/// How far back executions and funding are read at most, in milliseconds: Binance tells three months of them (EXCHANGES.md
/// §2.4), less some days to be inside for certain. Whoever was away for longer is told what is held, not how it came about.
pub const LOOK_BACK_MS: u64 = 85 * 24 * 3_600_000;
/// How far back executions are read at least: the clocks of both sides, and what was told late.
pub const LOOK_BACK_MIN_MS: u64 = 600_000;
/// How much older than an order its executions may seem: what the clocks of both sides are apart, with room.
pub const ORDER_AGE_MARGIN_MS: u64 = 60_000;
/// Funding that cannot be read is asked for again after 2 s, doubling up to this: its question is among the dearest.
pub const FUNDING_PAUSE_MAX: u64 = 900 * SECOND;
/// How far the exchange's times of a fill and of a settlement may be apart where they are the same.
pub const CLOCKS_APART: u64 = 60 * SECOND;
/// Pause between those looks.
pub const UNEXPLAINED_PAUSE: u64 = 2 * SECOND;
/// A listen key lives 60 minutes; it is kept at half of it (EXCHANGES.md §2.7).
pub const LISTEN_KEY_SPAN: u64 = 1_800 * SECOND;
/// A socket is replaced before the exchange ends it after 24 h (EXCHANGES.md §2.3).
pub const SOCKET_AGE_MAX: u64 = 82_800 * SECOND;
/// A stream whose successor does not tell after this is ended without one.
pub const SUCCESSOR_SPAN: u64 = 60 * SECOND;
/// Signs of life that the client has to send (EXCHANGES.md §3.2: every 20 s).
pub const HEARTBEAT_SPAN: u64 = 18 * SECOND;
/// A log-in without an answer after this is never answered.
pub const LOGIN_SPAN: u64 = 10 * SECOND;
/// An order that was acknowledged and of which the private stream has told nothing after this was not told at all: streams
/// tell within milliseconds, and what is withheld for some seconds (an overloaded exchange) is no loss.
pub const STREAM_TELLS_SPAN: u64 = 4 * SECOND;
/// An account whose stream is suspect is compared this often, until its stream tells something.
pub const SUSPECT_SPAN: u64 = 30 * SECOND;
/// A stream that is suspect is opened anew at most this often: new sockets are counted.
pub const RENEW_SPAN: u64 = 120 * SECOND;
/// Pauses before a socket is opened again: 0.5 s, doubling, at most this.
pub const REOPEN_PAUSE_MAX: u64 = 60 * SECOND;
/// The same for one that was refused: its pauses double up to this. New sockets are counted (EXCHANGES.md §3.2), and what a key
/// may do is not changed by asking often; the account is compared meanwhile.
pub const REFUSED_PAUSE_MAX: u64 = 300 * SECOND;
/// What only a user can mend is looked at again after this ...
pub const MEND_PAUSE_FIRST: u64 = 2 * SECOND;
/// ... doubling up to this: a thousand accounts whose keys are dead then cost Binance's address some 500 of its 2,400 a minute,
/// and who mends something finds it working within a quarter of an hour.
pub const MEND_PAUSE_MAX: u64 = 900 * SECOND;
/// The same for one that holds something: as soon as it can be seen again, its stop has to be looked for.
pub const MEND_PAUSE_HELD_MAX: u64 = 15 * SECOND;
/// The pauses before a cancel that was not taken goes again: [`AGAIN_PAUSE`], doubling, at most this. The engine repeats a cancel
/// every 10 s; what the exchange refuses must not use up the budgets that closes need.
pub const CANCEL_PAUSE_MAX: u64 = 15 * SECOND;
/// Mark prices are asked for this often while no stream gives them.
pub const MARKS_SPAN: u64 = 3 * SECOND;
/// The same while a stream tells only of what changed: a price that stands still would look old.
pub const MARKS_SWEEP_SPAN: u64 = 5 * SECOND;
/// How often the feed of prices is looked at: a stream that falls silent is noticed within [`STREAM_SILENT_SPAN`] and this.
pub const FEED_LOOK: u64 = SECOND / 2;
/// A public stream that has told nothing for so long does not tell: two of the messages that come each second are missing.
pub const STREAM_SILENT_SPAN: u64 = 5 * SECOND / 2;
/// Public sockets of a connector: with 500 symbols each more than a board of prices holds, and no loop of opening them.
pub const FEED_SOCKETS_MAX: usize = 6;
/// A connector that has got no price for so long lets another try: before prices are too old to be used.
pub const FEED_FRUITLESS_SPAN: u64 = 8 * SECOND;
/// How far an event's time may be from the exchange's clock before one of them is doubted: twice what both exchanges allow us.
pub const FEED_AHEAD_MAX: u64 = 2 * SECOND;
/// The clock is not measured more often than this for such a doubt.
pub const DOUBT_SPAN: u64 = 10 * SECOND;
/// How much newer than the price that is held a list has to be, in milliseconds: the time of a list is that of its answer
/// (Bybit), and its prices may be that much older.
pub const LIST_LAG_MS: u64 = 1_000;
/// How often in a row a page of brackets is asked for before the reading begins anew.
pub const PAGE_TRIES: u32 = 5;
/// A page of brackets that was asked for so long ago is not under way any more.
pub const BRACKETS_STALE: u64 = 600 * SECOND;
/// What is listed is read again this often.
pub const INSTRUMENTS_SPAN: u64 = 3_600 * SECOND;
/// Only closes are taken this long before a contract ends (CASES.md Y6).
pub const CLOSE_ONLY_SPAN: u64 = 24 * 3_600 * SECOND;
/// The exchange's clock is read this often.
pub const CLOCK_SPAN: u64 = 60 * SECOND;
/// A key's rights and end are read this often.
pub const KEY_SPAN: u64 = 24 * 3_600 * SECOND;
/// The pause before something that is prepared ahead is tried again.
pub const PREPARE_AGAIN: u64 = 10 * SECOND;
/// A public question that failed is asked again after this.
pub const PUBLIC_RETRY: u64 = 2 * SECOND;

const _: () = assert!(JOBS_RESERVED < JOBS_MAX, "opens have places too");
const _: () =
    assert!(STREAM_TELLS_SPAN > STREAM_PATIENCE, "an order is asked about before its stream is blamed");
const _: () = assert!(
    SUSPECT_SPAN < RENEW_SPAN && RENEW_SPAN < ROTATION_SPAN,
    "what is suspect is looked at more often"
);
const _: () = assert!(NEVER_ARRIVED_SPAN > ANSWER_SPAN, "an order is not given up while its answer may come");
const _: () = assert!(RESET_SPAN < ANSWER_SPAN, "an unanswered request is not waited for without a stop");
const _: () =
    assert!(FIRING_SPAN > STREAM_PATIENCE && FIRING_SPAN < FIRING_DOUBT_SPAN, "it is asked about first");
const _: () = assert!(MARKS_SPAN * 3 < MARK_AGE_MAX, "two lost answers do not make prices stale");
const _: () = assert!(
    STREAM_SILENT_SPAN + FEED_LOOK + MARKS_SPAN + ANSWER_SPAN < MARK_AGE_MAX,
    "when a stream falls silent, the list is there before prices are stale, even if its first answer is lost"
);
const _: () =
    assert!(MARKS_SWEEP_SPAN * 2 < MARK_AGE_MAX, "one lost answer does not make a quiet price stale");
const _: () = assert!(
    FEED_FRUITLESS_SPAN + 2 * FEED_LOOK + ANSWER_SPAN <= MARK_AGE_MAX,
    "another connector has asked before prices are stale"
);
const _: () = assert!(6 * FEED_LOOK <= TURN_SPAN, "a turn is renewed in time");
const _: () = assert!(FEED_SOCKETS_MAX * 500 > SYMBOLS_MAX, "every symbol has a socket");

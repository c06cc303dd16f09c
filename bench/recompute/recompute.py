"""Recomputes a demo run from the price file, the users' settings and the rules alone.

    recompute.py PRICES AUDIT [--funding FILE]

PRICES is what `coinbitclub demo --market` played, AUDIT what `--audit` wrote. Written from DOMAIN.md (sections 2 and 3) and
docs/paper-venue.md, not from the Rust code. What the server did (orders, positions, balances) is only compared with, to the last
unit of 1e-8. Integers throughout; a number is a count of 1e-8. Prints totals and the first differences; exits with 1 on any.
"""

import csv
import json
import sys
from decimal import ROUND_HALF_EVEN, Decimal

UNIT = 10**8
FEE = 50_000
SHARE = 20_000_000
PREPAID = 1_000 * UNIT
EIGHT_HOURS = 8 * 3_600_000
# docs/paper-venue.md, Instruments: tick, step (also the smallest quantity), largest market order, smallest notional,
# highest leverage, maintenance.
INSTRUMENTS = {
    "BTCUSDT": ("0.1", "0.001", 120, 100, 125, "0.004"),
    "ETHUSDT": ("0.01", "0.001", 2_000, 20, 125, "0.004"),
    "XRPUSDT": ("0.0001", "0.1", 2_000_000, 5, 100, "0.005"),
}


def units(text):
    return int((Decimal(text) * UNIT).to_integral_value(rounding=ROUND_HALF_EVEN))


def text(n):
    return format(Decimal(n) / UNIT, "f")


def half_even(numerator, denominator):
    floor, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return floor + (1 if twice > denominator or (twice == denominator and floor % 2) else 0)


def up(numerator, denominator):
    return -(-numerator // denominator)


def notional(price, quantity):
    return half_even(price * quantity, UNIT)


def part(amount, rate):
    return half_even(amount * rate, UNIT)


def on_tick(price, tick):
    """The nearest multiple of the tick, half a tick up."""
    return (2 * price + tick) // (2 * tick) * tick


def ticks(path, tick):
    """The market as (time in ms, price, whether the price moved there continuously)."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if "quantity" in rows[0]:
        return [(int(row["time_ms"]), on_tick(units(row["price"]), tick), False) for row in rows]
    times = [int(row["time_ms"]) for row in rows]
    spans = [b - a for a, b in zip(times, times[1:])]
    span = min(spans) if spans else 60_000
    market = []
    for t, row in zip(times, rows):
        o, h, l, c = (on_tick(units(row[name]), tick) for name in ("open", "high", "low", "close"))
        way = (l, h, c) if units(row["close"]) >= units(row["open"]) else (h, l, c)
        market.append((t, o, False))
        market += [(t + d, p, True) for d, p in zip((span // 3, 2 * span // 3, span - 1), way)]
    return market


class Funding:
    def __init__(self, path):
        self.rows = []
        if path:
            with open(path, newline="") as file:
                for row in csv.DictReader(file):
                    self.rows.append((int(row["time_ms"]) // 60_000 * 60_000, units(row["funding_rate"])))

    def rate(self, boundary):
        known = [rate for time, rate in self.rows if time <= boundary]
        return known[-1] if known else 10_000


def plan(user, mark, instrument):
    """The size of a user's order at this price, or the reason against it; and the leverage."""
    tick, step, market_max, notional_min, leverage_max, _ = instrument
    if user["halted"]:
        return "halted_user", None
    if user["symbols"] and user["symbol"] not in user["symbols"]:
        return "symbol_not_allowed", None
    wallet, leverage = units(user["wallet"]), min(user["leverage"], 10, leverage_max)
    value = units(user["sizing"]["value"])
    mode = user["sizing"]["mode"]
    if mode == "percent_of_balance":
        wanted = wallet * value // UNIT * leverage
    elif mode == "fixed_margin":
        wanted = value * leverage
    elif mode == "fixed_notional":
        wanted = value
    else:
        stop = stop_of(mark, units(user["stop_multiplier"]), tick)
        wanted = value * mark // (mark - stop)
    affordable = wallet * leverage * UNIT // (UNIT + 2 * FEE * leverage)
    quantity = min(min(wanted, affordable) * UNIT // mark, market_max * UNIT) // step * step
    if quantity < step or notional(mark, quantity) < notional_min * UNIT:
        return "below_minimum", None
    return quantity, leverage


def stop_of(entry, percent, tick):
    return up(entry * (100 * UNIT - percent), 100 * UNIT * tick) * tick


def target_of(entry, percent, tick):
    return entry * (100 * UNIT + percent) // (100 * UNIT * tick) * tick


def life(user, market, funding, instrument):
    """What becomes of a user's long position: a dict to compare."""
    tick, maintenance = instrument[0], instrument[5]
    opened_at, mark, _ = market[0]
    quantity, leverage = plan(user, mark, instrument)
    if leverage is None:
        return {"refused": quantity}
    cost = notional(mark, quantity)
    fees = part(cost, FEE)
    entry = half_even(cost * UNIT, quantity)
    stop = stop_of(entry, units(user["stop_multiplier"]), tick)
    target = target_of(entry, units(user["take_profit_multiplier"]), tick)
    liquidation = up(cost * UNIT * (leverage - 1) * UNIT, quantity * leverage * (UNIT - maintenance) * tick) * tick
    received, before = 0, market[0]
    boundary = opened_at // EIGHT_HOURS * EIGHT_HOURS
    exit_price = reason = None
    for time, price, continuous in market[1:]:
        while boundary + EIGHT_HOURS <= time:
            boundary += EIGHT_HOURS
            if opened_at < boundary:
                received -= part(notional(price, quantity), funding.rate(boundary))
        if price <= max(stop, liquidation):
            assert stop > liquidation and (continuous or price > liquidation), "not a case of the demo"
            exit_price, reason = (stop if continuous and before[1] >= stop else price), "STOP_LOSS"
        elif price >= target:
            exit_price, reason = (target if continuous and before[1] <= target else price), "TAKE_PROFIT"
        if reason:
            break
        before = (time, price)
    if reason is None:
        exit_price, reason = market[-1][1], "SIGNAL"
    exit_notional = notional(exit_price, quantity)
    fees += part(exit_notional, FEE)
    realised = exit_notional - cost
    net = realised - fees + received
    charge = part(max(net, 0), SHARE)
    real = min(charge, PREPAID)
    return {
        "quantity": quantity,
        "entry": entry,
        "exit": half_even(exit_notional * UNIT, quantity),
        "reason": reason,
        "realised": realised,
        "fees": fees,
        "funding": received,
        "net": net,
        "wallet:0": units(user["wallet"]) + net,
        "real": PREPAID - real,
        "debt": real - charge,
        "company_revenue": charge,
        "venue_profit": -realised,
        "venue_fee": fees,
        "venue_funding": -received,
        "outside": -units(user["wallet"]) - PREPAID,
    }


def told(user):
    """What the server says, in the same form."""
    balances = {b["account"]: units(b["balance"]) for b in user["balances"]["balances"]}
    if not user["positions"]["recent"]:
        return {"refused": None, **balances}
    assert not user["positions"]["open"] and len(user["positions"]["recent"]) == 1, "one position, closed"
    position = user["positions"]["recent"][0]
    orders = user["orders"]["recent"]
    entry = next(o for o in orders if not o["reduce_only"])
    exit_ = next(o for o in orders if o["reduce_only"] and o["state"] == "FILLED")
    return {
        "quantity": units(entry["filled"]),
        "entry": units(entry["average_price"]),
        "exit": units(exit_["average_price"]),
        "reason": position["close_reason"],
        **{name: units(position[name]) for name in ("realised", "fees", "funding", "net")},
        **balances,
    }


def main(arguments):
    prices, audit, *rest = arguments
    funding = Funding(rest[1] if rest[:1] == ["--funding"] else None)
    with open(audit) as file:
        users = [json.loads(line) for line in file]
    tick, step, market_max, notional_min, leverage_max, maintenance = INSTRUMENTS[users[0]["symbol"]]
    instrument = (units(tick), units(step), market_max, notional_min, leverage_max, units(maintenance))
    market = ticks(prices, instrument[0])
    differences, totals, sums = 0, {}, {"realised": 0, "fees": 0, "funding": 0, "company_revenue": 0}
    for user in users:
        mine, theirs = life(user, market, funding, instrument), told(user)
        totals[mine.get("reason") or mine["refused"]] = totals.get(mine.get("reason") or mine["refused"], 0) + 1
        for name in sums:
            sums[name] += mine.get(name, 0)
        if "refused" in mine:
            # No position: the wallet and the prepaid balance are as they were.
            mine = {"refused": None, "wallet:0": units(user["wallet"]), "real": PREPAID,
                    "outside": -units(user["wallet"]) - PREPAID}
        for name in sorted(set(mine) | set(theirs)):
            a, b = mine.get(name) or 0, theirs.get(name) or 0
            if a != b:
                differences += 1
                if differences <= 20:
                    shown = [text(v) if isinstance(v, int) else v for v in (a, b)]
                    print(f"user {user['user']} {name}: recomputed {shown[0]}, the server says {shown[1]}")
    print(f"{len(users)} users: {totals}")
    print({name: text(value) for name, value in sums.items()})
    print(f"{differences} differences")
    return 1 if differences or not users else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

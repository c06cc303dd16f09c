"""What a market file, a funding file and the list of instruments say, as docs/paper-venue.md reads them."""

import csv
from collections import namedtuple
from pathlib import Path

from units import units

Tick = namedtuple("Tick", "time price continuous")
Instrument = namedtuple("Instrument", "tick step market_max notional_min leverage_max maintenance")

EIGHT_HOURS = 8 * 3_600_000
FUNDING_RATE = units("0.0001")
FUNDING_CATCH_UP = 21
RULES = Path(__file__).resolve().parents[2] / "docs" / "paper-venue.md"


def instrument(symbol):
    """Its row in the table of docs/paper-venue.md."""
    for line in RULES.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == symbol and len(cells) == 8:
            _, tick, step, _, market_max, notional_min, leverage_max, maintenance = cells
            return Instrument(units(tick), units(step), units(market_max), units(notional_min),
                              int(leverage_max), units(maintenance))
    raise SystemExit(f"{symbol} is not in the table of {RULES}")


def on_tick(price, tick):
    """The nearest multiple of the tick, half a tick up."""
    return (2 * price + tick) // (2 * tick) * tick


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def ticks(path, tick):
    """The market. A candle's open is a jump and the rest of its path continuous; a trade is a jump."""
    table = rows(path)
    times = [int(row["time_ms"]) for row in table]
    if "quantity" in table[0]:
        return [Tick(t, on_tick(units(row["price"]), tick), False) for t, row in zip(times, table)]
    spans = [b - a for a, b in zip(times, times[1:])]
    span = min(spans) if spans else 60_000
    market = []
    for t, row in zip(times, table):
        opened, high, low, closed = (units(row[name]) for name in ("open", "high", "low", "close"))
        way = (low, high, closed) if closed >= opened else (high, low, closed)
        market.append(Tick(t, on_tick(opened, tick), False))
        for after, price in zip((span // 3, 2 * span // 3, span - 1), way):
            market.append(Tick(t + after, on_tick(price, tick), True))
    return market


class Funding:
    """The settlements of a market: for each, the place of the tick that settles it, its boundary and its rate."""

    def __init__(self, market, path=None):
        table = [(int(row["time_ms"]) // 60_000 * 60_000, units(row["funding_rate"]))
                 for row in (rows(path) if path else [])]
        self.settlements = []
        seen = (market[0].time - 1) // EIGHT_HOURS
        for place, tick in enumerate(market):
            now = tick.time // EIGHT_HOURS
            for number in range(max(seen + 1, now - FUNDING_CATCH_UP + 1), now + 1):
                boundary = number * EIGHT_HOURS
                known = [rate for time, rate in table if time <= boundary]
                self.settlements.append((place, boundary, known[-1] if known else FUNDING_RATE))
            seen = now


class Levels:
    """Where a long position with these levels ends in a market; one walk for each set of levels."""

    def __init__(self, market):
        self.market = market
        # The ticks of the first instant have been shown before anything else happens.
        self.entry = max(n for n, tick in enumerate(market) if tick.time == market[0].time)
        self.known = {}

    def exit(self, stop, target, liquidation, bankruptcy):
        """(place of the tick, price, reason)."""
        levels = (stop, target, liquidation, bankruptcy)
        if levels not in self.known:
            self.known[levels] = self.walk(*levels)
        return self.known[levels]

    def walk(self, stop, target, liquidation, bankruptcy):
        for place in range(self.entry + 1, len(self.market)):
            _, price, continuous = self.market[place]
            if price <= stop:
                if continuous:
                    return place, stop, "STOP_LOSS"
                if price <= liquidation:
                    return place, max(price, bankruptcy), "LIQUIDATION"
                return place, price, "STOP_LOSS"
            if price >= target:
                return place, target if continuous else price, "TAKE_PROFIT"
        return len(self.market) - 1, self.market[-1].price, "SIGNAL"

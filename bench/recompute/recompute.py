"""Recomputes a demo run from the price file, the users' settings and the rules alone.

    recompute.py PRICES AUDIT [--funding FILE] [--report FILE] [--log FILE]

PRICES is what `coinbitclub demo --market` played and AUDIT what its `--audit` wrote; FILE of --funding is what the demo was
given, of --report what its `--json` printed, of --log what `coinbitclub log inspect` prints about its `--data`. Written from
DOMAIN.md (sections 2 and 3) and docs/paper-venue.md, not from the Rust code: of what the server wrote only each user's
settings enter the computation. Everything else (orders, position, journal, balances, the log's fills with their venue times, the run's
totals) is compared with, to the last unit of 1e-8. Prints totals and the first differences; exits with 1 on any.
"""

import argparse
import json
import sys
from collections import Counter

import account
import told
from market import Funding, Levels, instrument, ticks
from units import text

SETTINGS = ("wallet", "halted", "symbols", "sizing", "leverage", "stop_multiplier", "take_profit_multiplier", "symbol")
# The report's names of sums, and the balances they are the sums of, with their sign there.
SUMS = {"realised": ("venue_profit", -1), "fees": ("venue_fee", 1), "funding": ("venue_funding", -1),
        "profit_share": ("company_revenue", 1)}
SHOWN_MAX = 20


def differences(mine, theirs, path=""):
    """(field, recomputed, told) wherever the two differ."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for name in sorted(mine.keys() | theirs.keys()):
            yield from differences(mine.get(name), theirs.get(name), f"{path}.{name}" if path else name)
    elif isinstance(mine, list) and isinstance(theirs, list):
        for place in range(max(len(mine), len(theirs))):
            pair = (items[place] if place < len(items) else None for items in (mine, theirs))
            yield from differences(*pair, f"{path}[{place}]")
    elif mine != theirs or type(mine) is not type(theirs):
        yield path, mine, theirs


def main():
    arguments = argparse.ArgumentParser(description="Recomputes a demo run.")
    arguments.add_argument("prices")
    arguments.add_argument("audit")
    for option in ("--funding", "--report", "--log"):
        arguments.add_argument(option)
    asked = arguments.parse_args()
    with open(asked.audit) as file:
        users = [json.loads(line) for line in file]
    if not users:
        raise SystemExit(f"{asked.audit}: no users")
    listed = instrument(users[0]["symbol"])
    market = ticks(asked.prices, listed.tick)
    levels, funding = Levels(market), Funding(market, asked.funding)
    log = told.log(asked.log) if asked.log else None

    totals, sums, found = Counter(), Counter(dict.fromkeys(SUMS, 0)), []
    for user in users:
        mine = account.recompute({name: user[name] for name in SETTINGS}, levels, funding, listed)
        totals[mine.pop("outcome")] += 1
        for name, (balance, sign) in SUMS.items():
            sums[name] += sign * mine["balances"].get(balance, 0)
        try:
            theirs = told.audit(user)
        except told.Surprise as surprise:
            found.append((user["user"], "", None, str(surprise)))
            continue
        if log is None:
            del mine["events"]
        else:
            theirs["events"] = log.get(user["user"], [])
        found += [(user["user"], *difference) for difference in differences(mine, theirs)]
    if asked.report:
        with open(asked.report) as file:
            lines = told.report(json.load(file), totals, sums)
        found += [("all", *line) for line in lines if line[1] != line[2]]

    for user, field, mine, theirs in found[:SHOWN_MAX]:
        print(f"user {user}, {field}: recomputed {mine}, the server says {theirs}")
    print(f"{len(users)} users:", ", ".join(f"{name} {number}" for name, number in sorted(totals.items())))
    print(", ".join(f"{name} {text(total)}" for name, total in sums.items()))
    print(f"{len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

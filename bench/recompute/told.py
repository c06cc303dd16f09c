"""What the server says, brought to the form of `account.recompute`. Read only to be compared with."""

import re

from units import text, units

LEGS = {"E": "entry", "S": "stop", "T": "target", "C": "close"}
KINDS = {
    ("market", False): "entry",
    ("stop_market", True): "stop",
    ("take_profit_market", True): "target",
    ("market", True): "close",
}
ID = re.compile(r"[0-9A-Za-z]{1,32}")
MONEY = ("realised", "fees", "funding", "net", "profit_share_rate")
SIZES = ("entry_quantity", "stop", "take_profit", "liquidation")


class Surprise(Exception):
    """Something that no run should show."""


def audit(user):
    """One line of the audit."""
    orders, named = {}, {}
    if user["orders"]["live"] or user["positions"]["open"]:
        raise Surprise("something is live or open at the end")
    for o in user["orders"]["recent"]:
        kind = KINDS.get((o["kind"], o["reduce_only"]))
        if kind is None or kind in orders:
            raise Surprise(f"an order too many: {o['id']} ({o['kind']})")
        if not ID.fullmatch(o["id"]) or o["id"] in named or LEGS.get(o["id"][-2]) != kind:
            raise Surprise(f"{o['id']} is no client id of a {kind}")
        named[o["id"]] = kind
        orders[kind] = {
            "kind": kind,
            "side": o["side"],
            "reduce_only": o["reduce_only"],
            "quantity": units(o["quantity"]),
            "trigger": o["price"] and units(o["price"]),
            "state": o["state"],
            "reason": o["reason"],
            "fills": o["fills"],
            "filled": units(o["filled"]),
            "average": o["average_price"] and units(o["average_price"]),
            "fees": units(o["fees"]),
        }
    position, opening = {}, None
    if len(user["positions"]["recent"]) > 1:
        raise Surprise("more than one position")
    for p in user["positions"]["recent"]:
        position = {name: p[name] for name in ("side", "state", "close_reason", "leverage", "opened_venue_at")}
        position |= {name: units(p[name]) for name in MONEY + SIZES}
        opening = p["id"]
    if any(o["position"] != opening or o["symbol"] != user["symbol"] for o in user["orders"]["recent"]):
        raise Surprise("an order of another position or symbol")
    (account,) = user["balances"]["accounts"]
    return {
        "orders": orders,
        "position": position,
        "booked": user["ledger"]["booked"],
        "ledger": [
            (key(e["key"], named, opening, user["symbol"]), {p["account"]: units(p["amount"]) for p in e["postings"]})
            for e in reversed(user["ledger"]["entries"])
        ],
        "balances": {b["account"]: units(b["balance"]) for b in user["balances"]["balances"]},
        "wallet": units(account["wallet"]),
        "available": units(account["available"]),
    }


def key(server, named, position, symbol):
    """A business key with the order called by its part; what is no such key stays what it is and differs."""
    what, *rest = server.split(":")
    match what:
        case "account_opened" | "prepaid" if rest == ["0"]:
            return what
        case "fill_fee" | "fill_profit" if len(rest) == 2 and rest[0] in named and rest[1] == "1":
            return f"{what}:{named[rest[0]]}"
        case "liquidation_fee" | "liquidation_profit" if rest == ["0", "1"]:
            return f"{what}:liquidation"
        case "funding" if rest[:2] == ["0", symbol]:
            return f"{what}:{rest[2]}"
        case "profit_share" if rest == [position, "0"]:
            return what
    return server


RECORD = re.compile(r"^\s*record \d+ at \d+ \d+ bytes: user (\w+) ")
FILL = r"fill: Fill \{ number: (\d+), price: Price\(([\d.]+)\), quantity: Quantity\(([\d.]+)\), fee: Money\(([-\d.]+)\)"
FACT = re.compile(
    r"\bFilled \{ id: ClientOrderId .*?leg: (\w+), round: \d+ \}, " + FILL + r".*?venue_at: Timestamp\((\d+)\)"
    r"|\bLiquidated \{ .*?" + FILL + r".*?venue_at: Timestamp\((\d+)\)"
    r"|\bFundingSettled \{ .*?venue_at: Timestamp\((\d+)\), rate: Rate\(([-\d.]+)\), mark: Price\(([\d.]+)\), amount: Money\(([-\d.]+)\)"
)
LOG_LEGS = {"Entry": "entry", "Stop": "stop", "TakeProfit": "target", "SignalClose": "close"}


def log(path):
    """User to fills and fundings with the venue's times, from what `coinbitclub log inspect` printed."""
    users = {}
    with open(path) as file:
        for line in file:
            record = RECORD.match(line)
            if not record:
                continue
            for fact in FACT.finditer(line):
                leg, *f = fact.groups()
                if leg:
                    event = (LOG_LEGS.get(leg, leg), int(f[0]), *map(units, f[1:4]), int(f[4]) // 1_000)
                elif f[5]:
                    event = ("liquidation", int(f[5]), *map(units, f[6:9]), int(f[9]) // 1_000)
                else:
                    event = ("funding", int(f[10]) // 1_000, *map(units, f[11:14]))
                users.setdefault(record[1], []).append(event)
    return users


def report(document, totals, sums):
    """The run's own totals beside the recomputed ones, as (name, recomputed, told)."""
    closed = {reason for reason in totals if reason.isupper()}
    told_closed = {r: n for r, n in document["closed"].items() if n}
    for reason in sorted(closed | set(told_closed)):
        yield f"closed {reason}", totals.get(reason, 0), told_closed.get(reason, 0)
    for reason in sorted((set(totals) - closed) | set(document["refused"])):
        yield f"refused {reason}", totals.get(reason, 0), document["refused"].get(reason, 0)
    for name, total in sums.items():
        yield name, text(total), document[name]["USDT-PAPER"]
    yield "ledger_sum", "0", document["ledger_sum"]["USDT-PAPER"]

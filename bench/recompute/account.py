"""What one user of the demo must end with: DOMAIN.md sections 2 and 3 with the roundings of docs/paper-venue.md.

The demo's signal is a long without levels or leverage of its own, so a position is a long from the user's settings. Its
symbol has one bracket for every size.
"""

from units import UNIT, down, half_even, text, times, units, up

FEE_TAKER = units("0.0005")
FEE_LIQUIDATION = units("0.0125")
SHARE = units("0.2")
PREPAID = units("1000")
LEVERAGE_MAX = 10
STATEMENT_MAX = 128
HUNDRED = 100 * UNIT


class Refused(Exception):
    """No order, for the named reason."""


def stop_at(entry, percent, tick):
    return up(entry * (HUNDRED - percent), HUNDRED * tick) * tick


def target_at(entry, percent, tick):
    return down(entry * (HUNDRED + percent), HUNDRED * tick) * tick


def liquidation_at(cost, quantity, leverage, kept, tick):
    """Where the margin is down to 1 - kept of the value; with kept = 1 the bankruptcy price."""
    return up(cost * UNIT * (leverage - 1) * UNIT, quantity * leverage * kept * tick) * tick


def wanted(user, mark, stop, leverage):
    """The notional that the settings ask for."""
    value = units(user["sizing"]["value"])
    match user["sizing"]["mode"]:
        case "percent_of_balance":
            return down(units(user["wallet"]) * value, UNIT) * leverage
        case "fixed_margin":
            return value * leverage
        case "fixed_notional":
            return value
        case "risk_to_stop":
            return down(value * mark, mark - stop)
    raise SystemExit(f"an unknown sizing: {user['sizing']}")


def order_size(user, mark, listed):
    """(quantity, leverage) of the opening order, or Refused."""
    if user["halted"]:
        raise Refused("halted_user")
    if user["symbols"] and user["symbol"] not in user["symbols"]:
        raise Refused("symbol_not_allowed")
    leverage = min(user["leverage"], LEVERAGE_MAX, listed.leverage_max)
    stop = stop_at(mark, units(user["stop_multiplier"]), listed.tick)
    target = target_at(mark, units(user["take_profit_multiplier"]), listed.tick)
    if not 0 < stop < mark < target:
        raise Refused("protection_invalid")
    affordable = down(units(user["wallet"]) * leverage * UNIT, UNIT + 2 * FEE_TAKER * leverage)
    notional = min(wanted(user, mark, stop, leverage), affordable)
    quantity = min(down(notional * UNIT, mark), listed.market_max)
    quantity = down(quantity, listed.step) * listed.step
    if quantity < listed.step or times(mark, quantity) < listed.notional_min:
        raise Refused("below_minimum")
    if stop <= liquidation_at(mark, UNIT, leverage, UNIT - listed.maintenance, listed.tick):
        raise Refused("stop_beyond_liquidation")
    return quantity, leverage


def entry(key, *lines):
    """A journal entry; lines of zero are left out."""
    return key, {account: amount for account, amount in lines if amount}


def order(kind, quantity, trigger, price=None, fee=0, end="FILLED"):
    """An order as the server should show it at the end; with a price it has one fill, of everything."""
    filled = price is not None
    return {
        "kind": kind,
        "side": "buy" if kind == "entry" else "sell",
        "reduce_only": kind != "entry",
        "quantity": quantity,
        "trigger": trigger,
        "state": end,
        "reason": None if filled else "position_closed",
        "fills": int(filled),
        "filled": quantity if filled else 0,
        "average": price,
        "fees": fee,
    }


def recompute(user, levels, funding, listed):
    """Everything about the user that can be compared, as a nested dict."""
    wallet = units(user["wallet"])
    book = [
        entry("account_opened", ("wallet:0", wallet), ("outside", -wallet)),
        entry("prepaid", ("real", PREPAID), ("outside", -PREPAID)),
    ]
    market = levels.market
    opened = market[levels.entry]
    try:
        quantity, leverage = order_size(user, opened.price, listed)
    except Refused as why:
        return {"outcome": str(why), "orders": {}, "position": {}, "events": [], **accounts(book)}

    cost = times(opened.price, quantity)
    fee_in = times(cost, FEE_TAKER)
    price_in = half_even(cost * UNIT, quantity)
    stop = stop_at(price_in, units(user["stop_multiplier"]), listed.tick)
    target = target_at(price_in, units(user["take_profit_multiplier"]), listed.tick)
    liquidation = liquidation_at(cost, quantity, leverage, UNIT - listed.maintenance, listed.tick)
    bankruptcy = liquidation_at(cost, quantity, leverage, UNIT, listed.tick)
    place, price_out, reason = levels.exit(stop, target, liquidation, bankruptcy)
    venue_out = market[place].time

    events = [("entry", 1, price_in, quantity, fee_in, opened.time)]
    book.append(entry("fill_fee:entry", ("wallet:0", -fee_in), ("venue_fee", fee_in)))
    received = 0
    for at, boundary, rate in funding.settlements:
        # A settlement comes before the levels of its tick, so also before an exit in it; the signal's close comes after.
        if at <= place and opened.time < boundary:
            amount = -times(times(market[at].price, quantity), rate)
            received += amount
            events.append(("funding", boundary, rate, market[at].price, amount))
            book.append(entry(f"funding:{boundary}", ("wallet:0", amount), ("venue_funding", -amount)))

    value = times(price_out, quantity)
    realised = value - cost
    fee_out = times(value, FEE_TAKER)
    if reason == "LIQUIDATION":
        margin = up(cost, leverage)
        fee_out = max(0, min(times(value, FEE_TAKER + FEE_LIQUIDATION), margin + realised))
    leg = {"STOP_LOSS": "stop", "TAKE_PROFIT": "target", "SIGNAL": "close", "LIQUIDATION": "liquidation"}[reason]
    events.append((leg, 1, price_out, quantity, fee_out, venue_out))
    name = "liquidation" if leg == "liquidation" else "fill"
    book.append(entry(f"{name}_profit:{leg}", ("wallet:0", realised), ("venue_profit", -realised)))
    book.append(entry(f"{name}_fee:{leg}", ("wallet:0", -fee_out), ("venue_fee", fee_out)))

    fees = fee_in + fee_out
    net = realised - fees + received
    share = times(max(0, net), SHARE)
    real = min(share, PREPAID)
    book.append(entry("profit_share", ("real", -real), ("debt", real - share), ("company_revenue", share)))

    orders = {
        "entry": order("entry", quantity, None, price_in, fee_in),
        "stop": order("stop", quantity, stop, end="EXPIRED"),
        "target": order("target", quantity, target, end="EXPIRED"),
    }
    if leg != "liquidation":
        trigger = {"stop": stop, "target": target}.get(leg)
        orders[leg] = order(leg, quantity, trigger, half_even(value * UNIT, quantity), fee_out)
    position = {
        "side": "long",
        "state": "LIQUIDATED" if leg == "liquidation" else "CLOSED",
        "close_reason": reason,
        "leverage": leverage,
        "entry_quantity": quantity,
        "stop": stop,
        "take_profit": target,
        "liquidation": liquidation,
        "realised": realised,
        "fees": fees,
        "funding": received,
        "net": net,
        "profit_share_rate": SHARE,
        "opened_venue_at": opened.time * 1_000,
    }
    return {"outcome": reason, "orders": orders, "position": position, "events": events, **accounts(book)}


def accounts(book):
    """The journal and what it leaves: balances that sum to zero, and the wallet, all of it free."""
    book = [(key, lines) for key, lines in book if lines]
    balances = {}
    for _, lines in book:
        for account, amount in lines.items():
            balances[account] = balances.get(account, 0) + amount
    assert sum(balances.values()) == 0, f"an unbalanced book: {text(sum(balances.values()))}"
    wallet = balances["wallet:0"]
    return {
        "booked": len(book),
        "ledger": book[-STATEMENT_MAX:],
        "balances": balances,
        "wallet": wallet,
        "available": wallet,
    }

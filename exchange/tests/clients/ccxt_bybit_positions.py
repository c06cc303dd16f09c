"""ccxt sets leverage and margin mode, opens, protects and closes a position on the face of Bybit, and reads it."""

import ccxt

import ccxt_here
import paper

exchange = ccxt_here.bybit()
symbol = ccxt_here.SYMBOL
exchange.load_markets()

exchange.set_leverage(7, symbol)
paper.refused(ccxt.ExchangeError, lambda: exchange.set_leverage(7, symbol), "110043")
exchange.set_margin_mode("isolated")
assert exchange.fetch_leverage(symbol)["longLeverage"] == 7

entry = exchange.create_order(symbol, "market", "buy", 0.02)
done = exchange.fetch_closed_order(entry["id"], symbol)
assert done["status"] == "closed" and done["filled"] == 0.02 and done["average"] > 0, done
position = exchange.fetch_position(symbol)
assert (position["side"], position["contracts"], position["leverage"]) == ("long", 0.02, 7), position
assert 0 < position["liquidationPrice"] < position["entryPrice"], position
mark = paper.mark(ccxt_here.ID)
below, above = (exchange.price_to_precision(symbol, mark * factor) for factor in (0.9, 1.1))

stop = exchange.create_order(
    symbol, "market", "sell", 0.02, None, {"stopLossPrice": below, "triggerBy": "MarkPrice"},
)
profit = exchange.create_order(symbol, "market", "sell", 0.01, None, {"takeProfitPrice": above})
waiting = {one["id"]: one for one in exchange.fetch_open_orders(symbol, params={"trigger": True})}
assert set(waiting) == {stop["id"], profit["id"]}, waiting
assert waiting[stop["id"]]["triggerPrice"] == float(below) and waiting[stop["id"]]["reduceOnly"], waiting
# What was asked for, and what it is when nothing is asked for.
assert waiting[stop["id"]]["info"]["triggerBy"] == "MarkPrice", waiting
assert waiting[profit["id"]]["info"]["triggerBy"] == "LastPrice", waiting
exchange.cancel_order(profit["id"], symbol, {"trigger": True})
assert [one["id"] for one in exchange.fetch_open_orders(symbol, params={"trigger": True})] == [stop["id"]]
exchange.cancel_all_orders(symbol, {"trigger": True})
assert exchange.fetch_open_orders(symbol, params={"trigger": True}) == []

# The position's own triggers.
exchange.create_order(
    symbol, "market", "sell", 0.02, None,
    {"stopLossPrice": below, "takeProfitPrice": above, "tradingStopEndpoint": True, "tpslMode": "Full"},
)
position = exchange.fetch_position(symbol)
assert (position["stopLossPrice"], position["takeProfitPrice"]) == (float(below), float(above)), position

exchange.create_order(symbol, "market", "sell", 0.01, None, {"reduceOnly": True})
assert exchange.fetch_position(symbol)["contracts"] == 0.01
# More than is left: it closes and never turns the position around.
exchange.create_order(symbol, "market", "sell", 0.05, None, {"reduceOnly": True})
assert not [one for one in exchange.fetch_positions() if one["contracts"]]
assert exchange.fetch_open_orders(symbol, params={"trigger": True}) == []

trades = exchange.fetch_my_trades(symbol)
assert [(one["side"], one["amount"]) for one in trades] == [("buy", 0.02), ("sell", 0.01), ("sell", 0.01)], trades
fees = sum(one["fee"]["cost"] for one in trades)
assert fees > 0
gains = [float(one["info"]["closedPnl"]) for one in exchange.fetch_positions_history([symbol])]
assert len(gains) == 2, gains
total = exchange.fetch_balance()["USDT"]["total"]
assert abs(10_000 + sum(gains) - total) < 1e-4, (gains, total)
paper.agreed()

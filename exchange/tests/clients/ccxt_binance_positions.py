"""ccxt sets leverage and margin type, opens, protects and closes a position on the face of Binance, and reads it."""

import ccxt

import ccxt_here
import paper

exchange = ccxt_here.binance()
symbol = ccxt_here.SYMBOL
exchange.load_markets()

assert exchange.fetch_position_mode(symbol)["hedged"] is False
assert int(exchange.set_leverage(7, symbol)["leverage"]) == 7
exchange.set_margin_mode("isolated", symbol)
paper.refused(ccxt.MarginModeAlreadySet, lambda: exchange.set_margin_mode("isolated", symbol), "-4046")
assert exchange.fetch_leverages([symbol])[symbol]["longLeverage"] == 7
assert exchange.fetch_margin_modes([symbol])[symbol]["marginMode"] == "isolated"

entry = exchange.create_order(symbol, "market", "buy", 0.02)
assert entry["status"] == "closed" and entry["filled"] == 0.02, entry
(position,) = exchange.fetch_positions([symbol])
assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.02, "isolated"), position
assert 0 < position["liquidationPrice"] < position["entryPrice"], position
# A seventh of what the position is worth.
assert abs(position["initialMargin"] * 7 / (position["entryPrice"] * 0.02) - 1) < 0.001, position
mark = paper.mark(ccxt_here.ID)

stop = exchange.create_order(
    symbol, "market", "sell", None, None,
    {
        "stopLossPrice": exchange.price_to_precision(symbol, mark * 0.9),
        "closePosition": True,
        "workingType": "MARK_PRICE",
        "clientOrderId": "stop-1",
    },
)
profit = exchange.create_order(
    symbol, "market", "sell", 0.01, None,
    {"takeProfitPrice": exchange.price_to_precision(symbol, mark * 1.1), "reduceOnly": True},
)
assert stop["clientOrderId"] == "stop-1" and stop["status"] == profit["status"] == "open", (stop, profit)
assert stop["info"]["workingType"] == "MARK_PRICE", stop
assert profit["info"]["workingType"] == "CONTRACT_PRICE", profit
waiting = exchange.fetch_open_orders(symbol, params={"trigger": True})
assert {order["id"] for order in waiting} == {stop["id"], profit["id"]}, waiting
assert exchange.fetch_open_orders(symbol) == []
queried = exchange.fetch_order(stop["id"], symbol, {"trigger": True})
assert queried["info"]["workingType"] == "MARK_PRICE" and queried["status"] == "open", queried
exchange.cancel_order(profit["id"], symbol, {"trigger": True})
assert [order["id"] for order in exchange.fetch_open_orders(symbol, params={"trigger": True})] == [stop["id"]]

half = exchange.create_order(symbol, "market", "sell", 0.01, None, {"reduceOnly": True})
assert half["filled"] == 0.01 and exchange.fetch_positions([symbol])[0]["contracts"] == 0.01, half
# More than is left: it closes and never turns the position around.
exchange.create_order(symbol, "market", "sell", 0.05, None, {"reduceOnly": True})
assert not [one for one in exchange.fetch_positions() if one["contracts"]]

trades = exchange.fetch_my_trades(symbol)
assert [(trade["side"], trade["amount"]) for trade in trades] == [("buy", 0.02), ("sell", 0.01), ("sell", 0.01)]
ledger = exchange.fetch_ledger("USDT")
assert {"transfer", "commission"} <= {entry["type"] for entry in ledger}, ledger
total = exchange.fetch_balance()["USDT"]["total"]
signed = sum(entry["amount"] if entry["direction"] == "in" else -entry["amount"] for entry in ledger)
assert abs(total - signed) < 1e-6, (total, ledger)
paper.agreed()

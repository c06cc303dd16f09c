"""ccxt places, queries, lists, changes and cancels orders on the face of Binance, and reads why others are refused."""

import ccxt

import ccxt_here
import paper

exchange = ccxt_here.binance()
symbol = ccxt_here.SYMBOL
exchange.load_markets()
below = exchange.price_to_precision(symbol, paper.mark(ccxt_here.ID) * 0.97)

order = exchange.create_order(symbol, "limit", "buy", 0.01, below, {"clientOrderId": "limit-1"})
assert order["status"] == "open" and order["filled"] == 0 and order["remaining"] == 0.01, order
assert order["clientOrderId"] == "limit-1" and order["price"] == float(below), order
assert exchange.fetch_order(order["id"], symbol)["status"] == "open"
by_own_id = exchange.fetch_order(None, symbol, {"clientOrderId": "limit-1"})
assert by_own_id["id"] == order["id"], by_own_id
assert [open_["id"] for open_ in exchange.fetch_open_orders(symbol)] == [order["id"]]
used = exchange.fetch_balance()["USDT"]["used"]
assert used > 0, used

lower = exchange.price_to_precision(symbol, paper.mark(ccxt_here.ID) * 0.96)
changed = exchange.edit_order(order["id"], symbol, "limit", "buy", 0.02, lower)
assert (changed["id"], changed["amount"], changed["price"]) == (order["id"], 0.02, float(lower)), changed
cancelled = exchange.cancel_order(order["id"], symbol)
assert cancelled["status"] == "canceled", cancelled
assert exchange.fetch_open_orders(symbol) == []
assert exchange.fetch_balance()["USDT"]["used"] == 0

for number in range(3):
    exchange.create_order(symbol, "limit", "buy", 0.01, lower, {"postOnly": True})
assert len(exchange.fetch_open_orders(symbol)) == 3
exchange.cancel_all_orders(symbol)
assert exchange.fetch_open_orders(symbol) == []
assert len(exchange.fetch_orders(symbol)) == 4

# Which exception a code becomes, ccxt decides by the host in the address: here most are the general one.
def refused(code, call):
    paper.refused(ccxt.ExchangeError, call, f'"code":{code},')


refused(-2011, lambda: exchange.cancel_order(order["id"], symbol))
refused(-2013, lambda: exchange.fetch_order("1", symbol))
refused(-2019, lambda: exchange.create_order(symbol, "market", "buy", 50))
refused(-4164, lambda: exchange.create_order(symbol, "limit", "buy", 0.001, lower))
refused(-4016, lambda: exchange.create_order(symbol, "limit", "buy", 0.01, float(lower) * 2))
refused(-2022, lambda: exchange.create_order(symbol, "market", "sell", 0.01, None, {"reduceOnly": True}))
exchange.secret = "wrong" + paper.SECRET
refused(-1022, lambda: exchange.fetch_balance())
paper.agreed()

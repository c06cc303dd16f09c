"""ccxt places, queries, lists, changes and cancels orders on the face of Bybit, and reads why others are refused."""

import ccxt

import ccxt_here
import paper

exchange = ccxt_here.bybit()
symbol = ccxt_here.SYMBOL
exchange.load_markets()
below = exchange.price_to_precision(symbol, paper.mark(ccxt_here.ID) * 0.97)

order = exchange.create_order(symbol, "limit", "buy", 0.01, below, {"clientOrderId": "limit-1"})
assert order["id"] and order["clientOrderId"] == "limit-1", order
known = exchange.fetch_open_order(order["id"], symbol)
assert (known["status"], known["amount"], known["price"]) == ("open", 0.01, float(below)), known
assert [one["id"] for one in exchange.fetch_open_orders(symbol)] == [order["id"]]

lower = exchange.price_to_precision(symbol, paper.mark(ccxt_here.ID) * 0.96)
exchange.edit_order(order["id"], symbol, "limit", "buy", 0.02, lower)
known = exchange.fetch_open_order(order["id"], symbol)
assert (known["amount"], known["price"]) == (0.02, float(lower)), known
exchange.cancel_order(order["id"], symbol)
assert exchange.fetch_open_orders(symbol) == []
(ended,) = exchange.fetch_canceled_orders(symbol)
assert (ended["id"], ended["status"], ended["clientOrderId"]) == (order["id"], "canceled", "limit-1"), ended

for number in range(3):
    exchange.create_order(symbol, "limit", "buy", 0.01, lower, {"postOnly": True})
assert len(exchange.fetch_open_orders(symbol)) == 3
exchange.cancel_all_orders(symbol)
assert exchange.fetch_open_orders(symbol) == []
assert len(exchange.fetch_canceled_orders(symbol)) == 4

paper.refused(ccxt.OrderNotFound, lambda: exchange.cancel_order(order["id"], symbol), "110001")
paper.refused(ccxt.InsufficientFunds, lambda: exchange.create_order(symbol, "market", "buy", 50), "110007")
paper.refused(
    ccxt.InvalidOrder,
    lambda: exchange.create_order(symbol, "limit", "buy", 0.01, below, {"clientOrderId": "limit-1"}),
    "110072",
)
paper.refused(
    ccxt.InvalidOrder,
    lambda: exchange.create_order(symbol, "market", "sell", 0.01, None, {"reduceOnly": True}),
    "110017",
)
exchange.secret = "wrong" + paper.SECRET
paper.refused(ccxt.AuthenticationError, lambda: exchange.fetch_positions([symbol]), "10004")
paper.agreed()

"""pybit follows the private stream of the face of Bybit, and trades over its trade socket."""

from pybit.unified_trading import WebSocket, WebSocketTrading

import paper
import pybit_here

symbol = pybit_here.SYMBOL
told = {"order": [], "execution": [], "position": [], "wallet": []}


def note(topic):
    return lambda message: told[topic].extend(message["data"])


# pybit sends first and then notes who waits for the answer: one that comes at once finds nobody.
paper.distance(200)
stream = WebSocket(channel_type="private", testnet=False, **pybit_here.KEYS)
stream.order_stream(note("order"))
stream.execution_stream(note("execution"))
stream.position_stream(note("position"))
stream.wallet_stream(note("wallet"))
prices = []
public = WebSocket(channel_type="linear", testnet=False)
public.ticker_stream(symbol, prices.append)
paper.until("the private stream's login", lambda: stream.auth)

trade = WebSocketTrading(testnet=False, **pybit_here.KEYS)
paper.until("the trade socket's login", lambda: trade.auth)
answers = []
trade.place_order(answers.append, category="linear", symbol=symbol, side="Buy", orderType="Market", qty="0.01")
placed = paper.until("the answer", lambda: answers)[0]
assert placed["retCode"] == 0, placed
number = placed["data"]["orderId"]


def came(topic, fits):
    return paper.until(topic, lambda: [row for row in told[topic] if fits(row)])[0]


filled = came("order", lambda row: row["orderId"] == number and row["orderStatus"] == "Filled")
assert filled["cumExecQty"] == "0.01", filled
execution = came("execution", lambda row: row["orderId"] == number)
assert (execution["execQty"], execution["side"]) == ("0.01", "Buy"), execution
position = came("position", lambda row: row["size"] == "0.01")
assert position["side"] == "Buy" and float(position["entryPrice"]) > 0, position
wallet = came("wallet", lambda row: True)
assert wallet["accountType"] == "UNIFIED" and wallet["coin"][0]["coin"] == "USDT", wallet

price = f"{paper.mark(symbol) * 0.97:.1f}"
trade.place_order(
    answers.append, category="linear", symbol=symbol, side="Buy", orderType="Limit", qty="0.01", price=price)
limit = paper.until("the answer", lambda: answers[1:])[0]["data"]["orderId"]
came("order", lambda row: row["orderId"] == limit and row["orderStatus"] == "New")
trade.amend_order(answers.append, category="linear", symbol=symbol, orderId=limit, qty="0.02")
came("order", lambda row: row["orderId"] == limit and row["qty"] == "0.02")
trade.cancel_order(answers.append, category="linear", symbol=symbol, orderId=limit)
came("order", lambda row: row["orderId"] == limit and row["orderStatus"] == "Cancelled")
assert paper.until("all answers", lambda: answers[3:]) and all(one["retCode"] == 0 for one in answers), answers

ticker = paper.until("a price", lambda: prices)[0]["data"]
assert ticker["symbol"] == symbol and float(ticker["markPrice"]) > 0, ticker
for socket in (stream, public, trade):
    socket.exit()
paper.agreed()

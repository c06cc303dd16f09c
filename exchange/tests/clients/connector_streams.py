"""Binance's own binance-futures-connector opens, keeps and follows a user stream, and a stream of prices."""

import json

from binance.um_futures import UMFutures
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient

import paper

symbol = "BTCUSDT"
client = UMFutures(key=paper.API_KEY, secret=paper.SECRET, base_url=paper.BASE)
told = []
listen_key = client.new_listen_key()["listenKey"]
client.renew_listen_key(listen_key)
stream = UMFuturesWebsocketClient(
    stream_url=paper.SOCKETS, on_message=lambda _, text: told.append(json.loads(text)),
)
stream.user_data(listen_key=listen_key, id=1)
stream.mark_price(symbol=symbol.lower(), speed=1, id=2)
paper.until("both subscriptions", lambda: {1, 2} <= {one.get("id") for one in told})


def came(kind, fits=lambda event: True):
    return lambda: [one for one in told if one.get("e") == kind and fits(one)]


order = client.new_order(symbol=symbol, side="BUY", type="MARKET", quantity=0.01)
filled = paper.until(
    "the fill", came("ORDER_TRADE_UPDATE", lambda event: event["o"]["X"] == "FILLED"))[0]
assert filled["o"]["i"] == order["orderId"] and filled["o"]["z"] == "0.01", filled
change = paper.until("the position", came("ACCOUNT_UPDATE"))[0]
assert change["a"]["P"][0]["pa"] == "0.01", change
price = paper.until("a price", came("markPriceUpdate"))[0]
assert price["s"] == symbol and float(price["p"]) > 0, price
paper.admin("POST", "/paper/listen-keys/expire")
paper.until("the end of the listenKey", came("listenKeyExpired"))
stream.stop()
paper.agreed()

"""python-binance places, queries, lists, changes and cancels orders on the face of Binance, and reads why others are refused."""

from binance.exceptions import BinanceAPIException

import paper
import python_binance_here

client = python_binance_here.client()
symbol = python_binance_here.SYMBOL
mark = float(client.futures_mark_price(symbol=symbol)["markPrice"])
price = f"{mark * 0.97:.1f}"

order = client.futures_create_order(
    symbol=symbol, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price=price,
    newClientOrderId="limit-1",
)
assert (order["status"], order["clientOrderId"], order["origQty"]) == ("NEW", "limit-1", "0.01"), order
by_id = client.futures_get_order(symbol=symbol, orderId=order["orderId"])
by_own_id = client.futures_get_order(symbol=symbol, origClientOrderId="limit-1")
assert by_id == by_own_id and float(by_id["price"]) == float(price), (by_id, by_own_id)
assert [one["orderId"] for one in client.futures_get_open_orders(symbol=symbol)] == [order["orderId"]]
lower = f"{mark * 0.96:.1f}"
changed = client.futures_modify_order(
    symbol=symbol, orderId=order["orderId"], side="BUY", quantity="0.02", price=lower,
)
assert (changed["orderId"], changed["origQty"]) == (order["orderId"], "0.02"), changed
assert client.futures_cancel_order(symbol=symbol, orderId=order["orderId"])["status"] == "CANCELED"
assert client.futures_get_open_orders(symbol=symbol) == []

batch = client.futures_place_batch_order(batchOrders=[
    {"symbol": symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "0.01", "price": price},
    {"symbol": symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "0.0001", "price": price},
])
assert batch[0]["status"] == "NEW" and batch[1]["code"] < 0, batch
client.futures_cancel_all_open_orders(symbol=symbol)
assert client.futures_get_open_orders(symbol=symbol) == []
assert len(client.futures_get_all_orders(symbol=symbol)) == 2


def refused(code, call):
    error = paper.refused(BinanceAPIException, call)
    assert error.code == code, error


refused(-2011, lambda: client.futures_cancel_order(symbol=symbol, orderId=order["orderId"]))
refused(-2013, lambda: client.futures_get_order(symbol=symbol, orderId=1))
refused(-1121, lambda: client.futures_get_open_orders(symbol="NOSUCH"))
refused(-2019, lambda: client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity="50"))
refused(-4014, lambda: client.futures_create_order(
    symbol=symbol, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price=f"{mark * 0.97:.1f}5"))
paper.agreed()

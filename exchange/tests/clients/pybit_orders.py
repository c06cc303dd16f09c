"""pybit places, queries, lists, changes and cancels orders on the face of Bybit, and reads why others are refused."""

from pybit.exceptions import InvalidRequestError

import paper
import pybit_here

session = pybit_here.session()
one = {"category": "linear", "symbol": pybit_here.SYMBOL}
mark = float(session.get_tickers(**one)["result"]["list"][0]["markPrice"])
price, lower = f"{mark * 0.97:.1f}", f"{mark * 0.96:.1f}"


def limit(**more):
    return session.place_order(
        **one, side="Buy", orderType="Limit", qty="0.01", price=price, timeInForce="GTC", **more)["result"]


def open_orders():
    return session.get_open_orders(**one, openOnly=0)["result"]["list"]


order = limit(orderLinkId="limit-1")
assert order["orderId"] and order["orderLinkId"] == "limit-1", order
(known,) = open_orders()
assert (known["orderId"], known["orderStatus"], known["qty"]) == (order["orderId"], "New", "0.01"), known
assert session.get_open_orders(**one, orderLinkId="limit-1")["result"]["list"] == [known]
session.amend_order(**one, orderId=order["orderId"], qty="0.02", price=lower)
assert [(row["qty"], float(row["price"])) for row in open_orders()] == [("0.02", float(lower))]
session.cancel_order(**one, orderLinkId="limit-1")
assert open_orders() == []
(ended,) = session.get_order_history(**one, orderId=order["orderId"])["result"]["list"]
assert (ended["orderStatus"], ended["cancelType"]) == ("Cancelled", "CancelByUser"), ended

answer = session.place_batch_order(category="linear", request=[
    {"symbol": pybit_here.SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price},
    {"symbol": pybit_here.SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price,
     "orderLinkId": "limit-1"},
])
codes = [row["code"] for row in answer["retExtInfo"]["list"]]
assert codes[0] == 0 and codes[1] == 110072, answer
session.cancel_all_orders(**one)
assert open_orders() == []


def refused(code, call):
    error = paper.refused(InvalidRequestError, call)
    assert error.status_code == code, error


refused(110001, lambda: session.cancel_order(**one, orderId=order["orderId"]))
refused(110072, lambda: limit(orderLinkId="limit-1"))
refused(10001, lambda: limit(tpslMode="Half"))
refused(110007, lambda: session.place_order(**one, side="Buy", orderType="Market", qty="50"))
refused(110017, lambda: session.place_order(
    **one, side="Sell", orderType="Market", qty="0.01", reduceOnly=True))
paper.agreed()

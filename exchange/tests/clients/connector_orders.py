"""Binance's own binance-futures-connector sets leverage, trades, and reads orders, positions and balances."""

from binance.error import ClientError
from binance.um_futures import UMFutures

import paper

symbol = "BTCUSDT"
client = UMFutures(key=paper.API_KEY, secret=paper.SECRET, base_url=paper.BASE)

assert client.ping() == {}
assert symbol in {one["symbol"] for one in client.exchange_info()["symbols"]}
mark = float(client.mark_price(symbol)["markPrice"])
price = f"{mark * 0.97:.1f}"
assert client.change_leverage(symbol=symbol, leverage=3)["leverage"] == 3
assert client.change_margin_type(symbol=symbol, marginType="ISOLATED")["code"] == 200
assert float(client.balance()[0]["balance"]) == 10_000

order = client.new_order(
    symbol=symbol, side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=price,
    newClientOrderId="limit-1",
)
assert client.query_order(symbol=symbol, orderId=order["orderId"])["clientOrderId"] == "limit-1"
assert [one["orderId"] for one in client.get_orders(symbol=symbol)] == [order["orderId"]]
assert client.get_open_orders(symbol=symbol, origClientOrderId="limit-1")["orderId"] == order["orderId"]
client.modify_order(symbol=symbol, side="BUY", quantity=0.02, price=price, orderId=order["orderId"])
assert client.cancel_order(symbol=symbol, origClientOrderId="limit-1")["status"] == "CANCELED"
paper.refused(ClientError, lambda: client.cancel_order(symbol=symbol, orderId=order["orderId"]), "-2011")

client.new_order(symbol=symbol, side="BUY", type="MARKET", quantity=0.01)
(position,) = client.get_position_risk(symbol=symbol)
assert position["positionAmt"] == "0.01", position
assert float(client.account()["totalPositionInitialMargin"]) > 0
client.new_order(symbol=symbol, side="SELL", type="MARKET", quantity=0.01, reduceOnly="true")
assert [one for one in client.get_position_risk() if float(one["positionAmt"])] == []
assert len(client.get_account_trades(symbol=symbol)) == 2
assert {one["incomeType"] for one in client.get_income_history()} >= {"TRANSFER", "COMMISSION"}
paper.refused(
    ClientError,
    lambda: client.new_order(
        symbol=symbol, side="SELL", type="STOP_MARKET", stopPrice=price, closePosition="true"),
    "-4120",
)
paper.agreed()

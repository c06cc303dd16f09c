"""python-binance reads instruments, balances and settings, sets leverage and margin type, and opens, protects and closes a
position on the face of Binance."""

import paper
import python_binance_here

client = python_binance_here.client()
symbol = python_binance_here.SYMBOL

assert client.futures_ping() == {}
listed = {one["symbol"]: one for one in client.futures_exchange_info()["symbols"]}
assert listed[symbol]["status"] == "TRADING" and listed[symbol]["contractType"] == "PERPETUAL", listed[symbol]
filters = {one["filterType"]: one for one in listed[symbol]["filters"]}
assert filters["LOT_SIZE"]["stepSize"] == "0.001" and filters["PRICE_FILTER"]["tickSize"] == "0.1", filters
(balance,) = [one for one in client.futures_account_balance() if one["asset"] == "USDT"]
assert float(balance["balance"]) == float(balance["availableBalance"]) == 10_000, balance
assert client.futures_get_position_mode() == {"dualSidePosition": False}
assert client.futures_change_leverage(symbol=symbol, leverage=5)["leverage"] == 5
assert client.futures_change_margin_type(symbol=symbol, marginType="ISOLATED")["code"] == 200
assert client.futures_leverage_bracket(symbol=symbol)

entry = client.futures_create_order(
    symbol=symbol, side="SELL", type="MARKET", quantity="0.02", newOrderRespType="RESULT",
)
assert (entry["status"], entry["executedQty"]) == ("FILLED", "0.02"), entry
(position,) = client.futures_position_information(symbol=symbol)
assert position["positionAmt"] == "-0.02" and float(position["liquidationPrice"]) > float(position["entryPrice"]), position
account = client.futures_account()
assert float(account["totalPositionInitialMargin"]) > 0, account
stop = client.futures_create_order(
    symbol=symbol, side="BUY", type="STOP_MARKET", stopPrice=f"{float(position['markPrice']) * 1.1:.1f}",
    closePosition="true", workingType="MARK_PRICE",
)
assert (stop["algoStatus"], stop["orderType"], stop["closePosition"]) == ("NEW", "STOP_MARKET", True), stop
assert client.futures_get_algo_order(algoId=stop["algoId"]) == stop
assert [one["algoId"] for one in client.futures_get_open_algo_orders(symbol=symbol)] == [stop["algoId"]]
assert client.futures_cancel_algo_order(algoId=stop["algoId"])["code"] == "200"
client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity="0.02", reduceOnly="true")
assert [one for one in client.futures_position_information() if float(one["positionAmt"])] == []

trades = client.futures_account_trades(symbol=symbol)
assert [(one["side"], one["qty"]) for one in trades] == [("SELL", "0.02"), ("BUY", "0.02")], trades
(balance,) = [one for one in client.futures_account_balance() if one["asset"] == "USDT"]
changes = sum(float(one["income"]) for one in client.futures_income_history())
assert abs(changes - float(balance["balance"])) < 1e-6, (changes, balance)
paper.agreed()

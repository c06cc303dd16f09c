"""pybit reads instruments, balances and settings, sets leverage, and opens, protects and closes a position on the face of
Bybit."""

from pybit.exceptions import InvalidRequestError

import paper
import pybit_here

session = pybit_here.session()
one = {"category": "linear", "symbol": pybit_here.SYMBOL}


def position():
    return session.get_positions(**one)["result"]["list"][0]


def wallet():
    (account,) = session.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"]
    (coin,) = account["coin"]
    return float(coin["walletBalance"])


(listed,) = session.get_instruments_info(**one)["result"]["list"]
assert listed["status"] == "Trading" and listed["lotSizeFilter"]["qtyStep"] == "0.001", listed
assert len(session.get_instruments_info(category="linear")["result"]["list"]) >= 10
assert int(session.get_server_time()["result"]["timeSecond"]) > 1_700_000_000
assert wallet() == 10_000
assert session.get_account_info()["result"]["unifiedMarginStatus"] >= 3
assert session.get_api_key_information()["result"]["readOnly"] == 0
assert float(session.get_fee_rates(**one)["result"]["list"][0]["takerFeeRate"]) > 0
session.set_leverage(**one, buyLeverage="5", sellLeverage="5")
error = paper.refused(
    InvalidRequestError, lambda: session.set_leverage(**one, buyLeverage="5", sellLeverage="5"))
assert error.status_code == 110043, error

mark = float(session.get_tickers(**one)["result"]["list"][0]["markPrice"])
order = session.place_order(
    **one, side="Sell", orderType="Market", qty="0.02",
    stopLoss=f"{mark * 1.1:.1f}", takeProfit=f"{mark * 0.9:.1f}", tpslMode="Full",
)["result"]
now = position()
assert (now["side"], now["size"], now["leverage"]) == ("Sell", "0.02", "5"), now
assert float(now["stopLoss"]) == float(f"{mark * 1.1:.1f}") and float(now["takeProfit"]) > 0, now
assert float(now["liqPrice"]) > float(now["avgPrice"]), now
session.set_trading_stop(**one, positionIdx=0, tpslMode="Full", stopLoss=f"{mark * 1.05:.1f}")
assert float(position()["stopLoss"]) == float(f"{mark * 1.05:.1f}")
stops = session.get_open_orders(**one, orderFilter="StopOrder")["result"]["list"]
assert {row["stopOrderType"] for row in stops} == {"StopLoss", "TakeProfit"}, stops

session.place_order(**one, side="Buy", orderType="Market", qty="0.02", reduceOnly=True)
assert position()["size"] == "0", position()
assert session.get_open_orders(**one)["result"]["list"] == []
fills = session.get_executions(**one)["result"]["list"]
assert [(row["side"], row["execQty"]) for row in fills] == [("Buy", "0.02"), ("Sell", "0.02")], fills
(closed,) = session.get_closed_pnl(**one)["result"]["list"]
assert abs(10_000 + float(closed["closedPnl"]) - wallet()) < 1e-4, (closed, wallet())
log = session.get_transaction_log(category="linear")["result"]["list"]
assert abs(sum(float(row["change"]) for row in log if row["type"] == "TRADE") - float(closed["closedPnl"])) < 1e-4, log
paper.agreed()

"""What ccxt sends to Binance for the orders that our connector sends too."""

import ccxt.pro

import ccxt_here
import paper
from ccxt_capture import WANTED, capture, capture_messages

symbol = ccxt_here.SYMBOL
amount, trigger, profit = WANTED["quantity"], WANTED["stop"], WANTED["take_profit"]

binance = ccxt_here.binance()
binance.load_markets()
binance.load_leverage_brackets()
binance.options["warnOnFetchOpenOrdersWithoutSymbol"] = False
# The receive window of a user's choice, and how much the answer is to say.
binance.options["recvWindow"] = 5_000
short = {"newOrderRespType": "ACK"}


def order(side, **params):
    return lambda: binance.create_order(symbol, "market", side, amount, None, {**short, **params})


def close_all(side, **params):
    more = {**short, "closePosition": True, "workingType": "MARK_PRICE", **params}
    return lambda: binance.create_order(symbol, "market", side, None, None, more)


for name, call in {
    "entry": order("buy", clientOrderId=WANTED["entry_id"]),
    "limit": lambda: binance.create_order(
        symbol, "limit", "buy", amount, WANTED["limit"], {**short, "clientOrderId": WANTED["entry_id"]}),
    "close": order("sell", reduceOnly=True, clientOrderId=WANTED["close_id"]),
    "hedge entry": order("buy", positionSide="LONG", clientOrderId=WANTED["entry_id"]),
    "hedge close": order("sell", positionSide="LONG", clientOrderId=WANTED["close_id"]),
    "stop": close_all("sell", stopLossPrice=trigger, clientOrderId=WANTED["stop_id"]),
    "take profit": close_all("sell", takeProfitPrice=profit, clientOrderId=WANTED["profit_id"]),
    "cancel": lambda: binance.cancel_order(None, symbol, {"clientOrderId": WANTED["entry_id"]}),
    "cancel stop": lambda: binance.cancel_order(
        None, symbol, {"trigger": True, "clientAlgoId": WANTED["stop_id"]}),
    "query": lambda: binance.fetch_order(None, symbol, {"clientOrderId": WANTED["entry_id"]}),
    "leverage": lambda: binance.set_leverage(WANTED["leverage"], symbol),
    "margin": lambda: binance.set_margin_mode("isolated", symbol),
    "positions": lambda: binance.fetch_positions(),
    "open orders": lambda: binance.fetch_open_orders(None),
    "open triggers": lambda: binance.fetch_open_orders(None, params={"trigger": True}),
    "balances": lambda: binance.fapiPrivateV3GetBalance(),
}.items():
    capture(binance, name, call)


def messages(exchange):
    exchange.options["recvWindow"] = 5_000

    def place(side, more, **params):
        return lambda: exchange.create_order_ws(symbol, "market", side, more, None, {**short, **params})

    return {
        "entry": place("buy", amount, newClientOrderId=WANTED["entry_id"]),
        "close": place("sell", amount, newClientOrderId=WANTED["close_id"], reduceOnly=True),
        "stop": place(
            "sell", None, stopLossPrice=trigger, clientAlgoId=WANTED["stop_id"], closePosition=True,
            workingType="MARK_PRICE"),
        "cancel": lambda: exchange.cancel_order_ws(None, symbol, {"origClientOrderId": WANTED["entry_id"]}),
    }


capture_messages(ccxt.pro.binanceusdm, messages)
paper.agreed()

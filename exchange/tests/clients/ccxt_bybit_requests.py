"""What ccxt sends to Bybit for the orders that our connector sends too."""

import ccxt.pro

import ccxt_here
import paper
from ccxt_capture import WANTED, capture, capture_messages

symbol = ccxt_here.SYMBOL
amount, trigger, profit = WANTED["quantity"], WANTED["stop"], WANTED["take_profit"]

bybit = ccxt_here.bybit()
bybit.load_markets()
bybit.is_unified_enabled()


def create(kind, side, price=None, **params):
    return lambda: bybit.create_order(symbol, kind, side, amount, price, {"positionIdx": 0, **params})


protection = {"tpslMode": "Full", "positionIdx": 0, "tradingStopEndpoint": True}
marks = {"tpTriggerBy": "MarkPrice", "slTriggerBy": "MarkPrice", "tpOrderType": "Market", "slOrderType": "Market"}
for name, call in {
    "entry": create("market", "buy", clientOrderId=WANTED["entry_id"], timeInForce="IOC"),
    "protected entry": create(
        "market", "buy", clientOrderId=WANTED["entry_id"], timeInForce="IOC", tpslMode="Full",
        stopLoss={"triggerPrice": trigger}, takeProfit={"triggerPrice": profit}, **marks),
    "limit": create("limit", "buy", WANTED["limit"], clientOrderId=WANTED["entry_id"], timeInForce="GTC"),
    "close": create("market", "sell", clientOrderId=WANTED["close_id"], timeInForce="IOC", reduceOnly=True),
    "hedge entry": create(
        "market", "buy", clientOrderId=WANTED["entry_id"], timeInForce="IOC", positionIdx=1),
    "hedge close": create(
        "market", "sell", clientOrderId=WANTED["close_id"], timeInForce="IOC", positionIdx=1, reduceOnly=True),
    "stop": create(
        "market", "sell", clientOrderId=WANTED["stop_id"], timeInForce="IOC", stopLossPrice=trigger,
        triggerBy="MarkPrice", closeOnTrigger=True, qty="0"),
    "take profit": create(
        "market", "sell", clientOrderId=WANTED["profit_id"], timeInForce="IOC", takeProfitPrice=profit,
        triggerBy="MarkPrice", closeOnTrigger=True, qty="0"),
    "protect": lambda: bybit.create_order(
        symbol, "market", "sell", amount, None,
        {**protection, **marks, "stopLossPrice": trigger, "takeProfitPrice": profit}),
    "cancel": lambda: bybit.cancel_order(None, symbol, {"orderLinkId": WANTED["entry_id"]}),
    "query": lambda: bybit.fetch_open_orders(symbol, None, None, {"orderLinkId": WANTED["entry_id"]}),
    "leverage": lambda: bybit.set_leverage(WANTED["leverage"], symbol),
    "margin": lambda: bybit.set_margin_mode("isolated"),
    "positions": lambda: bybit.fetch_positions(),
    "open orders": lambda: bybit.fetch_open_orders(None, None, 50, {"orderFilter": "Order", "openOnly": 0}),
    "open triggers": lambda: bybit.fetch_open_orders(None, None, 50, {"trigger": True, "openOnly": 0}),
    "balances": lambda: bybit.fetch_balance(),
}.items():
    capture(bybit, name, call)


def messages(exchange):
    def place(side, **params):
        more = {"positionIdx": 0, "timeInForce": "IOC", **params}
        return lambda: exchange.create_order_ws(symbol, "market", side, amount, None, more)

    return {
        "entry": place("buy", clientOrderId=WANTED["entry_id"]),
        "close": place("sell", clientOrderId=WANTED["close_id"], reduceOnly=True),
        "stop": place(
            "sell", clientOrderId=WANTED["stop_id"], stopLossPrice=trigger, triggerBy="MarkPrice",
            closeOnTrigger=True, qty="0"),
        "cancel": lambda: exchange.cancel_order_ws(None, symbol, {"orderLinkId": WANTED["entry_id"]}),
    }


capture_messages(ccxt.pro.bybit, messages)
paper.agreed()

"""python-binance follows the private stream of the face of Binance, and trades over its WebSocket API."""

import python_binance_here

SYMBOL = python_binance_here.SYMBOL


async def until(stream, kind, fits):
    """The first event of a kind that fits, with all kinds that came up to it."""
    seen = []
    while True:
        event = await stream.recv()
        assert event["e"] != "error", event
        seen.append(event["e"])
        if event["e"] == kind and fits(event):
            return event, seen


async def script(client, sockets):
    async with sockets.futures_user_socket() as stream:
        await client.futures_change_leverage(symbol=SYMBOL, leverage=4)
        event, _ = await until(stream, "ACCOUNT_CONFIG_UPDATE", lambda event: True)
        assert event["ac"] == {"s": SYMBOL, "l": 4}, event

        placed = await client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01")
        event, seen = await until(stream, "ORDER_TRADE_UPDATE", lambda event: event["o"]["X"] == "FILLED")
        assert event["o"]["i"] == placed["orderId"] and event["o"]["z"] == "0.01", event
        if "ACCOUNT_UPDATE" not in seen:
            await until(stream, "ACCOUNT_UPDATE", lambda event: event["a"]["P"][0]["pa"] == "0.01")

        price = f"{float((await client.futures_mark_price(symbol=SYMBOL))['markPrice']) * 0.97:.1f}"
        order = await client.ws_futures_create_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price=price,
        )
        assert order["status"] == "NEW", order
        await until(stream, "ORDER_TRADE_UPDATE", lambda event: event["o"]["i"] == order["orderId"])
        known = await client.ws_futures_get_order(symbol=SYMBOL, orderId=order["orderId"])
        assert known["status"] == "NEW", known
        await client.ws_futures_cancel_order(symbol=SYMBOL, orderId=order["orderId"])
        await until(stream, "ORDER_TRADE_UPDATE", lambda event: event["o"]["X"] == "CANCELED")
        positions = await client.ws_futures_v2_account_position(symbol=SYMBOL)
        assert positions[0]["positionAmt"] == "0.01", positions

        stop = await client.ws_futures_create_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", triggerPrice=price, closePosition="true",
        )
        event, _ = await until(stream, "ALGO_UPDATE", lambda event: event["o"]["X"] == "NEW")
        assert event["o"]["aid"] == stop["algoId"] and event["o"]["cp"] is True, event
        await client.ws_futures_cancel_order(algoId=stop["algoId"])
        await until(stream, "ALGO_UPDATE", lambda event: event["o"]["X"] == "CANCELED")

    async with sockets.symbol_mark_price_socket(SYMBOL) as stream:
        event = await stream.recv()
        assert event["data"]["e"] == "markPriceUpdate" and event["data"]["s"] == SYMBOL, event


python_binance_here.run(script)
python_binance_here.paper.agreed()

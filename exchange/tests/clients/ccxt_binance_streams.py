"""ccxt.pro follows orders, trades, positions, balances and prices of the face of Binance, and trades over its WebSocket API."""

import asyncio

import ccxt.pro

import ccxt_here
import paper


async def script(exchange):
    symbol = ccxt_here.SYMBOL
    orders, trades, positions, balance = await ccxt_here.listening(
        exchange.watch_orders(symbol),
        exchange.watch_my_trades(symbol),
        exchange.watch_positions([symbol]),
        exchange.watch_balance(),
    )
    placed = await exchange.create_order(symbol, "market", "buy", 0.01)
    told = (await orders)[-1]
    assert told["id"] == placed["id"] and told["status"] in ("open", "closed"), told
    while told["status"] != "closed":
        told = (await exchange.watch_orders(symbol))[-1]
    assert told["filled"] == 0.01 and told["average"] > 0, told
    trade = (await trades)[-1]
    assert (trade["order"], trade["amount"], trade["side"]) == (placed["id"], 0.01, "buy"), trade
    assert trade["fee"]["cost"] > 0, trade
    # The first that it tells is what it asked over HTTP.
    held = await positions
    while not held:
        held = await exchange.watch_positions([symbol])
    assert [(one["side"], one["contracts"]) for one in held] == [("long", 0.01)], held
    wallet = (await balance)["USDT"]
    assert 9_990 < wallet["total"] < 10_000, wallet

    changes = asyncio.ensure_future(exchange.watch_orders(symbol))
    limit = exchange.price_to_precision(symbol, paper.mark(ccxt_here.ID) * 0.97)
    over_socket = await exchange.create_order_ws(symbol, "limit", "buy", 0.01, limit)
    assert over_socket["status"] == "open", over_socket
    told = (await changes)[-1]
    assert (told["id"], told["status"]) == (over_socket["id"], "open"), told
    changes = asyncio.ensure_future(exchange.watch_orders(symbol))
    await exchange.cancel_order_ws(over_socket["id"], symbol)
    told = (await changes)[-1]
    assert (told["id"], told["status"]) == (over_socket["id"], "canceled"), told

    closing = asyncio.ensure_future(exchange.watch_positions([symbol]))
    await exchange.create_order(symbol, "market", "sell", 0.01, None, {"reduceOnly": True})
    assert [one["contracts"] for one in await closing] == [0], closing

    ticker = await exchange.watch_mark_price(symbol)
    assert abs(ticker["markPrice"] / paper.mark(ccxt_here.ID) - 1) < 0.02, ticker
    best = (await exchange.watch_bids_asks([symbol]))[symbol]
    assert best["bid"] < best["ask"], best


ccxt_here.run(ccxt.pro.binanceusdm, script)
paper.agreed()

"""ccxt.pro follows orders, trades, positions, balances and prices of the face of Bybit, and trades over its trade socket."""

import asyncio

import ccxt.pro

import ccxt_here
import paper


async def script(exchange):
    symbol = ccxt_here.SYMBOL
    # The first that it tells of positions is what it asked over HTTP.
    assert await exchange.watch_positions([symbol]) == []
    followed = ccxt_here.Followed(
        orders=lambda: exchange.watch_orders(symbol),
        trades=lambda: exchange.watch_my_trades(symbol),
        positions=lambda: exchange.watch_positions([symbol]),
        balances=lambda: exchange.watch_balance(),
    )
    # Nothing is told of what was before the subscription, so it is done until it is told.
    for _ in range(30):
        placed = await exchange.create_order(symbol, "market", "buy", 0.01)
        await asyncio.sleep(1)
        if exchange.orders and exchange.myTrades and ccxt_here.positions(exchange) and followed.told["balances"]:
            break

    def orders():
        return exchange.orders

    order = await followed.until("the fill", orders, id=placed["id"], status="closed")
    assert order["filled"] == 0.01 and order["average"] > 0, order
    trade = await followed.until("the trade", lambda: exchange.myTrades, order=placed["id"])
    assert (trade["amount"], trade["side"], trade["price"]) == (0.01, "buy", order["average"]), trade
    assert trade["fee"]["cost"] > 0, trade
    held = (await exchange.fetch_positions([symbol]))[0]["contracts"]
    position = await followed.until("the position", lambda: ccxt_here.positions(exchange), side="long", contracts=held)
    assert position["entryPrice"] > 0, position
    assert 9_900 < followed.told["balances"][-1]["USDT"]["total"] < 10_000, followed.told["balances"][-1]

    limit = exchange.price_to_precision(symbol, paper.mark(ccxt_here.ID) * 0.97)
    over_socket = (await exchange.create_order_ws(symbol, "limit", "buy", 0.01, limit))["id"]
    await followed.until("the order", orders, id=over_socket, status="open", price=float(limit))
    await exchange.cancel_order_ws(over_socket, symbol)
    await followed.until("its end", orders, id=over_socket, status="canceled")
    await exchange.create_order(symbol, "market", "sell", held, None, {"reduceOnly": True})
    await followed.until("the flat position", lambda: ccxt_here.positions(exchange), contracts=0)
    followed.stop()

    ticker = await exchange.watch_ticker(symbol)
    assert abs(ticker["last"] / paper.mark(ccxt_here.ID) - 1) < 0.02, ticker
    book = await exchange.watch_order_book(symbol, 1)
    assert book["bids"][0][0] < book["asks"][0][0], book


ccxt_here.run(ccxt.pro.bybit, script)
paper.agreed()

"""ccxt.pro follows orders, trades, positions, balances and prices of the face of Bybit, and trades over its trade socket."""

import ccxt.pro

import ccxt_here
import paper


async def script(exchange):
    symbol = ccxt_here.SYMBOL
    await ccxt_here.trade_and_follow(exchange)
    ticker = await exchange.watch_ticker(symbol)
    assert abs(ticker["last"] / paper.mark(ccxt_here.ID) - 1) < 0.02, ticker
    book = await exchange.watch_order_book(symbol, 1)
    assert book["bids"][0][0] < book["asks"][0][0], book


ccxt_here.run(ccxt.pro.bybit, script)
paper.agreed()

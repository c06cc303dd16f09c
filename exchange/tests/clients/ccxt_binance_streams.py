"""ccxt.pro follows orders, trades, positions, balances and prices of the face of Binance, and trades over its WebSocket API."""

import ccxt.pro

import ccxt_here
import paper


async def script(exchange):
    symbol = ccxt_here.SYMBOL
    await ccxt_here.trade_and_follow(exchange)
    ticker = await exchange.watch_mark_price(symbol)
    assert abs(ticker["markPrice"] / paper.mark(ccxt_here.ID) - 1) < 0.02, ticker
    best = (await exchange.watch_bids_asks([symbol]))[symbol]
    assert best["bid"] < best["ask"], best


ccxt_here.run(ccxt.pro.binanceusdm, script)
paper.agreed()

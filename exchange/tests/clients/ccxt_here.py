"""ccxt's exchanges with their addresses, and nothing else, replaced by the paper exchange's."""

import asyncio

import ccxt
import ccxt.pro

import paper

SYMBOL = "BTC/USDT:USDT"
ID = "BTCUSDT"


def moved(url):
    """The same path at the paper exchange; ccxt's marks such as {hostname} lie in the host and fall away with it."""
    scheme, _, rest = url.partition("://")
    _, _, path = rest.partition("/")
    base = paper.SOCKETS if scheme in ("ws", "wss") else paper.BASE
    return base + ("/" + path if path else "")


def moved_all(urls):
    if isinstance(urls, dict):
        return {name: moved_all(url) for name, url in urls.items()}
    return moved(urls) if isinstance(urls, str) else urls


def at_paper(exchange):
    exchange.urls["api"] = moved_all(exchange.urls["api"])
    return exchange


def keys():
    return {"apiKey": paper.API_KEY, "secret": paper.SECRET}


def binance():
    return at_paper(ccxt.binanceusdm(keys()))


def bybit():
    return at_paper(ccxt.bybit(keys()))


def run(kind, script):
    """Runs `script(exchange)` with a streaming exchange of this kind, and closes it."""

    async def whole():
        exchange = at_paper(kind(keys()))
        try:
            await exchange.load_markets()
            await asyncio.wait_for(script(exchange), paper.PATIENCE)
        finally:
            await exchange.close()

    asyncio.run(whole())


async def listening(*watchers):
    """Starts these watchers and gives them time to be connected: an exchange tells nothing of what came before."""
    tasks = [asyncio.ensure_future(watcher) for watcher in watchers]
    await asyncio.sleep(1)
    for task in tasks:
        if task.done():
            task.result()
    return tasks

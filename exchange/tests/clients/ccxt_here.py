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


def positions(exchange):
    """What a streaming exchange knows of positions: a list, or lists by kind of account."""
    known = exchange.positions or []
    return [row for rows in known.values() for row in rows] if isinstance(known, dict) else known


class Followed:
    """What watchers tell, asked for over and over.

    What comes while nobody waits is not told again, but it is in the exchange's own lists (`orders`, `myTrades`,
    `positions`), so those are looked at.
    """

    def __init__(self, **watchers):
        self.told = {name: [] for name in watchers}
        self.tasks = [asyncio.ensure_future(self.follow(name, watch)) for name, watch in watchers.items()]

    async def follow(self, name, watch):
        while True:
            self.told[name].append(await watch())

    async def until(self, what, rows, **wanted):
        """The first of `rows()` that has these values, when it is there."""
        while True:
            for task in self.tasks:
                if task.done():
                    task.result()
            for row in rows() or []:
                if all(row[name] == value for name, value in wanted.items()):
                    return row
            await asyncio.sleep(0.02)

    def stop(self):
        for task in self.tasks:
            task.cancel()


async def trade_and_follow(exchange):
    """A position opened and closed, and an order placed and cancelled, each as the streams tell it."""
    symbol = SYMBOL
    # The first that it tells of positions is what it asked over HTTP.
    assert await exchange.watch_positions([symbol]) == []
    followed = Followed(
        orders=lambda: exchange.watch_orders(symbol),
        trades=lambda: exchange.watch_my_trades(symbol),
        positions=lambda: exchange.watch_positions([symbol]),
        balances=lambda: exchange.watch_balance(),
    )
    # Nothing is told of what was before the subscription, so it is done until it is told.
    for _ in range(30):
        placed = await exchange.create_order(symbol, "market", "buy", 0.01)
        await asyncio.sleep(1)
        if exchange.orders and exchange.myTrades and positions(exchange) and followed.told["balances"]:
            break

    def orders():
        return exchange.orders

    order = await followed.until("the fill", orders, id=placed["id"], status="closed")
    assert order["filled"] == 0.01 and order["average"] > 0, order
    trade = await followed.until("the trade", lambda: exchange.myTrades, order=placed["id"])
    assert (trade["amount"], trade["side"], trade["price"]) == (0.01, "buy", order["average"]), trade
    assert trade["fee"]["cost"] > 0, trade
    held = (await exchange.fetch_positions([symbol]))[0]["contracts"]
    position = await followed.until("the position", lambda: positions(exchange), side="long", contracts=held)
    assert position["entryPrice"] > 0, position
    assert 9_900 < followed.told["balances"][-1]["USDT"]["total"] < 10_000, followed.told["balances"][-1]

    limit = exchange.price_to_precision(symbol, paper.mark(ID) * 0.97)
    over_socket = (await exchange.create_order_ws(symbol, "limit", "buy", 0.01, limit))["id"]
    await followed.until("the order", orders, id=over_socket, status="open", price=float(limit))
    await exchange.cancel_order_ws(over_socket, symbol)
    await followed.until("its end", orders, id=over_socket, status="canceled")
    await exchange.create_order(symbol, "market", "sell", held, None, {"reduceOnly": True})
    await followed.until("the flat position", lambda: positions(exchange), contracts=0)
    followed.stop()

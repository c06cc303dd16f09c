"""python-binance with its addresses, and nothing else, replaced by the paper exchange's."""

import asyncio

from binance import AsyncClient, BinanceSocketManager, Client

import paper

SYMBOL = "BTCUSDT"


def moved(kind):
    """The class with other addresses: they are its constants, there is no argument for them."""
    return type(kind.__name__, (kind,), {
        "API_URL": paper.BASE + "/api",
        "MARGIN_API_URL": paper.BASE + "/sapi",
        "FUTURES_URL": paper.BASE + "/fapi",
        "WS_FUTURES_URL": paper.SOCKETS + "/ws-fapi/v1",
    })


def client():
    return moved(Client)(paper.API_KEY, paper.SECRET)


class Sockets(BinanceSocketManager):
    FSTREAM_URL = paper.SOCKETS + "/"


def run(script):
    """Runs `script(client, sockets)`, and closes what it used."""

    async def whole():
        client = await moved(AsyncClient).create(paper.API_KEY, paper.SECRET)
        try:
            await asyncio.wait_for(script(client, Sockets(client)), paper.PATIENCE)
        finally:
            await client.close_connection()

    asyncio.run(whole())

"""What ccxt sends, printed as one JSON object a line instead of being sent.

A script that imports this is called as `python SCRIPT BASE API_KEY SECRET WANTED`; WANTED is a JSON object of what to order.
It calls what ccxt offers to its users: methods of its unified interface, with parameters of the exchange that it hands
through.
"""

import asyncio
import json
import sys

import ccxt_here
import paper

WANTED = json.loads(sys.argv[4])


class Captured(Exception):
    """Ends a call at the moment of sending."""


def capture(exchange, name, call):
    """Prints the request that `call` makes."""

    def fetch(url, method="GET", headers=None, body=None):
        target = url.removeprefix(paper.BASE)
        sent = {"name": name, "method": method, "target": target, "headers": dict(headers or {}), "body": body or ""}
        print(json.dumps(sent))
        raise Captured

    real, exchange.fetch = exchange.fetch, fetch
    try:
        call()
    except Captured:
        return
    finally:
        exchange.fetch = real
    raise AssertionError(f"{name}: nothing was sent")


def capture_messages(kind, calls):
    """Prints the messages that the calls of a streaming exchange make for its WebSocket of orders, and its login."""

    async def script(exchange):
        def watch(url, mark, message=None, *_):
            is_login = message.get("op") == "auth"
            name = "login" if is_login else current
            print(json.dumps({"name": "socket " + name, "target": url.removeprefix(paper.SOCKETS), "message": message}))
            if is_login:
                exchange.client(url).resolve(message, mark)
                return None
            raise Captured

        exchange.watch = watch
        for current, call in calls(exchange).items():
            try:
                await call()
            except Captured:
                continue
            raise AssertionError(f"{current}: nothing was sent")

    ccxt_here.run(kind, script)

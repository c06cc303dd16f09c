"""What ccxt sends, printed as one JSON object a line instead of being sent.

A script that imports this is called as `python SCRIPT BASE API_KEY SECRET WANTED`; WANTED is a JSON object of what to order.
It calls what ccxt offers to its users: methods of its unified interface, with parameters of the exchange that it hands
through.
"""

import json
import sys

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

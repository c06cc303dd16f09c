"""Where the paper exchange is, whose account it is, and how a script waits and ends.

A script is called as `python SCRIPT BASE API_KEY SECRET`; BASE is `http://ADDRESS:PORT`. It prints `agreed` when everything
was as it should be; anything else is a failure.
"""

import faulthandler
import json
import sys
import time
import urllib.request

BASE, API_KEY, SECRET = sys.argv[1:4]
ADDRESS = BASE.removeprefix("http://")
SOCKETS = "ws://" + ADDRESS
# Seconds after which something counts as never coming; far more than anything here takes, for machines that are busy.
PATIENCE = 60
# A client that waits for ever ends with a trace of where each of its threads is.
faulthandler.dump_traceback_later(3 * PATIENCE, exit=True)


def admin(method, path, body=None):
    """Asks an admin route."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, method=method, data=data)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


def mark(symbol):
    """The mark price now."""
    return float(admin("GET", "/paper/market")["marks"][symbol])


def refused(kind, call, *words):
    """The call raises this kind of exception, whose text holds the words."""
    try:
        answer = call()
    except kind as error:
        assert all(word in str(error) for word in words), f"{error!r} lacks one of {words}"
        return error
    raise AssertionError(f"not refused, but answered: {answer}")


def distance(ms):
    """Puts so many milliseconds between the exchange and its clients' WebSockets: no real exchange is as near as this one."""
    latency, later = {"kind": "latency", "ms": ms}, {"kind": "withhold", "ms": ms}
    for what, fault in {"subscribe": latency, "order.*": latency, "stream *": later}.items():
        admin("POST", "/paper/faults", {"on": what, "when": {"every": 1}, "fault": fault})


def until(what, look):
    """Waits until `look` gives something, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"never came: {what}")


def agreed():
    """The last word of a script."""
    print("agreed", flush=True)

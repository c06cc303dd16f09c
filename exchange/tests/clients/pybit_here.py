"""pybit with its addresses, and nothing else, replaced by the paper exchange's.

It has arguments for parts of a host name alone, so its constants of addresses are set, and the address of a session.
"""

from pybit import _http_manager, _websocket_trading, unified_trading

import paper

SYMBOL = "BTCUSDT"

_http_manager.HTTP_URL = paper.BASE
unified_trading.PRIVATE_WSS = paper.SOCKETS + "/v5/private"
unified_trading.PUBLIC_WSS = paper.SOCKETS + "/v5/public/{CHANNEL_TYPE}"
_websocket_trading.TRADE_WSS = paper.SOCKETS + "/v5/trade"

KEYS = {"api_key": paper.API_KEY, "api_secret": paper.SECRET}


def session():
    return unified_trading.HTTP(**KEYS)

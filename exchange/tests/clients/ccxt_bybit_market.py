"""ccxt reads clock, instruments, prices and balances of the face of Bybit."""

import ccxt_here
import paper

exchange = ccxt_here.bybit()
symbol = ccxt_here.SYMBOL

markets = exchange.load_markets()
market = markets[symbol]
assert len(markets) >= 10, sorted(markets)
assert market["linear"] and market["swap"] and market["active"] and market["contractSize"] == 1, market
assert market["precision"]["price"] == 0.1 and market["precision"]["amount"] == 0.001, market["precision"]
assert exchange.price_to_precision(symbol, 60000.123) == "60000.1"
assert exchange.amount_to_precision(symbol, 0.0129) == "0.012"

assert abs(exchange.fetch_time() - exchange.milliseconds()) < 5_000
mark = paper.mark(ccxt_here.ID)
assert abs(exchange.fetch_ticker(symbol)["last"] / mark - 1) < 0.02
assert abs(exchange.fetch_funding_rate(symbol)["markPrice"] / mark - 1) < 0.02
book = exchange.fetch_order_book(symbol, 5)
assert book["bids"] and book["asks"] and book["bids"][0][0] < book["asks"][0][0], book
assert isinstance(exchange.fetch_ohlcv(symbol, "1m"), list)
tier = exchange.fetch_market_leverage_tiers(symbol)[0]
assert tier["maxLeverage"] >= 100 and 0 < tier["maintenanceMarginRate"] < 0.02, tier
fee = exchange.fetch_trading_fee(symbol)
assert 0 < fee["maker"] < fee["taker"] < 0.001, fee

balance = exchange.fetch_balance()["USDT"]
assert balance["total"] == balance["free"] == 10_000, balance
assert exchange.fetch_positions() == []
paper.agreed()

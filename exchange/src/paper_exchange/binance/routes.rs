//! Which request goes where, what it costs, and who may ask (EXCHANGES.md §2.3).

use super::context::{Answer, Context};
use super::params::Params;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// Anybody.
    Public,
    /// Who names a key.
    Key,
    /// Who signs.
    Signed,
    /// Who signs with a key that may trade.
    Trade,
}

/// What a request counts as an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orders {
    None,
    One,
    /// Five in 10 s, one in a minute.
    Batch,
}

pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) security: Security,
    /// Weight with a symbol, and without.
    pub(super) weight: (u64, u64),
    pub(super) orders: Orders,
    pub(super) handler: fn(&mut Context<'_, '_>) -> Answer,
}

impl Route {
    pub(super) fn weight_of(&self, params: &Params) -> u64 {
        if self.path == "/fapi/v1/klines" {
            // By the rows that are asked for; 500 when nothing is said.
            return match params.integer("limit").ok().flatten().unwrap_or(500) {
                0..100 => 1,
                100..500 => 2,
                500..=1_000 => 5,
                _ => 10,
            };
        }
        if params.text("symbol").is_some() { self.weight.0 } else { self.weight.1 }
    }
}

macro_rules! routes {
    ($($method:literal $path:literal $security:ident ($with:literal, $without:literal) $orders:ident $handler:ident;)*) => {
        pub(super) const ROUTES: &[Route] = &[$(Route {
            method: $method,
            path: $path,
            security: Security::$security,
            weight: ($with, $without),
            orders: Orders::$orders,
            handler: |context| context.$handler(),
        },)*];
    };
}

routes! {
    "GET" "/fapi/v1/ping" Public (1, 1) None empty;
    "GET" "/fapi/v1/time" Public (1, 1) None time;
    "GET" "/fapi/v1/exchangeInfo" Public (1, 1) None exchange_info;
    "GET" "/fapi/v1/premiumIndex" Public (1, 10) None premium_index;
    "GET" "/fapi/v1/ticker/price" Public (1, 2) None price;
    "GET" "/fapi/v2/ticker/price" Public (1, 2) None price;
    "GET" "/fapi/v1/ticker/bookTicker" Public (2, 5) None book_ticker;
    "GET" "/fapi/v1/ticker/24hr" Public (1, 40) None day_ticker;
    "GET" "/fapi/v1/depth" Public (5, 5) None depth;
    "GET" "/fapi/v1/klines" Public (5, 5) None klines;
    "GET" "/fapi/v1/trades" Public (5, 5) None public_trades;
    "GET" "/fapi/v1/fundingRate" Public (1, 1) None funding_rates;
    "GET" "/fapi/v1/fundingInfo" Public (0, 0) None empty_list;

    "POST" "/fapi/v1/order" Trade (0, 0) One place;
    "PUT" "/fapi/v1/order" Trade (0, 0) One modify;
    "GET" "/fapi/v1/order" Signed (1, 1) None query;
    "DELETE" "/fapi/v1/order" Trade (1, 1) None cancel;
    "POST" "/fapi/v1/batchOrders" Trade (5, 5) Batch place_batch;
    "DELETE" "/fapi/v1/batchOrders" Trade (1, 1) None cancel_batch;
    "DELETE" "/fapi/v1/allOpenOrders" Trade (1, 1) None cancel_all;
    "GET" "/fapi/v1/openOrder" Signed (1, 1) None open_order;
    "GET" "/fapi/v1/openOrders" Signed (1, 40) None open_orders;
    "GET" "/fapi/v1/allOrders" Signed (5, 5) None all_orders;
    "GET" "/fapi/v1/userTrades" Signed (5, 5) None trades;
    "GET" "/fapi/v1/income" Signed (30, 30) None incomes;

    "POST" "/fapi/v1/algoOrder" Trade (0, 0) One place_algo;
    "GET" "/fapi/v1/algoOrder" Signed (1, 1) None query_algo;
    "DELETE" "/fapi/v1/algoOrder" Trade (1, 1) None cancel_algo;
    "GET" "/fapi/v1/openAlgoOrders" Signed (1, 40) None open_algo;
    "GET" "/fapi/v1/allAlgoOrders" Signed (5, 5) None all_algo;
    "DELETE" "/fapi/v1/algoOpenOrders" Trade (1, 1) None cancel_all_algo;

    "GET" "/fapi/v2/account" Signed (5, 5) None account_v2;
    "GET" "/fapi/v3/account" Signed (5, 5) None account_v3;
    "GET" "/fapi/v2/balance" Signed (5, 5) None balance;
    "GET" "/fapi/v3/balance" Signed (5, 5) None balance;
    "GET" "/fapi/v2/positionRisk" Signed (5, 5) None position_risk_v2;
    "GET" "/fapi/v3/positionRisk" Signed (5, 5) None position_risk_v3;
    "GET" "/fapi/v1/accountConfig" Signed (5, 5) None account_config;
    "GET" "/fapi/v1/symbolConfig" Signed (5, 5) None symbol_config;
    "GET" "/fapi/v1/leverageBracket" Signed (1, 1) None leverage_bracket;
    "GET" "/fapi/v1/commissionRate" Signed (20, 20) None commission_rate;
    "POST" "/fapi/v1/leverage" Trade (1, 1) None set_leverage;
    "POST" "/fapi/v1/marginType" Trade (1, 1) None set_margin_type;
    "POST" "/fapi/v1/positionSide/dual" Trade (1, 1) None set_mode;
    "GET" "/fapi/v1/positionSide/dual" Signed (30, 30) None mode;
    "GET" "/fapi/v1/multiAssetsMargin" Signed (30, 30) None multi_assets;
    "POST" "/fapi/v1/multiAssetsMargin" Trade (1, 1) None set_multi_assets;
    "GET" "/fapi/v1/feeBurn" Signed (30, 30) None fee_burn;
    "GET" "/fapi/v1/rateLimit/order" Signed (1, 1) None order_limits;
    "GET" "/fapi/v1/apiTradingStatus" Signed (1, 10) None trading_status;
    "GET" "/fapi/v1/adlQuantile" Signed (5, 5) None empty_list;
    "GET" "/fapi/v1/forceOrders" Signed (20, 50) None forced_orders;

    "POST" "/fapi/v1/listenKey" Key (1, 1) None open_listen_key;
    "PUT" "/fapi/v1/listenKey" Key (1, 1) None keep_listen_key;
    "DELETE" "/fapi/v1/listenKey" Key (1, 1) None close_listen_key;

    "GET" "/sapi/v1/account/apiRestrictions" Signed (1, 1) None key_restrictions;
    "GET" "/sapi/v1/capital/config/getall" Signed (10, 10) None empty_list;
    "GET" "/sapi/v1/margin/allPairs" Key (1, 1) None empty_list;
    "GET" "/sapi/v1/margin/isolated/allPairs" Signed (10, 10) None empty_list;
    "GET" "/api/v3/ping" Public (1, 1) None empty;
    "GET" "/api/v3/time" Public (1, 1) None time;
}

/// The route of a request.
pub(super) fn find(method: &str, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.path == path && route.method == method)
}

/// The route that a method of the WebSocket API stands for, where it has one.
pub(super) fn of_method(method: &str) -> Option<&'static Route> {
    let (verb, path) = match method {
        "ping" => ("GET", "/fapi/v1/ping"),
        "time" => ("GET", "/fapi/v1/time"),
        "exchangeInfo" => ("GET", "/fapi/v1/exchangeInfo"),
        "depth" => ("GET", "/fapi/v1/depth"),
        "ticker.price" => ("GET", "/fapi/v1/ticker/price"),
        "ticker.book" => ("GET", "/fapi/v1/ticker/bookTicker"),
        "order.place" => ("POST", "/fapi/v1/order"),
        "order.modify" => ("PUT", "/fapi/v1/order"),
        "order.status" => ("GET", "/fapi/v1/order"),
        "order.cancel" => ("DELETE", "/fapi/v1/order"),
        "algoOrder.place" => ("POST", "/fapi/v1/algoOrder"),
        "algoOrder.cancel" => ("DELETE", "/fapi/v1/algoOrder"),
        "account.status" => ("GET", "/fapi/v3/account"),
        "v2/account.status" => ("GET", "/fapi/v3/account"),
        "account.balance" => ("GET", "/fapi/v2/balance"),
        "v2/account.balance" => ("GET", "/fapi/v3/balance"),
        "account.position" => ("GET", "/fapi/v2/positionRisk"),
        "v2/account.position" => ("GET", "/fapi/v3/positionRisk"),
        "userDataStream.start" => ("POST", "/fapi/v1/listenKey"),
        "userDataStream.ping" => ("PUT", "/fapi/v1/listenKey"),
        "userDataStream.stop" => ("DELETE", "/fapi/v1/listenKey"),
        _ => return None,
    };
    find(verb, path)
}

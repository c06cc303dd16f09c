//! What an account is and has, its settings, and its key.

use engine::core::fixed::Money;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::context::{Answer, Context};
use super::errors::ApiError;
use super::limits::{ORDERS_1M_MAX, ORDERS_10S_MAX};
use super::render;
use crate::paper::rules;

impl Context<'_, '_> {
    fn positions(&self, v2: bool) -> Result<Vec<Value>, ApiError> {
        let account = self.account()?;
        let core = &*self.desk.core;
        let asked = self.params.text("symbol").is_some();
        let mut told = Vec::new();
        for instrument in self.asked()? {
            let position = account.positions.get(&instrument.symbol);
            let has_orders =
                || core.open_orders(self.account).any(|order| order.spec.symbol == instrument.symbol);
            if v2 || asked || position.is_some() || has_orders() {
                let mark = core.mark(instrument.symbol).unwrap_or_default();
                told.push(render::position(account, &instrument, position, mark, v2));
            }
        }
        Ok(told)
    }

    pub(super) fn position_risk_v2(&mut self) -> Answer {
        Ok(Value::Array(self.positions(true)?).to_string())
    }

    pub(super) fn position_risk_v3(&mut self) -> Answer {
        Ok(Value::Array(self.positions(false)?).to_string())
    }

    pub(super) fn balance(&mut self) -> Answer {
        let funds = self.desk.core.funds(self.account).ok_or(ApiError::KEY)?;
        Ok(json!([render::balance(self.account, &funds, self.now_ms())]).to_string())
    }

    fn account_info(&self, v2: bool) -> Answer {
        let account = self.account()?;
        let core = &*self.desk.core;
        let funds = core.funds(self.account).ok_or(ApiError::KEY)?;
        let asset = render::asset(&funds, self.now_ms());
        let mut positions = Vec::new();
        for instrument in core.instruments() {
            let position = account.positions.get(&instrument.symbol);
            if v2 || position.is_some() {
                let mark = core.mark(instrument.symbol).unwrap_or_default();
                positions.push(render::account_position(account, instrument, position, mark, v2));
            }
        }
        let mut value = json!({
            "totalInitialMargin": asset["initialMargin"],
            "totalMaintMargin": asset["maintMargin"],
            "totalWalletBalance": asset["walletBalance"],
            "totalUnrealizedProfit": asset["unrealizedProfit"],
            "totalMarginBalance": asset["marginBalance"],
            "totalPositionInitialMargin": asset["positionInitialMargin"],
            "totalOpenOrderInitialMargin": asset["openOrderInitialMargin"],
            "totalCrossWalletBalance": asset["crossWalletBalance"],
            "totalCrossUnPnl": asset["crossUnPnl"],
            "availableBalance": asset["availableBalance"],
            "maxWithdrawAmount": asset["maxWithdrawAmount"],
            "assets": [asset],
            "positions": positions,
        });
        if v2 {
            let more = json!({
                "feeTier": 0, "canTrade": account.may_trade, "canDeposit": true, "canWithdraw": true,
                "multiAssetsMargin": false, "tradeGroupId": -1, "updateTime": 0,
            });
            render::merge(&mut value, more);
        }
        Ok(value.to_string())
    }

    pub(super) fn account_v2(&mut self) -> Answer {
        self.account_info(true)
    }

    pub(super) fn account_v3(&mut self) -> Answer {
        self.account_info(false)
    }

    pub(super) fn account_config(&mut self) -> Answer {
        let account = self.account()?;
        Ok(json!({
            "feeTier": 0, "canTrade": account.may_trade, "canDeposit": true, "canWithdraw": true,
            "dualSidePosition": account.hedge, "updateTime": 0, "multiAssetsMargin": false, "tradeGroupId": -1,
        })
        .to_string())
    }

    pub(super) fn symbol_config(&mut self) -> Answer {
        let account = self.account()?;
        let told = self.asked()?.into_iter().map(|instrument| {
            let settings = account.settings_of(&instrument);
            json!({
                "symbol": instrument.symbol.as_str(),
                "marginType": if settings.isolated { "ISOLATED" } else { "CROSSED" },
                "isAutoAddMargin": false,
                "leverage": settings.leverage,
                "maxNotionalValue": rules::notional_max(&instrument, settings.leverage).to_string(),
            })
        });
        Ok(Value::Array(told.collect()).to_string())
    }

    /// Numbers here are JSON numbers with decimals, so that the text is written as it is.
    pub(super) fn leverage_bracket(&mut self) -> Answer {
        let one = self.params.text("symbol").is_some();
        let told = self.asked()?.into_iter().map(|instrument| {
            let mut floor = Money::ZERO;
            let rows = rules::brackets(&instrument).into_iter().zip(1..).map(|(row, number)| {
                let from = std::mem::replace(&mut floor, row.notional_max);
                format!(
                    r#"{{"bracket":{number},"initialLeverage":{},"notionalCap":{},"notionalFloor":{from},"maintMarginRatio":{},"cum":{}}}"#,
                    row.leverage_max, row.notional_max, row.maintenance, row.deduction,
                )
            });
            let rows: Vec<_> = rows.collect();
            let (symbol, rows) = (instrument.symbol, rows.join(","));
            format!(r#"{{"symbol":"{symbol}","notionalCoef":1.00,"brackets":[{rows}]}}"#)
        });
        let told: Vec<_> = told.collect();
        Ok(if one { told.concat() } else { format!("[{}]", told.join(",")) })
    }

    pub(super) fn commission_rate(&mut self) -> Answer {
        let instrument = self.named()?;
        Ok(json!({
            "symbol": instrument.symbol.as_str(),
            "makerCommissionRate": instrument.fee_maker.to_string(),
            "takerCommissionRate": instrument.fee_taker.to_string(),
            "rpiCommissionRate": "0",
        })
        .to_string())
    }

    pub(super) fn set_leverage(&mut self) -> Answer {
        let instrument = self.named()?;
        let leverage = self.params.integer("leverage")?.ok_or_else(|| ApiError::mandatory("leverage"))?;
        let leverage = u8::try_from(leverage).map_err(|_| ApiError::from(Refusal::Leverage))?;
        match self.desk.core.set_leverage(self.account, instrument.symbol, leverage, false) {
            Ok(()) | Err(Refusal::NoChange) => {}
            Err(Refusal::Margin) => return Err(ApiError::LEVERAGE_MARGIN),
            Err(refusal) => return Err(refusal.into()),
        }
        Ok(json!({
            "leverage": leverage,
            "maxNotionalValue": rules::notional_max(&instrument, leverage).to_string(),
            "symbol": instrument.symbol.as_str(),
        })
        .to_string())
    }

    pub(super) fn set_margin_type(&mut self) -> Answer {
        let instrument = self.named()?;
        let isolated = match self.params.must("marginType")? {
            "ISOLATED" => true,
            "CROSSED" => false,
            _ => return Err(ApiError::plain(-4050, "Invalid margin type.")),
        };
        self.desk.core.set_isolated(self.account, instrument.symbol, isolated).map_err(|refusal| {
            match refusal {
                Refusal::NoChange => ApiError::MARGIN_TYPE_SAME,
                Refusal::OrdersOpen => {
                    ApiError::plain(-4047, "Margin type cannot be changed if there exists open orders.")
                }
                Refusal::PositionsOpen => {
                    ApiError::plain(-4048, "Margin type cannot be changed if there exists position.")
                }
                other => other.into(),
            }
        })?;
        Ok(r#"{"code":200,"msg":"success"}"#.to_owned())
    }

    pub(super) fn set_mode(&mut self) -> Answer {
        self.params.must("dualSidePosition")?;
        let hedge = self.params.flag("dualSidePosition")?;
        match self.desk.core.set_hedge(self.account, hedge) {
            Ok(()) => Ok(r#"{"code":200,"msg":"success"}"#.to_owned()),
            Err(Refusal::NoChange) => Err(ApiError::MODE_SAME),
            Err(refusal) => Err(refusal.into()),
        }
    }

    pub(super) fn mode(&mut self) -> Answer {
        Ok(json!({ "dualSidePosition": self.account()?.hedge }).to_string())
    }

    pub(super) fn multi_assets(&mut self) -> Answer {
        Ok(r#"{"multiAssetsMargin":false}"#.to_owned())
    }

    pub(super) fn set_multi_assets(&mut self) -> Answer {
        if self.params.flag("multiAssetsMargin")? {
            return Err(ApiError::plain(-4170, "The paper exchange has one margin asset."));
        }
        Err(ApiError::plain(-4171, "No need to change multi-assets mode."))
    }

    pub(super) fn order_limits(&mut self) -> Answer {
        Ok(json!([
            { "rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": ORDERS_10S_MAX },
            { "rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": ORDERS_1M_MAX },
        ])
        .to_string())
    }

    pub(super) fn key_restrictions(&mut self) -> Answer {
        let key = self.desk.core.key(self.api_key).ok_or(ApiError::KEY)?;
        let mut value = json!({
            "ipRestrict": !key.addresses.is_empty(),
            "createTime": key.created_at.millis(),
            "enableReading": true,
            "enableWithdrawals": key.rights.withdraw,
            "enableInternalTransfer": false,
            "enableMargin": false,
            "enableFutures": key.rights.trade,
            "permitsUniversalTransfer": false,
            "enableVanillaOptions": false,
            "enableSpotAndMarginTrading": false,
            "enablePortfolioMarginTrading": false,
        });
        if let Some(end) = key.expires_at {
            value["tradingAuthorityExpirationTime"] = end.millis().into();
        }
        Ok(value.to_string())
    }

    pub(super) fn empty_list(&mut self) -> Answer {
        Ok("[]".to_owned())
    }

    pub(super) fn empty(&mut self) -> Answer {
        Ok("{}".to_owned())
    }

    pub(super) fn trading_status(&mut self) -> Answer {
        Ok(json!({ "indicators": {}, "updateTime": self.now_ms() }).to_string())
    }

    pub(super) fn fee_burn(&mut self) -> Answer {
        Ok(r#"{"feeBurn":false}"#.to_owned())
    }

    // --- the user stream's key --------------------------------------------------------------------------------

    pub(super) fn open_listen_key(&mut self) -> Answer {
        let key = self.streams.open_key(self.account, self.desk.now).ok_or(ApiError::KEY)?;
        Ok(json!({ "listenKey": key }).to_string())
    }

    pub(super) fn keep_listen_key(&mut self) -> Answer {
        let key = self.streams.keep_key(self.account, self.desk.now).ok_or(ApiError::LISTEN_KEY)?;
        Ok(json!({ "listenKey": key }).to_string())
    }

    pub(super) fn close_listen_key(&mut self) -> Answer {
        self.streams.close_key(self.account);
        Ok("{}".to_owned())
    }
}

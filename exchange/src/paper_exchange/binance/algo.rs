//! Conditional orders: the algo endpoints (EXCHANGES.md §2.4).

use engine::core::order::Side;
use serde_json::{Value, json};

use super::super::orders::{Kind, Life, Order, OrderNo, Role, State, Trigger, Watched};
use super::context::{Answer, Context, cancel_error};
use super::errors::ApiError;
use super::render;
use super::trading::{check_price, life, window};

impl Context<'_, '_> {
    pub(super) fn place_algo(&mut self) -> Answer {
        let params = self.params;
        if params.must("algoType")? != "CONDITIONAL" {
            return Err(ApiError::plain(-4137, "Invalid algo type."));
        }
        let instrument = self.named()?;
        let mut spec = self.spec(params, "clientAlgoId", &instrument)?;
        let (role, limit) = match params.must("type")? {
            "STOP_MARKET" => (Role::Stop, false),
            "TAKE_PROFIT_MARKET" => (Role::TakeProfit, false),
            "STOP" => (Role::Stop, true),
            "TAKE_PROFIT" => (Role::TakeProfit, true),
            "TRAILING_STOP_MARKET" => {
                return Err(ApiError::plain(-4135, "The paper exchange has no trailing stops."));
            }
            _ => return Err(ApiError::ORDER_TYPE),
        };
        spec.close_position = params.flag("closePosition")?;
        if spec.close_position {
            if limit {
                return Err(ApiError::ORDER_TYPE);
            }
            if params.text("quantity").is_some() {
                return Err(ApiError::QUANTITY_NOT_REQUIRED);
            }
            if spec.reduce_only {
                return Err(ApiError::REDUCE_ONLY_NOT_REQUIRED);
            }
        } else {
            params.must("quantity")?;
        }
        let watched = match params.text("workingType") {
            None | Some("CONTRACT_PRICE") => Watched::Last,
            Some("MARK_PRICE") => Watched::Mark,
            Some(_) => return Err(ApiError::illegal("workingType")),
        };
        let price = params.price("triggerPrice")?.ok_or_else(|| ApiError::mandatory("triggerPrice"))?;
        check_price(price, &instrument)?;
        let rising = (spec.side == Side::Buy) == (role == Role::Stop);
        spec.trigger = Some(Trigger { price, watched, rising, role });
        spec.life = life(params, Some(Life::UntilCancelled))?;
        if limit {
            let price = params.price("price")?.ok_or_else(|| ApiError::mandatory("price"))?;
            check_price(price, &instrument)?;
            spec.kind = Kind::Limit(price);
        }
        self.check_life(spec.life)?;
        let no = self.desk.core.place(self.account, spec)?;
        self.algo_answer(no)
    }

    fn algo_answer(&self, no: OrderNo) -> Answer {
        let order = self.desk.core.order(self.account, no).ok_or(ApiError::NO_SUCH_ORDER)?;
        let trigger = order.spec.trigger.ok_or(ApiError::NO_SUCH_ORDER)?;
        Ok(render::algo(order, trigger).to_string())
    }

    fn named_algo(&self) -> Result<Option<&Order>, ApiError> {
        let core = &*self.desk.core;
        let found = match (self.params.integer("algoId")?, self.params.text("clientAlgoId")) {
            (Some(no), _) => core.order(self.account, OrderNo(no)),
            (None, Some(id)) => core.order_by_client(self.account, id),
            (None, None) => {
                let text = "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!";
                return Err(ApiError::plain(-1102, text));
            }
        };
        Ok(found.filter(|order| order.spec.trigger.is_some()))
    }

    pub(super) fn query_algo(&mut self) -> Answer {
        let no = self.named_algo()?.ok_or(ApiError::NO_SUCH_ORDER)?.no;
        self.algo_answer(no)
    }

    pub(super) fn cancel_algo(&mut self) -> Answer {
        let order = self.named_algo()?.filter(|order| order.state == State::Untriggered);
        let (no, id) =
            order.map(|order| (order.no, order.client_id().to_owned())).ok_or(ApiError::CANCEL_REJECTED)?;
        self.desk.core.cancel(self.account, no).map_err(cancel_error)?;
        Ok(json!({ "algoId": no.0, "clientAlgoId": id, "code": "200", "msg": "success" }).to_string())
    }

    pub(super) fn cancel_all_algo(&mut self) -> Answer {
        let symbol = self.named()?.symbol;
        let waiting = self.desk.core.open_orders(self.account);
        let waiting =
            waiting.filter(|order| order.spec.symbol == symbol && order.state == State::Untriggered);
        for no in waiting.map(|order| order.no).collect::<Vec<_>>() {
            self.desk.core.cancel(self.account, no).map_err(cancel_error)?;
        }
        Ok(r#"{"code":200,"msg":"The operation of cancel all open order is done."}"#.to_owned())
    }

    pub(super) fn open_algo(&mut self) -> Answer {
        let symbol = self.params.maybe_symbol()?;
        let waiting = self.desk.core.open_orders(self.account).filter(|order| {
            order.state == State::Untriggered && symbol.is_none_or(|symbol| order.spec.symbol == symbol)
        });
        let told = waiting.filter_map(|order| Some(render::algo(order, order.spec.trigger?)));
        Ok(Value::Array(told.collect()).to_string())
    }

    pub(super) fn all_algo(&mut self) -> Answer {
        let symbol = self.named()?.symbol;
        let (from, to, rows) = self.range()?;
        let all = self.desk.core.all_orders(self.account);
        let chosen: Vec<_> = all
            .into_iter()
            .filter(|order| order.spec.symbol == symbol && (from..=to).contains(&order.created_at))
            .filter_map(|order| Some(render::algo(order, order.spec.trigger?)))
            .collect();
        let (skip, take) = window(chosen.len(), rows, false);
        Ok(Value::Array(chosen.into_iter().skip(skip).take(take).collect()).to_string())
    }
}

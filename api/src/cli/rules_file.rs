//! Rules from a JSON file: what it leaves out has the default of DOMAIN.md. See docs/rules.md.

use std::path::Path;

use engine::core::fixed::{Money, Rate};
use engine::core::rules::{Rules, SECOND};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RulesFile {
    version: Option<u32>,
    signal_age_max_s: Option<u64>,
    signal_skew_max_s: Option<u64>,
    fan_out_span_s: Option<u64>,
    repeat_span_s: Option<u64>,
    repeat_kept_min_s: Option<u64>,
    source_opens_max: Option<u32>,
    source_window_s: Option<u64>,
    positions_max: Option<usize>,
    cooldown_s: Option<u64>,
    daily_loss_max: Option<String>,
    protection_span_s: Option<u64>,
    close_retry_span_s: Option<u64>,
    not_received_span_s: Option<u64>,
    share_prepaid: Option<String>,
    share_monthly: Option<String>,
    leverage_max: Option<u8>,
    paper_wallet: Option<String>,
    paper_prepaid: Option<String>,
    login_failures_max: Option<u8>,
    login_lock_span_s: Option<u64>,
    session_span_s: Option<u64>,
    trial_span_s: Option<u64>,
    halted: Option<bool>,
}

fn span(field: &str, seconds: Option<u64>, into: &mut u64) -> Result<(), String> {
    if let Some(seconds) = seconds {
        *into = seconds.checked_mul(SECOND).ok_or_else(|| format!("{field}: too long"))?;
    }
    Ok(())
}

fn share(field: &str, text: Option<String>, into: &mut Rate) -> Result<(), String> {
    if let Some(text) = text {
        let rate: Rate = text.parse().map_err(|error| format!("{field}: {error}"))?;
        if rate.is_negative() || rate > Rate::from_whole(1) {
            return Err(format!("{field}: a share from 0 to 1, such as 0.1 for 10 %"));
        }
        *into = rate;
    }
    Ok(())
}

fn amount(field: &str, text: Option<String>, into: &mut Money) -> Result<(), String> {
    if let Some(text) = text {
        let money: Money = text.parse().map_err(|error| format!("{field}: {error}"))?;
        if money.is_negative() || money > Money::from_whole(1_000_000_000) {
            return Err(format!("{field}: from 0 to 1000000000"));
        }
        *into = money;
    }
    Ok(())
}

/// An order is asked about when it is 10 s old, and venues take requests for 5 s after they were signed.
const NOT_RECEIVED_MIN: u64 = 15 * SECOND;

/// Parses rules.
///
/// # Errors
/// The field and what is wrong with it.
pub fn parse(text: &str) -> Result<Rules, String> {
    let file: RulesFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut rules = Rules::default();
    span("signal_age_max_s", file.signal_age_max_s, &mut rules.signal_age_max)?;
    span("signal_skew_max_s", file.signal_skew_max_s, &mut rules.signal_skew_max)?;
    span("fan_out_span_s", file.fan_out_span_s, &mut rules.fan_out_span)?;
    span("repeat_span_s", file.repeat_span_s, &mut rules.repeat_span)?;
    span("repeat_kept_min_s", file.repeat_kept_min_s, &mut rules.repeat_kept_min)?;
    span("source_window_s", file.source_window_s, &mut rules.source_window)?;
    span("cooldown_s", file.cooldown_s, &mut rules.cooldown)?;
    span("protection_span_s", file.protection_span_s, &mut rules.protection_span)?;
    span("close_retry_span_s", file.close_retry_span_s, &mut rules.close_retry_span)?;
    span("not_received_span_s", file.not_received_span_s, &mut rules.not_received_span)?;
    span("login_lock_span_s", file.login_lock_span_s, &mut rules.login_lock_span)?;
    span("session_span_s", file.session_span_s, &mut rules.session_span)?;
    span("trial_span_s", file.trial_span_s, &mut rules.trial_span)?;
    share("daily_loss_max", file.daily_loss_max, &mut rules.daily_loss_max)?;
    share("share_prepaid", file.share_prepaid, &mut rules.share_prepaid)?;
    share("share_monthly", file.share_monthly, &mut rules.share_monthly)?;
    amount("paper_wallet", file.paper_wallet, &mut rules.paper_wallet)?;
    amount("paper_prepaid", file.paper_prepaid, &mut rules.paper_prepaid)?;
    rules.version = file.version.unwrap_or(rules.version);
    rules.source_opens_max = file.source_opens_max.unwrap_or(rules.source_opens_max);
    rules.positions_max = file.positions_max.unwrap_or(rules.positions_max);
    rules.login_failures_max = file.login_failures_max.unwrap_or(rules.login_failures_max);
    rules.halted = file.halted.unwrap_or(rules.halted);
    if let Some(leverage) = file.leverage_max {
        if leverage == 0 || leverage > 125 {
            return Err("leverage_max: from 1 to 125".to_owned());
        }
        rules.leverage_max = leverage;
    }
    if rules.not_received_span < NOT_RECEIVED_MIN {
        let least = NOT_RECEIVED_MIN / SECOND;
        return Err(format!(
            "not_received_span_s: at least {least}: before that, an order that a venue does not know may still be on its way"
        ));
    }
    if rules.positions_max > 16 {
        return Err("positions_max: at most 16".to_owned());
    }
    Ok(rules)
}

/// Reads a rules file.
///
/// # Errors
/// The file and what is wrong with it.
pub fn read(path: &Path) -> Result<Rules, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let rules = parse(r#"{"version":7,"cooldown_s":0,"daily_loss_max":"0.25"}"#).expect("valid");
        let wanted = Rules {
            version: 7,
            cooldown: 0,
            daily_loss_max: Rate::from_units(25_000_000),
            ..Rules::default()
        };
        assert_eq!(rules, wanted);
    }

    #[test]
    fn refusals_name_the_field() {
        for (text, part) in [
            (r#"{"not_received_span_s":14}"#, "not_received_span_s: at least 15"),
            (r#"{"cooldwon_s":0}"#, "cooldwon_s"),
            (r#"{"daily_loss_max":"1,5"}"#, "daily_loss_max: a decimal comma"),
            (r#"{"share_prepaid":"2"}"#, "share_prepaid: a share from 0 to 1"),
            (r#"{"leverage_max":0}"#, "leverage_max"),
        ] {
            let message = parse(text).expect_err("refused");
            assert!(message.contains(part), "{message}");
        }
    }
}

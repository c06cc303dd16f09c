//! Bodies of requests other than signals: JSON with exact numbers, each refusal naming its field.

use engine::core::fixed::{Money, Rate};
use engine::core::ids::SourceId;
use engine::core::instrument::Symbol;
use engine::core::rules::{Settings, Sizing};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a body was refused: a code and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyError {
    /// Stable machine word.
    pub code: &'static str,
    /// What and where.
    pub message: String,
}

fn invalid(message: impl Into<String>) -> BodyError {
    BodyError { code: "invalid", message: message.into() }
}

/// Reads a JSON body.
///
/// # Errors
/// What is wrong and where, without repeating a value.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BodyError> {
    serde_json::from_slice(body).map_err(|error| {
        let message = if error.is_data() {
            // Messages of serde_json about data name the field and the types; a value could be in them.
            let text = error.to_string();
            if text.starts_with("missing field") || text.starts_with("unknown field") {
                text
            } else {
                format!("a field has the wrong type (line {}, column {})", error.line(), error.column())
            }
        } else {
            format!("malformed JSON (line {}, column {})", error.line(), error.column())
        };
        BodyError { code: "invalid_json", message }
    })
}

/// `POST /api/auth/signup`.
#[derive(Deserialize)]
pub struct SignUp {
    /// Address.
    pub email: String,
    /// Password.
    pub password: String,
    /// IANA zone, UTC without.
    #[serde(default)]
    pub zone: String,
}

/// `POST /api/auth/login`.
#[derive(Deserialize)]
pub struct LogIn {
    /// Address.
    pub email: String,
    /// Password.
    pub password: String,
}

/// Shortest password accepted, in characters; NIST SP 800-63B asks for 8 at least.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password accepted, in bytes, so that hashing costs the same for all.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Checks a new password's length.
///
/// # Errors
/// The range.
pub fn check_password(password: &str) -> Result<(), BodyError> {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(invalid("password: from 8 characters to 256 bytes"));
    }
    Ok(())
}

/// `POST /api/accounts`: which venue, and for paper the rest.
#[derive(Deserialize)]
pub struct OpenAccount<'a> {
    /// `paper`, `binance` or `bybit`.
    pub venue: String,
    /// Paper: the wallet it starts with.
    #[serde(borrow, default)]
    pub wallet: Option<&'a RawValue>,
}

/// `POST /api/sources`.
#[derive(Deserialize)]
pub struct CreateSource {
    /// For people.
    pub name: String,
}

/// `POST /api/positions/close`.
#[derive(Deserialize)]
pub struct ClosePosition {
    /// Which symbol.
    pub symbol: String,
    /// Which account, the first without.
    #[serde(default)]
    pub account: u8,
}

/// `POST /api/halt`.
#[derive(Deserialize)]
pub struct SetHalt {
    /// Set or release.
    pub on: bool,
    /// One of the user's sources; the user's own latch without.
    #[serde(default)]
    pub source: Option<String>,
}

#[derive(Deserialize)]
struct SizingBody<'a> {
    mode: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// `POST /api/subscriptions`.
#[derive(Deserialize)]
pub struct Subscribe<'a> {
    source: String,
    #[serde(default)]
    account: u8,
    #[serde(borrow, default)]
    sizing: Option<SizingBody<'a>>,
    #[serde(default)]
    leverage: Option<u8>,
    #[serde(borrow, default)]
    stop_multiplier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    take_profit_multiplier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trade_max: Option<&'a RawValue>,
    #[serde(borrow, default)]
    exposure_max: Option<&'a RawValue>,
    #[serde(default)]
    symbols: Vec<String>,
    #[serde(default)]
    reverse: bool,
}

/// A decimal that came as a JSON number or string, exactly.
fn text_of(raw: &RawValue) -> &str {
    raw.get().trim_matches('"')
}

/// An amount.
///
/// # Errors
/// The field and what is wrong with the number.
pub fn money(field: &str, raw: &RawValue) -> Result<Money, BodyError> {
    text_of(raw).parse().map_err(|error| invalid(format!("{field}: {error}")))
}

fn rate(field: &str, raw: &RawValue) -> Result<Rate, BodyError> {
    text_of(raw).parse().map_err(|error| invalid(format!("{field}: {error}")))
}

impl Subscribe<'_> {
    /// The source, account and settings it names; what it leaves out has the default of DOMAIN.md §2.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn settings(&self) -> Result<(SourceId, u8, Settings), BodyError> {
        let source = SourceId::parse(&self.source).ok_or_else(|| invalid("source: not a source id"))?;
        let reverse = self.reverse && !planted::planted!("reverse_not_read");
        let mut settings = Settings { reverse, ..Settings::default() };
        if let Some(sizing) = &self.sizing {
            settings.sizing = match sizing.mode.as_str() {
                "percent_of_balance" => {
                    let percent = rate("sizing.value", sizing.value)?;
                    let share = percent.scaled(1, 100, engine::core::fixed::Rounding::Floor);
                    Sizing::PercentOfBalance(share.unwrap_or(Rate::ZERO))
                }
                "fixed_margin" => Sizing::FixedMargin(money("sizing.value", sizing.value)?),
                "fixed_notional" => Sizing::FixedNotional(money("sizing.value", sizing.value)?),
                "risk_to_stop" => Sizing::RiskToStop(money("sizing.value", sizing.value)?),
                _ => {
                    return Err(invalid(
                        "sizing.mode: percent_of_balance, fixed_margin, fixed_notional or risk_to_stop",
                    ));
                }
            };
        }
        if let Some(leverage) = self.leverage {
            settings.leverage = leverage;
        }
        if let Some(raw) = self.stop_multiplier {
            settings.stop_multiplier = rate("stop_multiplier", raw)?;
        }
        if let Some(raw) = self.take_profit_multiplier {
            settings.take_profit_multiplier = rate("take_profit_multiplier", raw)?;
        }
        settings.trade_max = self.trade_max.map(|raw| money("trade_max", raw)).transpose()?;
        settings.exposure_max = self.exposure_max.map(|raw| money("exposure_max", raw)).transpose()?;
        settings.symbols = self
            .symbols
            .iter()
            .map(|text| Symbol::new(text).ok_or_else(|| invalid("symbols: not a symbol")))
            .collect::<Result<_, _>>()?;
        Ok((source, self.account, settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_x16_numbers_are_exact_as_text_or_number() {
        for body in [
            r#"{"source":"000000000000","sizing":{"mode":"fixed_margin","value":"0.1"}}"#,
            r#"{"source":"000000000000","sizing":{"mode":"fixed_margin","value":0.1}}"#,
            r#"{"source":"000000000000","sizing":{"mode":"fixed_margin","value":1e-1}}"#,
        ] {
            let subscribe: Subscribe<'_> = read(body.as_bytes()).expect("valid");
            let (_, _, settings) = subscribe.settings().expect("valid");
            assert_eq!(settings.sizing, Sizing::FixedMargin(Money::from_units(10_000_000)));
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_never_a_value() {
        let error = |body: &str| match read::<LogIn>(body.as_bytes()) {
            Ok(_) => panic!("should be refused"),
            Err(error) => error,
        };
        assert_eq!(error(r#"{"email":"a@b.c"}"#).message, "missing field `password` at line 1 column 17");
        assert!(!error(r#"{"email":"a@b.c","password":12345}"#).message.contains("12345"));
        assert_eq!(error("{").code, "invalid_json");
        let body = r#"{"source":"000000000000","trade_max":"1,5"}"#;
        let subscribe: Subscribe<'_> = read(body.as_bytes()).expect("valid JSON");
        let message = subscribe.settings().expect_err("a comma").message;
        assert_eq!(message, "trade_max: a decimal comma; write a decimal point");
    }
}

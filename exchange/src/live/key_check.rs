//! From what an exchange says about a key to whether it is taken: it may trade, it may not withdraw, it is bound to addresses,
//! and it has not ended. CASES.md, N12; EXCHANGES.md §2.2, §3.2.
//!
//! **Invariants**: pure. What is worst is said first: a user who mends it is not sent round again.

use engine::core::ids::Timestamp;
use engine::core::key::{KeyFault, KeyFinding, KeyKind};
use engine::core::user::VenueKind;
use engine::core::venue_account::VenuePlace;
use sha2::{Digest, Sha256};

use super::binance::Binance;
use super::bybit::Bybit;
use super::protocol::{AccountView, KeyView, Millis};

/// Whether an exchange takes keys of this kind (EXCHANGES.md §2.2, §3.2). A paper account has none.
#[must_use]
pub const fn takes(venue: VenueKind, kind: KeyKind) -> bool {
    match venue {
        VenueKind::Binance => Binance::accepts(kind),
        VenueKind::Bybit => Bybit::accepts(kind),
        VenueKind::Paper => false,
    }
}

/// Judges a key by the exchange's answers about it and its account. `identity` is the exchange's own id of the account, where
/// it tells one.
#[must_use]
pub fn judge(
    key: &KeyView,
    account: Option<&AccountView>,
    identity: Option<&str>,
    place: VenuePlace,
    now: Millis,
) -> KeyFinding {
    let ended = key.expires_at.is_some_and(|end| end <= now);
    let may_trade = key.may_trade && account.is_none_or(|account| account.may_trade);
    let verdict = if key.may_withdraw && !planted::planted!("withdrawal_right_not_looked_at") {
        Err(KeyFault::WithdrawalRight)
    } else if ended {
        Err(KeyFault::Expired)
    } else if !key.may_trade {
        Err(KeyFault::TradingRightMissing)
    } else if !may_trade {
        Err(KeyFault::AccountRestricted)
    // Keys without addresses lose their rights or end after a while; where there is no money, that may happen.
    } else if place.has_real_money() && !key.bound_to_address {
        Err(KeyFault::NotBoundToAddress)
    } else {
        Ok(())
    };
    let expires_at = key.expires_at.map_or(Timestamp(0), |end| Timestamp(end.0.saturating_mul(1_000)));
    KeyFinding { verdict, expires_at, identity: identity.map(|text| digest(place, text)) }
}

/// Of an exchange's own id of an account. Not the id itself: nobody needs it, and it is about a person.
fn digest(place: VenuePlace, text: &str) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(place.venue.as_str());
    hasher.update([0]);
    hasher.update(place.environment.as_str());
    hasher.update([0]);
    hasher.update(text);
    let mut out = [0; 16];
    out.copy_from_slice(&hasher.finalize()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use engine::core::venue_account::Environment;

    use super::*;

    const REAL: VenuePlace =
        VenuePlace { venue: VenueKind::Bybit, environment: Environment::Mainnet, ..VenuePlace::PAPER };
    const NOW: Millis = Millis(1_000_000);

    fn good() -> KeyView {
        KeyView {
            may_trade: true,
            may_withdraw: false,
            bound_to_address: true,
            expires_at: Some(Millis(NOW.0 + 1)),
            account: None,
        }
    }

    fn verdict(key: &KeyView, place: VenuePlace) -> Result<(), KeyFault> {
        judge(key, None, None, place, NOW).verdict
    }

    #[test]
    fn case_n12_a_key_trades_and_does_nothing_else_from_known_addresses() {
        assert_eq!(verdict(&good(), REAL), Ok(()));
        // Whatever else it may or may not: the right to withdraw is said first.
        for may_trade in [false, true] {
            for bound_to_address in [false, true] {
                for expires_at in [None, Some(NOW)] {
                    let key = KeyView {
                        may_trade,
                        may_withdraw: true,
                        bound_to_address,
                        expires_at,
                        account: None,
                    };
                    assert_eq!(verdict(&key, REAL), Err(KeyFault::WithdrawalRight), "{key:?}");
                }
            }
        }
        let loose = KeyView { bound_to_address: false, ..good() };
        assert_eq!(verdict(&loose, REAL), Err(KeyFault::NotBoundToAddress));
        let testnet = VenuePlace { environment: Environment::Testnet, ..REAL };
        assert_eq!(verdict(&loose, testnet), Ok(()), "there is nothing to steal");
    }

    #[test]
    fn case_t9_an_exchange_takes_the_kinds_of_keys_that_it_knows() {
        let taken = |venue| {
            let kinds = [KeyKind::Hmac, KeyKind::Rsa, KeyKind::Ed25519];
            kinds.into_iter().filter(|kind| takes(venue, *kind)).collect::<Vec<_>>()
        };
        assert_eq!(taken(VenueKind::Binance), [KeyKind::Hmac, KeyKind::Rsa, KeyKind::Ed25519]);
        assert_eq!(taken(VenueKind::Bybit), [KeyKind::Hmac, KeyKind::Rsa]);
        assert_eq!(taken(VenueKind::Paper), []);
    }

    #[test]
    fn each_fault_has_its_name() {
        assert_eq!(
            verdict(&KeyView { may_trade: false, ..good() }, REAL),
            Err(KeyFault::TradingRightMissing)
        );
        assert_eq!(verdict(&KeyView { expires_at: Some(NOW), ..good() }, REAL), Err(KeyFault::Expired));
        let account = AccountView { mode: None, may_trade: false, isolated: None };
        assert_eq!(judge(&good(), Some(&account), None, REAL, NOW).verdict, Err(KeyFault::AccountRestricted));
    }

    #[test]
    fn the_end_and_the_account_are_told() {
        let finding = judge(&good(), None, Some("12345"), REAL, NOW);
        assert_eq!(finding.expires_at, Timestamp((NOW.0 + 1) * 1_000));
        let endless = KeyView { expires_at: None, ..good() };
        assert_eq!(judge(&endless, None, None, REAL, NOW).expires_at, Timestamp(0));
        let same = |text, place| judge(&good(), None, Some(text), place, NOW).identity == finding.identity;
        assert!(same("12345", REAL) && !same("12346", REAL));
        assert!(!same("12345", VenuePlace { environment: Environment::Testnet, ..REAL }));
    }
}

//! Where an account on an exchange is: its environment, the exchange's site, and the address its requests leave from.
//!
//! **Invariants**: all of it is said when the account is opened and never changes: a mainnet account stays one whatever an
//! exchange answers (DOMAIN.md §2). **Never**: a host name that is not in [`VenueSite`]'s list: a key is sent nowhere else.

use rkyv::{Archive, Deserialize, Serialize};

use super::user::VenueKind;

/// Whether an account trades money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum Environment {
    /// Money.
    Mainnet,
    /// The exchange's test network.
    Testnet,
    /// The exchange's demo trading. Paper accounts are this too.
    Demo,
}

impl Environment {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Mainnet, Self::Testnet, Self::Demo];

    /// A stable machine word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Demo => "demo",
        }
    }

    /// The environment of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|environment| environment.as_str() == word)
    }
}

/// A site of an exchange. Accounts of a regional site exist there only: REST and WebSocket go to its own hosts. EXCHANGES.md §3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum VenueSite {
    /// The exchange's main site of the account's environment.
    #[default]
    Main,
    /// Bybit's other name of the main site.
    Bytick,
    /// Netherlands.
    Netherlands,
    /// Turkey.
    Turkey,
    /// Kazakhstan.
    Kazakhstan,
    /// Georgia.
    Georgia,
    /// United Arab Emirates.
    Emirates,
    /// European Economic Area.
    Europe,
    /// Indonesia.
    Indonesia,
    /// Japan.
    Japan,
}

impl VenueSite {
    /// Every site beside the main one: all are Bybit's, and all are mainnet.
    pub const BYBIT: [Self; 9] = [
        Self::Bytick,
        Self::Netherlands,
        Self::Turkey,
        Self::Kazakhstan,
        Self::Georgia,
        Self::Emirates,
        Self::Europe,
        Self::Indonesia,
        Self::Japan,
    ];

    /// The name of its REST host; empty for the main site, whose host follows from the environment.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Bytick => "api.bytick.com",
            Self::Netherlands => "api.bybit.nl",
            Self::Turkey => "api.bybit-tr.com",
            Self::Kazakhstan => "api.bybit.kz",
            Self::Georgia => "api.bybitgeorgia.ge",
            Self::Emirates => "api.bybit.ae",
            Self::Europe => "api.bybit.eu",
            Self::Indonesia => "api.bybit.id",
            Self::Japan => "api.manepa.jp",
        }
    }

    /// The site with this REST host, for an account of this kind.
    ///
    /// # Errors
    /// What is allowed instead.
    pub fn parse(venue: VenueKind, environment: Environment, host: &str) -> Result<Self, &'static str> {
        if host.is_empty() {
            return Ok(Self::Main);
        }
        if venue != VenueKind::Bybit || environment != Environment::Mainnet {
            return Err("host: only for mainnet accounts of Bybit; leave it out");
        }
        if host == "api.bybit.com" {
            return Ok(Self::Main);
        }
        Self::BYBIT.into_iter().find(|site| site.host() == host).ok_or(
            "host: api.bybit.com, api.bytick.com, api.bybit.nl, api.bybit-tr.com, api.bybit.kz, \
             api.bybitgeorgia.ge, api.bybit.ae, api.bybit.eu, api.bybit.id or api.manepa.jp",
        )
    }
}

/// The address that requests of an account leave from: keys are bound to addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum Egress {
    /// The host's routes decide.
    #[default]
    Any,
    /// This IPv4 address.
    V4([u8; 4]),
    /// This IPv6 address.
    V6([u8; 16]),
}

/// An exchange account's place in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct VenuePlace {
    /// Which exchange.
    pub venue: VenueKind,
    /// Which environment.
    pub environment: Environment,
    /// Which site.
    pub site: VenueSite,
    /// From which address.
    pub egress: Egress,
}

impl VenuePlace {
    /// Where paper accounts are.
    pub const PAPER: Self = Self {
        venue: VenueKind::Paper,
        environment: Environment::Demo,
        site: VenueSite::Main,
        egress: Egress::Any,
    };

    /// Whether it is about money that is worth something.
    #[must_use]
    pub fn has_real_money(self) -> bool {
        self.venue != VenueKind::Paper && self.environment == Environment::Mainnet
    }
}

/// The exchanges that the configuration names. Nothing else is ever contacted.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveVenues(u8);

impl LiveVenues {
    const fn bit(venue: VenueKind, environment: Environment) -> u8 {
        let place = match environment {
            Environment::Mainnet => 1,
            Environment::Testnet => 2,
            Environment::Demo => 4,
        };
        match venue {
            VenueKind::Paper => 0,
            VenueKind::Binance => place,
            VenueKind::Bybit => place << 3,
        }
    }

    /// With one more. The paper venue is no exchange and is not added.
    #[must_use]
    pub const fn with(self, venue: VenueKind, environment: Environment) -> Self {
        Self(self.0 | Self::bit(venue, environment))
    }

    /// Whether this one is named.
    #[must_use]
    pub const fn has(self, venue: VenueKind, environment: Environment) -> bool {
        let bit = Self::bit(venue, environment);
        bit != 0 && self.0 & bit == bit
    }

    /// Whether any environment of this exchange is named.
    #[must_use]
    pub fn has_any_of(self, venue: VenueKind) -> bool {
        Environment::ALL.into_iter().any(|environment| self.has(venue, environment))
    }

    /// All that are named.
    pub fn iter(self) -> impl Iterator<Item = (VenueKind, Environment)> {
        [VenueKind::Binance, VenueKind::Bybit]
            .into_iter()
            .flat_map(|venue| Environment::ALL.map(|environment| (venue, environment)))
            .filter(move |(venue, environment)| self.has(*venue, *environment))
    }

    /// Whether none is named.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Debug for LiveVenues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(v, e)| format!("{}:{}", v.as_str(), e.as_str()))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_of_the_list_or_refused() {
        let parse = |host| VenueSite::parse(VenueKind::Bybit, Environment::Mainnet, host);
        assert_eq!((parse(""), parse("api.bybit.com")), (Ok(VenueSite::Main), Ok(VenueSite::Main)));
        for site in VenueSite::BYBIT {
            assert_eq!(parse(site.host()), Ok(site));
            assert!(
                parse("").is_ok()
                    && VenueSite::parse(VenueKind::Binance, Environment::Mainnet, site.host()).is_err()
            );
            assert!(VenueSite::parse(VenueKind::Bybit, Environment::Testnet, site.host()).is_err());
            // The refusal tells every name.
            assert!(parse("x").expect_err("refused").contains(site.host()), "{site:?}");
        }
        for host in ["API.BYBIT.COM", "api.bybit.com.", "api.bybit.com.evil.example", "127.0.0.1", " "] {
            assert!(parse(host).is_err(), "{host:?}");
        }
    }

    #[test]
    fn each_exchange_and_environment_is_named_by_itself() {
        let all = [VenueKind::Paper, VenueKind::Binance, VenueKind::Bybit]
            .into_iter()
            .flat_map(|venue| Environment::ALL.map(|environment| (venue, environment)))
            .collect::<Vec<_>>();
        for one in &all {
            let live = LiveVenues::default().with(one.0, one.1);
            for other in &all {
                let named = one == other && one.0 != VenueKind::Paper;
                assert_eq!(live.has(other.0, other.1), named, "{one:?} {other:?}");
            }
            assert_eq!(live.is_empty(), one.0 == VenueKind::Paper);
            assert_eq!(live.has_any_of(one.0), one.0 != VenueKind::Paper);
        }
        let live = LiveVenues::default().with(VenueKind::Bybit, Environment::Demo);
        assert_eq!(format!("{live:?}"), "[\"bybit:demo\"]");
    }

    #[test]
    fn only_mainnet_of_an_exchange_is_money() {
        assert!(!VenuePlace::PAPER.has_real_money());
        for environment in Environment::ALL {
            let place = VenuePlace { venue: VenueKind::Bybit, environment, ..VenuePlace::PAPER };
            assert_eq!(place.has_real_money(), environment == Environment::Mainnet);
            assert_eq!(Environment::parse(environment.as_str()), Some(environment));
        }
    }
}

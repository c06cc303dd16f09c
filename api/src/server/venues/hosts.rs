//! Where the exchanges are: host names by venue, environment and site, and what they resolve to.
//!
//! **Runs on**: names are resolved on threads that may wait (start-up, housekeeping), never on a shard.
//! **Invariants**: only hosts of exchanges that the configuration names are looked up; a name that does not resolve keeps its
//! last addresses. An exchange that the operator puts at an address of his own (`--live-at`: the paper exchange, a proxy)
//! is contacted there and nowhere else.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use engine::core::user::VenueKind;
use engine::core::venue_account::{Egress, Environment, VenuePlace, VenueSite};
use exchange::live::transport::{Endpoint, Endpoints};
use net::client::Security;

/// Names of one exchange's servers (EXCHANGES.md §2.1, §3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hosts {
    /// Requests.
    pub rest: String,
    /// Requests about keys.
    pub wallet: String,
    /// Order entry by WebSocket.
    pub trade: String,
    /// Private streams.
    pub private: String,
    /// Streams of the market; `None` where an environment has none of its own: Bybit's demo is told the mainnet's, and that is
    /// not contacted unless it is named.
    pub public: Option<String>,
}

impl Hosts {
    fn all(&self) -> impl Iterator<Item = &str> {
        let others = [&self.rest, &self.wallet, &self.trade, &self.private];
        others.into_iter().chain(&self.public).map(String::as_str)
    }
}

/// The hosts of a place; `None` for paper.
#[must_use]
pub fn hosts_of(place: VenuePlace) -> Option<Hosts> {
    let binance = |rest: &str, wallet: &str, trade: &str, stream: &str| Hosts {
        rest: rest.to_owned(),
        wallet: wallet.to_owned(),
        trade: trade.to_owned(),
        private: stream.to_owned(),
        public: Some(stream.to_owned()),
    };
    let bybit = |rest: String, stream: String| Hosts {
        wallet: rest.clone(),
        rest,
        trade: stream.clone(),
        public: Some(stream.clone()),
        private: stream,
    };
    match (place.venue, place.environment) {
        (VenueKind::Paper, _) => None,
        (VenueKind::Binance, Environment::Mainnet) => {
            Some(binance("fapi.binance.com", "api.binance.com", "ws-fapi.binance.com", "fstream.binance.com"))
        }
        (VenueKind::Binance, Environment::Testnet) => Some(binance(
            "testnet.binancefuture.com",
            "testnet.binancefuture.com",
            "testnet.binancefuture.com",
            "fstream.binancefuture.com",
        )),
        (VenueKind::Binance, Environment::Demo) => Some(binance(
            "demo-fapi.binance.com",
            "demo-fapi.binance.com",
            "demo-fapi.binance.com",
            "demo-fstream.binance.com",
        )),
        (VenueKind::Bybit, Environment::Testnet) => {
            Some(bybit("api-testnet.bybit.com".into(), "stream-testnet.bybit.com".into()))
        }
        (VenueKind::Bybit, Environment::Demo) => {
            let demo = bybit("api-demo.bybit.com".into(), "stream-demo.bybit.com".into());
            Some(Hosts { public: None, ..demo })
        }
        (VenueKind::Bybit, Environment::Mainnet) => Some(match place.site {
            VenueSite::Main => bybit("api.bybit.com".into(), "stream.bybit.com".into()),
            site => {
                let rest = site.host().to_owned();
                // Regional streams are the same name with `stream` in place of `api`.
                let stream = rest.replacen("api.", "stream.", 1);
                bybit(rest, stream)
            }
        }),
    }
}

/// Where an operator has put an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveAt {
    /// Which exchange.
    pub venue: VenueKind,
    /// In which environment.
    pub environment: Environment,
    /// Its host, for the Host header and the certificate.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub security: Security,
}

/// A server: name, port, and whether it speaks TLS.
type Name = (String, u16);

/// What names resolve to, at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressBook {
    addresses: BTreeMap<Name, Vec<SocketAddr>>,
    at: Vec<LiveAt>,
}

/// Port of HTTPS.
const HTTPS: u16 = 443;

impl AddressBook {
    /// A book that knows no address yet.
    #[must_use]
    pub fn new(at: Vec<LiveAt>) -> Self {
        Self { addresses: BTreeMap::new(), at }
    }

    fn own(&self, place: VenuePlace) -> Option<&LiveAt> {
        self.at.iter().find(|at| at.venue == place.venue && at.environment == place.environment)
    }

    /// Resolves the names of these places. May wait for a name server.
    ///
    /// # Errors
    /// The names that do not resolve and never did; the others are in the book.
    pub fn resolve(&mut self, places: &[VenuePlace]) -> Result<(), String> {
        let mut failed = Vec::new();
        for place in places {
            let names: Vec<Name> = match (self.own(*place), hosts_of(*place)) {
                (Some(at), _) => vec![(at.host.clone(), at.port)],
                (None, Some(hosts)) => hosts.all().map(|host| (host.to_owned(), HTTPS)).collect(),
                (None, None) => Vec::new(),
            };
            for name in names {
                match (name.0.as_str(), name.1).to_socket_addrs() {
                    Ok(found) => {
                        let mut found: Vec<SocketAddr> = found.take(16).collect();
                        found.sort_unstable();
                        found.dedup();
                        if !found.is_empty() {
                            self.addresses.insert(name, found);
                        }
                    }
                    Err(error) if !self.addresses.contains_key(&name) => {
                        failed.push(format!("{}: {error}", name.0));
                    }
                    Err(_) => {}
                }
            }
        }
        failed.sort();
        failed.dedup();
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }

    /// The servers of a place; `None` when a name of it never resolved, or to no address that can be reached from its own.
    #[must_use]
    pub fn endpoints(&self, place: VenuePlace) -> Option<Endpoints> {
        let source = match place.egress {
            Egress::Any => None,
            Egress::V4(bytes) => Some(IpAddr::from(bytes)),
            Egress::V6(bytes) => Some(IpAddr::from(bytes)),
        };
        // From an address of one kind, those of the other cannot be reached.
        let reachable = |name: &Name| {
            let all = self.addresses.get(name)?.iter();
            let fits = |to: &&SocketAddr| source.is_none_or(|from| from.is_ipv4() == to.is_ipv4());
            let fit: Vec<SocketAddr> = all.filter(fits).copied().collect();
            (!fit.is_empty()).then_some(fit)
        };
        if let Some(at) = self.own(place) {
            let addresses = reachable(&(at.host.clone(), at.port))?;
            let host = format!("{}:{}", at.host, at.port);
            return Some(Endpoints::all_at(&Endpoint { host, addresses, security: at.security, source }));
        }
        let hosts = hosts_of(place)?;
        let endpoint = |host: &str| {
            let addresses = reachable(&(host.to_owned(), HTTPS))?;
            Some(Endpoint { host: host.to_owned(), addresses, security: Security::Tls, source })
        };
        Some(Endpoints {
            rest: endpoint(&hosts.rest)?,
            wallet: endpoint(&hosts.wallet)?,
            trade: endpoint(&hosts.trade)?,
            private: endpoint(&hosts.private)?,
            public: hosts.public.as_deref().and_then(endpoint),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_hosts_of_its_environment_only() {
        for venue in [VenueKind::Binance, VenueKind::Bybit] {
            let mut seen = BTreeMap::new();
            for environment in Environment::ALL {
                let place = VenuePlace { venue, environment, ..VenuePlace::PAPER };
                let hosts = hosts_of(place).expect("an exchange");
                for host in hosts.all() {
                    let other = seen.insert(host.to_owned(), environment);
                    assert!(other.is_none_or(|other| other == environment), "{host} serves two environments");
                }
            }
        }
        assert_eq!(hosts_of(VenuePlace::PAPER), None);
        for site in VenueSite::BYBIT {
            let place = VenuePlace {
                venue: VenueKind::Bybit,
                environment: Environment::Mainnet,
                site,
                ..VenuePlace::PAPER
            };
            let hosts = hosts_of(place).expect("an exchange");
            assert_eq!(hosts.rest, site.host());
            assert!(hosts.private.starts_with("stream."), "{}", hosts.private);
        }
    }

    #[test]
    fn an_exchange_put_elsewhere_is_contacted_there_and_nowhere_else() {
        let place =
            VenuePlace { venue: VenueKind::Binance, environment: Environment::Testnet, ..VenuePlace::PAPER };
        let at = LiveAt {
            venue: place.venue,
            environment: place.environment,
            host: "127.0.0.1".into(),
            port: 9,
            security: Security::Plain,
        };
        let mut book = AddressBook::new(vec![at]);
        assert_eq!(book.endpoints(place), None);
        book.resolve(&[place]).expect("an address resolves to itself");
        let endpoints = book.endpoints(place).expect("resolved");
        let public = endpoints.public.as_ref().expect("the market too");
        let from_another = VenuePlace { egress: Egress::V6([1; 16]), ..place };
        assert_eq!(book.endpoints(from_another), None, "no way from one kind of address to the other");
        for endpoint in [&endpoints.rest, &endpoints.wallet, &endpoints.trade, &endpoints.private, public] {
            assert_eq!(endpoint.addresses, [SocketAddr::from(([127, 0, 0, 1], 9))]);
            assert_eq!((endpoint.host.as_str(), endpoint.security), ("127.0.0.1:9", Security::Plain));
        }
    }
}

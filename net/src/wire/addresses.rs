//! How many connections each address holds.
//!
//! **Bounds**: one entry per address that holds a connection, so never more than there are connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Who a connection is counted for. An IPv6 customer is given a /64 at least (RFC 6177), so that is one address here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressKey(IpAddr);

impl AddressKey {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let prefix = v6.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(prefix)))
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// Counts of connections by address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    counts: HashMap<AddressKey, u32>,
}

impl Addresses {
    /// Counts one more. `None`: the address has `max` already. The key is to be given back with [`Addresses::leave`].
    pub(super) fn enter(&mut self, address: IpAddr, max: u32) -> Option<AddressKey> {
        let key = AddressKey::of(address);
        let count = self.counts.entry(key).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(key)
    }

    /// Counts one less.
    pub(super) fn leave(&mut self, key: AddressKey) {
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    #[test]
    fn an_address_has_its_maximum_and_leaves_nothing_behind() {
        let mut addresses = Addresses::default();
        let (one, mapped) = ("192.0.2.1".parse().unwrap(), "::ffff:192.0.2.1".parse().unwrap());
        let first = addresses.enter(one, 2).unwrap();
        let second = addresses.enter(mapped, 2).unwrap();
        assert_eq!(first, second, "an IPv4 address in IPv6 clothes is the same address");
        assert!(addresses.enter(one, 2).is_none());
        assert!(addresses.enter("192.0.2.2".parse().unwrap(), 2).is_some());
        addresses.leave(first);
        assert!(addresses.enter(one, 2).is_some());
        addresses.leave(first);
        addresses.leave(first);
        assert_eq!(addresses.counts.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let mut addresses = Addresses::default();
        let key = addresses.enter("2001:db8::1".parse().unwrap(), 1).unwrap();
        assert!(addresses.enter("2001:db8::ffff:1".parse().unwrap(), 1).is_none());
        assert!(addresses.enter("2001:db8:0:1::1".parse().unwrap(), 1).is_some());
        addresses.leave(key);
        assert!(addresses.enter("2001:db8::2".parse().unwrap(), 1).is_some());
    }
}

//! Addresses that the answers of a registry may lead to.

use std::net::IpAddr;

/// Where an address is, from afar to near. An answer may lead no nearer than the registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AddressClass {
    Public,
    /// In a private network.
    Private,
    /// On the same link: metadata services of clouds are there.
    LinkLocal,
    /// On this machine.
    Loopback,
}

impl AddressClass {
    pub(crate) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        match address {
            _ if address.is_loopback() || address.is_unspecified() => Self::Loopback,
            IpAddr::V4(address) if address.is_link_local() || address.is_broadcast() => Self::LinkLocal,
            IpAddr::V6(address) if address.is_unicast_link_local() => Self::LinkLocal,
            IpAddr::V4(address) if address.is_private() => Self::Private,
            IpAddr::V6(address) if address.is_unique_local() => Self::Private,
            _ => Self::Public,
        }
    }

    /// Returns whether an answer of a registry that is at `registry` may lead to a host with such an address. Private
    /// addresses behind names are allowed: storage beside a registry is often there.
    pub(crate) fn may_be_reached_from(self, registry: Self) -> bool {
        self == Self::Private || self.may_be_named_by(registry)
    }

    /// Returns whether an answer may name such an address in digits.
    pub(crate) fn may_be_named_by(self, registry: Self) -> bool {
        // A registry on this machine need not be on the link, where metadata services are.
        self == registry || self < registry && self != Self::LinkLocal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_classed() {
        for (text, expected) in [
            ("8.8.8.8", AddressClass::Public),
            ("2001:4860::8888", AddressClass::Public),
            ("10.1.2.3", AddressClass::Private),
            ("192.168.1.1", AddressClass::Private),
            ("fd00::1", AddressClass::Private),
            ("169.254.169.254", AddressClass::LinkLocal),
            ("fe80::1", AddressClass::LinkLocal),
            ("::ffff:169.254.169.254", AddressClass::LinkLocal),
            ("127.8.0.1", AddressClass::Loopback),
            ("0.0.0.0", AddressClass::Loopback),
            ("::", AddressClass::Loopback),
            ("::ffff:127.0.0.1", AddressClass::Loopback),
        ] {
            assert_eq!(AddressClass::of(text.parse().expect(text)), expected, "{text}");
        }
    }

    #[test]
    fn answers_lead_no_nearer_than_the_registry_is() {
        use AddressClass::{LinkLocal, Loopback, Private, Public};
        for (class, registry, reached, named) in [
            (Public, Public, true, true),
            (Private, Public, true, false),
            (Private, Private, true, true),
            (Private, Loopback, true, true),
            (LinkLocal, Private, false, false),
            (LinkLocal, Loopback, false, false),
            (LinkLocal, LinkLocal, true, true),
            (Loopback, Public, false, false),
            (Loopback, Private, false, false),
            (Loopback, Loopback, true, true),
        ] {
            assert_eq!(class.may_be_reached_from(registry), reached, "{class:?} from {registry:?}");
            assert_eq!(class.may_be_named_by(registry), named, "{class:?} by {registry:?}");
        }
    }
}

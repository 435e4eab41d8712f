//! Networks of addresses: the proxies that are trusted to name their clients.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::Error;

/// A proxy that is trusted to name its client: the addresses of a network (`10.0.0.0/8`, `fd00::/8`, `127.0.0.1`), or
/// all peers of a Unix socket (`unix`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Every process that may open the file of a Unix socket.
    Unix,
    /// The addresses that begin with the same bits, by their number.
    Network(IpAddr, u8),
}

impl TrustedProxy {
    /// Whether this address is in the network. An IPv4 address within IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let Self::Network(base, length) = *self else { return false };
        match (base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - u32::from(length)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differing = base.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - u32::from(length)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Set bits behind the length of the network are a mistake, and refused.
impl FromStr for TrustedProxy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let wrong = || {
            Error::new(format!("a network is an address and a length, such as \"10.0.0.0/8\" or \"::1\", not {text:?}"))
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => {
                let digits = length.bytes().all(|byte| byte.is_ascii_digit());
                (address, Some(length.parse::<u8>().ok().filter(|_| digits).ok_or_else(wrong)?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (bits, most) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let length = length.unwrap_or(most);
        if length > most || bits.checked_shl(length.into()).unwrap_or(0) != 0 {
            return Err(wrong());
        }
        match address {
            // In the canonical form of addresses: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
            IpAddr::V6(mapped) if length >= 96 && is_mapped(mapped) => {
                Ok(Self::Network(mapped.to_canonical(), length - 96))
            }
            address => Ok(Self::Network(address, length)),
        }
    }
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Network(base, length) => write!(f, "{base}/{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..],
                &["11.0.0.0", "9.255.255.255", "::1"][..],
            ),
            ("192.168.1.128/25", &["192.168.1.128", "192.168.1.255"], &["192.168.1.127", "192.168.2.128"]),
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1", "::7f00:1"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], &["::", "fd00::1"]),
            ("::/0", &["::1", "fd00::1"], &["10.0.0.1", "::ffff:10.0.0.1"]),
            ("fd00::/8", &["fd00::1", "fdff:ffff::"], &["fe00::", "fc00::1"]),
            ("2001:db8::/33", &["2001:db8::1", "2001:db8:7fff::"], &["2001:db8:8000::"]),
            ("::1", &["::1"], &["::2", "127.0.0.1"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.1"]),
        ] {
            let parsed: TrustedProxy = network.parse().unwrap();
            for address in inside {
                assert!(parsed.contains(address.parse().unwrap()), "{address} in {network}");
            }
            for address in outside {
                assert!(!parsed.contains(address.parse().unwrap()), "{address} not in {network}");
            }
        }
        let unix: TrustedProxy = "unix".parse().unwrap();
        assert!(!unix.contains(IpAddr::from([0, 0, 0, 0])));
    }

    #[test]
    fn malformed_networks() {
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::1/64",
            "::/129",
            "localhost",
            "10.0.0.0/8/8",
            "10.0.0.0-10.0.0.9",
            "*",
            "Unix",
            "fe80::1%eth0",
            "10.0.0.0/255.0.0.0",
        ] {
            let error = text.parse::<TrustedProxy>().unwrap_err().to_string();
            assert!(error.contains("\"10.0.0.0/8\""), "{text:?}: {error}");
        }
    }
}

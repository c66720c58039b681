//! Who a message comes from, as far as limits are concerned.

use std::net::{IpAddr, Ipv6Addr};

use alloy_primitives::{B256, keccak256};
use axum::http::{HeaderMap, header::AUTHORIZATION};

use super::api_keys::ApiKeys;

const KEY_HEADER: &str = "x-api-key";
const FORWARDED_HEADER: &str = "x-forwarded-for";

/// An address that limits count together: an IPv4 address, or the first 64 bits of an IPv6 address,
/// because one subscriber has all that begin with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Address(IpAddr);

impl Address {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
            address => address,
        })
    }
}

/// Whose bucket a message is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// A client without a key that is known.
    Address(Address),
    /// The keccak-256 of a known key.
    Key(B256),
}

impl Client {
    /// The client that a connection from `peer` speaks for. Of proxies, the last `trusted_proxies`
    /// are believed to say truly whom they speak for.
    pub(super) fn of(
        peer: IpAddr,
        headers: &HeaderMap,
        keys: &ApiKeys,
        trusted_proxies: usize,
    ) -> Self {
        match key_of(headers) {
            Some(hash) if keys.contains(&hash) => Self::Key(hash),
            _ => Self::Address(Address::of(
                forwarded_for(headers, trusted_proxies).unwrap_or(peer),
            )),
        }
    }
}

/// Hash of the key that a request shows. Keys are compared by it, so that how long that takes says
/// nothing about them.
fn key_of(headers: &HeaderMap) -> Option<B256> {
    let key = match headers.get(KEY_HEADER) {
        Some(key) => key.as_bytes(),
        None => {
            let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return None;
            }
            token.trim().as_bytes()
        }
    };
    Some(keccak256(key))
}

/// The address that the outermost trusted proxy was connected from: each adds one at the end.
fn forwarded_for(headers: &HeaderMap, trusted_proxies: usize) -> Option<IpAddr> {
    let position = trusted_proxies.checked_sub(1)?;
    let mut hops = Vec::new();
    for value in headers.get_all(FORWARDED_HEADER) {
        hops.extend(value.to_str().ok()?.split(','));
    }
    let hop = hops.iter().rev().nth(position)?.trim();
    let without_port = || {
        hop.parse()
            .ok()
            .map(|address: std::net::SocketAddr| address.ip())
    };
    hop.parse().ok().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn client(lines: &[(&'static str, &str)], proxies: usize) -> Client {
        let keys = ApiKeys::parse("open-sesame-0123456789 100 10", "test").unwrap();
        let peer = IpAddr::from([10, 0, 0, 1]);
        Client::of(peer, &headers(lines), &keys, proxies)
    }

    fn at(address: &str) -> Client {
        Client::Address(Address::of(address.parse().unwrap()))
    }

    #[test]
    fn ipv6_counts_by_64_bits() {
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:1.2.3.4"), at("1.2.3.4"));
        assert_ne!(at("1.2.3.4"), at("1.2.3.5"));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let line = [
            ("x-forwarded-for", "9.9.9.9, 8.8.8.8"),
            ("x-forwarded-for", "7.7.7.7:443"),
        ];
        assert_eq!(client(&line, 0), at("10.0.0.1"));
        assert_eq!(client(&line, 1), at("7.7.7.7"));
        assert_eq!(client(&line, 2), at("8.8.8.8"));
        assert_eq!(client(&line, 3), at("9.9.9.9"));
        assert_eq!(client(&line, 4), at("10.0.0.1"));
        assert_eq!(
            client(&[("x-forwarded-for", "nonsense")], 1),
            at("10.0.0.1")
        );
        assert_eq!(
            client(&[("x-forwarded-for", "[2001:db8::1]:80")], 1),
            at("2001:db8::1")
        );
    }

    #[test]
    fn known_keys_are_told_from_others() {
        let known = Client::Key(keccak256("open-sesame-0123456789"));
        assert_eq!(client(&[("x-api-key", "open-sesame-0123456789")], 0), known);
        assert_eq!(
            client(&[("authorization", "Bearer open-sesame-0123456789")], 0),
            known
        );
        assert_eq!(client(&[("x-api-key", "open-sesame")], 0), at("10.0.0.1"));
        assert_eq!(
            client(&[("authorization", "Basic open-sesame-0123456789")], 0),
            at("10.0.0.1")
        );
    }
}

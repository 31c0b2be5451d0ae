//! What a flood of these objectives means, and what is odd about one, in words.

use super::{Kind, Offer, PERIOD, registrar_protocols};
use crate::protocol::Dull;
use crate::wire::{Flags, Locator, Objective};
use std::net::IpAddr;

/// A flooded objective as it was heard.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The objective.
    pub objective: &'a Objective,
    /// Its locator.
    pub locator: Option<&'a Locator>,
    /// Who flooded it.
    pub initiator: IpAddr,
    /// The stated lifetime in milliseconds; 0 for ever.
    pub ttl: u32,
    /// Whether a DULL instance has heard it.
    pub dull: bool,
}

/// What the flood says; `None` for an objective that is none of these.
#[must_use]
pub fn purpose(sight: &Sight<'_>) -> Option<String> {
    let value = sight.objective.value.as_ref();
    Some(match Kind::named(&sight.objective.name)? {
        Kind::AnAcp => match value.map(Offer::read) {
            Some(Ok(offer)) => format!("an ACP neighbour that offers {}", offer.method()),
            Some(Err(_)) | None => "an ACP neighbour".to_owned(),
        },
        Kind::AnProxy => "a join proxy for nodes without a certificate".to_owned(),
        Kind::AnJoinRegistrar => match value.and_then(registrar_protocols).filter(|text| !text.is_empty()) {
            Some(protocols) => format!("a registrar that speaks {protocols}"),
            None => "a registrar".to_owned(),
        },
        Kind::SrvEst => "a server that renews certificates by EST".to_owned(),
    })
}

/// What a person should look at; empty if the flood is as its RFC has it. Nothing of this makes anybody refuse it.
#[must_use]
pub fn oddities(sight: &Sight<'_>) -> Vec<String> {
    let mut odd = Vec::new();
    let name = sight.objective.name.as_str();
    let Some(kind) = Kind::named(name) else {
        if let Some(like) = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name)) {
            odd.push(format!("{name} is not {}: names are compared byte by byte", like.name()));
        }
        return odd;
    };
    flags_and_hops(kind, sight, &mut odd);
    lifetime(kind, sight.ttl, &mut odd);
    value(kind, sight, &mut odd);
    locator(kind, sight, &mut odd);
    odd
}

fn flags_and_hops(kind: Kind, sight: &Sight<'_>, odd: &mut Vec<String>) {
    let Objective { flags, loop_count, .. } = sight.objective;
    if *flags != Flags::SYNCH {
        odd.push(format!("flags {} where 4 is due", flags.0));
    }
    // A relay has lowered those that go through the whole domain; nobody can tell from how many.
    if kind.is_dull() && *loop_count != kind.loop_count() {
        odd.push(format!("loop count {loop_count} where {} is due", kind.loop_count()));
    }
    if !kind.is_dull() && *loop_count < kind.loop_count() / 2 {
        odd.push(format!("loop count {loop_count}: it was hardly flooded with {}", kind.loop_count()));
    }
    if kind.is_dull() && !sight.dull {
        odd.push("heard outside of DULL".to_owned());
    }
    if !kind.is_dull() && sight.dull {
        odd.push("heard by DULL: it belongs into the ACP".to_owned());
    }
}

fn lifetime(kind: Kind, ttl: u32, odd: &mut Vec<String>) {
    let period = u32::try_from(PERIOD.as_millis()).unwrap_or(u32::MAX);
    if ttl == 0 {
        odd.push("ttl 0: whoever dies stays announced for ever".to_owned());
    } else if ttl < period.saturating_mul(3) {
        let (seconds, due) = (f64::from(ttl) / 1e3, kind.ttl() / 1_000);
        odd.push(format!("ttl of {seconds} s is short for a period of 60 s, {due} s is usual"));
    }
}

fn value(kind: Kind, sight: &Sight<'_>, odd: &mut Vec<String>) {
    let value = sight.objective.value.as_ref();
    match kind {
        Kind::AnAcp => match value.map(Offer::read) {
            Some(Ok(offer)) if !offer.is_known() => odd.push(format!("unknown method {}", offer.method())),
            Some(Ok(_)) => {}
            Some(Err(error)) => odd.push(error.to_string()),
            None => odd.push("it names no method".to_owned()),
        },
        Kind::AnJoinRegistrar if value.and_then(registrar_protocols).is_none() => {
            odd.push("its value is no text".to_owned());
        }
        // Any value will do, none included.
        Kind::AnJoinRegistrar | Kind::AnProxy | Kind::SrvEst => {}
    }
}

fn locator(kind: Kind, sight: &Sight<'_>, odd: &mut Vec<String>) {
    let Some(locator) = sight.locator else {
        match kind {
            Kind::AnAcp => {
                let method = sight.objective.value.as_ref().and_then(|value| Offer::read(value).ok());
                if let Some(offer) = method.filter(|offer| offer.method() != super::IKEV2) {
                    odd.push(format!("no locator, and {} has no port of its own", offer.method()));
                }
            }
            Kind::AnProxy | Kind::AnJoinRegistrar | Kind::SrvEst => odd.push("no locator".to_owned()),
        }
        return;
    };
    match locator.address() {
        Some(address @ IpAddr::V6(v6)) => {
            if kind.is_dull() && !v6.is_unicast_link_local() {
                odd.push("locator is not link-local".to_owned());
            }
            if kind.is_dull() && address != sight.initiator {
                odd.push("locator is not the source".to_owned());
            }
            // RFC 8995 §4.3 has a link-local address for IPv6 in IPv6.
            if !kind.is_dull() && v6.is_unicast_link_local() && !matches!(locator, Locator::Other { .. }) {
                odd.push("locator means something on one link only".to_owned());
            }
        }
        Some(IpAddr::V4(_)) | None => odd.push("locator is not an IPv6 address".to_owned()),
    }
    if let Locator::Other { protocol, .. } = locator
        && kind != Kind::AnJoinRegistrar
    {
        odd.push(format!("protocol {protocol}, neither TCP nor UDP"));
    }
}

impl Dull {
    /// The rules for the objectives of the infrastructure that belong to DULL.
    #[must_use]
    pub fn infrastructure() -> Self {
        Self::new(Kind::ALL.into_iter().filter(|kind| kind.is_dull()).map(Kind::name))
    }
}

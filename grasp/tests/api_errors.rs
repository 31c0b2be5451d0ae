//! Every published error code, provoked through the API (RFC 8991 Appendix A).
//!
//! Four codes do not occur here. `#02` noReply belongs to polling calls, and calls here are futures. `#10` notOverlap is for
//! implementations without overlap. `#31` IDclash would tell a listener of a request that it never sees; clashes are
//! counted instead. `#00` is `Ok`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use grasp::protocol::registry::RegistryLimits;
use grasp::substrate::Unprotected;
use grasp::wire::{EndOption, Message, Transport};
use grasp::{AsaHandle, AsaLocator, ErrorCode, Grasp, Locator, Negotiated, NodeConfig, Objective, Registration, Session};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::sleep;

/// RFC 8991 Appendix A as printed.
const PUBLISHED: [(u32, &str); 39] = [
    (0, "OK"),
    (1, "Declined"),
    (2, "No reply"),
    (3, "Unspecified error"),
    (4, "ASA registry full"),
    (5, "Duplicate ASA name"),
    (6, "ASA not registered"),
    (7, "ASA registered but not by you"),
    (8, "Objective cannot support both negotiation and synchronization"),
    (9, "Dry-run allowed only with negotiation"),
    (10, "Overlap not supported by this implementation"),
    (11, "Objective registry full"),
    (12, "Objective already registered"),
    (13, "Objective not registered by this ASA"),
    (14, "Objective not found"),
    (15, "Objective not negotiable"),
    (16, "No security"),
    (17, "No reply to discovery"),
    (18, "Socket error sending negotiation request"),
    (19, "No session"),
    (20, "No socket"),
    (21, "Loop count exhausted"),
    (22, "Socket error sending negotiation step"),
    (23, "No negotiation peer"),
    (24, "CBOR decode failure"),
    (25, "Invalid Negotiate message"),
    (26, "Invalid end message"),
    (27, "No reply to negotiation step"),
    (28, "No valid reply to negotiation step"),
    (29, "Socket error sending wait message"),
    (30, "Socket error sending end message"),
    (31, "Incoming request Session ID clash"),
    (32, "Not a synchronization objective"),
    (33, "Not flooded and no reply to discovery"),
    (34, "Socket error sending synch request"),
    (35, "No synch listener"),
    (36, "No reply to synchronization request"),
    (37, "No valid reply to synchronization request"),
    (38, "Invalid locator"),
];

/// A-GEN-02, A-GEN-03.
#[test]
fn numbers_and_texts_are_the_published_ones() {
    let ours = ErrorCode::ALL.map(|code| (code.code(), code.text()));
    assert_eq!(ours, PUBLISHED);
    assert_eq!(ErrorCode::LoopExhausted.to_string(), "Loop count exhausted (#21)");
}

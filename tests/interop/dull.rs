//! A DULL instance and the Python implementation in DULL mode on one link.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use grasp::infrastructure::{Kind, Offer, an_acp};
use grasp::net::kernel::Kernel;
use grasp::protocol::Dull;
use grasp::wire::Transport;
use grasp::{Grasp, NodeConfig, Registration};

use super::{START, asked};
use crate::lab::{in_namespaces, poll};

/// EX-D-01, G-DULL-09: it hears our announcement, and we find it at its link-local address. Its own floods and questions give
/// another address than their source as initiator, against RFC 8994 section 6.4, and are dropped and counted.
#[test]
fn python_in_dull_mode_hears_us_and_is_found() {
    if asked("DULL").is_none() {
        return;
    }
    in_namespaces(|lab| {
        let outside = fs::read_link("/proc/self/ns/net").unwrap();
        let hosts = lab.lan(2);
        let (ours, theirs) = (&hosts[0], &hosts[1]);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/dull.py");
        let python = theirs.command("python3").args([script]).env("ASA_INTEROP_OUTSIDE", outside).spawn();
        let (done, result) = std::sync::mpsc::channel();
        let node = ours.spawn(move || {
            actix::System::new().block_on(async move {
                let config = NodeConfig::dull("e0", Dull::infrastructure());
                let grasp = Grasp::start(config, Arc::new(Kernel::new()), Arc::new(grasp::substrate::Dull)).unwrap();
                let asa = grasp.register_asa("A").await.unwrap();
                for kind in [Kind::AnAcp, Kind::AnProxy] {
                    let registration = Registration { discoverable: true, ..Registration::default() };
                    asa.register_objective(&kind.objective(), registration).await.unwrap();
                }
                let ikev2 = Offer::new("IKEv2").unwrap();
                let (mut found, mut more) = (Vec::new(), 3);
                for _ in 0..20 {
                    let pairs = an_acp([(&ikev2, Some((Transport::Udp, 15_000)))]);
                    asa.flood(Kind::AnAcp.ttl(), pairs).await.unwrap();
                    let heard = asa.discover(&Kind::AnAcp.objective(), Duration::from_secs(4), None).await.unwrap();
                    if heard.is_empty() {
                        continue;
                    }
                    // It has come up in the middle of this round, and is to hear a flood as well.
                    found = heard;
                    more -= 1;
                    if more == 0 {
                        break;
                    }
                }
                let counters = grasp.status().await.unwrap().counters;
                let kept: Vec<_> = grasp.flood_cache().await.unwrap().iter().map(|entry| entry.origin).collect();
                let _ = done.send((found, counters, kept));
                grasp.shutdown(Duration::from_millis(200)).await;
            });
        });
        let (us, them) = (ours.lla("e0"), theirs.lla("e0"));
        python.wait_line(&format!("heard {us} 17 15000 IKEv2"), START * 2);
        let (found, counters, kept) = poll("our side", START * 2, || result.try_recv().ok());
        let addresses: Vec<_> = found.iter().filter_map(|at| at.locator.address()).collect();
        assert_eq!(addresses, [std::net::IpAddr::V6(them)], "{}", python.output());
        for dropped in ["flood_dull_initiator", "discovery_dull_initiator"] {
            assert!(counters[dropped] > 0, "{counters:?}");
        }
        assert!(!python.output().contains("found "), "{}", python.output());
        assert_eq!(kept, [std::net::IpAddr::V6(us)], "only our own");
        node.join(START);
    });
}

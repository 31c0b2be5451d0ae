//! A store that fails under load, and works again.

use super::{SECOND, start};
use crate::traffic::{Books, Stranger, Traffic, audit};
use crate::vlans::Lab;
use asa_framework::control::Command;
use asa_framework::roles::store::Fault;
use asa_framework::testing;
use std::rc::Rc;

/// PM-S-03, PM-S-19: read-only meanwhile, and nothing is heard of that is not stored.
#[test]
fn while_the_store_fails_nothing_is_given_and_afterwards_everything_goes_on() {
    for fault in [Fault::Refuse, Fault::Doubt, Fault::Dead, Fault::Hang] {
        let base = tempfile::tempdir().unwrap();
        testing::run(9, async |harness| {
            let lab = Lab::default();
            start(&harness, &lab, base.path(), "").await;
            let (stranger, books) = (Rc::new(Stranger::arrive(&harness, &lab, "one").await), Rc::new(Books::default()));
            for key in ["core", "edge"] {
                let traffic = Traffic::begin(&lab, &stranger, &books);
                tokio::time::sleep(2 * SECOND).await;
                lab.store(key).order(fault);
                tokio::time::sleep(SECOND / 4).await;
                let before = books.clients_of(key);
                tokio::time::sleep(4 * SECOND).await;
                if fault == Fault::Doubt {
                    // The grants are there, and those who ask again get them: no more than each asks for.
                    assert!(books.clients_of(key).len() <= before.len() + 3);
                } else {
                    let more: Vec<_> = books.clients_of(key).into_iter().filter(|one| !before.contains(one)).collect();
                    assert_eq!(more, Vec::<String>::new(), "{fault:?}: what is not stored is not given");
                    if fault != Fault::Hang {
                        assert!(!lab.places(key)[0].census().await.unwrap().writable);
                    }
                }
                lab.store(key).order(Fault::None);
                if fault == Fault::Hang {
                    // What never ends is ended by force.
                    let panic = supervision::Fault::Panic;
                    let drill = Command::Drill { role: "pool".into(), fault: panic, instance: None, count: 1 };
                    harness.execute(key, drill).await.unwrap();
                }
                // The pause before the next try may have grown meanwhile.
                let goes_on = async |from: u32| {
                    while books.taken.get() < from + 50 {
                        tokio::time::sleep(SECOND / 10).await;
                    }
                };
                let soon = tokio::time::timeout(30 * SECOND, goes_on(books.taken.get())).await;
                assert!(soon.is_ok(), "it goes on");
                traffic.end().await;
            }
            tokio::time::sleep(700 * SECOND).await;
            let audit = audit(&lab, &books).await;
            for (key, census) in [("core", &audit.core), ("edge", &audit.edge)] {
                assert_eq!(lab.blocks(key).await, census.blocks, "what the pool says is what is stored");
                assert_eq!(harness.status(key).await.escalations, 0);
            }
            println!(
                "{fault:?}: {:?} doubts, {} taken, failures {:?}",
                audit.doubts(),
                books.taken.get(),
                books.failures()
            );
        });
    }
}

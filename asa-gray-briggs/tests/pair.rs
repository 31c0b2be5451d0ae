//! Both agents as nodes on the fabric, under a paused clock.

use crate::support::{End, World, agent, ex3, manifest, money, no_money, paused};
use asa_framework::event::{Ending, Event, Side};
use grasp::{Asa, ErrorCode, Negotiated, Objective, Registration, Step, Value};
use std::time::Duration;
use supervision::Fault;

const STOP: Duration = Duration::from_secs(2);

fn bank(parameters: &str) -> asa_framework::manifest::Manifest {
    manifest("briggs", &agent("briggs", "briggs", parameters))
}

fn customer(parameters: &str) -> asa_framework::manifest::Manifest {
    manifest("gray", &agent("gray", "gray", parameters))
}

/// Bank and customer until the customer has finished; both ends of every negotiation, in the same order.
async fn held(bank_has: &str, customer_has: &str) -> (World, Vec<(End, End)>) {
    let mut world = World::new();
    let nodes = [world.start(&bank(bank_has)).await, world.start(&customer(customer_has)).await];
    world.finished(1).await;
    for node in nodes.into_iter().rev() {
        assert_eq!(node.grasp().status().await.unwrap().sessions, 0, "a session was left open");
        node.stop(STOP).await;
    }
    let pairs = pairs(&world);
    (world, pairs)
}

fn pairs(world: &World) -> Vec<(End, End)> {
    let responders = world.ends(Side::Responder);
    let partner = |one: &End| responders.iter().find(|other| other.session_id == one.session_id).cloned();
    world.ends(Side::Initiator).into_iter().map(|one| (one.clone(), partner(&one).expect("the other end"))).collect()
}

/// GB-G-03, GB-G-05, GB-B-09: 200 sessions with waits of more than 10 s: all end by agreement or decline, alike at both
/// ends, and an agreed value is the same at both.
#[test]
fn two_hundred_sessions_end_alike_at_both_ends() {
    paused(async {
        let (world, pairs) = held("seed = 1\nwait_min_ms = 10500", "seed = 2\nsessions = 200").await;
        assert_eq!(pairs.len(), 200);
        for (gray, briggs) in &pairs {
            assert_ne!(gray.outcome, Ending::Failed, "{gray:?}");
            assert_eq!((gray.outcome, &gray.reason), (briggs.outcome, &briggs.reason));
            assert_eq!(gray.value, briggs.value, "session {:?}", gray.session_id);
        }
        let count = |ending| pairs.iter().filter(|(gray, _)| gray.outcome == ending).count();
        assert!(count(Ending::Accepted) >= 50 && count(Ending::Declined) >= 50, "{}", count(Ending::Accepted));
        let reasons: Vec<&str> = pairs.iter().filter_map(|(gray, _)| gray.reason.as_deref()).collect();
        for reason in ["Invalid currency", "Insufficient funds", "Недостаточно средств", "You are mean!"]
        {
            assert!(reasons.contains(&reason), "nobody declined with {reason}");
        }
        let texts = world.said("briggs");
        assert!(texts.iter().any(|(_, text)| text.starts_with("Wait started: 1")));
        assert!(world.said("gray").iter().any(|(_, text)| text.contains("flush")));
    });
}

/// GB-B-07: a customer who is told less than 10 s gives up when that time is over, not before; the bank finds a dead
/// socket and goes on. Sessions without a wait are not harmed.
#[test]
fn a_short_wait_makes_the_customer_give_up_in_time() {
    paused(async {
        let (world, pairs) = held("seed = 3\nwait_min_ms = 9000\nwait_max_ms = 9900", "seed = 4\nsessions = 60").await;
        let told = world.told();
        let mut failed = 0;
        for (gray, briggs) in &pairs {
            let wait = told.iter().find_map(|(at, event)| {
                let Event::Said { session_id, text, .. } = event else { return None };
                let wait = text.strip_prefix("Wait started: ").filter(|_| *session_id == gray.session_id)?;
                Some((*at, Duration::from_millis(wait.split(' ').next()?.parse().unwrap())))
            });
            assert_eq!(gray.outcome == Ending::Failed, wait.is_some(), "{gray:?}");
            assert_eq!(briggs.outcome == Ending::Failed, wait.is_some(), "{briggs:?}");
            if let Some((began, wait)) = wait {
                failed += 1;
                let patience = gray.at.saturating_sub(began);
                assert!(patience >= wait && patience < wait + Duration::from_millis(100), "{patience:?} of {wait:?}");
                assert_eq!(gray.reason.as_deref(), Some("No reply to negotiation step (#27)"));
                assert!(briggs.at >= began + Duration::from_secs(10) && briggs.at < began + Duration::from_secs(11));
            }
        }
        assert!((10..50).contains(&failed), "{failed} of {}", pairs.len());
    });
}

/// GB-B-08, GB-G-08 (avoid): whoever would have to send a loop count of zero declines with a text instead.
#[test]
fn exhausted_loop_counts_are_declined_by_either_side() {
    for (loop_count, by_customer) in [(1, false), (2, true), (3, false), (4, false), (5, false)] {
        paused(async {
            let customer = format!(
                "seed = 5\nsessions = 3\namount_min = 480\namount_max = 482\nloop_count_min = {loop_count}\n\
                 loop_count_max = {loop_count}"
            );
            let bank = "seed = 6\nreserves_min = 300\nreserves_max = 300\nwait_min_ms = 10500";
            let (world, pairs) = held(bank, &customer).await;
            for (gray, briggs) in pairs {
                for end in [gray, briggs] {
                    assert_eq!((end.outcome, end.reason.as_deref()), (Ending::Declined, Some("Loop count exhausted")));
                }
            }
            let (declines, hears) = if by_customer { ("gray", "briggs") } else { ("briggs", "gray") };
            let text = |who: &str| world.said(who).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n");
            assert!(text(declines).contains("I decline: Loop count exhausted"), "{loop_count}");
            assert!(text(hears).contains("declines: Loop count exhausted"), "{loop_count}");
        });
    }
}

/// GB-B-02, GB-B-09, GB-W-05: fifty customers on one node share a bank, each with a session of its own, side by side.
#[test]
fn fifty_customers_are_served_side_by_side() {
    paused(async {
        let mut world = World::new();
        let agents: String =
            (1..=50).map(|n| agent(&format!("gray{n}"), "gray", &format!("seed = {n}\nsessions = 2"))).collect();
        let briggs = world.start(&bank("seed = 1\nwait_min_ms = 10500")).await;
        let grays = world.start(&manifest("customers", &agents)).await;
        world.finished(50).await;
        let pairs = pairs(&world);
        assert_eq!(pairs.len(), 100);
        for (gray, briggs) in &pairs {
            assert_ne!(gray.outcome, Ending::Failed, "{gray:?}");
            assert_eq!((gray.outcome, &gray.value), (briggs.outcome, &briggs.value));
        }
        let (mut open, mut most) = (0_i32, 0);
        for (_, event) in world.told() {
            if let Event::NegotiationStarted { role: Side::Responder, .. } = event {
                open += 1;
            } else if let Event::NegotiationEnded { role: Side::Responder, .. } = event {
                open -= 1;
            }
            most = most.max(open);
        }
        assert!(most >= 10, "at most {most} at once");
        grays.stop(STOP).await;
        briggs.stop(STOP).await;
    });
}

/// GB-W-05: two banks share a node; each floods, and requests are answered.
#[test]
fn two_banks_share_a_node() {
    paused(async {
        let mut world = World::new();
        let one = "seed = 1\nwait_min_ms = 10500";
        let both = agent("one", "briggs", one) + &agent("two", "briggs", &format!("{one}\nbank = 'Kiwi'"));
        let banks = world.start(&manifest("banks", &both)).await;
        let gray = world.start(&customer("seed = 2\nsessions = 20")).await;
        world.finished(1).await;
        let pairs = pairs(&world);
        assert_eq!(pairs.len(), 20);
        assert!(pairs.iter().all(|(gray, briggs)| gray.outcome == briggs.outcome && gray.outcome != Ending::Failed));
        for bank in ["one", "two"] {
            assert!(world.said(bank).iter().any(|(_, text)| text.starts_with("Flooding EX1")), "{bank} floods");
            assert!(world.said(bank).iter().any(|(_, text)| text.starts_with("Reserves")), "{bank} has customers");
        }
        gray.stop(STOP).await;
        banks.stop(STOP).await;
    });
}

/// GB-G-03, GB-G-06: without a bank every discovery is a failure and no negotiation, the fifth forgets what is known;
/// a bank that comes later is found.
#[test]
fn a_customer_without_a_bank_goes_on_looking() {
    paused(async {
        let mut world = World::new();
        let gray = world.start(&customer("seed = 1\nsessions = 2")).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.ends(Side::Initiator), []);
        let said: Vec<String> = world.said("gray").into_iter().map(|(_, text)| text).collect();
        assert!(said.contains(&"Failures since the last flush: 4".to_owned()), "{said:?}");
        assert!(said.iter().any(|text| text.contains("flush the cache")), "{said:?}");
        let briggs = world.start(&bank("seed = 1\nwait_min_ms = 10500")).await;
        world.finished(1).await;
        assert_eq!(world.ends(Side::Initiator).len(), 2);
        gray.stop(STOP).await;
        briggs.stop(STOP).await;
    });
}

/// GB-G-01: "Nonsense" fails without a message, EX1 and EX2 are read, all in order; GB-W-02 (avoid): the first reading of
/// EX1 succeeds also for a customer who came after the flood.
#[test]
fn readings_succeed_from_the_first_on() {
    paused(async {
        let mut world = World::new();
        let briggs = world.start(&bank("seed = 1")).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let gray = world.start(&customer("seed = 1")).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let said: Vec<String> = world.said("gray").into_iter().map(|(_, text)| text).collect();
        let starts = [
            "Hello",
            "Before",
            "Read EX1: 20",
            "Read EX2: [1, \"two\", 3]",
            "Nonsense cannot",
            "Read EX2: [1",
            "Read EX1: 20",
        ];
        for (said, start) in said.iter().zip(starts) {
            assert!(said.starts_with(start), "{said} instead of {start}");
        }
        assert!(said.len() >= starts.len() && said[2].ends_with(" UTC from Briggs"), "{said:?}");
        gray.stop(STOP).await;
        briggs.stop(STOP).await;
    });
}

/// A customer by hand, on a node of its own.
async fn by_hand(world: &mut World) -> (asa_framework::deploy::Deployment, Asa) {
    let node = world.start(&manifest("hand", "")).await;
    let asa = node.grasp().register_asa("hand").await.unwrap();
    asa.register_objective(&Objective::negotiation("EX3"), Registration::default()).await.unwrap();
    (node, asa)
}

const LIMIT: Duration = Duration::from_secs(5);

/// GB-B-03, GB-B-04, GB-B-11 (avoid) from one node to another: every senseless request gets a decline with a reason, and
/// the bank is there for the next.
#[test]
fn senseless_requests_are_declined_and_do_no_harm() {
    paused(async {
        let mut world = World::new();
        let briggs = world.start(&bank("seed = 1")).await;
        let (node, asa) = by_hand(&mut world).await;
        let mut wrong = no_money();
        wrong.extend([ex3(Value::item(&("USD", 10)).unwrap()), money(-5, true), money(0, false)]);
        for request in wrong {
            let error = asa.request_negotiate(&request, None, LIMIT).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Declined, "{request:?}: {error}");
            assert!(error.detail.starts_with("Invalid "), "{error}");
        }
        let Negotiated::Accepted(agreed) = asa.request_negotiate(&money(10, true), None, LIMIT).await.unwrap() else {
            panic!("10 is always granted")
        };
        assert_eq!(agreed.value, money(10, true).value);
        assert_eq!(world.ends(Side::Responder).len(), 11);
        node.stop(STOP).await;
        briggs.stop(STOP).await;
    });
}

/// GB-B-10: a dry run in Tag 24 keeps both through all steps.
#[test]
fn the_form_of_a_session_is_kept() {
    paused(async {
        let mut world = World::new();
        let briggs = world.start(&bank("seed = 1\nreserves_min = 400\nwait_min_ms = 10500")).await;
        let (node, asa) = by_hand(&mut world).await;
        let request = money(500, true).dry_run();
        let Negotiated::Offered(session, first) = asa.request_negotiate(&request, None, LIMIT).await.unwrap() else {
            panic!("500 is too much")
        };
        let Step::Offered(second) = session.negotiate_step(&money(450, true).dry_run(), LIMIT).await.unwrap() else {
            panic!("450 is too much")
        };
        assert_eq!((first.value, second.value), (money(200, true).value, money(210, true).value));
        assert_eq!((first.flags.0, second.flags.0, first.loop_count, second.loop_count), (11, 11, 19, 17));
        session.end_negotiate(true, None).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.ends(Side::Responder)[0].value, serde_json::json!(["NZD", 210]));
        node.stop(STOP).await;
        briggs.stop(STOP).await;
    });
}

/// GB-B-12: when its listening is ended by an error, the bank listens again soon; after its node's stop it does not.
#[test]
fn the_bank_listens_again_after_an_error() {
    paused(async {
        let mut world = World::new();
        let node = world.start(&manifest("briggs", "seed = 1")).await;
        let (hand, asa) = by_hand(&mut world).await;
        let ask = async |asa: &Asa| asa.request_negotiate(&money(10, false), None, Duration::from_secs(1)).await;
        assert!(ask(&asa).await.is_ok());
        assert!(node.tree().arm("briggs", "negotiator", Fault::Stop, 1) && node.tree().nudge("briggs", "negotiator"));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(ask(&asa).await.is_ok());
        assert_eq!(node.tree().find("briggs", "negotiator").unwrap().life(), 2);
        node.stop(STOP).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(ask(&asa).await.is_err());
        hand.stop(STOP).await;
    });
}

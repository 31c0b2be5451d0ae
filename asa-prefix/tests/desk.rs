//! What an operator asks of a pool, through the node.

use crate::nodes::{Lab, node, p, v6};
use asa_framework::control::{Command, Failure, FailureCode};
use asa_framework::testing::{self, Harness};
use asa_prefix::delegator::Explained;
use asa_prefix::desk::{Blocks, Checked, Exported, Fate, Given, Overview, PoolCommand, Resolved};
use asa_prefix::pool::record::{Deal, Record, Way};
use asa_prefix::pool::{Planned, Request};
use asa_prefix::prefix::Family;
use asa_prefix::store::{check, export_records, parse_export};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

async fn raw(harness: &Harness, query: Value) -> Result<Value, Failure> {
    harness.execute("origin", Command::Query { instance: "origin".into(), query }).await
}

async fn ask<T: DeserializeOwned>(harness: &Harness, command: PoolCommand) -> Result<T, Failure> {
    let value = raw(harness, serde_json::to_value(&command).unwrap()).await?;
    Ok(serde_json::from_value(value).unwrap())
}

/// Runs a test with an origin that has one /32, and nobody to ask.
fn run(seed: u64, test: impl AsyncFnOnce(&'static Lab, Harness)) {
    testing::run(seed, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        test(lab, harness).await;
    });
}

fn listed(blocks: &Blocks) -> Vec<(String, &'static str)> {
    blocks.blocks.iter().map(|one| (one.block.to_string(), one.state.name())).collect()
}

fn blocks(within: Option<&str>, states: &[&str]) -> PoolCommand {
    let states = states.iter().map(|state| (*state).to_owned()).collect();
    PoolCommand::Blocks { after: None, within: within.map(p), states, limit: 100 }
}

/// PM-L-02, PM-L-04
#[test]
fn a_census_has_numbers_of_any_size_and_a_map() {
    run(41, async |_, harness| {
        let given: Given =
            ask(&harness, PoolCommand::Take { client: "cpe".into(), family: Family::V6, length: 33 }).await.unwrap();
        assert_eq!((given.block, given.client.as_str()), (p("2001:db8:8000::/33"), "cpe"));
        let value = raw(&harness, json!({"command": "census"})).await.unwrap();
        assert_eq!(value["census"]["free"]["ipv6"], (1_u128 << 95).to_string());
        let overview: Overview = serde_json::from_value(value).unwrap();
        let aggregate = &overview.census.aggregates[0];
        assert_eq!(aggregate.map, format!("{}{}", "F".repeat(32), "D".repeat(32)));
        assert_eq!(aggregate.states["delegated"].addresses, 1 << 95);
        assert!(overview.census.writable && overview.instance == "origin");
        assert!(overview.forecast[&Family::V6].basis.starts_with("no forecast"), "{:?}", overview.forecast);
        let explained: Explained = ask(&harness, PoolCommand::Explain {}).await.unwrap();
        assert_eq!(explained.next.len(), 1, "{explained:?}");
    });
}

/// PM-D-07, PM-T-06
#[test]
fn what_is_reserved_by_hand_is_never_given_and_what_is_in_use_there_is_told() {
    run(42, async |_, harness| {
        let take = |client: &str| PoolCommand::Take { client: client.into(), family: Family::V6, length: 48 };
        let Given { block, .. } = ask(&harness, take("a")).await.unwrap();
        let used: Blocks = ask(&harness, PoolCommand::Exclude { block: p("2001:db8:8000::/33") }).await.unwrap();
        assert_eq!(listed(&used), [(block.to_string(), "delegated")]);
        let Given { block: other, .. } = ask(&harness, take("b")).await.unwrap();
        assert!(p("2001:db8::/33").contains(&other), "{other}");
        let again: Blocks = ask(&harness, PoolCommand::Include { block: p("2001:db8:8000::/33") }).await.unwrap();
        assert!(again.blocks.iter().all(|one| one.state.name() == "free") && !again.blocks.is_empty());
        let failure = ask::<Value>(&harness, PoolCommand::Withdraw { block: p("2001:db8::/40") }).await.unwrap_err();
        assert!(failure.code == FailureCode::Refused && failure.message.contains("part of 2001:db8::/32"), "{failure}");
        let used: Blocks = ask(&harness, PoolCommand::Withdraw { block: p("2001:db8::/32") }).await.unwrap();
        assert_eq!(used.blocks.len(), 2);
        // Taken back: it is no longer withdrawn, and what is out of use comes back with an order of its own.
        let include = PoolCommand::Include { block: p("2001:db8::/32") };
        assert_eq!(ask::<Blocks>(&harness, include.clone()).await.unwrap().blocks, []);
        let reinstate = PoolCommand::Reinstate { block: p("2001:db8::/32") };
        assert_eq!(ask::<Value>(&harness, reinstate.clone()).await.unwrap(), Value::Null);
        assert_eq!(ask::<Value>(&harness, reinstate).await.unwrap_err().code, FailureCode::Refused);
        let overview: Overview = ask(&harness, PoolCommand::Census {}).await.unwrap();
        assert!(!overview.census.aggregates[0].withdrawn && overview.census.free[&Family::V6] == 0);
        ask::<Given>(&harness, take("c")).await.unwrap_err();
        assert!(!ask::<Blocks>(&harness, include).await.unwrap().blocks.is_empty());
        ask::<Given>(&harness, take("c")).await.unwrap();
        assert!(ask::<Checked>(&harness, PoolCommand::Fsck {}).await.unwrap().problems.is_empty());
        let give = PoolCommand::Give { client: "a".into(), block };
        assert_eq!(ask::<Given>(&harness, give.clone()).await.unwrap().block, block);
        assert_eq!(ask::<Given>(&harness, give).await.unwrap_err().code, FailureCode::Refused);
    });
}

/// PM-S-18: an order of the operator ends a doubt, either way.
#[test]
fn a_doubt_is_resolved_as_ordered() {
    run(43, async |lab, harness| {
        for (session, fate, expected) in [(1, Fate::Free, "free"), (2, Fate::Granted, "granted")] {
            let deal = Deal { session, peer: "fe80::9".into() };
            let hold = Request::Hold { deal: deal.clone(), want: v6(48), longest: 48, dry: None };
            lab.ask("origin", hold).await;
            lab.ask("origin", Request::Offer(deal.clone())).await;
            lab.ask("origin", Request::Doubt(deal)).await;
            let doubts: Blocks = ask(&harness, PoolCommand::Doubts {}).await.unwrap();
            let block = doubts.blocks[0].block;
            assert_eq!(listed(&doubts), [(block.to_string(), "in-doubt")]);
            let resolved: Resolved = ask(&harness, PoolCommand::Resolve { block, fate }).await.unwrap();
            assert_eq!((resolved.way, resolved.moved), (Way::Out, fate == Fate::Granted));
            let now: Blocks = ask(&harness, blocks(Some(&block.to_string()), &[])).await.unwrap();
            assert_eq!(now.blocks[0].state.name(), expected);
            let failure = ask::<Value>(&harness, PoolCommand::Resolve { block, fate }).await.unwrap_err();
            assert!(failure.code == FailureCode::Unknown && failure.message.contains("is not in doubt"), "{failure}");
        }
        // The other way: what was offered to this node.
        for (session, fate, there) in [(3, Fate::Free, false), (4, Fate::Granted, true)] {
            let (deal, block) = (Deal { session, peer: "fe80::9".into() }, p("2001:db9::/48"));
            lab.ask("origin", Request::Ask { deal: deal.clone(), want: v6(48) }).await;
            lab.ask("origin", Request::Accept { deal: deal.clone(), block }).await;
            lab.ask("origin", Request::DoubtTaken { deal, reset: false }).await;
            let resolved: Resolved = ask(&harness, PoolCommand::Resolve { block, fate }).await.unwrap();
            assert_eq!(resolved.way, Way::In);
            let now: Blocks = ask(&harness, blocks(Some("2001:db9::/48"), &[])).await.unwrap();
            assert_eq!(!now.blocks.is_empty(), there);
        }
    });
}

/// GAP-07: an address plan comes in as a whole or not at all, and what it says is in use is given to nobody.
#[test]
fn a_plan_is_imported_as_a_whole_or_not_at_all() {
    run(44, async |_, harness| {
        let aggregate = Planned::Aggregate(p("2001:db9::/32"));
        let delegated = Planned::Delegated { block: p("2001:db9::/64"), client: "old".into() };
        let outside = Planned::Excluded(p("2001:dba::/48"));
        let bad = PoolCommand::Import { plan: vec![aggregate.clone(), delegated.clone(), outside] };
        assert_eq!(ask::<Value>(&harness, bad).await.unwrap_err().code, FailureCode::Refused);
        let overview: Overview = ask(&harness, PoolCommand::Census {}).await.unwrap();
        assert_eq!(overview.census.aggregates.len(), 1);
        let good = PoolCommand::Import { plan: vec![aggregate, delegated] };
        assert_eq!(ask::<Value>(&harness, good.clone()).await.unwrap(), Value::Null);
        assert!(ask::<Value>(&harness, good).await.unwrap_err().message.contains("overlaps"));
        let used: Blocks = ask(&harness, blocks(Some("2001:db9::/32"), &["delegated"])).await.unwrap();
        assert_eq!(listed(&used), [("2001:db9::/64".into(), "delegated")]);
    });
}

/// PM-S-20: what an export of several pages says is so at one moment.
#[test]
fn an_export_is_of_one_moment_however_many_pages_it_has() {
    run(45, async |lab, harness| {
        let plan = (0..12_000_u32).map(|number| Planned::Excluded(p(&format!("2001:db8:{:x}::/48", 2 * number))));
        lab.ask("origin", Request::Import(plan.collect())).await;
        let begin = PoolCommand::Export { export: None, from: 0 };
        let first: Exported = ask(&harness, begin.clone()).await.unwrap();
        let (export, mut next) = (Some(first.export), first.next);
        let mut records = first.records;
        let Given { block, .. } =
            ask(&harness, PoolCommand::Take { client: "late".into(), family: Family::V6, length: 48 }).await.unwrap();
        while let Some(from) = next {
            let page: Exported = ask(&harness, PoolCommand::Export { export, from }).await.unwrap();
            records.extend(page.records);
            next = page.next;
        }
        assert!(records.len() > 10_000);
        let is_late = |record: &Record| matches!(record, Record::Block { block: other, state } if *other == block && state.name() == "delegated");
        assert!(check(&records).is_empty() && !records.iter().any(is_late));
        let mut text = Vec::new();
        export_records(&records, time::OffsetDateTime::UNIX_EPOCH, &mut text).unwrap();
        assert_eq!(parse_export(text.as_slice()).unwrap(), records);
        let over = ask::<Value>(&harness, PoolCommand::Export { export, from: 5_000 }).await.unwrap_err();
        assert!(over.code == FailureCode::Unknown && over.message.contains("is over"), "{over}");
        // One that is left alone is forgotten.
        let left: Exported = ask(&harness, begin).await.unwrap();
        tokio::time::sleep(Duration::from_secs(180)).await;
        let over = PoolCommand::Export { export: Some(left.export), from: 5_000 };
        assert_eq!(ask::<Value>(&harness, over).await.unwrap_err().code, FailureCode::Unknown);
    });
}

#[test]
fn a_check_compares_the_pool_with_its_store() {
    run(46, async |lab, harness| {
        let sound: Checked = ask(&harness, PoolCommand::Fsck {}).await.unwrap();
        assert_eq!((sound.compared, sound.problems, sound.records), (true, vec![], 3));
        lab.spoil(
            "origin",
            Record::Block { block: p("2001:db8::/48"), state: asa_prefix::pool::record::State::Excluded },
        )
        .await;
        let broken: Checked = ask(&harness, PoolCommand::Fsck {}).await.unwrap();
        assert_eq!(broken.problems.len(), 1);
        let fault = &broken.problems[0];
        assert!(fault.code == "store" && fault.what.contains("only the store has {\"block\""), "{fault:?}");
    });
}

/// PM-L-03
#[test]
fn steady_use_is_forecast() {
    run(47, async |_, harness| {
        for number in 0..60 {
            let client = format!("client-{number}");
            let take = PoolCommand::Take { client, family: Family::V6, length: 44 };
            ask::<Given>(&harness, take).await.unwrap();
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let overview: Overview = ask(&harness, PoolCommand::Census {}).await.unwrap();
        let forecast = &overview.forecast[&Family::V6];
        let (left, expected) = (forecast.exhausted_in_s.unwrap(), (4_096 - 60) * 30);
        assert!(left.abs_diff(expected) * 5 < expected, "{forecast:?}");
        assert!(forecast.basis.contains("over the last 30 min: exhausted in about 34 h"), "{}", forecast.basis);
    });
}

#[test]
fn what_is_no_query_is_refused_in_few_words() {
    run(48, async |_, harness| {
        let long = format!("\u{1b}[2J{}", "x".repeat(5_000));
        for (query, part) in [
            (json!(null), ""),
            (json!([]), ""),
            (json!({}), "command"),
            (json!({"command": long}), "unknown variant"),
            (json!({"command": "census", "more": 1}), "unknown field `more`"),
            (json!({"command": "resolve", "block": "2001:db8::/48", "as": "gone"}), "unknown variant `gone`"),
            (json!({"command": "exclude", "block": "2001:db8::1/48"}), "2001:db8::/48 has none"),
            (json!({"command": "take", "client": "", "family": "ipv6", "length": 64}), "1 to 255 bytes"),
            (json!({"command": "take", "client": "a\nb", "family": "ipv6", "length": 64}), "no control characters"),
            (json!({"command": "take", "client": "a", "family": "ipv4", "length": 33}), "no prefix length 33"),
            (json!({"command": "take", "client": "a", "family": "ipv6", "length": 300}), ""),
        ] {
            let failure = raw(&harness, query.clone()).await.unwrap_err();
            assert_eq!(failure.code, FailureCode::Malformed, "{query}");
            assert!(failure.message.contains(part) && failure.message.len() < 1_000, "{query}: {failure}");
            assert!(!failure.message.contains(char::is_control), "{failure}");
        }
        let unknown = raw(&harness, json!({"command": "blocks", "states": ["lost"]})).await.unwrap_err();
        assert!(unknown.code == FailureCode::Unknown && unknown.message.contains("in-doubt"), "{unknown}");
        let memory = raw(&harness, json!({"command": "history", "address": "2001:db8::1"})).await.unwrap_err();
        assert!(memory.code == FailureCode::Refused && memory.message.contains("in memory"), "{memory}");
    });
}

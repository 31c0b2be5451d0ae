//! Queries to the pool of a running node, and orders to it.

use asa_framework::control::Command;
use asa_prefix::delegator::Explained;
use asa_prefix::desk::{self, Blocks, Checked, Given, PoolCommand, Resolved};
use asa_prefix::pool::record::Way;
use asa_prefix::store;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::blocks::listed;
use super::offline::{directory_of, said};
use crate::cli::pool::{BlockArgs, DelegateArgs, EitherArgs, Fate, OnlineArgs, ReleaseArgs, ResolveArgs};
use crate::control::text::{count, labelled};
use crate::control::{CHANGE, QUESTION, REFUSED, Shown, Trouble, answer, ask};
use crate::output::Look;

/// The request for a query.
fn request(args: &OnlineArgs, command: &PoolCommand) -> anyhow::Result<Command> {
    Ok(Command::Query { instance: args.instance.clone().unwrap_or_default(), query: serde_json::to_value(command)? })
}

/// Asks the pool that is meant, and turns its answer into text and exit code; with `--json` the answer is the text.
pub(super) fn query<T: DeserializeOwned>(
    args: &OnlineArgs,
    limit: u32,
    command: &PoolCommand,
    show: impl FnOnce(Look, T) -> String,
    code: impl FnOnce(&T) -> u8,
) -> anyhow::Result<Shown> {
    ask(&args.node, limit, request(args, command)?, show, code)
}

/// What the pool that is meant answers.
pub(super) fn plain(args: &OnlineArgs, limit: u32, command: &PoolCommand) -> anyhow::Result<Result<Value, Trouble>> {
    answer(&args.node, limit, request(args, command)?)
}

/// Examines a pool; 1 if something is wrong with it.
pub(super) fn fsck(args: EitherArgs) -> anyhow::Result<Shown> {
    let code = |broken: bool| u8::from(broken) * REFUSED;
    if args.directory.is_none() && !args.offline {
        let sound = move |checked: &Checked| code(!checked.problems.is_empty());
        return query(&args.online, 12 * QUESTION, &PoolCommand::Fsck {}, checked, sound);
    }
    let directory = match directory_of(&args) {
        Ok(directory) => directory,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let report = match store::fsck(&directory) {
        Ok(report) => report,
        Err(error) => return Ok(Err(Trouble::Failed(error.to_string()))),
    };
    let (clean, figures) = (report.is_clean(), report.figures.clone());
    let problems: Vec<desk::Fault> = report
        .problems
        .iter()
        .map(|problem| desk::Fault { code: problem.code.to_string(), what: problem.what.clone() })
        .collect();
    let show = move |look: Look, _: Value| {
        let records = figures.blocks + figures.aggregates + figures.sessions + u64::from(figures.life.is_some());
        faults(look, &problems, &format!("{} records in database and ledger", count(records)))
    };
    Ok(said(&report, args.online.node.json, show, |_| code(!clean)))
}

fn checked(look: Look, checked: Checked) -> String {
    let compared = if checked.compared { ", the same as in the store" } else { ", not compared with the store" };
    faults(look, &checked.problems, &format!("{} records{compared}", count(checked.records as u64)))
}

/// What is wrong, or that nothing is.
fn faults(look: Look, problems: &[desk::Fault], seen: &str) -> String {
    if problems.is_empty() {
        return format!("sound: {seen}\n");
    }
    let broken = crate::control::text::counted(problems.len(), "invariant is", "invariants are");
    let mut lines = vec![format!("{broken} broken ({seen}):")];
    for desk::Fault { code, what } in problems {
        lines.extend(labelled(look, "  ", &format!("{code}: {what}"), Some(crate::control::text::RED)));
    }
    lines.join("\n") + "\n"
}

/// Ends a doubt.
pub(super) fn resolve(args: ResolveArgs) -> anyhow::Result<Shown> {
    let ResolveArgs { block, fate, online } = args;
    let fate = match fate {
        Fate::Free => desk::Fate::Free,
        Fate::Granted => desk::Fate::Granted,
    };
    query(&online, CHANGE, &PoolCommand::Resolve { block, fate }, resolved, |_| 0)
}

fn resolved(_: Look, Resolved { block, way, moved }: Resolved) -> String {
    let now = match (way, moved) {
        (Way::Out, true) => "is granted to the peer",
        (Way::Out, false) => "is free here",
        (Way::In, true) => "belongs to this pool",
        (Way::In, false) => "stays with the peer",
    };
    format!("{block} {now}\n")
}

/// Keeps something out of use.
pub(super) fn exclude(args: BlockArgs) -> anyhow::Result<Shown> {
    let show = |look, blocks: Blocks| {
        let done = "excluded, as far as it was free";
        if blocks.blocks.is_empty() {
            format!("{done}\n")
        } else {
            format!("{done}; in use there:\n{}", listed(look, &blocks, ""))
        }
    };
    query(&args.online, CHANGE, &PoolCommand::Exclude { block: args.block }, show, |_| 0)
}

/// Brings something back into use.
pub(super) fn include(args: BlockArgs) -> anyhow::Result<Shown> {
    let show = |look, blocks: Blocks| {
        let rest = listed(
            look,
            &blocks,
            "nothing has become free: nothing is excluded there, or its aggregate is being withdrawn (asa pool reinstate)",
        );
        if blocks.blocks.is_empty() { rest } else { format!("free again:\n{rest}") }
    };
    query(&args.online, CHANGE, &PoolCommand::Include { block: args.block }, show, |_| 0)
}

/// Takes an aggregate out of use.
pub(super) fn withdraw(args: BlockArgs) -> anyhow::Result<Shown> {
    let show = |look, blocks: Blocks| {
        let rest = listed(look, &blocks, "nothing of it was in use: it is gone, or on its way back");
        if blocks.blocks.is_empty() { rest } else { format!("being withdrawn; still in use:\n{rest}") }
    };
    query(&args.online, CHANGE, &PoolCommand::Withdraw { block: args.block }, show, |_| 0)
}

/// Takes a granted block back without its taker.
pub(super) fn reclaim(args: BlockArgs) -> anyhow::Result<Shown> {
    let block = args.block;
    let show = move |_: Look, _: Value| format!("{block} is this pool's again; make sure that nobody uses it\n");
    query(&args.online, CHANGE, &PoolCommand::Reclaim { block }, show, |_| 0)
}

/// Takes back that an aggregate is withdrawn.
pub(super) fn reinstate(args: BlockArgs) -> anyhow::Result<Shown> {
    let block = args.block;
    let show = move |_: Look, _: Value| {
        format!("{block} is in use again; what is excluded in it waits for asa pool include\n")
    };
    query(&args.online, CHANGE, &PoolCommand::Reinstate { block }, show, |_| 0)
}

/// Gives a client a block.
pub(super) fn delegate(args: DelegateArgs) -> anyhow::Result<Shown> {
    let DelegateArgs { client, length, family, online } = args;
    let command = PoolCommand::Take { client, family: family.into(), length };
    let show = |look: Look, given: Given| format!("{} is delegated to {}\n", given.block, look.shown(&given.client));
    query(&online, CHANGE, &command, show, |_| 0)
}

/// Takes a block back.
pub(super) fn release(args: ReleaseArgs) -> anyhow::Result<Shown> {
    let ReleaseArgs { client, block, online } = args;
    let show = |look: Look, given: Given| format!("{} is no longer {}'s\n", given.block, look.shown(&given.client));
    query(&online, CHANGE, &PoolCommand::Give { client, block }, show, |_| 0)
}

/// Explains what the node asks for.
pub(super) fn explain(args: OnlineArgs) -> anyhow::Result<Shown> {
    query(&args, QUESTION, &PoolCommand::Explain {}, explained, |_| 0)
}

fn explained(look: Look, told: Explained) -> String {
    let source = told.params_source.as_deref().unwrap_or("the manifest");
    let mut lines = labelled(look, "role     ", &format!("{}, by the table of {source}", told.role), None);
    for (family, why) in &told.next {
        lines.extend(labelled(look, &format!("{:<9}", family.to_string()), why, None));
    }
    let asking = if told.asking { "others are being asked" } else { "nobody is being asked" };
    let fruitless = match told.fruitless {
        0 => String::new(),
        times => format!("; the last {times} times nothing came of it"),
    };
    let waiting = crate::control::text::counted(told.waiting, "client or peer waits", "clients and peers wait");
    lines.extend(labelled(look, "now      ", &format!("{asking}{fruitless}; {waiting}"), None));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Look = Look::new(false, true);

    #[test]
    fn a_broken_invariant_is_named() {
        let text = |value| checked(PLAIN, serde_json::from_value(value).unwrap());
        let sound = text(json!({"records": 1200, "compared": true, "problems": []}));
        assert_eq!(sound, "sound: 1 200 records, the same as in the store\n");
        let fault = json!({"code": "overlap", "what": "the blocks ::/1 and\u{7} ::/2 overlap"});
        let broken = text(json!({"records": 2, "compared": false, "problems": [fault]}));
        let expected = "1 invariant is broken (2 records, not compared with the store):\n  overlap: the blocks ::/1 and\\u{7} \
                        ::/2 overlap\n";
        assert_eq!(broken, expected);
    }

    /// GAP-32
    #[test]
    fn an_explanation_names_the_role_the_reason_and_who_waits() {
        let text = explained(
            PLAIN,
            serde_json::from_value(json!({
                "role": "CSG", "params_source": "fe80::1", "params": {}, "next": {"ipv6": "a /56, since\u{9b} 32 are needed"},
                "asking": true, "waiting": 1, "fruitless": 2,
            }))
            .unwrap(),
        );
        let expected = "\
role     CSG, by the table of fe80::1
IPv6     a /56, since\\u{9b} 32 are needed
now      others are being asked; the last 2 times nothing came of it; 1 client or peer waits
";
        assert_eq!(text, expected);
    }
}

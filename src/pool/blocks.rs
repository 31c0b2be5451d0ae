//! `asa pool blocks` and `asa pool doubts`: lists.

use asa_prefix::desk::{Blocks, Listed, PoolCommand};

use super::online::query;
use super::words::{since, who};
use crate::cli::pool::{BlocksArgs, OnlineArgs};
use crate::control::text::{Cell, RED, table};
use crate::control::{QUESTION, Shown};
use crate::output::Look;

/// Lists blocks.
pub(super) fn blocks(args: BlocksArgs) -> anyhow::Result<Shown> {
    let BlocksArgs { within, states, after, limit, online } = args;
    let command = PoolCommand::Blocks { after, within, states, limit: limit as usize };
    query(&online, QUESTION, &command, |look, blocks: Blocks| listed(look, &blocks, "there are no such blocks"), |_| 0)
}

/// Lists what is in doubt.
pub(super) fn doubts(args: OnlineArgs) -> anyhow::Result<Shown> {
    query(&args, QUESTION, &PoolCommand::Doubts {}, |look, blocks: Blocks| doubted(look, &blocks), |_| 0)
}

/// Blocks as a table, or what to say if there are none.
pub(super) fn listed(look: Look, blocks: &Blocks, none: &str) -> String {
    let Some(last) = blocks.blocks.last() else { return format!("{none}\n") };
    let row = |Listed { block, state }: &Listed| {
        let doubt = state.name() == "in-doubt";
        vec![
            Cell::text(look, &block.to_string()),
            Cell::text(look, state.name()).coloured(doubt.then_some(RED)),
            Cell::text(look, &who(state)),
            Cell::text(look, &since(state)),
        ]
    };
    let rows: Vec<Vec<Cell>> = blocks.blocks.iter().map(row).collect();
    let mut lines = table(look, &["BLOCK", "STATE", "WHO", "SINCE"], &rows);
    if blocks.more {
        lines.push(format!("... there are more: asa pool blocks --after {}", last.block));
    }
    lines.join("\n") + "\n"
}

fn doubted(look: Look, blocks: &Blocks) -> String {
    if blocks.blocks.is_empty() {
        return "nothing is in doubt\n".to_owned();
    }
    let advice = "\
A block in doubt is out of use until the other side has told, which is asked again and again if it is one of ours, or until you
say what has become of it: look there whether it is in use, then
  asa pool resolve BLOCK --as free       it has not changed hands
  asa pool resolve BLOCK --as granted    it has
";
    listed(look, blocks, "") + advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Look = Look::new(false, true);

    #[test]
    fn blocks_are_a_table() {
        let dealt = json!({"session": 42, "peer": "fe80::1\u{1b}", "since": 1_795_269_067});
        let doubt = json!({"session": 42, "peer": "fe80::2", "since": 0, "way": "in", "reset": true});
        let lease = json!({"client": "cpe 17", "preferred": 60, "since": 1_795_269_067,
                           "valid": {"seconds": 3600, "began": 1, "boot": 1}});
        let blocks: Blocks = serde_json::from_value(json!({"more": true, "blocks": [
            {"block": "10.0.0.0/24", "state": "free"},
            {"block": "10.0.1.0/24", "state": {"granted": dealt}},
            {"block": "10.0.2.0/24", "state": {"cooling": lease}},
            {"block": "2001:db8::/48", "state": {"doubt": doubt}},
        ]}))
        .unwrap();
        let expected = "\
BLOCK          STATE     WHO                                                 SINCE
10.0.0.0/24    free
10.0.1.0/24    granted   fe80::1\\u{1b} (session 0000002a)                    2026-11-21T13:51:07Z
10.0.2.0/24    cooling   was cpe 17, valid for 3600 s                        2026-11-21T13:51:07Z
2001:db8::/48  in-doubt  perhaps this node, from fe80::2 (session 0000002a)
... there are more: asa pool blocks --after 2001:db8::/48
";
        assert_eq!(listed(PLAIN, &blocks, "none"), expected);
        assert!(doubted(PLAIN, &blocks).contains("--as granted"));
        let none = Blocks { blocks: Vec::new(), more: false };
        assert_eq!(
            (listed(PLAIN, &none, "none"), doubted(PLAIN, &none)),
            ("none\n".into(), "nothing is in doubt\n".into())
        );
    }
}

//! The parameters of an instance, and what they mean.

use crate::delegator::{DelegatorPlan, FamilyPlan, Hooks};
use crate::negotiate::Speech;
use crate::plausible::{Limits, Shortest};
use crate::pool::{Lifetimes, PoolPlan};
use crate::prefix::{Family, Prefix, Want};
use crate::settle::CorrespondentPlan;
use crate::store::Options;
use crate::wire::{Dialect, Form, Params, RoleParams, Shape};
use asa_framework::manifest::{ParameterCheck, Problem};
use asa_framework::roles::backoff::BackoffPlan;
use grasp::Objective;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The most prefixes in a list of the manifest.
const LIST: usize = 1_000;
/// The forms that can be asked in.
const FORMS: [&str; 5] = ["F1", "F2", "F3", "F5", "F6"];

/// The parameters, as in `prefix.toml`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Parameters {
    device_role: String,
    device_roles: Vec<String>,
    params_source: String,
    pub(super) flood_period_s: u64,
    prefixes: Vec<String>,
    exclude: Vec<String>,
    ipv6: bool,
    ipv4: bool,
    ipv6_length: u8,
    ipv4_length: u8,
    ipv6_need: u32,
    ipv4_need: u32,
    ipv6_ask: u8,
    ipv4_ask: u8,
    request_more: String,
    longest_offer_ipv6: u8,
    longest_offer_ipv4: u8,
    flexible_bits: u8,
    permitted: Vec<String>,
    shortest_ipv6: u8,
    shortest_ipv4: u8,
    documentation_prefixes: bool,
    pub(super) prefix_manager_t: bool,
    ask_form: String,
    dry_run_s: u32,
    peer_limit_ipv6: u8,
    peer_limit_ipv4: u8,
    peer_sessions: usize,
    peer_requests_per_minute: u32,
    preferred_s: u32,
    valid_s: u32,
    hook_before_use: String,
    hook_after_release: String,
    private_name: String,
    return_after_s: u64,
    pub(super) store: String,
    ledger_segment_mib: u64,
    ledger_keep_days: u32,
    pub(super) seed: u64,
}

/// Reads `NAME /LENGTH`, or `NAME /LENGTH /IPV4-LENGTH`.
fn device_role(text: &str) -> Option<(String, RoleParams)> {
    let mut parts = text.split_whitespace();
    let name = parts.next()?;
    let mut length = |most: u8| -> Option<Option<u8>> {
        let Some(part) = parts.next() else { return Some(None) };
        let length: u8 = part.strip_prefix('/')?.parse().ok()?;
        (length <= most).then_some(Some(length))
    };
    let (ipv6, ipv4) = (length(128)?, length(32)?);
    let all = parts.next().is_none() && ipv6.is_some() && !name.starts_with('/');
    let params = RoleParams { prefix_length: ipv6, ipv4_prefix_length: ipv4, ..RoleParams::default() };
    all.then(|| (name.to_owned(), params))
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    let list = value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
    (list.len() <= LIST).then_some(list)
}

fn table(list: &[&str]) -> Result<Params, String> {
    let read = |text: &&str| device_role(text).ok_or_else(|| format!("{text:?} is not such a line"));
    let roles: Vec<_> = list.iter().map(read).collect::<Result<_, _>>()?;
    if roles.is_empty() {
        return Err("the table is empty".into());
    }
    let mut names: Vec<&String> = roles.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("the role {} is there twice", pair[0]));
    }
    let params: Params = roles.into_iter().collect();
    params.write().map(|_| params).map_err(|error| error.to_string())
}

/// Checks what bounds alone do not show.
fn lists(parameters: &Value, problems: &mut Vec<Problem>) {
    let allowed = "a list of lines such as \"CSG /56\" or \"CSG /56 /24\"";
    let roles = &parameters["device_roles"];
    match texts(roles).ok_or_else(|| "not a list of texts".to_owned()).and_then(|list| table(&list)) {
        Ok(table) => {
            let own = parameters["device_role"].as_str().unwrap_or_default();
            if table.role(own).is_none() {
                let names: Vec<&str> = table.iter().map(|(name, _)| name).collect();
                let allowed = format!("a role of device_roles, which has {}", names.join(", "));
                problems.push(Problem::parameter("device_role", &parameters["device_role"], allowed));
            }
        }
        Err(why) => problems.push(Problem::parameter("device_roles", roles, format!("{allowed}: {why}"))),
    }
    for key in ["prefixes", "exclude", "permitted"] {
        let value = &parameters[key];
        let wrong = match texts(value) {
            None => Some(format!("at most {LIST} texts")),
            Some(list) => list.iter().find_map(|text| text.parse::<Prefix>().err()).map(|error| error.to_string()),
        };
        let parsed: Vec<Prefix> = texts(value).into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
        let overlap = (key != "permitted").then(|| first_overlap(parsed)).flatten();
        if let Some(why) = wrong.or(overlap) {
            let allowed = format!("a list of prefixes such as \"2001:db8::/32\": {why}");
            problems.push(Problem::parameter(key, value, allowed));
        }
    }
}

fn first_overlap(mut list: Vec<Prefix>) -> Option<String> {
    list.sort_unstable();
    let pair = list.windows(2).find(|pair| pair[0].overlaps(&pair[1]))?;
    Some(format!("{} and {} overlap", pair[0], pair[1]))
}

/// Checks all parameters.
pub(super) fn check(parameters: &Value) -> Vec<Problem> {
    let mut check = ParameterCheck::new(parameters);
    check.text("device_role", 1..=64).text("params_source", 0..=64).integer("flood_period_s", 60..=86_400);
    check.integer("ipv6_length", 1..=128).integer("ipv4_length", 1..=32);
    check.integer("ipv6_need", 0..=1_000_000).integer("ipv4_need", 0..=1_000_000);
    check.integer("ipv6_ask", 0..=128).integer("ipv4_ask", 0..=32);
    check.choice("request_more", &["auto", "always", "never"]);
    check.integer("longest_offer_ipv6", 1..=128).integer("longest_offer_ipv4", 1..=32);
    check.integer("flexible_bits", 0..=32).integer("shortest_ipv6", 0..=128).integer("shortest_ipv4", 0..=32);
    check.choice("ask_form", &FORMS).integer("dry_run_s", 0..=3_600);
    check.integer("peer_limit_ipv6", 0..=128).integer("peer_limit_ipv4", 0..=32);
    check.integer("peer_sessions", 1..=10_000).integer("peer_requests_per_minute", 1..=1_000_000);
    check.integer("preferred_s", 0..=i64::from(u32::MAX)).integer("valid_s", 0..=i64::from(u32::MAX));
    check.ordered("preferred_s", "valid_s");
    check.text("hook_before_use", 0..=4_096).text("hook_after_release", 0..=4_096);
    check.text("private_name", 3..=200).integer("return_after_s", 0..=31_536_000);
    check.choice("store", &["disk", "memory"]);
    check.integer("ledger_segment_mib", 1..=1_024).integer("ledger_keep_days", 0..=36_500);
    check.integer("seed", 0..=i64::MAX);
    let mut problems = check.finish();
    lists(parameters, &mut problems);
    let name = &parameters["private_name"];
    if !name.as_str().is_some_and(|name| name.contains(':') && !name.contains(char::is_control)) {
        let allowed = "a name with a colon that begins with a domain of yours (RFC 8990 section 2.10.1)";
        problems.push(Problem::parameter("private_name", name, allowed));
    }
    if parameters["ask_form"] == "F5" && parameters["prefix_manager_t"] == Value::Bool(false) {
        let allowed = "another form, as long as prefix_manager_t is false: F5 is asked under PrefixManagerT";
        problems.push(Problem::parameter("ask_form", &parameters["ask_form"], allowed));
    }
    let off = |key: &str| parameters[key] == Value::Bool(false);
    if off("ipv4") && off("ipv6") {
        let allowed = "true for one family at least".to_owned();
        problems.push(Problem::parameter("ipv6", &parameters["ipv6"], allowed));
    }
    for prefix in texts(&parameters["prefixes"]).into_iter().flatten().filter_map(|text| text.parse::<Prefix>().ok()) {
        let limits = Limits { documentation: true, shortest: Shortest { v4: 0, v6: 0 }, ..Limits::default() };
        let why = match prefix.family() {
            Family::V4 if off("ipv4") => Some("IPv4 is off (ipv4 = false)".to_owned()),
            Family::V6 if off("ipv6") => Some("IPv6 is off (ipv6 = false)".to_owned()),
            Family::V4 | Family::V6 => limits.check(&prefix).err().map(|error| error.to_string()),
        };
        if let Some(why) = why {
            let allowed = format!("prefixes that can be given away: {why}");
            problems.push(Problem::parameter("prefixes", &parameters["prefixes"], allowed));
        }
    }
    for key in ["hook_before_use", "hook_after_release"] {
        let path = &parameters[key];
        if path.as_str().is_some_and(|path| !path.is_empty() && !path.starts_with('/')) {
            problems.push(Problem::parameter(key, path, "an absolute path".to_owned()));
        }
    }
    problems
}

fn prefixes(list: &[String]) -> Vec<Prefix> {
    list.iter().filter_map(|text| text.parse().ok()).collect()
}

fn program(path: &str) -> Option<PathBuf> {
    (!path.is_empty()).then(|| path.into())
}

impl Parameters {
    fn table(&self) -> Params {
        let list: Vec<&str> = self.device_roles.iter().map(String::as_str).collect();
        table(&list).unwrap_or_default()
    }

    /// The table of roles, as an origin floods it.
    pub(super) fn flooded(&self) -> Option<grasp::Value> {
        self.table().write().ok()
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        [(Family::V4, self.ipv4), (Family::V6, self.ipv6)].into_iter().filter(|(_, on)| *on).map(|(family, _)| family)
    }

    /// Whether others are asked for more.
    pub(super) fn requests_more(&self, origin: bool) -> bool {
        self.request_more == "always" || self.request_more == "auto" && !origin
    }

    fn family(&self, family: Family, origin: bool) -> FamilyPlan {
        let (delegated, need, ask, longest_offer) = match family {
            Family::V4 => (self.ipv4_length, self.ipv4_need, self.ipv4_ask, self.longest_offer_ipv4),
            Family::V6 => (self.ipv6_length, self.ipv6_need, self.ipv6_ask, self.longest_offer_ipv6),
        };
        let ask = (ask > 0).then_some(ask);
        FamilyPlan { delegated, need, ask, request_more: self.requests_more(origin), longest_offer }
    }

    /// Bounds and marks of the pool.
    pub(super) fn pool(&self, origin: bool) -> PoolPlan {
        let limit = |family, length: u8| Some((family, Want::new(family, length).filter(|_| length > 0)?.measure()));
        let quota = [limit(Family::V4, self.peer_limit_ipv4), limit(Family::V6, self.peer_limit_ipv6)];
        PoolPlan {
            initial: if origin { prefixes(&self.prefixes) } else { Vec::new() },
            exclude: prefixes(&self.exclude),
            quota: quota.into_iter().flatten().collect(),
            seed: self.seed,
            ..PoolPlan::default()
        }
    }

    /// Bounds and marks of the delegator.
    pub(super) fn delegator(&self, origin: bool) -> DelegatorPlan {
        let lifetimes = Lifetimes { preferred: self.preferred_s, valid: self.valid_s };
        DelegatorPlan {
            families: self.families().map(|family| (family, self.family(family, origin))).collect(),
            role: self.device_role.clone(),
            params: self.table(),
            params_source: (!self.params_source.is_empty()).then(|| self.params_source.clone()),
            // An origin knows: the table is its own.
            look: (!origin).then_some(Duration::from_secs(self.flood_period_s)),
            lifetimes: (self.valid_s > 0).then_some(lifetimes),
            dry_run: (self.dry_run_s > 0).then_some(self.dry_run_s),
            peer_sessions: self.peer_sessions,
            peer_rate: self.peer_requests_per_minute,
            ..DelegatorPlan::default()
        }
    }

    /// The operator's programs.
    pub(super) fn hooks(&self) -> Hooks {
        Hooks { before_use: program(&self.hook_before_use), after_release: program(&self.hook_after_release) }
    }

    /// How the pool is spoken for under an objective; one of them asks.
    pub(super) fn speech(&self, dialect: Dialect, origin: bool) -> Speech {
        let shape = match self.ask_form.as_str() {
            "F1" => Shape::F1,
            "F3" => Shape::F3,
            "F5" => Shape::F5,
            "F6" => Shape::F6,
            _ => Shape::F2,
        };
        let asking = if shape == Shape::F5 { Dialect::PrefixManagerT } else { Dialect::PrefixManager };
        let asks = (asking == dialect && self.requests_more(origin)).then_some(Form::plain(shape));
        let limits = Limits {
            permitted: prefixes(&self.permitted),
            shortest: Shortest { v4: self.shortest_ipv4, v6: self.shortest_ipv6 },
            documentation: self.documentation_prefixes,
        };
        Speech { dialect, asks, limits, flexible: self.flexible_bits, dry_runs: self.dry_run_s > 0 }
    }

    /// How doubts are settled and blocks handed back.
    pub(super) fn correspondent(&self, seed: u64) -> CorrespondentPlan {
        let objective = |suffix: &str| Objective::negotiation(format!("{}:{suffix}", self.private_name));
        let keep = self.families().map(|family| {
            let plan = self.family(family, false);
            (family, (Want { family, length: plan.delegated }, u128::from(plan.need)))
        });
        CorrespondentPlan {
            settle: objective("settle"),
            giving_back: objective("return"),
            offering: Dialect::ALL.iter().map(|dialect| Objective::negotiation(dialect.objective())).collect(),
            discovery: Duration::from_secs(1),
            answer: Duration::from_secs(10),
            backoff: BackoffPlan { first: Duration::from_secs(1), cap: Duration::from_secs(60) },
            return_after: (self.return_after_s > 0).then(|| Duration::from_secs(self.return_after_s)),
            keep: keep.collect::<BTreeMap<_, _>>(),
            seed,
        }
    }

    /// How the ledger is kept.
    pub(super) fn store_options(&self) -> Options {
        Options {
            segment_bytes: self.ledger_segment_mib << 20,
            keep_days: (self.ledger_keep_days > 0).then_some(self.ledger_keep_days),
            ..Options::default()
        }
    }
}

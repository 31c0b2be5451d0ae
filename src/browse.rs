//! `asa discover|synchronize|flood|get-flood`: asks or tells a network by hand, with a temporary node.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::{Events, json_of};
use asa_framework::manifest::{Loaded, Log, Manifest, Substrate};
use futures_util::future::join_all;
use grasp::net::kernel::{Kernel, interfaces};
use grasp::protocol::flood::Flooded;
use grasp::wire::diagnostic;
use grasp::{Asa, AsaLocator, Locator, Objective, Registration, Value};
use serde_json::json;
use tokio::time::Instant;

use crate::cli::{BrowseArgs, DiscoverArgs, FloodArgs, GetFloodArgs, LogFormat, SynchronizeArgs};
use crate::lines::Lines;
use crate::run::refuse;
use crate::{classes, keys, node, settings};

/// A temporary node: it passes nothing on, and takes any port.
const MANIFEST: &str = r#"
[node]
name = "asa-by-hand"
[grasp]
substrate = "insecure-lab"
port = 0
relay = false
experimental_objectives = true
link_local_locators = true
"#;
const STOP_LIMIT: Duration = Duration::from_millis(500);
/// How long neighbours may take to be found, and the pause between looks.
const NEIGHBOUR_LIMIT: Duration = Duration::from_secs(7);
const NEIGHBOUR_LOOK: Duration = Duration::from_millis(20);

/// Finds the nodes that offer each objective; 1 if one of them is offered by nobody.
pub(crate) fn discover(args: &DiscoverArgs) -> anyhow::Result<u8> {
    let browse = &args.browse;
    by_hand(browse, async move |asa: Asa| {
        let asked = args.names.iter().map(async |name| {
            let objective = Objective::discovery(name).with_loop_count(browse.loop_count).with_value(Value::null());
            (name, asa.discover(&objective, timeout(browse), None).await)
        });
        let mut code = 0;
        for (name, found) in join_all(asked).await {
            let found = found?;
            for locator in &found {
                print(browse, &named(&args.names, name, &locator_text(locator)), &locator_json(name, locator))?;
            }
            if found.is_empty() {
                code = nothing(&format!("nobody offers {name}"));
            }
        }
        Ok(code)
    })
}

/// Reads the value of each objective; 1 if one of them has none.
pub(crate) fn synchronize(args: &SynchronizeArgs) -> anyhow::Result<u8> {
    let browse = &args.browse;
    by_hand(browse, async move |asa: Asa| {
        let peer = args.peer.map(|peer| {
            let scope = if let SocketAddr::V6(v6) = peer { v6.scope_id() } else { 0 };
            AsaLocator::known(Locator::tcp(peer.ip(), peer.port()), scope)
        });
        let read = args.names.iter().map(async |name| {
            let objective = Objective::synchronization(name).with_loop_count(browse.loop_count);
            (name, asa.synchronize_rapidly(&objective, peer.as_ref(), timeout(browse), true).await)
        });
        let mut code = 0;
        for (name, value) in join_all(read).await {
            match value {
                Ok(objective) => {
                    let object = json!({ "name": objective.name, "value": json_of(&objective) });
                    print(browse, &named(&args.names, name, &value_text(&objective)), &object)?;
                }
                Err(error) => code = nothing(&format!("{name}: {error}")),
            }
        }
        Ok(code)
    })
}

/// A line about one of several objectives begins with its name.
fn named(all: &[String], name: &str, text: &str) -> String {
    if all.len() == 1 { text.to_owned() } else { format!("{name}: {text}") }
}

/// Floods a value once.
pub(crate) fn flood(args: &FloodArgs) -> anyhow::Result<u8> {
    let browse = &args.browse;
    by_hand(browse, async move |asa: Asa| {
        let objective = Objective::synchronization(args.name.clone())
            .with_loop_count(browse.loop_count)
            .with_value(Value::item(&args.value)?);
        asa.register_objective(&objective, Registration::default()).await?;
        asa.flood(args.ttl, vec![(objective.clone(), None)]).await?;
        let sent = json!({ "name": objective.name, "value": json_of(&objective), "ttl": args.ttl });
        print(browse, &format!("flooded {} = {}", objective.name, value_text(&objective)), &sent)?;
        Ok(0)
    })
}

/// Listens for flooded values until the time is up; 1 if one of the objectives was not flooded.
pub(crate) fn get_flood(args: &GetFloodArgs) -> anyhow::Result<u8> {
    let browse = &args.browse;
    by_hand(browse, async move |asa: Asa| {
        let deadline = Instant::now() + timeout(browse);
        let heard = args.names.iter().map(async |name| {
            let mut copies = asa.watch_flood(&Objective::synchronization(name)).await?;
            let mut heard = false;
            while let Ok(Some(copy)) = tokio::time::timeout_at(deadline, copies.recv()).await {
                heard = true;
                print(browse, &copy_text(&copy), &copy_json(&copy))?;
            }
            anyhow::Ok((name, heard))
        });
        let mut code = 0;
        for one in join_all(heard).await {
            let (name, heard) = one?;
            if !heard {
                code = nothing(&format!("nobody flooded {name}"));
            }
        }
        Ok(code)
    })
}

fn timeout(browse: &BrowseArgs) -> Duration {
    Duration::from_millis(browse.timeout.into())
}

/// Starts the temporary node, does the work as its only ASA, and ends the node.
fn by_hand(browse: &BrowseArgs, work: impl AsyncFnOnce(Asa) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    node::log(LogFormat::Text, &Log { level: "warn".into(), ..Log::default() }, &Lines::stdout());
    let load = || {
        let sets = [settings::membership(browse.manifest.as_deref())?, browse.sets.clone()].concat();
        let mut sources = settings::sources(Some(Path::new("the command line")), &sets, &browse.interfaces);
        sources.content = Some(MANIFEST.into());
        Manifest::load(sources, &classes::infos())
    };
    let manifest = match load() {
        Ok(Loaded { manifest, .. }) => manifest,
        Err(problems) => {
            refuse(&problems);
            return Ok(2);
        }
    };
    if let Some(problem) = unusable(&manifest.grasp.interfaces)? {
        let _ = writeln!(io::stderr().lock(), "asa: {problem}");
        return Ok(2);
    }
    node::block_on(false, async {
        let events: Events = Arc::new(|_| {});
        let stage = Stage {
            prompt: Some(Arc::new(keys::quads::ask)),
            ..Stage::new(Arc::new(Kernel::new()), &classes::all(), events)
        };
        let by_connections = manifest.grasp.substrate == Substrate::Tls;
        let deployment = Deployment::start(manifest.into(), stage, |_| {}).await?;
        let asa = deployment.grasp().register_asa("by-hand").await?;
        if by_connections {
            await_neighbours(&asa).await?;
        }
        let result = tokio::select! {
            biased;
            signal = node::stop_signal() => signal.map(|()| 0).map_err(Into::into),
            result = work(asa) => result,
        };
        deployment.stop(STOP_LIMIT).await;
        result
    })?
}

/// Waits until there is somebody to speak with, for a moment at most.
async fn await_neighbours(asa: &Asa) -> anyhow::Result<()> {
    let deadline = Instant::now() + NEIGHBOUR_LIMIT;
    while asa.grasp().neighbours().await?.0.is_empty() {
        if Instant::now() >= deadline {
            nothing("no member of the domain on the link yet");
            break;
        }
        tokio::time::sleep(NEIGHBOUR_LOOK).await;
    }
    Ok(())
}

/// Says which interface cannot be used, and which could be.
fn unusable(names: &[String]) -> io::Result<Option<String>> {
    let usable: Vec<String> = interfaces()?.into_iter().filter(|i| i.link_local.is_some()).map(|i| i.name).collect();
    Ok(names.iter().find(|name| !usable.contains(name)).map(|name| {
        format!(
            "--interface {name} is not there, not up, or has no link-local IPv6 address; usable here: {}",
            if usable.is_empty() { "none".to_owned() } else { usable.join(", ") }
        )
    }))
}

fn print(browse: &BrowseArgs, text: &str, object: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if browse.json { writeln!(out, "{object}") } else { writeln!(out, "{text}") }?;
    out.flush()
}

/// Says on standard error why there is nothing to show.
fn nothing(why: &str) -> u8 {
    let _ = writeln!(io::stderr().lock(), "asa: {why}");
    1
}

fn locator_text(locator: &AsaLocator) -> String {
    let how = if locator.diverted { ", told by another node" } else { "" };
    format!("{} over interface {}{how}", locator.locator, locator.interface)
}

fn locator_json(name: &str, locator: &AsaLocator) -> serde_json::Value {
    json!({ "name": name, "locator": locator.locator.to_string(), "interface": locator.interface, "diverted": locator.diverted })
}

fn value_text(objective: &Objective) -> String {
    objective.value.as_ref().map_or_else(|| "no value".to_owned(), |value| diagnostic(value.as_bytes()))
}

fn copy_text(copy: &Flooded) -> String {
    let from = copy.locator.as_ref().map(|locator| format!(" from {}", locator.locator)).unwrap_or_default();
    format!("{} = {}{from}", copy.objective.name, value_text(&copy.objective))
}

fn copy_json(copy: &Flooded) -> serde_json::Value {
    json!({
        "name": copy.objective.name,
        "value": json_of(&copy.objective),
        "loop_count": copy.objective.loop_count,
        "locator": copy.locator.as_ref().map(|locator| locator.locator.to_string()),
        "interface": copy.link,
    })
}

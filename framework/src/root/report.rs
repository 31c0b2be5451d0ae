//! What the root tells of the node and its instances.

use super::{Root, Work};
use crate::control::{
    Described, Dump, Failure, FailureCode, InstanceStatus, LinkStatus, NeighbourStatus, NodeStatus, Origin,
    StatusReport,
};
use crate::health;
use crate::lifecycle::Move;
use crate::manifest;
use crate::protection::TlsFiles;
use crate::roles::Load;
use actix::prelude::*;
use grasp::{Objective, Registration, Status, Value};
use std::time::SystemTime;

/// The objective under which an instance offers its instance manifest: this and its name.
pub const DESCRIPTION_OBJECTIVE: &str = "example.org:asa:";

impl Root {
    pub(super) fn status(&mut self) -> Work<StatusReport> {
        let grasp = self.args.grasp.clone();
        let loads: Vec<_> = self
            .instances
            .iter()
            .filter_map(|(name, instance)| Some((name.clone(), instance.current.as_ref()?.load())))
            .collect();
        let asked = async move {
            let (names, loads): (Vec<_>, Vec<_>) = loads.into_iter().unzip();
            let (status, loads) = futures_util::join!(grasp.status(), futures_util::future::join_all(loads));
            (status, names.into_iter().zip(loads).collect::<Vec<_>>())
        };
        Box::pin(asked.into_actor(self).map(|(status, loads), root: &mut Self, _| {
            let status = status.map_err(|error| Failure::new(FailureCode::Failed, error.to_string()))?;
            Ok(root.assembled(status, &loads))
        }))
    }

    fn assembled(&self, status: Status, loads: &[(String, Load)]) -> StatusReport {
        let node = self.node_status(status);
        let instances: Vec<InstanceStatus> = self
            .instances
            .iter()
            .map(|(name, instance)| {
                let load = loads.iter().find(|(known, _)| known == name).map(|(_, load)| *load);
                let running = instance.current.as_ref().map(|current| current.class);
                let version = running
                    .or(instance.class)
                    .map_or_else(|| instance.mandate.settings.version.clone(), |class| class.version().to_owned());
                InstanceStatus {
                    name: name.clone(),
                    class: instance.mandate.settings.class.clone(),
                    version,
                    phase: instance.phase,
                    wanted: instance.wanted,
                    operation: instance.operation.map(str::to_owned),
                    role: instance.mandate.settings.role.clone(),
                    busy: load.map_or(0, |load| load.busy),
                    promises: load.map_or(instance.promises.unwrap_or_default(), |load| load.promises),
                    incarnations: instance.incarnations,
                    error: instance.error.clone(),
                }
            })
            .collect();
        let actors = self.args.tree.status();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        StatusReport {
            health: health::assess(&node, &instances, &actors, self.abandoned_threads, now),
            node,
            instances,
            actors,
            uptime_s: self.started.elapsed().as_secs_f64(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            escalations: self.escalations,
            abandoned_threads: self.abandoned_threads,
        }
    }

    fn node_status(&self, status: Status) -> NodeStatus {
        let trouble = self.args.tls.as_ref().and_then(TlsFiles::trouble);
        let warnings = status.standing.warnings.into_iter().chain(trouble).collect();
        let neighbours = status.neighbours.into_iter().map(|one| NeighbourStatus {
            interface: one.interface,
            address: one.address.to_string(),
            member: one.member,
        });
        let neighbours = neighbours.collect();
        let up = |name: &&String| status.links.iter().any(|(_, link, _)| link == *name);
        let missing = self.manifest().grasp.interfaces.iter().filter(|name| !up(name)).cloned().collect();
        let links = status.links.iter().map(|(index, interface, address)| LinkStatus {
            interface: interface.clone(),
            index: *index,
            address: address.to_string(),
        });
        NodeStatus {
            links: links.collect(),
            missing_interfaces: missing,
            name: status.name,
            substrate: status.substrate.to_owned(),
            secure: status.secure,
            caveat: status.standing.caveat.map(str::to_owned),
            substrate_facts: status.standing.facts,
            substrate_warnings: warnings,
            neighbours,
            ready: status.ready,
            global: status.global.map(|address| address.to_string()),
            port: status.port,
            sessions: status.sessions,
            discovery_cache: status.discovery_cache,
            flood_cache: status.flood_cache,
            counters: status.counters,
        }
    }

    pub(super) fn describe(&mut self, instance: Option<&str>) -> Result<Vec<Described>, Failure> {
        match instance {
            None => {
                let names: Vec<String> = self.instances.keys().cloned().collect();
                Ok(names.iter().filter_map(|name| self.described(name)).collect())
            }
            Some(name) => {
                let phase = self.instance(name)?.phase;
                let described = self.described(name);
                let missing = || {
                    let message = format!("{name} is {phase}: an instance describes itself once it is instantiated");
                    Failure::new(FailureCode::Refused, message)
                };
                Ok(vec![described.ok_or_else(missing)?])
            }
        }
    }

    fn described(&self, name: &str) -> Option<Described> {
        let instance = self.instances.get(name)?;
        let current = instance.current.as_ref()?;
        let settings = &current.mandate.settings;
        let prefix = format!("asa.{name}.");
        let given =
            self.loaded.effective.0.iter().filter(|setting| {
                !matches!(setting.origin, manifest::Origin::Default | manifest::Origin::ClassDefault(_))
            });
        let origins = given.filter_map(|setting| {
            let key = setting.key.strip_prefix(&prefix)?.to_owned();
            Some(Origin { key, origin: setting.origin.to_string() })
        });
        Some(Described {
            instance: name.to_owned(),
            node: self.manifest().node.name.clone(),
            class: settings.class.clone(),
            version: current.class.version().to_owned(),
            asa: Some(current.registered.clone()),
            role: settings.role.clone(),
            phase: instance.phase,
            objectives: current.description.objectives.clone(),
            resources: settings.resources.clone(),
            metrics: current.description.metrics.clone(),
            actions: Move::ALL
                .iter()
                .filter(|step| step.ends().0 == instance.phase)
                .map(ToString::to_string)
                .chain(current.description.actions.iter().cloned())
                .collect(),
            parameters: settings.parameters.clone(),
            origins: origins.collect(),
        })
    }

    /// Offers the instance manifest to whoever asks for it by synchronization, if that is switched on.
    pub(super) fn offer_description(&self, name: &str, ctx: &mut Context<Self>) {
        let Some(current) = self.instances.get(name).and_then(|instance| instance.current.as_ref()) else { return };
        if !current.mandate.settings.describe {
            return;
        }
        // Parameters and their origins are the operator's business.
        let Some(described) = self.described(name) else { return };
        let short = Described { parameters: serde_json::Map::new(), origins: Vec::new(), ..described };
        let asa = current.asa().clone();
        let objective = Objective::synchronization(format!("{DESCRIPTION_OBJECTIVE}{name}"));
        let name = name.to_owned();
        let offered = async move {
            let value = serde_json::to_value(&short).ok().and_then(|value| Value::item(&value).ok());
            let Some(value) = value else { return Ok(()) };
            let registration = Registration { overlap: true, ..Registration::default() };
            match asa.register_objective(&objective, registration).await {
                Ok(()) => {}
                Err(error) if error.code == grasp::ErrorCode::ObjectiveRegistered => {}
                Err(error) => return Err(error),
            }
            asa.listen_synchronize(&objective.with_value(value)).await
        };
        ctx.spawn(offered.into_actor(self).map(move |offered, _, _| {
            if let Err(error) = offered {
                tracing::warn!(asa = name, %error, "cannot offer the instance manifest");
            }
        }));
    }

    pub(super) fn dump(&mut self, table: Dump) -> Work<serde_json::Value> {
        let grasp = self.args.grasp.clone();
        let dumped = async move {
            let value = match table {
                Dump::Discovery => serde_json::to_value(grasp.discovery_cache().await.map_err(failed)?),
                Dump::Floods => serde_json::to_value(grasp.flood_caches().await.map_err(failed)?),
                Dump::Sessions => serde_json::to_value(grasp.sessions().await.map_err(failed)?),
                Dump::Objectives => serde_json::to_value(grasp.objectives().await.map_err(failed)?),
            };
            value.map_err(|error| Failure::new(FailureCode::Failed, error.to_string()))
        };
        Box::pin(dumped.into_actor(self))
    }
}

fn failed(error: grasp::Error) -> Failure {
    Failure::new(FailureCode::Failed, error.to_string())
}

//! Which ASA holds which objective (RFC 8991 §2.3.3).

use super::{Announcement, AsaHandle, Rapid};
use crate::constants::{DEFAULT_RESPONSE_TTL, GRASP_DEF_MAX_SIZE};
use crate::error::{Error, ErrorCode};
use crate::wire::{Objective, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Bounds of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLimits {
    /// ASAs at once; one more gets `#04`.
    pub asas: usize,
    /// Objectives at once; one more gets `#11`.
    pub objectives: usize,
    /// Whether EX0 to EX9 may be registered (RFC 8990 §2.10.5).
    pub experimental: bool,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self { asas: 100, objectives: 1_000, experimental: false }
    }
}

/// How an ASA registers an objective (RFC 8991 §2.3.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Lifetime stated in discovery responses, in milliseconds.
    pub ttl: u32,
    /// Answer discoveries at once, not only while listening.
    pub discoverable: bool,
    /// Other ASAs of the node may register the objective too; they must say the same.
    pub overlap: bool,
    /// Answer with a link-local address.
    pub local: bool,
    /// Rapid-mode synchronization; an extension, off by default.
    pub rapid: Rapid,
    /// Largest message of this objective in bytes; at least 2048 (RFC 8990 §2.8.3).
    pub message_size: usize,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            ttl: DEFAULT_RESPONSE_TTL,
            discoverable: false,
            overlap: false,
            local: false,
            rapid: Rapid::Off,
            message_size: GRASP_DEF_MAX_SIZE,
        }
    }
}

#[derive(Debug)]
struct Holding {
    objective: Objective,
    registration: Registration,
    listening: bool,
    value: Option<Value>,
}

/// The ASAs and objectives of one node.
pub struct Registry {
    limits: RegistryLimits,
    draw: Box<dyn FnMut() -> u32>,
    asas: BTreeMap<AsaHandle, String>,
    /// By name, the ASAs that hold it; the order of registration is the order of the vector.
    objectives: BTreeMap<String, Vec<(AsaHandle, Holding)>>,
}

impl Registry {
    /// An empty registry that takes unpredictable handles from `draw`.
    #[must_use]
    pub fn new(limits: RegistryLimits, draw: impl FnMut() -> u32 + 'static) -> Self {
        Self { limits, draw: Box::new(draw), asas: BTreeMap::new(), objectives: BTreeMap::new() }
    }

    /// Registers an ASA by its name, which is unique in the node.
    ///
    /// # Errors
    ///
    /// `#04` when full, `#05` for a name in use, `#03` for an empty one.
    pub fn register_asa(&mut self, name: &str) -> Result<AsaHandle, Error> {
        if name.is_empty() {
            return Err(Error::new(ErrorCode::Unspecified, "an ASA needs a name"));
        }
        if self.asas.values().any(|known| known == name) {
            return Err(Error::new(ErrorCode::DuplicateAsa, name));
        }
        if self.asas.len() >= self.limits.asas {
            return Err(Error::new(ErrorCode::AsaFull, format!("{} ASAs are registered", self.limits.asas)));
        }
        // The registry holds far fewer handles than there are numbers, so this ends.
        let handle = loop {
            let handle = AsaHandle((self.draw)());
            if handle.0 != 0 && !self.asas.contains_key(&handle) {
                break handle;
            }
        };
        self.asas.insert(handle, name.to_owned());
        Ok(handle)
    }

    /// Removes an ASA and all its objectives; returns the names of those.
    ///
    /// # Errors
    ///
    /// `#06` for an unknown handle, `#07` if `name` is not the ASA's; nothing changes then.
    pub fn deregister_asa(&mut self, handle: AsaHandle, name: &str) -> Result<Vec<String>, Error> {
        if self.name(handle)? != name {
            return Err(Error::new(ErrorCode::NotYourAsa, name));
        }
        Ok(self.remove_asa(handle))
    }

    /// Removes an ASA that has ended without saying so.
    pub fn remove_asa(&mut self, handle: AsaHandle) -> Vec<String> {
        self.asas.remove(&handle);
        let held = |holders: &Vec<(AsaHandle, Holding)>| holders.iter().any(|(owner, _)| *owner == handle);
        let names: Vec<_> = self.objectives.iter().filter(|(_, h)| held(h)).map(|(name, _)| name.clone()).collect();
        for name in &names {
            self.remove_holding(handle, name);
        }
        names
    }

    /// The name of a registered ASA.
    ///
    /// # Errors
    ///
    /// `#06` for an unknown handle.
    pub fn name(&self, handle: AsaHandle) -> Result<&str, Error> {
        self.asas.get(&handle).map(String::as_str).ok_or_else(|| ErrorCode::NoAsa.into())
    }

    /// Registers an objective for an ASA.
    ///
    /// # Errors
    ///
    /// `#06`, `#08` both negotiation and synchronization, `#09` dry run without negotiation, `#11` full, `#12` already
    /// registered without agreed overlap, `#03` for an empty name, a loop count of 0, flags that no RFC assigns, a message
    /// size below the default or a name that is not allowed here.
    pub fn register_objective(
        &mut self,
        handle: AsaHandle,
        objective: &Objective,
        registration: Registration,
    ) -> Result<(), Error> {
        self.name(handle)?;
        check_kind(objective)?;
        let name = &objective.name;
        if registration.message_size < GRASP_DEF_MAX_SIZE {
            let detail = format!("{name}: every node takes messages of {GRASP_DEF_MAX_SIZE} bytes");
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        if is_experimental(name) && !self.limits.experimental {
            let detail = format!("{name} is for experiments only; allow it with experimental_objectives");
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        let total: usize = self.objectives.values().map(Vec::len).sum();
        let holders = self.objectives.entry(name.clone()).or_default();
        let agreed = registration.overlap && holders.iter().all(|(_, holding)| holding.registration.overlap);
        let mine = holders.iter().any(|(owner, _)| *owner == handle);
        let result = if !holders.is_empty() && (!agreed || mine) {
            Err(Error::new(ErrorCode::ObjectiveRegistered, name.as_str()))
        } else if holders.iter().any(|(_, h)| h.objective.is_negotiable() != objective.is_negotiable()) {
            Err(Error::new(ErrorCode::NotBoth, name.as_str()))
        } else if total >= self.limits.objectives {
            Err(Error::new(ErrorCode::ObjectivesFull, format!("{} objectives", self.limits.objectives)))
        } else {
            let value = None;
            holders.push((handle, Holding { objective: objective.clone(), registration, listening: false, value }));
            Ok(())
        };
        if holders.is_empty() {
            self.objectives.remove(name);
        }
        result
    }

    /// Removes an objective of this ASA.
    ///
    /// # Errors
    ///
    /// `#06`, `#13` if another ASA holds it, `#14` if nobody does.
    pub fn deregister_objective(&mut self, handle: AsaHandle, name: &str) -> Result<(), Error> {
        self.holding(handle, name)?;
        self.remove_holding(handle, name);
        Ok(())
    }

    /// The objective as this ASA registered it.
    ///
    /// # Errors
    ///
    /// `#06`, `#13` if another ASA holds it, `#14` if nobody does.
    pub fn registered(&self, handle: AsaHandle, name: &str) -> Result<&Objective, Error> {
        self.holding(handle, name).map(|holding| &holding.objective)
    }

    /// The registration of an objective, by any ASA.
    #[must_use]
    pub fn registration(&self, name: &str) -> Option<&Registration> {
        self.objectives.get(name)?.first().map(|(_, holding)| &holding.registration)
    }

    /// Starts or stops listening.
    ///
    /// # Errors
    ///
    /// As [`Registry::registered`].
    pub fn listen(&mut self, handle: AsaHandle, name: &str, listening: bool) -> Result<(), Error> {
        self.name(handle)?;
        let holding = self.holding_mut(handle, name)?;
        holding.listening = listening;
        if !listening {
            holding.value = None;
        }
        Ok(())
    }

    /// Sets the value that is served for synchronization.
    ///
    /// # Errors
    ///
    /// As [`Registry::registered`], and `#32` for an objective that is not synchronizable.
    pub fn serve(&mut self, handle: AsaHandle, objective: &Objective) -> Result<(), Error> {
        self.name(handle)?;
        let holding = self.holding_mut(handle, &objective.name)?;
        if !holding.objective.is_synchronizable() {
            return Err(Error::new(ErrorCode::NotSynchronizable, objective.name.as_str()));
        }
        holding.listening = true;
        holding.value = Some(objective.value.clone().unwrap_or_else(Value::null));
        Ok(())
    }

    /// The objective with the value that is served now: that of the ASA that registered last.
    #[must_use]
    pub fn served(&self, name: &str) -> Option<Objective> {
        let holders = self.objectives.get(name)?;
        let (_, holding) = holders.iter().rev().find(|(_, holding)| holding.value.is_some())?;
        Some(Objective { value: holding.value.clone(), ..holding.objective.clone() })
    }

    /// The ASAs that listen for negotiations of this name.
    pub fn negotiators(&self, name: &str) -> impl Iterator<Item = AsaHandle> {
        let holders = self.objectives.get(name).into_iter().flatten();
        let listens = |holding: &Holding| holding.listening && holding.objective.is_negotiable();
        holders.filter(move |(_, holding)| listens(holding)).map(|(asa, _)| *asa)
    }

    /// Tells whether any ASA listens for negotiations of this name.
    #[must_use]
    pub fn negotiates(&self, name: &str) -> bool {
        self.negotiators(name).next().is_some()
    }

    /// What discovery may say about the name now; `None` for nothing.
    #[must_use]
    pub fn announcement(&self, name: &str) -> Option<Announcement> {
        let visible = |holding: &Holding| holding.listening || holding.registration.discoverable;
        let holders: Vec<_> = self.objectives.get(name)?.iter().filter(|(_, holding)| visible(holding)).collect();
        let (_, first) = holders.first()?;
        let rapid = match first.registration.rapid {
            Rapid::Off => None,
            mode @ (Rapid::Response | Rapid::Synch) => self.served(name).map(|objective| (mode, objective)),
        };
        Some(Announcement {
            ttl: first.registration.ttl,
            local: first.registration.local,
            asas: holders.iter().map(|(handle, _)| *handle).collect::<BTreeSet<_>>(),
            rapid,
        })
    }

    /// Registered ASAs with their objectives, for status.
    pub fn asas(&self) -> impl Iterator<Item = (AsaHandle, &str)> {
        self.asas.iter().map(|(handle, name)| (*handle, name.as_str()))
    }

    /// The names of the registered objectives, in their order.
    pub fn objectives(&self) -> impl Iterator<Item = &str> {
        self.objectives.keys().map(String::as_str)
    }

    /// The ASAs that hold an objective, each with how it registered it, in the order of their registration.
    pub fn holders(&self, name: &str) -> impl Iterator<Item = (&str, &Objective)> {
        let holders = self.objectives.get(name).into_iter().flatten();
        holders.filter_map(|(asa, holding)| Some((self.asas.get(asa)?.as_str(), &holding.objective)))
    }

    fn holding(&self, handle: AsaHandle, name: &str) -> Result<&Holding, Error> {
        self.name(handle)?;
        let holders = self.objectives.get(name).ok_or(Error::new(ErrorCode::NotObjective, name))?;
        let mine = holders.iter().find(|(owner, _)| *owner == handle);
        mine.map(|(_, holding)| holding).ok_or(Error::new(ErrorCode::NotYourObjective, name))
    }

    fn holding_mut(&mut self, handle: AsaHandle, name: &str) -> Result<&mut Holding, Error> {
        let holders = self.objectives.get_mut(name).ok_or(Error::new(ErrorCode::NotObjective, name))?;
        let mine = holders.iter_mut().find(|(owner, _)| *owner == handle);
        mine.map(|(_, holding)| holding).ok_or(Error::new(ErrorCode::NotYourObjective, name))
    }

    fn remove_holding(&mut self, handle: AsaHandle, name: &str) {
        if let Some(holders) = self.objectives.get_mut(name) {
            holders.retain(|(owner, _)| *owner != handle);
            if holders.is_empty() {
                self.objectives.remove(name);
            }
        }
    }
}

fn check_kind(objective: &Objective) -> Result<(), Error> {
    let name = objective.name.as_str();
    if name.is_empty() {
        Err(Error::new(ErrorCode::Unspecified, "an objective needs a name"))
    } else if objective.is_negotiable() && objective.is_synchronizable() {
        Err(Error::new(ErrorCode::NotBoth, name))
    } else if objective.is_dry_run() && !objective.is_negotiable() {
        Err(Error::new(ErrorCode::NotDry, name))
    } else if objective.flags != objective.flags.assigned() {
        Err(Error::new(ErrorCode::Unspecified, format!("{name}: flags {} are not assigned", objective.flags.0)))
    } else if objective.loop_count == 0 {
        Err(Error::new(ErrorCode::Unspecified, format!("{name}: a loop count is 1 to 255")))
    } else {
        Ok(())
    }
}

/// EX0 to EX9 (RFC 8990 §2.10.5).
fn is_experimental(name: &str) -> bool {
    matches!(name.as_bytes(), [b'E', b'X', b'0'..=b'9'])
}

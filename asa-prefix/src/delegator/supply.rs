//! What others are asked for, when, and what follows from their answers.

use super::core::{DelegatorCore, Wish};
use super::message::Explained;
use super::plan::Supply;
use super::question::Response;
use crate::need::{Reason, explain, wanted_length};
use crate::prefix::{Family, Want};
use crate::wire::params::choose;
use asa_framework::machine::Time;
use grasp::Value;
use std::collections::VecDeque;

impl DelegatorCore {
    pub(super) fn supply(&self, family: Family) -> Option<&Supply> {
        self.supplies.get(&family)
    }

    /// Whether others may be asked for more of a family: the manifest and the role both have to allow it (PM-Q-03).
    pub(super) fn may_ask(&self, family: Family) -> bool {
        let role = self.params.role(&self.plan.role).and_then(|role| role.request_more).unwrap_or(true);
        role && self.supply(family).is_some_and(|supply| supply.plan.request_more)
    }

    /// Takes parameters that were heard; they count from the next decision on (PM-P-10).
    pub(super) fn heard(&mut self, now: Time, copies: &[(Option<String>, Value)]) {
        let choice = choose(copies, self.plan.params_source.as_deref());
        if let Some(conflict) = choice.conflict {
            self.alarm(now, conflict);
        }
        for ignored in choice.ignored {
            self.alarm(now, format!("parameters: {ignored}"));
        }
        let Some(params) = choice.params else { return };
        if params.role(&self.plan.role).is_none() {
            let role = &self.plan.role;
            let text = format!("the flooded parameters have no role {role:?}: what was known before stays in force");
            self.alarm(now, text);
            return;
        }
        (self.params, self.params_source) = (params, choice.source);
    }

    /// What is to be asked for in a family, and why; `None` if there is enough. Who gets nothing asks for less, down to what
    /// helps at all, before it asks for as much again.
    pub(super) fn wanted(&self, family: Family) -> Option<(Want, Reason)> {
        let (want, reason) = self.desired(family)?;
        let waiting = self.waiting.iter().filter(|wish| wish.want.family == family).map(|wish| wish.want.length);
        let least = waiting.chain(self.supply(family).map(|supply| supply.plan.delegated)).max().unwrap_or_default();
        let modesty = self.modesty.get(&family).copied().unwrap_or_default();
        let modest = want.length.saturating_add(modesty).min(least.max(want.length));
        match reason {
            // The operator has said how long it is to be.
            Reason::Manifest => Some((want, reason)),
            Reason::Role { .. } | Reason::Need { .. } => Want::new(family, modest).map(|want| (want, reason)),
        }
    }

    /// What would serve a family best.
    pub(super) fn desired(&self, family: Family) -> Option<(Want, Reason)> {
        let (supply, level) = (self.supply(family)?, self.level?);
        let held = supply.blocks(family, level.free(family));
        let shortfall = supply.need.saturating_sub(held);
        let waiting = self.waiting.iter().filter(|wish| wish.want.family == family);
        let block = Want { family, length: supply.plan.delegated }.measure().max(1);
        let waited = waiting.fold(0_u128, |sum, wish| sum.saturating_add(wish.want.measure()));
        if shortfall == 0 && waited == 0 {
            return None;
        }
        let need = supply.need.max(waited.div_ceil(block));
        let reason = Reason::Need { delegated: supply.plan.delegated, need, held: held.min(need) };
        let mut length = wanted_length(family, supply.plan.delegated, shortfall);
        if waited > 0 {
            // What is asked for has to hold what somebody waits for, in one piece.
            let pieces = self.waiting.iter().filter(|wish| wish.want.family == family).map(|wish| wish.want.length);
            let longest = waited.ilog2() + u32::from(!waited.is_power_of_two());
            let sum = family.bits().saturating_sub(u8::try_from(longest).unwrap_or(u8::MAX));
            length = pieces.min().map_or(length, |piece| piece.min(sum));
            if shortfall > 0 {
                length = length.min(wanted_length(family, supply.plan.delegated, shortfall));
            }
            return Want::new(family, length).map(|want| (want, reason));
        }
        if let Some(asked) = supply.plan.ask {
            return Want::new(family, asked).map(|want| (want, Reason::Manifest));
        }
        let role = self.params.role(&self.plan.role);
        let role = role.and_then(|role| match family {
            Family::V4 => role.ipv4_prefix_length,
            Family::V6 => role.prefix_length,
        });
        match role {
            // A node that has nothing asks for what its role has; afterwards it knows better what it needs.
            Some(length) if level.free(family) == 0 && supply.need <= supply.plan.need.into() => {
                let (role, source) = (self.plan.role.clone(), self.params_source.clone());
                Want::new(family, length).map(|want| (want, Reason::Role { role, source }))
            }
            _ => Want::new(family, length).map(|want| (want, reason)),
        }
    }

    /// Sends whoever is ready to ask others, if there is a need.
    pub(super) fn need(&mut self, now: Time) {
        if !self.active || self.asking.is_some() || self.ready.is_none() {
            return;
        }
        if let Some(id) = self.look.filter(|look| *look <= now).and_then(|_| self.ready.take()) {
            self.look = self.plan.look.map(|period| now + period);
            return self.reply(id, Ok(Response::Look));
        }
        // Nothing more is promised or taken while the store fails.
        if self.level.is_none_or(|level| !level.writable) {
            return;
        }
        let families: Vec<Family> = self.supplies.keys().copied().collect();
        // Families take turns: one that nobody helps with does not keep the other from being asked for (PM-Q-05).
        let turned = self.fruitless % 2 == 1;
        let order = if turned { families.into_iter().rev().collect() } else { families };
        let next = order.into_iter().find_map(|family: Family| {
            let wanted = self.wanted(family)?;
            self.may_ask(family).then_some(wanted)
        });
        let Some((want, _)) = next else { return };
        if let Some(id) = self.ready.take() {
            self.asking = Some(want.family);
            self.reply(id, Ok(Response::Need(want)));
        }
    }

    /// Asking others has ended.
    pub(super) fn asked(&mut self, now: Time, gained: bool) {
        let Some(family) = self.asking.take() else { return };
        self.fruitless = if gained { 0 } else { self.fruitless.saturating_add(1) };
        let modesty = self.modesty.entry(family).or_default();
        *modesty = if gained { modesty.saturating_sub(1) } else { modesty.saturating_add(1).min(family.bits()) };
        if self.fruitless >= 3 && self.level.is_some_and(|level| level.free(family) == 0) {
            self.alarm(now, format!("no source of {family} prefixes: nobody who was asked has helped"));
        }
        let (ours, others): (VecDeque<Wish>, VecDeque<Wish>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|wish| wish.want.family == family);
        self.waiting = others;
        for wish in ours {
            if gained {
                self.wish(wish);
            } else {
                self.last(wish, "no prefix of that length is left, and nobody helps");
            }
        }
    }

    pub(super) fn explained(&self) -> Explained {
        let next = self.supplies.keys().map(|family| {
            let text = match self.wanted(*family) {
                Some(_) if !self.may_ask(*family) => "short, but it may not ask for more".to_owned(),
                Some((want, reason)) => explain(want, &reason),
                None => "enough is at hand".to_owned(),
            };
            (*family, text)
        });
        Explained {
            role: self.plan.role.clone(),
            params_source: self.params_source.clone(),
            params: self.params.clone(),
            next: next.collect(),
            asking: self.asking.is_some(),
            waiting: self.waiting.len(),
            fruitless: self.fruitless,
        }
    }
}

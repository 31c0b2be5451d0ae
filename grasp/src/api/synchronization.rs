//! Synchronization and flooding (RFC 8991 §2.3.6).

use super::asa::PAUSE;
use super::{Asa, answer_again, gone};
use crate::actors::{flood, node};
use crate::error::{Error, ErrorCode};
use crate::protocol::AsaLocator;
use crate::protocol::flood::Flooded;
use crate::protocol::session::Outcome;
use crate::wire::{Locator, Objective};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Copies of a flooded objective that a slow watcher may be behind.
const WATCH_QUEUE: usize = 64;

impl Asa {
    async fn may_synchronize(&self, objective: &Objective) -> Result<(), Error> {
        self.call_again(|| node::MaySynchronize { asa: self.handle, objective: objective.clone() }).await
    }

    /// Reads the value of a synchronization objective (RFC 8991 §2.3.6).
    ///
    /// With no `peer` a flooded copy is returned at once if there is one; else a peer is discovered and asked.
    ///
    /// # Errors
    ///
    /// `#06`, `#16`, `#24`, `#32` to `#37`.
    pub async fn synchronize(
        &self,
        objective: &Objective,
        peer: Option<&AsaLocator>,
        timeout: Duration,
    ) -> Result<Objective, Error> {
        self.synchronize_rapidly(objective, peer, timeout, false).await
    }

    /// As [`Asa::synchronize`]; with `rapid`, a value that comes with the answer to the discovery is taken (an extension,
    /// RFC 8990 §2.5.6.3).
    ///
    /// # Errors
    ///
    /// As [`Asa::synchronize`].
    pub async fn synchronize_rapidly(
        &self,
        objective: &Objective,
        peer: Option<&AsaLocator>,
        timeout: Duration,
        rapid: bool,
    ) -> Result<Objective, Error> {
        self.may_synchronize(objective).await?;
        let deadline = Instant::now() + self.timeout(timeout);
        let result = match peer {
            Some(peer) => self.request(objective, peer, deadline, false).await,
            None => {
                let flooded = answer_again(&self.grasp.flood, || flood::Get(objective.name.clone())).await?;
                if let Some(latest) = flooded.into_iter().next() {
                    return Ok(latest.objective);
                }
                let found = self.find_first(objective, deadline).await?;
                if let Some(value) = found.rapid.filter(|_| rapid) {
                    return Ok(value);
                }
                let nobody = ErrorCode::NotFloodedNorDiscovered;
                self.request_any(objective, &found.locators, deadline, false, nobody).await
            }
        };
        match result?.1 {
            Outcome::Synchronized(objective) => Ok(objective),
            Outcome::Offered(_) | Outcome::Accepted(_) | Outcome::Sent | Outcome::Parted(_) => {
                Err(ErrorCode::NoValidSynch.into())
            }
        }
    }

    /// Serves this value to those who ask (RFC 8991 §2.3.6); may be called again with a new one. Announces the objective.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#16`, `#32`.
    pub async fn listen_synchronize(&self, objective: &Objective) -> Result<(), Error> {
        self.call_again(|| node::ServeValue { asa: self.handle, objective: objective.clone() }).await
    }

    /// Stops serving the value (RFC 8991 §2.3.6).
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#16`, `#32`.
    pub async fn stop_listen_synchronize(&self, objective: &Objective) -> Result<(), Error> {
        let (asa, negotiation) = (self.handle, false);
        self.call_again(|| node::StopListen { asa, objective: objective.clone(), negotiation }).await
    }

    /// Floods objectives with their tags (RFC 8991 §2.3.6); `ttl` in milliseconds, 0 for ever.
    ///
    /// The address `::` in a tag stands for that of each link; such a flood goes one hop.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#16`, `#32`, `#38`; `#03` if it would not fit into a multicast or comes too often.
    pub async fn flood(&self, ttl: u32, objectives: Vec<(Objective, Option<Locator>)>) -> Result<(), Error> {
        let asa = self.handle;
        let sent = self.call(node::FloodOut { asa, ttl, objectives: objectives.clone() }).await?;
        if let Ok(result) = sent.await {
            return result;
        }
        // The actor that had it has failed. A copy that is sent twice does no harm.
        tokio::time::sleep(PAUSE).await;
        self.call(node::FloodOut { asa, ttl, objectives }).await?.await.map_err(|_| gone(&self.grasp.flood))?
    }

    /// Every unexpired flooded copy of an objective, latest first (RFC 8991 §2.3.6).
    ///
    /// # Errors
    ///
    /// `#06`, `#16`, `#32`.
    pub async fn get_flood(&self, objective: &Objective) -> Result<Vec<Flooded>, Error> {
        self.may_synchronize(objective).await?;
        answer_again(&self.grasp.flood, || flood::Get(objective.name.clone())).await
    }

    /// Tells of every copy of an objective that is flooded from now on (an extension).
    ///
    /// # Errors
    ///
    /// `#06`, `#16`, `#32`.
    pub async fn watch_flood(&self, objective: &Objective) -> Result<mpsc::Receiver<Flooded>, Error> {
        self.may_synchronize(objective).await?;
        let (watcher, copies) = mpsc::channel(WATCH_QUEUE);
        answer_again(&self.grasp.flood, || flood::Watch(objective.name.clone(), watcher.clone())).await?;
        Ok(copies)
    }

    /// Expires exactly this flooded copy in the local cache (RFC 8991 §2.3.6).
    ///
    /// # Errors
    ///
    /// `#06`, `#16`; `#14` if it is not there.
    pub async fn expire_flood(&self, flooded: &Flooded) -> Result<(), Error> {
        let copies = self.get_flood(&flooded.objective).await?;
        if !copies.iter().any(|copy| copy.locator == flooded.locator && copy.link == flooded.link) {
            return Err(Error::new(ErrorCode::NotObjective, flooded.objective.name.as_str()));
        }
        let input = crate::protocol::flood::Input::Expire(flooded.clone());
        answer_again(&self.grasp.flood, || flood::Feed(input.clone())).await
    }
}

//! Who is at the other ends of the links, and the DULL instances beside them.

use super::{Grasp, answer, answer_again};
use crate::actors::adjacency::{Inspect, Known};
use crate::actors::node;
use crate::error::Error;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A member to which a connection for discoveries and floods is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// The interface.
    pub interface: String,
    /// Its link-local address, and the port at its end.
    pub address: SocketAddr,
    /// Its name, as its certificate says.
    pub member: String,
}

impl Grasp {
    /// The members at the other ends of the links, where the substrate keeps connections to them; and what has been counted
    /// about them on each link.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn neighbours(&self) -> Result<(Vec<Neighbour>, BTreeMap<String, serde_json::Value>), Error> {
        let (mut found, mut counted) = (Vec::new(), BTreeMap::new());
        for link in answer_again(&self.node, || node::ListLinks {}).await? {
            let Some(adjacency) = link.adjacency else { continue };
            // One that is just being restarted has no neighbours.
            let Ok(Known { neighbours, counters }) = answer(&adjacency, Inspect).await else { continue };
            let interface = link.interface;
            found.extend(neighbours.into_iter().map(|(address, member)| Neighbour {
                interface: interface.clone(),
                address,
                member,
            }));
            counted.insert(interface, serde_json::to_value(counters).unwrap_or_default());
        }
        Ok((found, counted))
    }

    /// The DULL instances that this instance carries, by interface (RFC 8990 §2.5.2). Each ends with its link.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn dull_instances(&self) -> Result<Vec<(String, Self)>, Error> {
        let links = answer_again(&self.node, || node::ListLinks {}).await?;
        Ok(links.into_iter().filter_map(|link| Some((link.interface, link.dull?))).collect())
    }
}

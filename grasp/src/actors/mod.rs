//! The shells around the cores: they own sockets, timers and mailboxes, and decide nothing.
//!
//! ```text
//!            kernel or fabric
//!      │ datagrams          │ connections           │ links, addresses
//!   ┌──▼──────┐       ┌─────▼─────┐          ┌──────▼─────┐
//!   │ Link (N)│       │ Reception │          │ Interfaces │
//!   └─┬─────┬─┘       └─────┬─────┘          └──────┬─────┘
//!     │Heard│Heard          │ Arrived               │ Changed
//! ┌───▼──┐ ┌▼──────────┐ ┌──▼───────────────────────▼──┐
//! │Flood │ │ Discovery │ │ Node: registry, session ids │◄── api
//! └──────┘ └───────────┘ └──┬──────────────────────────┘
//!                           │ Requested
//!                    ┌──────▼────────┐  starts  ┌─────────────┐
//!                    │ Objective (N) ├─────────►│ Session (N) │◄── api
//!                    └───────────────┘          └─────────────┘
//! ```
//!
//! Under a substrate that carries discoveries and floods over connections, an Adjacency stands in the place of each Link, with
//! connections to the neighbours instead of a socket for multicasts, and a DULL instance of the link beside it ([`adjacency`]).
//!
//! All of them are children of one supervisor, but for sessions, which live once. A panic costs the message that was being
//! handled; the next life keeps what has been gathered ([`lives`]), reads where it is and what is offered from the [`outlook`],
//! and finds in the [`ledger`] only sessions that are still there. What others wait for is asked again by the API, or, if a
//! peer waits, declined ([`caller`]).

pub(crate) mod adjacency;
pub(crate) mod caller;
pub(crate) mod connection;
pub(crate) mod contained;
pub(crate) mod discovery;
pub(crate) mod flood;
pub(crate) mod interfaces;
pub(crate) mod ledger;
pub(crate) mod link;
pub(crate) mod lives;
pub(crate) mod node;
pub(crate) mod objective;
pub(crate) mod outlook;
pub(crate) mod reception;
pub(crate) mod session;
pub(crate) mod surroundings;
pub(crate) mod tally;
pub(crate) mod waiting;

//! Actors that are restarted when they fail.
//!
//! actix lets a panicked actor die in silence, together with its mailbox. Here every actor runs under a **guard** that
//! reports how it ended and obeys; a pure **policy** decides what is restarted and when to give up; a **supervisor** stands
//! between them; a **watchdog** finds those that have stopped answering.
//!
//! ```text
//!   watchdog ──Ping──► child ◄──polls── guard ──Exited──► supervisor ──► policy
//!       └────────────Exited(Hung)───────────────────────────▲  │
//!                                             guard ◄─Order─┘  └─Escalated──► whoever built the children
//! ```
//!
//! What is promised, each with a test of that name: an address survives a restart; a queued message survives a restart; the
//! message that panicked is not retried; its sender gets `Closed`; a neighbour does not notice; state is fresh after a
//! restart; no timer of the last life fires; `started` runs once a life.
//!
//! A child is an actor with a fresh start: see [`Fresh`] and [`child!`].

mod contain;
mod current;
mod fault;
mod guard;
mod mailbox;
mod policy;
mod supervisor;
mod tree;
mod vitals;
pub mod watchdog;

pub use contain::contain;
pub use current::{keeps_store, store_fault, strike};
pub use fault::Fault;
pub use guard::{Exit, Exited};
pub use mailbox::{Mailbox, WeakMailbox};
pub use policy::{Decision, Policy, RestartLimits, RestartStrategy};
pub use supervisor::{Escalated, Lifetime, Placement, Supervisor, stand_alone};
pub use tree::{ChildStatus, Incident, Observer, Tree};
pub use vitals::{Condition, LastExit, Vitals};

use actix::{Actor, Context, Handler, Message, Supervised};

/// An actor that can begin anew.
pub trait Fresh {
    /// Returns the actor as it was made: from its arguments, with nothing of what this life has gathered.
    #[must_use]
    fn fresh(&self) -> Self;
}

/// An actor that a guard can run; [`child!`] writes the implementation.
pub trait Child: Actor<Context = Context<Self>> + Supervised + Handler<Probe> {}

impl<A: Actor<Context = Context<A>> + Supervised + Handler<Probe>> Child for A {}

/// Asks a child for a sign of life, through its mailbox like any other message.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Probe;

/// Answers a [`Probe`]: called by what [`child!`] writes.
pub fn answer() {
    current::beat();
    strike();
}

/// Makes an actor that is [`Fresh`] a [`Child`]: `child!(Clerk)`, or `child!(<R: Resource> Pool<R>)`.
#[macro_export]
macro_rules! child {
    (<$($generic:ident $(: $bound:path)?),+> $actor:ty) => {
        impl<$($generic $(: $bound)?),+> ::actix::Supervised for $actor {
            fn restarting(&mut self, _: &mut ::actix::Context<Self>) {
                *self = $crate::Fresh::fresh(self);
            }
        }

        impl<$($generic $(: $bound)?),+> ::actix::Handler<$crate::Probe> for $actor {
            type Result = ();

            fn handle(&mut self, _: $crate::Probe, _: &mut ::actix::Context<Self>) {
                $crate::answer();
            }
        }
    };
    ($actor:ty) => {
        impl ::actix::Supervised for $actor {
            fn restarting(&mut self, _: &mut ::actix::Context<Self>) {
                *self = $crate::Fresh::fresh(self);
            }
        }

        impl ::actix::Handler<$crate::Probe> for $actor {
            type Result = ();

            fn handle(&mut self, _: $crate::Probe, _: &mut ::actix::Context<Self>) {
                $crate::answer();
            }
        }
    };
}

//! Actors that live once, such as a session: a panic ends them and nothing else.

use crate::current::Entered;
use crate::guard::{Exit, end, text};
use crate::vitals::Vitals;
use actix::prelude::*;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// Runs an actor that is never restarted in the current arbiter. A panic is counted under `vitals`, which all actors of its
/// kind share, and drops the actor's state at once.
pub fn contain<A>(vitals: &Arc<Vitals>, make: impl FnOnce(&mut Context<A>) -> A) -> Addr<A>
where
    A: Actor<Context = Context<A>>,
{
    let mut context = Context::new();
    let actor = make(&mut context);
    let address = context.address();
    let mut future = context.into_future(actor);
    let vitals = vitals.clone();
    actix::spawn(async move {
        let panic = poll_fn(|context| {
            let polled = {
                let _in = Entered::new(&vitals);
                catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(context)))
            };
            match polled {
                Err(panic) => Poll::Ready(Some(text(&*panic))),
                Ok(Poll::Ready(())) => Poll::Ready(None),
                Ok(Poll::Pending) => Poll::Pending,
            }
        })
        .await;
        if let Some(panic) = panic {
            tracing::error!(child = vitals.path(), panic, "one of its kind panicked and is gone");
            vitals.survived(&Exit::Panicked(panic));
        }
        end(future);
    });
    address
}

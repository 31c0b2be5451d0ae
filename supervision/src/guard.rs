//! The guard of one child: reports how a life ended and obeys; it decides nothing.

use crate::Child;
use crate::current::Entered;
use crate::vitals::{Condition, Vitals};
use actix::dev::ContextFut;
use actix::prelude::*;
use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Normal,
    /// By a panic, with its text.
    Panicked(String),
    /// It does not answer any more.
    Hung,
}

/// A child's life has ended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Exited {
    /// The child.
    pub id: u64,
    /// Which life.
    pub life: u64,
    /// How.
    pub exit: Exit,
}

/// What a guard is told; at most one for each report and each failure of a sibling.
#[derive(Debug)]
pub(crate) enum Order {
    Restart { after: Duration, life: u64 },
    Stop,
}

/// Runs a child through its lives until it is told to stop, nobody can order it any more, or nobody has its address.
pub(crate) async fn guard<A: Child>(
    id: u64,
    vitals: Arc<Vitals>,
    mut future: ContextFut<A, Context<A>>,
    mut orders: UnboundedReceiver<Order>,
    boss: Recipient<Exited>,
) {
    let mut life = 1;
    'lives: loop {
        let mut order = tokio::select! {
            biased;
            order = orders.recv() => {
                // Healthy or stalled, but told to go: it may take its leave.
                future.ctx().stop();
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| poll_once(&mut future))) {
                    tracing::error!(child = vitals.path(), panic = text(&*panic), "panicked while it was stopped");
                }
                order
            }
            exit = live(&mut future, &vitals, life) => {
                vitals.set(Condition::Pausing);
                vitals.failed(&exit);
                // What the life held is let go at once, so that its peers learn of it now and not after the pause.
                wipe(&mut future, &vitals);
                boss.do_send(Exited { id, life, exit });
                orders.recv().await
            }
        };
        loop {
            let Some(Order::Restart { after, life: next }) = order else { break 'lives };
            vitals.set(Condition::Pausing);
            vitals.reborn(next);
            life = next;
            wipe(&mut future, &vitals);
            // The mailbox fills meanwhile, up to its bound.
            tokio::select! {
                biased;
                newer = orders.recv() => { order = newer; continue; }
                () = tokio::time::sleep(after) => {}
            }
            match catch_unwind(AssertUnwindSafe(|| future.restart())) {
                Ok(true) => continue 'lives,
                Ok(false) => break 'lives,
                Err(panic) => {
                    let exit = Exit::Panicked(text(&*panic));
                    vitals.failed(&exit);
                    boss.do_send(Exited { id, life, exit });
                    order = orders.recv().await;
                }
            }
        }
    }
    vitals.set(Condition::Stopped);
    end(future);
}

/// Drops the state of a life, and puts a fresh one in its place that does not run yet.
fn wipe<A: Child>(future: &mut ContextFut<A, Context<A>>, vitals: &Vitals) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| future.restart())) {
        tracing::error!(child = vitals.path(), panic = text(&*panic), "panicked while its state was dropped");
    }
}

/// Drops a child that has ended, without running it again.
pub(crate) fn end<A: Actor<Context = Context<A>>>(mut future: ContextFut<A, Context<A>>) {
    future.ctx().terminate();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
        tracing::error!(panic = text(&*panic), "panicked while it was dropped");
    }
}

fn poll_once<A: Child>(future: &mut ContextFut<A, Context<A>>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = Pin::new(future).poll(&mut context);
}

/// One life, up to its end.
async fn live<A: Child>(future: &mut ContextFut<A, Context<A>>, vitals: &Arc<Vitals>, life: u64) -> Exit {
    let span = tracing::error_span!("child", asa = vitals.owner(), role = vitals.role(), life);
    poll_fn(|context| {
        if vitals.fault.stall.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let sent = vitals.sent();
        let polled = {
            let _in = (span.enter(), Entered::new(vitals));
            catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *future).poll(context)))
        };
        match polled {
            Err(panic) => Poll::Ready(Exit::Panicked(text(&*panic))),
            Ok(Poll::Ready(())) => Poll::Ready(Exit::Normal),
            Ok(Poll::Pending) => {
                if !future.ctx().waiting() {
                    vitals.drained(sent);
                }
                vitals.serves();
                if vitals.fault.stop.swap(false, Ordering::AcqRel) {
                    future.ctx().stop();
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    })
    .await
}

/// What a panic said.
pub(crate) fn text(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

//! The server of the control socket.
//!
//! ```text
//!   client ──line──► acceptor (conversations) ──Ask──► desk ──Command──► handler
//! ```
//!
//! The acceptor is supervised and forgets its connections when it is restarted; the socket outlives it. The desk lets the
//! handler work: what has been begun there goes on when whoever asked for it is gone.

use super::conversation::{converse, line};
use super::listening::{Listening, ServeError};
use super::message::{Command, Failure, FailureCode};
use actix::prelude::{
    Actor, ActorFutureExt, AsyncContext, Context, Message, Recipient, ResponseFuture, StreamHandler, WrapFuture,
};
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use supervision::{
    Escalated, Fresh, Lifetime, Mailbox, Placement, RestartLimits, RestartStrategy, Supervisor, Tree, strike,
};
use tokio::net::UnixStream;

/// Carries out commands. It may be called again while an earlier call is at work.
pub type Handler = Rc<dyn Fn(Command) -> LocalBoxFuture<'static, Result<serde_json::Value, Failure>>>;

/// Whom the actors of the control socket belong to in the tree.
pub const OWNER: &str = "control";
/// Connections at once; further ones are told so and closed.
pub const MAX_CONNECTIONS: usize = 16;
/// Commands at work at once, those included whose client is gone; further ones are refused.
pub const MAX_OPERATIONS: usize = 32;

/// The pauses grow, and it is never given up: a node that cannot be spoken with cannot be helped.
const LIMITS: RestartLimits = RestartLimits {
    restarts: 1000,
    within: Duration::from_secs(60),
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_secs(5),
    jitter: 0.25,
};
/// How long the actors may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Listens at `path` on the current thread, and lets `handler` carry out what is asked.
///
/// Only the user of this process and root are served. The actors are part of `tree`, as children of [`OWNER`].
///
/// # Errors
///
/// Another node answers there, or the socket cannot be made.
pub async fn serve(path: &Path, tree: &Tree, handler: Handler) -> Result<Server, ServeError> {
    let listening = Arc::new(Listening::bind(path).await?);
    let counters = Arc::new(Counters::default());
    let desk = Desk { handler, at_work: Rc::new(Cell::new(0)), counters: counters.clone() }.start();
    let supervisor = Supervisor::start(
        OWNER,
        tree,
        Placement::Here,
        (RestartStrategy::OneForOne, LIMITS),
        [0; 32],
        desk.clone().recipient(),
    );
    let uid = rustix::process::geteuid().as_raw();
    let args = Args { listening: listening.clone(), desk: desk.recipient(), counters: counters.clone(), uid };
    supervisor.child("acceptor", Lifetime::Permanent, move |_: Mailbox<Acceptor>| Acceptor::new(args));
    Ok(Server { listening, counters, supervisor })
}

/// The control socket of this process; it is removed when this is dropped.
pub struct Server {
    listening: Arc<Listening>,
    counters: Arc<Counters>,
    supervisor: Supervisor,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.listening.path()
    }

    /// What has happened there so far, by name; each name begins with `control_`.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.snapshot()
    }

    /// Removes the socket and closes all connections; what is at work goes on.
    pub async fn stop(self) {
        self.listening.remove();
        self.supervisor.stop(STOP_LIMIT).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.remove();
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What has happened at the socket.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Connections taken.
    pub(super) connections: Counter,
    /// Requests handed to the node.
    pub(super) requests: Counter,
    /// Lines that are no requests.
    pub(super) malformed: Counter,
    /// Connections closed because no full line came in time.
    pub(super) idle: Counter,
    /// Connections closed because the reply was not read in time.
    pub(super) stalled: Counter,
    /// Connections refused because of who asked.
    pub(super) refused_users: Counter,
    /// Connections refused because there are enough.
    pub(super) refused_connections: Counter,
    /// Commands refused because enough are at work.
    pub(super) refused_operations: Counter,
    /// Commands at which the node panicked.
    pub(super) panics: Counter,
}

impl Counters {
    fn snapshot(&self) -> BTreeMap<String, u64> {
        let all = [
            ("connections", &self.connections),
            ("requests", &self.requests),
            ("malformed", &self.malformed),
            ("idle", &self.idle),
            ("stalled", &self.stalled),
            ("refused_users", &self.refused_users),
            ("refused_connections", &self.refused_connections),
            ("refused_operations", &self.refused_operations),
            ("panics", &self.panics),
        ];
        all.into_iter().map(|(name, count)| (format!("control_{name}"), count.0.load(Ordering::Relaxed))).collect()
    }
}

#[derive(Clone)]
struct Args {
    listening: Arc<Listening>,
    desk: Recipient<Ask>,
    counters: Arc<Counters>,
    uid: u32,
}

/// Takes connections and holds a conversation on each.
struct Acceptor {
    args: Args,
    open: usize,
}

impl Acceptor {
    fn new(args: Args) -> Self {
        Self { args, open: 0 }
    }

    /// Why this connection is not served.
    fn refusal(&self, stream: &UnixStream) -> Option<Failure> {
        let refused = |why: String| Some(Failure::new(FailureCode::Refused, why));
        let Args { uid, counters, .. } = &self.args;
        match stream.peer_cred().map(|peer| peer.uid()) {
            Ok(peer) if peer == *uid || peer == 0 => {}
            Ok(peer) => {
                counters.refused_users.add();
                tracing::warn!(user = peer, "refused a control connection of another user");
                return refused(format!("user {peer} may not speak with this node; user {uid} and root may"));
            }
            Err(error) => {
                counters.refused_users.add();
                return refused(format!("the system does not say who is asking: {error}"));
            }
        }
        if self.open >= MAX_CONNECTIONS {
            counters.refused_connections.add();
            return refused(format!("{MAX_CONNECTIONS} control connections are open already; try again later"));
        }
        None
    }
}

impl Fresh for Acceptor {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

supervision::child!(Acceptor);

impl Actor for Acceptor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let accept = async |listening: Arc<Listening>| Some((listening.accept().await, listening));
        ctx.add_stream(stream::unfold(self.args.listening.clone(), accept));
    }
}

impl StreamHandler<UnixStream> for Acceptor {
    fn handle(&mut self, stream: UnixStream, ctx: &mut Context<Self>) {
        strike();
        if let Some(failure) = self.refusal(&stream) {
            // Nothing waits in a new connection: this neither blocks nor falls short.
            let _ = stream.into_std().and_then(|mut stream| stream.write(&line(Err(failure))));
            return;
        }
        self.args.counters.connections.add();
        self.open += 1;
        let conversation = converse(stream, self.args.desk.clone(), self.args.counters.clone());
        ctx.spawn(conversation.into_actor(self).map(|(), actor, _| actor.open -= 1));
    }
}

/// One command.
#[derive(Message)]
#[rtype(result = "Result<serde_json::Value, Failure>")]
pub(super) struct Ask(pub(super) Command);

/// Lets the handler work.
struct Desk {
    handler: Handler,
    at_work: Rc<Cell<usize>>,
    counters: Arc<Counters>,
}

impl Actor for Desk {
    type Context = Context<Self>;
}

/// Counts a command as at work until it is dropped.
struct AtWork(Rc<Cell<usize>>);

impl AtWork {
    fn begin(at_work: &Rc<Cell<usize>>) -> Option<Self> {
        let count = at_work.get();
        (count < MAX_OPERATIONS).then(|| {
            at_work.set(count + 1);
            Self(at_work.clone())
        })
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl actix::Handler<Ask> for Desk {
    type Result = ResponseFuture<Result<serde_json::Value, Failure>>;

    fn handle(&mut self, Ask(command): Ask, _: &mut Context<Self>) -> Self::Result {
        let Some(at_work) = AtWork::begin(&self.at_work) else {
            self.counters.refused_operations.add();
            let why = format!("{MAX_OPERATIONS} commands are at work already; try again later");
            return async { Err(Failure::new(FailureCode::Refused, why)) }.boxed_local();
        };
        let (handler, counters) = (self.handler.clone(), self.counters.clone());
        let asked = format!("{command:?}");
        async move {
            let done = AssertUnwindSafe(async { handler(command).await }).catch_unwind().await;
            drop(at_work);
            done.unwrap_or_else(|_| {
                counters.panics.add();
                tracing::error!(command = asked, "panicked while it carried out a command");
                let why = "the node panicked while it carried this out; its log says where";
                Err(Failure::new(FailureCode::Failed, why))
            })
        }
        .boxed_local()
    }
}

impl actix::Handler<Escalated> for Desk {
    type Result = ();

    fn handle(&mut self, escalated: Escalated, _: &mut Context<Self>) {
        let Escalated { role, exit, .. } = escalated;
        tracing::error!(role, ?exit, "the control socket is out of order until the node is started again");
    }
}

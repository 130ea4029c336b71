//! The one loop that changes intent.
//!
//! Requests wait in a queue. Whoever finds nobody writing starts a task that takes all that wait, decides one after the
//! other, each on intent as those before it leave it, and writes them in one transaction ([`Draft`]); while that is under
//! way the next ones gather. So a lone request is written at once, and many at the same time cost the store one
//! transaction and one sync to disk, do not conflict with each other, and are given the numbers that follow each other.
//!
//! # Invariants
//! * A request is answered when this replica shows what it did, or when it is certain that it is not in the store (or
//!   [`StoreError::Indeterminate`]).
//! * A refusal is of stored intent: who is refused because of others in the same transaction is asked again when that
//!   is written; and before it is told, the store is asked whether there is something newer.
//! * Nobody waits for another one's refusal, nor fails because of a request it shares transactions with: those that keep
//!   losing share them with ever fewer, and let the others go first.
//! * What a request decides does not depend on whether its client still waits; one that has gone before its turn is
//!   dropped.
//!
//! # Failure
//! When other replicas were faster everybody decides again, a bounded number of times: then [`AppError::Busy`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{ObjectRef, Outcome};
use store::StoreError;
use store::intent::{Admission, CommitError, Committed, Draft, Extra, InformerError, Snapshot};
use tokio::sync::{oneshot, watch};
use types::Revision;

use super::write::{Decision, Written};
use super::{Actor, App, AppError};

/// Lost races before giving up. Of three replicas that want the same range one wins each round, with all that wait there;
/// others come in between. 64 lose all with a probability of (2/3)^64.
const ATTEMPTS: u32 = 64;
/// How long a refusal waits for a newer view that might not refuse.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// Most requests of one transaction; with stock etcd's limits it holds fewer.
const TOGETHER: usize = 64;
/// Transactions that may be lost together. Against two other replicas it happens that three are; who goes on losing may
/// want what it can never have, and the others must not.
const LOST_TOGETHER: u32 = 3;

type Decide = dyn Fn(&Snapshot) -> Result<Decision, AppError> + Send + Sync;
type MakeExtra = dyn Fn(&Snapshot) -> Result<Extra, AppError> + Send + Sync;

/// A request that waits.
struct Request {
    actor: Actor,
    extra: Box<MakeExtra>,
    decide: Box<Decide>,
    attempts: u32,
    answer: oneshot::Sender<Result<Written, AppError>>,
}

impl Request {
    /// How many may share its next transaction. Each that is lost halves it, so that whoever loses alone in the end harms
    /// nobody, and races that are lost by chance stay cheap.
    fn company(&self) -> usize {
        (TOGETHER >> self.attempts.saturating_sub(LOST_TOGETHER).min(usize::BITS - 1)).max(1)
    }

    fn answer(self, result: Result<Written, AppError>) {
        // Whoever does not wait for the answer any more can read what is so.
        drop(self.answer.send(result));
    }
}

/// Requests that are in the transaction being made, with what they do.
type Members = Vec<(Request, Vec<(ObjectRef, Outcome)>)>;

/// Requests that wait for their turn.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Request>>,
    /// Whether a task is at work on them.
    busy: watch::Sender<bool>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("actor", &self.actor).finish_non_exhaustive()
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { waiting: Mutex::default(), busy: watch::Sender::new(false) }
    }
}

impl Queue {
    // Nothing panics while it is held, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task at work. However it ends, another one can begin.
struct AtWork {
    app: App,
    /// It has found nothing to do any more: the queue is another task's from then on.
    over: bool,
}

impl AtWork {
    fn new(app: App) -> Self {
        Self { app, over: false }
    }

    /// Those next in turn, equal in how many they may be; none when the task is over.
    fn next(&mut self) -> Vec<Request> {
        let queue = &self.app.inner.queue;
        let mut waiting = queue.lock();
        let company = waiting.front().map_or(0, Request::company);
        let some = waiting.iter().take(company).take_while(|r| r.company() == company).count();
        if some == 0 {
            // Under the lock: who comes now starts another task.
            queue.busy.send_replace(false);
            self.over = true;
        }
        waiting.drain(..some).collect()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let queue = &self.app.inner.queue;
        let mut waiting = queue.lock();
        // A decision panicked: the requests of its round are lost, and told so; those behind them are not. Or the process
        // ends: then nobody is left to do them, and a task that is spawned would end in here again.
        if !std::thread::panicking() {
            waiting.clear();
        }
        let more = !waiting.is_empty();
        queue.busy.send_replace(more);
        drop(waiting);
        if more {
            tokio::spawn(Self::new(self.app.clone()).work());
        }
    }
}

impl AtWork {
    async fn work(mut self) {
        loop {
            let requests = self.next();
            if requests.is_empty() {
                return;
            }
            self.app.round(requests).await;
        }
    }
}

impl App {
    /// Decides on the newest intent and writes, again and again until nothing came in between.
    pub(super) async fn write(
        &self,
        actor: &Actor,
        extra: impl Fn(&Snapshot) -> Result<Extra, AppError> + Send + Sync + 'static,
        decide: impl Fn(&Snapshot) -> Result<Decision, AppError> + Send + Sync + 'static,
    ) -> Result<Written, AppError> {
        let (answer, answered) = oneshot::channel();
        let (extra, decide) = (Box::new(extra), Box::new(decide));
        let request = Request { actor: actor.clone(), extra, decide, attempts: 0, answer };
        self.see_to(|waiting| waiting.push_back(request));
        answered.await.unwrap_or(Err(AppError::Stopped(InformerError)))
    }

    /// Changes the queue, and has somebody at work on it.
    fn see_to(&self, change: impl FnOnce(&mut VecDeque<Request>)) {
        let queue = &self.inner.queue;
        let mut waiting = queue.lock();
        change(&mut waiting);
        if !waiting.is_empty() && !queue.busy.send_replace(true) {
            tokio::spawn(AtWork::new(self.clone()).work());
        }
    }

    /// Waits until no write is under way.
    pub async fn settled(&self) {
        // The sender is ours.
        drop(self.inner.queue.busy.subscribe().wait_for(|busy| !busy).await);
    }

    /// One transaction's worth of requests; those that are not done come back into the queue.
    async fn round(&self, requests: Vec<Request>) {
        let base = self.snapshot();
        let mut draft = Draft::new(&base, self.inner.store.limits());
        let (mut members, mut refused, mut later) = (Members::new(), Vec::new(), Vec::new());
        for request in requests {
            if request.answer.is_closed() {
                continue;
            }
            match self.admit(&mut draft, &request) {
                Ok((Admission::In, outcomes)) => members.push((request, outcomes)),
                Ok((Admission::Later, _)) => later.push(request),
                Err(AppError::Store(error)) => request.answer(Err(error.into())),
                Err(_) => refused.push(request),
            }
        }
        let lost = self.commit(draft, members).await;
        // Nobody lost a race by being put off: who is first in the queue never is.
        let (lost, often): (Vec<_>, Vec<_>) = again(lost).into_iter().partition(|r| r.company() == TOGETHER);
        self.see_to(|waiting| {
            lost.into_iter().chain(later).rev().for_each(|request| waiting.push_front(request));
            waiting.extend(often);
        });
        if !refused.is_empty() {
            tokio::spawn(self.clone().settle_refused(refused));
        }
    }

    fn admit(
        &self,
        draft: &mut Draft,
        request: &Request,
    ) -> Result<(Admission, Vec<(ObjectRef, Outcome)>), AppError> {
        let snapshot = draft.snapshot();
        let (decision, extra) = ((request.decide)(snapshot)?, (request.extra)(snapshot)?);
        let admission = draft.add(decision.intention(), self.author(&request.actor), extra)?;
        Ok((admission, decision.outcomes()))
    }

    /// Writes the draft and answers its members; those that have to decide again come back.
    async fn commit(&self, draft: Draft, members: Members) -> Vec<Request> {
        if members.is_empty() {
            return Vec::new();
        }
        let all = |members: Members| members.into_iter().map(|(request, _)| request).collect();
        let shown = match draft.commit(self.inner.store.as_ref()).await {
            Ok(Committed { revision }) => self.reach(revision).await.map(|snapshot| (snapshot, revision)),
            Err(CommitError::Conflict { extra_only: true, .. }) => Err(AppError::TokenUsed),
            Err(CommitError::Conflict { revision, .. }) => {
                tracing::debug!(%revision, count = members.len(), "decided on an old view, deciding again");
                self.back_off(&members).await;
                match self.after_conflict(revision).await {
                    Ok(()) => return all(members),
                    Err(error) => Err(error),
                }
            }
            Err(CommitError::Store(StoreError::Contended { .. })) => {
                self.back_off(&members).await;
                return all(members);
            }
            Err(CommitError::Store(error)) => Err(error.into()),
        };
        for (request, outcomes) in members {
            let written = shown.clone().map(|(snapshot, revision)| Written { snapshot, revision, outcomes });
            request.answer(written);
        }
        Vec::new()
    }

    /// Answers those whom the newest intent refuses as well; the others decide again. Not in the round: what is newest the
    /// store has to be asked, and nobody else should wait for that.
    async fn settle_refused(self, refused: Vec<Request>) {
        let snapshot = self.newest(self.snapshot()).await;
        let mut reprieved = Vec::new();
        for request in refused {
            match (request.decide)(&snapshot).and_then(|_| (request.extra)(&snapshot)) {
                Ok(_) => reprieved.push(request),
                Err(refusal) => request.answer(Err(refusal)),
            }
        }
        self.see_to(|waiting| waiting.extend(again(reprieved)));
    }

    /// Waits for a view newer than the one that a conflict has proven old, for a while: on a shared etcd the revision also
    /// counts what others write, which never arrives here, and in a damaged store there is nothing newer of ours either.
    async fn after_conflict(&self, revision: Revision) -> Result<(), AppError> {
        match tokio::time::timeout(SECOND_LOOK, self.inner.informer.reach(revision)).await {
            Ok(Err(stopped)) => Err(stopped.into()),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// Waits a little, longer after more losses, and never as long as the other replicas. What else there is to do takes
    /// its time, too: those who lose often do not keep it waiting.
    async fn back_off(&self, members: &Members) {
        let lost = members.iter().map(|(request, _)| request.attempts).max().unwrap_or_default();
        if lost > LOST_TOGETHER && !self.inner.queue.lock().is_empty() {
            return;
        }
        let longest = 1_u64 << lost.min(7);
        let wait = Duration::from_micros(rand::random_range(0..=longest * 1_000));
        tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
    }

    /// A refusal may come from a view that is behind another replica's writes: the newest there is.
    pub(super) async fn newest(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let newest = match self.inner.store.health().await {
            Ok(health) if health.revision > snapshot.revision() => health.revision,
            _ => return snapshot,
        };
        // On a shared etcd the revision also counts what others write, which never arrives here.
        let reached = tokio::time::timeout(SECOND_LOOK, self.inner.informer.reach(newest)).await;
        reached.ok().and_then(Result::ok).unwrap_or_else(|| self.snapshot())
    }
}

/// Those of them that may try once more; the others are told that they were tried often enough.
fn again(requests: Vec<Request>) -> Vec<Request> {
    let mut next = Vec::new();
    for mut request in requests {
        request.attempts += 1;
        if request.attempts < ATTEMPTS {
            next.push(request);
        } else {
            request.answer(Err(AppError::Busy { attempts: ATTEMPTS }));
        }
    }
    next
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

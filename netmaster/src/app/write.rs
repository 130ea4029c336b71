//! The one loop that changes intent.

use std::sync::Arc;
use std::time::Duration;

use model::{DeleteError, ObjectRef, Outcome, Plan, Removal, Spec, Supply, plan_apply, plan_delete};
use store::intent::{self, CommitError, Committed, Extra, Snapshot};
use types::{EndpointUid, Revision};

use super::{Actor, App, AppError, Expected, tenant_of};

/// Lost races before giving up. Of three replicas that want the same range one wins each round: twelve attempts were not
/// enough for every one of 96 clients, 64 lose all with a probability of (2/3)^64.
const ATTEMPTS: u32 = 64;
/// How long a refusal waits for a newer view that might not refuse.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// What a write may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Create only.
    Create,
    /// Create or replace.
    Replace,
}

/// A write that is done.
#[derive(Clone, Debug)]
pub struct Written {
    /// A snapshot that shows it.
    pub snapshot: Arc<Snapshot>,
    /// The revision from which on it holds.
    pub revision: Revision,
    /// What happened, per document.
    pub outcomes: Vec<(ObjectRef, Outcome)>,
}

/// The transaction has the decision in it and nothing else.
pub(super) const NOTHING_ELSE: fn(&Snapshot) -> Result<Extra, AppError> =
    |_| Ok(Extra { compares: Vec::new(), ops: Vec::new() });

/// What was decided.
pub(super) enum Decision {
    Plan(Plan),
    Removal(Removal),
    /// Nothing is to be done, as far as this object is what the view shows: absent, or what it is.
    AsSeen(ObjectRef),
}

impl Decision {
    fn outcomes(&self) -> Vec<(ObjectRef, Outcome)> {
        match self {
            Self::Plan(plan) => plan.steps().iter().map(|s| (s.after().object_ref(), s.outcome())).collect(),
            Self::Removal(_) | Self::AsSeen(_) => Vec::new(),
        }
    }
}

impl App {
    /// Creates or replaces one object, as a request for its path does.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn put(
        &self,
        actor: &Actor,
        spec: Spec,
        mode: Mode,
        expected: impl Into<Expected>,
    ) -> Result<Written, AppError> {
        let (object, expected) = (spec.object_ref(), expected.into());
        let decide = |snapshot: &Snapshot| {
            if let Some(tenant) = tenant_of(&object).filter(|t| !snapshot.view().contains(t)) {
                return Err(AppError::NotFound(tenant));
            }
            if mode == Mode::Create && snapshot.view().contains(&object) {
                return Err(AppError::Exists(object.clone()));
            }
            check_version(snapshot, &object, &expected)?;
            plan(snapshot, vec![spec.clone()]).map(Decision::Plan)
        };
        self.write(actor, NOTHING_ELSE, decide).await
    }

    /// Applies documents, all or nothing.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn apply(
        &self,
        actor: &Actor,
        documents: Vec<(Spec, Option<Revision>)>,
    ) -> Result<Written, AppError> {
        let decide = |snapshot: &Snapshot| {
            for (spec, expected) in &documents {
                check_version(snapshot, &spec.object_ref(), &Expected::from(*expected))?;
            }
            let specs = documents.iter().map(|(spec, _)| spec.clone()).collect();
            plan(snapshot, specs).map(Decision::Plan)
        };
        self.write(actor, NOTHING_ELSE, decide).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn delete(
        &self,
        actor: &Actor,
        object: &ObjectRef,
        expected: impl Into<Expected>,
    ) -> Result<Revision, AppError> {
        let expected = expected.into();
        let decide = |snapshot: &Snapshot| decide_removal(snapshot, object, &expected);
        Ok(self.write(actor, NOTHING_ELSE, decide).await?.revision)
    }

    /// Decides on the newest snapshot and writes, again and again until nothing came in between.
    pub(super) async fn write(
        &self,
        actor: &Actor,
        extra: impl Fn(&Snapshot) -> Result<Extra, AppError>,
        decide: impl Fn(&Snapshot) -> Result<Decision, AppError>,
    ) -> Result<Written, AppError> {
        let _turn = self.inner.turn.lock().await;
        let mut snapshot = self.snapshot();
        for attempt in 0..ATTEMPTS {
            let decision = match decide(&snapshot) {
                Ok(decision) => decision,
                Err(refusal) => {
                    snapshot = self.newer_than(&snapshot).await.ok_or(refusal)?;
                    decide(&snapshot)?
                }
            };
            match self.commit(actor, &snapshot, &decision, extra(&snapshot)?).await {
                Ok(Committed { revision }) => {
                    let outcomes = decision.outcomes();
                    let snapshot = self.reach(revision).await?;
                    return Ok(Written { snapshot, revision, outcomes });
                }
                Err(CommitError::Conflict { extra_only: true, .. }) => return Err(AppError::TokenUsed),
                Err(CommitError::Conflict { revision, .. }) => {
                    tracing::debug!(%revision, attempt, "decided on an old view, deciding again");
                    back_off(attempt).await;
                    snapshot = self.after_conflict(&snapshot, revision).await?;
                }
                Err(CommitError::Store(store::StoreError::Contended { .. })) => back_off(attempt).await,
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(AppError::Busy { attempts: ATTEMPTS })
    }

    async fn commit(
        &self,
        actor: &Actor,
        snapshot: &Snapshot,
        decision: &Decision,
        extra: Extra,
    ) -> Result<Committed, CommitError> {
        let (store, author) = (self.inner.store.as_ref(), self.author(actor));
        match decision {
            Decision::Plan(plan) => intent::commit(store, snapshot, plan, author, extra).await,
            Decision::Removal(removal) => intent::remove(store, snapshot, removal, author, extra).await,
            Decision::AsSeen(object) => intent::confirm(store, snapshot, object).await,
        }
    }

    /// A view newer than the one that a conflict has proven old.
    async fn after_conflict(&self, old: &Snapshot, revision: Revision) -> Result<Arc<Snapshot>, AppError> {
        // On a shared etcd the revision also counts what others write, which never arrives here. Something of ours has
        // changed after the old view, though, and that does.
        match tokio::time::timeout(SECOND_LOOK, self.inner.informer.reach(revision)).await {
            Ok(reached) => Ok(reached?),
            Err(_) => self.reach(Revision::new(old.revision().get().saturating_add(1))).await,
        }
    }

    /// A refusal may come from a view that is behind another replica's writes: whether there is a newer one.
    async fn newer_than(&self, snapshot: &Snapshot) -> Option<Arc<Snapshot>> {
        let newest = self.inner.store.health().await.ok()?.revision;
        if newest <= snapshot.revision() {
            return None;
        }
        // On a shared etcd the revision also counts what others write, which never arrives here.
        let reached = tokio::time::timeout(SECOND_LOOK, self.inner.informer.reach(newest)).await;
        let newer = reached.ok().and_then(Result::ok).unwrap_or_else(|| self.snapshot());
        (newer.revision() > snapshot.revision()).then_some(newer)
    }
}

/// A deletion, if nothing needs the object and it is at the version expected.
pub(super) fn decide_removal(
    snapshot: &Snapshot,
    object: &ObjectRef,
    expected: &Expected,
) -> Result<Decision, AppError> {
    if snapshot.view().contains(object) {
        check_version(snapshot, object, expected)?;
    }
    plan_delete(snapshot.view(), object).map(Decision::Removal).map_err(AppError::from)
}

fn plan(snapshot: &Snapshot, specs: Vec<Spec>) -> Result<Plan, AppError> {
    let cooling = snapshot.cooling();
    let mut uid = random_uid;
    Ok(plan_apply(snapshot.view(), Supply { cooling: &cooling, uid: &mut uid }, specs)?)
}

/// 48 random bits, never 0.
pub(super) fn random_uid() -> EndpointUid {
    let number = rand::random_range(u64::from(EndpointUid::MIN)..=u64::from(EndpointUid::MAX));
    EndpointUid::new(number).unwrap_or(EndpointUid::MAX)
}

fn check_version(snapshot: &Snapshot, object: &ObjectRef, expected: &Expected) -> Result<(), AppError> {
    let found = snapshot.version(object);
    if expected.holds(found) {
        return Ok(());
    }
    Err(AppError::VersionMismatch { object: object.clone(), expected: expected.clone(), found })
}

impl From<DeleteError> for AppError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound(object) => Self::NotFound(object),
            DeleteError::InUse(e) => Self::InUse(e),
        }
    }
}

/// Waits a little, longer after more attempts, and never as long as the others.
async fn back_off(attempt: u32) {
    let longest = 1_u64 << attempt.min(7);
    let wait = Duration::from_micros(rand::random_range(0..=longest * 1_000));
    tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
}

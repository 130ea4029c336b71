//! What people may write: decided here, written by [`writer`](super::writer).

use std::sync::Arc;

use model::{DeleteError, ObjectRef, Outcome, Plan, Removal, Spec, Supply, plan_apply, plan_delete};
use store::intent::{Extra, Intention, Snapshot};
use types::{EndpointUid, Revision};

use super::{Actor, App, AppError, Expected, tenant_of};

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
    pub(super) fn intention(&self) -> Intention<'_> {
        match self {
            Self::Plan(plan) => Intention::Plan(plan),
            Self::Removal(removal) => Intention::Removal(removal),
            Self::AsSeen(object) => Intention::AsSeen(object),
        }
    }

    pub(super) fn outcomes(&self) -> Vec<(ObjectRef, Outcome)> {
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
        let decide = move |snapshot: &Snapshot| {
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
        self.check_size(&documents).await?;
        let decide = move |snapshot: &Snapshot| {
            for (spec, expected) in &documents {
                check_version(snapshot, &spec.object_ref(), &Expected::from(*expected))?;
            }
            let specs = documents.iter().map(|(spec, _)| spec.clone()).collect();
            plan(snapshot, specs).map(Decision::Plan)
        };
        self.write(actor, NOTHING_ELSE, decide).await
    }

    /// Whether so many objects can be made at once, before anybody waits for what each of them means.
    async fn check_size(&self, documents: &[(Spec, Option<Revision>)]) -> Result<(), AppError> {
        let most = self.inner.store.limits().max_ops;
        let made = |snapshot: &Snapshot| {
            documents.iter().filter(|(spec, _)| !snapshot.view().contains(&spec.object_ref())).count()
        };
        // Those that are there may be unchanged, which costs nothing.
        if documents.len() <= most || made(&self.snapshot()) <= most {
            return Ok(());
        }
        let documents = made(&*self.newest(self.snapshot()).await);
        if documents <= most { Ok(()) } else { Err(AppError::TooMany { documents, most }) }
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
        let (object, expected) = (object.clone(), expected.into());
        let decide = move |snapshot: &Snapshot| decide_removal(snapshot, &object, &expected);
        Ok(self.write(actor, NOTHING_ELSE, decide).await?.revision)
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
    let supply = Supply { taken: snapshot.taken(), uid: &mut random_uid };
    Ok(plan_apply(snapshot.view(), supply, specs)?)
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

//! Compiling what changed, and what follows from it.
//!
//! A batch goes through five steps, each of which looks at what the one before found to be different: the facts about
//! the objects that changed; whoever refers to an object whose fact is another; endpoints, and what they claim; the
//! fragments of everything else that was touched; where endpoints are now, and so who needs what.
//!
//! # Invariants
//! * *Incremental equals from scratch*: the result depends on the view, not on how it came to be (`tests/histories.rs`).
//! * Work depends on the change and on what follows from it, not on how much there is ([`crate::Work`]).

use std::collections::{BTreeMap, BTreeSet};

use model::{IntentView, ObjectRef};
use node_state::{Fragment, FragmentKey};
use types::VrfId;

use crate::changed::{Changed, Work};
use crate::compiled::{Compiled, Stage};
use crate::endpoint::{self, Endpoints, Number, Seat};
use crate::facts::Facts;
use crate::id::{Id, Subject, endpoint_object};
use crate::places::{Before, Places};
use crate::referrers::Referrers;
use crate::{Refused, group, network, node, policy, tenant};

/// Keeps a view, what it compiles to, and what the next change needs to know.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    view: IntentView,
    facts: Facts,
    referrers: Referrers,
    endpoints: Endpoints,
    places: Places,
    /// Which fragment each object but endpoints has.
    units: BTreeMap<Id, FragmentKey>,
    compiled: Compiled,
}

/// One batch under way.
#[derive(Default)]
struct Batch {
    heads: BTreeSet<Id>,
    endpoints: BTreeSet<Number>,
    /// What endpoints compile to, until everybody's claims are in.
    fragments: BTreeMap<Number, node_state::Endpoint>,
    stage: Stage,
    before: Before,
    work: Work,
}

impl Compiler {
    /// Takes in that intent is `view` now, which differs from what it was in (at most) these objects.
    pub fn apply<'a>(
        &mut self,
        view: IntentView,
        changed: impl IntoIterator<Item = &'a ObjectRef>,
    ) -> Changed {
        let subjects: BTreeSet<Subject> = changed.into_iter().filter_map(Subject::of).collect();
        self.take(view, subjects)
    }

    /// Takes in that intent is `view` now, whatever it was before.
    pub fn reset(&mut self, view: IntentView) -> Changed {
        let subjects = Subject::all(&self.view).chain(Subject::all(&view)).collect();
        self.take(view, subjects)
    }

    /// The current result.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The result, when no more changes will come.
    pub fn into_compiled(self) -> Compiled {
        self.compiled
    }

    /// The intent it was compiled from.
    pub fn view(&self) -> &IntentView {
        &self.view
    }

    /// Whether nothing is kept about any object.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
            && self.referrers.is_empty()
            && self.endpoints.is_empty()
            && self.places.is_empty()
            && self.units.is_empty()
    }

    fn take(&mut self, view: IntentView, subjects: BTreeSet<Subject>) -> Changed {
        let mut batch = Batch::default();
        batch.work.visited += subjects.len();
        let old = std::mem::replace(&mut self.view, view);
        let (mut heads, mut endpoints) = (BTreeSet::new(), Vec::new());
        for subject in subjects {
            match subject {
                Subject::Head(id) => drop(heads.insert(id)),
                Subject::Endpoint(key) => endpoints.push(key),
            }
        }
        self.follow_facts(&old, heads, &mut batch);
        for key in endpoints {
            let (before, after) = (old.endpoints.get(&key), self.view.endpoints.get(&key));
            let number = self.endpoints.admit(key.clone());
            self.referrers.update_endpoint(number, before, after);
            batch.endpoints.insert(number);
        }
        drop(old);
        self.compile_endpoints(&mut batch);
        self.compile_heads(batch)
    }

    /// Facts about what changed, and whom another fact concerns.
    fn follow_facts(&mut self, old: &IntentView, ids: BTreeSet<Id>, batch: &mut Batch) {
        let updated = self.facts.update(old, &self.view, &ids);
        for id in &ids {
            batch.heads.extend(self.referrers.update(old, &self.view, id));
        }
        batch.work.visited += updated.looked_at.len();
        batch.heads.extend(updated.looked_at);
        for id in &updated.changed {
            batch.heads.extend(self.referrers.heads(id).cloned());
            batch.endpoints.extend(self.referrers.endpoints(id));
        }
    }

    fn compile_endpoints(&mut self, batch: &mut Batch) {
        let mut concerned = BTreeSet::new();
        for number in std::mem::take(&mut batch.endpoints) {
            batch.work.visited += 1;
            let Some(key) = self.endpoints.key(number) else { continue };
            let endpoint = self.view.endpoints.get(key);
            let fragment = endpoint.map(|e| endpoint::fragment(e, &self.facts)).transpose();
            self.withdraw_endpoint(number, batch);
            let (seat, why) = match fragment {
                Ok(fragment) => {
                    let seat = fragment.as_ref().map(Seat::of);
                    batch.fragments.extend(fragment.map(|fragment| (number, fragment)));
                    (seat, None)
                }
                Err(why) => (None, Some(why)),
            };
            let (gone, seated) = (seat.is_none() && why.is_none(), seat.is_some());
            self.endpoints.take_seat(number, seat, &mut |other| {
                concerned.insert(other);
            });
            if seated {
                concerned.insert(number);
            } else {
                self.refuse_endpoint(number, why);
            }
            if gone {
                self.endpoints.forget(number);
            }
        }
        for number in concerned {
            batch.work.visited += 1;
            self.settle_endpoint(number, batch);
        }
    }

    /// An endpoint that compiles, now that everybody's claims are in.
    fn settle_endpoint(&mut self, number: Number, batch: &mut Batch) {
        if self.endpoints.seat(number).is_none() {
            return;
        }
        if let Some(why) = self.endpoints.conflict(number) {
            self.withdraw_endpoint(number, batch);
            self.refuse_endpoint(number, Some(why));
        } else if self.endpoints.published(number).is_none() {
            let why = self.publish_endpoint(number, batch).err();
            self.refuse_endpoint(number, why);
        }
    }

    fn publish_endpoint(&mut self, number: Number, batch: &mut Batch) -> Result<(), Refused> {
        let Some(seat) = self.endpoints.seat(number) else { return Ok(()) };
        let fragment = match batch.fragments.remove(&number) {
            Some(fragment) => fragment,
            // It did not change, but whoever claimed the same went.
            None => {
                let endpoint = self.endpoints.key(number).and_then(|key| self.view.endpoints.get(key));
                let Some(endpoint) = endpoint else { return Ok(()) };
                endpoint::fragment(endpoint, &self.facts)?
            }
        };
        let fragment = Fragment::Endpoint(fragment);
        batch.stage.put(Some(seat.vrf), &fragment, &mut batch.work)?;
        self.places.enter(seat.vrf, &seat.node, &mut batch.before);
        self.endpoints.publish(number, true);
        Ok(())
    }

    fn withdraw_endpoint(&mut self, number: Number, batch: &mut Batch) {
        if let Some(seat) = self.endpoints.published(number) {
            batch.stage.withdraw(FragmentKey::Endpoint(seat.uid));
            self.places.leave(seat.vrf, &seat.node, &mut batch.before);
            self.endpoints.publish(number, false);
        }
    }

    fn refuse_endpoint(&mut self, number: Number, why: Option<Refused>) {
        let object = || self.endpoints.key(number).map(endpoint_object);
        self.compiled.set_refused(object, why);
    }

    /// Everything but endpoints, and the end of the batch.
    fn compile_heads(&mut self, batch: Batch) -> Changed {
        let Batch { heads, mut stage, before, mut work, .. } = batch;
        for id in heads {
            work.visited += 1;
            if let Some(key) = self.units.remove(&id) {
                stage.withdraw(key);
            }
            let why = match self.fragment(&id) {
                None => None,
                Some(Err(why)) => Some(why),
                Some(Ok(None)) => None,
                Some(Ok(Some((vrf, fragment)))) => match stage.put(vrf, &fragment, &mut work) {
                    Err(why) => Some(why),
                    Ok(()) => {
                        self.units.insert(id.clone(), fragment.key());
                        None
                    }
                },
            };
            self.compiled.set_refused(|| Some(id.object()), why);
        }
        self.compiled.commit(self.view.revision, stage, self.places.moved(before), work)
    }

    /// An object's fragment and VRF; `None` when there is no such object, `Some(Ok(None))` when no node has a use for it.
    #[expect(clippy::type_complexity, reason = "one caller")]
    fn fragment(&self, id: &Id) -> Option<Result<Option<(Option<VrfId>, Fragment)>, Refused>> {
        let (view, facts) = (&self.view, &self.facts);
        let in_vrf = |(vrf, fragment): (VrfId, Fragment)| Some((Some(vrf), fragment));
        let compiled = match id {
            Id::Node(name) => Ok(Some((None, node::fragment(view.nodes.get(name)?)))),
            Id::Tenant(name) => {
                let tenant = view.tenants.get(name)?;
                Ok(in_vrf((tenant.vrf, tenant::fragment(tenant))))
            }
            Id::Network(t, n) => {
                let network = view.networks.get(&(t.clone(), n.clone()))?;
                network::fragment(network, facts).map(in_vrf)
            }
            Id::Group(t, n) => group::fragment(view.groups.get(&(t.clone(), n.clone()))?, facts).map(in_vrf),
            Id::NetProfile(t, n) => view.netprofiles.get(&(t.clone(), n.clone())).map(|_| Ok(None))?,
            Id::Policy(t, n) => {
                let policy = policy::fragment(view.policies.get(&(t.clone(), n.clone()))?, facts);
                // One that no group has is checked all the same, so that its status is known.
                policy.map(in_vrf).map(|p| p.filter(|_| self.referrers.is_attached(id)))
            }
        };
        // An object that shares a number is refused for that, whatever else is wrong with it.
        Some(match facts.unusable(id) {
            Some(why) => Err(why.clone()),
            None => compiled,
        })
    }
}

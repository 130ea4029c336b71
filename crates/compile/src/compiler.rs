//! Compiling again and again, with the difference to the time before.
//!
//! Today every change recompiles everything; the interface is that of the incremental compiler to come, whose law is
//! *incremental == from scratch*.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{IntentView, ViewEvent};
use node_state::FragmentKey;
use types::Revision;

use crate::{Compiled, compile};

/// Which fragments a step changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// New or with new content.
    pub upserts: BTreeSet<FragmentKey>,
    /// Gone.
    pub removes: BTreeSet<FragmentKey>,
}

/// Keeps a view and what it compiles to.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    view: IntentView,
    compiled: Arc<Compiled>,
}

impl Compiler {
    /// Starts over from a view.
    pub fn reset(&mut self, view: IntentView) -> Changed {
        self.view = view;
        self.recompile()
    }

    /// Takes all events of one revision in.
    pub fn apply(&mut self, revision: Revision, events: impl IntoIterator<Item = ViewEvent>) -> Changed {
        events.into_iter().for_each(|e| self.view.apply(e));
        self.view.revision = revision;
        self.recompile()
    }

    /// The current result.
    pub fn compiled(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    fn recompile(&mut self) -> Changed {
        let next = compile(&self.view);
        let (old, new) = (self.compiled.fragments(), next.fragments());
        let changed = Changed {
            upserts: new.iter().filter(|(k, f)| old.get(k) != Some(f)).map(|(k, _)| k.clone()).collect(),
            removes: old.keys().filter(|k| !new.contains_key(k)).cloned().collect(),
        };
        self.compiled = Arc::new(next);
        changed
    }
}

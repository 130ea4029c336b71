//! The recent past of intent: bounded, gapless, the same for readers of any pace, and honest about what it forgot.

use model::{IntentView, ViewEvent};
use proptest::prelude::*;

use super::*;

fn tenant(name: &str, deny: bool) -> Object {
    let action = if deny { "deny" } else { "allow" };
    // Nobody else's: no two objects of stored intent have the same number.
    let vrf: u32 = name.bytes().map(u32::from).sum();
    let spec = serde_json::json!({"spec": {"name": name, "defaultAction": action}, "vrf": vrf});
    Object::Tenant(serde_json::from_value(spec).unwrap())
}

fn batch(n: usize) -> Vec<Change> {
    vec![Change::Added(tenant(&format!("t{n}"), false))]
}

fn log(depth: Depth) -> (History, watch::Sender<Revision>) {
    let oldest = Revision::new(10);
    let log = Log { depth, oldest, bytes: 0, batches: VecDeque::new() };
    let (head_in, head) = watch::channel(oldest);
    (History { log: Arc::new(Mutex::new(log)), head }, head_in)
}

#[test]
fn memory_has_a_bound_and_who_is_too_far_behind_is_told() {
    let (history, head) = log(Depth { revisions: 3, bytes: 100, at_start: 0 });
    for n in 11..=20 {
        lock(&history.log).push(Revision::new(n), Some(batch(0)), 10);
        head.send_replace(Revision::new(n));
    }
    let gone = history.after(Revision::new(16), 9).unwrap_err();
    assert_eq!(gone, Gone { asked: Revision::new(16), oldest: Revision::new(17) });
    let past = history.after(Revision::new(17), 2).unwrap();
    assert_eq!((past.batches.len(), past.through), (2, Revision::new(19)));
    // One large revision is as many bytes as are kept: it is not kept itself either.
    lock(&history.log).push(Revision::new(21), Some(batch(0)), 101);
    assert_eq!(history.after(Revision::new(20), 1).unwrap_err().oldest, Revision::new(21));
    assert_eq!(lock(&history.log).bytes, 0);
}

#[test]
fn what_cannot_be_told_whole_is_gone() {
    let (history, _head) = log(Depth::default());
    lock(&history.log).push(Revision::new(11), Some(batch(1)), 1);
    lock(&history.log).push(Revision::new(12), None, 1);
    assert!(history.after(Revision::new(11), 1).is_err());
    assert!(history.after(Revision::new(12), 1).unwrap().batches.is_empty());
}

#[test]
fn revisions_without_objects_move_the_place_on() {
    let (history, head) = log(Depth::default());
    lock(&history.log).push(Revision::new(11), Some(Vec::new()), 0);
    head.send_replace(Revision::new(11));
    assert_eq!(history.after(Revision::new(10), 1).unwrap().through, Revision::new(11));
    // A place ahead of what is known stays where it is.
    assert_eq!(history.after(Revision::new(30), 1).unwrap().through, Revision::new(30));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a reader paces itself, what it gathers is the store's state, and nothing comes twice.
    #[test]
    fn readers_of_any_pace_arrive_at_the_same_state(
        writes in prop::collection::vec((0..4_u8, any::<bool>(), any::<bool>()), 1..40),
        steps in prop::collection::vec((1..4_usize, 0..3_usize), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = crate::memory().unwrap();
            let (history, follow) = history(store.clone(), Depth::default()).await.unwrap();
            tokio::spawn(follow);
            let mut place = store.health().await.unwrap().revision;
            let (mut view, mut wanted) = (IntentView::default(), IntentView::default());
            // The last step writes: a reader's pace must not keep the writer from ending.
            let mut steps = steps.into_iter().chain([(1, 1)]).cycle();
            let mut writes = writes.into_iter().peekable();
            while writes.peek().is_some() {
                let (at_most, between) = steps.next().unwrap();
                for (name, deny, delete) in writes.by_ref().take(between) {
                    let object = tenant(&format!("t{name}"), deny);
                    let (key, value) = codec::encode(&object).unwrap();
                    let txn = if delete { crate::Txn::new().delete(key) } else { crate::Txn::new().put(key, value) };
                    let _ = store.txn(txn).await.unwrap();
                    wanted.apply(if delete {
                        ViewEvent::Delete(object.object_ref())
                    } else {
                        ViewEvent::Put(Box::new(object))
                    });
                }
                take(&history, &mut place, at_most, &mut view);
                tokio::task::yield_now().await;
            }
            let last = store.health().await.unwrap().revision;
            while place < last {
                history.beyond(place).await.unwrap();
                take(&history, &mut place, 1, &mut view);
            }
            assert_eq!(view, wanted);
        });
    }
}

fn take(history: &History, place: &mut Revision, at_most: usize, view: &mut IntentView) {
    let past = history.after(*place, at_most).unwrap();
    for batch in past.batches {
        assert!(batch.revision > *place && !batch.changes.is_empty());
        *place = batch.revision;
        for change in &batch.changes {
            let known = view.contains(&change.object_ref());
            match change {
                Change::Added(_) => assert!(!known, "{change:?}"),
                Change::Modified(_) | Change::Deleted(_) => assert!(known, "{change:?}"),
            }
            view.apply(match change {
                Change::Deleted(o) => ViewEvent::Delete(o.object_ref()),
                Change::Added(o) | Change::Modified(o) => ViewEvent::Put(Box::new(o.clone())),
            });
        }
    }
    assert!(past.through >= *place);
    *place = past.through;
}

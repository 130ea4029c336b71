//! What is read back is what was saved last, or nothing: whatever a crash cuts off, whichever bit a disk flips.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use node_api::Update;
use node_state::Node;
use proptest::prelude::*;

use super::*;

fn key(n: u8) -> FragmentKey {
    FragmentKey::Node(format!("n{n}").parse().unwrap())
}

fn node(n: u8, vtep: u8) -> Fragment {
    Fragment::Node(Node { name: format!("n{n}").parse().unwrap(), vtep: [192, 0, 2, vtep].into() })
}

/// An update: nodes with their addresses, and nodes that go.
fn update(revision: u64, puts: &[(u8, u8)], removes: &[u8]) -> Update {
    let removes: BTreeSet<_> = removes.iter().map(|n| key(*n)).collect();
    let upserts = puts.iter().map(|(n, vtep)| (key(*n), node(*n, *vtep).encode().into()));
    Update {
        store_id: StoreId::new("0".repeat(32)).unwrap(),
        revision: Revision::new(revision),
        upserts: upserts.filter(|(key, _)| !removes.contains(key)).collect(),
        removes,
        unknown: BTreeMap::new(),
        removes_unknown: BTreeSet::new(),
    }
}

struct Disk {
    temporary: tempfile::TempDir,
    log: Log,
    holding: Holding,
}

impl Disk {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let (log, holding) = Log::open(StateDir::open(temporary.path()).unwrap()).unwrap();
        Self { temporary, log, holding }
    }

    async fn take(&mut self, update: Update) {
        let taken = self.holding.apply(update);
        self.log.note(&taken.changed);
        self.log.save(&self.holding).await.unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.temporary.path().join(FILE)
    }

    fn file(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn reopened(&self) -> Holding {
        Log::open(StateDir::open(self.temporary.path()).unwrap()).unwrap().1
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[tokio::test]
async fn a_crash_at_any_byte_leaves_what_was_saved_before_it() {
    let mut disk = Disk::new();
    // Length of the file after each save, and what was held then.
    let mut saves: Vec<(usize, Holding)> = Vec::new();
    let updates = [
        update(7, &[(1, 1), (2, 2)], &[]),
        update(8, &[(3, 3)], &[1]),
        update(9, &[], &[]),
        update(10, &[(2, 9), (1, 4)], &[3]),
    ];
    for update in updates {
        disk.take(update).await;
        saves.push((disk.file().len(), disk.holding.clone()));
    }
    let file = disk.file();
    for at in 0..=file.len() {
        let whole = saves.iter().rev().find(|(len, _)| *len <= at);
        match (read(&file[..at]), whole) {
            (Ok((end, holding)), Some((len, wanted))) => {
                assert_eq!((end.at, &holding), (*len as u64, wanted), "cut at {at}");
            }
            (Err(_), None) => {}
            (got, wanted) => panic!("cut at {at}: {got:?}, not {wanted:?}"),
        }
    }
}

#[tokio::test]
async fn after_a_crash_at_any_byte_the_log_goes_on() {
    let mut disk = Disk::new();
    disk.take(update(7, &[(1, 1), (2, 2)], &[])).await;
    let before = disk.file().len();
    disk.take(update(8, &[(3, 3)], &[1])).await;
    let (file, dir) = (disk.file(), StateDir::open(disk.temporary.path()).unwrap());
    for at in before..=file.len() {
        std::fs::write(disk.path(), &file[..at]).unwrap();
        let (log, holding) = Log::open(dir.clone()).unwrap();
        (disk.log, disk.holding) = (log, holding);
        disk.take(update(9, &[(4, 4)], &[2])).await;
        assert_eq!(disk.reopened(), disk.holding, "cut at {at}");
    }
}

/// Else the agent would go back to what was in force earlier, and undo what came after it.
#[tokio::test]
async fn any_changed_byte_is_noticed() {
    let mut disk = Disk::new();
    disk.take(update(7, &[(1, 1), (2, 2)], &[])).await;
    disk.take(update(8, &[(3, 3)], &[1])).await;
    let file = disk.file();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            assert!(read(&damaged).is_err(), "byte {at} bit {bit}");
        }
    }
    let second = file.windows(2).rposition(|w| w == b"@ ").unwrap();
    let first = FORMAT.len();
    assert!(read(&[&file[..first], &file[second..]].concat()).is_err(), "a record is missing");
    assert!(read(&[&file[..], &file[second..]].concat()).is_err(), "a record stands there twice");
}

#[tokio::test]
async fn an_update_writes_what_it_changes_however_much_is_held() {
    let mut costs = Vec::new();
    for held in [5, 200] {
        let mut disk = Disk::new();
        let nodes: Vec<(u8, u8)> = (0..held).map(|n| (n, n)).collect();
        disk.take(update(7, &nodes, &[])).await;
        let before = disk.file().len();
        disk.take(update(8, &[(201, 1)], &[])).await;
        costs.push(disk.file().len() - before);
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0] < 400, "{costs:?}");
}

#[tokio::test]
async fn a_long_log_is_written_anew_and_seldom() {
    let mut disk = Disk::new();
    disk.take(update(0, &[(1, 1), (2, 2)], &[])).await;
    let (mut anew, mut appended, mut rewritten) = (0, 0, 0);
    for n in 1..2000 {
        let (before, len) = (std::fs::metadata(disk.path()).unwrap().ino(), disk.file().len());
        disk.take(update(n, &[(1, n as u8)], &[])).await;
        appended += disk.file().len() - len;
        disk.log.tidy(&disk.holding).await.unwrap();
        if std::fs::metadata(disk.path()).unwrap().ino() != before {
            anew += 1;
            rewritten += disk.file().len();
        }
    }
    assert!(anew > 1 && rewritten < appended, "{anew} times, {rewritten} bytes beside {appended}");
    assert!(disk.file().len() < 70_000);
    assert_eq!(disk.reopened(), disk.holding);
}

#[tokio::test]
async fn a_save_that_failed_is_made_up_for() {
    let mut disk = Disk::new();
    disk.take(update(7, &[(1, 1)], &[])).await;
    // Somebody removes the file: there is nothing to append to.
    std::fs::remove_file(disk.path()).unwrap();
    let taken = disk.holding.apply(update(8, &[(2, 2)], &[]));
    disk.log.note(&taken.changed);
    disk.log.save(&disk.holding).await.unwrap_err();
    assert!(disk.log.is_behind());
    disk.log.save(&disk.holding).await.unwrap();
    assert!(!disk.log.is_behind());
    assert_eq!(disk.reopened(), disk.holding);
    let len = disk.file().len();
    disk.log.save(&disk.holding).await.unwrap();
    assert_eq!(disk.file().len(), len, "nothing new, nothing written");
}

type Step = (Vec<(u8, u8)>, Vec<u8>, bool);

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_read_back_as_it_was(
        steps in prop::collection::vec(
            (prop::collection::vec((0u8..6, any::<u8>()), 0..4), prop::collection::vec(0u8..6, 0..3), any::<bool>()),
            1..12,
        ),
    ) {
        run(async move {
            let mut disk = Disk::new();
            for (revision, (puts, removes, restart)) in (1..).zip::<Vec<Step>>(steps) {
                disk.take(update(revision, &puts, &removes)).await;
                prop_assert_eq!(&disk.reopened(), &disk.holding);
                if restart {
                    let dir = StateDir::open(disk.temporary.path()).unwrap();
                    (disk.log, disk.holding) = Log::open(dir).unwrap();
                }
            }
            Ok(())
        })?;
    }
}

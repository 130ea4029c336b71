//! Chains of nftables by netlink: what `nft -f` would do, without a process for it (which took longer than everything
//! else an interface needs).
//!
//! One kind of chain is enough here: a base chain in the netdev family's ingress hook of one device, that drops. Changes
//! go in a batch, which the kernel carries out whole or not at all. The socket is kept open: when one is closed, the
//! kernel waits until what was deleted is freed, up to 25 ms (`nft_rcv_nl_event()` in nf_tables_api.c). Sources: the kernel's
//! `include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h`; `nft --debug=mnl` shows the same messages.

use std::collections::BTreeSet;
use std::io;

use nix::errno::Errno;

use super::raw::{self, ACK, Attributes, CREATE, Connection, DUMP, Message};

/// Before everybody else's.
const PRIORITY: i32 = -500;
/// A list is read so often while it changes under us.
const ATTEMPTS: usize = 10;

const NFPROTO_NETDEV: u8 = 5;
const NF_NETDEV_INGRESS: u32 = 0;
const NF_DROP: u32 = 0;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_DELCHAIN: u16 = 5;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;

/// A table of the netdev family, in the namespace of the thread that first uses it.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    connection: Connection,
}

impl Table {
    /// The table of this name, which need not be there.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, connection: Connection::new(raw::NETFILTER) }
    }

    /// Adds the chain that drops what comes in on a device; a chain of that name is replaced. Blocks for the kernel's time.
    pub(super) fn add_drop(&self, device: &str) -> io::Result<()> {
        let hook = Attributes::default()
            .with(NFTA_HOOK_HOOKNUM, &NF_NETDEV_INGRESS.to_be_bytes())
            .with(NFTA_HOOK_PRIORITY, &PRIORITY.to_be_bytes())
            .text(NFTA_HOOK_DEV, device);
        let drop = self
            .chain(device)
            .nest(NFTA_CHAIN_HOOK, &hook)
            .with(NFTA_CHAIN_POLICY, &NF_DROP.to_be_bytes())
            .text(NFTA_CHAIN_TYPE, "filter");
        // A chain of an earlier life is removed first: newer kernels keep it, without its device.
        let [table, chain, deletion] = self.forget(device);
        self.batch(&[table, chain, deletion, change(NFT_MSG_NEWCHAIN, CREATE, &drop)])
    }

    /// Removes the chain; succeeds when it is not there.
    pub(super) fn remove(&self, device: &str) -> io::Result<()> {
        self.batch(&self.forget(device))
    }

    /// The names of its chains, which are those of their devices. Changes nothing.
    pub(super) fn chains(&self) -> io::Result<BTreeSet<String>> {
        let mut attempts = (1..=ATTEMPTS).rev();
        let replies = loop {
            match self.ask(NFT_MSG_GETCHAIN, DUMP, &Attributes::default()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted && attempts.next().is_some() => {}
                other => break other?,
            }
        };
        // The kernel lists the chains of all tables.
        let text = |chain: &[u8], kind| raw::find(chain, kind).and_then(raw::text_of).map(str::to_owned);
        let chains = replies.iter().filter_map(|reply| reply.get(4..));
        let ours = chains.filter(|chain| text(chain, NFTA_CHAIN_TABLE).as_deref() == Some(self.name));
        Ok(ours.filter_map(|chain| text(chain, NFTA_CHAIN_NAME)).collect())
    }

    /// Whether it is there. Changes nothing.
    pub(super) fn exists(&self) -> io::Result<bool> {
        match self.ask(NFT_MSG_GETTABLE, ACK, &self.named()) {
            Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(false),
            other => other.map(|replies| !replies.is_empty()),
        }
    }

    /// Removes it with every chain in it; succeeds when it is not there.
    pub(super) fn delete(&self) -> io::Result<()> {
        self.batch(&[self.ensure(), change(NFT_MSG_DELTABLE, 0, &self.named())])
    }

    /// Creating what exists is no error, so this deletes the chain whether it exists or not, on kernels before
    /// `NFT_MSG_DESTROYCHAIN` (Linux 6.3) too.
    fn forget(&self, device: &str) -> [Message; 3] {
        let chain = self.chain(device);
        [self.ensure(), change(NFT_MSG_NEWCHAIN, CREATE, &chain), change(NFT_MSG_DELCHAIN, 0, &chain)]
    }

    fn ensure(&self) -> Message {
        change(NFT_MSG_NEWTABLE, CREATE, &self.named())
    }

    fn named(&self) -> Attributes {
        Attributes::default().text(NFTA_TABLE_NAME, self.name)
    }

    fn chain(&self, device: &str) -> Attributes {
        Attributes::default().text(NFTA_CHAIN_TABLE, self.name).text(NFTA_CHAIN_NAME, device)
    }

    fn batch(&self, changes: &[Message]) -> io::Result<()> {
        let edge = |kind| Message { kind, flags: 0, payload: header(0, NFNL_SUBSYS_NFTABLES).to_vec() };
        let (begin, end) = ([edge(NFNL_MSG_BATCH_BEGIN)], [edge(NFNL_MSG_BATCH_END)]);
        self.connection.send(&[&begin, changes, &end].concat()).map(drop)
    }

    fn ask(&self, kind: u16, flags: u16, attributes: &Attributes) -> io::Result<Vec<Vec<u8>>> {
        let payload = [&header(NFPROTO_NETDEV, 0), attributes.bytes()].concat();
        self.connection.send(&[Message { kind: NFNL_SUBSYS_NFTABLES << 8 | kind, flags, payload }])
    }
}

/// struct nfgenmsg: family, version, resource.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn change(kind: u16, flags: u16, attributes: &Attributes) -> Message {
    let payload = [&header(NFPROTO_NETDEV, 0), attributes.bytes()].concat();
    Message { kind: NFNL_SUBSYS_NFTABLES << 8 | kind, flags: flags | ACK, payload }
}

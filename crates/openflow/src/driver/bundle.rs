//! Atomic bundles of flow mods.
//!
//! A bundle goes out as one run of bytes: open, every message, a barrier. Only when the barrier says that the switch
//! took every message is the bundle committed; if it refused one, the bundle is discarded. So a message that is
//! refused when it is *added* cannot be left out of what is committed. The commit is followed by another barrier.

use std::sync::atomic::Ordering;

use super::{CloseReason, Connection, RequestError};
use crate::{
    BUNDLE_ATOMIC_ORDERED, BundleControl, BundleItem, BundleStep, EncodeError, ErrorCode, ErrorMessage,
    FlowMod, Message, encode, encode_bundle_add,
};

/// A message of a bundle that the switch refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {index} ({text}): {}", .error.code)]
pub struct BundleFailure {
    /// Its place in the bundle, from 0.
    pub index: usize,
    /// The flow, in ovs-ofctl(8) syntax (or what kind of message it is).
    pub text: String,
    /// What the switch said.
    pub error: ErrorMessage,
}

/// Why a bundle failed. Nothing of it was applied, except perhaps after [`BundleError::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum BundleError {
    #[error("message {index} ({text}) cannot be sent: {source}")]
    Encode { index: usize, text: String, source: EncodeError },
    #[error("the switch refused {} of the bundle's messages, first {}", .0.len(), first(.0))]
    Refused(Vec<BundleFailure>),
    #[error("the switch refused the bundle: {0}")]
    RefusedWhole(ErrorMessage),
    #[error("connection, before the commit: {0}")]
    Closed(CloseReason),
    #[error("before the commit: {0}")]
    Request(RequestError),
    /// Read the switch to know.
    #[error("whether the bundle was committed is not known: {0}")]
    Unknown(RequestError),
}

fn first(failures: &[BundleFailure]) -> String {
    failures.first().map(ToString::to_string).unwrap_or_default()
}

fn text(item: BundleItem<'_>) -> String {
    match item {
        BundleItem::FlowMod(flow_mod) => flow_mod.flow.to_string(),
        BundleItem::Message(Message::FlowMod(flow_mod)) => flow_mod.flow.to_string(),
        BundleItem::Message(Message::GroupMod(group_mod)) => format!("group {}", group_mod.group.id),
        BundleItem::Message(_) => "another message".to_owned(),
    }
}

/// What goes into a bundle, in order.
trait Items {
    /// How many there are at most.
    fn number(&self) -> usize;
    fn try_each(
        &self,
        each: &mut dyn FnMut(usize, BundleItem<'_>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError>;
    /// One of them, for people.
    fn text(&self, index: usize) -> String;
}

impl Items for &[FlowMod] {
    fn number(&self) -> usize {
        self.len()
    }

    fn try_each(
        &self,
        each: &mut dyn FnMut(usize, BundleItem<'_>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        self.iter().enumerate().try_for_each(|(n, flow_mod)| each(n, BundleItem::FlowMod(flow_mod)))
    }

    fn text(&self, index: usize) -> String {
        self.get(index).map(|flow_mod| text(BundleItem::FlowMod(flow_mod))).unwrap_or_default()
    }
}

impl Items for &[Message] {
    fn number(&self) -> usize {
        self.len()
    }

    fn try_each(
        &self,
        each: &mut dyn FnMut(usize, BundleItem<'_>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        self.iter().enumerate().try_for_each(|(n, message)| each(n, BundleItem::Message(message)))
    }

    fn text(&self, index: usize) -> String {
        self.get(index).map(|message| text(BundleItem::Message(message))).unwrap_or_default()
    }
}

/// Flow mods that are made when they are needed.
struct Each<F> {
    at_most: usize,
    mods: F,
}

impl<I: Iterator<Item = FlowMod>, F: Fn() -> I> Items for Each<F> {
    fn number(&self) -> usize {
        self.at_most
    }

    fn try_each(
        &self,
        each: &mut dyn FnMut(usize, BundleItem<'_>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        (self.mods)().enumerate().try_for_each(|(n, flow_mod)| each(n, BundleItem::FlowMod(&flow_mod)))
    }

    fn text(&self, index: usize) -> String {
        (self.mods)().nth(index).map(|flow_mod| text(BundleItem::FlowMod(&flow_mod))).unwrap_or_default()
    }
}

impl Connection {
    /// Applies flow mods in this order, all or none.
    pub async fn bundle(&self, mods: &[FlowMod]) -> Result<(), BundleError> {
        self.run_bundle(&mods, || {}).await
    }

    /// As [`Connection::bundle`], for so many that they had better not all exist at once: `mods` gives them (no more than
    /// `at_most`), each time it is asked, in the same order. `taken` is called when the switch has read and accepted all of
    /// them, right before the commit is sent.
    pub async fn bundle_each<I: Iterator<Item = FlowMod>>(
        &self,
        at_most: usize,
        mods: impl Fn() -> I + Sync,
        taken: impl FnOnce() + Send,
    ) -> Result<(), BundleError> {
        self.run_bundle(&Each { at_most, mods }, taken).await
    }

    /// Applies messages (flow, group and port mods) in this order, all or none.
    pub async fn bundle_messages(&self, messages: &[Message]) -> Result<(), BundleError> {
        self.run_bundle(&messages, || {}).await
    }

    async fn run_bundle(
        &self,
        items: &(impl Items + Sync),
        taken: impl FnOnce() + Send,
    ) -> Result<(), BundleError> {
        let number = items.number();
        if number == 0 {
            return Ok(());
        }
        let bundle_id = self.next_bundle.fetch_add(1, Ordering::Relaxed);
        let count = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(4);
        // In a row: open, the messages, barrier, commit or discard, barrier.
        let open = self.take_xids(count);
        let (barrier, end) = (open + count - 3, open + count - 2);
        let bytes = self.encode_bundle(items, bundle_id, open, barrier)?;
        let replies = self.transact(bytes, open, barrier).await.map_err(|e| match e {
            RequestError::Closed(reason) => BundleError::Closed(reason),
            e => BundleError::Request(e),
        })?;
        let (failures, whole) = refusals(items, open, replies);
        if failures.is_empty() && whole.is_none() {
            taken();
            return self.commit(items, bundle_id, open, end).await;
        }
        // What the discard brings changes nothing: an open bundle that stays idle is dropped by the switch anyway.
        let discard = self.encode_control(bundle_id, BundleStep::DiscardRequest, end);
        let _ = self.transact(discard, end, end).await;
        Err(if failures.is_empty() { refused_whole(whole) } else { BundleError::Refused(failures) })
    }

    fn encode_bundle(
        &self,
        items: &impl Items,
        bundle_id: u32,
        open: u32,
        barrier: u32,
    ) -> Result<Vec<u8>, BundleError> {
        let mut bytes = self.encode_control(bundle_id, BundleStep::OpenRequest, open);
        bytes.reserve(items.number() * 256);
        items.try_each(&mut |index, item| {
            let xid = open + 1 + index as u32;
            encode_bundle_add(self.version, xid, bundle_id, item, &mut bytes)
                .map_err(|source| BundleError::Encode { index, text: text(item), source })
        })?;
        // A barrier always encodes.
        let _ = encode(self.version, barrier, &Message::BarrierRequest, &mut bytes);
        Ok(bytes)
    }

    fn encode_control(&self, bundle_id: u32, step: BundleStep, xid: u32) -> Vec<u8> {
        let control = BundleControl { bundle_id, step, flags: BUNDLE_ATOMIC_ORDERED };
        let mut bytes = Vec::new();
        // A bundle control always encodes.
        let _ = encode(self.version, xid, &Message::BundleControl(control), &mut bytes);
        bytes
    }

    async fn commit(
        &self,
        items: &impl Items,
        bundle_id: u32,
        open: u32,
        end: u32,
    ) -> Result<(), BundleError> {
        let mut bytes = self.encode_control(bundle_id, BundleStep::CommitRequest, end);
        // In one go: a switch that is busy with its ports answers what it has read, and reads on when it is done.
        let barrier = end + 1;
        // A barrier always encodes.
        let _ = encode(self.version, barrier, &Message::BarrierRequest, &mut bytes);
        // An error of the commit names the message by the transaction id it was added with: wait for all of them.
        let replies = self.transact(bytes, open, barrier).await.map_err(BundleError::Unknown)?;
        match refusals(items, open, replies) {
            (failures, None) if failures.is_empty() => Ok(()),
            (failures, whole) if failures.is_empty() => Err(refused_whole(whole)),
            (failures, _) => Err(BundleError::Refused(failures)),
        }
    }
}

fn refused_whole(error: Option<ErrorMessage>) -> BundleError {
    let unknown = ErrorMessage { code: ErrorCode::Standard(17, 0), data: Vec::new() };
    BundleError::RefusedWhole(error.unwrap_or(unknown))
}

/// Sorts errors into those of single messages and that of the bundle.
fn refusals(
    items: &impl Items,
    open: u32,
    replies: Vec<(u32, Message)>,
) -> (Vec<BundleFailure>, Option<ErrorMessage>) {
    let number = if replies.is_empty() { 0 } else { items.number() };
    let (mut failures, mut whole) = (Vec::new(), None);
    for (xid, message) in replies {
        let Message::Error(error) = message else { continue };
        let index = xid.checked_sub(open + 1).map(|n| n as usize).filter(|n| *n < number);
        match index {
            Some(index) => failures.push(BundleFailure { index, text: items.text(index), error }),
            None => whole = Some(error),
        }
    }
    (failures, whole)
}

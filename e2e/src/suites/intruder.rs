//! What scenarios about forged and unwanted packets share: frames with numbered marks, captures everywhere, and who got which mark.
//!
//! A list of frames that must arrive nowhere proves nothing by itself: they may never have been sent, or been lost on a
//! full buffer. So every such frame is sent between two honest ones, and those must arrive: [`Batch::between_honest`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::capture::{Capture, Captured, Way};
use crate::frame::{self, End, Mac};
use crate::lab::{Endpoint, Lab, fabric, run};

/// The gateway's MAC in every network (docs/pipeline.md).
pub(super) const GATEWAY_MAC: Mac = [0x0a, 0x58, 0, 0, 0, 1];
/// A port nobody serves.
pub(super) const PORT: u16 = 9;

/// Bytes that name one frame (or all fragments of one packet) wherever they turn up.
pub(super) type Mark = [u8; 12];
const PREFIX: &[u8] = b"sv-raw-";

fn mark_of(number: usize) -> Mark {
    let mut mark = *b"sv-raw-00000";
    mark[PREFIX.len()..].copy_from_slice(format!("{number:05}").as_bytes());
    mark
}

/// Numbers of the marks in these frames.
fn marks_in(frames: &[Vec<u8>]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for frame in frames {
        for at in 0..frame.len().saturating_sub(PREFIX.len()) {
            let digits = frame[at..].strip_prefix(PREFIX).and_then(|rest| rest.get(..5));
            found.extend(
                digits.and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| d.parse::<usize>().ok()),
            );
        }
    }
    found
}

/// Frames to send, with what each is; numbers are unique in a scenario.
#[derive(Debug, Default)]
pub(super) struct Batch {
    first: usize,
    items: Vec<(String, Vec<Vec<u8>>)>,
}

impl Batch {
    /// An empty batch whose marks begin here.
    pub(super) fn starting_at(first: usize) -> Self {
        Self { first, items: Vec::new() }
    }

    /// Adds the frames that this makes of a mark.
    pub(super) fn add(&mut self, name: impl Into<String>, make: impl FnOnce(&Mark) -> Vec<Vec<u8>>) {
        let frames = make(&mark_of(self.first + self.items.len()));
        let frames = frames.into_iter().filter(|f| !f.is_empty()).collect();
        self.items.push((name.into(), frames));
    }

    /// Adds one frame.
    pub(super) fn one(&mut self, name: impl Into<String>, make: impl FnOnce(&Mark) -> Vec<u8>) {
        self.add(name, |mark| vec![make(mark)]);
    }

    /// How many packets it has.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The number after its last.
    pub(super) fn end(&self) -> usize {
        self.first + self.items.len()
    }

    /// The frames alone.
    pub(super) fn frames(&self) -> Vec<Vec<u8>> {
        self.items.iter().flat_map(|(_, frames)| frames.clone()).collect()
    }

    /// These frames, an honest one before each and after the last; and the batch of the honest ones, whose marks begin
    /// at `next`.
    pub(super) fn between_honest(
        &self,
        next: usize,
        honest: impl Fn(&Mark) -> Vec<u8>,
    ) -> (Vec<Vec<u8>>, Self) {
        let mut others = Self::starting_at(next);
        let mut all = Vec::new();
        for (name, frames) in
            self.items.iter().map(|(n, f)| (n.as_str(), f.as_slice())).chain([("the end", &[][..])])
        {
            others.one(format!("honest one before {name}"), &honest);
            all.extend(others.items.last().into_iter().flat_map(|(_, f)| f.clone()));
            all.extend(frames.iter().cloned());
        }
        (all, others)
    }

    /// Which of its packets turned up anywhere, and where.
    pub(super) fn arrivals(&self, seen: &Seen) -> Vec<String> {
        let at = |(number, (name, _)): (usize, &(String, _))| {
            let places = seen.places(self.first + number);
            (!places.is_empty()).then(|| format!("{name}: on {}", places.join(", ")))
        };
        self.items.iter().enumerate().filter_map(at).collect()
    }

    /// The same, but for one place where they are expected.
    pub(super) fn arrivals_but(&self, seen: &Seen, expected: &str) -> Vec<String> {
        let elsewhere = |(number, (name, _)): (usize, &(String, _))| {
            let places: Vec<_> =
                seen.places(self.first + number).into_iter().filter(|p| *p != expected).collect();
            (!places.is_empty()).then(|| format!("{name}: on {}", places.join(", ")))
        };
        self.items.iter().enumerate().filter_map(elsewhere).collect()
    }

    /// Whether its n-th packet did not turn up at a place.
    pub(super) fn missing_one(&self, seen: &Seen, place: &str, n: usize) -> Option<String> {
        (!seen.at(place, self.first + n)).then(|| format!("{}: not at {place}", self.items[n].0))
    }

    /// Neighbours in the list that are both missing: where frames between them cannot have been seen either.
    pub(super) fn gaps(&self, seen: &Seen, place: &str) -> Vec<String> {
        let got = |number| seen.at(place, self.first + number);
        let gap = |n: &usize| !got(*n) && !got(n + 1);
        (0..self.items.len().saturating_sub(1)).filter(gap).map(|n| self.items[n].0.clone()).collect()
    }
}

/// Captures that run.
#[derive(Debug, Default)]
pub(super) struct Watch(Vec<(String, Capture)>);

/// Who saw which marks, and the frames.
#[derive(Debug, Default)]
pub(super) struct Seen {
    marks: BTreeMap<String, BTreeSet<usize>>,
    frames: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Watch {
    /// Captures what every endpoint receives and what crosses the hosts' own interfaces, all started at once.
    pub(super) fn everywhere(lab: &Lab) -> Result<Self> {
        let endpoints = lab.endpoints.values().map(|e| (e.id(), e.netns.clone(), "eth0", Way::In));
        let interfaces = ["lo", "mgmt0", "br-phy"];
        let hosts = lab
            .nodes
            .iter()
            .flat_map(|n| interfaces.map(|i| (format!("{i} of {}", n.name), n.netns(), i, Way::Both)));
        Self::start(lab, endpoints.chain(hosts).collect())
    }

    /// [`Self::everywhere`] and the underlay, seen from the fabric.
    pub(super) fn with_underlay(lab: &Lab) -> Result<Self> {
        let fabric = lab.mark().netns(fabric::FABRIC);
        let ports = lab.nodes.iter();
        let ports =
            ports.map(|n| (format!("underlay at {}", n.name), fabric.clone(), n.name.as_str(), Way::Both));
        let mut watch = Self::start(lab, ports.collect())?;
        watch.0.extend(Self::everywhere(lab)?.0);
        Ok(watch)
    }

    /// Captures on one port of the underlay's bridge.
    pub(super) fn and_underlay_port(mut self, lab: &Lab, port: &str, way: Way) -> Result<Self> {
        let place = format!("underlay at {port}");
        self.0.push((place, Capture::start(lab, &lab.mark().netns(fabric::FABRIC), port, way)?));
        Ok(self)
    }

    fn start(lab: &Lab, places: Vec<(String, String, &str, Way)>) -> Result<Self> {
        let captures = std::thread::scope(|scope| {
            let start = |(place, netns, interface, way): (String, String, &'_ str, Way)| {
                let interface = interface.to_owned();
                scope.spawn(move || Ok((place, Capture::start(lab, &netns, &interface, way)?)))
            };
            let threads: Vec<_> = places.into_iter().map(start).collect();
            let join = |t: std::thread::ScopedJoinHandle<'_, Result<_>>| {
                t.join().map_err(|_| anyhow::anyhow!("a capture's thread panicked"))?
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        Ok(Self(captures))
    }

    /// Ends them.
    pub(super) fn stop(self) -> Result<Seen> {
        let mut seen = Seen::default();
        for (place, capture) in self.0 {
            let Captured { frames, .. } = capture.stop()?;
            seen.marks.insert(place.clone(), marks_in(&frames));
            seen.frames.insert(place, frames);
        }
        Ok(seen)
    }
}

impl Seen {
    fn at(&self, place: &str, number: usize) -> bool {
        self.marks.get(place).is_some_and(|marks| marks.contains(&number))
    }

    fn places(&self, number: usize) -> Vec<&str> {
        let there = self.marks.iter().filter(|(_, marks)| marks.contains(&number));
        there.map(|(place, _)| place.as_str()).collect()
    }

    /// The frames seen at a place.
    pub(super) fn frames(&self, place: &str) -> &[Vec<u8>] {
        self.frames.get(place).map_or(&[], Vec::as_slice)
    }
}

/// An endpoint as its neighbours know it.
#[derive(Clone, Debug)]
pub(super) struct Station {
    /// `tenant/name`.
    pub(super) id: String,
    pub(super) netns: String,
    pub(super) mac: Mac,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

impl Station {
    /// What `ip` says of an endpoint.
    pub(super) fn of(lab: &Lab, id: &str) -> Result<Self> {
        let endpoint = lab.endpoint(id)?;
        let v4 = endpoint.addresses.iter().find_map(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None });
        let v6 = endpoint.addresses.iter().find_map(|a| if let IpAddr::V6(a) = a { Some(*a) } else { None });
        Ok(Self {
            id: id.to_owned(),
            netns: endpoint.netns.clone(),
            mac: mac_of(&link(&endpoint.netns, "eth0")?)?,
            v4: v4.with_context(|| format!("{id} has no IPv4 address"))?,
            v6: v6.with_context(|| format!("{id} has no IPv6 address"))?,
        })
    }

    /// Its IPv4 end.
    pub(super) fn four(&self) -> End {
        End { mac: self.mac, ip: self.v4.into() }
    }

    /// Its IPv6 end.
    pub(super) fn six(&self) -> End {
        End { mac: self.mac, ip: self.v6.into() }
    }

    /// Its link-local address (RFC 4291 appendix A).
    pub(super) fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

/// The IP address's end at another MAC.
pub(super) const fn at(mac: Mac, ip: IpAddr) -> End {
    End { mac, ip }
}

/// A UDP frame with the mark as its payload.
pub(super) fn udp(from: End, to: End, mark: &Mark) -> Vec<u8> {
    frame::udp(from, to, PORT, mark)
}

/// Sends frames from a namespace's `eth0`.
pub(super) fn send(lab: &Lab, netns: &str, frames: &[Vec<u8>]) -> Result<()> {
    let mut command = run::in_netns(netns, lab.binaries().path("selvage-probe"));
    let lines: String = frames.iter().map(|f| hex::encode(f) + "\n").collect();
    run::output_with_input(command.arg("frames"), lines.as_bytes()).map(drop)
}

fn link(netns: &str, name: &str) -> Result<Value> {
    let text = run::output(&mut run::words_in(netns, &format!("ip -j link show dev {name}")))?;
    let links: Vec<Value> = serde_json::from_str(&text)?;
    links.into_iter().next().with_context(|| format!("no {name} in {netns}"))
}

fn mac_of(link: &Value) -> Result<Mac> {
    let text = link["address"].as_str().context("a link without an address")?;
    let octets = text.split(':').map(|o| u8::from_str_radix(o, 16)).collect::<Result<Vec<_>, _>>()?;
    Mac::try_from(octets.as_slice()).with_context(|| format!("{text} is no MAC"))
}

/// The MAC of the node's end of an endpoint's cable.
pub(super) fn host_mac(lab: &Lab, endpoint: &Endpoint) -> Result<Mac> {
    let index = &link(&endpoint.netns, "eth0")?["link_index"];
    let text = run::output(&mut run::words_in(&lab.node_of(endpoint)?.netns(), "ip -j link show"))?;
    let links: Vec<Value> = serde_json::from_str(&text)?;
    let end = links.iter().find(|l| l["ifindex"] == *index && l["ifname"] != "lo");
    mac_of(end.with_context(|| format!("the node's end of {} is not there", endpoint.id()))?)
}

/// The MAC of a node's tunnel address.
pub(super) fn underlay_mac(lab: &Lab, node: usize) -> Result<Mac> {
    mac_of(&link(&lab.nodes[node].netns(), "br-phy")?)
}

/// A node's first IPv4 address on an interface.
pub(super) fn node_address(lab: &Lab, node: usize, interface: &str) -> Result<Ipv4Addr> {
    let netns = lab.nodes[node].netns();
    let text = run::output(&mut run::words_in(&netns, &format!("ip -j -4 addr show dev {interface}")))?;
    let links: Value = serde_json::from_str(&text)?;
    let local = links[0]["addr_info"][0]["local"].as_str();
    local.and_then(|a| a.parse().ok()).with_context(|| format!("no address on {interface} of {netns}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_anywhere_in_a_frame() {
        let frames =
            vec![[b"xx".as_slice(), &mark_of(7), b"y", &mark_of(12345)].concat(), b"sv-raw-12".to_vec()];
        assert_eq!(marks_in(&frames), BTreeSet::from([7, 12345]));
    }

    #[test]
    fn every_frame_stands_between_two_honest_ones() {
        let mut batch = Batch::starting_at(10);
        batch.one("a", |m| m.to_vec());
        batch.one("b", |m| m.to_vec());
        let (frames, honest) = batch.between_honest(12, |m| m.to_vec());
        let numbers: Vec<usize> = frames.iter().flat_map(|f| marks_in(std::slice::from_ref(f))).collect();
        assert_eq!(numbers, [12, 10, 13, 11, 14]);
        let seen =
            Seen { marks: [("x".to_owned(), BTreeSet::from([14, 11]))].into(), frames: BTreeMap::new() };
        assert_eq!(honest.gaps(&seen, "x"), ["honest one before a"]);
        assert_eq!(batch.arrivals(&seen), ["b: on x"]);
    }
}

//! The layers: which crate may depend on which (docs/architecture.md). An edge that is not listed is an error; so is
//! a pure crate that reaches a runtime, a store or the network through any number of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::step::cargo;

/// Package -> the packages of ours that it may name. `selvage-types` is open to all.
const EDGES: &[(&str, &[&str])] = &[
    ("selvage-types", &[]),
    ("selvage-model", &[]),
    ("selvage-api", &["selvage-model"]),
    ("selvage-client", &["selvage-api"]),
    ("selvage-store", &["selvage-model"]),
    ("selvage-node-state", &[]),
    ("selvage-node-api", &["selvage-node-state"]),
    ("selvage-compile", &["selvage-model", "selvage-node-state"]),
    ("selvage-openflow", &[]),
    ("selvage-ovsdb", &[]),
    ("selvage-pipeline", &["selvage-node-state", "selvage-openflow"]),
    ("selvage-oracle", &["selvage-model", "selvage-openflow"]),
    ("selvage-cni", &[]),
    ("selvage-telemetry", &[]),
    ("netctl", &["selvage-client", "selvage-api"]),
    (
        "netmaster",
        &[
            "selvage-api",
            "selvage-store",
            "selvage-compile",
            "selvage-node-api",
            "selvage-node-state",
            "selvage-model",
            "selvage-oracle",
            "selvage-pipeline",
            "selvage-telemetry",
        ],
    ),
    (
        "netplugin",
        &[
            "selvage-node-api",
            "selvage-node-state",
            "selvage-pipeline",
            "selvage-openflow",
            "selvage-ovsdb",
            "selvage-cni",
            "selvage-telemetry",
        ],
    ),
];

/// These may name anything of ours: nothing is built on them.
const TOOLS: &[&str] = &["selvage-e2e", "selvage-test-support", "xtask"];

/// Crates that decide, and must stay pure: no runtime, no I/O, no clock but what is handed in.
const PURE: &[&str] = &[
    "selvage-types",
    "selvage-model",
    "selvage-compile",
    "selvage-node-state",
    "selvage-pipeline",
    "selvage-oracle",
    "selvage-openflow",
    "selvage-ovsdb",
];

/// What a pure crate must not reach.
const IMPURE: &[&str] =
    &["tokio", "etcd-client", "sqlx", "sqlx-core", "hyper", "axum", "tonic", "rtnetlink", "nix", "rustls"];

/// What a pure crate must not ask for itself. (The crate `fail` has its own use of `rand`.)
const IMPURE_DIRECTLY: &[&str] = &["rand"];

/// An agent cannot name another tenant's intent, and has no way to the store.
const NOT_IN_NETPLUGIN: &[&str] = &["selvage-model", "selvage-store", "selvage-api", "etcd-client", "sqlx"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` = normal, `dev`, `build`.
    kind: Option<String>,
    /// Behind a feature.
    optional: bool,
    /// Present for packages of ours.
    path: Option<String>,
}

/// Runs a command and gives its standard output.
pub fn text(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8(out.stdout)?)
}

/// Downloads what is built on this platform, unless it is there: what reads the packages afterwards may then be offline.
pub fn fetch(root: &Path) -> Result<()> {
    text(cargo(&["fetch", "--quiet", "--locked", "--target", "host-tuple"]).current_dir(root)).map(drop)
}

/// Checks the edges and the purity of the cores.
pub fn layers(root: &Path) -> Result<()> {
    fetch(root)?;
    let mut command = cargo(&["metadata", "--offline", "--no-deps", "--format-version=1"]);
    let metadata: Metadata =
        serde_json::from_str(&text(command.current_dir(root))?).context("cargo metadata")?;
    let mut wrong = wrong_edges(&metadata.packages);
    for package in PURE {
        wrong.extend(reached(root, package, IMPURE)?);
    }
    wrong.extend(reached(root, "netplugin", NOT_IN_NETPLUGIN)?);
    ensure!(wrong.is_empty(), "layers (docs/architecture.md):\n  {}", wrong.join("\n  "));
    Ok(())
}

fn wrong_edges(ours: &[Package]) -> Vec<String> {
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in ours.iter().filter(|p| !TOOLS.contains(&p.name.as_str())) {
        let Some(may) = allowed.get(package.name.as_str()) else {
            wrong.push(format!(
                "{} has no place in the layers yet: add it to xtask/src/deps.rs",
                package.name
            ));
            continue;
        };
        // Tests may use whatever they need.
        let linked =
            package.dependencies.iter().filter(|d| d.path.is_some() && d.kind.as_deref() != Some("dev"));
        let refused = linked.filter(|d| d.name != "selvage-types" && !may.contains(&d.name.as_str()));
        wrong.extend(refused.map(|d| format!("{} must not depend on {}", package.name, d.name)));
        // Optional ones belong to the driver, which is not the core.
        let asked = package.dependencies.iter().filter(|d| d.kind.is_none() && !d.optional);
        let impure = asked.filter(|d| IMPURE_DIRECTLY.contains(&d.name.as_str()));
        if PURE.contains(&package.name.as_str()) {
            wrong.extend(
                impure.map(|d| format!("{} is pure and must not depend on {}", package.name, d.name)),
            );
        }
    }
    wrong
}

/// Which of these a package reaches, without its default features: those are the drivers.
fn reached(root: &Path, package: &str, forbidden: &[&str]) -> Result<Vec<String>> {
    let mut command = cargo(&["tree", "--offline", "--edges=normal", "--prefix=none", "--format={p}"]);
    command.args(["--no-default-features", "-p", package]).current_dir(root);
    let tree = text(&mut command)?;
    let names: BTreeSet<_> = tree.lines().filter_map(|l| l.split_whitespace().next()).collect();
    let bad = forbidden.iter().filter(|f| names.contains(**f));
    Ok(bad.map(|f| format!("{package} reaches {f}; see: cargo tree -p {package} -e normal -i {f}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, on: &str, kind: Option<&str>) -> Package {
        let path = on.starts_with("selvage").then(|| "crates/x".to_owned());
        let kind = kind.map(str::to_owned);
        let dependencies = vec![Dependency { name: on.to_owned(), kind, optional: false, path }];
        Package { name: name.to_owned(), dependencies }
    }

    #[test]
    fn edges_that_are_not_listed_are_refused() {
        let wrong = |name, on, kind| wrong_edges(&[package(name, on, kind)]).len();
        assert_eq!(wrong("netplugin", "selvage-store", None), 1);
        assert_eq!(wrong("netplugin", "selvage-store", Some("build")), 1);
        assert_eq!(wrong("netplugin", "selvage-store", Some("dev")), 0);
        assert_eq!(wrong("selvage-pipeline", "selvage-node-state", None), 0);
        assert_eq!(wrong("selvage-model", "rand", None), 1);
        assert_eq!(wrong("selvage-unheard-of", "serde", None), 1);
    }
}

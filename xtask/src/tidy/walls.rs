//! The walls between crates: who may use whom, and who alone may name which outside package.
//!
//! The table of arrows is the documented one; it is held equal to what the manifests say. Only the
//! product's dependencies count: a test may use what it likes as an independent oracle.

use super::finding::Finding;
use super::tree::{Text, Tree};
use super::workspace::{Package, Workspace};

/// Which of our crates another of ours may use.
enum Uses {
    /// Exactly these.
    Only(&'static [&'static str]),
    /// A composition root: any.
    Any,
}

/// The arrows. A new one needs an ADR.
const ARROWS: &[(&str, Uses)] = &[
    ("salus-planted", Uses::Only(&[])),
    ("salus-crypto", Uses::Only(&[])),
    ("salus-wire", Uses::Only(&["salus-crypto"])),
    ("salus-proof", Uses::Only(&["salus-crypto", "salus-wire", "salus-planted"])),
    ("salus-fragment", Uses::Only(&["salus-crypto", "salus-wire", "salus-planted"])),
    ("salus-consent", Uses::Only(&["salus-crypto", "salus-wire", "salus-planted"])),
    ("salus-review", Uses::Only(&["salus-crypto", "salus-wire"])),
    ("salus-ledger", Uses::Only(&["salus-crypto", "salus-wire", "salus-planted"])),
    ("salus-clinical", Uses::Only(&["salus-crypto", "salus-wire", "salus-proof"])),
    ("salus-store", Uses::Only(&["salus-crypto", "salus-wire", "salus-planted"])),
    ("salus-link", Uses::Only(&["salus-crypto", "salus-wire"])),
    (
        "salus-engine",
        Uses::Only(&["salus-crypto", "salus-wire", "salus-proof", "salus-ledger", "salus-planted"]),
    ),
    (
        "salus-client",
        Uses::Only(&[
            "salus-crypto",
            "salus-wire",
            "salus-proof",
            "salus-fragment",
            "salus-consent",
            "salus-clinical",
            "salus-link",
            "salus-planted",
        ]),
    ),
    (
        "salus-node",
        Uses::Only(&[
            "salus-crypto",
            "salus-wire",
            "salus-fragment",
            "salus-consent",
            "salus-store",
            "salus-link",
            "salus-engine",
            "salus-planted",
        ]),
    ),
    (
        "salus-gateway",
        Uses::Only(&[
            "salus-crypto",
            "salus-wire",
            "salus-proof",
            "salus-fragment",
            "salus-clinical",
            "salus-store",
            "salus-link",
            "salus-client",
            "salus-planted",
        ]),
    ),
    ("salus", Uses::Any),
    ("salus-sim", Uses::Any),
    (
        "salus-linkage",
        Uses::Only(&["salus-crypto", "salus-wire", "salus-proof", "salus-ledger", "salus-client"]),
    ),
    ("salus-fuzz", Uses::Any),
    ("salus-wrong", Uses::Only(&[])),
    ("xtask", Uses::Only(&[])),
];

/// Outside packages that only some of our crates may name. A name that ends in `*` is a prefix.
struct Owned {
    packages: &'static [&'static str],
    owners: &'static [&'static str],
}

const OWNED: &[Owned] = &[
    Owned {
        packages: &[
            "aes*",
            "argon2*",
            "aws-lc-*",
            "blake2*",
            "blake3*",
            "chacha20*",
            "crypto-*",
            "curve25519*",
            "ed25519*",
            "elliptic-curve",
            "hkdf",
            "hmac",
            "hpke",
            "k256",
            "md-5",
            "ml-*",
            "openssl*",
            "p256",
            "p384",
            "ring",
            "rsa",
            "secp256k1*",
            "sha1*",
            "sha2",
            "sha3",
            "shamir*",
            "sharks",
            "signature",
            "subtle",
            "vsss-rs",
            "x25519*",
            "zeroize",
        ],
        owners: &["salus-crypto"],
    },
    Owned { packages: &["rcgen", "rustls*", "tokio-rustls", "webpki*", "x509*"], owners: &["salus-link"] },
    Owned { packages: &["commonware-*", "nomt"], owners: &["salus-engine", "salus-sim"] },
    Owned { packages: &["cedar-policy*"], owners: &["salus-consent"] },
    Owned { packages: &["nomt-core"], owners: &["salus-engine", "salus-proof"] },
];

/// Names that say nothing about what is inside.
const DRAWERS: &[&str] = &["common", "core", "helpers", "types", "utils", "util", "shared", "misc"];

/// Checks every member's manifest.
pub(crate) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let members: Vec<&str> = workspace.members().map(|(package, _)| package.name.as_str()).collect();
    let mut findings = absent(&members);
    for (package, manifest) in workspace.members() {
        let text = tree.texts.iter().find(|text| text.path == manifest);
        let place = Place { manifest, text };
        findings.extend(arrows(package, &members, &place));
        findings.extend(owned(package, &place));
        findings.extend(drawer(package, &place));
        findings.extend(lints(&place));
    }
    findings
}

/// A manifest and how to find a line in it.
struct Place<'a> {
    manifest: &'a str,
    text: Option<&'a Text>,
}

impl Place<'_> {
    fn finding(&self, about: &str, rule: &'static str, advice: String) -> Finding {
        let names =
            |line: &str| line.strip_prefix(about).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
        let line = self.text.and_then(|text| text.text.lines().position(names));
        Finding::new(self.manifest, line.map_or(1, |index| index + 1), rule, advice)
    }
}

fn absent(members: &[&str]) -> Vec<Finding> {
    let gone = |name: &&str| !members.contains(name);
    ARROWS
        .iter()
        .map(|(name, _)| *name)
        .filter(gone)
        .map(|name| {
            let advice = format!("`{name}` is in the table of arrows but not in the workspace: remove it from xtask/src/tidy/walls.rs");
            Finding::new("Cargo.toml", 1, "arrow", advice)
        })
        .collect()
}

fn arrows(package: &Package, members: &[&str], place: &Place) -> Vec<Finding> {
    let name = &package.name;
    let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| crate_name == name) else {
        let advice = format!(
            "give `{name}` its line in the table of arrows (xtask/src/tidy/walls.rs) and write the ADR"
        );
        return vec![place.finding(name, "arrow", advice)];
    };
    let Uses::Only(allowed) = allowed else { return Vec::new() };
    let used = |to: &str| package.uses.iter().any(|name| name == to);
    let ours = package.uses.iter().filter(|to| members.contains(&to.as_str()));
    let extra = ours.filter(|to| !allowed.contains(&to.as_str())).map(|to| {
        place.finding(
            to,
            "arrow",
            format!("`{name}` may not use `{to}`: move the code, or write the ADR for a new arrow"),
        )
    });
    let unused = allowed.iter().filter(|to| !used(to)).map(|to| {
        place.finding(
            to,
            "arrow",
            format!("`{name}` no longer uses `{to}`: take the arrow out of xtask/src/tidy/walls.rs"),
        )
    });
    extra.chain(unused).collect()
}

fn owned(package: &Package, place: &Place) -> Vec<Finding> {
    let mut findings = Vec::new();
    for to in &package.uses {
        let owner = OWNED.iter().find(|owned| owned.packages.iter().any(|name| matches(name, to)));
        let Some(owned) = owner else { continue };
        if !owned.owners.contains(&package.name.as_str()) {
            let advice = format!("only {} may name `{to}`: go through it", owned.owners.join(" and "));
            findings.push(place.finding(to, "owner", advice));
        }
    }
    findings
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

fn drawer(package: &Package, place: &Place) -> Option<Finding> {
    let name = package.name.strip_prefix("salus-").unwrap_or(&package.name);
    let drawer = DRAWERS.contains(&name);
    drawer.then(|| {
        place.finding(
            "name",
            "name",
            format!("`{name}` is a drawer, not a room: name the crate after its one job"),
        )
    })
}

fn lints(place: &Place) -> Option<Finding> {
    let text = place.text?;
    let inherits = text.text.contains("[lints]\nworkspace = true");
    (!inherits)
        .then(|| place.finding("[package]", "lints", "add `[lints]` with `workspace = true`".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::super::workspace::member;
    use super::*;

    const MEMBERS: &[&str] = &["salus-crypto", "salus-wire", "salus-planted", "salus-proof", "salus"];

    fn place(text: &Text) -> Place<'_> {
        Place { manifest: &text.path, text: Some(text) }
    }

    fn text(text: &str) -> Text {
        Text { path: "crates/proof/Cargo.toml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn arrows_are_equal_to_the_table() {
        let manifest = text("[dependencies]\nsalus-wire.workspace = true\nsalus = \"1\"\n");
        let check = |name, uses: &[&str]| brief(&arrows(&member(name, uses), MEMBERS, &place(&manifest)));
        assert!(check("salus-proof", &["salus-wire", "salus-crypto", "salus-planted", "borsh"]).is_empty());
        assert_eq!(
            check("salus-proof", &["salus-wire", "salus-crypto", "salus-planted", "salus"]),
            ["3 arrow"]
        );
        assert_eq!(check("salus-proof", &["salus-crypto", "salus-planted"]), ["2 arrow"]);
        assert_eq!(check("salus-novel", &[]), ["1 arrow"]);
        assert!(check("salus", &["salus-proof"]).is_empty());
        assert_eq!(absent(MEMBERS).len(), ARROWS.len() - MEMBERS.len());
    }

    #[test]
    fn owned_packages_stay_with_their_owner() {
        let manifest = text("sha2.workspace = true\n");
        for (name, to, bad) in [
            ("salus-crypto", "sha2", false),
            ("salus-proof", "sha2", true),
            ("salus-gateway", "rustls-pki-types", true),
            ("salus-link", "rustls", false),
            ("salus-node", "commonware-runtime", true),
            ("salus-proof", "nomt-core", false),
            ("salus-proof", "nomt", true),
            ("salus-clinical", "ciborium", false),
            ("salus-consent", "cedar-policy", false),
            ("salus-node", "cedar-policy-core", true),
        ] {
            let found = owned(&member(name, &[to]), &place(&manifest));
            assert_eq!(!found.is_empty(), bad, "{name} names {to}");
        }
    }

    #[test]
    fn drawers_and_missing_lints_are_refused() {
        let bare = text("[package]\nname = \"x\"\n");
        let good = text("[package]\n\n[lints]\nworkspace = true\n");
        assert_eq!(lints(&place(&bare)).map(|found| brief(&[found])), Some(vec!["1 lints".into()]));
        assert_eq!(lints(&place(&good)), None);
        assert!(drawer(&member("salus-common", &[]), &place(&bare)).is_some());
        assert!(drawer(&member("salus-consent", &[]), &place(&bare)).is_none());
    }
}

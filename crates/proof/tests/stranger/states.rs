//! Vectors of state proofs: entries, and the absence of others, under one root.

use crate::consortium::{Consortium, child, digest, leaves, list};
use crate::oracle;
use crate::text::Vector;
use salus_crypto::{Digest, PublicKey};
use salus_proof::trie::value_hash;
use salus_wire::state::{
    AccessRecord, AnchorRecord, DeviceRecord, GrantRecord, IdentityRecord, MemberRecord, ReviewRecord,
    Standing, Tip,
};
use salus_wire::tx::PartyKind;
use salus_wire::{
    BatchNumber, Blob, Height, MemberIndex, PartyId, ProvenItem, Roles, StateKey, StateProof, StateValue,
    Terminal, TimeMs, TimeSpan, decode, encode,
};
use std::collections::BTreeMap;

const KIND: &str = "state";

pub(crate) type Entries = BTreeMap<StateKey, StateValue>;

pub(crate) fn tip(height: u64) -> Tip {
    Tip { height: Height::new(height), time: TimeMs::new(1_700_000_000_000 + height * 1_000) }
}

pub(crate) fn party(n: u8) -> PartyId {
    PartyId::new([n; 16])
}

fn grant(n: u8) -> StateKey {
    StateKey::Grant(decode(&[n; 32], 32).expect("any 32 bytes are a tag"))
}

fn access(n: u8) -> StateKey {
    StateKey::Access(decode(&[n; 32], 32).expect("any 32 bytes are a tag"))
}

pub(crate) fn anchor(root: Digest, height: u64) -> StateValue {
    StateValue::Anchor(AnchorRecord { root, since: tip(height) })
}

fn grant_record(n: u8, standing: Standing) -> StateValue {
    StateValue::Grant(GrantRecord {
        commitment: digest(n),
        one_time: PublicKey::from_bytes([n; 32]),
        body: Blob::new(vec![n; 690]).expect("within its limit"),
        since: tip(7),
        standing,
    })
}

/// One entry of every kind, and a handful more.
pub(crate) fn entries() -> Entries {
    let key = PublicKey::from_bytes([5; 32]);
    let validity = TimeSpan::new(TimeMs::new(1), TimeMs::new(2_000_000_000_000)).expect("not empty");
    let member = MemberRecord {
        consensus: key,
        registrar: key,
        service: key,
        custodian: digest(1),
        authority: digest(2),
    };
    let identity = |second, standing| {
        let (kind, member) = (PartyKind::Person, MemberIndex::new(3));
        let roles = Roles::NONE;
        StateValue::Identity(IdentityRecord {
            kind,
            member,
            key,
            validity,
            roles,
            second,
            since: tip(2),
            standing,
        })
    };
    let device = DeviceRecord { member: MemberIndex::new(1), since: tip(3), standing: Standing::Active };
    let body = Blob::new(vec![6; 434]).expect("within its limit");
    let review = ReviewRecord { officer: party(4), body: body.clone(), since: tip(9) };
    let seen = AccessRecord { commitment: digest(6), one_time: key, body, since: tip(9) };
    let mut entries = Entries::from([
        (StateKey::Tip, StateValue::Tip(tip(41))),
        (StateKey::Member(MemberIndex::new(0)), StateValue::Member(member)),
        (StateKey::Identity(party(1)), identity(Some(key), Standing::Active)),
        (StateKey::Identity(party(2)), identity(None, Standing::Revoked(tip(5)))),
        (StateKey::Enrolment(digest(1)), StateValue::Device(device.clone())),
        (StateKey::Assignment(digest(1)), StateValue::Device(device)),
        (grant(1), grant_record(1, Standing::Active)),
        (grant(2), grant_record(2, Standing::Revoked(tip(8)))),
        (access(1), StateValue::Access(seen)),
        (StateKey::Review(MemberIndex::new(1), digest(1)), StateValue::Review(review)),
    ]);
    entries.extend((0..16).map(|n| (StateKey::Anchor(party(1), BatchNumber::new(n)), anchor(digest(77), n))));
    entries
}

/// A proof about all of `keys` as a good vector, with the facts that it proves.
fn good(name: &str, comment: &str, entries: &Entries, keys: &[StateKey], more: u64) -> Vector {
    let proof = Consortium::of(4).proof(entries, keys, more);
    let mut vector = Vector::good(KIND, name, "members-4", comment, encode(&proof));
    for key in keys {
        let hex_key = hex::encode(encode(key));
        vector.facts.push(match entries.get(key) {
            Some(value) => ("present".to_owned(), format!("{hex_key} {}", hex::encode(encode(value)))),
            None => ("absent".to_owned(), hex_key),
        });
    }
    vector
}

pub(crate) fn vectors() -> Vec<Vector> {
    let entries = entries();
    let all: Vec<StateKey> = entries.keys().copied().collect();
    let gone: Vec<StateKey> = (3..40).map(grant).collect();
    let one: Entries = entries.clone().into_iter().take(1).collect();
    let mut list_of_grants = vec![grant(1), grant(2)];
    list_of_grants.push(grant(3));
    let mut vectors = vec![
        good("every-kind", "an entry of every kind", &entries, &all, 0),
        good("absences", "paths that end at nothing and paths that end at another entry", &entries, &gone, 0),
        good(
            "complete-list",
            "a grant chain to its end: two entries and the first absence",
            &entries,
            &list_of_grants,
            2,
        ),
        good("only-entry", "a tree of one entry has its leaf for a root", &one, &[StateKey::Tip], 0),
        good("beside-only-entry", "an absence in a tree of one entry", &one, &[grant(1)], 0),
        good("empty-tree", "everything is absent from an empty tree", &Entries::new(), &[grant(1)], 0),
        good("nothing-asked", "a proof about no key proves the header alone", &entries, &[], 1),
    ];
    vectors.extend(bad(&entries));
    vectors
}

fn bad(entries: &Entries) -> Vec<Vector> {
    [bad_ends(entries), bad_paths(entries), bad_bytes(entries)]
        .concat()
        .into_iter()
        .map(|(name, expect, comment, bytes)| Vector::bad(KIND, name, "members-4", expect, comment, bytes))
        .collect()
}

/// Name, expected failure, comment and bytes.
type Case = (&'static str, &'static str, &'static str, Vec<u8>);

/// The proof about `key` alone, after an edit of its item.
fn with(entries: &Entries, key: StateKey, edit: impl Fn(&mut ProvenItem)) -> Vec<u8> {
    let mut proof = Consortium::of(4).proof(entries, &[key], 0);
    let mut items = proof.items.clone().into_vec();
    edit(&mut items[0]);
    proof.items = list(items);
    encode(&proof)
}

fn bad_ends(entries: &Entries) -> Vec<Case> {
    let (present, absent) = (grant(1), absent_key(entries, false));
    let blocked = absent_key(entries, true);
    let far = Terminal::Leaf { path: digest(0), value: digest(1) };
    let other = Terminal::Leaf { path: digest(1), value: value_hash(&encode(&entries[&present])) };
    let made_up = anchor(digest(1), 1);
    let hash = value_hash(&encode(&made_up));
    vec![
        ("other-value", "state-entry", "another value than its leaf commits to", {
            with(entries, present, |item| item.value = Some(made_up.clone()))
        }),
        ("other-leaf", "state-entry", "present at the leaf of another entry", {
            with(entries, present, |item| item.terminal = other)
        }),
        ("present-at-nothing", "state-entry", "present where the path ends at nothing", {
            with(entries, absent, |item| item.value = Some(made_up.clone()))
        }),
        ("absent-at-own-leaf", "state-entry", "called absent though its own leaf is there", {
            with(entries, present, |item| item.value = None)
        }),
        ("absent-elsewhere", "state-entry", "called absent because of a leaf in another corner", {
            with(entries, present, |item| (item.value, item.terminal) = (None, far))
        }),
        ("hidden-by-stranger", "state-entry", "an absence whose leaf was given the key's own path", {
            with(entries, blocked, |item| {
                item.terminal = Terminal::Leaf { path: item.key.path(), value: digest(1) };
            })
        }),
        ("hidden-as-empty", "state-path", "an entry called absent by an empty end", {
            with(entries, present, |item| (item.value, item.terminal) = (None, Terminal::Empty))
        }),
        ("forged-leaf", "state-path", "a made-up value with its right hash", {
            with(entries, present, |item| {
                item.terminal = Terminal::Leaf { path: item.key.path(), value: hash };
                item.value = Some(made_up.clone());
            })
        }),
    ]
}

fn bad_paths(entries: &Entries) -> Vec<Case> {
    let (present, absent) = (grant(1), absent_key(entries, false));
    let siblings = |key, edit: &dyn Fn(&mut Vec<Digest>)| {
        with(entries, key, |item| {
            let mut siblings = item.siblings.clone().into_vec();
            edit(&mut siblings);
            item.siblings = list(siblings);
        })
    };
    vec![
        (
            "sibling-altered",
            "state-path",
            "a sibling is another",
            siblings(present, &|all| all[1] = digest(1)),
        ),
        ("sibling-missing", "state-path", "the deepest sibling is missing", {
            siblings(absent, &|all| all.truncate(all.len() - 1))
        }),
        ("sibling-added", "state-path", "an empty sibling below the end", {
            siblings(absent, &|all| all.push(Digest::ZERO))
        }),
        ("siblings-reversed", "state-path", "the siblings stand in the wrong order", {
            siblings(present, &|all| all.reverse())
        }),
        ("other-root", "state-path", "the root is another header's", other_root(entries)),
        ("second-item", "state-path", "the first item holds, the second does not", second_item(entries)),
    ]
}

fn bad_bytes(entries: &Entries) -> Vec<Case> {
    let good = with(entries, grant(1), |_| ());
    let deepest =
        with(entries, absent_key(entries, false), |item| item.siblings = list(vec![digest(1); 256]));
    vec![
        ("too-deep", "malformed", "257 siblings", too_deep(&deepest)),
        ("value-of-no-kind", "malformed", "a value of a kind that does not exist", no_kind(&good)),
        ("truncated", "malformed", "the last byte is missing", good[..good.len() - 1].to_vec()),
        ("trailing", "malformed", "a byte too many", [good, vec![0]].concat()),
    ]
}

/// The first grant that is absent because another entry stands in the way (`blocked`), or because
/// its path ends at nothing.
fn absent_key(entries: &Entries, blocked: bool) -> StateKey {
    let leaves = leaves(entries);
    let ends = |key: &StateKey| oracle::prove(&leaves, key.path().as_bytes()).terminal.is_some();
    (3..=255).map(grant).find(|key| ends(key) == blocked).expect("one of many")
}

fn other_root(entries: &Entries) -> Vec<u8> {
    let four = Consortium::of(4);
    let right = four.proof(entries, &[grant(1)], 0);
    let chain = four.certified(vec![child(&four.header(digest(4)))]);
    encode(&StateProof { chain, items: right.items })
}

fn second_item(entries: &Entries) -> Vec<u8> {
    let mut proof = Consortium::of(4).proof(entries, &[grant(1), grant(2)], 0);
    let mut items = proof.items.clone().into_vec();
    let mut siblings = items[1].siblings.clone().into_vec();
    siblings[0] = digest(1);
    items[1].siblings = list(siblings);
    proof.items = list(items);
    encode(&proof)
}

/// Adds one more sibling than the limit, by hand: the count stands before 256 times 32 bytes.
fn too_deep(bytes: &[u8]) -> Vec<u8> {
    let (before, siblings) = bytes.split_at(bytes.len() - 256 * 32);
    let (before, count) = before.split_at(before.len() - 4);
    assert_eq!(count, 256_u32.to_le_bytes());
    [before, &257_u32.to_le_bytes(), siblings, &[1; 32]].concat()
}

/// Replaces the kind of the first value, which follows the key and the mark that it is there.
fn no_kind(bytes: &[u8]) -> Vec<u8> {
    let key = encode(&grant(1));
    let at = bytes.windows(key.len()).position(|window| window == key).expect("it is there") + key.len();
    let mut bytes = bytes.to_vec();
    assert_eq!(bytes[at..=at + 1], [1, 5]);
    bytes[at + 1] = 7;
    bytes
}

//! Vectors of receipts: one reading each, from its device's signature up to the certificate.

use crate::consortium::{Consortium, blob, digest, key, list};
use crate::frame::{beat, leaf};
use crate::states::{Entries, anchor, entries, party};
use crate::text::Vector;
use salus_crypto::{Digest, SigningKey, merkle};
use salus_wire::manifest::Suite;
use salus_wire::receipt::{Leaf, ReceiptVersion};
use salus_wire::rpc::BatchPlace;
use salus_wire::{
    BatchNumber, Faults, Geometry, Locator, Manifest, ProvenItem, Receipt, StateKey, StateProof, encode,
};

const KIND: &str = "receipt";
const BATCH: u64 = 16;
const DEVICE: [u8; 16] = [0xde; 16];

/// A leaf with its salt.
pub(crate) type Salted = ([u8; 32], Leaf);

/// A segment of beats as the first manifest of a batch, and everything above it.
pub(crate) struct Kept {
    pub(crate) consortium: Consortium,
    pub(crate) leaves: Vec<Salted>,
    manifests: Vec<Manifest>,
    entries: Entries,
    /// Headers between the one whose state is proven and the one that is certified.
    more: u64,
}

pub(crate) fn device() -> SigningKey {
    key(50)
}

pub(crate) fn beats(count: u8) -> Vec<Salted> {
    let beat = |n| leaf(device().public_key(), beat(DEVICE, n, &device()));
    (0..count).map(|n| ([n; 32], beat(n))).collect()
}

fn manifest(faults: Faults, n: u8, leaves: Digest) -> Manifest {
    let geometry = Geometry::for_faults(faults);
    Manifest {
        suite: Suite::V1,
        locator: Locator::new([n; 32]),
        geometry,
        ciphertext_len: 1024,
        ciphertext: digest(10),
        fragments: list(vec![digest(11); geometry.total()]),
        seal_random: [12; 32],
        key_commitment: digest(13),
        leaves,
        descriptor: blob(&[14; 320]),
    }
}

impl Kept {
    /// `leaves` in the first segment of a batch of `segments`, kept by `members`.
    pub(crate) fn new(members: u8, leaves: Vec<Salted>, segments: u8, more: u64) -> Self {
        let consortium = Consortium::of(members);
        let faults = consortium.policy.faults();
        let root = merkle::root(&leaf_digests(&leaves));
        let mut manifests = vec![manifest(faults, 0, root)];
        manifests.extend((1..segments).map(|n| manifest(faults, n, digest(n))));
        let mut entries = entries();
        entries.insert(anchor_key(), anchor(merkle::root(&manifest_digests(&manifests)), 40));
        Self { consortium, leaves, manifests, entries, more }
    }

    fn proof(&self, keys: &[StateKey]) -> StateProof {
        self.consortium.proof(&self.entries, keys, self.more)
    }

    pub(crate) fn receipt(&self, index: usize) -> Receipt {
        let (salt, leaf) = self.leaves[index].clone();
        let digests = leaf_digests(&self.leaves);
        Receipt {
            version: ReceiptVersion::V1,
            leaf,
            salt,
            index: index as u32,
            count: digests.len() as u32,
            path: list(merkle::path(&digests, index).expect("it is there")),
            manifest: self.manifests[0].clone(),
            place: BatchPlace {
                gateway: party(1),
                batch: BatchNumber::new(BATCH),
                index: 0,
                count: self.manifests.len() as u32,
                path: list(merkle::path(&manifest_digests(&self.manifests), 0).expect("it is there")),
            },
            anchor: self.proof(&[anchor_key()]),
        }
    }
}

fn anchor_key() -> StateKey {
    StateKey::Anchor(party(1), BatchNumber::new(BATCH))
}

fn leaf_digests(leaves: &[Salted]) -> Vec<Digest> {
    leaves.iter().map(|(salt, leaf)| leaf.digest(salt)).collect()
}

fn manifest_digests(manifests: &[Manifest]) -> Vec<Digest> {
    manifests.iter().map(Manifest::digest).collect()
}

pub(crate) fn vectors() -> Vec<Vector> {
    let small = Kept::new(4, beats(4), 2, 1);
    let good =
        |name, comment, receipt: &Receipt, policy| Vector::good(KIND, name, policy, comment, encode(receipt));
    let mut vectors = vec![
        good(
            "first-of-four",
            "the first reading of four, certified through one child",
            &small.receipt(0),
            "members-4",
        ),
        good("last-of-four", "the last reading of four", &small.receipt(3), "members-4"),
        good("last-of-five", "a lone right edge", &Kept::new(4, beats(5), 3, 0).receipt(4), "members-4"),
        good(
            "only-one",
            "one reading, one segment, one member: no paths",
            &Kept::new(1, beats(1), 1, 0).receipt(0),
            "members-1",
        ),
        good(
            "seven-members",
            "twenty readings at seven members",
            &Kept::new(7, beats(20), 9, 3).receipt(13),
            "members-7",
        ),
    ];
    vectors.extend(bad_bytes(&small));
    vectors.extend(bad_ledger(&small));
    vectors.extend(bad_places(&small));
    vectors.extend(bad_readings());
    vectors
}

fn bad(name: &str, expect: &str, comment: &str, bytes: Vec<u8>) -> Vector {
    Vector::bad(KIND, name, "members-4", expect, comment, bytes)
}

fn edited(kept: &Kept, edit: impl Fn(&mut Receipt)) -> Vec<u8> {
    let mut receipt = kept.receipt(2);
    edit(&mut receipt);
    encode(&receipt)
}

fn bad_bytes(kept: &Kept) -> Vec<Vector> {
    let good = edited(kept, |_| ());
    let at = |place: usize, bytes: &[u8]| {
        let mut altered = good.clone();
        altered[place..place + bytes.len()].copy_from_slice(bytes);
        altered
    };
    // After the version, the key, the frame, the salt, the index and the count stands the path.
    let path = 1 + 32 + 4 + kept.leaves[2].1.frame.len() + 32 + 8;
    [
        ("empty", "no bytes", Vec::new()),
        ("truncated", "the last byte is missing", good[..good.len() - 1].to_vec()),
        ("trailing", "a byte too many", [good.clone(), vec![0]].concat()),
        ("version-0", "a version that never was", at(0, &[0])),
        ("version-2", "a version that is not yet", at(0, &[2])),
        ("huge-frame", "a frame that claims 4 GiB", at(33, &u32::MAX.to_le_bytes())),
        ("long-path", "a path of 33", at(path, &33_u32.to_le_bytes())),
        ("no-suite", "a suite that does not exist", at(path + 4 + 64, &[2])),
        ("no-data-fragments", "a geometry without data", at(path + 4 + 64 + 33, &[0, 0])),
    ]
    .into_iter()
    .map(|(name, comment, bytes)| bad(name, "malformed", comment, bytes))
    .collect()
}

fn bad_ledger(kept: &Kept) -> Vec<Vector> {
    let stranger = Consortium::named(4, "another consortium");
    let foreign = stranger.proof(&kept.entries, &[anchor_key()], 0);
    let other = StateKey::Anchor(party(1), BatchNumber::new(0));
    let absent = StateKey::Anchor(party(1), BatchNumber::new(BATCH + 1));
    let item = |proof: StateProof| proof.items.into_vec().remove(0);
    let with_items =
        |items: Vec<ProvenItem>| edited(kept, |receipt| receipt.anchor.items = list(items.clone()));
    let good = item(kept.proof(&[anchor_key()]));
    vec![
        bad("other-consortium", "other-chain", "the anchor of another consortium", {
            edited(kept, |receipt| receipt.anchor = foreign.clone())
        }),
        bad("no-certificate", "certificate-malformed", "a header that nobody made final", {
            edited(kept, |receipt| receipt.anchor.chain.certificate = blob(&[]))
        }),
        bad("state-root", "state-path", "the anchor's path leads elsewhere", {
            let mut siblings = good.siblings.clone().into_vec();
            siblings[0] = digest(1);
            with_items(vec![ProvenItem { siblings: list(siblings), ..good.clone() }])
        }),
        bad("no-item", "anchor-other", "a proof about nothing", with_items(Vec::new())),
        bad("two-items", "anchor-other", "a proof about more than the anchor", {
            with_items(vec![good.clone(), item(kept.proof(&[other]))])
        }),
        bad(
            "other-anchor",
            "anchor-other",
            "the anchor of another batch",
            with_items(vec![item(kept.proof(&[other]))]),
        ),
        bad("not-anchored", "anchor-absent", "a batch that is proven absent", {
            edited(kept, |receipt| {
                receipt.place.batch = BatchNumber::new(BATCH + 1);
                receipt.anchor = kept.proof(&[absent]);
            })
        }),
    ]
}

fn bad_places(kept: &Kept) -> Vec<Vector> {
    let manifest =
        |name, comment, edit: &dyn Fn(&mut Receipt)| bad(name, "manifest-path", comment, edited(kept, edit));
    let leaf =
        |name, comment, edit: &dyn Fn(&mut Receipt)| bad(name, "leaf-path", comment, edited(kept, edit));
    vec![
        manifest("other-locator", "the manifest was altered", &|r| {
            r.manifest.locator = Locator::new([99; 32])
        }),
        manifest("batch-index", "another place in the batch", &|r| r.place.index = 1),
        manifest("batch-beyond", "a place beyond the batch", &|r| r.place.index = 2),
        manifest("batch-empty", "a batch of none", &|r| (r.place.index, r.place.count) = (0, 0)),
        manifest("batch-too-large", "a batch of more than 256", &|r| r.place.count = 257),
        manifest("batch-path-short", "the path is cut short", &|r| r.place.path = list(Vec::new())),
        manifest("batch-path-long", "the path goes on", &|r| {
            r.place.path = list(vec![r.place.path[0], digest(1)])
        }),
        leaf("other-salt", "another salt", &|r| r.salt = [99; 32]),
        leaf("other-reading", "another reading of the same device", &|r| r.leaf = kept.leaves[1].1.clone()),
        leaf("other-device", "the reading ascribed to another device", &|r| {
            r.leaf.device_key = key(51).public_key()
        }),
        leaf("leaf-index", "another place in the segment", &|r| r.index = 3),
        leaf("leaf-beyond", "a place beyond the segment", &|r| r.index = 4),
        leaf("segment-empty", "a segment of none", &|r| (r.index, r.count) = (0, 0)),
        leaf("segment-too-large", "a segment of more than 65536", &|r| r.count = 65_537),
        leaf("leaf-path-short", "the path is cut short", &|r| r.path = list(vec![r.path[0]])),
        leaf("leaf-path-swapped", "the path upside down", &|r| r.path = list(vec![r.path[1], r.path[0]])),
        leaf("leaf-is-node", "an inner node passed off as a leaf", &|r| {
            (r.index, r.count, r.path) = (1, 2, list(vec![r.path[1]]));
        }),
    ]
}

/// Readings that the whole road up keeps faithfully, but that no device signed like this.
fn bad_readings() -> Vec<Vector> {
    let good = beats(3);
    let kept = |edit: &dyn Fn(&mut Leaf)| {
        let mut leaves = good.clone();
        edit(&mut leaves[2].1);
        encode(&Kept::new(4, leaves, 2, 1).receipt(2))
    };
    let frame = |edit: &dyn Fn(&mut Vec<u8>)| {
        kept(&|leaf| {
            let mut frame = leaf.frame.to_vec();
            edit(&mut frame);
            leaf.frame = blob(&frame);
        })
    };
    vec![
        bad("no-frame", "leaf", "an empty frame", frame(&|frame| frame.clear())),
        bad("untagged", "leaf", "not tagged as COSE_Sign1", frame(&|frame| frame.rotate_left(1))),
        bad("frame-trailing", "leaf", "a byte after the frame", frame(&|frame| frame.push(0))),
        bad("frame-truncated", "leaf", "the signature is cut short", frame(&|frame| frame.truncate(100))),
        bad(
            "unprotected",
            "leaf",
            "an unprotected header",
            frame(&|frame| {
                let at = frame.iter().position(|byte| *byte == 0xa0).expect("an empty map");
                frame.splice(at..=at, [0xa1, 0x04, 0x40]);
            }),
        ),
        bad("signature-altered", "device-signature", "a bit of the device's signature", {
            frame(&|frame| *frame.last_mut().expect("bytes") ^= 1)
        }),
        bad(
            "payload-altered",
            "device-signature",
            "73 beats where 72 were signed",
            frame(&|frame| {
                let at = frame.windows(3).position(|part| part == [0x18, 72, 0x06]).expect("the value");
                frame[at + 1] = 73;
            }),
        ),
        bad("other-signer", "device-signature", "signed by a device with another key", {
            kept(&|leaf| leaf.frame = blob(&beat(DEVICE, 2, &key(51))))
        }),
    ]
}

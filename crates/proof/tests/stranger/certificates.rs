//! Vectors of certified header chains.

use crate::consortium::{Consortium, blob, child, digest, proposal};
use crate::oracle::{self, varint};
use crate::text::Vector;
use salus_wire::state::CertifiedChain;
use salus_wire::{Header, Height, TimeMs, View, encode};

const KIND: &str = "certificate";

pub(crate) fn vectors() -> Vec<Vector> {
    let four = Consortium::of(4);
    let mut vectors = good();
    vectors.extend(bad_chains(&four));
    vectors.extend(bad_bytes(&four));
    vectors.extend(bad_votes(&four));
    vectors
}

fn good() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for members in [1, 4, 7, 64] {
        let consortium = Consortium::of(members);
        let policy = format!("members-{members}");
        let header = consortium.header(digest(4));
        let chain = consortium.certified(vec![header.clone()]);
        let (name, comment) = (format!("quorum-of-{members}"), "just a quorum signed");
        vectors.push(Vector::good(KIND, &name, &policy, comment, encode(&chain)));
        let everybody = consortium.certificate(&header, usize::from(members));
        let chain = CertifiedChain { certificate: blob(&everybody), ..chain };
        let name = format!("all-of-{members}");
        vectors.push(Vector::good(KIND, &name, &policy, "every member signed", encode(&chain)));
    }
    let four = Consortium::of(4);
    let chain = four.certified(four.headers(four.header(digest(4)), 63));
    let comment = "the longest chain: 63 headers above the one that is proven";
    vectors.push(Vector::good(KIND, "longest-chain", "members-4", comment, encode(&chain)));
    let far = Header {
        view: View::new(u64::MAX),
        parent_view: View::new(u64::MAX - 1),
        height: Height::new(u64::MAX),
        time: TimeMs::new(u64::MAX),
        ..four.header(digest(4))
    };
    let comment = "the widest varints";
    vectors.push(Vector::good(KIND, "widest", "members-4", comment, encode(&four.certified(vec![far]))));
    vectors
}

fn bad_chains(four: &Consortium) -> Vec<Vector> {
    let header = four.header(digest(4));
    let next = child(&header);
    let other = Consortium::named(4, "another consortium");
    let foreign = Header { chain: other.policy.chain(), ..next.clone() };
    let over = |second: Header| four.certified(vec![header.clone(), second]);
    let gap = Header { height: Height::new(43), ..next.clone() };
    let cases = [
        ("no-header", "no-header", "no header at all", four.certified(Vec::new())),
        ("other-consortium", "other-chain", "made by another consortium of the same members", {
            other.certified(vec![other.header(digest(4))])
        }),
        ("foreign-child", "other-chain", "the certified header is another consortium's", over(foreign)),
        ("height-gap", "broken-chain", "a height is skipped", over(gap)),
        ("other-parent", "broken-chain", "the child names another parent", {
            over(Header { parent: digest(5), ..next.clone() })
        }),
        ("other-parent-view", "broken-chain", "the child names another view of its parent", {
            over(Header { parent_view: View::new(299), ..next.clone() })
        }),
        ("view-stands", "broken-chain", "the child's view is not later", {
            over(Header { view: View::new(300), ..next.clone() })
        }),
        ("time-stands", "broken-chain", "the child's time is not later", {
            over(Header { time: header.time, ..next.clone() })
        }),
        ("descending", "broken-chain", "the headers stand in the wrong order", {
            four.certified(vec![next.clone(), header.clone()])
        }),
    ];
    cases
        .into_iter()
        .map(|(name, expect, comment, chain)| {
            Vector::bad(KIND, name, "members-4", expect, comment, encode(&chain))
        })
        .collect()
}

/// One header with a certificate that is not in canonical form.
fn bad_bytes(four: &Consortium) -> Vec<Vector> {
    let header = four.header(digest(4));
    let good = four.certificate(&header, 3);
    let proposal = proposal(&header).bytes();
    let after = good[proposal.len()..].to_vec();
    let edited = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let (bitmap, count) = (proposal.len() + 8, proposal.len() + 9);
    let rest = [varint(300), varint(299), header.digest().as_bytes().to_vec(), after].concat();
    let cases = [
        ("no-certificate", "no bytes", Vec::new()),
        ("truncated", "the last byte is missing", good[..good.len() - 1].to_vec()),
        ("trailing", "a byte too many", [good.clone(), vec![0]].concat()),
        ("long-epoch", "epoch 0 in two bytes", [vec![0x80, 0], rest.clone()].concat()),
        (
            "huge-epoch",
            "an epoch of more than 64 bits",
            [[vec![0xff; 9], vec![2]].concat(), rest.clone()].concat(),
        ),
        ("endless-epoch", "an epoch of eleven bytes", [[vec![0x80; 10], vec![1]].concat(), rest].concat()),
        ("bit-beyond", "a signer beyond the members is set, in place of one", edited(bitmap, 0b1_0011)),
        ("count-short", "fewer signatures counted than signers", edited(count, 2)),
        ("count-long", "more signatures counted than signers", edited(count, 4)),
        ("too-many-bits", "more members than any consortium has", edited(proposal.len() + 6, 1)),
    ];
    let vector = |(name, comment, bytes)| one(four, name, "certificate-malformed", comment, bytes);
    cases.into_iter().map(vector).collect()
}

fn bad_votes(four: &Consortium) -> Vec<Vector> {
    let header = four.header(digest(4));
    let right = proposal(&header);
    let signed = |proposal, members, kind, count| {
        oracle::certificate(&proposal, members, &four.votes(&proposal, kind, count))
    };
    let finalize = |proposal| signed(proposal, 4, "_FINALIZE", 3);
    let mut swapped = four.votes(&right, "_FINALIZE", 3);
    let (first, second) = (swapped[&0], swapped[&1]);
    swapped.extend([(0, second), (1, first)]);
    let mut forged = four.votes(&right, "_FINALIZE", 2);
    let message = right.message(&four.chain(), "_FINALIZE");
    forged.insert(3, *crate::consortium::key(1).sign_raw(&message).as_bytes());
    let mut altered = four.certificate(&header, 4);
    *altered.last_mut().expect("it has bytes") ^= 1;
    let other = Consortium::named(4, "another consortium");
    let elsewhere = oracle::certificate(&right, 4, &other.votes(&right, "_FINALIZE", 3));
    let cases = [
        (
            "other-epoch",
            "certificate-other",
            "votes of epoch 1",
            finalize(oracle::Proposal { epoch: 1, ..right }),
        ),
        (
            "other-view",
            "certificate-other",
            "votes of another view",
            finalize(oracle::Proposal { view: 301, ..right }),
        ),
        ("other-parent-vote", "certificate-other", "votes over another parent view", {
            finalize(oracle::Proposal { parent_view: 298, ..right })
        }),
        ("other-payload", "certificate-other", "votes for another block", {
            finalize(oracle::Proposal { payload: [6; 32], ..right })
        }),
        (
            "other-members",
            "certificate-members",
            "a bitmap of five members",
            signed(right, 5, "_FINALIZE", 3),
        ),
        ("too-few", "certificate-quorum", "two of four signed", signed(right, 4, "_FINALIZE", 2)),
        ("nobody", "certificate-quorum", "nobody signed", signed(right, 4, "_FINALIZE", 0)),
        ("notarized", "certificate-signature", "votes of another kind", signed(right, 4, "_NOTARIZE", 3)),
        ("elsewhere", "certificate-signature", "votes for another consortium", elsewhere),
        ("swapped", "certificate-signature", "two signatures in each other's place", {
            oracle::certificate(&right, 4, &swapped)
        }),
        ("forged", "certificate-signature", "one vote is by a key that is no member's", {
            oracle::certificate(&right, 4, &forged)
        }),
        ("altered-surplus", "certificate-signature", "a quorum is good, a further signature is not", altered),
    ];
    let vector = |(name, expect, comment, bytes)| one(four, name, expect, comment, bytes);
    cases.into_iter().map(vector).collect()
}

fn one(four: &Consortium, name: &str, expect: &str, comment: &str, certificate: Vec<u8>) -> Vector {
    let chain = CertifiedChain {
        headers: crate::consortium::list(vec![four.header(digest(4))]),
        certificate: blob(&certificate),
    };
    Vector::bad(KIND, name, "members-4", expect, comment, encode(&chain))
}

//! The list of targets. A name here is also the name of a corpus folder and of a cargo-fuzz target.

use crate::{clinical, consent, link, mqtt, policy, proof, queue, store, wire};

/// One parser under fire.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name everywhere.
    pub name: &'static str,
    /// Feeds it one input. It panics when the parser breaks its promise.
    pub run: fn(&[u8]),
    /// Makes input to start from, good and nearly good. `salus-fuzz seed` writes it to the corpus.
    pub seeds: fn() -> Vec<Seed>,
}

/// One input to start from.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Its file in the corpus.
    pub name: String,
    /// Its bytes.
    pub input: Vec<u8>,
}

impl Seed {
    /// An input under a name.
    #[must_use]
    pub fn new(name: &str, input: Vec<u8>) -> Self {
        Self { name: name.to_owned(), input }
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "wire_decode", run: wire::wire_decode, seeds: wire::seeds },
    Target { name: "proof_certificate", run: proof::proof_certificate, seeds: proof::certificate_seeds },
    Target { name: "proof_policy", run: proof::proof_policy, seeds: proof::policy_seeds },
    Target { name: "proof_receipt", run: proof::proof_receipt, seeds: proof::receipt_seeds },
    Target { name: "store_journal", run: store::store_journal, seeds: store::seeds },
    Target { name: "clinical_frame", run: clinical::clinical_frame, seeds: clinical::frame_seeds },
    Target { name: "clinical_segment", run: clinical::clinical_segment, seeds: clinical::segment_seeds },
    Target { name: "clinical_consent", run: consent::clinical_consent, seeds: consent::seeds },
    Target { name: "consent_policy", run: policy::consent_policy, seeds: policy::seeds },
    Target { name: "link_frame", run: link::link_frame, seeds: link::seeds },
    Target { name: "queue_file", run: queue::queue_file, seeds: queue::seeds },
    Target { name: "mqtt_speaker", run: mqtt::mqtt_speaker, seeds: mqtt::seeds },
];

impl Target {
    /// The target of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().find(|target| target.name == name).copied()
    }
}

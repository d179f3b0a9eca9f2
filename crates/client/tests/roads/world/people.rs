//! The gateway, the reader and the patient, and what they bring to the ledger.

use super::World;
use super::ledger::{START, key};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::grant::GrantTerms;
use salus_client::{GrantFile, ReadPlan, Wallet};
use salus_crypto::{PublicKey, SigningKey};
use salus_wire::consent::Grantee;
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::tx::{PartyKind, Tx, TxBody};
use salus_wire::{
    Classes, Codes, List, MemberIndex, PartyId, Purpose, Purposes, Roles, Scope, TimeMs, TimeSpan, decode,
    encode,
};

pub(crate) const WRITER: PartyId = PartyId::new([4; 16]);
pub(crate) const READER: PartyId = PartyId::new([3; 16]);

/// A registered person's key; 0 is the reader.
pub(crate) fn person(number: u8) -> SigningKey {
    key(5, number)
}

pub(super) fn gateway() -> SigningKey {
    key(4, 0)
}

pub(super) fn wallet() -> Wallet {
    Wallet::generate(WRITER, &mut StdRng::seed_from_u64(2))
}

pub(crate) fn span(from: u64, until: u64) -> TimeSpan {
    TimeSpan::new(START.plus_ms(from), START.plus_ms(until)).expect("not empty")
}

/// Ten days of everything, for treatment, to the reader.
pub(crate) fn terms() -> GrantTerms {
    GrantTerms {
        grantee: Grantee::Person { party: READER, key: person(0).public_key() },
        scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span: span(0, 864_000_000) },
        purposes: Purposes::of(&[Purpose::Treatment]).expect("not empty"),
        validity: span(0, 86_400_000),
        denies: List::empty(),
    }
}

impl World {
    pub(super) fn register(&mut self) {
        let gateway = self.registration(WRITER, PartyKind::Gateway, gateway().public_key());
        let reader = self.registration(READER, PartyKind::Person, person(0).public_key());
        self.ledger.apply(&[gateway, reader]);
    }

    fn registration(&self, party: PartyId, kind: PartyKind, key: PublicKey) -> Tx {
        let validity = TimeSpan::new(TimeMs::new(0), TimeMs::new(u64::MAX)).expect("not empty");
        let member = MemberIndex::new(0);
        let roles = Roles::NONE;
        let body = TxBody::RegisterIdentity { party, kind, member, key, validity, roles, second: None };
        Tx::sign(self.ledger.chain, body, &self.ledger.registrar[0])
    }

    /// Commits a grant; gives its place on the chain and its file.
    pub(crate) fn grant(&mut self, terms: GrantTerms) -> (u16, GrantFile) {
        let mut rng = StdRng::seed_from_u64(self.ledger.tip().height.get());
        let pending = self.wallet.grant(self.ledger.chain, terms, &mut rng).expect("the chain is long");
        let (tx, index) = (pending.tx.clone(), pending.file.index);
        self.ledger.apply(&[tx]);
        (index, self.wallet.settled(index).expect("it was pending"))
    }

    /// Commits another grant of everything to the reader.
    pub(crate) fn grant_all(&mut self) -> (u16, GrantFile) {
        self.grant(terms())
    }

    pub(crate) fn revoke(&mut self, grant: u16) {
        let tx = self.wallet.revoke(self.ledger.chain, grant).expect("it was granted");
        self.ledger.apply(&[tx]);
    }

    /// A plan to read all that the grant covers.
    pub(crate) fn plan(&self, file: &GrantFile) -> ReadPlan {
        let grant: GrantFile = decode(&encode(file), RPC_BYTES_MAX).expect("just encoded");
        let scope = grant.grant.scope.clone();
        ReadPlan {
            emergency: None,
            chain: self.ledger.chain,
            faults: self.ledger.faults,
            policy: self.ledger.policy.clone(),
            service_keys: self.ledger.service_keys(),
            writer_key: gateway().public_key(),
            requester: READER,
            key: person(0),
            grant,
            next_tag: 1,
            scope,
            purpose: Purpose::Treatment,
            home: MemberIndex::new(0),
        }
    }
}

//! The patient's side of erasure: the order in the wallet, the requests under it, what custodians give a last
//! time, and what the receipts prove. Pure: randomness, time and answers are arguments.
//!
//! A wallet that has ordered erasure grants nothing more. What it must know to go on after a crash is stored in
//! it *before* anything is destroyed: once shares are gone, nobody can say again where the fragments lie.

use crate::error::{ClientError, Fault};
use crate::grant::{Wallet, copy, seal};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use salus_crypto::chain::{ChainAnchor, Link};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_fragment::{CheckedShare, OpeningEpoch};
use salus_proof::{Proven, ProvenState};
use salus_wire::erasure::{
    EraseRequest, EraseStep, EraseTerms, ErasedEpoch, ErasedShares, Erasure, Holder, erase_message,
    erased_info, erased_message, erasure_commitment,
};
use salus_wire::ids::{ChainId, EpochId, GrantTag, MemberIndex, PartyId, TimeMs};
use salus_wire::limits::{ERASED_EPOCHS_MAX, GRANT_PLAIN_BYTES, RPC_BYTES_MAX};
use salus_wire::release::{EpochShare, EpochShares, ShareBytes, reader_digest};
use salus_wire::rpc::Request;
use salus_wire::state::Tip;
use salus_wire::tx::TxBody;
use salus_wire::{Code, Faults, List, StateKey, StateValue, Tx, decode, encode, namespaces};
use std::collections::BTreeMap;

/// A patient's order, as the wallet keeps it.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Order {
    /// Its place on the chain, from 1.
    pub index: u16,
    /// What commits it.
    pub tx: Tx,
    /// Whether it is proven final.
    pub settled: bool,
    /// The seed of the key to which custodians seal their shares a last time.
    pub reader: ShareBytes,
    /// What finds the fragments of each epoch; `None` until custodians have told.
    pub epochs: Option<Vec<KnownEpoch>>,
}

/// What finds the fragments of one epoch.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct KnownEpoch {
    /// The epoch's locator key.
    pub locators: ShareBytes,
    /// Segments that some store has had, as far as is known.
    pub segments: u32,
}

/// What the operator of a gateway is given, to see for themselves that an order stands: it shows which chain is
/// erased and opens nothing else. Secret, as it names the chain.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct OrderFile {
    /// The order's place on its chain, from 1.
    pub index: u16,
    /// The chain's link there.
    pub link: ShareBytes,
    /// Opens the order's sealed body.
    pub body_key: ShareBytes,
}

/// An order on its way to members.
pub struct Errand {
    chain: ChainId,
    faults: Faults,
    service_keys: Vec<PublicKey>,
    writer: PartyId,
    writer_key: PublicKey,
    index: u16,
    link: Link,
    anchor: ChainAnchor,
    body_key: Secret<32>,
    one_time: SigningKey,
    reader: KemSecretKey,
}

/// What the consortium is, to an errand.
pub struct Addressees {
    /// Its identity.
    pub chain: ChainId,
    /// How many members, and how many may lie.
    pub faults: Faults,
    /// Each member's service key, by index.
    pub service_keys: Vec<PublicKey>,
    /// The writer's registered key.
    pub writer_key: PublicKey,
}

/// Shares as custodians give them a last time.
#[derive(Default)]
pub struct LastShares {
    epochs: BTreeMap<(TimeMs, EpochId), BTreeMap<MemberIndex, CheckedShare>>,
}

/// The epochs that can be found.
pub struct FoundEpochs {
    /// What finds them.
    pub epochs: Vec<KnownEpoch>,
    /// Epochs of which too few shares were there: they open for nobody, and their fragments cannot be named.
    pub closed: usize,
}

/// Who has signed that nothing is left, as one proof shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// The final block as of which this holds.
    pub at: Tip,
    /// By member, when its receipt became final.
    pub members: Vec<Option<Tip>>,
    /// When the writer's did.
    pub writer: Option<Tip>,
}

impl Wallet {
    /// Makes the order that everything under this chain be destroyed, or gives the one that was made: the
    /// wallet must be stored, then the order's transaction settled, and the wallet stored again. No grant is
    /// made after it.
    ///
    /// # Errors
    /// [`ClientError::GrantPending`] while a grant is; [`ClientError::ChainUsedUp`].
    pub fn order_erasure(
        &mut self,
        chain: ChainId,
        rng: &mut impl CryptoRng,
    ) -> Result<&mut Order, ClientError> {
        if self.pending.is_some() {
            return Err(ClientError::GrantPending);
        }
        if self.order.is_none() {
            let order = self.make_order(chain, rng)?;
            self.order = Some(order);
        }
        self.order.as_mut().ok_or(ClientError::GrantPending)
    }

    fn make_order(&mut self, chain: ChainId, rng: &mut impl CryptoRng) -> Result<Order, ClientError> {
        let index = self.next_index()?;
        let (seed, one_time, reader) = (self.chain(), SigningKey::generate(rng), Secret::random(rng));
        let reader = ShareBytes(reader);
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let erasure = Erasure {
            salt,
            writer: self.writer,
            reader: reader_digest(&KemSecretKey::from_seed(copy(&reader)).public_key()),
            one_time: one_time.public_key(),
        };
        let body = TxBody::CommitGrant {
            tag: GrantTag(seed.link(index).tag()),
            commitment: erasure_commitment(&erasure),
            body: seal(&seed.body_key(index), GRANT_PLAIN_BYTES, &encode(&erasure), rng)?,
        };
        let tx = Tx::sign(chain, body, &one_time);
        self.one_time.push(ShareBytes(one_time.seed_for_storage()));
        Ok(Order { index, tx, settled: false, reader, epochs: None })
    }

    /// The order, on its way to members; `None` when none was made.
    #[must_use]
    pub fn errand(&self, to: Addressees) -> Option<Errand> {
        let Addressees { chain, faults, service_keys, writer_key } = to;
        let Order { index, reader, .. } = self.order.as_ref()?;
        let one_time = self.one_time.get(usize::from(index.checked_sub(1)?))?;
        let seed = self.chain();
        Some(Errand {
            chain,
            faults,
            service_keys,
            writer: self.writer,
            writer_key,
            index: *index,
            link: seed.link(*index),
            anchor: seed.anchor(),
            body_key: seed.body_key(*index),
            one_time: SigningKey::from_seed(copy(one_time)),
            reader: KemSecretKey::from_seed(copy(reader)),
        })
    }

    /// What the gateway's operator is given; `None` when no order was made.
    #[must_use]
    pub fn order_file(&self) -> Option<OrderFile> {
        let index = self.order.as_ref()?.index;
        let seed = self.chain();
        let link = ShareBytes(seed.link(index).to_secret());
        Some(OrderFile { index, link, body_key: ShareBytes(seed.body_key(index)) })
    }
}

impl OrderFile {
    /// The order's entry on the ledger.
    #[must_use]
    pub fn tag(&self) -> GrantTag {
        GrantTag(self.link().tag())
    }

    /// The chain that is erased, if `value` is the entry of this order and names `writer`.
    #[must_use]
    pub fn chain_of(&self, value: &StateValue, writer: PartyId) -> Option<ChainAnchor> {
        let StateValue::Grant(record) = value else { return None };
        let erasure = salus_consent::open_order(&self.body_key.0, record)?;
        let first = Digest::from_bytes(*self.link().back(self.index).to_secret().danger_expose());
        (erasure.writer == writer).then(|| ChainAnchor::from_digest(first))
    }

    fn link(&self) -> Link {
        Link::from_secret(copy(&self.link))
    }
}

impl Errand {
    /// The order's entry on the ledger.
    #[must_use]
    pub fn tag(&self) -> GrantTag {
        GrantTag(self.link.tag())
    }

    /// How many members it is for.
    #[must_use]
    pub const fn faults(&self) -> Faults {
        self.faults
    }

    /// A request to one member.
    pub fn request(
        &self,
        custodian: MemberIndex,
        step: EraseStep,
        now: TimeMs,
        rng: &mut impl CryptoRng,
    ) -> Request {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let terms = EraseTerms {
            custodian,
            nonce,
            sent: now,
            one_time: self.one_time.public_key(),
            index: self.index,
            link: ShareBytes(self.link.to_secret()),
            body_key: ShareBytes(Secret::from_bytes(*self.body_key.danger_expose())),
            reader: self.reader.public_key(),
            step,
        };
        let signature = self.one_time.sign(namespaces::ERASE_REQUEST, &erase_message(self.chain, &terms));
        Request::Erase(EraseRequest { terms, signature })
    }

    /// Takes one page of a custodian's shares into `shares`: how many it held, and how many are left.
    ///
    /// # Errors
    /// The code of what is wrong with it; nothing of it is kept then.
    pub fn take(
        &self,
        from: MemberIndex,
        page: &ErasedShares,
        shares: &mut LastShares,
    ) -> Result<(u32, u32), Code> {
        let ErasedShares { custodian, order, sealed, remaining, signature } = page;
        if *custodian != from || *order != self.tag() {
            return Err(Code::Malformed);
        }
        let key = self.service_keys.get(usize::from(from.get())).ok_or(Code::Internal)?;
        let message = erased_message(self.chain, from, *order, sealed, *remaining);
        key.verify(namespaces::ERASED_SHARES, &message, signature).map_err(|_| Code::BadSignature)?;
        let info = erased_info(self.chain, from, *order);
        let plain = self.reader.open(&info, &[], sealed).map_err(|_| Code::BodyMismatch)?;
        let EpochShares(given) = decode(&plain, RPC_BYTES_MAX).map_err(|_| Code::Malformed)?;
        let count = u32::try_from(given.len()).map_err(|_| Code::TooLarge)?;
        let checked: Result<Vec<CheckedShare>, Code> =
            given.into_vec().into_iter().map(|share| self.checked(from, share)).collect();
        for share in checked? {
            let epoch = (share.header().span.from(), share.header().epoch);
            shares.epochs.entry(epoch).or_default().insert(from, share);
        }
        Ok((count, *remaining))
    }

    fn checked(&self, from: MemberIndex, share: EpochShare) -> Result<CheckedShare, Code> {
        if share.header.grants != self.anchor || share.header.writer != self.writer {
            return Err(Code::BodyMismatch);
        }
        CheckedShare::check(self.chain, self.faults, &self.writer_key, from, share)
            .map_err(|_| Code::BodyMismatch)
    }

    /// The state entries that say who has destroyed.
    #[must_use]
    pub fn receipt_keys(&self) -> Vec<StateKey> {
        receipt_keys(self.tag(), self.faults, self.writer)
    }

    /// What a proof of [`Errand::receipt_keys`] says.
    #[must_use]
    pub fn receipts(&self, state: &ProvenState) -> Receipts {
        let since = |key: &StateKey| match state.get(key) {
            Proven::Present(StateValue::Destruction(record)) => Some(record.since),
            _ => None,
        };
        let mut all: Vec<Option<Tip>> = self.receipt_keys().iter().map(since).collect();
        let writer = all.pop().flatten();
        Receipts { at: state.at(), members: all, writer }
    }
}

/// Members in order, then the writer.
fn receipt_keys(order: GrantTag, faults: Faults, writer: PartyId) -> Vec<StateKey> {
    let members = (0..faults.members()).map(|member| Holder::Member(MemberIndex::new(member)));
    let holders = members.chain(std::iter::once(Holder::Writer(writer)));
    holders.map(|holder| StateKey::Destruction(order, holder)).collect()
}

impl LastShares {
    /// Puts together what can be.
    #[must_use]
    pub fn find(self) -> FoundEpochs {
        let mut found = FoundEpochs { epochs: Vec::new(), closed: 0 };
        for shares in self.epochs.into_values() {
            match OpeningEpoch::combine(shares.into_values().collect()) {
                Ok(epoch) => {
                    let locators = ShareBytes(epoch.locators().to_secret());
                    found.epochs.push(KnownEpoch { locators, segments: 0 });
                }
                Err(_) => found.closed = found.closed.saturating_add(1),
            }
        }
        found
    }
}

/// The epochs in runs that one request may name.
#[must_use]
pub fn runs(epochs: &[KnownEpoch]) -> Vec<List<ErasedEpoch, ERASED_EPOCHS_MAX>> {
    let named = |epoch: &KnownEpoch| ErasedEpoch {
        locators: ShareBytes(copy(&epoch.locators)),
        segments: epoch.segments,
    };
    let runs = epochs.chunks(ERASED_EPOCHS_MAX);
    runs.filter_map(|run| List::new(run.iter().map(named).collect()).ok()).collect()
}

impl Receipts {
    /// How many members have signed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.iter().flatten().count()
    }

    /// Whether nothing can bring the data back: n - f members have signed, of whom f may have lied, so that at
    /// most 2f hold a share still, and t = 2f + 1 are needed.
    #[must_use]
    pub fn irrecoverable(&self, faults: Faults) -> bool {
        self.count() >= usize::from(faults.quorum())
    }

    /// Whether every holder has signed, the writer included.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.members.iter().all(Option::is_some) && self.writer.is_some()
    }

    /// The members that have not signed.
    #[must_use]
    pub fn missing(&self) -> Vec<MemberIndex> {
        let numbered = (0_u16..).map(MemberIndex::new).zip(&self.members);
        numbered.filter(|(_, receipt)| receipt.is_none()).map(|(member, _)| member).collect()
    }
}

/// What a member failed at.
pub(crate) fn fault(member: MemberIndex, code: Code, detail: &str) -> Fault {
    Fault { member, code, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{GrantTerms, open_grant};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use salus_crypto::chain::ChainTag;
    use salus_wire::consent::Grantee;
    use salus_wire::state::{GrantRecord, Standing};
    use salus_wire::{Classes, Codes, Height, Purpose, Purposes, Role, Scope, TimeSpan};

    const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));
    const WRITER: PartyId = PartyId::new([4; 16]);
    const AT: Tip = Tip { height: Height::new(5), time: TimeMs::new(9) };

    fn terms() -> GrantTerms {
        let span = TimeSpan::new(TimeMs::new(1), TimeMs::new(2)).unwrap();
        GrantTerms {
            grantee: Grantee::Role { member: MemberIndex::new(0), role: Role::Nurse },
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span },
            purposes: Purposes::of(&[Purpose::Treatment]).unwrap(),
            validity: span,
            denies: List::empty(),
        }
    }

    fn entry(tx: &Tx) -> GrantRecord {
        let TxBody::CommitGrant { commitment, body, .. } = &tx.body else { panic!("an order is committed") };
        let (commitment, one_time, body) = (*commitment, tx.signer, body.clone());
        GrantRecord { commitment, one_time, body, since: AT, standing: Standing::Active }
    }

    #[test]
    fn an_order_takes_the_next_tag_and_ends_the_chain() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut wallet = Wallet::generate(WRITER, &mut rng);
        wallet.grant(CHAIN, terms(), &mut rng).unwrap();
        assert!(matches!(wallet.order_erasure(CHAIN, &mut rng), Err(ClientError::GrantPending)));
        let granted = wallet.pending.as_ref().unwrap().tx.clone();
        let _ = wallet.settled(1);
        let order = wallet.order_erasure(CHAIN, &mut rng).unwrap();
        assert_eq!((order.index, order.settled), (2, false));
        let tx = order.tx.clone();
        // The same order when it is asked for again, also after the wallet was stored.
        let mut wallet: Wallet = decode(&encode(&wallet), 1 << 20).unwrap();
        assert_eq!(wallet.order_erasure(CHAIN, &mut rng).unwrap().tx, tx);
        let refused = wallet.grant(CHAIN, terms(), &mut rng).err().unwrap();
        assert_eq!(refused.code(), Code::ChainErased);
        // On the ledger it is as long as a grant, and opens as none.
        assert_eq!(encode(&tx).len(), encode(&granted).len());
        let (record, key) = (entry(&tx), wallet.chain().body_key(2));
        assert!(open_grant(&key, &record.body).is_none());
        assert!(salus_consent::open_order(&key, &record).is_some());
        assert!(salus_consent::open_order(&wallet.chain().body_key(1), &entry(&granted)).is_none());
        let TxBody::CommitGrant { tag, .. } = &tx.body else { panic!("an order is committed") };
        assert_eq!(*tag, GrantTag(wallet.chain().link(2).tag()));

        let file = wallet.order_file().unwrap();
        let value = StateValue::Grant(record);
        assert_eq!(file.tag(), *tag);
        assert_eq!(file.chain_of(&value, WRITER), Some(wallet.chain().anchor()));
        assert_eq!(file.chain_of(&value, PartyId::new([5; 16])), None);
        assert_eq!(file.chain_of(&StateValue::Grant(entry(&granted)), WRITER), None);
    }

    #[test]
    fn receipts_are_counted_and_the_missing_named() {
        let faults = Faults::for_members(4).unwrap();
        let of = |signed: [bool; 4], writer: bool| Receipts {
            at: AT,
            members: signed.map(|signed| signed.then_some(AT)).to_vec(),
            writer: writer.then_some(AT),
        };
        for (signed, writer, irrecoverable, complete, missing) in [
            ([false; 4], true, false, false, vec![0, 1, 2, 3]),
            ([true, true, false, false], true, false, false, vec![2, 3]),
            ([true, false, true, true], false, true, false, vec![1]),
            ([true, false, true, true], true, true, false, vec![1]),
            ([true; 4], false, true, false, vec![]),
            ([true; 4], true, true, true, vec![]),
        ] {
            let receipts = of(signed, writer);
            assert_eq!(receipts.irrecoverable(faults), irrecoverable, "{signed:?}");
            assert_eq!(receipts.complete(), complete, "{signed:?}");
            let named: Vec<u16> = receipts.missing().iter().map(|member| member.get()).collect();
            assert_eq!(named, missing);
        }
        let tag = GrantTag(ChainTag::from_digest(Digest::ZERO));
        let keys = receipt_keys(tag, faults, WRITER);
        assert_eq!(keys.len(), 5);
        assert_eq!(keys.last(), Some(&StateKey::Destruction(tag, Holder::Writer(WRITER))));
    }
}

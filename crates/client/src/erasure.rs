//! The patient's side of erasure: the order in the wallet, the requests under it, what custodians give a last
//! time, and what the receipts prove. Pure: randomness, time and answers are arguments.
//!
//! A wallet that has ordered erasure grants nothing more. What it must know to go on after a crash is stored in
//! it *before* anything is destroyed: once shares are gone, nobody can say again where the fragments lie.

use crate::error::{ClientError, Fault};
use crate::grant::{Wallet, copy, seal};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use salus_crypto::chain::{CHAIN_LEN_MAX, ChainAnchor, Link};
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
use salus_wire::limits::{EPOCHS_PER_ENVELOPE_MAX, ERASED_EPOCHS_MAX, GRANT_PLAIN_BYTES, RPC_BYTES_MAX};
use salus_wire::release::{EpochShare, EpochShares, ShareBytes, reader_digest};
use salus_wire::rpc::Request;
use salus_wire::state::Tip;
use salus_wire::tx::TxBody;
use salus_wire::{Code, Faults, List, StateKey, StateValue, Tx, decode, encode, namespaces};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Epochs whose fragments nobody can name: they stay, as ciphertext whose key is gone.
    pub unnamed: u32,
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
    /// Who has given all that it holds, by its own word.
    whole: BTreeSet<MemberIndex>,
}

/// The epochs that can be found.
pub struct FoundEpochs {
    /// What finds them.
    pub epochs: Vec<KnownEpoch>,
    /// Epochs whose fragments cannot be named.
    pub unnamed: u32,
}

/// Whether shares go although some fragments cannot be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// They do not: the order can be given again.
    Wait,
    /// They go, and those fragments stay as ciphertext.
    Leave,
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
        let index = self.next_index(CHAIN_LEN_MAX)?;
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
        let link = seed.link(index);
        let body = TxBody::CommitGrant {
            tag: GrantTag(link.tag()),
            commitment: erasure_commitment(&link, &erasure),
            body: seal(&seed.body_key(index), GRANT_PLAIN_BYTES, &encode(&erasure), rng)?,
        };
        let tx = Tx::sign(chain, body, &one_time);
        self.one_time.push(ShareBytes(one_time.seed_for_storage()));
        Ok(Order { index, tx, settled: false, reader, epochs: None, unnamed: 0 })
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
        let erasure = salus_consent::open_order(&self.link(), &self.body_key.0, record)?;
        let first = Digest::from_bytes(*self.link().back(self.index).to_secret().danger_expose());
        let ours = erasure.writer == writer && erasure.one_time == record.one_time;
        ours.then(|| ChainAnchor::from_digest(first))
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

    /// Takes one page of a custodian's shares into `shares`; says whether it was the last. Every page but the last is
    /// full, and none gives an epoch again: who gives pages without end gives signed epochs without end.
    ///
    /// # Errors
    /// The code of what is wrong with it.
    pub fn take(
        &self,
        from: MemberIndex,
        page: &ErasedShares,
        shares: &mut LastShares,
    ) -> Result<bool, Code> {
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
        let last = *remaining == 0;
        if !last && given.len() != EPOCHS_PER_ENVELOPE_MAX {
            return Err(Code::Malformed);
        }
        for share in given.into_vec() {
            let share = self.checked(from, share)?;
            let epoch = (share.header().span.from(), share.header().epoch);
            if shares.epochs.entry(epoch).or_default().insert(from, share).is_some() {
                return Err(Code::Malformed);
            }
        }
        if last {
            shares.whole.insert(from);
        }
        Ok(last)
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
    /// Who has given all that it holds, by its own word.
    #[must_use]
    pub const fn whole(&self) -> &BTreeSet<MemberIndex> {
        &self.whole
    }

    /// Whether nothing more is needed: n − f custodians gave all, so that every epoch that n − f took is among
    /// these, and each has the t shares that name its fragments.
    #[must_use]
    pub fn suffice(&self, faults: Faults) -> bool {
        let needed = usize::from(faults.key_threshold());
        self.whole.len() >= usize::from(faults.quorum())
            && self.epochs.values().all(|shares| shares.len() >= needed)
    }

    /// Who says that it gave all, and lacks an epoch that others gave: it missed it, or keeps it back.
    #[must_use]
    pub fn lacking(&self) -> Vec<Fault> {
        let lacks = |member: &&MemberIndex| self.epochs.values().any(|shares| !shares.contains_key(*member));
        let lacking = self.whole.iter().filter(lacks);
        lacking.map(|member| fault(*member, Code::NothingHeld, "an epoch that others hold")).collect()
    }

    /// Puts together what can be, once nothing more comes.
    ///
    /// # Errors
    /// [`ClientError::TooFewShares`] when fewer than n − f custodians gave all they hold: then there may be epochs
    /// of which nothing is known. [`ClientError::Unnamed`] when an epoch has fewer than t shares, and those who did
    /// not answer or lied may hold as many more as make t, unless they are to be left.
    pub fn find(self, of: Faults, unnamed: Unnamed, faults: Vec<Fault>) -> Result<FoundEpochs, ClientError> {
        let (released, needed) = (self.whole.len(), usize::from(of.quorum()));
        if released < needed {
            return Err(ClientError::TooFewShares { released, needed, faults });
        }
        let silent = usize::from(of.members()).saturating_sub(released);
        let more = silent.saturating_add(usize::from(of.tolerated()));
        let (mut found, mut lost, mut open) = (Vec::new(), 0_usize, 0_usize);
        for shares in self.epochs.into_values() {
            let may_be = shares.len().saturating_add(more);
            match OpeningEpoch::combine(shares.into_values().collect()) {
                Ok(epoch) => {
                    let locators = ShareBytes(epoch.locators().to_secret());
                    found.push(KnownEpoch { locators, segments: 0 });
                }
                Err(_) if may_be >= usize::from(of.key_threshold()) => open = open.saturating_add(1),
                Err(_) => lost = lost.saturating_add(1),
            }
        }
        if open > 0 && unnamed == Unnamed::Wait {
            return Err(ClientError::Unnamed { epochs: open, faults });
        }
        let unnamed = u32::try_from(lost.saturating_add(open)).unwrap_or(u32::MAX);
        Ok(FoundEpochs { epochs: found, unnamed })
    }
}

/// How far stores look for an epoch's segments, given what each said: as far as f + 1 members had any, so that one
/// that lies does not send the others through places where nothing ever was.
#[must_use]
pub fn agreed_count(mut counts: Vec<u32>, faults: Faults) -> u32 {
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts.get(usize::from(faults.tolerated())).copied().unwrap_or(0)
}

/// As many of the first of these epochs as one request may name.
#[must_use]
pub fn named(epochs: &[KnownEpoch]) -> List<ErasedEpoch, ERASED_EPOCHS_MAX> {
    let named = |epoch: &KnownEpoch| ErasedEpoch {
        locators: ShareBytes(copy(&epoch.locators)),
        segments: epoch.segments,
    };
    let first = epochs.iter().take(ERASED_EPOCHS_MAX).map(named).collect();
    List::new(first).unwrap_or_else(|_| List::empty())
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
    use crate::grant::{GrantTerms, ORDER_PLACES, open_grant};
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
        assert!(salus_consent::open_order(&wallet.chain().link(2), &key, &record).is_some());
        let (first, its_key) = (wallet.chain().link(1), wallet.chain().body_key(1));
        assert!(salus_consent::open_order(&first, &its_key, &entry(&granted)).is_none());
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
    fn a_place_that_another_took_is_passed_over() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut wallet = Wallet::generate(WRITER, &mut rng);
        wallet.grant(CHAIN, terms(), &mut rng).unwrap();
        wallet.passed_over(1);
        assert_eq!(wallet.grant(CHAIN, terms(), &mut rng).unwrap().file.index, 2);
        // What stands elsewhere is left alone.
        wallet.passed_over(1);
        assert!(wallet.settled(2).is_some());
        assert_eq!(wallet.order_erasure(CHAIN, &mut rng).unwrap().index, 3);
        wallet.passed_over(3);
        let order = wallet.order_erasure(CHAIN, &mut rng).unwrap();
        assert_eq!(order.index, 4);
        order.settled = true;
        wallet.passed_over(4);
        assert_eq!(wallet.order.as_ref().map(|order| order.index), Some(4));
        // An order as its squatter copied it: the same body and commitment, another key.
        let tx = wallet.order.as_ref().unwrap().tx.clone();
        let file = wallet.order_file().unwrap();
        let value = |one_time| StateValue::Grant(GrantRecord { one_time, ..entry(&tx) });
        assert!(file.chain_of(&value(tx.signer), WRITER).is_some());
        assert!(file.chain_of(&value(SigningKey::generate(&mut rng).public_key()), WRITER).is_none());
    }

    #[test]
    fn a_chain_that_is_full_of_grants_can_be_erased() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut wallet = Wallet::generate(WRITER, &mut rng);
        wallet.one_time =
            (0..CHAIN_LEN_MAX - ORDER_PLACES).map(|_| ShareBytes(Secret::from_bytes([1; 32]))).collect();
        let full = wallet.grant(CHAIN, terms(), &mut rng).map(drop);
        assert!(matches!(full, Err(ClientError::ChainUsedUp)));
        for place in 1..=ORDER_PLACES {
            let index = CHAIN_LEN_MAX - ORDER_PLACES + place;
            assert_eq!(wallet.order_erasure(CHAIN, &mut rng).unwrap().index, index);
            wallet.passed_over(index);
        }
        assert!(matches!(wallet.order_erasure(CHAIN, &mut rng).map(drop), Err(ClientError::ChainUsedUp)));
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

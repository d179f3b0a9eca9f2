//! The archive of blocks: keeps what is final, fetches what is missing, hands it on in order.
//!
//! Promises durable blocks and certificates by height, in memory that does not grow with their
//! number, and delivery to the desk at least once and in order, only after they are durable.
//!
//! Folder names are fixed and never deleted. Nothing is pruned in this version.

use super::parts::EPOCH;
use crate::candidate::Candidate;
use crate::error::EngineError;
use crate::handle;
use crate::host::{Footprint, Member, Runtime, Wires, Wiring};
use crate::reporters::Finals;
use crate::scheme::{Payload, PeerKey, Scheme};
use commonware_broadcast::buffered;
use commonware_consensus::marshal::core::Actor;
use commonware_consensus::marshal::resolver::p2p as resolver;
use commonware_consensus::marshal::standard::Standard;
use commonware_consensus::marshal::{self, Start};
use commonware_consensus::simplex::types::Finalization;
use commonware_consensus::types::{Epoch, FixedEpocher, ViewDelta};
use commonware_cryptography::certificate::{ConstantProvider, Verifier as _};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_parallel::Sequential;
use commonware_runtime::Handle as Task;
use commonware_runtime::buffer::paged::{self, CacheRef};
use commonware_storage::archive::immutable;
use commonware_utils::{NZDuration, NZU64, NZUsize};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

/// Blocks of the only epoch; at a thousand a second it lasts for a hundred million years.
pub(super) const EPOCH_BLOCKS: NonZeroU64 = NZU64!(1 << 62);
/// Final blocks handed to the desk before it must acknowledge one.
const ACKS_MAX: NonZeroUsize = NZUsize!(16);
/// Views for which candidates are kept behind the final block.
pub(super) const VIEWS_KEPT: ViewDelta = ViewDelta::new(128);
/// Missing blocks fetched at a time.
const REPAIR_MAX: NonZeroUsize = NZUsize!(32);
/// Candidates of each peer held until they are voted on.
const BUFFERED_MAX: usize = 8;
/// Pages of 4 KiB in the cache that all files share.
const PAGES_CACHED: NonZeroUsize = NZUsize!(256);
/// Bytes gathered before a write.
pub(super) const WRITE_BUFFER: NonZeroUsize = NZUsize!(16 * 1024);
/// Bytes read at a time at start.
pub(super) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(64 * 1024);
/// Final blocks in one section.
const SECTION_BLOCKS: NonZeroU64 = NZU64!(65_536);
/// Candidates in one section, the unit in which they are deleted.
const SECTION_CANDIDATES: NonZeroU64 = NZU64!(64);
/// Bytes of one file of blocks or certificates. Three files stay open for each, so that a terabyte of
/// ledger keeps 750 open.
const FILE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Entries of a slot that make it double.
const INDEX_CROWDED: u8 = 4;
/// Slots moved at a time while it doubles.
const INDEX_STEP: u32 = 4_096;
/// Time for a peer to answer a request.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Time before a request that failed is made again.
pub(super) const FETCH_AGAIN: Duration = Duration::from_millis(100);

type Finalizations<E> = immutable::Archive<E, Payload, Finalization<Scheme, Payload>>;
type Blocks<E> = immutable::Archive<E, Payload, Arc<Candidate>>;
type Provider = ConstantProvider<Scheme, Epoch>;
type Marshal<E> =
    Actor<E, Standard<Candidate>, Provider, Finalizations<E>, Blocks<E>, FixedEpocher, Sequential>;

/// What the archive's parts speak through.
pub(super) struct Wired<W: Wiring> {
    pub(super) footprint: Footprint,
    /// Repair of blocks.
    pub(super) backfill: Wires<W>,
    /// Blocks as they are proposed.
    pub(super) blocks: Wires<W>,
    pub(super) guard: W::Guard,
    pub(super) peers: W::Peers,
}

/// A page cache of the size that every file was written with.
pub(super) fn page_cache() -> CacheRef {
    CacheRef::new(paged::page_size(4_096), PAGES_CACHED)
}

/// Opens the archive and sets it to work.
pub(super) async fn open<E: Runtime, W: Wiring>(
    context: &E,
    member: &Member,
    genesis: Candidate,
    wired: Wired<W>,
    reporter: Finals,
) -> Result<(handle::Archive, Task<()>), EngineError> {
    let me = member.public_key();
    let Wired { footprint, backfill, blocks: block_wires, guard, peers } = wired;
    let cache = page_cache();
    let finalizations = Finalizations::<E>::init(
        context.child("finalizations"),
        files(&footprint, "finalizations", cache.clone(), Scheme::certificate_codec_config_unbounded()),
    );
    let finalizations = finalizations.await.map_err(|error| EngineError::Archive(error.into()))?;
    let blocks = Blocks::<E>::init(context.child("blocks"), files(&footprint, "blocks", cache.clone(), ()));
    let blocks = blocks.await.map_err(|error| EngineError::Archive(error.into()))?;
    let anchor = Digested::precomputed(genesis.clone(), genesis.digest());
    let (actor, mailbox, _) = Marshal::<E>::init(
        context.child("archive"),
        finalizations,
        blocks,
        config(member, &footprint, anchor, cache),
    )
    .await;
    let resolver = resolver::init(
        context.child("resolver"),
        resolver_config::<W>(&footprint, me.clone(), &peers, guard),
        backfill,
    );
    let (broadcast, buffer) =
        buffered::Engine::new(context.child("broadcast"), broadcast_config::<W>(&footprint, me, peers));
    broadcast.start(block_wires);
    Ok((mailbox, actor.start(reporter, buffer, resolver)))
}

fn config(
    member: &Member,
    footprint: &Footprint,
    anchor: Digested<Candidate>,
    page_cache: CacheRef,
) -> marshal::Config<Provider, FixedEpocher, Sequential, Candidate, Digested<Candidate>> {
    debug_assert!(EPOCH.is_zero(), "one scheme serves the only epoch");
    marshal::Config {
        provider: ConstantProvider::new(member.votes.clone()),
        epocher: FixedEpocher::new(EPOCH_BLOCKS),
        start: Start::Genesis(anchor),
        partition_prefix: format!("{}archive", footprint.prefix),
        mailbox_size: footprint.mailbox_slots,
        view_retention: VIEWS_KEPT,
        prunable_items_per_section: SECTION_CANDIDATES,
        page_cache,
        replay_buffer: REPLAY_BUFFER,
        key_write_buffer: WRITE_BUFFER,
        value_write_buffer: WRITE_BUFFER,
        block_codec_config: (),
        max_repair: REPAIR_MAX,
        max_pending_acks: ACKS_MAX,
        strategy: Sequential,
    }
}

fn files<C>(
    footprint: &Footprint,
    part: &str,
    page_cache: CacheRef,
    codec_config: C,
) -> immutable::Config<C> {
    let name = format!("{}{part}", footprint.prefix);
    immutable::Config {
        metadata_partition: format!("{name}-metadata"),
        freezer_table_partition: format!("{name}-table"),
        freezer_table_initial_size: footprint.index_slots,
        freezer_table_resize_frequency: INDEX_CROWDED,
        freezer_table_resize_chunk_size: INDEX_STEP,
        freezer_key_partition: format!("{name}-keys"),
        freezer_key_page_cache: page_cache,
        freezer_value_partition: format!("{name}-values"),
        freezer_value_target_size: FILE_BYTES,
        freezer_value_compression: None,
        ordinal_partition: format!("{name}-heights"),
        items_per_section: SECTION_BLOCKS,
        freezer_key_write_buffer: WRITE_BUFFER,
        freezer_value_write_buffer: WRITE_BUFFER,
        ordinal_write_buffer: WRITE_BUFFER,
        replay_buffer: REPLAY_BUFFER,
        codec_config,
    }
}

fn resolver_config<W: Wiring>(
    footprint: &Footprint,
    me: PeerKey,
    peers: &W::Peers,
    guard: W::Guard,
) -> resolver::Config<PeerKey, W::Peers, W::Guard> {
    resolver::Config {
        public_key: me,
        peer_provider: peers.clone(),
        blocker: guard,
        mailbox_size: footprint.mailbox_slots,
        fetch_timeout: NZDuration!(FETCH_TIMEOUT),
        fetch_retry_delay: FETCH_AGAIN,
        priority_requests: false,
        priority_responses: false,
    }
}

fn broadcast_config<W: Wiring>(
    footprint: &Footprint,
    me: PeerKey,
    peers: W::Peers,
) -> buffered::Config<PeerKey, (), W::Peers, Sequential> {
    buffered::Config {
        public_key: me,
        mailbox_size: footprint.mailbox_slots,
        deque_size: BUFFERED_MAX,
        priority: true,
        codec_config: (),
        peer_provider: peers,
        strategy: Sequential,
    }
}

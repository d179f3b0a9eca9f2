//! Named maxima. A number that bounds what a peer may send lives here and nowhere else.

/// Members of one consortium. A certificate carries one signature for each of them.
pub const MEMBERS_MAX: usize = 64;
/// Bytes of one encoded transaction.
pub const TX_BYTES_MAX: usize = 8 * 1024;
/// Transactions in one block.
pub const BLOCK_TXS_MAX: usize = 4_096;
/// Bytes of one encoded block.
pub const BLOCK_BYTES_MAX: usize = 1024 * 1024;
/// Milliseconds by which a block's time may run ahead of the clock of the member that checks it.
pub const CLOCK_AHEAD_MS_MAX: u64 = 500;
/// Plaintext bytes of one segment.
pub const SEGMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Leaves (readings) of one segment.
pub const SEGMENT_LEAVES_MAX: usize = 65_536;
/// Bytes of one fragment.
pub const FRAGMENT_BYTES_MAX: usize = SEGMENT_BYTES_MAX + 64 * 1024;
/// Segments in one batch, hence manifests under one anchor.
pub const BATCH_SEGMENTS_MAX: usize = 256;
/// Bytes of one remote call, either way.
pub const RPC_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one device frame as received.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one leaf: the device's public key and its frame.
pub const LEAF_BYTES_MAX: usize = FRAME_BYTES_MAX + 64;
/// Bytes of a sealed segment descriptor, padded; every manifest shows the same length.
pub const DESCRIPTOR_BYTES: usize = 320;
/// Bytes of plaintext to which a grant is padded before it is sealed for the ledger.
pub const GRANT_PLAIN_BYTES: usize = 640;
/// Bytes of a sealed grant on the ledger: 32 random, 2 of length, padding, 16 of tag.
pub const GRANT_BODY_BYTES: usize = 32 + 2 + GRANT_PLAIN_BYTES + 16;
/// Bytes of plaintext to which an intent is padded before it is sealed for the ledger.
pub const INTENT_PLAIN_BYTES: usize = 384;
/// Bytes of a sealed intent on the ledger: 32 random, 2 of length, padding, 16 of tag.
pub const INTENT_BODY_BYTES: usize = 32 + 2 + INTENT_PLAIN_BYTES + 16;
/// State keys in one read or one proof.
pub const STATE_KEYS_MAX: usize = 4_096;
/// Headers between the one asked for and the first one that carries a certificate.
pub const HEADER_CHAIN_MAX: usize = 64;
/// Bytes of an encoded finality certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 64 + MEMBERS_MAX * 66;
/// Sibling hashes in one state proof path.
pub const STATE_PATH_MAX: usize = 256;
/// Envelopes in one deposit of key shares.
pub const DEPOSIT_ENVELOPES_MAX: usize = 256;
/// Epochs named by one envelope, or released by one answer.
pub const EPOCHS_PER_ENVELOPE_MAX: usize = 64;
/// Epochs named by one request to destroy fragments.
pub const ERASED_EPOCHS_MAX: usize = 64;
/// Segments of one epoch that a store looks for when it destroys them.
pub const EPOCH_SEGMENTS_MAX: u32 = 65_536;
/// Milliseconds of block time for which an access may be used after its height.
pub const ACCESS_VALID_MS_MAX: u32 = 60_000;
/// Looks of one emergency grant, each with its tag of the lane.
pub const EMERGENCY_PLACES_MAX: usize = 32;
/// Emergency grants under one card.
pub const EMERGENCY_GRANTS_MAX: usize = 8;
/// Looks under one card.
pub const EMERGENCY_TAGS_MAX: usize = EMERGENCY_GRANTS_MAX * EMERGENCY_PLACES_MAX;
/// Bytes of a tag.
pub const EMERGENCY_TAG_PLAIN_BYTES: usize = 32;
/// Bytes of the tag of one look, sealed: 32 random, 2 of length, the tag, 16 of tag of the seal.
pub const EMERGENCY_TAG_BYTES: usize = 32 + 2 + EMERGENCY_TAG_PLAIN_BYTES + 16;
/// Bytes to which what opens one look is padded before it is sealed.
pub const EMERGENCY_KIT_PLAIN_BYTES: usize = 98;
/// Bytes of what opens one look, sealed: 32 random, 2 of length, padding, 16 of tag.
pub const EMERGENCY_KIT_BYTES: usize = 32 + 2 + EMERGENCY_KIT_PLAIN_BYTES + 16;
/// Milliseconds for which glass stays broken: looks within them are one use.
pub const EMERGENCY_MS_MAX: u64 = 3_600_000;
/// Looks of one use.
pub const EMERGENCY_LOOKS_MAX: usize = 8;
/// Uses of one person in 24 hours.
pub const EMERGENCY_USES_MAX: usize = 4;
/// Milliseconds after which a use that nobody reviewed is overdue.
pub const REVIEW_DUE_MS: u64 = 24 * 3_600_000;
/// Milliseconds after which uses that nobody reviewed suspend.
pub const REVIEW_SUSPEND_MS: u64 = 72 * 3_600_000;
/// Uses past that time, not reviewed, that suspend their user.
pub const REVIEW_SUSPEND_USES: usize = 2;
/// Uses in one answer to a privacy officer.
pub const REVIEWS_MAX: usize = 1_024;
/// Guardians of one wallet.
pub const GUARDIANS_MAX: usize = 16;
/// Cases that can be opened under one preparation.
pub const RECOVERY_CASES_MAX: usize = 8;
/// Wallets of one patient that were recovered one after the other.
pub const WALLETS_BEFORE_MAX: usize = 8;
/// Bytes to which what of a wallet comes back is padded before it is sealed.
pub const RECOVERY_PACKAGE_PLAIN_BYTES: usize = 384;
/// Bytes of the same, sealed: 32 random, 2 of length, padding, 16 of tag.
pub const RECOVERY_PACKAGE_BYTES: usize = 32 + 2 + RECOVERY_PACKAGE_PLAIN_BYTES + 16;
/// The shortest delay of a recovery: for trials and tests.
pub const RECOVERY_DELAY_MS_MIN: u64 = 1_000;
/// The shortest that leaves a patient the time to notice: what custodians take at least when they are not told
/// otherwise.
pub const RECOVERY_DELAY_MS_SAFE: u64 = 24 * 3_600_000;
/// The longest.
pub const RECOVERY_DELAY_MS_MAX: u64 = 90 * 24 * 3_600_000;
/// Milliseconds between a new wallet's asking and its case, within which guardians' approvals are good.
pub const RECOVERY_APPROVAL_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// Milliseconds after its asking until which a new wallet opens a case: a day before approvals are too old.
pub const RECOVERY_OPEN_MS_MAX: u64 = 6 * 24 * 3_600_000;
/// Milliseconds by which a new wallet's asking may differ from a guardian's clock.
pub const RECOVERY_ASK_MS_MAX: u64 = 24 * 3_600_000;
/// Milliseconds by which the sending time of a request may differ from the receiver's clock.
pub const REQUEST_SKEW_MS_MAX: u64 = 30_000;
/// Milliseconds behind its own clock at which a member's ledger view counts as stale.
pub const VIEW_STALE_MS: u64 = 10_000;
/// Milliseconds by which the block of a proven list may differ from the clock of the client that shows it.
/// More than [`VIEW_STALE_MS`], since people's clocks are worse than members'.
pub const LIST_STALE_MS: u64 = 30_000;
/// Milliseconds after which a live epoch key is replaced.
pub const EPOCH_MS_MAX: u64 = 3_600_000;
/// Blocks in one answer to a follower.
pub const FOLLOW_BLOCKS_MAX: usize = 64;
/// Bytes of a member's or gateway's display name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a member's policy, as it stands on the ledger.
pub const POLICY_BYTES_MAX: usize = 6 * 1024;
/// Clauses (`permit` or `forbid`) of one policy.
pub const POLICIES_MAX: usize = 64;

const _: () = assert!(TX_BYTES_MAX < BLOCK_BYTES_MAX);
const _: () = assert!(POLICY_BYTES_MAX + 1_024 < TX_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES_MAX < RPC_BYTES_MAX);
const _: () = assert!(FRAGMENT_BYTES_MAX < RPC_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX < SEGMENT_BYTES_MAX);
const _: () = assert!(VIEW_STALE_MS < LIST_STALE_MS);
const _: () = assert!(RECOVERY_DELAY_MS_MIN < RECOVERY_DELAY_MS_SAFE);
const _: () = assert!(RECOVERY_DELAY_MS_SAFE < RECOVERY_DELAY_MS_MAX);
const _: () = assert!(RECOVERY_OPEN_MS_MAX < RECOVERY_APPROVAL_MS_MAX);
/// Rows in one page of activity.
pub const ACTIVITY_ROWS_MAX: usize = 4_096;
/// Milliseconds of a day of UTC.
pub const DAY_MS: u64 = 24 * 3_600_000;
/// Days for which activity is remembered: six years (45 CFR 164.316(b)(2)(i)), two of them leap years.
pub const ACTIVITY_DAYS: u32 = 6 * 365 + 2;

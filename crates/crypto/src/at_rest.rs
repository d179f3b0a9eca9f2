//! The room of bytes at rest: records, rows and file names sealed under a machine's own key.
//!
//! It promises that no nonce is ever used twice, whatever crashes: each record, and each file of
//! rows, has a key of its own, derived from 32 bytes drawn for it. It refuses to know where the
//! machine key and the sealed bytes are kept.

use core::fmt;

use rand_core::CryptoRng;

use crate::aead::{AeadKey, NONCE_LEN, TAG_LEN};
use crate::digest::{Digest, Namespace};
use crate::error::{CryptoError, OpenFailed};
use crate::kdf;
use crate::namespaces;
use crate::secret::Secret;

/// The suite byte: HKDF-SHA-256 and AES-256-GCM.
pub const AT_REST_SUITE: u8 = 1;
/// Bytes by which a sealed record is longer than its plaintext: suite, 32 random bytes, tag.
pub const RECORD_OVERHEAD: usize = ROW_HEADER_LEN + TAG_LEN;
/// Bytes of the header of a file of sealed rows: suite and 32 random bytes.
pub const ROW_HEADER_LEN: usize = 1 + 32;
/// Bytes by which a sealed row is longer than its plaintext.
pub const ROW_OVERHEAD: usize = TAG_LEN;

/// The key that seals everything one machine keeps. It lives outside the data folder.
pub struct MachineKey(Secret<32>);

impl MachineKey {
    /// Takes a key read from where the machine keeps it.
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// Draws a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// The key, to be written to its own file and for nothing else.
    pub fn secret_for_storage(&self) -> &Secret<32> {
        &self.0
    }

    /// Seals one record: suite byte ‖ 32 random bytes ‖ ciphertext and tag. `context` says which
    /// record it is (its kind, its name), and the record opens in no other place.
    pub fn seal(&self, context: &[u8], plaintext: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
        let header = draw_header(rng);
        // The key is this record's alone, so one fixed nonce is used once.
        let key = self.key_for(namespaces::AT_REST_RECORD, &header, context);
        let mut record = Vec::with_capacity(plaintext.len().saturating_add(RECORD_OVERHEAD));
        record.extend_from_slice(&header);
        record.resize(plaintext.len().saturating_add(RECORD_OVERHEAD), 0);
        if let Some((_, out)) = record.split_first_chunk_mut::<ROW_HEADER_LEN>() {
            key.seal_into([0; NONCE_LEN], &[], plaintext, out);
        }
        record
    }

    /// Opens what [`seal`](Self::seal) made with the same context.
    ///
    /// # Errors
    /// [`OpenFailed`] if the record was altered, moved, or is of another machine or suite.
    pub fn open(&self, context: &[u8], record: &[u8]) -> Result<Vec<u8>, OpenFailed> {
        let (header, sealed) = record.split_first_chunk::<ROW_HEADER_LEN>().ok_or(OpenFailed)?;
        check_suite(header)?;
        let key = self.key_for(namespaces::AT_REST_RECORD, header, context);
        open_to_vec(&key, [0; NONCE_LEN], sealed)
    }

    /// A name for a file or folder that reveals nothing of `parts` without the machine key, and is
    /// always the same for the same parts. Each part is framed with its length.
    pub fn label(&self, parts: &[&[u8]]) -> Digest {
        let lens: Vec<[u8; 8]> = parts.iter().map(|part| crate::digest::len_prefix(part)).collect();
        let framed: Vec<&[u8]> =
            lens.iter().zip(parts).flat_map(|(len, part)| [len.as_slice(), part]).collect();
        kdf::prf(namespaces::AT_REST_LABEL, &self.0, &framed)
    }

    fn key_for(&self, ns: Namespace, header: &[u8; ROW_HEADER_LEN], context: &[u8]) -> AeadKey {
        // The whole header is the salt, so that the suite byte is bound too; the context is the
        // only part of the info, so it needs no length.
        AeadKey::new(kdf::derive(ns, &self.0, header, &[context]))
    }
}

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineKey([REDACTED])")
    }
}

/// Seals the rows of one file that is only appended to, thousands in a second: the key is derived
/// once, and the nonce is the row's number.
///
/// It can only be made together with a fresh header, so a file that was closed, or torn by a crash,
/// is never continued: two rows sealed as number 7 of one file would break both. After a restart
/// the writer begins a new file.
pub struct RowSealer {
    key: AeadKey,
    next: Option<u32>,
}

impl RowSealer {
    /// Begins a file: the sealer, and the header to write at its start. `context` names the file's
    /// kind.
    pub fn create(
        machine: &MachineKey,
        context: &[u8],
        rng: &mut impl CryptoRng,
    ) -> (Self, [u8; ROW_HEADER_LEN]) {
        let header = draw_header(rng);
        let key = machine.key_for(namespaces::AT_REST_ROWS, &header, context);
        (Self { key, next: Some(0) }, header)
    }

    /// Seals the next row, appends it to `out` ([`ROW_OVERHEAD`] bytes longer than `row`), and
    /// returns its number, from 0.
    ///
    /// # Errors
    /// [`CryptoError::RowsExhausted`] after 2^32 rows.
    pub fn seal(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<u32, CryptoError> {
        let number = self.next.ok_or(CryptoError::RowsExhausted)?;
        self.next = number.checked_add(1);
        let start = out.len();
        out.extend_from_slice(row);
        let tail = out.split_at_mut(start).1;
        let tag = self.key.seal_detached(row_nonce(number), &[], tail);
        out.extend_from_slice(&tag);
        Ok(number)
    }
}

impl fmt::Debug for RowSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowSealer([REDACTED])")
    }
}

/// Opens the rows of one file.
pub struct RowOpener(AeadKey);

impl RowOpener {
    /// Derives the key of a file from its header.
    ///
    /// # Errors
    /// [`OpenFailed`] if the header names an unknown suite. A wrong context or machine shows only
    /// when a row does not open.
    pub fn new(
        machine: &MachineKey,
        context: &[u8],
        header: &[u8; ROW_HEADER_LEN],
    ) -> Result<Self, OpenFailed> {
        check_suite(header)?;
        Ok(Self(machine.key_for(namespaces::AT_REST_ROWS, header, context)))
    }

    /// Opens the row sealed as `number`.
    ///
    /// # Errors
    /// [`OpenFailed`] if it was altered or is another row.
    pub fn open(&self, number: u32, sealed: &[u8]) -> Result<Vec<u8>, OpenFailed> {
        open_to_vec(&self.0, row_nonce(number), sealed)
    }
}

impl fmt::Debug for RowOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowOpener([REDACTED])")
    }
}

fn draw_header(rng: &mut impl CryptoRng) -> [u8; ROW_HEADER_LEN] {
    let mut header = [0; ROW_HEADER_LEN];
    rng.fill_bytes(&mut header);
    let [suite, ..] = &mut header;
    *suite = AT_REST_SUITE;
    header
}

fn check_suite(header: &[u8; ROW_HEADER_LEN]) -> Result<(), OpenFailed> {
    let [suite, ..] = header;
    if *suite == AT_REST_SUITE { Ok(()) } else { Err(OpenFailed) }
}

fn row_nonce(number: u32) -> [u8; NONCE_LEN] {
    let [a, b, c, d] = number.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

fn open_to_vec(key: &AeadKey, nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Result<Vec<u8>, OpenFailed> {
    let mut plaintext = vec![0; sealed.len().checked_sub(TAG_LEN).ok_or(OpenFailed)?];
    key.open_into(nonce, &[], sealed, &mut plaintext)?;
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn machine(n: u8) -> MachineKey {
        MachineKey::new(Secret::from_bytes([n; 32]))
    }

    #[test]
    fn a_record_opens_only_here_and_whole() {
        let mut rng = StdRng::seed_from_u64(1);
        let record = machine(1).seal(b"queue", b"72 /min", &mut rng);
        assert_eq!(record.len(), 7 + RECORD_OVERHEAD);
        assert_eq!(machine(1).open(b"queue", &record), Ok(b"72 /min".to_vec()));
        assert_eq!(machine(2).open(b"queue", &record), Err(OpenFailed));
        assert_eq!(machine(1).open(b"cache", &record), Err(OpenFailed));
        for bit in 0..record.len() * 8 {
            let mut bad = record.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(machine(1).open(b"queue", &bad), Err(OpenFailed));
        }
        for len in 0..record.len() {
            assert_eq!(machine(1).open(b"queue", &record[..len]), Err(OpenFailed));
        }
    }

    #[test]
    fn sealing_twice_gives_other_bytes() {
        let mut rng = StdRng::seed_from_u64(1);
        let one = machine(1).seal(b"queue", b"72", &mut rng);
        assert_ne!(one, machine(1).seal(b"queue", b"72", &mut rng));
        assert_eq!(machine(1).open(b"", &machine(1).seal(b"", b"", &mut rng)), Ok(vec![]));
    }

    #[test]
    fn rows_open_by_number() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut sealer, header) = RowSealer::create(&machine(1), b"rows", &mut rng);
        let mut file = Vec::new();
        for number in 0..3_u8 {
            assert_eq!(sealer.seal(&[number; 4], &mut file), Ok(u32::from(number)));
        }
        let opener = RowOpener::new(&machine(1), b"rows", &header).unwrap();
        let rows: Vec<_> = file.chunks(4 + ROW_OVERHEAD).collect();
        for number in 0..3_u8 {
            let row = rows[usize::from(number)];
            assert_eq!(opener.open(u32::from(number), row), Ok(vec![number; 4]));
            assert_eq!(opener.open(u32::from(number) + 1, row), Err(OpenFailed));
        }
        let other = RowOpener::new(&machine(1), b"other", &header).unwrap();
        assert_eq!(other.open(0, rows[0]), Err(OpenFailed));
        let mut unknown = header;
        unknown[0] = 2;
        assert!(RowOpener::new(&machine(1), b"rows", &unknown).is_err());
    }

    #[test]
    fn a_file_ends_before_its_counter_wraps() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut sealer, _) = RowSealer::create(&machine(1), b"rows", &mut rng);
        sealer.next = Some(u32::MAX);
        let mut out = Vec::new();
        assert_eq!(sealer.seal(b"", &mut out), Ok(u32::MAX));
        assert_eq!(sealer.seal(b"", &mut out), Err(CryptoError::RowsExhausted));
        assert_eq!(out.len(), ROW_OVERHEAD);
    }

    #[test]
    fn labels_frame_their_parts() {
        let label = machine(1).label(&[b"ab", b"c"]);
        assert_eq!(label, machine(1).label(&[b"ab", b"c"]));
        assert_ne!(label, machine(1).label(&[b"a", b"bc"]));
        assert_ne!(label, machine(1).label(&[b"abc"]));
        assert_ne!(label, machine(2).label(&[b"ab", b"c"]));
    }
}

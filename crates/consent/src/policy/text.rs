//! What is looked at before Cedar sees a text: its length, its characters, and how deep anything built of
//! it can be. Promises that what it lets through parses, validates and evaluates in a bounded part of a stack.
//!
//! A tree is at most as deep as its clause has signs that can make one deeper; commas and words make none.

use super::PolicyError;
use salus_wire::limits::{POLICIES_MAX, POLICY_BYTES_MAX};

/// Brackets within each other.
pub(super) const DEPTH_MAX: usize = 8;
/// Signs of one clause that can make its tree deeper.
const SIGNS_MAX: usize = 192;

/// What is known of the text so far.
struct Scan {
    line: u32,
    depth: usize,
    signs: usize,
    clauses: usize,
}

/// The text, if it may be parsed.
///
/// # Errors
/// The first thing that is over a bound.
pub(super) fn bounded(text: &[u8]) -> Result<&str, PolicyError> {
    if text.is_empty() || text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::Length);
    }
    let mut scan = Scan { line: 1, depth: 0, signs: 0, clauses: 0 };
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => scan.string(after)?,
            b'/' => scan.comment(after)?,
            _ => {
                scan.sign(*byte)?;
                after
            }
        };
    }
    if scan.clauses == 0 || scan.clauses > POLICIES_MAX {
        return Err(PolicyError::Count);
    }
    std::str::from_utf8(text).map_err(|_| PolicyError::Character { line: 1 })
}

impl Scan {
    /// What follows a string, whose opening quote was read.
    fn string<'a>(&self, text: &'a [u8]) -> Result<&'a [u8], PolicyError> {
        let end = text.iter().position(|byte| *byte == b'"').ok_or(self.character())?;
        let (inside, after) = text.split_at_checked(end).ok_or(self.character())?;
        // Without escapes a word is written in one way, and ends at the next quote.
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
        match after.split_first() {
            Some((_, after)) if inside.iter().all(plain) => Ok(after),
            _ => Err(self.character()),
        }
    }

    /// What follows a comment, whose first slash was read.
    fn comment<'a>(&self, text: &'a [u8]) -> Result<&'a [u8], PolicyError> {
        let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
        let (inside, after) = text.split_at_checked(end).ok_or(self.character())?;
        let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r');
        match inside.first() {
            Some(b'/') if inside.iter().all(plain) => Ok(after),
            _ => Err(self.character()),
        }
    }

    fn sign(&mut self, byte: u8) -> Result<(), PolicyError> {
        match byte {
            b'\n' => self.line = self.line.saturating_add(1),
            b' ' | b'\t' | b'\r' | b',' | b':' | b'@' => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => {}
            b'(' | b'[' | b'{' => self.depth = self.depth.saturating_add(1),
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'.' | b'!' | b'&' | b'|' | b'=' | b'<' | b'>' => {}
            b';' => {
                self.clauses = self.clauses.saturating_add(1);
                self.signs = 0;
            }
            _ => return Err(self.character()),
        }
        if matches!(byte, b'(' | b'[' | b'{' | b'.' | b'!' | b'&' | b'|' | b'=' | b'<' | b'>') {
            self.signs = self.signs.saturating_add(1);
        }
        if self.depth > DEPTH_MAX {
            return Err(PolicyError::Deep { line: self.line });
        }
        if self.signs > SIGNS_MAX {
            return Err(PolicyError::Long { line: self.line });
        }
        Ok(())
    }

    const fn character(&self) -> PolicyError {
        PolicyError::Character { line: self.line }
    }
}

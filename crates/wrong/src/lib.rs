//! Programs that must not compile: each does what a promise of Salus rests on nobody doing.
//!
//! `examples/right.rs` does the same acts the one way that compiles, so that a wrong program fails
//! for the reason it states and not because a name has moved. Each wrong program is the right one
//! with one act changed; its `EXPECT` line gives the compiler's error code and words of its
//! message, and the line meant ends with `// wrong`. `tests/programs.rs` builds them all and
//! accepts that one error there and nothing else. They need the feature `wrong`, so that a plain
//! build of the workspace passes them by. This crate has no code of its own and knows no secret
//! door: it sees what any other crate sees.
#![forbid(unsafe_code)]

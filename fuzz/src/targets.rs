//! The list of targets. A name here is also the name of a corpus folder and of a cargo-fuzz target.

/// One parser under fire.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name everywhere.
    pub name: &'static str,
    /// Feeds it one input. It panics when the parser breaks its promise.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[Target { name: "wire_decode", run: crate::wire_decode }];

impl Target {
    /// The target of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().find(|target| target.name == name).copied()
    }
}

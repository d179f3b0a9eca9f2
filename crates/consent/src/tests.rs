//! Tests of the whole decision: a world in which a request is permitted, and tables of everything
//! that must undo it.

mod clauses;
mod mutations;
mod world;

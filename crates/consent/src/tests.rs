//! Tests of the whole decision: a world in which a request is permitted, and tables of everything
//! that must undo it.

mod against_the_model;
mod clauses;
mod emergency;
mod model;
mod mutations;
mod orders;
mod policies;
mod recovery;
mod world;
